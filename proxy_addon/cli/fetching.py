"""The work behind `hubgate prefetch`: an engine of its own on the configured cache, a plan, and what came of it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import typer

from ..background import Syncing
from ..config import Settings, Subscription
from ..hub.targets import Target
from ..prefetch import Plan, Prefetch, State
from ..sync import Update
from ..wiring import assemble
from .journal import described as described_run
from .journal import headline
from .output import as_json, console, counted, human, say, table, tell
from .progress import Bars, Lines, described, summary


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for."""

    settings: Settings
    wanted: Sequence[Target]
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    dry_run: bool = False
    pin: bool = False
    json: bool = False
    jobs: int = 8  # files at once


def run(order: Order) -> int:
    """The exit code. Raises ConfigError; KeyboardInterrupt when all that came is safely kept."""
    return _told_of_interrupts(_work(order), "interrupted; run the same again to go on")


def watch(order: Order, subscriptions: Sequence[Subscription]) -> int:
    """Keep them in sync; ends by KeyboardInterrupt only."""
    return _told_of_interrupts(_watch(order, subscriptions), "no longer watched; what came stays")


def _told_of_interrupts(work: Coroutine[Any, Any, int], words: str) -> int:
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        tell(words)
        raise


async def _work(order: Order) -> int:
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
    began = time.monotonic()
    on = console(stderr=order.json)
    parts = await assemble(order.settings)
    try:
        with Bars(on) if on.is_terminal else Lines(on) as watcher:
            work = Prefetch(
                parts.engine.handle,
                parts.store,
                watcher,
                agent="hubgate; prefetch",
                jobs=order.jobs,
                trouble=lambda: parts.fills.trouble,
            )
            plan = await work.plan(order.wanted, order.include, order.exclude)
            for what, why in plan.faults:
                tell(f"{what}: {why}")
            if order.dry_run:
                if order.json:
                    as_json(described(plan))
                else:
                    _listed(plan)
                return 1 if plan.faults else 0
            if plan.size > order.settings.cache.size:
                why = f"the set has {human(plan.size)}, cache.size is {human(order.settings.cache.size)}"
                tell(f"{why}; raise it, or narrow the set with --include")
                return 1
            if order.pin:
                await parts.store.blobs.keep_all(plan.blobs, True)
            await work.fetch(plan)
            if order.pin:  # a listing need not name every digest
                await parts.store.blobs.keep_all(plan.blobs, True)
    except OSError as fault:
        tell(f"the cache cannot be written: {fault}; what came is kept, run the same again to go on")
        return 1
    finally:
        await parts.close()
    for item in plan.items:
        if item.state is State.FAILED:
            tell(f"{item.target}: {item.file.path}: {item.fault}")
    if order.json:
        as_json(described(plan))
    else:
        say(summary(plan, time.monotonic() - began))
    return 0 if plan.whole else 1


async def _watch(order: Order, subscriptions: Sequence[Subscription]) -> int:
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)

    def told(update: Update) -> None:
        if order.json:
            run = described_run(update.run) if update.run is not None else {"repo": update.repo}
            typer.echo(json.dumps({**run, "result": str(update.result)}))
        else:
            typer.echo(headline(update))

    parts = await assemble(order.settings)
    try:
        with Lines(console(stderr=True)) as watcher:
            syncing = Syncing(
                parts, order.settings, subscriptions, listed=False, watcher=watcher, told=told, jobs=order.jobs
            )
            try:
                await syncing.schedule.run()
            except ExceptionGroup as faults:  # of one repo's task: who read the output is gone
                raise faults.exceptions[0] from None
            finally:
                await syncing.close()
    finally:
        await parts.close()
    return 0


def _listed(plan: Plan) -> None:
    rows = [(str(i.target), i.file.path, human(i.size), human(i.lacks)) for i in plan.items]
    table(("repo", "file", "size", "missing"), rows, right=("size", "missing"))
    lacks = sum({i.blob or i.url: i.lacks for i in plan.items}.values())
    say(f"{counted(len(plan.items), 'file')}, {human(plan.size)}; missing: {human(lacks)}")
