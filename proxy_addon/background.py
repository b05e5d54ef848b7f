"""Repos kept in sync: the schedule on an open engine. Run as a program, it is the process that a server keeps for that.

Clients and sync do not share an event loop: with one, a hub that sends 250 MB/s made a small warm hit thirty times as
slow. So a server starts this module as a process of its own, at low priority, on the same cache directory, which is
made for that; there one file comes at a time for each of two repos. The process is given its settings by its standard
input and ends when that does: no server that is killed leaves one behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
import time
from collections.abc import Callable, Sequence

from .companion import attend
from .config import Settings, Subscription
from .core.errors import ConfigError
from .discreet import log_to_standard_error
from .prefetch import Item, Plan, Prefetch, Watcher
from .sync import Journal, Schedule, Update, Updates
from .wiring import Assembly, assemble

NICE = 10
log = logging.getLogger("proxy_addon.background")


class Quiet:
    """A watcher that tells the log of waits and failures only."""

    def planned(self, plan: Plan) -> None: ...

    def advanced(self, item: Item, size: int) -> None: ...

    def ended(self, item: Item) -> None: ...

    def said(self, text: str) -> None:
        log.info("sync: %s", text)


def tell(update: Update) -> None:
    run = update.run
    if run is None:
        return
    if run.faults:
        what, why = run.faults[0]
        log.warning("sync of %s failed: %s%s", run.repo, "" if what == run.repo else f"{what}: ", why)
    else:
        log.info("sync: %s is now %s; %d bytes came in %.1f s", run.repo, run.after[:16], run.fetched, run.seconds)


class Syncing:
    """A schedule on an open engine; `start` begins it, `close` ends it before the engine is closed."""

    def __init__(
        self,
        parts: Assembly,
        settings: Settings,
        subscriptions: Sequence[Subscription],
        *,
        listed: bool,
        watcher: Watcher | None = None,
        told: Callable[[Update], None] = tell,
        jobs: int = 1,
    ) -> None:
        """Raises ConfigError when the journal cannot be had."""
        work = Prefetch(
            parts.engine.handle,
            parts.store,
            watcher or Quiet(),
            agent="hubgate; sync",
            jobs=jobs,
            trouble=lambda: parts.fills.trouble,
        )
        try:
            self._journal = Journal(settings.cache.dir)
        except OSError as fault:
            raise ConfigError(settings.fault("cache.dir", f"{fault}; give it to this user")) from fault
        updates = Updates(work, self._journal, parts.store.blobs, room=settings.cache.size, clock=time.time)
        self.schedule = Schedule(updates, self._journal, subscriptions, listed=listed, told=told)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            await self.schedule.run()
        except OSError as fault:
            log.error("nothing is kept in sync: %s", fault)

    async def ended(self) -> None:
        if self._task is not None:
            await asyncio.wait([self._task])

    async def close(self) -> None:
        """What has come stays."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._journal.close()


def main() -> None:
    """Keep in sync what the settings on standard input list, until that is closed."""
    log_to_standard_error()
    attend(_until_told, NICE)


async def _until_told(settings: Settings) -> int:
    """The exit status: 0 if there is nothing more to do."""
    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    over = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), over.set)
    loop.add_signal_handler(signal.SIGTERM, over.set)
    parts = await assemble(settings)
    try:
        syncing = Syncing(parts, settings, settings.sync, listed=True)
        syncing.start()
        waits = [asyncio.ensure_future(each) for each in (over.wait(), syncing.ended())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        await syncing.close()
        return int(bool(settings.sync))  # with nothing listed there was only to let go
    finally:
        await parts.close()


if __name__ == "__main__":
    main()
