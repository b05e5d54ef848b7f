"""What `ollama pull hf.co/…` does, step by step as its server does it, and llama.cpp's question for a manifest.

A manifest; then for each layer HEAD for the size, GET for where the bytes are (a 307 or 302 to another host, and no
other status will do for every version), and parts by Range from there, several at once, without a token. Every layer
has to have its digest.
"""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from tests.clients.conftest import Site
from tests.hub import Repo, Synthetic
from tests.hub.repo import Storage

PULL = """
    import hashlib, json, sys
    from concurrent.futures import ThreadPoolExecutor
    from urllib.parse import urljoin, urlsplit
    import httpx

    registry, name, tag, token, parts = sys.argv[1:]
    AGENT = {"User-Agent": "ollama/0.6.2 (amd64 linux) Go/go1.24.0"}
    client = httpx.Client(timeout=30)

    def asked(method, url, headers, elsewhere):
        # A redirect within the host is followed, one to another host only where `elsewhere` says so; the token stays.
        for _ in range(10):
            reply = client.request(method, url, headers=headers)
            if reply.status_code not in (301, 302, 303, 307, 308):
                return reply
            target = urljoin(url, reply.headers["location"])
            host = urlsplit(target).hostname
            if host != urlsplit(url).hostname:
                if not elsewhere:
                    return reply
                assert host.endswith(("hf.co", "huggingface.co")), host
                headers = {k: v for k, v in headers.items() if k != "Authorization"}
            url = target
        raise SystemExit("redirects without end")

    own = AGENT | ({"Authorization": f"Bearer {token}"} if token else {})
    form = {"Accept": "application/vnd.docker.distribution.manifest.v2+json"}
    reply = asked("GET", f"https://{registry}/v2/{name}/manifests/{tag}", own | form, True)
    if reply.status_code != 200:
        raise SystemExit(f"Error: pull model manifest: {reply.status_code}: {reply.text}")
    manifest = reply.json()
    found = {}
    for layer in (*manifest["layers"], manifest["config"]):
        url = f"https://{registry}/v2/{name}/blobs/{layer['digest']}"
        head = asked("HEAD", url, own, True)
        size = int(head.headers["content-length"])
        assert (head.status_code, size) == (200, layer["size"]), head
        away = asked("GET", url, own, False)
        assert away.status_code in (302, 307), away
        direct = urljoin(url, away.headers["location"])
        step = max(1, -(-size // int(parts)))
        def part(at):
            end = min(at + step, size) - 1
            reply = asked("GET", direct, {"Range": f"bytes={at}-{end}"}, True)
            assert reply.status_code in (200, 206), reply
            return reply.content[: end + 1 - at]
        with ThreadPoolExecutor(16) as pool:
            whole = b"".join(pool.map(part, range(0, size, step)))
        assert "sha256:" + hashlib.sha256(whole).hexdigest() == layer["digest"], layer
        found[layer["mediaType"].rpartition(".")[2]] = hashlib.sha256(whole).hexdigest()
    print(json.dumps(found))
"""
LLAMA = """
    import json, sys, httpx
    headers = {"User-Agent": "llama-cpp", "Accept": "application/json"}
    print(json.dumps(httpx.get(f"https://huggingface.co/v2/{sys.argv[1]}/manifests/latest", headers=headers).json()))
"""
HOSTS = ("hf.co", "huggingface.co")


def pull(site: Site, name: str, registry: str, token: str = "", parts: int = 16) -> Any:
    return site.python("hub1", PULL, registry, name, "Q4_K_M", token, str(parts))


def model(site: Site, name: str, source: Synthetic, storage: Storage, **settings: Any) -> Repo:
    path = f"{name}-Q4_K_M.gguf"
    return site.hub.add(Repo(f"acme/{name}", files={path: source}, storage={path: storage}, **settings))


@pytest.mark.parametrize("storage", ["lfs", "xet"])
@pytest.mark.parametrize("registry", HOSTS)
def test_a_pull_cold_warm_and_with_the_hub_down(site: Site, registry: str, storage: Storage) -> None:
    source = Synthetic(11_000_000, 200 + 2 * HOSTS.index(registry) + (storage == "xet"))
    made = model(site, f"gguf-{storage}-{registry.partition('.')[0]}", source, storage)
    for bodies in (1.0, 0.0):
        site.hub.clear()
        assert pull(site, made.id, registry)["model"] == source.sha256
        assert site.hub.bodies_of(source.sha256) == bodies
    site.hub.stop()
    assert pull(site, made.id, registry, parts=1)["model"] == source.sha256


def test_both_names_and_the_plain_file_are_one(site: Site) -> None:
    source = Synthetic(5_000_000, 210)
    made = model(site, "gguf-one", source, "xet")
    for registry in HOSTS:
        assert pull(site, made.id, registry)["model"] == source.sha256
    file = site.proxy.ask(f"https://huggingface.co/{made.id}/resolve/main/gguf-one-Q4_K_M.gguf")
    assert hashlib.sha256(file.body).hexdigest() == source.sha256
    assert site.hub.bodies_of(source.sha256) == 1.0


def test_a_private_model_is_for_its_readers(site: Site) -> None:
    source = Synthetic(5_000_000, 220)
    made = model(site, "gguf-own", source, "lfs", private=True, readers={"hf_reader"})
    for _ in range(2):
        assert pull(site, made.id, "hf.co", token="hf_reader")["model"] == source.sha256
        for host in HOSTS:
            for mark in ("", "?hubgate=bytes"):
                reply = site.proxy.ask(f"https://{host}/v2/{made.id}/blobs/sha256:{source.sha256}{mark}")
                assert reply.status in (307, 401) and "hubgate" not in (reply["Location"] or "")
    assert site.hub.bodies_of(source.sha256) < 1.001


def test_llama_cpp_is_told_the_file(site: Site) -> None:
    made = model(site, "gguf-llama", Synthetic(100_000, 230), "lfs")
    assert pull(site, made.id, "huggingface.co")
    for _ in range(2):
        assert site.python("hub1", LLAMA, made.id)["ggufFile"]["rfilename"] == "gguf-llama-Q4_K_M.gguf"
