"""Bytes of a stored response: from memory, from the store, or behind a fill."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..core.errors import UpstreamFailed
from ..core.messages import Body, Reply, Request, StoredResponse
from ..core.ranges import Full, Partial, answer_stored
from ..core.status import Fwd, Outcome
from ..fetch.bodies import BlobBody
from ..fetch.fill import Fill
from ..fetch.transfer import Source
from ..store.contract import Manifest, View
from .means import Means
from .replies import SMALL, of_stored

type Wanted = Callable[[], Awaitable[Source] | Source]


def quickly(means: Means, view: View, request: Request, stored: StoredResponse, outcome: Outcome) -> Reply | None:
    """The reply if every byte of it is in sight."""
    if request.method == "HEAD" or not stored.size:
        data: bytes | None = b""
    elif stored.blob is not None and (data := view.small(stored.blob)) is not None:
        pass
    elif isinstance(answer_stored(request, stored), Full | Partial):
        return None
    held = data or b""
    return of_stored(request, stored, lambda a, b: held[a:b], outcome, means.clock(), means.boundary)


async def reply(
    means: Means, request: Request, stored: StoredResponse, outcome: Outcome, source: Source, *, public: bool = True
) -> Reply:
    """The reply with its body, fetched through `source` as far as it is not here.

    Raises `UpstreamFailed` if not even the first byte can be had."""
    if (done := quickly(means, means.store.memory, request, stored, outcome)) is not None:
        return done
    assert stored.blob is not None and stored.size is not None
    if means.fills.disproven(stored.blob) and _goes_on(request, stored):
        raise UpstreamFailed("what was sent of this file before was wrong: start over, without a range")
    blobs = means.store.blobs
    manifest = await blobs.manifest(stored.blob)
    fresh = manifest is None or not manifest.sealed or manifest.size != stored.size
    if manifest is None or manifest.size != stored.size:
        manifest = Manifest(stored.blob, stored.size, public=public, source=stored.url)
    target = manifest
    fill: Fill | None = None
    if fresh:
        fill, joined = await means.fills.join(target, source)
        target = fill.manifest
        outcome = Outcome(
            hit=False,
            fwd=outcome.fwd or Fwd.MISS,
            fwd_status=outcome.fwd_status,
            stored=not joined and not fill.diskless,
            collapsed=joined,
            ttl=outcome.ttl,
            detail=outcome.detail,
        )

    async def refill() -> Fill:
        return (await means.fills.join(target, source))[0]

    def cut(start: int, end: int) -> Body:
        return BlobBody(blobs, target, start, end, fill=fill, refill=refill)

    answer = of_stored(request, stored, cut, outcome, means.clock(), means.boundary)
    if isinstance(answer.body, BlobBody) and fill is not None:
        try:
            await answer.body.begun()
        except BaseException:
            answer.body.close()
            raise
    if not isinstance(answer.body, bytes) and fill is None and (answer.body.length or SMALL + 1) <= SMALL:
        answer.body = await whole(answer.body)
    return answer


def _goes_on(request: Request, stored: StoredResponse) -> bool:
    """A range that does not begin at the start."""
    match answer_stored(request, stored):
        case Partial(parts):
            return all(start for start, _ in parts)
        case _:
            return False


async def whole(body: Body) -> bytes:
    """A small body at once; raises `BodyLost`."""
    try:
        parts = []
        while data := await body.read(SMALL):
            parts.append(bytes(data))
        return b"".join(parts)
    finally:
        body.close()
