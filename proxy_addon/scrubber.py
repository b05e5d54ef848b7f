"""The scrubber beside a server: when a round is due, a process at the lowest priority reads the cache, and ends.

Run as a program, this module is that process. It is given its settings by its standard input and ends when that does;
it exits with 0 when the round has come to its end, with `BUSY` when another process reads the same cache.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import threading
import time

from .companion import Companion, attend
from .config import Settings
from .discreet import log_to_standard_error
from .scrub import Rounds, Standing, StateFile, Stopped
from .store.local import DiskStore
from .store.quarantine import Quarantine

NICE = 19
BUSY = 75
FIRST = 7200.0  # seconds: what is in a new cache has been checked as it came
WATCH = 2.0  # seconds between two looks at what it has found
LOOK = 60.0  # seconds between two looks at the clock, which may be set
AGAIN = 60.0  # seconds
MEMORY = 1_000_000  # bytes of the memory tier of a process that reads everything once
log = logging.getLogger("proxy_addon.scrubber")


class Scrubber:
    def __init__(self, settings: Settings, quarantine: Quarantine) -> None:
        self._every = settings.cache.scrub
        self._file = StateFile(settings.cache.dir)
        self.standing = Standing(self._file, quarantine)
        self._companion = Companion("proxy_addon.scrubber", settings)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks.append(asyncio.create_task(self._watch()))
        if self._every is not None:
            self._tasks.append(asyncio.create_task(self._keep_on(self._every)))

    def stop(self) -> None:
        """Begin to end."""
        for task in self._tasks:
            task.cancel()
        self._companion.stop()

    async def close(self) -> None:
        self.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._companion.close()

    async def _watch(self) -> None:
        while True:
            await asyncio.to_thread(self.standing.look)
            await asyncio.sleep(WATCH)

    async def _keep_on(self, every: float) -> None:
        self._begin(every)
        while True:
            state = await asyncio.to_thread(self._file.read)
            left = state.next(every, now := time.time()) - now
            if left > 0:
                await asyncio.sleep(min(left, LOOK))
                continue
            try:
                if (status := await self._companion.run()) == 0:
                    continue
                if status != BUSY:
                    log.error("the scrubber ended with status %d; again in %.0f s", status, AGAIN)
            except OSError as fault:
                log.error("the scrubber does not start: %s; again in %.0f s", fault, AGAIN)
            await asyncio.sleep(AGAIN)

    def _begin(self, every: float) -> None:
        state = self._file.read()
        if not (state.first or state.began):
            try:
                self._file.write(type(state)(first=time.time() + min(every, FIRST)))
            except OSError as fault:
                log.warning("the scrubber cannot write down when it is due: %s", fault)


def main() -> None:
    """Read the cache of the settings on standard input through, until that is closed."""
    log_to_standard_error()
    attend(_until_told, NICE)


async def _until_told(settings: Settings) -> int:
    """The exit status."""
    loop, over = asyncio.get_running_loop(), threading.Event()
    loop.add_reader(sys.stdin.fileno(), _told, loop, over)
    loop.add_signal_handler(signal.SIGTERM, over.set)
    cache, file = settings.cache, StateFile(settings.cache.dir)
    try:
        with file.alone() as alone:
            if not alone:
                return BUSY
            store = DiskStore(cache.dir, cache.size, MEMORY, quarantine=cache.quarantine)
            await store.open()
            try:
                await Rounds(store, file, cache.scrub_rate, over.wait).run()
            finally:
                await store.close()
    except Stopped:
        pass
    except OSError as fault:
        log.error("scrub: %s", fault)
        return 1
    return 0


def _told(loop: asyncio.AbstractEventLoop, over: threading.Event) -> None:
    loop.remove_reader(sys.stdin.fileno())
    over.set()


if __name__ == "__main__":
    main()
