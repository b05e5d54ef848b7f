"""The store on a local disk: what is made of what, and what goes on beside the requests.

Once a second it is asked whether another process has changed the index (what memory holds of it is then looked up
again) or replaced a database; once a minute access times are written, and a reserve that was given up is laid in.
Leftovers are swept after the start, and when a database was replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..core.errors import ConfigError
from ..troubles import Trouble
from .blobs import DiskBlobs, Pins
from .contract import View
from .glance import Glances, MemoryView
from .index import Index
from .lanes import Lanes
from .layout import RESERVE, laid_in, lay_in, prepare
from .memory import Memory
from .pieces import Pieces
from .quarantine import Entry, Quarantine
from .responses import DiskResponses
from .restoring import put_back
from .room import Room
from .rows import BrokenRows
from .seen import Seen
from .sweep import GRACE, UNFINISHED, sweep

log = logging.getLogger(__name__)
LOOK_AROUND = 1.0  # seconds
ROUNDS_TO_FLUSH = 60
ROWS_AT_ONCE = 500
QUARANTINE = 10**9  # bytes


class DiskStore:
    """`size`, `memory` and `quarantine` in bytes; `directory` is made when it is not there."""

    def __init__(
        self,
        directory: Path,
        size: int,
        memory: int,
        *,
        quarantine: int = QUARANTINE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory, self._size = directory, size
        self._index, self._pieces = Index(directory / "index", clock), Pieces(directory / "pieces", clock)
        self._pins = Pins()
        self._seen = Seen(self._index, self._pieces, clock)
        self._room = Room(self._index, self._pieces, size, self._pins.__contains__, self._seen.flush)
        self._lanes = Lanes(self._index, self._pieces)
        self._memory = Memory(memory)
        self._token = (0, 0, 0)
        self.quarantine = Quarantine(directory / "quarantine", quarantine, clock)
        self._opened = self._closed = False
        self._swept = 0  # the generation of the pieces whose leftovers were looked for
        self._tasks: list[asyncio.Task[Any]] = []
        self.responses = DiskResponses(self._index, self._room, self._lanes, self._memory, self._seen)
        self.blobs = DiskBlobs(
            self._index,
            self._pieces,
            self._room,
            self._lanes,
            self._memory,
            self._seen,
            self._pins,
            self.quarantine,
        )
        self._view = MemoryView(self.responses, self.blobs)
        self._glances = Glances(self._index, self._lanes, self.responses, self.blobs)

    async def open(self) -> None:
        """Raises ConfigError when the directory is not usable, and then has not touched it."""
        try:
            await self._lanes.write(self._start)
        except BrokenRows as error:
            await self.close()
            raise ConfigError(f"cache.dir: {self._directory} does not work as a cache: {error}") from error
        except BaseException:
            await self.close()
            raise
        self.first_sweep = asyncio.create_task(self._sweep_once())
        self._tasks = [self.first_sweep, asyncio.create_task(self._look_around())]

    @property
    def memory(self) -> MemoryView:
        return self._view

    async def glance[T](self, look: Callable[[View], T]) -> T:
        return await self._glances.glance(look)

    async def close(self) -> None:
        """Waits for writes under way. Readers are to be closed before."""
        if self._closed:
            return
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._opened:
            with contextlib.suppress(OSError):
                await self._lanes.write(self._seen.flush)
        await asyncio.to_thread(self._lanes.close)

    async def stats(self) -> dict[str, int]:
        """Also: `damaged`, pieces found so since the start."""
        return await self._lanes.read(self._stats)

    async def sweep(self, grace: float = GRACE, unfinished: float = UNFINISHED) -> int:
        """Collect leftovers older than these (seconds), a bit at a time; how many there were."""
        steps, found = sweep(self._index, self._pieces, self._pins.__contains__, grace, unfinished), 0
        while (step := await self._lanes.read(next, steps, None)) is not None:
            found += step
        return found

    async def refresh(self) -> None:
        """See now what other processes have written; happens by itself within a second."""
        token, self._pins.kept = await self._lanes.write(self._current)
        if token != self._token:
            before, self._token = self._token, token
            self._memory.age()
            if token[2] != before[2]:
                self._memory.clear()

    async def tend(self) -> None:
        """What is to be done now and then; happens by itself once a minute. Raises OSError."""
        await self._lanes.write(self._seen.flush)
        await self._lanes.write(self._index.tidy)
        await self._lanes.write_pieces(self._pieces.reclaim, GRACE)
        await self._lanes.write_pieces(self._reserve)

    def _reserve(self) -> None:
        """Room for the next start, which cached bytes make way for."""
        if not laid_in(self._directory):
            self._room.spend(RESERVE, "", lambda: lay_in(self._directory))

    async def check_rows(self) -> int:
        """Read both databases through; how many rows of the index were damaged, and are now dropped.

        A database that is broken is replaced by what is good of it, as always."""
        before, at = self._index.refused, ""
        for shelf in (self._index, self._pieces):
            await self._lanes.read(shelf.check)
        while at := await self._lanes.read(self._index.look_through, at, ROWS_AT_ONCE):
            pass
        return self._index.refused - before

    @property
    def replaced(self) -> int:
        """Databases that were found broken, and set aside, since the start."""
        return self._index.replaced + self._pieces.replaced

    async def restore(self, entry: Entry) -> str:
        """`put_back`: why not, or nothing. Raises OSError."""
        return await self._lanes.write(put_back, entry, self.quarantine, self._index, self.blobs.pieces)

    def _start(self) -> None:
        prepare(self._directory, self._size)
        try:
            self._index.open()
            self._pieces.open()
            self._token, self._pins.kept = self._current()
        except BrokenRows:
            raise  # to be set aside, and begun again
        except OSError as error:
            raise ConfigError(f"cache.dir: {self._directory} does not work as a cache: {error}") from error
        self._opened = True

    def _current(self) -> tuple[tuple[int, int, int], frozenset[str]]:
        self._index.follow()
        self._pieces.follow()
        return self._index.token(), self._index.pins()

    def _stats(self) -> dict[str, int]:
        responses, blobs = self._index.counts()
        return {
            "bytes": self._room.used(),
            "limit": self._size,
            "responses": responses,
            "blobs": blobs,
            "pieces": self._pieces.rows.total()[0],
            "evicted": self._room.evicted,
            "memory_bytes": self._memory.used,
            "damaged": self.blobs.pieces.bad,
        }

    async def _look_around(self) -> None:
        rounds, around = 0, Trouble(log, f"cache directory {self._directory} cannot be used")
        while True:
            await asyncio.sleep(LOOK_AROUND)
            rounds += 1
            try:
                await self.refresh()
                if self._pieces.generation != self._swept:
                    self._tasks.append(asyncio.create_task(self._sweep_once()))
                if rounds % ROUNDS_TO_FLUSH == 0:
                    self._tasks = [task for task in self._tasks if not task.done()]
                    await self.tend()
            except OSError as error:
                around.came(str(error))
            else:
                around.over()

    async def _sweep_once(self) -> int:
        self._swept = self._pieces.generation
        try:
            found = await self.sweep()
        except OSError as error:
            log.warning("leftovers not swept: %s", error)
            return 0
        if found:
            log.info("swept %d leftovers of an earlier run", found)
        return found
