"""One run from its beginning to its end, and what it came to."""

from __future__ import annotations

import asyncio
import logging
import random
import shutil
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.hub import TestHub

from . import ending, more, weather
from .crowd import Client
from .disk import Place
from .keeper import Keeper
from .ledger import Ledger
from .mishaps import MISHAPS, Scene, nurse
from .world import World

LEAVE = 60.0  # seconds that the last clients are given for what they have under way
MOVES = 3.0  # seconds between two commits
PATIENT = 60.0  # seconds: a shorter run does not wait at its end for as long as it takes itself
CALM = 0.3  # share of the run at its end in which no process is ended, so that the last one has had its load


@dataclass(frozen=True)
class Order:
    seconds: float
    seed: int
    clients: int
    keep: bool = False  #: the directory of a good run too


@dataclass
class Outcome:
    order: Order
    ledger: Ledger
    keeper: Keeper
    kept: Path | None
    reckoning: ending.Reckoning = field(default_factory=ending.Reckoning)
    interrupted: bool = False

    @property
    def good(self) -> bool:
        return not self.ledger.faults and not self.interrupted


def run(order: Order, tell: Callable[[Ledger, Keeper], None], every: float) -> Outcome:
    """`tell` is called every so many seconds."""
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # the hub's own, of clients that leave
    folder = Path(tempfile.mkdtemp(prefix="hubgate-soak-"))
    place = Place(folder)
    outcome: Outcome | None = None
    try:
        with TestHub() as hub:
            world = World(hub, order.seed)
            ledger = Ledger(file=folder / "notes.log")
            keeper = Keeper(folder, place.cache, world, ledger)
            outcome = Outcome(order, ledger, keeper, folder)
            try:
                asyncio.run(_run(outcome, Scene(world, ledger, keeper, place), tell, every))
            except KeyboardInterrupt:
                outcome.interrupted = True
            except Exception:
                ledger.fault("the run itself", traceback.format_exc())
            finally:
                keeper.kill()
    finally:
        done = outcome is not None and not outcome.ledger.faults and not order.keep
        place.close(None if done else folder / "cache")
        if done:
            shutil.rmtree(folder, ignore_errors=True)
    if done:
        outcome.kept = None
    return outcome


async def _run(outcome: Outcome, scene: Scene, tell: Callable[[Ledger, Keeper], None], every: float) -> None:
    order, ledger, keeper = outcome.order, scene.ledger, scene.keeper
    async with asyncio.TaskGroup() as group:
        watch = group.create_task(_watch(scene, tell, every))
        try:
            await keeper.start(0)
            clients = [
                Client(n, scene.world, ledger, keeper, random.Random(f"{order.seed}/client/{n}"), more.OTHERS)
                for n in range(order.clients)
            ]
            crowd = [group.create_task(client.run()) for client in clients]
            await _troubles(order, scene)
            for client in clients:
                client.ending.set()
            _, late = await asyncio.wait(crowd, timeout=LEAVE)
            for task in late:
                ledger.fault("hung", "a client did not come to its end")
                task.cancel()
            await asyncio.wait(crowd)
            if not ledger.of("process died"):
                outcome.reckoning = await ending.settle(scene, patient=order.seconds >= PATIENT)
        finally:
            watch.cancel()


async def _troubles(order: Order, scene: Scene) -> None:
    """All that goes wrong, side by side, for as long as the run is to take."""
    end = time.monotonic() + order.seconds
    calm = end - CALM * order.seconds
    seed = order.seed
    tracks: list[Awaitable[None]] = [
        _weather(scene, random.Random(f"{seed}/weather/{n}"), end, (0.5, 4)) for n in range(2)
    ]
    short = min(1.0, order.seconds / 120)  # in a short run the same troubles come closer together
    tracks.append(_mishaps("process", scene, random.Random(f"{seed}/process"), calm, (4 * short, 20 * short)))
    tracks.append(_mishaps("disk", scene, random.Random(f"{seed}/disk"), end, (2 * short, 10 * short)))
    steady: list[Awaitable[None]] = [
        _move(scene),
        nurse(scene),
        more.tools(scene.keeper, scene.world, scene.ledger, random.Random(f"{seed}/tools"), scene.keeper.folder),
    ]
    async with asyncio.TaskGroup() as group:
        beside = [group.create_task(_as_task(each)) for each in steady]
        await asyncio.gather(*tracks, asyncio.sleep(order.seconds))
        for task in beside:
            task.cancel()


async def _as_task(work: Awaitable[None]) -> None:
    await work


def drawn(names: Sequence[str], rnd: random.Random) -> Iterator[str]:
    """All of them in some order, then all of them in another, without end: a short run meets different ones."""
    while True:
        yield from rnd.sample(names, len(names))


async def _weather(scene: Scene, rnd: random.Random, end: float, pause: tuple[float, float]) -> None:
    for name in drawn([*weather.WEATHER], rnd):
        await asyncio.sleep(rnd.uniform(*pause))
        seconds = min(rnd.uniform(0.5, 6), end - time.monotonic())
        if seconds <= 0:
            return
        await weather.blow(name, scene.world, scene.ledger, rnd, seconds)


async def _mishaps(sort: str, scene: Scene, rnd: random.Random, end: float, pause: tuple[float, float]) -> None:
    names = {mishap.__name__: mishap for mishap in MISHAPS[sort]}
    for name in drawn([*names], rnd):
        await asyncio.sleep(rnd.uniform(*pause))
        seconds = min(rnd.uniform(2, 8), end - time.monotonic())
        if seconds <= 0:
            return
        await names[name](scene, rnd, seconds)


async def _move(scene: Scene) -> None:
    while True:
        await asyncio.sleep(MOVES)
        await asyncio.to_thread(scene.world.move)


async def _watch(scene: Scene, tell: Callable[[Ledger, Keeper], None], every: float) -> None:
    """Looks after the processes each second, and after the hub's log, in which nothing that was refused may stand."""
    told = time.monotonic()
    while True:
        await asyncio.sleep(1.0)
        scene.keeper.look()
        for record in scene.world.hub.requests(path="*smuggled*") + scene.world.hub.requests(host="evil.example"):
            scene.ledger.fault("smuggled", f"the hub was asked: {record}")
        scene.world.hub.clear()
        if time.monotonic() - told >= every:
            told = time.monotonic()
            tell(scene.ledger, scene.keeper)
