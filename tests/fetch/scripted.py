"""A source, a store and a fill in memory: PIECE is what it is, so the blobs are made of runs of cheap bytes."""

from __future__ import annotations

import asyncio
import errno
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

from proxy_addon.core.errors import BodyLost, UpstreamFailed
from proxy_addon.core.messages import Buffer
from proxy_addon.fetch.bodies import BlobBody
from proxy_addon.fetch.fills import Fills
from proxy_addon.fetch.flights import Flights
from proxy_addon.fetch.upstream import Answer
from proxy_addon.store.contract import Manifest
from tests.contracts.model import DictBlobs
from tests.engine.rig import until
from tests.hub import Synthetic


@cache
def content(size: int) -> bytes:
    """Bytes that differ from place to place."""
    return bytes(Synthetic(size, 3).read(0, size))


@cache
def name_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass
class Script:
    """What one source does: `cuts` are bytes after which answers end, one after the other; then all goes well."""

    data: bytes
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    chunk: int = 256 * 1024
    fault: Exception | None = None  # every answer from now on
    gate: asyncio.Event | None = None  # answers wait for it
    pause: int = 0  # ...after so many bytes
    asked: list[tuple[int, int]] = field(default_factory=list)
    open_answers: int = 0

    async def open(self, start: int, end: int) -> tuple[Answer, int]:
        self.asked.append((start, end))
        if self.fault is not None:
            raise self.fault
        self.open_answers += 1
        at = start if self.ranges else 0
        stop = end if self.ranges else len(self.data)
        return cast(Answer, _Answer(self, self.data[at:stop], self.cuts.pop(0) if self.cuts else None)), at


class _Answer:
    def __init__(self, script: Script, data: bytes, cut: int | None) -> None:
        self._script, self._rest, self._left, self._closed = script, memoryview(data), cut, False
        self._size = len(data)

    async def chunk(self) -> bytes:
        if self._script.gate is not None and self._size - len(self._rest) >= self._script.pause:
            await self._script.gate.wait()
        await asyncio.sleep(0)
        size = self._script.chunk if self._left is None else min(self._script.chunk, self._left)
        if self._left is not None:
            if size == 0 and self._rest:
                raise UpstreamFailed("cut")
            self._left -= size
        data, self._rest = bytes(self._rest[:size]), self._rest[size:]
        return data

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._script.open_answers -= 1


class Refusing(DictBlobs):
    """A disk on which some pieces find no room."""

    def __init__(self, refuses: Callable[[int], bool] = lambda index: True) -> None:
        super().__init__()
        self._refuses = refuses

    async def write_piece(self, blob: str, index: int, data: Buffer) -> None:
        if self._refuses(index):
            raise OSError(errno.ENOSPC, "no space left")
        await super().write_piece(blob, index, data)


class Bench:
    """Fills over a store in memory."""

    def __init__(self, blobs: DictBlobs | None = None, *, connections: int = 2, places: int = 64) -> None:
        self.blobs = blobs or DictBlobs()
        self.fills = Fills(self.blobs, Flights(), connections=connections, slots=asyncio.Semaphore(places))

    async def body(self, source: Script, start: int = 0, end: int | None = None, *, blob: str = "") -> BlobBody:
        name, size = blob or name_of(source.data), len(source.data)
        manifest = await self.blobs.manifest(name)
        if manifest is not None and manifest.sealed:
            return BlobBody(self.blobs, manifest, start, size if end is None else end, refill=self._refill(source))
        fill, _ = await self.fills.join(Manifest(name, size, public=True), source)
        return BlobBody(self.blobs, fill.manifest, start, size if end is None else end, fill=fill)

    def _refill(self, source: Script) -> Any:
        async def refill() -> Any:
            manifest = await self.blobs.manifest(name_of(source.data))
            assert manifest is not None
            return (await self.fills.join(manifest, source))[0]

        return refill

    async def read(self, source: Script, start: int = 0, end: int | None = None, *, blob: str = "") -> bytes:
        """All bytes of a range; raises BodyLost."""
        return await drain(await self.body(source, start, end, blob=blob))

    async def idle(self) -> None:
        await until(lambda: not len(self.fills), "the end of all fills")


async def drain(body: BlobBody, limit: int = 1 << 20) -> bytes:
    parts = []
    try:
        async with asyncio.timeout(60):
            while data := await body.read(limit):
                assert len(data) <= limit
                parts.append(bytes(data))
    finally:
        body.close()
    return b"".join(parts)


async def exactly(body: BlobBody, size: int) -> bytes:
    """The next so many bytes."""
    parts, left = [], size
    async with asyncio.timeout(60):
        while left:
            data = await body.read(left)
            assert data, "it ended"
            parts.append(bytes(data))
            left -= len(data)
    return b"".join(parts)


async def cut_short(body: BlobBody) -> bytes:
    """What came of a body that is cut; fails if it was not."""
    parts = []
    try:
        async with asyncio.timeout(60):
            while data := await body.read(1 << 20):
                parts.append(bytes(data))
    except BodyLost:
        return b"".join(parts)
    finally:
        body.close()
    raise AssertionError("the body came to a proper end")
