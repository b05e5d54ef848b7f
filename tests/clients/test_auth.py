"""Real clients that give the proxy a user and a password in HTTPS_PROXY, and what they show when these are wrong."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from proxy_addon.auth import htpasswd, schemes
from proxy_addon.cli.proxies import with_login
from tests.clients.run import ENVS, Env, python_of, run_tool
from tests.hub import Repo, TestHub
from tests.processes import Hubgate, configuration

PASSWORDS = {"alice": "p@ss:w/ör d", "bob": "bob's"}
RULES = (
    'version: 1\nrules:\n  - {id: not-bob, effect: deny, match: {repo: "acme/*", user: bob}, reason: "no", owner: me}\n'
)
URL = "https://huggingface.co/acme/tiny/resolve/main/config.json"
DOWNLOAD = """
import json, sys
from huggingface_hub import hf_hub_download
try:
    print(json.dumps(open(hf_hub_download("acme/tiny", "config.json")).read()))
except Exception as error:
    print(json.dumps([type(error).__name__, str(error) + str(error.__cause__)]))
"""


class Locked:
    """A proxy that asks for passwords, and clients of it, each with nothing cached."""

    def __init__(self, hub: TestHub, proxy: Hubgate, bundle: Path, folder: Path) -> None:
        self.hub, self.proxy, self.bundle, self.folder, self._homes = hub, proxy, bundle, folder, 0

    def url(self, user: str | None, password: str | None = None) -> str:
        return self.proxy.url if user is None else with_login(self.proxy.url, user, password or PASSWORDS[user])

    def tool(self, url: str, *command: str) -> subprocess.CompletedProcess[str]:
        self._homes += 1
        home = self.folder / f"home{self._homes}"
        quiet = {"GIT_TERMINAL_PROMPT": "0", "HF_HUB_DISABLE_UPDATE_CHECK": "1", "HF_HUB_DOWNLOAD_TIMEOUT": "20"}
        return run_tool([*command], proxy_url=url, ca_bundle=self.bundle, home=home, extra_env=quiet, timeout=90)

    def users(self) -> set[tuple[str, str]]:
        """Who asked, and with which method, as far as the access log has it by now."""
        lines = Path(self.proxy.settings["access_log"]).read_text().splitlines()
        return {(line.get("user", ""), line["method"]) for line in map(json.loads, lines)}

    def logged(self, *asked: tuple[str, str]) -> None:
        """Waits until the log, which is written in batches, has all of them."""
        for _ in range(600):
            if self.users() >= {*asked}:
                return
            time.sleep(0.1)
        raise TimeoutError(f"not in the log: {asked}")


@pytest.fixture(scope="module")
def standing(hub: TestHub, authority: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    folder, text = tmp_path_factory.mktemp("locked"), b""
    for user, password in PASSWORDS.items():
        text = htpasswd.with_user(text, user, schemes.made(password.encode()))
    (folder / "users").write_bytes(text)
    (folder / "users").chmod(0o600)
    (folder / "rules").mkdir()
    (folder / "rules/own.yaml").write_text(RULES)
    with Hubgate(configuration(folder, hub, ca={"dir": str(authority[0])}, auth="users")) as proxy:
        yield Locked(hub, proxy, authority[1], folder)


@pytest.fixture
def locked(standing: Locked) -> Iterator[Locked]:
    standing.hub.start()
    standing.hub.reset()
    yield standing
    standing.hub.reset()


def test_curl(locked: Locked) -> None:
    done = locked.tool(locked.url("alice"), "curl", "-sSfL", URL)
    assert done.returncode == 0 and json.loads(done.stdout)["vocab_size"] == 9, done.stderr
    done = locked.tool(locked.proxy.url, "curl", "-sSfL", "--proxy-anyauth", "-U", "bob:bob's", URL)
    assert done.returncode == 22 and "403" in done.stderr, "bob is known, and has rules of his own"
    for url in (locked.url(None), locked.url("alice", "wrong"), locked.url("mallory", "x")):
        done = locked.tool(url, "curl", "-sSfL", "-w", "%{http_connect}", URL)
        assert done.returncode != 0 and done.stdout == "407"
    said = locked.tool(locked.url(None), "curl", "-sv", URL).stderr
    assert "407 this proxy wants a user and a password: set HTTPS_PROXY to http://USER:PASSWORD@host:port" in said


@pytest.mark.parametrize("env", ENVS)
def test_huggingface_hub(locked: Locked, env: Env) -> None:
    def download(url: str) -> str | list[str]:
        done = locked.tool(url, str(python_of(env)), "-c", DOWNLOAD)
        assert done.returncode == 0, done.stderr
        found: str | list[str] = json.loads(done.stdout.splitlines()[-1])
        return found

    assert json.loads(str(download(locked.url("alice"))))["vocab_size"] == 9
    denied = download(locked.url("bob"))
    assert isinstance(denied, list) and "not-bob" in denied[1]
    for url in (locked.url(None), locked.url("alice", "wrong")):
        told = download(url)
        assert isinstance(told, list), "nothing may be had"
    assert not any("wrong" in file.read_text(errors="replace") for file in [locked.folder / "access.log"])


def test_hf(locked: Locked) -> None:
    hf = str(python_of("hub2").with_name("hf"))
    done = locked.tool(locked.url("alice"), hf, "download", "acme/tiny", "config.json")
    assert done.returncode == 0 and "config.json" in done.stdout, done.stderr
    done = locked.tool(locked.url("alice", "no"), hf, "download", "acme/tiny", "config.json")
    assert done.returncode != 0 and "407" in done.stdout + done.stderr


def test_git(locked: Locked) -> None:
    made = locked.hub.add(Repo("other/history", files={"a.txt": "one\n"}))
    for user in PASSWORDS:  # asks first without, then on the same connection
        done = locked.tool(locked.url(user), "git", "clone", "-q", f"https://huggingface.co/{made.id}", "c")
        assert done.returncode == 0, done.stderr
    locked.logged(("alice", "GET"), ("bob", "POST"))
    denied = locked.tool(locked.url("bob"), "git", "clone", "-q", "https://huggingface.co/acme/tiny", "c")
    assert denied.returncode != 0 and "not-bob" in denied.stderr
    for url in (locked.url(None), locked.url("alice", "wrong")):
        done = locked.tool(url, "git", "clone", "-q", f"https://huggingface.co/{made.id}", "c")
        assert done.returncode != 0 and "407" in done.stderr


def test_no_request_of_a_client_brought_a_password_to_the_hub_or_to_disk(locked: Locked) -> None:
    done = locked.tool(locked.url("alice"), "curl", "-sSfL", URL)
    assert done.returncode == 0
    kept = [file.read_bytes() for file in locked.folder.rglob("*") if file.is_file() and "home" not in file.parts[-2]]
    for secret in (*PASSWORDS.values(), *(quote(each, safe="") for each in PASSWORDS.values())):
        assert not any(secret.encode() in each for each in kept) and secret not in locked.proxy.told
    assert not any("proxy-authorization" in str(request.headers).lower() for request in locked.hub.requests())
