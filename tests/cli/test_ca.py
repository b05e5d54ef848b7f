"""`hubgate ca init | issue | rotate`, where the CA is and where only a leaf is. No key is ever shown."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509

from proxy_addon.ca import Authority
from proxy_addon.cli.main import run

type Said = Callable[..., str]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "hubgate.yaml"
    file.write_text("ca: {dir: ca}\ncache: {dir: cache}\nhubs: {others: [pypi.example]}\n")
    monkeypatch.chdir(tmp_path)
    return file


@pytest.fixture
def said(config: Path, capsys: pytest.CaptureFixture[str]) -> Said:
    """What a command says on both streams; it must end as told, and shows no key."""

    def call(*arguments: str, status: int = 0) -> str:
        assert run(["ca", *arguments, "--config", str(config)]) == status
        told = capsys.readouterr()
        assert "PRIVATE" not in told.out + told.err
        return told.out + told.err

    return call


def test_init_makes_one_and_leaves_it_alone(said: Said) -> None:
    assert "hubgate ca init" in said("issue", status=2)
    first = said("init")
    assert Authority.open(Path("ca"), ["pypi.example"]).fingerprint() in first
    assert said("init") == first


def test_what_is_issued_serves_an_offline_server(said: Said, config: Path) -> None:
    said("init")
    said("issue", "--host", "a.b.c.hf.co")
    assert os.stat("hubgate-leaf.key").st_mode & 0o777 == 0o600
    assert b"PRIVATE" not in Path("hubgate-leaf.pem").read_bytes()
    leaf, _, root = x509.load_pem_x509_certificates(Path("hubgate-leaf.pem").read_bytes())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"hf.co", "a.b.c.hf.co", "pypi.example"} <= set(names.get_values_for_type(x509.DNSName))
    made = said("export")
    assert x509.load_pem_x509_certificate(made.encode()) == root

    text = said("issue")
    (section,) = re.findall(r"^on the server: (ca: .*)$", text, re.MULTILINE)
    config.write_text(config.read_text().replace("ca: {dir: ca}", section.replace("{", "{dir: served, ")))
    assert said("export") == made
    shown = said("show")
    assert Authority.open(Path("ca")).fingerprint() in shown and "*.us.gcp.cdn.hf.co" in shown
    assert said("path") == f"{Path('served').absolute() / 'ca.pem'}\n"
    assert sorted(os.listdir("served")) == ["ca.pem"]


@pytest.mark.parametrize("command", [["init"], ["issue"], ["rotate"], ["renew", "--yes"]])
def test_an_offline_server_makes_no_ca(said: Said, config: Path, command: list[str]) -> None:
    config.write_text("ca: {dir: ca, mode: offline, cert: l.pem, key: l.key}\n")
    told = said(*command, status=2)
    assert "ca.mode" in told and "--ca-dir" in told
    assert not Path("ca").exists()


def test_a_ca_directory_stands_for_the_whole_section(said: Said, config: Path) -> None:
    config.write_text("ca: {dir: ca, mode: offline, cert: l.pem, key: l.key}\n")
    said("init", "--ca-dir", "own")
    said("issue", "--ca-dir", "own", "--cert", "l.pem", "--key", "l.key")
    said("rotate", "--ca-dir", "own")
    assert "until" not in said("show") and sorted(os.listdir("ca")) == ["ca.pem"]


@pytest.mark.parametrize("option", ["--key", "--cert"])
def test_a_key_goes_to_a_file_and_nowhere_else(said: Said, option: str) -> None:
    said("init")
    Path("link").symlink_to("/dev/stdout")
    os.mkfifo("pipe")
    for place in ("link", "pipe", "."):
        assert "not a plain file" in said("issue", option, place, status=2)
    told = said("issue", option, "none/x", status=2)
    assert " none/x " in f" {told}" and "cannot be written: No such file" in told


def test_a_rotation(said: Said) -> None:
    said("init")
    old = Authority.open(Path("ca"))
    assert "restart" in said("rotate")
    both = said("export")
    new = Authority.open(Path("ca"))
    assert both.count("BEGIN CERTIFICATE") == 2 and old.public_pem().decode() in both
    shown = said("show")
    assert shown.index(new.fingerprint()) < shown.index(old.fingerprint())
    assert both.encode() in Path("ca/bundle.pem").read_bytes()
    assert "under way" in said("rotate", status=2)
    said("issue", "--new")
    assert x509.load_pem_x509_certificates(Path("hubgate-leaf.pem").read_bytes())[1] == new.issuers[1].intermediate
    said("rotate", "--finish", "--yes")
    assert said("export").encode() == Authority.open(Path("ca")).public_pem()
    assert old.fingerprint() not in said("show")


def test_ending_a_rotation_early_is_asked_about(said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    said("init")
    said("rotate")
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    said("rotate", "--finish", status=130)
    assert len(Authority.open(Path("ca")).roots) == 2


@pytest.mark.parametrize(
    ("section", "key", "why"),
    [
        ("{mode: offline}", "ca.cert", "hubgate ca issue"),
        ("{mode: offline, cert: a.pem}", "ca.key", "hubgate ca issue"),
        ("{cert: a.pem}", "ca.cert", "mode: offline"),
        ("{key: a.key}", "ca.key", "mode: offline"),
        ("{mode: online}", "ca.mode", "offline"),
    ],
)
def test_a_section_that_contradicts_itself(said: Said, config: Path, section: str, key: str, why: str) -> None:
    config.write_text(f"drain: 1s\nca: {section}\n")
    line = next(line for line in said("show", status=2).splitlines() if f": {key}: " in line)
    assert line.startswith(f"hubgate: {config}:2: ") and why in line


def test_who_only_looks_makes_no_ca(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["ca", "show"], ["ca", "export"], ["ca", "path"], ["ca", "path", "--bundle"], ["env"]):
        assert run([*command, "--config", str(config)]) == 2
        told = capsys.readouterr()
        assert told.out == "" and "there is no CA; `hubgate ca init` makes one, and so does `hubgate serve`" in told.err
    assert run(["doctor", "--config", str(config)]) == 1
    assert capsys.readouterr().out.count("there is no CA") == 1
    assert not Path("ca").exists()


def test_a_ca_of_another_directory_is_shown_handed_out_and_renewed(said: Said, config: Path) -> None:
    config.write_text("ca: {mode: offline, cert: leaf.pem, key: leaf.key}\n")
    other = ("--ca-dir", "kept")
    made = said("init", *other)
    assert Authority.open(Path("kept")).fingerprint() in made and made in said("show", *other)
    assert said("export", *other).encode() == Path("kept/ca.pem").read_bytes()
    assert said("path", *other) == f"{Path('kept').absolute()}/ca.pem\n"
    assert Path(said("path", "--bundle", *other).strip()).parent == Path("kept").absolute()
    assert made not in said("renew", "--yes", *other)
    assert not Path("ca").exists()
