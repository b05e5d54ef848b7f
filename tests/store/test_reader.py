from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import random
import resource
import threading
from pathlib import Path

import pytest

from proxy_addon.store.contract import PIECE, UNIT, Manifest, PieceMissing
from proxy_addon.store.lanes import READERS
from proxy_addon.store.reader import Buffers, DiskReader
from proxy_addon.store.verified import OpenPiece, VerifiedPieces

from ..contracts.samples import content, fill, read_all
from .conftest import Opener

SIZE = 3 * PIECE + UNIT + 77


def files(root: Path) -> list[Path]:
    return sorted(root.glob("pieces/*/*/*.val"))


def piece_file(root: Path, data: bytes) -> Path:
    """The file that holds just these bytes."""
    (found,) = (path for path in files(root) if path.read_bytes() == data)
    return found


def spoil(path: Path, at: int, byte: bytes = b"\0") -> None:
    with path.open("r+b") as file:
        file.seek(at)
        old = file.read(1)
        file.seek(at)
        file.write(bytes([old[0] ^ 0xFF]) if byte == b"\0" else byte)


def forget_page_cache(root: Path) -> None:
    """Make the next read wait for the disk, where the file system lets us."""
    for path in files(root):
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


def open_files() -> list[str]:
    found = []
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the one that lists them
            found.append(os.readlink(f"/proc/self/fd/{fd}"))
    return found


def open_pieces() -> list[str]:
    return [path for path in open_files() if ".val" in path]


@pytest.mark.fault("R2")
async def test_bytes_without_their_digests_are_not_there(opened: Opener) -> None:
    """As a write that was killed between the two leaves them; to open such a piece of a sealed blob would forget it."""
    store = await opened()
    data = content("b", SIZE)
    manifest = await store.blobs.create(Manifest("b", SIZE, validator='"v"'))
    await store.blobs.write_piece("b", 0, data[:PIECE])
    pieces = store.blobs.pieces
    pieces._pieces.put("b", 1, data[PIECE : 2 * PIECE])
    assert await store.blobs.present("b") == {0}
    with pytest.raises(PieceMissing):
        pieces.open(manifest, 1)
    await store.blobs.write_piece("b", 1, data[PIECE : 2 * PIECE])
    assert await store.blobs.present("b") == {0, 1}
    assert await read_all(store.blobs, manifest, 0, 2 * PIECE) == data[: 2 * PIECE]


@pytest.mark.parametrize("warm", [True, False])
async def test_any_order_of_reads_gives_the_bytes(opened: Opener, root: Path, warm: bool) -> None:
    store = await opened()
    data = content("b", SIZE)
    manifest = await fill(store.blobs, "b", data)
    if not warm:
        forget_page_cache(root)
    reader, rnd = store.blobs.reader(manifest), random.Random(5)
    for _ in range(60):
        start = rnd.randrange(SIZE)
        end = rnd.randint(start + 1, min(SIZE, start + rnd.choice([10, UNIT, 2 * PIECE])))
        at = start
        while at < end and rnd.random() < 0.9:
            part = await reader.read(at, end)
            assert bytes(part) == data[at : at + len(part)]
            at += len(part)
    reader.close()


async def test_readers_use_two_descriptors_and_give_them_back(opened: Opener) -> None:
    store = await opened()
    data = content("b", SIZE)
    manifest = await fill(store.blobs, "b", data)
    readers = [store.blobs.reader(manifest) for _ in range(10)]
    at = 0
    while at < SIZE:
        parts = [await reader.read(at, SIZE) for reader in readers]
        assert {bytes(part) for part in parts} == {data[at : at + len(parts[0])]}
        at += len(parts[0])
        assert len(open_pieces()) <= 2 * len(readers)
    for reader in readers:
        reader.close()
    assert open_pieces() == []


async def test_a_reader_cancelled_or_closed_at_any_point_leaks_and_spoils_nothing(opened: Opener, root: Path) -> None:
    store, rnd = await opened(), random.Random(7)
    data = content("b", SIZE)
    manifest = await fill(store.blobs, "b", data)
    for round_ in range(40):
        forget_page_cache(root)
        reader = store.blobs.reader(manifest)
        start = rnd.randrange(SIZE - 1)
        task = asyncio.ensure_future(reader.read(start, SIZE))
        for _ in range(rnd.randrange(4)):
            await asyncio.sleep(0)
        if round_ % 2:
            task.cancel()
        else:
            reader.close()
        await asyncio.gather(task, return_exceptions=True)
        if round_ % 4 == 1:
            part = await reader.read(start, SIZE)
            assert bytes(part) == data[start : start + len(part)]
        reader.close()
    assert await read_all(store.blobs, manifest) == data
    await store.close()
    assert open_pieces() == []
    assert not store._pins.counted


