"""One connection's work: bring a run of pieces, and go on where a cut left off.

Bytes are copied into the piece's buffer as they come, and whoever waits for the piece is told. A full piece is written
by a task of its own while the next one lands; one write of a connection is open at a time, which is its backpressure.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

from ..core.errors import UpstreamFailed
from ..store.contract import PIECE
from .pieces import ANY, MOVED, Landing, Pieces
from .upstream import Answer

ATTEMPTS = 5  # in a row without a byte
FINAL = frozenset({401, 403, 404, 410, 416, 429, 451, 508})  # asking again would not help
LONG = 10.0  # seconds after which a connection keeps no more than the piece it is at: another may bring the rest sooner
_WRITES = 1


class Source(Protocol):
    """Where a blob's bytes come from."""

    async def open(self, start: int, end: int) -> tuple[Answer, int]:
        """An answer whose body begins at the returned offset (0 if the server ignores ranges, else `start`) and
        reaches at least `end`. Raises `UpstreamFailed`; `IntegrityError` when it is no longer the same representation.
        """
        ...


class RangesIgnored(Exception):
    """The server sends everything whatever is asked: one connection has to take it all, from the start."""


class Transfer:
    def __init__(
        self,
        pieces: Pieces,
        source: Source,
        write: Callable[[int, Landing], Awaitable[None]],
        wanted: Callable[[], bool],
        early: Callable[[int], bool],
        check: Callable[[int, Landing], Awaitable[None]],
    ) -> None:
        self._pieces, self._source, self._write, self._wanted = pieces, source, write, wanted
        self._check = check  # what has landed of a piece that is not full
        self._early = early  # whether a connection that takes it all has to wait for readers before the piece lands
        self._writes: deque[asyncio.Task[None]] = deque()

    async def bring(self, run: range, *, alone: bool) -> None:
        """Fetch and write `run`, or the piece begun if nobody wants more; what does not come is given back. `alone`: no
        other connection works on the blob.

        Raises `RangesIgnored` unless alone, `UpstreamFailed`, `IntegrityError`.
        """
        try:
            await self._download(run, alone)
            while self._writes:
                await self._writes.popleft()
        finally:
            self._pieces.give_back(run)

    async def _download(self, run: range, alone: bool) -> None:
        pos, end = run.start * PIECE, min(run.stop * PIECE, self._pieces.manifest.size)
        idle = 0
        while pos < end and (self._wanted() or pos % PIECE):
            before = pos
            try:
                answer, at = await self._source.open(pos, end)
                try:
                    if at < pos and not alone:
                        raise RangesIgnored
                    await self._land(answer, at, pos, end, alone)
                    pos = end
                finally:
                    answer.close()
            except UpstreamFailed as fault:
                pos = self._pieces.first_gap(before, end)
                idle = 0 if pos > before else idle + 1
                if idle >= ATTEMPTS or fault.status in FINAL:
                    raise
                await asyncio.sleep(min(0.1 * 2**idle, 3.0))

    async def _land(self, answer: Answer, at: int, pos: int, end: int, alone: bool) -> None:
        """Copy a body that begins at `at` into the pieces from `pos` to `end`, or to the end of one that came late."""
        first, late = pos, time.monotonic() + LONG
        while pos < end:
            data = await answer.chunk()
            if not data:
                raise UpstreamFailed("the body ended early")
            skip = min(len(data), max(0, pos - at))
            view = memoryview(data)[skip : skip + end - pos]
            at += len(data)
            while view:
                index, offset = divmod(pos, PIECE)
                count = min(len(view), self._pieces.manifest.piece_size(index) - offset)
                while alone and not offset and self._wanted() and self._early(index):
                    await self._pieces.progress(MOVED)
                if not offset and (not self._wanted() or (pos > first and not alone and time.monotonic() > late)):
                    return
                landing = self._pieces.room(index)
                if landing is not None and landing.filled == offset:
                    landing.buffer[offset : offset + count] = view[:count]
                    landing.filled += count
                    await (self._full if landing.full else self._check)(index, landing)
                    self._pieces.landed(index, landing, time.monotonic())
                view, pos = view[count:], pos + count

    async def _full(self, index: int, landing: Landing) -> None:
        self._pieces.notify(ANY)
        while len(self._writes) >= _WRITES:
            await self._writes.popleft()
        self._writes.append(asyncio.ensure_future(self._write(index, landing)))
