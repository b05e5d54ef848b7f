"""How a range of a xorb is answered: from the store, and through the client's own link if it is not there.

Only by a link that was seen when a hub issued it, and only for just the range that it is signed for; whatever else is
asked, the hub answers. So private files stay private: nothing is given out that the hub would not give to whoever
shows this link. All who ask at the same time share one fill. What the hub says instead of the bytes is passed on as it
is, because a client that is told 403 asks for a new link, and one that is told so for no reason asks without end.
"""

from __future__ import annotations

from weakref import WeakSet

from cachetools import TTLCache

from ..core.conditions import CONDITIONS
from ..core.errors import BodyLost, IntegrityError, UpstreamFailed
from ..core.messages import Buffer, Headers, Reply, Request
from ..core.status import Detail, Fwd, Outcome
from ..fetch.bodies import BlobBody
from ..fetch.fill import TAIL, Fill
from ..hub.resources import Xorb
from .agent import agent_of
from .downloads import Downloads, Link
from .means import Means
from .proofs import Proofs
from .ranges import Ranges, size_of
from .relay import failure, relay
from .replies import forbids_storing, refusal

_UNSOUND = 3  # times that a range has come broken; from then on clients get it as the hub sends it
_UNSOUND_FOR = 3600.0  # seconds


class Xorbs:
    def __init__(self, means: Means, downloads: Downloads, ranges: Ranges, proofs: Proofs) -> None:
        self._means, self._downloads, self._ranges, self._proofs = means, downloads, ranges, proofs
        self._unsound: TTLCache[str, int] = TTLCache(4096, _UNSOUND_FOR, means.timer)
        self._counted: WeakSet[Fill] = WeakSet()  # by how many it was read does not matter

    async def answer(self, request: Request, xorb: Xorb) -> Reply:
        issued = self._means.issued.find(request.url)
        ours = issued is not None and issued.blob == xorb.key and _is_just(request, xorb)
        link = self._downloads.of(request.url) if ours else None
        if link is not None and await self._is_void(link):
            self._downloads.over(link.download)
            text = "hubgate: wrong bytes of this file were sent before; download it again from the start"
            return refusal(request, 404, text, Detail.INTEGRITY, hub=xorb.hub, kind=xorb.kind)
        if not ours or forbids_storing(request) or self._unsound.get(xorb.key, 0) >= _UNSOUND:
            return await relay(self._means, request, hub=xorb.hub, kind=xorb.kind, fwd=Fwd.URI_MISS)
        try:
            return await self._given(request, xorb, link)
        except (UpstreamFailed, IntegrityError) as fault:
            return failure(request, fault, hub=xorb.hub, kind=xorb.kind)

    async def _is_void(self, link: Link) -> bool:
        """A client that was cut once is told before the head: some do not live through a second cut."""
        download = link.download
        if download.failures and link.last and not download.void:
            await self._proofs.opened(download)
            try:
                await self._proofs.verdict(download)
            finally:
                self._proofs.closed(download)
        return download.void

    async def _given(self, request: Request, xorb: Xorb, link: Link | None) -> Reply:
        means, blob = self._means, xorb.key
        blobs = means.store.blobs
        agent = (("User-Agent", agent_of(request.headers)),)
        manifest = await blobs.manifest(blob)
        if manifest is not None and manifest.sealed and len(await blobs.present(blob)) == manifest.pieces:
            body = BlobBody(blobs, manifest, 0, manifest.size, refill=lambda: self._ranges.refilled(manifest))
            return await self._reply(xorb, body, None, manifest.validator, Outcome(hit=True), "", link)
        while True:
            source = self._ranges.source(blob, request.url, agent)
            fill, joined = await self._ranges.fill(blob, source)
            body = BlobBody(blobs, fill.manifest, 0, fill.manifest.size, fill=fill)
            try:
                await _begun(fill)
                await body.begun()
            except (UpstreamFailed, IntegrityError):
                body.close()
                self._count(blob, fill)
                if source.refused is not None:
                    return source.refused
                if not joined:
                    raise
                continue  # the link of whoever came first was no good; ours may be
            except BaseException:
                body.close()
                raise
            outcome = Outcome(
                fwd=Fwd.PARTIAL if fill.refills else Fwd.URI_MISS,
                fwd_status=None if joined else 206,
                stored=not joined and not fill.diskless,
                collapsed=joined,
            )
            return await self._reply(xorb, body, fill, fill.manifest.validator, outcome, source.total, link)

    async def _reply(
        self,
        xorb: Xorb,
        body: BlobBody,
        fill: Fill | None,
        birth: str,
        outcome: Outcome,
        total: str,
        link: Link | None,
    ) -> Reply:
        guarded = Guarded(self, xorb.key, body, fill, birth, link)
        try:
            if link is not None:
                link.download.going.append((xorb.key, birth))
                await self._proofs.opened(link.download)
            total = await self._ranges.told_total(xorb.key, total)
        except BaseException:
            guarded.close()
            raise
        fields = (
            ("Content-Type", "application/octet-stream"),
            ("ETag", f'"{xorb.hash}"'),
            ("Accept-Ranges", "bytes"),
            ("Content-Range", f"bytes {xorb.start}-{xorb.end - 1}/{total}"),
            ("Content-Length", str(xorb.end - xorb.start)),
        )
        return Reply(206, Headers(fields), guarded, outcome)

    def _count(self, blob: str, fill: Fill) -> None:
        if isinstance(fill.error, IntegrityError) and fill not in self._counted:
            self._counted.add(fill)
            self._unsound[blob] = self._unsound.get(blob, 0) + 1

    # -- what the bodies tell ---------------------------------------------------------------------------------------

    async def may_end(self, link: Link | None) -> bool:
        return link is None or not link.last or await self._proofs.verdict(link.download)

    def ended(self, blob: str, fill: Fill | None, birth: str, link: Link | None, *, whole: bool) -> None:
        if fill is not None:
            self._ranges.note(fill)
            self._count(blob, fill)
        if link is not None:
            link.download.going.remove((blob, birth))
            if whole:
                link.download.taken.setdefault(blob, set()).add(birth)
            if whole and link.last:
                self._downloads.over(link.download)
            self._proofs.closed(link.download)