async def test_a_reader_closed_while_its_file_is_being_opened_closes_the_file(opened: Opener) -> None:
    store = await opened()
    manifest = await fill(store.blobs, "b", content("b", SIZE))
    gate = threading.Event()
    held = [store._lanes.submit(gate.wait, 60) for _ in range(READERS)]
    reader = store.blobs.reader(manifest)
    task = asyncio.ensure_future(reader.read(0, SIZE))
    await asyncio.sleep(0)
    reader.close()
    gate.set()
    with pytest.raises(ValueError, match="closed"):
        await task
    assert [job.result() for job in held] == [True] * READERS
    assert open_pieces() == []


class Gated(OpenPiece):
    """Its thread stays in `fill` until the gate opens."""

    def fill(self, buffer: memoryview, offset: int) -> bool:
        entered.set()
        assert gate.wait(60)
        buffer[:] = b"\xff" * len(buffer)
        os.fstat(self.fd)
        return True


entered, gate = threading.Event(), threading.Event()


class Gate(VerifiedPieces):
    def open(self, manifest: Manifest, number: int, *, ahead: bool = True) -> OpenPiece:
        piece = super().open(manifest, number, ahead=ahead)
        empty = os.open("/dev/null", os.O_RDONLY)  # no unit comes from it at once
        os.dup2(empty, piece.fd)
        os.close(empty)
        return Gated(piece.number, piece.size, piece.digests, piece.name, piece.fd)


@pytest.mark.parametrize("how", ["cancel", "close"])
async def test_a_buffer_that_a_thread_still_fills_is_nobody_elses(opened: Opener, how: str) -> None:
    store, buffers = await opened(), Buffers()
    manifest = await fill(store.blobs, "b", content("b", SIZE))
    entered.clear()
    gate.clear()
    pieces = Gate(store._index, store._pieces, store._room, store.quarantine)
    reader = DiskReader(manifest, pieces, store._lanes, buffers, None, lambda data: None, lambda: None)
    task = asyncio.ensure_future(reader.read(0, SIZE))
    assert await asyncio.to_thread(entered.wait, 60)
    if how == "cancel":
        task.cancel()
        await asyncio.wait((task,))
    reader.close()
    mine = buffers.take()
    gate.set()
    with pytest.raises((asyncio.CancelledError, ValueError)):
        await task
    await store.close()
    assert mine == bytes(UNIT)


@pytest.mark.parametrize("warm", [True, False])
@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "gone", "longer name"])
async def test_a_damaged_piece_is_dropped_and_can_be_written_again(
    opened: Opener, root: Path, damage: str, warm: bool
) -> None:
    store = await opened()
    data = content("b", SIZE)
    manifest = await fill(store.blobs, "b", data)
    path = piece_file(root, data[PIECE : 2 * PIECE])
    match damage:
        case "flip":
            spoil(path, 3 * UNIT + 5)
        case "cut":
            os.truncate(path, 3 * UNIT + 5)
        case "empty":
            os.truncate(path, 0)
        case "gone":
            path.unlink()
        case "longer name":
            path.rename(path.with_name("x" + path.name))
    if not warm:
        forget_page_cache(root)
    with pytest.raises(PieceMissing) as missing:
        await read_all(store.blobs, manifest)
    assert missing.value.index == 1
    assert await store.blobs.present("b") == {0, 2, 3}
    await store.blobs.write_piece("b", 1, data[PIECE : 2 * PIECE])
    assert await read_all(store.blobs, manifest) == data
    assert (await store.stats())["damaged"] == (damage in ("flip", "cut", "empty"))


async def test_fifty_readers_of_a_damaged_piece_cause_one_repair(opened: Opener, root: Path) -> None:
    store = await opened()
    data = content("b", 2 * PIECE)
    manifest = await fill(store.blobs, "b", data)
    spoil(piece_file(root, data[PIECE:]), 17)
    repairs: list[asyncio.Task[None]] = []

    async def served() -> bytes:
        reader, out = store.blobs.reader(manifest), bytearray()
        while len(out) < manifest.size:
            try:
                out += await reader.read(len(out), manifest.size)
            except PieceMissing as missing:
                if missing.index not in await store.blobs.present("b"):
                    if not repairs:
                        repairs.append(asyncio.ensure_future(store.blobs.write_piece("b", 1, data[PIECE:])))
                    await repairs[0]
        reader.close()
        return bytes(out)

    assert set(await asyncio.gather(*(served() for _ in range(50)))) == {data}
    stats = await store.stats()
    assert (stats["damaged"], len(repairs)) == (1, 1)


