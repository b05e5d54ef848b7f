"""Bodies that stream: a range of a blob, a relay of somebody else's answer, several parts in a row."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

from ..core.errors import BodyLost, IntegrityError, UpstreamFailed
from ..core.messages import Body, Buffer
from ..store.contract import PIECE, Blobs, Manifest, PieceMissing
from .fill import TAIL, Fill
from .pieces import Landing
from .upstream import Answer
from .wants import Want

#: What a place where the bytes should be may tell the client; its 403 or 404 is about our link, not about the file.
_OURS_TO_TELL = frozenset({429, *range(500, 600)})
log = logging.getLogger(__name__)


class BlobBody:
    """Bytes `start`..`end` of a blob: from the store, or right behind a fill that is bringing them.

    `refill` makes a fill when a piece turns out to be gone; None when nobody knows where to get it.
    """

    def __init__(
        self,
        blobs: Blobs,
        manifest: Manifest,
        start: int,
        end: int,
        *,
        fill: Fill | None = None,
        refill: Callable[[], Awaitable[Fill]] | None = None,
    ) -> None:
        self.length: int | None = end - start
        self._pos, self._end = start, end
        self._part = (start, end) != (0, manifest.size)
        self._reader = blobs.reader(manifest)
        self._refill = refill
        self._fill = fill
        self._want: Want | None = fill.join(start, end) if fill else None
        self._holding: Landing | None = None
        self._closed = False

    async def read(self, limit: int) -> Buffer:
        if self._pos >= self._end:
            return b""
        stop = min(self._end, self._pos + limit)
        if self._fill is not None:
            return await self._read_behind(self._fill, stop)
        try:
            data = await self._reader.read(self._pos, self._end)  # the whole want: it opens the next piece ahead
        except PieceMissing as gone:
            if self._refill is None:
                raise BodyLost(f"{gone} is gone and cannot be fetched again") from gone
            return await self._read_behind(await self._again(self._refill), stop)
        data = data[: stop - self._pos] if len(data) > stop - self._pos else data
        self._pos += len(data)
        return data

    async def ready(self) -> bool:
        """Whether the first of it can be read from the store, without a fill."""
        try:
            await self._reader.read(self._pos, self._end)
        except PieceMissing:
            return False
        return True

    async def begun(self) -> None:
        """Returns when there is something to read; raises `UpstreamFailed` or `IntegrityError` if there will not be.

        Before the head of a reply is sent an error can still be told; afterwards it is only a cut connection."""
        fill = self._fill
        while fill is not None and self._reach(fill) <= self._pos:
            if isinstance(fill.error, IntegrityError):
                raise IntegrityError(str(fill.error))
            if isinstance(fill.error, UpstreamFailed) and fill.error.status in _OURS_TO_TELL:
                raise fill.error
            if fill.error is not None:
                raise UpstreamFailed(str(fill.error)) from fill.error
            fill.hungry()
            await fill.pieces.progress(self._pos // PIECE)

    def _reach(self, fill: Fill) -> int:
        """How far can be read now, within one piece."""
        index = self._pos // PIECE
        end = min(self._end, (index + 1) * PIECE)
        if fill.manifest.pieces == 1 and self._part and not fill.manifest.sealed:
            return self._pos  # the whole comes with it, so it is proven before any of it is given out
        if end > fill.manifest.size - TAIL:
            end = min(end, fill.limit())
        landing = fill.pieces.landing.get(index)
        if landing is not None:
            return min(end, index * PIECE + (landing.checked if fill.refills else landing.filled))
        return end if index in fill.pieces.present else self._pos

    async def _read_behind(self, fill: Fill, stop: int) -> Buffer:
        self._let_go()
        index = self._pos // PIECE
        while True:
            if isinstance(fill.error, OSError) and self._refill is not None:
                refill, self._refill = self._refill, None
                return await self._read_behind(await self._again(refill), stop)
            if fill.error is not None:
                if isinstance(fill.error, IntegrityError):
                    log.error("cut short: %s", fill.error)
                raise BodyLost(str(fill.error))
            reach = min(stop, self._reach(fill))
            if reach <= self._pos:
                fill.hungry()
                await fill.pieces.progress(index)
                continue
            data: Buffer
            if (landing := fill.pieces.landing.get(index)) is not None:
                data = fill.pieces.view(landing, self._pos - index * PIECE, reach - index * PIECE)
                self._holding = landing
            else:
                came = fill.pieces.came[index]
                try:
                    data = await self._reader.read(self._pos, reach)
                except PieceMissing:
                    fill.lost(index, came)
                    continue
            self._pos += len(data)
            if self._want is not None:
                self._want.pos = self._pos
            return data

    async def _again(self, refill: Callable[[], Awaitable[Fill]]) -> Fill:
        """Behind another fill from here on."""
        if self._fill is not None and self._want is not None:
            self._fill.leave(self._want)
        try:
            self._fill = fill = await refill()
        except UpstreamFailed as fault:
            raise BodyLost(str(fault)) from fault
        if self._closed:
            raise BodyLost("closed")
        self._want = fill.join(self._pos, self._end)
        return fill

    def _let_go(self) -> None:
        if self._holding is not None and self._fill is not None:
            self._fill.pieces.release(self._holding)
            self._holding = None

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._let_go()
        self._reader.close()
        if self._fill is not None and self._want is not None:
            self._fill.leave(self._want)


class RelayBody:
    """An upstream answer passed on as it comes, stored nowhere; `begun` was read of it already. One that ends early is
    told by `Answer.chunk`."""

    def __init__(self, answer: Answer, length: int | None, begun: bytes = b"") -> None:
        self.length, self._answer, self._rest = length, answer, memoryview(begun)

    async def read(self, limit: int) -> Buffer:
        if not self._rest:
            try:
                self._rest = memoryview(await self._answer.chunk())
            except UpstreamFailed as fault:
                raise BodyLost(str(fault)) from fault
        data, self._rest = self._rest[:limit], self._rest[limit:]
        return data

    def close(self) -> None:
        self._answer.close()


class PartsBody:
    """multipart/byteranges: for each part its preamble, then its range; at last the closing line."""

    def __init__(self, length: int, preambles: Sequence[bytes], bodies: Sequence[Body], closing: bytes) -> None:
        self.length: int | None = length
        self._queue: list[bytes | Body] = [item for pair in zip(preambles, bodies, strict=True) for item in pair] + [
            closing
        ]

    async def read(self, limit: int) -> Buffer:
        while self._queue:
            item = self._queue[0]
            if isinstance(item, bytes):
                self._queue.pop(0)
                return item
            if data := await item.read(limit):
                return data
            item.close()
            self._queue.pop(0)
        return b""

    def close(self) -> None:
        for item in self._queue:
            if not isinstance(item, bytes):
                item.close()
        self._queue.clear()
