"""One round: the rows of both databases, what a crash left, then every blob, at no more than a given rate.

Where it stands is written every few seconds and after each find. Who goes on from there reads the pieces of the blob
that was under way from where they were left; the digest of such a blob as a whole is not made in that round.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from ..store.audit import Finding
from ..store.local import DiskStore
from .state import State, StateFile

SAVED = 5.0  # seconds between two writings of the state
BATCH = 500
log = logging.getLogger(__name__)


class Stopped(Exception):
    """Somebody wants it to end."""


class Rounds:
    def __init__(
        self,
        store: DiskStore,
        file: StateFile,
        rate: float,
        wait: Callable[[float], bool],
        *,
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        """`rate` in bytes a second. `wait` blocks for so many seconds, and says whether it is time to stop."""
        self._store, self._file, self._rate, self._wait = store, file, rate, wait
        self._clock, self._timer = clock, timer
        self._state = State()
        self._free = self._saved = timer()

    async def run(self) -> State:
        """To the end of the round that is under way, else of a new one. Raises `Stopped`, OSError."""
        self._state = self._file.read()
        if not self._state.under_way:
            due = (await self._store.stats())["bytes"]
            self._state = replace(self._state, began=self._clock(), blob="", inside="", piece=0, done=0, due=due)
            self._save()
        try:
            await self._round()
        finally:
            self._save()
        return self._state

    async def _round(self) -> None:
        if not (self._state.blob or self._state.inside):
            self._found(row=await self._store.check_rows())
            self._found(leftover=await self._store.first_sweep + await self._store.sweep())
        if self._state.inside:
            await self._blob(self._state.inside, self._state.piece)
        while batch := await self._store.blobs.listing(self._state.blob, BATCH):
            for listed in batch:
                await self._blob(listed.manifest.blob, 0)
        self._state = replace(self._state, ended=max(self._clock(), self._state.began), blob="", inside="", piece=0)
        found = self._state.found or "nothing"
        log.info("scrub: all of the cache was read, %d bytes; found until now: %s", self._state.done, found)

    async def _blob(self, blob: str, first: int) -> None:
        self._state = replace(self._state, inside=blob, piece=first)
        found = await self._store.blobs.examine(blob, "scrub", self._read, first=first)
        self._state = replace(self._state, blob=blob, inside="", piece=0, blobs=self._state.blobs + 1)
        self._tell(found)
        if self._wait(0):
            raise Stopped

    def _tell(self, found: list[Finding]) -> None:
        kinds = Counter("blob" if finding.piece is None else "piece" for finding in found)
        self._found(**kinds)

    def _found(self, **kinds: int) -> None:
        if any(kinds.values()):
            self._state = replace(self._state, found=dict(Counter(self._state.found) + Counter(kinds)))
            self._save()

    def _read(self, piece: int, size: int) -> None:
        """On a reading thread, which waits here for its turn."""
        state = self._state
        self._state = replace(state, piece=piece, done=state.done + size, read=state.read + size)
        now = self._timer()
        if now - self._saved >= SAVED:
            self._save()
        self._free = max(now, self._free) + size / self._rate
        if self._wait(max(0.0, self._free - now)):
            raise Stopped

    def _save(self) -> None:
        """A disk that refuses costs what would be read again."""
        self._saved = self._timer()
        try:
            self._file.write(self._state)
        except OSError as error:
            log.warning("scrub: where it stands cannot be written: %s", error)