async def test_what_cannot_be_looked_up_is_missing(opened: Opener) -> None:
    """Without a descriptor no thread can open the index."""
    manifest = await fill((await opened()).blobs, "b", content("b", SIZE))
    fresh = await opened()
    reader = fresh.blobs.reader(manifest)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        with pytest.raises(PieceMissing):
            await reader.read(0, SIZE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    reader.close()
    assert await read_all(fresh.blobs, manifest) == content("b", SIZE)


async def test_a_damaged_piece_that_cannot_be_dropped_is_missing_all_the_same(
    opened: Opener, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await opened()
    manifest = await fill(store.blobs, "b", data := content("b", SIZE))
    spoil(piece_file(root, data[:PIECE]), 5)

    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, "read-only")

    with monkeypatch.context() as disk:
        disk.setattr(store.blobs.pieces, "reject", refuse)
        for _ in range(2):
            with pytest.raises(PieceMissing):
                await read_all(store.blobs, manifest)
    with pytest.raises(PieceMissing):
        await read_all(store.blobs, manifest)
    await store.blobs.write_piece("b", 0, data[:PIECE])
    assert await read_all(store.blobs, manifest) == data


async def test_a_small_damaged_blob_is_dropped_too(opened: Opener) -> None:
    store = await opened()
    manifest = await fill(store.blobs, "b", b"hello")
    with store._index.rows.change() as change:
        change.set("b:b", b"jello", "B")
    with pytest.raises(PieceMissing):
        await read_all(store.blobs, manifest)
    assert await store.blobs.present("b") == set()
    await store.blobs.write_piece("b", 0, b"hello")
    assert await read_all(store.blobs, manifest) == b"hello"


@pytest.mark.parametrize("by", ["reading", "writing"])
async def test_a_sealed_blob_that_lost_digests_is_forgotten(opened: Opener, by: str) -> None:
    store = await opened()
    manifest = await fill(store.blobs, "b", content("b", PIECE))
    with store._index.rows.change() as change:
        change.delete("tag = 'U'", ())
    if by == "reading":
        with pytest.raises(PieceMissing):
            await read_all(store.blobs, manifest)
    else:
        with pytest.raises(FileNotFoundError):
            await store.blobs.write_piece("b", 0, content("b", PIECE))
    stats = await store.stats()
    assert (stats["blobs"], stats["pieces"]) == (0, 0)


async def test_a_follower_reads_behind_the_writer(opened: Opener) -> None:
    store = await opened()
    data = content("b", SIZE)
    manifest = await store.blobs.create(Manifest("b", SIZE))
    written = asyncio.Condition()

    async def follow() -> bytes:
        reader, out = store.blobs.reader(manifest), bytearray()
        while len(out) < SIZE:
            async with written:
                while len(out) // PIECE not in landed:
                    await written.wait()
            out += await reader.read(len(out), SIZE)
        reader.close()
        return bytes(out)

    landed: set[int] = set()
    followers = [asyncio.ensure_future(follow()) for _ in range(3)]
    for index in (1, 0, 3, 2):
        await store.blobs.write_piece("b", index, data[index * PIECE : (index + 1) * PIECE])
        async with written:
            landed.add(index)
            written.notify_all()
    assert set(await asyncio.gather(*followers)) == {data}


async def test_a_drop_does_not_disturb_what_is_open(opened: Opener) -> None:
    store = await opened()
    data = content("b", PIECE)
    manifest = await fill(store.blobs, "b", data)
    reader = store.blobs.reader(manifest)
    out = bytearray(await reader.read(0, PIECE))
    await store.blobs.drop("b")
    while len(out) < PIECE:
        out += await reader.read(len(out), PIECE)
    reader.close()
    assert bytes(out) == data


async def test_small_sealed_blobs_are_in_memory_once_read(opened: Opener) -> None:
    store = await opened()
    for name, size, kept in [("s", 100, True), ("m", 64 * 1024, True), ("l", 64 * 1024 + 1, False)]:
        manifest = await fill(store.blobs, name, content(name, size))
        assert store.blobs.peek(name) is None
        await read_all(store.blobs, manifest, size // 2)
        assert (store.blobs.peek(name) == content(name, size)) is kept
        assert await read_all(store.blobs, manifest, 1) == content(name, size)[1:]
    partial = await fill(store.blobs, "p", b"partial", seal=False)
    assert await read_all(store.blobs, partial) == b"partial"
    assert store.blobs.peek("p") is None
