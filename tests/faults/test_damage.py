"""Bytes on the disk change under a proxy: what clients get is right, and what is broken is mended."""

from __future__ import annotations

import asyncio
import random
import threading
from pathlib import Path
from typing import Any

import pytest

from proxy_addon.fetch.pieces import Pieces
from proxy_addon.store.contract import PIECE, Manifest
from tests.conftest import Starter
from tests.engine.rig import Rig
from tests.faults.surgeon import CUTS, flip, truncate, zero
from tests.hub import Repo, Synthetic, TestHub

H = "https://huggingface.co"
PATHS = ("a.bin", "b.bin", "c.json", "d.txt")


@pytest.fixture
def right(hub: TestHub) -> dict[str, bytes]:
    """{path: bytes} of a repo: files of several pieces, and small ones."""
    files: dict[str, bytes | Synthetic] = {
        "a.bin": Synthetic(9_000_000, 1),
        "b.bin": Synthetic(70_000, 2),
        "c.json": b'{"x": 1}',
        "d.txt": b"y" * 20_000,
    }
    repo = hub.add(Repo("acme/hurt", "model", files=files, storage={"a.bin": "lfs", "b.bin": "lfs"}))
    return {path: (f := repo.file(path)).source.read(0, f.size) for path in PATHS}


async def all_of(r: Rig, right: dict[str, bytes]) -> None:
    """Every file, twice: as it comes, and as it is here then."""
    for _ in range(2):
        for path, data in right.items():
            got = await r.get(f"{H}/acme/hurt/resolve/main/{path}")
            assert (got.status, got.cut) == (200, False) and got.body == data
        await r.idle()


def pieces(cache: Path) -> list[Path]:
    return sorted(cache.glob("pieces/??/*/*.val"))


@pytest.mark.fault("R4", tries=4)
@pytest.mark.parametrize("cut", CUTS)
async def test_damaged_pieces_are_fetched_again(
    hub: TestHub, start: Starter, tmp_path: Path, right: dict[str, bytes], cut: str
) -> None:
    r = await start(cache__memory=0)
    await all_of(r, right)
    for n, file in enumerate(pieces(tmp_path / "cache")):
        CUTS[cut](file, random.Random(n))
    hub.clear()
    await all_of(r, right)
    assert hub.bytes_sent() >= 9_000_000, "all pieces were damaged"
    hub.clear()
    for blob in [blob async for blob in r.kept()]:
        assert await r.parts.store.blobs.examine(blob, "verify") == []
    await all_of(r, right)
    assert hub.bytes_sent() < 100_000, "and are whole again"


@pytest.mark.fault("R4", tries=4)
@pytest.mark.parametrize("seed", range(12))
async def test_random_damage_everywhere(start: Starter, tmp_path: Path, right: dict[str, bytes], seed: int) -> None:
    rnd = random.Random(seed)
    print("seed", seed)
    r = await start(cache__memory=0)
    await all_of(r, right)
    if seed % 3:
        await r.close()
    cache = tmp_path / "cache"
    targets = [cache / "index/cache.db", cache / "pieces/cache.db", *cache.glob("*/cache.db-wal"), *pieces(cache)]
    for file in rnd.sample(targets, k=min(len(targets), 4)):
        for _ in range(rnd.choice((1, 10, 100))):
            size = file.stat().st_size
            if size:
                rnd.choice((flip, zero) if file.suffix == ".db" and not seed % 3 else (flip, zero, truncate))(file, rnd)
    r = await start(cache__memory=0)
    await all_of(r, right)
    await r.parts.store.check_rows()
    await r.parts.store.sweep(grace=-3600)  # files have their times from the disk, which goes on
    for blob in [blob async for blob in r.kept()]:
        await r.parts.store.blobs.examine(blob, "verify")
    await all_of(r, right)
    stats = await r.parts.store.stats()
    assert stats["pieces"] == len(pieces(cache)), "no row points at nothing, no file is without a row"


@pytest.fixture
async def damaged(hub: TestHub, start: Starter, tmp_path: Path, right: dict[str, bytes]) -> Rig:
    """An engine that has all of it, but one piece of `a.bin` is bad."""
    r = await start(cache__memory=0)
    await all_of(r, right)
    (file,) = [p for p in pieces(tmp_path / "cache") if p.stat().st_size == 9_000_000 - 8 * 1024 * 1024]
    flip(file, random.Random(1))
    hub.clear()
    return r


