"""`hubgate cache` over what `hubgate prefetch` brought, in one process with the tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy_addon.cli.main import run
from proxy_addon.cli.output import shown
from tests.hub import TestHub
from tests.processes import configuration

type Say = Callable[..., Any]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, shared_hub: TestHub) -> Iterator[Path]:
    """A configuration whose cache holds a model at two revisions, and a dataset that is pinned."""
    config = configuration(tmp_path_factory.mktemp("filled"), shared_hub)
    for arguments in (["hf:acme/tiny", "hf:acme/tiny@v1"], ["--type", "dataset", "hf:acme/tiny-ds", "--pin"]):
        assert run(["prefetch", *arguments, "--config", str(config)]) == 0
    yield config


@pytest.fixture
def cache(filled: Path, capsys: pytest.CaptureFixture[str]) -> Say:
    """What a command prints: its text, or with `--json` the value. `code` is the exit code."""
    capsys.readouterr()

    def say(*arguments: str, code: int = 0) -> Any:
        assert run(["cache", *arguments, "--config", str(filled)]) == code
        told = capsys.readouterr()
        if code:
            return told.err if not told.out else told.out
        return json.loads(told.out) if "--json" in arguments else told.out

    return say


def test_repos_are_listed_with_sizes(cache: Say, shared_hub: TestHub) -> None:
    tiny, dataset = cache("ls", "--json")
    assert tiny["repo"] == "hf:acme/tiny" and (tiny["revisions"], tiny["files"], tiny["pinned"]) == (2, 18, 0)
    repo = shared_hub.repo("acme/tiny")
    blobs = {file.digest: file.size for commit in repo.commits.values() for file in commit.files.values()}
    assert tiny["bytes"] == tiny["held"] == sum(blobs.values())
    assert dataset["repo"] == "hf:datasets/acme/tiny-ds" and dataset["pinned"] == 3
    lines = cache("ls").splitlines()
    assert lines[0].split() == ["repo", "revisions", "files", "size", "here", "pinned"]
    assert lines[1].split() == ["hf:acme/tiny", "2", "18", "4.5", "MB", "4.5", "MB"]
    assert lines[2].endswith(" yes") and lines[3].startswith("(listings, other hosts)")


def test_a_repo_and_a_blob_are_shown(cache: Say, shared_hub: TestHub) -> None:
    digest = shared_hub.digest("acme/tiny", "model.safetensors")
    text = cache("show", "hf:acme/tiny@v1")
    assert len(text.splitlines()) == 10 and f"sha256:{digest}" in text
    (one,) = [entry for entry in cache("show", "hf:acme/tiny", "--json") if entry["bytes"] == 3_000_000]
    assert one["complete"] and one["public"] and len(one["files"]) == 2
    assert cache("show", digest, "--json") == [one] == cache("show", f"sha256:{digest}", "--json")
    assert "3.0 MB (3000000 bytes)" in cache("show", digest) and one["files"][0] in cache("show", digest)
    assert f"sha256:{digest}" in cache("ls", "--blobs") and one in cache("ls", "--blobs", "--json")


@pytest.mark.parametrize("command", ["show", "pin", "unpin", "rm", "verify"])
@pytest.mark.parametrize("name", ["hf:acme/nope", "hf:acme/tiny@gone", "sha256:00", "ms:acme/tiny"])
def test_what_is_not_here_exits_1(cache: Say, command: str, name: str) -> None:
    assert cache(command, name, code=1) == f"{name}: nothing of it is here\n"


def test_a_repo_without_its_hub_is_told_how_it_is_written(cache: Say) -> None:
    told = cache("show", "acme/tiny", code=1)
    assert told == "acme/tiny: nothing of it is here; a repo is written hf:acme/tiny or ms:acme/tiny\n"


@pytest.mark.parametrize(
    "arguments", [["show", "hf:a/b/c"], ["pin"], ["ls", "x"], ["verify", "hf:"], ["rm", "hf:a@.."]]
)
def test_wrong_use_exits_2(cache: Say, arguments: list[str]) -> None:
    assert "hf:org/name" in (told := cache(*arguments, code=2)) or "revision" in told or "rgument" in told


def test_pins_hold_listings_too_and_protect_from_removal(cache: Say) -> None:
    pinned = cache("pin", "hf:acme/tiny@v1", "--json")
    assert len([blob for blob in pinned["blobs"] if blob.startswith("sha256:")]) > 2, "two files, and listings"
    assert cache("stats", "--json")["pinned"] >= len(pinned["blobs"])
    assert "is pinned" in cache("rm", "hf:acme/tiny@v1", code=1)
    assert cache("unpin", "hf:acme/tiny@v1") == "unpinned 9 blobs, 4.5 MB\n"
    assert not any(entry["pinned"] for entry in cache("show", "hf:acme/tiny", "--json"))


def test_stats(cache: Say) -> None:
    told = cache("stats", "--json")
    assert told["limit"] == 4_000_000_000 and told["repos"] == 2 and told["incomplete"] == 0
    assert 4_500_000 < told["bytes"] < 6_000_000 and told["pinned_bytes"] > 256
    assert "limit         4.0 GB" in cache("stats")


def test_damage_is_found_dropped_and_mended(cache: Say, filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cache("verify").endswith(": 0 damaged\n")
    (piece,) = [p for p in (filled.parent / "cache/pieces").rglob("*") if p.is_file() and p.stat().st_size == 1_500_000]
    data = bytearray(piece.read_bytes())
    data[700_000] ^= 1
    piece.write_bytes(data)
    assert run(["cache", "verify", "hf:acme/tiny", "--json", "--config", str(filled)]) == 1
    (dropped,) = json.loads(capsys.readouterr().out)["dropped"]
    assert dropped["pieces"] == [0] and all(name.endswith("/old.bin") for name in dropped["files"])
    assert cache("stats", "--json")["incomplete"] == 1
    (old,) = [entry for entry in cache("show", "hf:acme/tiny", "--json") if entry["bytes"] == 1_500_000]
    assert not old["complete"] and old["held"] == 0
    assert "damaged" not in cache("verify").splitlines()[0].removesuffix("0 damaged")
    assert run(["prefetch", "hf:acme/tiny", "--config", str(filled)]) == 0
    assert "1 fetched (1.5 MB)" in capsys.readouterr().out
    assert cache("stats", "--json")["incomplete"] == 0


def test_removal_leaves_what_others_have(cache: Say, filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = cache("rm", "hf:acme/tiny@v1", "--json")
    assert len(told["removed"]) == 1 and len(told["shared"]) == 8
    assert [repo["revisions"] for repo in cache("ls", "--json")] == [1, 1]
    assert cache("rm", "hf:acme/tiny").startswith("removed 9 blobs, 4.5 MB")
    assert [repo["repo"] for repo in cache("ls", "--json")] == ["hf:datasets/acme/tiny-ds"]
    cache("show", "hf:acme/tiny", code=1)
    digest = cache("show", "hf:datasets/acme/tiny-ds", "--json")[0]["blob"]
    cache("unpin", digest)
    assert cache("rm", digest).startswith("removed 1 blobs")
    assert run(["prefetch", "hf:datasets/acme/tiny-ds", "hf:acme/tiny", "--config", str(filled)]) == 0
    assert "2 were here, 10 fetched" in capsys.readouterr().out


def test_nothing_reaches_the_terminal_that_it_would_obey() -> None:
    assert shown("a\x1b[31mb\r\u202ec é") == "a?[31mb??c é"
