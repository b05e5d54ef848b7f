"""Bytes of a stored response: from memory, from the store, or behind a fill."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from random import SystemRandom

from ..core.errors import BodyLost, FillOver, IntegrityError, UpstreamFailed
from ..core.messages import Body, Reply, Request, StoredResponse
from ..core.ranges import Full, Partial, answer_stored
from ..core.status import Fwd, Outcome
from ..fetch.bodies import BlobBody
from ..fetch.fill import Fill
from ..fetch.pieces import ANY
from ..fetch.transfer import Source
from ..fetch.upstream import Answer
from ..store.contract import PIECE, Manifest, View
from .means import Means
from .replies import SMALL, of_stored
from .whole import Behind, goes_to_the_end

SAMPLE = 32  # bytes
_RANDOM = SystemRandom()


def quickly(means: Means, view: View, request: Request, stored: StoredResponse, outcome: Outcome) -> Reply | None:
    """The reply if every byte of it is in sight."""
    if request.method == "HEAD" or not stored.size:
        data: bytes | None = b""
    elif stored.blob is not None and (data := view.small(stored.blob)) is not None:
        pass
    elif isinstance(answer_stored(request, stored), Full | Partial):
        return None
    held = data or b""
    reply = of_stored(request, stored, lambda a, b: held[a:b], outcome, means.clock(), means.boundary)
    if stored.status == 200 and stored.blob is not None:
        reply.whole = Behind(means, stored.blob, stored.size or 0)
    return reply


async def reply(
    means: Means,
    request: Request,
    stored: StoredResponse,
    outcome: Outcome,
    source: Source,
    *,
    public: bool = True,
    checked: bool = False,
    witness: Callable[[Manifest], Awaitable[bool]] | None = None,
) -> Reply:
    """The reply with its body, fetched through `source` as far as it is not here. `checked`: the client compares the
    digest itself, and starts over when it is wrong. `witness`: asked before bytes are given out that came otherwise,
    and again when there were none yet.

    Raises `UpstreamFailed` if not even the first byte can be had, `IntegrityError` if another size is
    known, or if the client has wrong bytes and goes on from there."""
    if (done := quickly(means, means.store.memory, request, stored, outcome)) is not None:
        if isinstance(done.whole, Behind):
            done.whole.source, done.whole.public, done.whole.url = source, public, stored.url
            done.whole.rest = goes_to_the_end(request, stored)
        return done
    assert stored.blob is not None and stored.size is not None
    if means.fills.disproven(stored.blob) and not checked and _goes_on(request, stored):
        raise IntegrityError("what was sent of this file before was wrong: start over, without a range")
    blobs, settled = means.store.blobs, False

    async def shown(manifest: Manifest) -> bool:
        nonlocal settled
        if public:
            settled = manifest.public or await _made_public(means, manifest, source)
        else:
            settled = witness is None or await witness(manifest)
        return settled

    async def joining(manifest: Manifest) -> tuple[Fill, bool]:
        while True:
            fill, joined = await means.fills.join(manifest, source, url=stored.url)
            if joined and not settled:
                await _behind(fill, shown)
            elif not settled:  # what is here after all was not shown to be what `source` gives: it has to bring it
                for piece in [*fill.pieces.present]:
                    fill.lost(piece)
            if not isinstance(fill.error, FillOver):  # as it may be, since that took a while
                return fill, joined

    manifest = await blobs.manifest(stored.blob)
    if manifest is not None and not (public or manifest.sealed):
        manifest = replace(manifest, public=False)  # that some of it was asked for openly says nothing of the rest
    if manifest is not None and await shown(manifest):
        manifest = replace(manifest, public=public or manifest.public)
    fresh = not settled or manifest is None or not manifest.sealed or manifest.size != stored.size
    if manifest is None or manifest.size != stored.size:
        manifest = Manifest(stored.blob, stored.size, public=public, source=stored.url)
    target = replace(manifest, public=public or manifest.public)
    fill: Fill | None = None
    if fresh:
        fill, joined = await joining(target)
        if fill.manifest.size != stored.size:
            raise IntegrityError(f"{stored.blob} has another size than was promised")
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
        return (await joining(target))[0]

    def cut(start: int, end: int) -> Body:
        return BlobBody(blobs, target, start, end, fill=fill, refill=refill)

    answer = of_stored(request, stored, cut, outcome, means.clock(), means.boundary)
    answer.whole = Behind(
        means, stored.blob, stored.size, goes_to_the_end(request, stored), source, public, stored.url, fill
    )
    if isinstance(answer.body, BlobBody) and fill is not None:
        try:
            await answer.body.begun()
        except BaseException:
            answer.body.close()
            raise
    if not isinstance(answer.body, bytes) and fill is None and (answer.body.length or SMALL + 1) <= SMALL:
        answer.body = await whole(answer.body)
    return answer


async def _behind(fill: Fill, shown: Callable[[Manifest], Awaitable[bool]]) -> None:
    """It was begun for others: what comes is given out when there is something to compare. Raises `UpstreamFailed`."""
    if await shown(fill.manifest):
        return
    while not (fill.pieces.present or fill.error or fill.diskless):
        await fill.pieces.progress(ANY)
    if not await shown(fill.manifest):
        raise UpstreamFailed("what was on its way for others has not come", 503)


async def _made_public(means: Means, manifest: Manifest, source: Source) -> bool:
    """Those that are here came by somebody's link or lease. Raises `UpstreamFailed`."""
    if not await compared(means, manifest, source):
        return False
    with means.unless_disk_refuses():
        await means.store.blobs.set_public(manifest.blob, True)
    return True


