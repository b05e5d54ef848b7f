"""Gated and private repos: each client gets what the hub itself would give him, and never another's bytes."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.clients.conftest import Site
from tests.hub import TestHub
from tests.hub.ask import ask, follow
from tests.processes import Answer

HUB = "https://huggingface.co"
FILES = """
    import hashlib, json, sys
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
    def outcome(call, *arguments):
        try:
            where = call(*arguments)
        except (GatedRepoError, RepositoryNotFoundError) as error:
            return type(error).__name__
        return hashlib.sha256(open(where, "rb").read()).hexdigest()
    print(json.dumps([outcome(hf_hub_download, repo, path) for repo in sys.argv[1].split() for path in sys.argv[2:]]))
"""
PATHS = ("config.json", "old.bin", "model.safetensors")
TOLD = ("x-error-code", "x-error-message", "x-repo-commit", "x-linked-etag", "x-linked-size", "www-authenticate")


@pytest.fixture(params=["anonymous", "reader", "stranger", "unknown"])
def token(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    tokens = {"reader": "hf_reader", "stranger": "hf_other", "unknown": "hf_nobody"}
    yield {"Authorization": f"Bearer {tokens[request.param]}"} if request.param in tokens else {}


def followed(site: Site, url: str, headers: dict[str, str]) -> Answer:
    """As clients do: the token stays with the hub."""
    for _ in range(5):
        answer = site.proxy.ask(url, headers=headers if urlsplit(url).hostname == "huggingface.co" else {})
        if answer.status not in (301, 302, 307, 308):
            return answer
        location = answer["Location"] or ""
        url = location if "://" in location else HUB + location
    raise RecursionError(url)


def direct(hub: TestHub, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
    """The same without a proxy."""
    reply = ask(hub, path, headers=headers)
    if reply.status in (302, 307):
        reply = follow(hub, reply.location, {} if "://" in reply.location else headers)
    return reply.status, reply.body


@pytest.mark.parametrize("repo", ["acme/gated", "acme/private", "acme/disabled", "acme/absent"])
def test_everybody_gets_what_the_hub_would_give_him(site: Site, repo: str, token: dict[str, str]) -> None:
    reader = {"Authorization": "Bearer hf_reader"}
    for path in (*(f"/{repo}/resolve/main/{path}" for path in PATHS), f"/api/models/{repo}"):
        if ask(site.hub, path).status == 200:
            token = {}  # what the hub tells anybody, the cache tells anybody, whatever token he has
        followed(site, HUB + path, reader)  # whatever can be in the cache is there
        for _ in range(2):
            answer = followed(site, HUB + path, token)
            status, body = direct(site.hub, path, token)
            assert answer.status == status, path
            if status == 200 and "/resolve/" in path:
                assert answer.body == body
        head, right = site.proxy.ask(HUB + path, "HEAD", token), ask(site.hub, path, "HEAD", token)
        redirects = right.status in (302, 307) and "/resolve/" in path
        assert head.status == (200 if redirects else right.status), "who may have the file has it from here"
        assert {name: head[name] for name in TOLD} == {name: right[name] for name in TOLD}


@pytest.mark.parametrize("path", ["old.bin", "model.safetensors"])
def test_a_link_without_its_signature_opens_nothing(site: Site, path: str) -> None:
    reader = {"Authorization": "Bearer hf_reader", "Cache-Control": "no-store"}
    link = site.proxy.ask(f"{HUB}/acme/private/resolve/main/{path}", headers=reader)["Location"] or ""
    signed, bare = site.proxy.ask(link), site.proxy.ask(link.partition("?")[0])
    assert signed.status == 200 and len(signed.body) == site.hub.repo("acme/private").file(path).size
    assert bare.status == 403 and len(bare.body) < 1000


def test_clients_see_the_errors_they_know(site: Site) -> None:
    gated = site.hub.repo("acme/gated")
    right = [gated.file(path).source.sha256 for path in PATHS]
    arguments = ("acme/gated acme/private", *PATHS)
    assert site.python("hub2", FILES, *arguments, HF_TOKEN="hf_reader") == right * 2
    assert site.python("hub2", FILES, *arguments) == ["GatedRepoError"] * 3 + ["RepositoryNotFoundError"] * 3
    denied = site.python("hub2", FILES, *arguments, HF_TOKEN="hf_other")
    assert denied == ["GatedRepoError"] * 3 + ["RepositoryNotFoundError"] * 3


def test_what_a_token_brought_is_there_for_its_holder_only_without_the_hub(site: Site) -> None:
    reader = {"Authorization": "Bearer hf_reader"}
    for repo in ("acme/gated", "acme/private"):
        assert followed(site, f"{HUB}/{repo}/resolve/main/old.bin", reader).status == 200
    site.hub.stop()
    for repo in ("acme/gated", "acme/private"):
        data = site.hub.repo(repo).file("old.bin").source
        assert followed(site, f"{HUB}/{repo}/resolve/main/old.bin", reader).body == bytes(data.read(0, data.size))
        for headers in ({}, {"Authorization": "Bearer hf_other"}):
            answer = followed(site, f"{HUB}/{repo}/resolve/main/old.bin", headers)
            assert answer.status == 503 and b"hubgate" in answer.body