@pytest.mark.fault("R4", "R14")
async def test_fifty_readers_of_a_damaged_piece(hub: TestHub, damaged: Rig, right: dict[str, bytes]) -> None:
    r = damaged
    url = f"{H}/acme/hurt/resolve/main/a.bin"
    for got in await asyncio.gather(*(r.get(url) for _ in range(50))):
        assert (got.status, got.cut) == (200, False) and got.body == right["a.bin"]
    await r.idle()
    digest = hub.digest("acme/hurt", "a.bin")
    assert len(hub.requests(method="GET", blob=digest)) == 1, "one repair"
    assert hub.bytes_sent(blob=digest) == 9_000_000 - 8 * 1024 * 1024, "of that piece"
    (entry,) = r.parts.store.quarantine.entries()
    assert (entry.by, entry.piece, (await r.parts.store.stats())["damaged"]) == ("read", 2, 1)


@pytest.mark.fault("R14")
async def test_who_finds_it_late_does_not_have_it_fetched_again(
    hub: TestHub, damaged: Rig, right: dict[str, bytes]
) -> None:
    """Two find the same piece bad; for one of them finding it takes until the other has had it mended."""
    r = damaged
    verified, found_twice, mended = r.parts.store.blobs.pieces, threading.Event(), threading.Event()
    reject, waits = verified.reject, [mended, found_twice]

    def late(*found: Any) -> None:
        wait = waits.pop()
        if wait is mended:
            found_twice.set()
        assert wait.wait(60)
        reject(*found)

    verified.reject = late  # type: ignore[method-assign]
    url = f"{H}/acme/hurt/resolve/main/a.bin"
    both = [asyncio.create_task(r.get(url)) for _ in range(2)]
    first, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    assert len(first) == 1 and not waits
    mended.set()
    for got in await asyncio.gather(*both):
        assert got.body == right["a.bin"] and not got.cut
    assert len(hub.requests(method="GET", blob=hub.digest("acme/hurt", "a.bin"))) == 1


def test_a_piece_that_came_again_is_not_lost_by_who_read_the_old_one() -> None:
    held = Pieces(Manifest("b", 2 * PIECE), {0, 1})
    seen = held.came[1]
    held.lost(1, seen)
    assert held.absent == [1]
    held.take(0, 1)
    held.stored(1)
    held.lost(1, seen)
    assert held.absent == [] and held.present == {0, 1}, "the second who found it"
    held.lost(1, held.came[1])
    assert held.absent == [1], "lost anew"


@pytest.mark.fault("R11")
async def test_wrong_bytes_that_were_not_written_yet_are_kept_too(
    hub: TestHub, start: Starter, right: dict[str, bytes]
) -> None:
    r = await start()
    blobs, judged = r.parts.store.blobs, asyncio.Event()
    write, condemn = blobs.write_piece, blobs.condemn

    async def late(*piece: Any) -> None:
        await judged.wait()
        await write(*piece)

    async def told(*found: Any) -> None:
        await condemn(*found)
        judged.set()

    blobs.write_piece, blobs.condemn = late, told  # type: ignore[method-assign]
    hub.knob(path=f"*{hub.digest('acme/hurt', 'b.bin')}*", corrupt_at=5)
    got = await r.get(f"{H}/acme/hurt/resolve/main/b.bin")
    assert got.cut or got.refused
    await r.idle()
    (entry,) = r.parts.store.quarantine.entries()
    ((_, kept),) = r.parts.store.quarantine.bytes_of(entry)
    assert (entry.kept, len(kept)) == (70_000, 70_000) and kept[6:] == right["b.bin"][6:]
    assert [blob async for blob in r.kept() if blob == entry.blob] == []


@pytest.mark.fault("R11", tries=3)
async def test_wrong_bytes_of_a_hub_are_set_aside_and_never_served(
    hub: TestHub, start: Starter, right: dict[str, bytes]
) -> None:
    r, url = await start(), f"{H}/acme/hurt/resolve/main"
    for path in ("a.bin", "b.bin", "c.json"):
        ident = hub.knob(path=f"*{hub.digest('acme/hurt', path)}*" if path != "c.json" else "*/c.json", corrupt_at=5)
        got = await r.get(f"{url}/{path}")
        assert got.cut or got.refused
        await r.idle()
        hub.unknob(ident)
        (entry,) = [e for e in r.parts.store.quarantine.entries() if e.size == len(right[path])]
        assert entry.by == "hub" and entry.expected == entry.blob and entry.found not in ("", entry.blob)
        kept = b"".join(part for _, part in r.parts.store.quarantine.bytes_of(entry))
        assert len(kept) == len(right[path]) and kept != right[path] and kept[6:] == right[path][6:]
        assert "?" not in entry.source
        assert (await r.get(f"{url}/{path}")).body == right[path], "the next one gets the right bytes"
    assert len(r.parts.store.quarantine.entries()) == 3
