"""How a signed CDN link is answered.

Such a URL is a permission that the hub gave. One that was seen on its way to a client (`access.issued`) is answered
from the store, and what is not here is fetched through that very URL, for all who ask, and proven by its digest before
anything of it is shared. Of any other URL nobody here knows whether it is good: the hub is asked for one byte by it,
without credentials, and if it gives just that, the link is good for whoever holds it, until it ends. What nobody gave a
permission for is given out only if it came from a repo that is still proven public; the rest is for the hub to decide,
each time, and of what it sends in place of the bytes that the link names nothing arrives whole.

What a link brings is not public: the next link to it has to be good as well, and to lead to just these bytes: a hub may
give out links to what was never there.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from urllib.parse import parse_qs, urlsplit

from ..access.issued import Issued
from ..access.public import pulling
from ..core.errors import IntegrityError, UpstreamFailed
from ..core.messages import Headers, Reply, Request, StoredResponse
from ..core.status import Fwd, Outcome
from ..fetch.bodies import BlobBody
from ..hub.resources import Blob, File, Layer
from ..hub.signed import Link, expiry
from ..store.contract import Manifest
from . import blobs
from .agent import agent_of, asking
from .attested import Attested
from .issuing import notice, size_told
from .means import Means
from .mirrored import is_page
from .relay import failure, relay
from .replies import forbids_storing, of_stored
from .sources import Redirected
from .whole import Behind
from .witness import Witness


class Links:
    def __init__(self, means: Means) -> None:
        self._means, self._witness = means, Witness(means)

    async def answer(self, request: Request, link: Blob) -> Reply:
        means = self._means
        issued = means.issued.find(request.url)
        if issued is None and (manifest := await self._public(link)) is not None:
            stored = self._stored(request, link.digest, manifest.size)
            reply = of_stored(
                request,
                stored,
                lambda a, b: BlobBody(means.store.blobs, manifest, a, b),
                Outcome(hit=True),
                means.clock(),
                means.boundary,
            )
            reply.whole = Behind(means, manifest.blob, manifest.size)
            if await blobs.readable(reply):
                return reply
        if forbids_storing(request):
            return await self._asked(request, link)
        if issued is None or issued.size is None:
            issued = await self._learned(request, link, issued)
        return await (self._asked(request, link) if issued is None else self._given(request, link, issued))

    async def _given(self, request: Request, link: Blob, issued: Issued) -> Reply:
        """To the holder of a good link."""
        means = self._means
        manifest = await means.store.blobs.manifest(issued.blob)
        size = manifest.size if manifest is not None and manifest.sealed else issued.size or 0
        place = request.url.partition("?")[0]
        source = Redirected(
            means.upstream,
            [request.url],
            size,
            hub=link.hub,
            may_follow=lambda url: False,
            headers=(("User-Agent", agent_of(request.headers)),),
        )
        try:
            return await blobs.reply(
                means,
                request,
                replace(self._stored(request, issued.blob, size), url=place),
                Outcome(hit=True),
                source,
                public=False,
                witness=partial(self._witness.has, place, source=source),
            )
        except UpstreamFailed as fault:
            if means.fills.disproven(issued.blob):
                return failure(request, fault, hub=link.hub, kind="blob")
            means.issued.forget(request.url)
            return await self._asked(request, link)
        except IntegrityError as fault:
            return failure(request, fault, hub=link.hub, kind="blob")

    async def _learned(self, request: Request, link: Blob, issued: Issued | None) -> Issued | None:
        """The link as one that was issued, if the hub takes it; collapsed, since parts are asked for all at once."""
        blob = issued.blob if issued is not None else link.digest
        if request.method != "GET" or not blob.startswith("sha256:"):
            return None
        size, _ = await self._means.flights.join(f"link:{request.url}", lambda: self._one_byte(request, link))
        if not size or not notice(self._means, Link(request.url, blob, size, expiry(request.url)), link.hub):
            return None
        return self._means.issued.find(request.url)

    async def _one_byte(self, request: Request, link: Blob) -> int | None:
        """The size of what the link leads to; None if the hub does not say, or refuses, be it with status 200."""
        fields = (*asking(agent_of(request.headers)), ("Range", "bytes=0-0"))
        try:
            answer = await self._means.upstream.open("GET", request.url, fields, hub=link.hub)
            size = size_told(answer) if answer.status == 206 else None
            if size is not None:
                await answer.chunk()
        except UpstreamFailed:
            return None
        answer.release() if answer.status == 206 else answer.close()
        return size

    async def _asked(self, request: Request, link: Blob) -> Reply:
        reply = await relay(self._means, request, hub=link.hub, kind="blob", fwd=Fwd.URI_MISS)
        if reply.status == 200 and is_page(reply.headers) and not _named(reply, link):  # no digest would tell
            reply.close()
            fault = UpstreamFailed(f"{request.host} sent a page where a file was due")
            return failure(request, fault, hub=link.hub, kind="blob")
        plain = reply.status == 200 and reply.headers.get("content-encoding") in (None, "identity")
        if (
            plain
            and request.method == "GET"
            and link.digest.startswith("sha256:")
            and not isinstance(reply.body, bytes)
        ):
            reply.body = Attested(reply.body, link.digest.removeprefix("sha256:"))
        return reply

    async def _public(self, link: Blob) -> Manifest | None:
        """The blob, if all of it is here and the repo that brought it is still public."""
        store = self._means.store.blobs
        manifest = await store.manifest(link.digest)
        if manifest is None or not (manifest.sealed and manifest.public and await self._proven(manifest.source)):
            return None
        return manifest if len(await store.present(link.digest)) == manifest.pieces else None

    async def _proven(self, source: str) -> bool:
        """The repo that brought the bytes is still public."""
        at = urlsplit(source)
        if at.hostname is None:
            return False
        match self._means.classifier.classify("GET", "https", at.hostname, 443, at.path, ""):
            case File(repo):
                return await self._means.public.proven(repo.key)
            case Layer(repo):
                return await self._means.public.proven(pulling(repo))
            case _:
                return False

    def _stored(self, request: Request, blob: str, size: int) -> StoredResponse:
        now = self._means.clock()
        fields = [
            ("Content-Type", "application/octet-stream"),
            ("ETag", f'"{blob.partition(":")[2]}"'),
            ("Accept-Ranges", "bytes"),
        ]
        name = parse_qs(request.query).get("response-content-disposition", [""])[0]
        if name and name.isascii() and name.isprintable():
            fields.append(("Content-Disposition", name))
        return StoredResponse(200, Headers(fields), now, now, blob=blob, size=size)


def _named(reply: Reply, link: Blob) -> bool:
    """Unless the link names a Xet file: a bridge gives the hash of one as its ETag, whatever type it is of."""
    scheme, _, name = link.digest.partition(":")
    return scheme != "xet" or reply.headers.get("etag") == f'"{name}"'
