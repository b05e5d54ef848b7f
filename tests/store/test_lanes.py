from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from proxy_addon.core.messages import Buffer
from proxy_addon.store.blobs import DiskBlobs, Pins
from proxy_addon.store.contract import PIECE, Manifest
from proxy_addon.store.index import Index
from proxy_addon.store.lanes import READERS, Lanes
from proxy_addon.store.local import DiskStore
from proxy_addon.store.responses import DiskResponses
from proxy_addon.store.room import Room
from proxy_addon.store.rows import BrokenRows
from proxy_addon.store.shelf import Shelf
from proxy_addon.store.verified import VerifiedPieces

from ..contracts.samples import MIB, content, fill, response
from ..engine.rig import until
from .conftest import Clock, Opener


class Late(Lanes):
    """What is read arrives only when the gate opens: a thread may be held up between the disk and the loop."""

    def __init__(self, *shelves: Index) -> None:
        super().__init__(*shelves)
        self.gate = asyncio.Event()
        self.has_read = asyncio.Event()

    async def read[T](self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        found = await super().read(work, *args, **kwargs)
        self.has_read.set()
        await asyncio.wait_for(self.gate.wait(), 60)
        return found


async def late(store: DiskStore) -> tuple[Late, DiskResponses, DiskBlobs]:
    lanes, room = Late(store._index), store._room
    parts = (store._index, store._pieces, room, lanes, store._memory, store._seen, Pins(), store.quarantine)
    return lanes, DiskResponses(store._index, room, lanes, store._memory, store._seen), DiskBlobs(*parts)


@pytest.mark.parametrize("what", ["put", "delete", "invalidate"])
async def test_a_lookup_that_was_overtaken_by_a_write_is_not_remembered(opened: Opener, what: str) -> None:
    lanes, responses, _ = await late(await opened())
    await responses.put("k", [response("old")])
    responses._memory.age()
    looking = asyncio.ensure_future(responses.get("k"))
    await lanes.has_read.wait()
    match what:
        case "put":
            await responses.put("k", [response("new")])
        case "delete":
            await responses.put("k", [])
        case "invalidate":
            await responses.invalidate("k")
    lanes.gate.set()
    assert await looking == (response("old"),)
    assert responses.peek("k") == ((response("new"),) if what == "put" else None)
    lanes.close()


async def test_a_manifest_that_was_overtaken_by_a_write_is_not_remembered(opened: Opener) -> None:
    store = await opened()
    lanes, _, blobs = await late(store)
    await fill(store.blobs, "b", b"x", seal=False)
    store._memory.age()
    looking = asyncio.ensure_future(blobs.manifest("b"))
    await lanes.has_read.wait()
    await blobs.seal("b", public=True)
    lanes.gate.set()
    old = await looking
    now = await blobs.manifest("b")
    assert old is not None
    assert now is not None
    assert (old.sealed, now.sealed) == (False, True)
    lanes.close()


async def test_a_cancelled_write_ends_with_its_write() -> None:
    lanes, gate, entered = Lanes(), threading.Event(), threading.Event()
    data = bytearray(b"lent")
    seen: list[bytes] = []

    def write() -> None:
        entered.set()
        assert gate.wait(60)
        seen.append(bytes(data))

    async def lend() -> None:
        try:
            await lanes.write_pieces(write)
        finally:
            data[:] = b"used"

    task = asyncio.ensure_future(lend())
    assert await asyncio.to_thread(entered.wait, 60)
    task.cancel()
    asyncio.get_running_loop().call_later(0.01, gate.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == [b"lent"]
    lanes.close()


class DroppingRoom(Room):
    """Somebody drops the blob just before its piece is written."""

    def spend[T](self, need: int, blob: str, work: Callable[[], T]) -> T:
        self._index.forget(blob)
        return super().spend(need, blob, work)


@pytest.mark.parametrize("size", [100, PIECE])
async def test_a_piece_of_a_blob_dropped_meanwhile_is_not_left_behind(opened: Opener, size: int) -> None:
    store = await opened()
    await fill(store.blobs, "b", content("b", size), seal=False)
    await store._lanes.write_pieces(store._pieces.drop, "b")
    room = DroppingRoom(store._index, store._pieces, 64 * MIB, lambda blob: False, lambda: None)
    pieces = VerifiedPieces(store._index, store._pieces, room, store.quarantine)
    with pytest.raises(FileNotFoundError):
        await store._lanes.write_pieces(pieces.write, "b", 0, content("b", size))
    assert (await store.stats())["pieces"] == 0
    assert await store.blobs.present("b") == set()


@pytest.mark.parametrize("way", ["condemn", "drop"])
@pytest.mark.parametrize("size", [100, PIECE])
async def test_what_is_still_being_written_goes_with_its_blob(opened: Opener, size: int, way: str) -> None:
    """Else wrong bytes would be on record of the blob that the next one makes under that name."""
    store = await opened()
    gate = threading.Event()
    await store.blobs.create(Manifest("b", size, validator='"v"'))

    async def away() -> None:
        await (store.blobs.drop("b") if way == "drop" else store.blobs.condemn("b", "found", {}))
        await store.blobs.create(Manifest("b", size, validator='"v"'))

    holding = asyncio.ensure_future(store._lanes.write_pieces(gate.wait, 60))
    writing = asyncio.ensure_future(store.blobs.write_piece("b", 0, content("wrong", size)))
    going = asyncio.ensure_future(away())
    await asyncio.wait((going,), timeout=0.3)  # as long as there is to wait if it is done without the pieces
    gate.set()
    await asyncio.gather(holding, going)
    await asyncio.gather(writing, return_exceptions=True)
    assert await store.blobs.present("b") == set()
    await store.blobs.write_piece("b", 0, content("right", size))


async def test_a_damaged_database_is_replaced_once_by_whoever_notices(tmp_path: Path, clock: Clock) -> None:
    one, two = Index(tmp_path / "index", clock), Index(tmp_path / "index", clock)
    for index in (one, two):
        index.open()
    broken, theirs = BrokenRows(one.rows, "test"), BrokenRows(two.rows, "test")
    one.heal(broken)
    one.put_responses("k", b"[]")
    one.heal(broken)
    two.heal(theirs)
    assert (one.generation, two.generation) == (2, 2)
    assert one.counts() == two.counts() == (1, 0)
    assert one.rows.inode == two.rows.inode
    assert len(list(tmp_path.glob("index.bad-*"))) == 1
    one.close()
    two.close()


async def test_a_row_whose_file_came_back_stays(opened: Opener) -> None:
    store = await opened()
    await fill(store.blobs, "b", content("b", PIECE))
    ((rowid, name),) = store._pieces.rows.select("SELECT rowid, filename FROM Cache")
    store._pieces.unname(rowid, name)
    assert await store.blobs.present("b") == {0}
    store._pieces.rows.close()


async def test_a_write_that_nobody_waits_for_fails_in_silence(tmp_path: Path) -> None:
    loop, lanes = asyncio.get_running_loop(), Lanes()
    told, started, gate = list[dict[str, Any]](), threading.Event(), threading.Event()
    loop.set_exception_handler(lambda _, context: told.append(context))

    def work() -> None:
        started.set()
        assert gate.wait(30)
        raise OSError("the blob is gone")

    writing = asyncio.create_task(lanes.write(work))
    await asyncio.to_thread(started.wait, 30)
    writing.cancel()
    loop.call_later(0.05, gate.set)
    with pytest.raises(asyncio.CancelledError):
        await writing
    del writing
    gc.collect()
    await asyncio.sleep(0)
    lanes.close()
    assert told == []


class Connections(Shelf):
    """Tells which threads have closed theirs, and whether two did so at once."""

    def __init__(self, broken: str = "") -> None:
        self.closed, self.together, self._broken = SimpleQueue[str](), False, broken
        self._one, self._never = threading.Lock(), threading.Event()

    def close(self) -> None:
        name = threading.current_thread().name
        if self._one.acquire(blocking=False):
            self._never.wait(0.02)  # time for another to come
            self._one.release()
        else:
            self.together = True
        self.closed.put(name)
        if name == self._broken:
            raise OSError("on purpose")


async def in_use(lanes: Lanes, readers: int) -> None:
    """So many threads have read something."""
    together = threading.Barrier(readers)
    await asyncio.gather(*(lanes.read(together.wait, 60) for _ in range(readers)))


@pytest.mark.parametrize("broken", ["", "store-read_2"])
async def test_each_thread_closes_its_connections_alone(broken: str) -> None:
    """Also one that is still at work, and whether or not another can."""
    shelf, gate = Connections(broken), threading.Event()
    lanes = Lanes(shelf)
    await asyncio.gather(lanes.write(int), lanes.write_pieces(int))
    await in_use(lanes, READERS)
    working = lanes.submit(gate.wait, 60)
    closing = asyncio.create_task(asyncio.to_thread(lanes.close))
    closed = [await asyncio.to_thread(shelf.closed.get, timeout=60) for _ in range(READERS + 1)]  # all but that one
    gate.set()
    await closing
    closed += [shelf.closed.get_nowait() for _ in range(shelf.closed.qsize())]
    readers = [f"store-read_{number}" for number in range(READERS)]
    assert sorted(closed) == ["store-index_0", "store-pieces_0", *readers]
    assert working.result() and not shelf.together


@pytest.mark.parametrize("readers", range(1, READERS))
async def test_the_end_waits_for_no_thread_that_was_never_begun(readers: int) -> None:
    """A thread of `concurrent.futures` that is given work between its look for some and its count as idle is counted
    so all the same. While such counts are left no other is begun."""
    shelf = Connections()
    lanes = Lanes(shelf)
    await in_use(lanes, readers)
    for _ in range(READERS):
        lanes._readers._idle_semaphore.release()
    await asyncio.to_thread(lanes.close)
    closed = {shelf.closed.get_nowait() for _ in range(shelf.closed.qsize())}
    assert {name for name in closed if "read" in name} == {f"store-read_{number}" for number in range(readers)}


@pytest.mark.parametrize("lane", ["write", "write_pieces"])
async def test_what_could_not_be_written_is_not_held_by_the_fault(lane: str) -> None:
    class Lent(bytearray):
        pass

    def refuses(data: Buffer) -> None:
        raise OSError("no space left")

    async def written() -> weakref.ref[Lent]:
        data = Lent(PIECE)
        with pytest.raises(OSError, match="no space left"):
            await getattr(lanes, lane)(refuses, memoryview(data))
        return weakref.ref(data)

    lanes = Lanes()
    gc.disable()
    try:
        found = await written()
        await until(lambda: found() is None, "the end of what was lent")
    finally:
        gc.enable()
        lanes.close()
