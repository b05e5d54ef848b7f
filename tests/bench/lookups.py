"""Lookups, opening and starting with few and with many stored responses; no memory tier, so the index is read."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

from proxy_addon.core.messages import Headers, StoredResponse
from proxy_addon.store import records
from proxy_addon.store.index import Index, response_key
from proxy_addon.store.layout import prepare
from proxy_addon.store.local import DiskStore

from .figures import Figure, Goal, On, Row, in_turn
from .rig import GIB, Rig

FEW = 1000
LOOKUPS = 1000  # in one try
SIZE = 64 * GIB


def key(number: int) -> str:
    return f"file:huggingface/models/org{number % 997}/repo{number % 9973}@{number:040x}/model-{number:05}.safetensors"


def response(number: int) -> StoredResponse:
    blob = f"sha256:{number:064x}"
    fields = (
        ("Content-Type", "application/octet-stream"),
        ("ETag", f'"{number:064x}"'),
        ("X-Linked-ETag", f'"{number:064x}"'),
        ("X-Linked-Size", "4976698672"),
        ("X-Repo-Commit", f"{number:040x}"),
        ("Accept-Ranges", "bytes"),
        ("Content-Disposition", f'inline; filename="model-{number:05}.safetensors"'),
    )
    url = f"https://huggingface.co/org{number % 997}/repo{number % 9973}/resolve/{number:040x}/model.safetensors"
    return StoredResponse(200, Headers(fields), 1.7e9, 1.7e9, url, blob, 4976698672, kind="file")


def fill(folder: Path, count: int) -> None:
    """Store `count` responses, in one transaction."""
    prepare(folder, SIZE)
    index = Index(folder / "index", time.time)
    index.open()
    with index.rows.change() as change:
        for number in range(count):
            change.set(response_key(key(number)), records.pack_responses((response(number),)), "R")
    index.rows.select("PRAGMA wal_checkpoint(TRUNCATE)")
    index.close()


def rows(rig: Rig) -> Iterator[Row]:
    sizes = (rig.scale.rows, FEW)
    for count in sizes:
        fill(rig.folder / f"rows-{count}", count)
    than = f"with {FEW:,}"
    many, few = asyncio.run(_lookups(rig))
    flat = Goal(On.RATIO, False, 1.2)
    for what, ours, peer in zip(("in its thread", "as the engine calls it"), many, few, strict=True):
        yield Row(f"lookup, {sizes[0]:,} stored responses, {what}", "us", ours, peer, than, flat)
    opened, peer_opened = in_turn(
        rig.scale.tries, *(lambda n=count: asyncio.run(_opening(rig.folder / f"rows-{n}")) for count in sizes)
    )
    yield Row(f"open the store, {sizes[0]:,} stored responses", "ms", _figure(opened), _figure(peer_opened), than)

    def start(count: int) -> Callable[[], float]:
        def ready() -> float:
            with rig.proxy(cache=f"rows-{count}") as proxy:
                return proxy.ready

        return ready

    started, peer_started = in_turn(rig.scale.tries, *map(start, sizes))
    yield Row(
        f"start until /healthz, {sizes[0]:,} stored responses",
        "s",
        _figure(started),
        _figure(peer_started),
        than,
        Goal(On.FIGURE, False, 2.0),
    )


def _figure(found: list[float]) -> Figure:
    return Figure(tuple(found))


async def _opening(folder: Path) -> float:
    """Milliseconds."""
    store = DiskStore(folder, SIZE, 0)
    started = time.perf_counter()
    await store.open()
    seconds = time.perf_counter() - started
    await store.close()
    return 1000 * seconds


async def _lookups(rig: Rig) -> list[tuple[Figure, Figure]]:
    """For many rows and for few: (the lookup alone, the coroutine), each the medians of its tries in microseconds."""
    counts = (rig.scale.rows, FEW)
    chosen = random.Random(1)
    stores = [DiskStore(rig.folder / f"rows-{count}", SIZE, 0) for count in counts]
    indices = [Index(rig.folder / f"rows-{count}" / "index", time.time) for count in counts]
    alone: list[list[float]] = [[], []]
    whole: list[list[float]] = [[], []]
    for store, index in zip(stores, indices, strict=True):
        await store.open()
        await store.first_sweep  # what is done once after a start is not what a lookup costs
        index.open()
    try:
        for attempt in range(rig.scale.tries + 1):
            waits: list[list[float]] = [[], []]
            longer: list[list[float]] = [[], []]
            for _ in range(LOOKUPS):  # few and many by turns: what else the machine does meets both
                for side, count in enumerate(counts):
                    one = key(chosen.randrange(count))
                    started = time.perf_counter()
                    found, _size = indices[side].responses(one)
                    waits[side].append(time.perf_counter() - started)
                    started = time.perf_counter()
                    got = await stores[side].responses.get(one)
                    longer[side].append(time.perf_counter() - started)
                    if not found or not got:
                        raise RuntimeError(f"{one} is not there")
            if attempt:  # the first brings pages into the caches
                for side in range(len(counts)):
                    alone[side].append(median(waits[side]) * 1e6)
                    whole[side].append(median(longer[side]) * 1e6)
    finally:
        for store, index in zip(stores, indices, strict=True):
            index.close()
            await store.close()
    return [(_microseconds(a), _microseconds(w)) for a, w in zip(alone, whole, strict=True)]


def _microseconds(found: list[float]) -> Figure:
    return Figure(tuple(found), 1)
