"""`hubgate cache` over repos of ModelScope, whose revisions stand in the query of a URL."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proxy_addon.cli.main import run
from tests.hub import TestHub
from tests.processes import configuration


@pytest.fixture
def cache(hub: TestHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """What a command says, over a cache that holds a model of both hubs and both sites; with `--json` the value."""
    config = str(configuration(tmp_path, hub))
    sets = ("ms:acme/tiny", "ms:acme/tiny@v1.0.0", "ms.ai:acme/abroad", "hf:acme/tiny")
    assert run(["prefetch", *sets, "--config", config]) == 0

    def say(*arguments: str, code: int = 0) -> Any:
        capsys.readouterr()
        assert run([*arguments, "--config", config]) == code
        told = capsys.readouterr()
        return json.loads(told.out) if "--json" in arguments else told.out + told.err

    return say


def test_repos_of_both_hubs_and_sites_are_told_apart(cache: Callable[..., Any], hub: TestHub) -> None:
    listed = {repo["repo"]: repo for repo in cache("cache", "ls", "--json")}
    assert set(listed) == {"ms:acme/tiny", "ms.ai:acme/abroad", "hf:acme/tiny"}
    assert (listed["ms:acme/tiny"]["revisions"], listed["ms:acme/tiny"]["files"]) == (2, 18)
    assert len(cache("cache", "show", "ms:acme/tiny@v1.0.0", "--json")) == 9
    (readme,) = [e for e in cache("cache", "show", "ms.ai:acme/abroad", "--json") if "README" in e["files"][0]]
    assert readme["files"] == ["ms.ai:acme/abroad@master/README.md"]
    digest = hub.digest("acme/tiny", "old.bin")
    shared = cache("cache", "show", digest, "--json")
    assert [name.split("@")[0] for name in shared[0]["files"]] == ["hf:acme/tiny", "ms:acme/tiny", "ms:acme/tiny"]


def test_one_revision_is_pinned_and_removed_with_its_listing(cache: Callable[..., Any], hub: TestHub) -> None:
    pinned = cache("cache", "pin", "ms:acme/tiny@v1.0.0", "--json")
    assert len(pinned["blobs"]) == 9 + 1, "its files, and its listing"
    assert "is pinned" in cache("cache", "rm", "ms:acme/tiny@v1.0.0", code=1)
    cache("cache", "unpin", "ms:acme/tiny@v1.0.0")
    told = cache("cache", "rm", "ms:acme/tiny@v1.0.0", "--json")
    assert len(told["removed"]) == 1 and len(told["shared"]) == 8, "only its README is another"
    assert "nothing of it is here" in cache("cache", "show", "ms:acme/tiny@v1.0.0", code=1)
    assert len(cache("cache", "show", "ms:acme/tiny", "--json")) == 9
    hub.clear()
    assert "8 were here, 1 fetched" in cache("prefetch", "ms:acme/tiny@v1.0.0")
    assert hub.requests(path="/api/v1/models/acme/tiny/repo/files")


def test_a_whole_repo_is_removed_and_what_the_other_hub_has_stays(cache: Callable[..., Any], hub: TestHub) -> None:
    told = cache("cache", "rm", "ms:acme/tiny", "--json")
    assert len(told["shared"]) == 2, "old.bin and model.safetensors are Hugging Face's, too"
    assert cache("cache", "show", "hf:acme/tiny", "--json")
    hub.clear()
    cache("prefetch", "ms:acme/tiny")
    assert hub.bytes_sent(host="cdn-lfs*") == 0
