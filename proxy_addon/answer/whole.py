"""The file behind a reply: what it takes to have all of it here, whatever part of it was asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..core.errors import BodyLost, UpstreamFailed
from ..core.messages import Request, StoredResponse
from ..core.ranges import Full, Partial, answer_stored
from ..fetch.fill import Fill
from ..fetch.pieces import ANY
from ..fetch.transfer import Source
from ..store.contract import Manifest
from .means import Means


@dataclass(slots=True, eq=False)
class Behind:
    """A `core.messages.Whole`. Without a `source` it is what is here already. `fill`: what the reply itself reads."""

    means: Means
    blob: str
    size: int
    rest: bool = False
    source: Source | None = None
    public: bool = False
    url: str = ""
    fill: Fill | None = None

    async def bring(self) -> bool:
        while not await self._here():
            fill = self.fill if self.fill is not None and self.fill.error is None else await self._joined()
            if fill is None or not await _brought(fill):
                return False
            if self.fill is fill:
                self.fill = None
            elif not await self._here():
                return False
        return True

    async def _here(self) -> bool:
        blobs = self.means.store.blobs
        manifest = await blobs.manifest(self.blob)
        return manifest is not None and manifest.sealed and len(await blobs.present(self.blob)) == manifest.pieces

    async def _joined(self) -> Fill | None:
        if self.source is None:
            return None
        manifest = await self.means.store.blobs.manifest(self.blob)
        if manifest is None or manifest.size != self.size:
            manifest = Manifest(self.blob, self.size, public=self.public, source=self.url)
        elif not (self.public or manifest.sealed):
            manifest = replace(manifest, public=False)
        fill, _ = await self.means.fills.join(manifest, self.source, url=self.url)
        return fill


async def _brought(fill: Fill) -> bool:
    """All of it is in the store; False if the disk does not take it. Raises `BodyLost`, `UpstreamFailed`."""
    if fill.diskless:
        fill.give_up()
        return False
    want = fill.join(0, fill.manifest.size)
    try:
        while not (fill.manifest.sealed and fill.pieces.all_stored):
            if isinstance(fill.error, UpstreamFailed):
                raise fill.error
            if fill.error is not None:
                raise BodyLost(str(fill.error)) from fill.error
            if fill.diskless:
                return False
            await fill.pieces.progress(ANY)
    finally:
        fill.leave(want)
    return True


def goes_to_the_end(request: Request, stored: StoredResponse) -> bool:
    """Who is sent this has no end of the file before what comes before that."""
    match answer_stored(request, stored):
        case Full():
            return True
        case Partial(((_, end),)):
            return end == stored.size
        case _:
            return False
