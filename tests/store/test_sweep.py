from __future__ import annotations

import os
from pathlib import Path

from proxy_addon.store.contract import PIECE
from proxy_addon.store.sweep import GRACE, UNFINISHED

from ..contracts.samples import content, fill, read_all
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
    clock.now += GRACE + 1
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