async def compared(means: Means, manifest: Manifest, source: Source) -> bool:
    """That a hub names a digest for a file does not mean that it has the bytes: some of them, at a place that nobody
    can foresee, have to be had by `source`, and be those that are here. False if none are here, or can be read, to
    compare them with. Raises `UpstreamFailed`."""
    store = means.store.blobs
    here = await store.present(manifest.blob)
    piece = _RANDOM.choice(sorted(here)) if here else 0
    count = min(SAMPLE, manifest.piece_size(piece))
    start = piece * PIECE + _RANDOM.randint(0, manifest.piece_size(piece) - count)
    try:
        answer, at = await source.open(start, start + count)
        found = await _beginning(answer, count)
    except UpstreamFailed as fault:
        if fault.status == 429 or fault.status >= 500:
            raise
        raise UpstreamFailed(fault.reason) from fault  # a 404 there is about the hub's link, not about the file
    if at // PIECE not in here:
        return False
    held = await _held(means, manifest, at, at + count)
    if held is not None and found != held:
        raise UpstreamFailed("other bytes lie there than the hub says")
    return held is not None


async def _beginning(answer: Answer, count: int) -> bytes:
    data = b""
    try:
        while len(data) < count and (more := await answer.chunk()):
            data += more
    finally:
        answer.close()
    return data[:count]


async def _held(means: Means, manifest: Manifest, start: int, end: int) -> bytes | None:
    try:
        return await whole(BlobBody(means.store.blobs, manifest, start, end))
    except BodyLost:
        return None


async def readable(reply: Reply) -> bool:
    """Whether what is to come out of the store begins to, while there is another way. If not, the reply is closed."""
    good = False
    try:
        good = not isinstance(reply.body, BlobBody) or await reply.body.ready()
    finally:
        if not good:
            reply.close()
    return good


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


async def keep(means: Means, blob: str, data: bytes, *, public: bool = True) -> None:
    """Store a body that is here whole. `public`: everybody may see it. Raises OSError when the disk refuses."""
    store = means.store.blobs
    if not data:
        return
    manifest = await store.create(Manifest(blob, len(data), public=public))
    if manifest.sealed and len(await store.present(blob)) == manifest.pieces:
        if public and not manifest.public:
            await store.set_public(blob, True)
        return
    view = memoryview(data)
    for index in range(manifest.pieces):
        await store.write_piece(blob, index, view[index * PIECE : (index + 1) * PIECE])
    await store.seal(blob, public=public)
