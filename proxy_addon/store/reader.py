"""Reads a blob unit by unit into one recycled buffer; what it hands out has been checked.

A unit that is in the page cache is read and hashed on the event loop (0.1 ms at 512 KiB): a hop to a thread and back
costs more. `preadv` with RWF_NOWAIT says without blocking when it is not; then a thread does both. The file of the next
piece is opened, and read ahead by the kernel, while the current one is sent. There is no mmap: a file cut short under a
mapping takes the process down.

What the disk, or the index, refuses to tell is missing, like what is damaged: it is fetched again.

A thread that reads into a buffer, or from a descriptor, owns it until it is done: whoever is cancelled meanwhile walks
away from both and never hands them on.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Future

from ..core.messages import Buffer
from .contract import PIECE, UNIT, Manifest, PieceMissing
from .lanes import Lanes
from .memory import SMALL
from .verified import OpenPiece, VerifiedPieces

NOWAIT: int | None = getattr(os, "RWF_NOWAIT", None)
SPARE = 16  # buffers kept for the next readers


class Buffers:
    """A free list: a fresh bytearray is zeroed page by page, a used one is warm."""

    def __init__(self) -> None:
        self._free: list[bytearray] = []

    def take(self) -> bytearray:
        return self._free.pop() if self._free else bytearray(UNIT)

    def give(self, buffer: bytearray) -> None:
        if len(self._free) < SPARE:
            self._free.append(buffer)


class DiskReader:
    """A `PieceReader`. `cached` is asked once for the whole blob; `keep` is given a small one's bytes."""

    def __init__(
        self,
        manifest: Manifest,
        pieces: VerifiedPieces,
        lanes: Lanes,
        buffers: Buffers,
        cached: bytes | None,
        keep: Callable[[bytes], None],
        closed: Callable[[], None],
    ) -> None:
        self._manifest, self._pieces, self._lanes, self._buffers = manifest, pieces, lanes, buffers
        self._keep, self._closed = keep, closed
        self._view: Buffer = b"" if cached is None else cached
        self._start = 0  # offset of _view in the blob
        self._buffer: bytearray | None = None
        self._piece: OpenPiece | None = None
        self._ahead: tuple[int, Future[OpenPiece]] | None = None
        self._filling: Future[bool] | None = None
        self._open = True

    async def read(self, start: int, end: int) -> Buffer:
        if not (self._open and 0 <= start < end <= self._manifest.size):
            raise ValueError(f"read [{start}, {end}) of {self._manifest.size} bytes, open: {self._open}")
        if not self._start <= start < self._start + len(self._view):
            before, at = self._start, start - start % UNIT
            await self._load(at)
            following = (at // PIECE + 1) * PIECE
            if end > following or (at == before + UNIT and following - at <= PIECE // 2):
                self._look_ahead(following // PIECE)
        return memoryview(self._view)[start - self._start : end - self._start]

    def close(self) -> None:
        if not self._open:
            return
        self._open = False
        self._view = b""
        if self._filling is not None:
            self._walk_away(self._filling)
        self._leave()
        if self._ahead is not None:
            _close_when_done(self._ahead[1])
        if self._buffer is not None:
            self._buffers.give(self._buffer)
            self._buffer = None
        self._closed()

    async def _load(self, at: int) -> None:
        """Make the unit at `at` the one in view."""
        self._view, failed = b"", None
        while True:
            piece = await self._at_hand(at // PIECE)
            if failed is not None and piece.name == failed.name:  # not a rewrite that we crossed: it is bad
                self._leave()
                try:
                    await self._lanes.read(self._pieces.reject, self._manifest, piece)
                except OSError as error:  # it stays until the disk takes changes again: whoever comes finds it bad
                    self._untold(piece.number, error)
                raise PieceMissing(self._manifest.blob, piece.number)
            offset = at % PIECE
            if piece.data is not None:
                unit: Buffer = piece.data
                good = piece.matches(unit, offset)
            else:
                self._buffer = self._buffer or self._buffers.take()
                unit = memoryview(self._buffer)[: min(UNIT, piece.size - offset)]
                at_once = _at_once(piece, unit, offset)
                good = piece.matches(unit, offset) if at_once else await self._fill(piece, unit, offset)
            if good:
                self._view, self._start = unit, at
                if self._manifest.size <= SMALL:
                    self._keep(bytes(unit))
                return
            failed = piece
            self._leave()

    async def _at_hand(self, number: int) -> OpenPiece:
        if self._piece is not None and self._piece.number == number:
            return self._piece
        self._leave()
        ahead, self._ahead = self._ahead, None
        if ahead is not None and (ahead[0] != number or (ahead[1].done() and ahead[1].exception() is not None)):
            _close_when_done(ahead[1])
            ahead = None
        try:
            self._piece = await self._opened(number, None if ahead is None else ahead[1])
        except PieceMissing:
            if ahead is None:
                raise
            self._piece = await self._opened(number, None)  # it may have been written since we looked
        return self._piece

    async def _opened(self, number: int, job: Future[OpenPiece] | None) -> OpenPiece:
        job = job or self._lanes.submit(self._pieces.open, self._manifest, number)
        try:
            piece = await asyncio.wrap_future(job)
            self._still_open()
        except (asyncio.CancelledError, ValueError):
            _close_when_done(job)
            raise
        except OSError as error:
            self._untold(number, error)
            raise PieceMissing(self._manifest.blob, number) from error
        return piece

    async def _fill(self, piece: OpenPiece, unit: memoryview, offset: int) -> bool:
        self._filling = job = self._lanes.submit(piece.fill, unit, offset)
        try:
            good = await asyncio.wrap_future(job)
        except asyncio.CancelledError:
            self._walk_away(job)
            raise
        finally:
            self._filling = None
        self._still_open()
        return good

    def _walk_away(self, job: Future[bool]) -> None:
        piece, self._piece, self._buffer = self._piece, None, None
        if piece is not None:
            job.add_done_callback(lambda _: piece.close())

    def _still_open(self) -> None:
        if not self._open:
            raise ValueError("reader was closed")

    def _look_ahead(self, number: int) -> None:
        if self._ahead is None and number < self._manifest.pieces:
            self._ahead = number, self._lanes.submit(self._pieces.open, self._manifest, number)

    def _untold(self, number: int, error: OSError) -> None:
        self._pieces.unread.came(f"piece {number} of {self._manifest.blob}: {error}")

    def _leave(self) -> None:
        if self._piece is not None:
            self._piece.close()
            self._piece = None


def _at_once(piece: OpenPiece, unit: memoryview, offset: int) -> bool:
    """Whether the whole unit could be read without waiting for a disk."""
    if NOWAIT is None:
        return False
    try:
        return os.preadv(piece.fd, [unit], offset, NOWAIT) == len(unit)
    except OSError:  # EAGAIN: not in the page cache; EOPNOTSUPP: this file system cannot say
        return False


def _close_when_done(job: Future[OpenPiece]) -> None:
    def close(done: Future[OpenPiece]) -> None:
        if not done.cancelled() and done.exception() is None:
            done.result().close()

    job.add_done_callback(close)
