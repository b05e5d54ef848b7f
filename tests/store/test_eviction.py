from __future__ import annotations

import errno

import pytest

from proxy_addon.store.contract import PIECE, Manifest, PieceMissing
from proxy_addon.store.local import DiskStore
from proxy_addon.store.room import Room

from ..contracts.samples import MIB, content, fill, read_all, response
from .conftest import Clock, Opener

SIZE = 33 * MIB  # eight pieces and the databases


async def held(store: DiskStore, *blobs: str) -> list[int]:
    return [len(await store.blobs.present(blob)) for blob in blobs]


async def test_the_blob_longest_not_asked_for_goes_first_and_no_more_than_needed(opened: Opener, clock: Clock) -> None:
    store = await opened(SIZE)
    for name in "abcd":
        clock.now += 10
        await fill(store.blobs, name, content(name, 2 * PIECE))
    clock.now += 10
    assert await held(store, *"abcd") == [2, 2, 2, 2]
    store.blobs.reader(Manifest("a", 2 * PIECE)).close()
    clock.now += 10
    await fill(store.blobs, "e", content("e", 1 * PIECE))
    assert await held(store, *"abcde") == [2, 1, 2, 2, 1]
    await fill(store.blobs, "f", content("f", 2 * PIECE))
    assert await held(store, *"abcdef") == [2, 0, 1, 2, 1, 2]
    stats = await store.stats()
    assert stats["bytes"] <= stats["limit"] == SIZE
    assert stats["evicted"] == 3


async def test_an_evicted_piece_must_come_back_as_it_was(opened: Opener) -> None:
    store = await opened(SIZE)
    data = content("a", 3 * PIECE)
    manifest = await fill(store.blobs, "a", data)
    await fill(store.blobs, "b", content("b", 6 * PIECE))
    assert await store.blobs.present("a") == {0, 1}
    with pytest.raises(PieceMissing):
        await read_all(store.blobs, manifest)
    await store.blobs.drop("b")
    with pytest.raises(Exception, match="piece 2 differs"):
        await store.blobs.write_piece("a", 2, bytes(PIECE))
    await store.blobs.write_piece("a", 2, data[2 * PIECE :])
    assert await read_all(store.blobs, manifest) == data


async def test_what_is_pinned_stays_and_what_cannot_fit_evicts_nothing(opened: Opener) -> None:
    store = await opened(SIZE)
    for name in "abc":
        await fill(store.blobs, name, content(name, 2 * PIECE))
    reader = store.blobs.reader(await store.blobs.manifest("a"))
    store.blobs.pin("b")
    store.blobs.pin("b")
    store.blobs.unpin("b")
    await store.blobs.keep_all(("c",), True)
    await store.blobs.create(Manifest("d", 4 * PIECE))
    await store.blobs.write_piece("d", 0, bytes(PIECE))
    await store.blobs.write_piece("d", 1, bytes(PIECE))
    before = await store.stats()
    with pytest.raises(OSError) as full:
        await store.blobs.write_piece("d", 2, bytes(PIECE))
    assert full.value.errno == errno.ENOSPC
    assert await store.stats() == before
    reader.close()
    await store.blobs.write_piece("d", 2, bytes(PIECE))
    store.blobs.unpin("b")
    await store.blobs.write_piece("d", 3, bytes(PIECE))
    assert await held(store, *"abcd") == [0, 2, 2, 4]


async def test_what_a_person_keeps_is_kept_after_a_restart(opened: Opener) -> None:
    store = await opened(SIZE)
    await fill(store.blobs, "kept", content("kept", 2 * PIECE))
    await store.blobs.keep_all(("kept",), True)
    await store.close()
    store = await opened(SIZE)
    await fill(store.blobs, "b", content("b", 5 * PIECE))
    await fill(store.blobs, "c", content("c", 5 * PIECE))
    assert await held(store, "kept", "b", "c") == [2, 1, 5]
    assert [(line.manifest.blob, line.held, line.kept) for line in await store.blobs.listing()] == [
        ("b", PIECE, False),
        ("c", 5 * PIECE, False),
        ("kept", 2 * PIECE, True),
    ]
    await store.blobs.keep_all(("kept",), False)
    await fill(store.blobs, "d", content("d", 8 * PIECE))
    assert await held(store, "kept") == [0]


async def test_the_index_has_a_quarter_and_gives_up_what_is_oldest(opened: Opener, clock: Clock) -> None:
    store = await opened(SIZE)
    await fill(store.blobs, "blob", content("blob", PIECE))
    await fill(store.blobs, "small", content("small", 30_000))
    url = "x" * 60_000
    for number in range(200):
        clock.now += 1
        await store.responses.put(f"k{number}", [response(url)])
    stats = await store.stats()
    assert stats["bytes"] <= SIZE * 0.4
    assert 100 < stats["responses"] < 150
    store_again = await opened(SIZE)
    assert await store_again.responses.get("k0") == ()
    assert await store_again.responses.get("k199") == (response(url),)
    assert await store_again.blobs.manifest("blob") is None
    assert (await store_again.stats())["pieces"] == 0


async def test_a_full_disk_is_met_by_evicting_once(opened: Opener) -> None:
    store = await opened(SIZE)
    await fill(store.blobs, "a", content("a", 3 * PIECE))
    room: Room = store._room
    tries = 0

    def write() -> str:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise OSError(errno.ENOSPC, "no space on the device")
        return "written"

    assert room.spend(PIECE, "other", write) == "written"
    assert await held(store, "a") == [2]

    def never() -> None:
        raise OSError(errno.ENOSPC, "no space on the device")

    with pytest.raises(OSError):
        room.spend(PIECE, "other", never)
    assert await held(store, "a") == [1]
    with pytest.raises(OSError):
        room.spend(2 * PIECE, "a", never)
    assert await held(store, "a") == [1]
