"""kill -9 at random points; two processes on one directory."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

import pytest

from proxy_addon.store.contract import PieceMissing
from proxy_addon.store.local import DiskStore

from ..contracts.samples import MIB, content, fill, read_all, response
from .conftest import Clock, Opener

TOP = Path(__file__).parents[2]


async def writer(root: Path, name: str, size: int, blobs: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.store.crashing_writer",
        *(str(root), name, str(size), str(blobs)),
        cwd=TOP,
        stdout=asyncio.subprocess.PIPE,
    )


async def line(process: asyncio.subprocess.Process) -> list[str]:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), 60)).decode().split()


def files(root: Path) -> int:
    return len(list(root.glob("pieces/*/*/*.val")))


async def whole(store: DiskStore, blob: str, size: int) -> bool:
    """All of it is here, and right; False when some of it is not here."""
    manifest = await store.blobs.manifest(blob)
    if manifest is None:
        return False
    try:
        assert await read_all(store.blobs, manifest) == content(blob, size)
    except PieceMissing:
        return False
    return manifest.sealed


@pytest.mark.fault("R2", "R3", tries=3)
@pytest.mark.parametrize("room", [4096 * MIB, 33 * MIB], ids=["roomy", "evicting"])
async def test_what_was_sealed_before_a_kill_is_served_after_it(
    opened: Opener, root: Path, clock: Clock, room: int
) -> None:
    seed = int(os.environ.get("HUBGATE_SEED", "1"))
    print("HUBGATE_SEED", seed)
    rnd = random.Random(seed)
    sealed: dict[str, int] = {}
    dropped: set[str] = set()
    for round_ in range(3):
        process = await writer(root, f"{seed}-{round_}", room, 300)  # fewer than there is room for, if it is roomy
        said = [await line(process) for _ in range(1 + rnd.randrange(25))]
        await asyncio.sleep(rnd.random() * 0.02)
        process.kill()
        await process.wait()
        assert process.stdout is not None
        said += [text.split() for text in (await process.stdout.read()).decode().splitlines()]
        sealed |= {words[1]: int(words[2]) for words in said if words[0] == "sealed"}
        dropped |= {words[1] for words in said if words[0] == "dropped"}
        if said[-1][0] == "sealed":
            dropped.add(said[-1][1])  # perhaps: killed between the drop and the line that says so
    store = await opened(room)
    for blob, size in sealed.items():
        complete = await whole(store, blob, size)
        assert complete or blob in dropped or room < 200 * MIB
        for found in await store.responses.get(f"k:{blob}"):
            assert found == response(blob, blob=blob, size=size)
    clock.now += 3600
    await store.sweep(unfinished=0)
    stats = await store.stats()
    assert stats["pieces"] == files(root)
    assert stats["damaged"] == 0
    assert stats["bytes"] <= room + 5 * MIB
    for listed in await store.blobs.listing():
        manifest = listed.manifest
        assert manifest.sealed
        assert await store.blobs.present(manifest.blob) <= set(range(manifest.pieces))
    await fill(store.blobs, "after", content("after", 9 * MIB))
    assert await whole(store, "after", 9 * MIB)


@pytest.mark.fault("R20")
async def test_two_processes_share_what_either_stores(opened: Opener, root: Path) -> None:
    store = await opened()
    await fill(store.blobs, "mine", content("mine", MIB))
    process = await writer(root, "theirs", 256 * MIB, 25)
    sealed: dict[str, int] = {}
    dropped: set[str] = set()
    number = 0
    while (said := await line(process)) != ["closed"]:
        await fill(store.blobs, f"own-{number}", content(f"own-{number}", 40_000))
        number += 1
        match said:
            case ["sealed", blob, size]:
                sealed[blob] = int(size)
                assert await whole(store, blob, int(size)) or said
            case ["dropped", blob]:
                dropped.add(blob)
    assert await process.wait() == 0
    await store.refresh()
    for blob, size in sealed.items():
        assert await whole(store, blob, size) is (blob not in dropped)
        assert await store.responses.get(f"k:{blob}") == (response(blob, blob=blob, size=size),)
    for own in range(number):
        assert await whole(store, f"own-{own}", 40_000)
    assert (await store.stats())["damaged"] == 0


async def test_a_change_in_one_process_is_seen_in_the_other(opened: Opener) -> None:
    one, two = await opened(), await opened()
    await one.responses.put("k", [response("old")])
    assert await two.responses.get("k") == (response("old"),)
    await one.responses.put("k", [response("new")])
    await fill(one.blobs, "b", b"x")
    assert (await two.blobs.manifest("b")) == (await one.blobs.manifest("b"))
    await one.blobs.set_public("b", False)
    await one.blobs.keep_all(("b",), True)
    await two.refresh()
    assert await two.responses.get("k") == (response("new"),)
    assert (await two.blobs.manifest("b")) == (await one.blobs.manifest("b"))
    assert two._pins.kept == {"b"}
    epoch = two._memory.epoch
    await two.responses.put("mine", [response()])
    await two.refresh()
    assert (two._memory.epoch, two.responses.peek("mine")) == (epoch, (response(),))


async def test_what_another_process_read_lately_is_not_evicted_first(opened: Opener, clock: Clock) -> None:
    one, two = await opened(33 * MIB), await opened(33 * MIB)
    for name in ("a", "b"):
        await fill(one.blobs, name, content(name, 12 * MIB))
        clock.now += 10
    manifest = await two.blobs.manifest("a")
    assert manifest is not None
    assert await read_all(two.blobs, manifest) == content("a", 12 * MIB)
    await two.close()
    await fill(one.blobs, "c", content("c", 20 * MIB))
    assert [len(await one.blobs.present(name)) for name in "abc"] == [3, 0, 5]
