"""The invariants see what is wrong: each breach, made by hand, is told by its name."""

from __future__ import annotations

import hashlib
import os
import random
import sqlite3
from pathlib import Path

import pytest

from proxy_addon.store.contract import PIECE, Manifest
from proxy_addon.store.local import DiskStore
from tests.contracts.samples import MIB, content, fill
from tests.faults.invariants import audited, look
from tests.faults.surgeon import flip, truncate

LARGE, SMALL = content("large", 2 * PIECE + 5), content("small", 3000)


def named(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@pytest.fixture
async def cache(tmp_path: Path) -> Path:
    store = DiskStore(tmp_path / "cache", 256 * MIB, MIB)
    await store.open()
    for data in (LARGE, SMALL):
        await fill(store.blobs, named(data), data)
    await store.blobs.create(Manifest("begun", 2 * PIECE))
    await store.blobs.write_piece("begun", 1, LARGE[:PIECE])
    await store.close()
    return tmp_path / "cache"


def change(cache: Path, shelf: str, sql: str, *values: object) -> None:
    with sqlite3.connect(cache / shelf / "cache.db") as con:
        assert con.execute(sql, values).rowcount
    con.close()


def piece(cache: Path) -> Path:
    return max(cache.glob("pieces/??/*/*.val"), key=lambda path: (path.stat().st_size, path))


async def test_what_is_sound_is_called_so(cache: Path) -> None:
    found = look(cache).sound()
    assert (found.complete, found.partial, len(found.held)) == ({named(LARGE), named(SMALL)}, {"begun"}, 4)
    assert await audited(cache) == 0


async def test_bytes_that_are_not_what_they_were(cache: Path) -> None:
    flip(piece(cache), random.Random(1))
    assert len(look(cache).wrong) >= 1 and not look(cache).dangling
    with pytest.raises(AssertionError):
        await audited(cache)


async def test_a_blob_under_another_name(cache: Path) -> None:
    store = DiskStore(cache, 256 * MIB, MIB)
    await store.open()
    await fill(store.blobs, named(b"other"), SMALL)
    await store.close()
    assert "its digest is" in str(look(cache).wrong)


async def test_files_that_are_gone_or_short(cache: Path) -> None:
    truncate(piece(cache), random.Random(1))
    assert len(look(cache).dangling) == 1
    piece(cache).unlink()
    assert len(look(cache).dangling) >= 1


async def test_rows_without_their_blob(cache: Path) -> None:
    change(cache, "index", "DELETE FROM Cache WHERE key = ?", f"m:{named(LARGE)}")
    found = look(cache)
    assert len(found.dangling) == 3 and len(found.leftovers) == 3, "digests, and pieces"


async def test_digests_that_are_lost(cache: Path) -> None:
    change(cache, "index", "DELETE FROM Cache WHERE key = ?", f"u:{named(LARGE)}#000001")
    assert "no digests" in str(look(cache).wrong)


async def test_counts_that_are_off(cache: Path) -> None:
    change(cache, "pieces", "UPDATE Held SET bytes = bytes + 1 WHERE blob = 'begun'")
    change(cache, "index", "UPDATE Tally SET n = n + 1 WHERE tag = 'M'")
    assert len(look(cache).dangling) == 2


@pytest.mark.parametrize("name", ["probe.17", "FORMAT.17", "rules/0123456789ab/last-good.x", "pieces/a.tmp"])
async def test_files_that_nobody_names(cache: Path, name: str) -> None:
    os.makedirs((cache / name).parent, exist_ok=True)
    (cache / name).write_bytes(b"")
    assert look(cache).leftovers == [name]


async def test_a_file_that_no_row_names(cache: Path) -> None:
    stray = piece(cache).with_name("0" * 28 + ".val")
    stray.write_bytes(b"x")
    assert look(cache).sound(leftovers=True).leftovers == [stray.relative_to(cache).as_posix()]
    assert await audited(cache) == 1
    look(cache).sound()
