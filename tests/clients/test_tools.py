"""curl, wget and aria2: plain files, whole, resumed, and in sixteen pieces at once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.clients.conftest import Site
from tests.clients.run import run_tool
from tests.hub import Synthetic
from tests.processes import exported, hubgate

SIZE = 20_000_000
CURL1 = ("curl", "-sSfL", "--http1.1", "-o", "got")
CURL2 = ("curl", "-sSfL", "--http2", "-o", "got")
WGET = ("wget", "-q", "-O", "got", "--ca-certificate={ca}")
ARIA2 = ("aria2c", "-q", "-x16", "-s16", "-k1M", "-o", "got", "--ca-certificate={ca}")
TOOLS = {"curl-h1": CURL1, "curl-h2": CURL2, "wget": WGET, "aria2": ARIA2}


def put(site: Site, id: str, seed: int) -> tuple[str, Synthetic]:
    """A new file on the hub: its URL, and its bytes."""
    site.hub.add_synthetic(id, "big.bin", SIZE, seed=seed)
    return f"https://huggingface.co/{id}/resolve/main/big.bin", Synthetic(SIZE, seed)


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", TOOLS)
def test_whole_files_cold_and_warm(site: Site, name: str) -> None:
    url, source = put(site, f"acme/whole-{name}", seed=20 + list(TOOLS).index(name))
    for _ in ("cold", "warm"):
        assert sha256(site.tool(*TOOLS[name], url) / "got") == source.sha256
        assert site.hub.bodies_of(source.sha256) == 1.0


@pytest.mark.parametrize("command", [(*CURL1, "-C", "-"), (*CURL2, "-C", "-"), (*WGET, "-c")], ids=["h1", "h2", "wget"])
def test_a_download_is_resumed(site: Site, command: tuple[str, ...]) -> None:
    url, source = put(site, "acme/resumed", seed=30)
    home = site.home()
    home.mkdir()
    (home / "got").write_bytes(source.read(0, 13_000_001))
    assert sha256(site.tool(*command, url, home=home) / "got") == source.sha256


def test_aria2_takes_up_what_it_left(site: Site) -> None:
    url, source = put(site, "acme/taken-up", seed=31)
    home = site.home()
    home.mkdir()
    (home / "got").write_bytes(source.read(0, 7_000_000))
    assert sha256(site.tool(*ARIA2, "-c", url, home=home) / "got") == source.sha256


def test_a_shell_with_nothing_but_what_env_prints(site: Site, tmp_path: Path) -> None:
    url, source = put(site, "acme/shell", seed=32)
    done = hubgate("env", "--config", str(site.proxy.config), "--proxy-url", site.proxy.url)
    assert exported(done.stdout)["HTTPS_PROXY"] == site.proxy.url
    shell = 'eval "$1"; curl -sSfL -o got "$2"'
    curl = run_tool(
        ["env", "-i", "bash", "-c", shell, "-", done.stdout, url], proxy_url=None, ca_bundle=tmp_path, home=tmp_path
    )
    assert curl.returncode == 0, curl.stderr
    assert sha256(tmp_path / "got") == source.sha256


def test_http2_is_spoken_where_it_is_asked_for(site: Site) -> None:
    url, source = put(site, "acme/version", seed=33)
    for wanted, spoken in (("--http2", "HTTP/2 200"), ("--http1.1", "HTTP/1.1 200 OK")):
        home = site.tool("curl", "-sSf", wanted, "-o", "got", "-D", "head", url)
        assert f"\n{spoken}" in (home / "head").read_text()
        assert sha256(home / "got") == source.sha256
