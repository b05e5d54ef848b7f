"""scripts/install-ca in a file system of its own, with stand-ins for what only the real one has, under each shell.

The stand-ins: `id` (who runs it) and `uname` (where), as functions, because busybox takes its own before those on PATH;
and the commands by which a system reads its trust store, which make the bundle as the real ones do.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from proxy_addon.ca import Authority
from tests.ca.verifiers import VERIFIERS, shown
from tests.processes import ROOT, exported

SCRIPT = ROOT / "scripts/install-ca"
SHELLS = [words for words in (["sh"], ["dash"], ["bash", "--posix"], ["busybox", "sh"]) if shutil.which(words[0])]
TOOLS = (
    *("awk", "base64", "cat", "cp", "curl", "cut", "env", "grep", "mkdir", "mktemp", "mv", "od", "openssl", "printf"),
    *("rm", "sed", "sh", "sha256sum", "tr", "wget"),
)
SYSTEMS = {
    "debian": ("usr/local/share/ca-certificates", "crt", "update-ca-certificates", "etc/ssl/certs/ca-certificates.crt"),
    "rhel": ("etc/pki/ca-trust/source/anchors", "pem", "update-ca-trust", "etc/pki/tls/certs/ca-bundle.crt"),
}
READS = """#!/bin/sh
echo "${0##*/} $*" >>"$HUBGATE_ROOT/calls"
case ${0##*/} in
  update-ca-certificates) from=usr/local/share/ca-certificates to=etc/ssl/certs/ca-certificates.crt ;;
  update-ca-trust) from=etc/pki/ca-trust/source/anchors to=etc/pki/tls/certs/ca-bundle.crt ;;
  *) exit 0 ;;
