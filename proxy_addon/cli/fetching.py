"""The work behind `hubgate prefetch`: an engine of its own on the configured cache, a plan, and what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import typer

from ..config import Settings
from ..hub.targets import Target
from ..prefetch import Plan, Prefetch, State
from ..wiring import assemble
from .output import as_json, console, human, table, tell
from .progress import Bars, Lines, described, summary


def run(
    settings: Settings,
    wanted: Sequence[Target],
    include: Sequence[str],
    exclude: Sequence[str],
    *,
    dry_run: bool,
    pin: bool,
    json: bool,
    jobs: int,
) -> int:
    """The exit code. Raises ConfigError; KeyboardInterrupt when all that came is safely kept."""
    try:
        return asyncio.run(_work(settings, wanted, include, exclude, dry_run=dry_run, pin=pin, json=json, jobs=jobs))
    except KeyboardInterrupt:
        tell("interrupted; run the same again to go on")
        raise


async def _work(
    settings: Settings,
    wanted: Sequence[Target],
    include: Sequence[str],
    exclude: Sequence[str],
    *,
    dry_run: bool,
    pin: bool,
    json: bool,
    jobs: int,
) -> int:
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
    began = time.monotonic()
    on = console(stderr=json)
    parts = await assemble(settings)
    try:
        with Bars(on) if on.is_terminal else Lines(on) as watcher:
            work = Prefetch(
                parts.engine.handle,
                parts.store,
                watcher,
                agent="hubgate; prefetch",
                jobs=jobs,
                trouble=lambda: parts.fills.trouble,
            )
            plan = await work.plan(wanted, include, exclude)
            for what, why in plan.faults:
                tell(f"{what}: {why}")
            if dry_run:
                if json:
                    as_json(described(plan))
                else:
                    _listed(plan)
                return 1 if plan.faults else 0
            if plan.size > settings.cache.size:
                why = f"the set has {human(plan.size)}, cache.size is {human(settings.cache.size)}"
                tell(f"{why}; raise it, or narrow the set with --include")
                return 1
            if pin:
                await parts.store.blobs.keep_all(plan.blobs, True)
            await work.fetch(plan)
    finally:
        await parts.close()
    for item in plan.items:
        if item.state is State.FAILED:
            tell(f"{item.target}: {item.file.path}: {item.fault}")
    if json:
        as_json(described(plan))
    else:
        typer.echo(summary(plan, time.monotonic() - began))
    return 0 if plan.whole else 1


def _listed(plan: Plan) -> None:
    rows = [(str(i.target), i.file.path, human(i.size), human(i.lacks)) for i in plan.items]
    table(("repo", "file", "size", "missing"), rows, right=("size", "missing"))
    lacks = sum({i.blob or i.url: i.lacks for i in plan.items}.values())
    typer.echo(f"{len(plan.items)} files, {human(plan.size)}; missing: {human(lacks)}")
