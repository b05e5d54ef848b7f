"""`hubgate cache verify` and `hubgate cache quarantine` over a cache that was damaged on purpose."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proxy_addon.cli.main import run
from tests.faults.surgeon import flip
from tests.hub import TestHub
from tests.processes import configuration

type Say = Callable[..., Any]


@pytest.fixture
def config(tmp_path: Path, hub: TestHub) -> Path:
    """A configuration whose cache holds a model."""
    made = configuration(tmp_path, hub)
    assert run(["prefetch", "hf:acme/tiny", "--config", str(made)]) == 0
    return made


@pytest.fixture
def cache(config: Path, capsys: pytest.CaptureFixture[str]) -> Say:
    """(exit code, what it prints: the value with `--json`, else the text with what it says of errors)."""
    capsys.readouterr()

    def say(*arguments: str) -> tuple[int, Any]:
        code = run(["cache", *arguments, "--config", str(config)])
        told = capsys.readouterr()
        return code, json.loads(told.out) if "--json" in arguments else told.out + told.err

    return say


def piece(config: Path, size: int = 1_500_000) -> Path:
    return min(p for p in (config.parent / "cache/pieces").rglob("*.val") if p.stat().st_size == size)


def test_what_is_good_exits_0(cache: Say) -> None:
    code, told = cache("verify", "--json")
    assert (code, told["dropped"], told["found"], told["rows"], told["databases"]) == (0, [], [], 0, 0)
    assert told["blobs"] > 5 and told["bytes"] > 4_000_000
    assert cache("verify", "--repair")[0] == 0 and cache("quarantine", "ls", "--json") == (0, [])


def test_damage_is_told_and_left_or_repaired_and_shown(cache: Say, config: Path, hub: TestHub) -> None:
    flip(piece(config), random.Random(1))
    digest = hub.digest("acme/tiny", "old.bin")
    for _ in range(2):
        code, told = cache("verify", "--no-repair")
        assert code == 1 and "acme/tiny" in told and "1 piece left as found" in told
    code, told = cache("verify", "--repair", "--json")
    (found,) = told["found"]
    assert code == 1 and found["blob"] == f"sha256:{digest}" and found["piece"] == 0
    assert [(d["blob"], d["pieces"]) for d in told["dropped"]] == [(f"sha256:{digest}", [0])]
    assert cache("verify")[0] == 0
    code, (entry,) = cache("quarantine", "ls", "--json")
    assert (entry["by"], entry["expected"], entry["found"]) == ("verify", found["expected"], found["found"])
    assert entry["source"].endswith("/old.bin") or "?" not in entry["source"]
    assert f"sha256:{digest}" in cache("quarantine", "ls")[1] and entry["id"][-8:] in cache("quarantine", "ls")[1]
    code, told = cache("quarantine", "show", entry["id"][-8:], "--json")
    assert code == 0 and (Path(told["directory"]) / "000000").stat().st_size == 1_500_000
    assert found["expected"] in cache("quarantine", "show", entry["id"])[1]
    assert cache("quarantine", "restore", entry["id"]) == (
        1,
        f"{entry['id']} stays where it is: it is still not what was here before\n",
    )
    assert cache("quarantine", "rm", entry["id"]) == (0, "removed 1 of the quarantine, 1.5 MB\n")
    assert cache("quarantine", "ls", "--json") == (0, [])


def test_a_row_that_is_damaged_is_found(cache: Say, config: Path) -> None:
    with sqlite3.connect(config.parent / "cache/index/cache.db") as con:
        con.execute(
            "UPDATE Cache SET value = zeroblob(50) WHERE rowid = (SELECT min(rowid) FROM Cache WHERE tag = 'R')"
        )
    con.close()
    code, told = cache("verify")
    assert code == 1 and "damaged: 1 row of the index: dropped" in told
    assert cache("verify")[0] == 0


def test_a_broken_index_is_rebuilt_and_told(cache: Say, config: Path) -> None:
    before = cache("stats", "--json")[1]
    with sqlite3.connect(config.parent / "cache/index/cache.db") as con:
        con.execute("PRAGMA writable_schema = ON")
        con.execute("UPDATE sqlite_schema SET rootpage = 1 << 30 WHERE name = 'Cache_tag_access'")
    con.close()
    code, told = cache("verify", "--json")
    assert (code, told["databases"], told["found"]) == (1, 1, [])
    after = cache("stats", "--json")[1]
    assert {**after, "bytes": 0} == {**before, "bytes": 0}
    assert cache("verify")[0] == 0


def test_a_cache_that_cannot_be_read_exits_2(cache: Say, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from proxy_addon.store.local import DiskStore

    async def fails(self: DiskStore) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(DiskStore, "check_rows", fails)
    assert cache("verify") == (2, "the cache cannot be verified: [Errno 5] Input/output error\n")


@pytest.mark.parametrize("arguments", [["show", "0123abcd"], ["rm", "0123abcd"], ["restore", "../../index"]])
def test_what_is_not_there_exits_1(cache: Say, arguments: list[str]) -> None:
    assert cache("quarantine", *arguments) == (1, f"{arguments[1]}: nothing of that name is in the quarantine\n")


def test_rm_wants_names_or_all(cache: Say, config: Path) -> None:
    assert cache("quarantine", "rm")[0] == cache("quarantine", "rm", "x", "--all")[0] == 2
    flip(piece(config), random.Random(1))
    assert cache("verify")[0] == 1
    assert cache("quarantine", "rm", "--all") == (0, "removed 1 of the quarantine, 1.5 MB\n")
