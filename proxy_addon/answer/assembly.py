"""One pass over a Xet file: its terms in order, unpacked and hashed, while their ranges come.

The pass reads what is in the store. What is not there it has fetched itself, a few ranges ahead, so it is no slower
than the hub whether its clients are or not. Work is linear in the file, since the place of each chunk in a range is
remembered, and memory is a read, a chunk, and the fills ahead. A file all of whose ranges are proven is right at once.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from array import array
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from cachetools import LRUCache

from ..core.errors import BodyLost, IntegrityError, UpstreamFailed
from ..core.messages import Buffer
from ..fetch.bodies import BlobBody
from ..hub.terms import Segment
from ..hub.xet import Identity
from ..store.contract import Blobs, Manifest
from ..xorb import codings
from ..xorb.frames import Frames
from .downloads import Layout, Map
from .ranges import Ranges, Unkept, within

AHEAD = 8  # ranges
TRIES = 4  # to bring one range
PATIENCE = 10.0  # seconds until the next try, if nobody asks for anything before
_SCANNED = 64  # segments looked at for ranges to bring ahead
log = logging.getLogger(__name__)


class Verdict(Enum):
    RIGHT = "right"
    WRONG = "wrong"
    UNKNOWN = "unknown"  # not everything could be had, or be read again


@dataclass(slots=True)
class Used:
    birth: str
    spans: set[tuple[int, int]] = field(default_factory=set)  # chunks, half-open


class Assembly:
    def __init__(self, blobs: Blobs, ranges: Ranges, identity: Identity) -> None:
        self.identity = identity
        self.used: dict[str, Used] = {}  #: what the verdict is about
        self._blobs, self._ranges = blobs, ranges
        self._map = Map()
        self._news = asyncio.Event()
        self._tables: LRUCache[str, array[int]] = LRUCache(64)  # range -> where its chunks begin
        self._coming: dict[str, asyncio.Task[Manifest]] = {}

    def add(self, layout: Layout) -> None:
        self._map.add(layout)
        self.nudge()

    def nudge(self) -> None:
        """Something may be had that could not before."""
        self._news.set()

    async def run(self) -> Verdict:
        try:
            if await self._all_proven():
                return Verdict.RIGHT
            return await self._hashed()
        except Unkept:  # as is told already
            return Verdict.UNKNOWN
        except (UpstreamFailed, IntegrityError, BodyLost, OSError) as fault:
            log.warning("file %s cannot be proven: %s", self.identity.file, fault)
            return Verdict.UNKNOWN
        finally:
            for task in self._coming.values():
                task.cancel()

    async def _all_proven(self) -> bool:
        at = 0
        while at < self.identity.size:
            await asyncio.sleep(0)  # all of this may be in memory
            segment = await self._next(at)
            mark = await self._ranges.proven(segment.blob)
            if not within(_span(segment), mark.proven):
                return False
            self._use(segment, mark.birth)
            at = segment.end
        return True

    async def _hashed(self) -> Verdict:
        self.used.clear()
        at, digest = 0, hashlib.sha256()
        while at < self.identity.size:
            segment = await self._next(at)
            try:
                digest = await self._with(segment, at, digest)
            except IntegrityError:
                return Verdict.WRONG
            at = segment.end
        return Verdict.RIGHT if digest.hexdigest() == self.identity.sha256 else Verdict.WRONG

    async def _with(self, segment: Segment, at: int, digest: Any) -> Any:
        for left in reversed(range(TRIES)):
            manifest, after = await self._brought(segment), digest.copy()
            self._use(segment, manifest.validator)
            try:
                await self._take(
                    manifest, _Taking(segment, at - segment.at, self.identity.size - at, after, self._table(manifest))
                )
                return after
            except BodyLost:  # forgotten while it was read
                if not left:
                    raise
        raise AssertionError

    async def _next(self, at: int) -> Segment:
        while True:
            self._news.clear()
            segment = self._map.covering(at)
            if segment is not None:
                return segment
            await self._news.wait()

    def _use(self, segment: Segment, birth: str) -> None:
        used = self.used.setdefault(segment.blob, Used(birth))
        used.birth = birth
        used.spans.add(_span(segment))

    # -- bringing ---------------------------------------------------------------------------------------------------

    async def _brought(self, segment: Segment) -> Manifest:
        for each in (segment, *self._map.after(segment.at, _SCANNED)):
            if len(self._coming) > AHEAD:
                break
            if each.blob not in self._coming and (each is segment or each.blob not in self.used):
                self._begin(each.blob)
        if segment.blob not in self._coming:
            self._begin(segment.blob)
        try:
            return await self._coming[segment.blob]
        finally:
            self._coming.pop(segment.blob).cancel()

    def _begin(self, blob: str) -> None:
        task = self._coming[blob] = asyncio.create_task(self._bring(blob))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # seen: it may never be awaited

    async def _bring(self, blob: str) -> Manifest:
        """Keeps trying for a while: the client needs the range too, and may come with a newer link."""
        for left in reversed(range(TRIES)):
            try:
                return await self._ranges.brought(blob)
            except (UpstreamFailed, IntegrityError, BodyLost):
                if not left:
                    raise
                self._news.clear()
                try:
                    await asyncio.wait_for(self._news.wait(), PATIENCE)
                except TimeoutError:
                    continue
        raise AssertionError

    # -- reading ----------------------------------------------------------------------------------------------------

    def _table(self, manifest: Manifest) -> array[int]:
        table: array[int] | None = self._tables.get(manifest.validator)
        if table is None:
            table = self._tables[manifest.validator] = array("Q", (0,))
        return table

    async def _take(self, manifest: Manifest, taking: _Taking) -> None:
        body = BlobBody(
            self._blobs, manifest, taking.start, manifest.size, refill=lambda: self._ranges.refilled(manifest)
        )
        loop = asyncio.get_running_loop()
        try:
            while not taking.done:
                data = await body.read(manifest.size)
                if not data:
                    raise IntegrityError("a range ends before its term does")
                await loop.run_in_executor(None, taking.feed, data)
        finally:
            body.close()


class _Taking:
    """Hashes what one segment brings, beginning at the nearest chunk whose place is known."""

    def __init__(self, segment: Segment, drop: int, most: int, digest: Any, table: array[int]) -> None:
        self._segment, self._drop, self._most, self._digest, self._table = segment, drop, most, digest, table
        self._chunk = min(segment.skip, len(table) - 1)
        self.start = table[self._chunk]
        self._at = self.start
        self._left = segment.size  # bytes that its chunks must have, to the last
        self._frames = Frames()
        self.done = False

    def feed(self, data: Buffer) -> None:
        """Blocks; in a thread. Raises `IntegrityError`."""
        segment = self._segment
        for chunk in self._frames.feed(data):
            if segment.skip <= self._chunk < segment.skip + segment.count:
                self._left -= chunk.size
                self._hash(codings.unpack(chunk))
            self._chunk += 1
            self._at += chunk.length
            if self._chunk == len(self._table):
                self._table.append(self._at)
            if self._chunk == segment.skip + segment.count:
                if self._left:
                    raise IntegrityError("chunks of another length than their term says")
                self.done = True
                return

    def _hash(self, data: Buffer) -> None:
        skip = min(self._drop, len(data))
        part = memoryview(data)[skip : skip + self._most]
        self._drop -= skip
        self._most -= len(part)
        self._digest.update(part)


def _span(segment: Segment) -> tuple[int, int]:
    return segment.skip, segment.skip + segment.count