esac
cat "$HUBGATE_ROOT/public" "$HUBGATE_ROOT/$from"/* >"$HUBGATE_ROOT/$to" 2>/dev/null || :
"""


class Machine:
    """A root directory, a home and a PATH. `run` says exit status, what was printed and what was said."""

    def __init__(self, folder: Path, shell: list[str], system: str = "debian", user: int = 0) -> None:
        self.root, self.home, self.bin, self.shell = folder / "root", folder / "a home", folder / "bin", shell
        for made in (self.root, self.home, self.bin):
            made.mkdir(parents=True)
        for name in {*TOOLS, self.shell[0]}:
            (self.bin / name).symlink_to(shutil.which(name) or "/nonexistent")
        kernel = "Darwin" if system == "macos" else "Linux"
        self.before = (
            f'id() {{ echo {user}; }}; uname() {{ echo {kernel}; }}; wget() {{ {shutil.which("wget")} "$@"; }}'
        )
        (self.root / "public").write_text("public roots\n")
        if system == "macos":
            self.stand_in("security", READS)
        else:
            self.folder, self.suffix, command, bundle = SYSTEMS[system]
            self.bundle = self.root / bundle
            (self.root / self.folder).mkdir(parents=True)
            self.bundle.parent.mkdir(parents=True)
            self.bundle.write_text("public roots\n")
            self.stand_in(command, READS)

    def stand_in(self, name: str, text: str) -> None:
        (self.bin / name).unlink(missing_ok=True)
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def run(self, *arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
        env = {"PATH": str(self.bin), "HOME": str(self.home), "HUBGATE_ROOT": str(self.root), **more}
        command = [*self.shell, "-c", f'{self.before}; . "$0"', str(SCRIPT), *map(str, arguments)]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)

    def state(self) -> dict[str, bytes]:
        files = (file for place in (self.root, self.home) for file in place.rglob("*") if file.is_file())
        return {str(file): file.read_bytes() for file in files if file.name != "calls"}

    def installed(self) -> list[bytes]:
        return [file.read_bytes() for file in sorted((self.root / self.folder).glob(f"hubgate-*.{self.suffix}"))]

    def calls(self) -> list[str]:
        file = self.root / "calls"
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture(params=SHELLS, ids=lambda words: words[0])
def shell(request: pytest.FixtureRequest) -> list[str]:
    return request.param


@pytest.fixture
def machine(tmp_path: Path, shell: list[str]) -> Machine:
    return Machine(tmp_path / "machine", shell)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.open(tmp_path / "ca")


@pytest.fixture
def ca(authority: Authority) -> Path:
    return authority.directory / "ca.pem"


@pytest.fixture
def served(ca: Path) -> Iterator[str]:
    """The URL of the admin listener's certificate."""

    class Admin(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/ca.pem"
            self.send_response(200 if found else 404)
            self.end_headers()
            self.wfile.write(ca.read_bytes() if found else b"nothing")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Admin) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/ca.pem"
        server.shutdown()
        thread.join(20)


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_machine_trusts_it_and_forgets_it_again(
    tmp_path: Path, shell: list[str], system: str, authority: Authority, ca: Path
) -> None:
    machine = Machine(tmp_path / "machine", shell, system)
    before = machine.state()
    done = machine.run(ca, "--fingerprint", authority.fingerprint())
    assert done.returncode == 0, done.stderr
    assert machine.installed() == [ca.read_bytes()]
    assert machine.bundle.read_bytes() == b"public roots\n" + ca.read_bytes()
    assert exported(done.stdout)["REQUESTS_CA_BUNDLE"] == str(machine.bundle)
    once = machine.state()
    assert machine.run(ca).returncode == 0
    assert machine.state() == once
    done = machine.run("--uninstall")
    assert done.returncode == 0 and authority.fingerprint() in done.stderr
    assert machine.state() == before
    assert "nothing to remove" in machine.run("--uninstall").stderr


def test_a_user_trusts_it_without_root(tmp_path: Path, shell: list[str], authority: Authority, ca: Path) -> None:
    machine = Machine(tmp_path / "machine", shell, user=1000)
    before = machine.state()
    done = machine.run("--user", ca)
    assert done.returncode == 0, done.stderr
    told = exported(done.stdout)
    assert set(told) == {
        "SSL_CERT_FILE",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "GIT_SSL_CAINFO",
        "NODE_EXTRA_CA_CERTS",
    }
    bundle = Path(told["SSL_CERT_FILE"])
    assert bundle.is_relative_to(machine.home)
    assert bundle.read_bytes() == b"public roots\n" + ca.read_bytes()
    with shown(authority.leaf(), tmp_path / "server") as port:
        assert [verify("hf.co", port, bundle) for verify in VERIFIERS.values()] == [""] * len(VERIFIERS)
    once = machine.state()
    assert machine.run("--user", ca).returncode == 0
    assert machine.state() == once and machine.calls() == []
    assert machine.run("--user", "--uninstall").returncode == 0
    assert machine.state() == before


def test_without_root_the_machine_is_left_alone(tmp_path: Path, shell: list[str], ca: Path) -> None:
    machine = Machine(tmp_path / "machine", shell, user=1000)
    before = machine.state()
    for arguments in ((ca,), ("--uninstall",)):
        done = machine.run(*arguments)
        assert done.returncode == 1 and "--user" in done.stderr
    assert machine.state() == before and machine.calls() == []


@pytest.mark.parametrize("without", ["wget", "curl"])
def test_it_comes_by_url_and_past_the_proxy(machine: Machine, served: str, ca: Path, without: str) -> None:
    (machine.bin / without).unlink()
    nowhere = "http://127.0.0.1:1"
    done = machine.run(served, http_proxy=nowhere, HTTP_PROXY=nowhere, ALL_PROXY=nowhere)
    assert done.returncode == 0, done.stderr
    assert machine.installed() == [ca.read_bytes()]
    done = machine.run(served.replace("/ca.pem", "/none"))
    assert done.returncode == 1 and "cannot be fetched" in done.stderr


@pytest.mark.parametrize("how", [str, str.lower, lambda text: text.replace(":", "")])
def test_a_fingerprint_in_any_spelling(
    machine: Machine, authority: Authority, ca: Path, how: Callable[[str], str]
) -> None:
    assert machine.run("--fingerprint", how(authority.fingerprint()), ca).returncode == 0
    assert machine.installed() == [ca.read_bytes()]


def test_another_fingerprint_changes_nothing(machine: Machine, authority: Authority, ca: Path) -> None:
    before = machine.state()
    for wrong in (hashlib.sha256(b"another").hexdigest(), authority.fingerprint()[:-1] + "G", "AB:CD", ""):
        done = machine.run(ca, "--fingerprint", wrong)
        assert done.returncode in (1, 2), wrong
        assert machine.state() == before and machine.calls() == []


def test_in_a_rotation_both_are_trusted_or_the_one_that_is_named(machine: Machine, tmp_path: Path) -> None:
    old = Authority.open(tmp_path / "ca").root
    rotated = Authority.rotate(tmp_path / "ca")
    both = tmp_path / "ca/ca.pem"
    assert machine.run(both, "--fingerprint", rotated.fingerprint(old)).returncode == 0
    assert len(machine.installed()) == 1 and machine.installed()[0] in both.read_bytes()
    assert machine.run(both).returncode == 0
    assert len(machine.installed()) == 2
    assert machine.run("--uninstall", "--fingerprint", rotated.fingerprint(old)).returncode == 0
    (left,) = machine.installed()
    assert (
        hashlib.sha256(ssl.PEM_cert_to_DER_cert(left.decode())).hexdigest()
        == rotated.fingerprint().replace(":", "").lower()
    )


def test_without_openssl(machine: Machine, authority: Authority, ca: Path) -> None:
    """As on Alpine, where busybox has the rest."""
    (machine.bin / "openssl").unlink()
    assert machine.run(ca, "--fingerprint", authority.fingerprint()).returncode == 0
    assert machine.installed() == [ca.read_bytes()]


def test_lines_that_end_as_on_windows(machine: Machine, ca: Path) -> None:
    pem = ca.read_bytes()
    ca.write_bytes(b"hubgate\r\n" + pem.replace(b"\n", b"\r\n"))
    assert machine.run(ca).returncode == 0
    assert machine.installed() == [pem]


def test_what_is_not_the_certificate_of_a_hubgate(machine: Machine, authority: Authority, tmp_path: Path) -> None:
    import trustme

    wrong = {
        "empty": (b"", "holds no certificate"),
        "page": (b"<html>login</html>", "holds no certificate"),
        "key": ((authority.directory / "authority.pem").read_bytes(), "holds a key"),
        "bundle": (authority.combined_bundle().read_bytes(), "that is a bundle"),
        "any": (trustme.CA().cert_pem.bytes(), "any name in the world"),
    }
    before = machine.state()
    for name, (data, why) in wrong.items():
        (tmp_path / name).write_bytes(data)
        done = machine.run(tmp_path / name)
        assert done.returncode == 1 and why in done.stderr, (name, done.stderr)
    assert "cannot be read" in machine.run(tmp_path / "missing").stderr
    assert machine.state() == before and machine.calls() == []


def test_where_no_store_is_known(machine: Machine, ca: Path) -> None:
    (machine.bin / "update-ca-certificates").unlink()
    before = machine.state()
    done = machine.run(ca)
    assert done.returncode == 1 and "ca-certificates" in done.stderr and "--user" in done.stderr
    assert machine.state() == before


def test_wrong_use(machine: Machine, ca: Path) -> None:
    for arguments in ((), ("--fingerprint",), ("--nope", ca), (ca, ca)):
        assert machine.run(*arguments).returncode == 2, arguments
    assert "--fingerprint" in machine.run("--help").stdout
    assert machine.installed() == []


@pytest.mark.parametrize("user", [[], ["--user"]], ids=["machine", "user"])
def test_macos(tmp_path: Path, shell: list[str], authority: Authority, ca: Path, user: list[str]) -> None:
    """Only that the commands are the right ones: no such machine is at hand."""
    machine = Machine(tmp_path / "machine", shell, "macos")
    place = machine.home / ".local" if user else machine.root / "usr/local"
    keychain = machine.home / "Library/Keychains/login.keychain-db" if user else "/Library/Keychains/System.keychain"
    short = authority.fingerprint().replace(":", "")
    file = place / f"share/hubgate/hubgate-{short[:16].lower()}.pem"
    admin = "" if user else "-d "
    assert machine.run(*user, ca).returncode == 0
    assert machine.calls() == [f"security add-trusted-cert {admin}-r trustRoot -p ssl -k {keychain} {file}"]
    assert ca.read_bytes() in (place / "share/hubgate/bundle.pem").read_bytes()
    assert machine.run(*user, "--uninstall").returncode == 0
    assert machine.calls()[1:] == [
        f"security remove-trusted-cert {admin}{file}",
        f"security delete-certificate -Z {short} {keychain}",
    ]
    assert os.listdir(place / "share/hubgate") == []
