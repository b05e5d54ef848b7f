from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from proxy_addon.store import local
from proxy_addon.store.contract import PIECE
from proxy_addon.store.layout import RESERVE, lay_in
from proxy_addon.store.pieces import SETTLED
from proxy_addon.store.rows import BrokenRows
from proxy_addon.store.sweep import GRACE, UNFINISHED
from tests.engine.rig import until

from ..contracts.samples import MIB, content, fill, read_all
from .conftest import Clock, Opener


def files(root: Path) -> set[Path]:
    return set(root.glob("pieces/*/*/*.val"))


async def test_a_file_that_no_row_names_goes_when_it_is_old_enough(opened: Opener, root: Path, clock: Clock) -> None:
    store = await opened()
    await store.first_sweep
    manifest = await fill(store.blobs, "b", content("b", PIECE))
    named = files(root)
    with store._pieces.rows.change():
        stray = store._pieces.rows.disk.store(b"stray", False)[2]
    assert await store.sweep() == 0
    assert files(root) == named | {root / "pieces" / stray}
    clock.now += GRACE + 3600  # files have their times from the disk, which has gone on
    assert await store.sweep() == 1
    assert files(root) == named
    assert await read_all(store.blobs, manifest) == content("b", PIECE)


async def test_a_row_whose_file_is_gone_goes(opened: Opener, root: Path) -> None:
    store = await opened()
    await store.first_sweep
    await fill(store.blobs, "b", content("b", 2 * PIECE))
    os.unlink(min(files(root)))
    assert await store.sweep() == 1
    stats = await store.stats()
    assert (stats["pieces"], len(await store.blobs.present("b"))) == (1, 1)


async def test_pieces_of_a_blob_that_the_index_does_not_know_go(opened: Opener, root: Path) -> None:
    store = await opened()
    await store.first_sweep
    await fill(store.blobs, "b", content("b", PIECE))
    await fill(store.blobs, "c", content("c", PIECE))
    store._index.forget("b")
    assert await store.sweep() == 1
    assert len(files(root)) == 1
    assert await store.blobs.present("c") == {0}


async def test_what_nobody_finished_in_a_day_goes_unless_somebody_is_at_it(opened: Opener, clock: Clock) -> None:
    store = await opened()
    await store.first_sweep
    for name in ("left", "pinned", "sealed"):
        await fill(store.blobs, name, content(name, PIECE), seal=name == "sealed")
    store.blobs.pin("pinned")
    clock.now += UNFINISHED - 1
    assert await store.sweep() == 0
    await fill(store.blobs, "young", b"y", seal=False)
    clock.now += 2
    assert await store.sweep() == 2  # the blob, and its pieces
    await store.refresh()
    assert [line.manifest.blob for line in await store.blobs.listing()] == ["pinned", "sealed", "young"]
    assert (await store.stats())["pieces"] == 2


async def test_what_no_row_names_takes_room_and_goes_when_it_is_wanted(
    opened: Opener, root: Path, clock: Clock
) -> None:
    store = await opened(size=32 * MIB)
    await store.first_sweep
    for n in range(7):
        stray = store._pieces.rows.disk.store(content(f"stray{n}", PIECE), False)[2]
        assert (root / "pieces" / stray).exists()
    assert await store.sweep() == 0
    assert (await store.stats())["bytes"] > 7 * PIECE
    clock.now += SETTLED - 1
    with pytest.raises(OSError, match="cache is full"):
        await fill(store.blobs, "a", content("a", 2 * PIECE))
    assert len(files(root)) == 7
    clock.now += 2
    await fill(store.blobs, "a", content("a", 2 * PIECE))
    await fill(store.blobs, "b", content("b", 2 * PIECE))
    assert await store.blobs.present("a") == await store.blobs.present("b") == {0, 1}, "nothing was evicted for it"
    assert len(files(root)) < 11 and (await store.stats())["bytes"] <= 32 * MIB
    clock.now += GRACE
    await store.tend()
    assert len(files(root)) == 4
    store._pieces.rows.close()


async def test_what_has_been_given_its_row_meanwhile_stays(opened: Opener, root: Path, clock: Clock) -> None:
    store = await opened()
    await store.first_sweep
    manifest = await fill(store.blobs, "b", content("b", PIECE))
    ((name, size),) = store._pieces.rows.select("SELECT filename, size FROM Cache")
    store._pieces.rows.close()
    store._pieces.stray[name] = size, clock.now
    before = (await store.stats())["bytes"]
    clock.now += GRACE + 1
    await store.tend()
    assert (await store.stats())["bytes"] == before - size
    assert await read_all(store.blobs, manifest) == content("b", PIECE)


async def test_leftovers_are_looked_for_when_a_database_was_replaced(
    opened: Opener, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "LOOK_AROUND", 0.01)
    store = await opened()
    await store.first_sweep
    await fill(store.blobs, "b", content("b", PIECE))
    monkeypatch.setattr("proxy_addon.store.shelf.salvage", lambda source, into: 0)  # nothing of it is good
    await store._lanes.write(store._pieces.heal, BrokenRows(store._pieces.rows, "on purpose"))
    await until(lambda: store._pieces.stray_bytes() == PIECE, "the sweep")
    assert (await store.stats())["bytes"] > PIECE


async def test_the_reserve_is_laid_in_again_and_cached_bytes_make_way_for_it(
    opened: Opener, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await opened()
    await store.first_sweep
    await fill(store.blobs, "b", content("b", 2 * PIECE))
    (root / "reserve").unlink()
    tries = list[Path]()

    def full_once(at: Path) -> None:
        tries.append(at)
        if len(tries) == 1:
            raise OSError(errno.ENOSPC, "full")
        lay_in(at)

    monkeypatch.setattr(local, "lay_in", full_once)
    await store.tend()
    assert (root / "reserve").stat().st_size == RESERVE
    assert await store.blobs.present("b") == {0}
    await store.tend()
    assert len(tries) == 2