class Guarded:
    """A range on its way to a client: what is held back until the file is proven, and who has taken it."""

    def __init__(
        self, xorbs: Xorbs, blob: str, body: BlobBody, fill: Fill | None, birth: str, link: Link | None
    ) -> None:
        self.length: int | None = size_of(blob)
        self._xorbs, self._blob, self._body = xorbs, blob, body
        self._fill, self._birth, self._link = fill, birth, link
        self._left = size_of(blob)
        self._free = False  # the tail may go
        self._closed = False

    async def read(self, limit: int) -> Buffer:
        if not self._free and self._left <= TAIL:
            if not await self._xorbs.may_end(self._link):
                raise BodyLost("the file has another SHA-256 than it should")
            self._free = True
        data = await self._body.read(limit if self._free else min(limit, self._left - TAIL))
        self._left -= len(data)
        return data

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._body.close()
            self._xorbs.ended(self._blob, self._fill, self._birth, self._link, whole=not self._left)


async def _begun(fill: Fill) -> None:
    """Returns when the hub has begun to send what is missing; raises `UpstreamFailed` if it will not."""
    missing = next((n for n in range(fill.manifest.pieces) if n not in fill.pieces.present), None)
    while missing is not None and not fill.pieces.here(missing):
        if fill.error is not None:
            raise fill.error if isinstance(fill.error, UpstreamFailed) else UpstreamFailed(str(fill.error))
        await fill.pieces.progress(missing)


def _is_just(request: Request, xorb: Xorb) -> bool:
    """A plain read of the range that the link is signed for, and of nothing else."""
    asked = request.headers.get("range")
    conditional = any(name in request.headers for name in CONDITIONS)
    return request.method == "GET" and asked == f"bytes={xorb.start}-{xorb.end - 1}" and not conditional
