"""Plain RFC 9111: the further hosts of the configuration, and hub pages that no route knows.

What `core` calls storable is stored while it streams: a body of known length becomes a blob that others read behind the
first; one without a length is kept if it ends within one piece. A range of something that is not here is passed on.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import replace

from ..access.public import has_credentials, principal
from ..core import invalidation
from ..core.conditions import CONDITIONS
from ..core.errors import BodyLost, UpstreamFailed
from ..core.messages import Headers, Reply, Request, StoredResponse
from ..core.reuse import FAILURES, Forward, Reuse, Unavailable, Validate, decide, on_upstream_failure
from ..core.status import Detail, Fwd, Outcome
from ..core.storing import NotStorable, Terms, replace_variant, storable, stored_from
from ..core.validation import after_validation, freshen_from_head
from ..fetch.bodies import BlobBody
from ..fetch.fill import Fill
from ..fetch.upstream import Answer
from ..hub.paths import url_key
from ..hub.resources import Plain
from ..store.contract import LARGEST, PIECE, Manifest, View
from .blobs import quickly, readable
from .granting import hands_out
from .means import Means
from .relay import end_to_end, failure, passed_on, relay, sent_upstream
from .replies import not_cached, of_stored
from .sources import Opened, Resumed


class Plains:
    def __init__(self, means: Means) -> None:
        self._means = means
        self._background: set[asyncio.Task[None]] = set()

    def quickly(self, view: View, request: Request, plain: Plain) -> Reply | None:
        if plain.strict and has_credentials(request):
            return None
        means = self._means
        rows = view.responses(plain.key)
        if not rows:
            return None
        verdict = decide(request, rows, means.clock(), means.rules.plain())
        if not isinstance(verdict, Reuse) or verdict.revalidate_in_background:
            return None
        return quickly(means, view, request, verdict.stored, verdict.outcome)

    async def answer(self, request: Request, plain: Plain) -> Reply:
        if plain.strict and has_credentials(request):
            return await relay(self._means, request, hub=plain.hub, kind="plain")
        return await self._decided(request, plain, self._means.rules.plain())

    async def _decided(self, request: Request, plain: Plain, terms: Terms) -> Reply:
        means = self._means
        rows = await means.store.responses.get(plain.key)
        match decide(request, rows, means.clock(), terms):
            case Reuse() as reuse:
                reply = await self._from_store(request, plain, reuse.stored, reuse.outcome)
                if reply is not None:
                    if reuse.revalidate_in_background:
                        self._revalidate(request, plain, terms)
                    return reply
                return await self._forward(request, plain, terms, rows, Outcome(fwd=Fwd.MISS), None)
            case Validate(stored=stored, headers=conditions, reason=reason):
                if (await means.store.blobs.manifest(stored.blob or "")) is None and stored.size:
                    return await self._forward(request, plain, terms, rows, Outcome(fwd=reason), None)
                return await self._forward(request, plain, terms, rows, Outcome(fwd=reason), (stored, conditions))
            case Forward(reason=reason):
                return await self._forward(request, plain, terms, rows, Outcome(fwd=reason), None)
            case Unavailable():
                return not_cached(request, hub=plain.hub, kind="plain")

    # -- upstream ---------------------------------------------------------------------------------------------------

    async def _forward(
        self,
        request: Request,
        plain: Plain,
        terms: Terms,
        rows: Sequence[StoredResponse],
        outcome: Outcome,
        validating: tuple[StoredResponse, Headers] | None,
    ) -> Reply:
        means = self._means
        if validating is not None or (request.method == "GET" and "range" not in request.headers and rows):
            fields = (*sent_upstream(request, drop=CONDITIONS | {"range"}), *(validating[1] if validating else ()))
        else:
            fields = sent_upstream(request)
        method = "GET" if validating is not None and request.method != "HEAD" else request.method
        try:
            answer = await means.upstream.open(
                method, request.url, fields, hub=plain.hub, principal=principal(request.headers)
            )
        except UpstreamFailed as fault:
            return await self._instead(request, plain, terms, rows, None) or failure(
                request, fault, hub=plain.hub, kind="plain"
            )
        outcome = replace(outcome, fwd_status=answer.status)
        if validating is not None and answer.status == 304:
            answer.release()
            new = after_validation(validating[0], answer.headers, answer.request_time, answer.response_time)
            if new is not None:
                await self._put(plain, new)
                reply = await self._from_store(request, plain, new, replace(outcome, stored=True))
                if reply is not None:
                    return reply
            return await self._forward(request, plain, terms, (), outcome, None)
        if (
            answer.status in FAILURES
            and (reply := await self._instead(request, plain, terms, rows, answer.status)) is not None
        ):
            answer.close()
            return reply
        if request.method == "HEAD":
            await self._learn_from_head(plain, rows, answer)
            return passed_on(request, answer, outcome, plain.hub, "plain")
        return await self._taken(request, plain, terms, answer, fields, outcome)

    async def _taken(
        self,
        request: Request,
        plain: Plain,
        terms: Terms,
        answer: Answer,
        fields: Sequence[tuple[str, str]],
        outcome: Outcome,
    ) -> Reply:
        """Store the answer if it may be, while it goes to the client."""
        plan = storable(request, answer.status, answer.headers, answer.response_time, terms)
        secret = hands_out(self._means, request, answer)
        if isinstance(plan, NotStorable) or secret:
            return passed_on(request, answer, outcome, plain.hub, "plain")
        stored = stored_from(
            request,
            plan,
            request_time=answer.request_time,
            response_time=answer.response_time,
            url=request.origin + request.path,
            blob=f"body:{os.urandom(16).hex()}",
            kind="plain",
        )
        if (stored.size or 0) > LARGEST:
            return passed_on(request, answer, outcome, plain.hub, "plain")
        if stored.size is None and answer.status != 204:
            return await self._spooled(request, plain, answer, stored, outcome)
        stored = replace(stored, size=stored.size or 0)
        if not stored.size:
            answer.release()
            stored = replace(stored, blob=None)
            await self._put(plain, stored)
            return self._reply(request, _as_it_came(stored, answer), replace(outcome, stored=True), b"")
        manifest = Manifest(
            stored.blob or "", stored.size or 0, public=True, validator=answer.headers.get("etag") or ""
        )
        source = Opened(self._means.upstream, answer, fields, hub=plain.hub)
        try:
            fill, _ = await self._means.fills.join(manifest, source, stream=True)
        except BaseException:
            answer.close()
            raise
        if not fill.diskless:
            await self._put(plain, stored)

        def cut(start: int, end: int) -> BlobBody:
            return BlobBody(self._means.store.blobs, fill.manifest, start, end, fill=fill)

        outcome = replace(outcome, stored=not fill.diskless)
        shown = _as_it_came(stored, answer)
        return of_stored(request, shown, cut, outcome, self._means.clock(), self._means.boundary)

    async def _spooled(
        self, request: Request, plain: Plain, answer: Answer, stored: StoredResponse, outcome: Outcome
    ) -> Reply:
        """A body of unknown length: kept if it ends within one piece, else passed on."""
        parts: list[bytes] = []
        size = 0
        try:
            while size <= PIECE and (data := await answer.chunk()):
                parts.append(data)
                size += len(data)
        except UpstreamFailed:
            return passed_on(request, answer, outcome, plain.hub, "plain", begun=b"".join(parts))
        except BaseException:
            answer.close()
            raise
        body = b"".join(parts)
        if size > PIECE:
            return passed_on(request, answer, outcome, plain.hub, "plain", begun=body)
        stored = replace(stored, size=size, blob=stored.blob if size else None)
        with self._means.unless_disk_refuses():
            if stored.blob is not None:
                await self._means.store.blobs.create(Manifest(stored.blob, size, public=True))
                await self._means.store.blobs.write_piece(stored.blob, 0, body)
                await self._means.store.blobs.seal(stored.blob, public=True)
            await self._put(plain, stored)
            outcome = replace(outcome, stored=True)
        return self._reply(request, _as_it_came(stored, answer), outcome, body)

    # -- what is here -----------------------------------------------------------------------------------------------

    async def _instead(
        self, request: Request, plain: Plain, terms: Terms, rows: Sequence[StoredResponse], status: int | None
    ) -> Reply | None:
        stored = on_upstream_failure(request, rows, self._means.clock(), terms, status)
        if stored is None:
            return None
        detail = Detail.OFFLINE if status is None else Detail.STALE_IF_ERROR
        return await self._from_store(request, plain, stored, Outcome(hit=True, detail=detail))

    async def _from_store(
        self, request: Request, plain: Plain, stored: StoredResponse, outcome: Outcome
    ) -> Reply | None:
        """The reply; None if its bytes are not all here or on their way. A piece that is lost in the middle is had
        again under the validator that it came by."""
        means = self._means
        if (done := quickly(means, means.store.memory, request, stored, outcome)) is not None:
            return done
        if stored.blob is None or (manifest := await means.store.blobs.manifest(stored.blob)) is None:
            return None
        fill = means.fills.current(stored.blob)
        if fill is None and not (
            manifest.sealed and len(await means.store.blobs.present(stored.blob)) == manifest.pieces
        ):
            return None

        fields = sent_upstream(request, drop=CONDITIONS | {"range"})
        source = Resumed(means.upstream, request.url, stored.headers.get("etag"), fields, hub=plain.hub)

        async def refill() -> Fill:
            return (await means.fills.join(manifest, source))[0]

        def cut(start: int, end: int) -> BlobBody:
            return BlobBody(means.store.blobs, manifest, start, end, fill=fill, refill=refill)

        if fill is not None:
            outcome = replace(outcome, collapsed=True)
        reply = of_stored(request, stored, cut, outcome, means.clock(), means.boundary)
        return reply if fill is not None or await readable(reply) else None

    def _reply(self, request: Request, stored: StoredResponse, outcome: Outcome, data: bytes) -> Reply:
        means = self._means
        return of_stored(request, stored, lambda a, b: data[a:b], outcome, means.clock(), means.boundary)

    async def _put(self, plain: Plain, stored: StoredResponse) -> None:
        rows = await self._means.store.responses.get(plain.key)
        await self._means.keep(plain.key, replace_variant(rows, stored))

    async def _learn_from_head(self, plain: Plain, rows: Sequence[StoredResponse], answer: Answer) -> None:
        if not rows:
            return
        kept = [
            freshen_from_head(r, answer.status, answer.headers, answer.request_time, answer.response_time) for r in rows
        ]
        await self._means.keep(plain.key, tuple(k for k in kept if k is not None))

    def _revalidate(self, request: Request, plain: Plain, terms: Terms) -> None:
        """Freshen in the background; the client has been served (RFC 5861 §3)."""
        quiet = replace(request, method="GET", headers=request.headers.without("range", *CONDITIONS))

        async def run() -> None:
            async def once() -> None:
                rows = await self._means.store.responses.get(plain.key)
                strict = replace(terms, stale_if_error=0.0)
                verdict = decide(quiet, rows, self._means.clock(), strict)
                if isinstance(verdict, Reuse) and not verdict.revalidate_in_background:
                    return
                checking = quiet.headers.replace(("Cache-Control", "max-age=0"))
                reply = await self._decided(replace(quiet, headers=checking), plain, strict)
                try:
                    while not isinstance(reply.body, bytes) and await reply.body.read(PIECE):
                        pass
                except BodyLost:
                    pass
                finally:
                    reply.close()

            await self._means.flights.join(f"revalidate:{plain.key}", once)

        task = asyncio.create_task(run())
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def invalidate(self, request: Request, status: int, headers: Headers) -> None:
        """After an unsafe request: what it made wrong must not be used again (RFC 9111 §4.4)."""
        for url in invalidation.targets(request, status, headers):
            await self._means.keep(url_key(url), ())


def _as_it_came(stored: StoredResponse, answer: Answer) -> StoredResponse:
    """For the client whose request brought it: with what is his alone and therefore not stored, such as a cookie."""
    return replace(stored, headers=end_to_end(answer.headers))
