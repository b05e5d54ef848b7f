"""The fills under way, one for each blob; who asks for a blob that is being filled joins."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import replace
from functools import partial

from cachetools import LRUCache, TTLCache

from ..core.errors import BodyLost, IntegrityError, UpstreamFailed
from ..store.contract import LARGEST, Blobs, Manifest
from ..troubles import Trouble
from .fill import Fill
from .flights import Flights
from .transfer import Source

DISPROVEN_FOR = 3600.0  # seconds
log = logging.getLogger(__name__)


class Fills:
    def __init__(self, blobs: Blobs, flights: Flights, *, connections: int, slots: asyncio.Semaphore) -> None:
        self._blobs, self._flights, self._connections, self._slots = blobs, flights, connections, slots
        self._open: dict[str, Fill] = {}
        self._all: set[Fill] = set()
        self._disproven: TTLCache[str, bool] = TTLCache(4096, DISPROVEN_FOR)
        self._alone: dict[Fill, str] = {}  # the URL by which all of it comes
        self._brought: LRUCache[str, str] = LRUCache(65_536)
        self._opening: set[Fill] = set()  # had openly now, of what others have brought and is here no more
        self._promised: set[asyncio.Task[None]] = set()
        self.disproved = 0  #: how many have ended because what came was not what had been promised
        self.trouble: str | None = None  #: why the last write failed; None once one succeeded
        self._refusals = Trouble(log, "the cache cannot be written, and answers go on without it")

    def __len__(self) -> int:
        return len(self._all)

    async def join(
        self, manifest: Manifest, source: Source, *, stream: bool = False, url: str = ""
    ) -> tuple[Fill, bool]:
        """The fill of `manifest.blob`, and whether it was there before. `source` is used only by a new one.

        `stream`: it has one answer open that brings everything, which one connection shall read to its end. `url`: what
        `source` is, for `brought`. Raises `UpstreamFailed` for a size beyond belief.
        """
        blob = manifest.blob
        if manifest.size > LARGEST:
            raise UpstreamFailed(f"{manifest.size} bytes are more than a file has")
        if (fill := self.current(blob)) is not None:
            return fill, True
        begin = partial(self._begin, manifest, source, stream, url)
        (fill, made_for), _ = await self._flights.join(f"fill:{blob}", begin)
        if fill.diskless and made_for is not source:
            fill, made_for = await self._begin(manifest, source, stream, url)
        return fill, made_for is not source

    def disproven(self, blob: str) -> bool:
        """Wrong bytes of it went out a while ago, all but the tail: who goes on from there ends with a wrong file."""
        return blob in self._disproven

    def brought(self, blob: str) -> str:
        """The URL by which all of the blob was last fetched and proven, by this process; else empty."""
        return self._brought.get(blob, "")

    def bringing(self, blob: str) -> str:
        """The URL by which all of the blob is being fetched; else empty."""
        fill = self.current(blob)
        return "" if fill is None else self._alone.get(fill, "")

    def current(self, blob: str) -> Fill | None:
        """The fill under way that newcomers may join."""
        fill = self._open.get(blob)
        return fill if fill is not None and fill.error is None and not fill.diskless else None

    async def _begin(self, manifest: Manifest, source: Source, stream: bool, url: str) -> tuple[Fill, Source]:
        diskless, opens, present = False, False, set[int]()
        self._blobs.pin(manifest.blob)  # the fill's own, given back when it closes
        try:
            open, manifest = manifest.public, await self._blobs.create(manifest)
            if manifest.public and not (open or manifest.sealed):
                await self._blobs.set_public(manifest.blob, False)  # somebody else wanted to have it openly
                manifest = replace(manifest, public=False)
            present = await self._blobs.present(manifest.blob)
            opens = open and manifest.sealed and not (manifest.public or present)
        except OSError as fault:
            self.refused(manifest.blob, fault)
            diskless = True
            manifest = replace(manifest, sealed=False)  # what is on record to compare it with cannot be read
        except BaseException:
            self._blobs.unpin(manifest.blob)
            raise
        fill = Fill(
            self._blobs,
            manifest,
            present,
            source,
            connections=1 if stream else self._connections,
            alone=stream,
            slots=self._slots,
            closed=self._close,
            refused=self.refused,
            diskless=diskless,
        )
        if url and not (present or manifest.sealed):
            self._alone[fill] = url
        if opens:
            self._opening.add(fill)
        self._all.add(fill)
        if not diskless:
            self._open[manifest.blob] = fill
        return fill, source

    def refused(self, what: str, fault: Exception) -> None:
        """The disk has not taken it."""
        self.trouble = str(fault)
        self._refusals.came(f"{what}: {fault}")

    def _close(self, fill: Fill) -> None:
        self.disproved += isinstance(fill.error, IntegrityError)
        if isinstance(fill.error, IntegrityError) and not fill.refills:  # of a proven blob nothing wrong went out
            self._disproven[fill.manifest.blob] = True
        elif fill.manifest.sealed:
            self._disproven.pop(fill.manifest.blob, None)
            if fill in self._alone:
                self._brought[fill.manifest.blob] = self._alone[fill]
        if fill.diskless:
            self.trouble = self.trouble or "a piece was refused"
        elif fill.manifest.sealed:
            self.trouble = None
            self._refusals.over()
        if fill in self._opening and fill.pieces.present:  # each was checked against the digests on record
            task = asyncio.ensure_future(self._open_to_all(fill.manifest.blob))
            self._promised.add(task)
            task.add_done_callback(self._promised.discard)
        self._all.discard(fill)
        self._opening.discard(fill)
        self._alone.pop(fill, None)
        if self._open.get(fill.manifest.blob) is fill:
            del self._open[fill.manifest.blob]

    async def _open_to_all(self, blob: str) -> None:
        with contextlib.suppress(OSError):
            await self._blobs.set_public(blob, True)

    async def close(self) -> None:
        """Stop all; readers are cut short."""
        for fill in list(self._all):
            fill.cancel(BodyLost("the proxy stops"))
        await asyncio.sleep(0)
        if self._promised:
            await asyncio.wait(self._promised, timeout=5)
