"""How small answers are kept: API JSON, listings, raw text.

They are had whole (at most `LARGEST` bytes) and without credentials, and kept for everybody as `told` says. So is the
404 for a path that a public repo does not have kept, since clients ask for optional files as a matter of course.
Whatever else is no plain success, be it that only the body says so, is told to the client and not kept; a client with
a credential whom the anonymous answer does not satisfy gets his own, which is kept for him alone (`confided`), or not
at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..access.public import giving, has_credentials, listing, viewing
from ..core.errors import UpstreamFailed
from ..core.messages import Reply, Request, StoredResponse
from ..core.reuse import Forward, Reuse, Unavailable, Validate, decide, on_upstream_failure
from ..core.status import Detail, Outcome
from ..core.storing import Terms, replace_variant
from ..fetch.upstream import Answer
from ..hub import modelscope as ms
from ..hub.resources import Document
from ..store.contract import View
from . import blobs
from .agent import asking_for, plainly
from .confided import Confided
from .due import whole_of
from .means import Means
from .mirrored import first_good
from .permission import Permission, refuses
from .relay import failed_with, failure, relay, standing_in
from .replies import forbids_storing, not_cached, only_if_cached
from .told import LARGEST, Kept, Told, bytes_of, kept, may_be_page, renewed, said, tells_the_same, terms_of, told, whole

_REFUSALS = frozenset({200, 401, 403, 404, 429})  # 200: in words


class Documents:
    def __init__(self, means: Means) -> None:
        self._means, self.confided = means, Confided(means)

    def quickly(self, view: View, request: Request, doc: Document) -> Reply | None:
        means = self._means
        if doc.what == "list" and has_credentials(request):
            return None
        rows = view.responses(self._key(doc))
        if not rows or (doc.repo is not None and not means.public.seen(view, _proof(doc, rows[0].status))):
            return None
        verdict = decide(request, rows, means.clock(), self._terms(doc, rows))
        if not isinstance(verdict, Reuse):
            return None
        return blobs.quickly(means, view, request, verdict.stored, verdict.outcome)

    async def answer(self, request: Request, doc: Document) -> Reply:
        repo, own = _listed(doc) or self._key(doc), has_credentials(request)
        who = self.confided.holder(request, doc) if own else None
        if forbids_storing(request):
            return await self._relayed(request, doc, who)
        held = who is not None and self.confided.holds(request, doc, who)
        if held or (own and (self._means.public.refused(repo) or doc.what == "list")):
            return await self._own(request, doc, who)
        try:
            waits = who is not None and self.confided.holds(request, doc, who, unasked=True)
            got = await self.current(request, doc, hurry=waits)
            if isinstance(got, Kept) and got.data is None:
                if (reply := await self._from_store(request, got.stored, got.outcome)) is not None:
                    return reply
                got = await self.current(request, doc, gone=True)
        except UpstreamFailed as fault:
            return await self._own(request, doc, who) if own else failure(request, fault, hub=doc.hub, kind="api")
        match got:
            case Kept(stored, outcome, data):
                return whole(self._means, request, stored, data or b"", outcome)
            case Told(status=status) if own and status in _REFUSALS:
                return await self._own(request, doc, who)
            case Told(status, headers, body, reason, outcome):
                return Reply(status, headers, b"" if request.method == "HEAD" else body, outcome, reason)
            case None:
                return not_cached(request, hub=doc.hub, kind="api")

    async def current(
        self, request: Request, doc: Document, terms: Terms | None = None, *, gone: bool = False, hurry: bool = False
    ) -> Kept | Told | None:
        """What is known of the document, asked for if what is stored is too old by `terms`, or if its bytes are `gone`.
        `hurry`: something else may stand in.

        None for who said only-if-cached. Raises `UpstreamFailed`.
        """
        means, key = self._means, self._key(doc)
        rows = await means.store.responses.get(key)
        proof = _proof(doc, rows[0].status if rows else 200)
        terms = terms or self._terms(doc, rows)
        match decide(request, rows, means.clock(), terms):
            case Reuse() as reuse if not gone and (doc.repo is None or await means.public.proven(proof)):
                return Kept(reuse.stored, reuse.outcome)
            case Unavailable():
                return None
            case Reuse() if only_if_cached(request):
                return None
            case Validate(reason=reason) | Forward(reason=reason):
                outcome = Outcome(fwd=reason)
            case Reuse():
                outcome = Outcome()
        try:
            old = rows[0] if rows else None
            got, collapsed = await means.flights.join(key, lambda: self._fetch(request, doc, old, hurry or bool(old)))
        except UpstreamFailed as fault:
            stored = on_upstream_failure(request, rows, means.clock(), terms, failed_with(fault))
            if stored is None or gone or not (doc.repo is None or await means.public.known(proof)):
                raise
            return Kept(stored, Outcome(hit=True, detail=standing_in(fault)))
        return replace(got, outcome=replace(got.outcome, fwd=outcome.fwd, collapsed=collapsed))

    # -- upstream ---------------------------------------------------------------------------------------------------

    async def _fetch(self, request: Request, doc: Document, old: StoredResponse | None, hurry: bool) -> Kept | Told:
        means = self._means
        request, fields = plainly(request, doc), asking_for(request, doc)
        held: bytes | None = None
        if old is not None and old.status == 200 and (tag := dict(old.facts).get("etag")):
            held = await self.bytes_of(old)
            if held is not None:
                fields.append(("If-None-Match", tag))
        had = _if_success if doc.hub == ms.HUB else lambda answer: whole_of(doc, answer, LARGEST)
        pages = may_be_page(doc, old)
        answer, read = await first_good(means, request, doc.hub, fields, had, hurry=hurry, pages=pages)
        repo = _listed(doc)
        if answer.status == 304 and old is not None and held is not None:
            answer.release()
            return await self._renewed(doc, answer, old, held)
        data = await whole_of(doc, answer, LARGEST) if read is None else read
        if (unkept := await told(doc, answer, data)) is not None:
            if repo and unkept.closed:
                with means.unless_disk_refuses():
                    await means.public.note_refusal(repo)
            return unkept
        if old is not None:
            held = await self.bytes_of(old) if doc.hub == ms.HUB else None
            if held is not None and await tells_the_same(doc, answer, old, held, data):
                return await self._renewed(doc, answer, old, held)
        stored, body = await kept(means.rules, doc, answer, data)
        await self._proven(doc, stored, answer)
        with means.unless_disk_refuses():
            await blobs.keep(means, stored.blob or "", body)
            await self._put(doc, stored)
        return Kept(stored, Outcome(fwd_status=answer.status, stored=True), body)

    async def _renewed(self, doc: Document, answer: Answer, old: StoredResponse, held: bytes) -> Kept:
        new = renewed(answer, old)
        await self._put(doc, new)
        await self._proven(doc, new, answer)
        return Kept(new, Outcome(fwd_status=answer.status, stored=True), held)

    async def _proven(self, doc: Document, stored: StoredResponse, answer: Answer) -> None:
        if doc.repo is not None:
            await self._means.public.note_success(_proof(doc, stored.status), answer.request_time)

    async def _put(self, doc: Document, stored: StoredResponse) -> None:
        key = self._key(doc)
        rows = await self._means.store.responses.get(key)
        await self._means.keep(key, replace_variant(rows, stored))

    # -- replies ----------------------------------------------------------------------------------------------------

    async def _from_store(self, request: Request, stored: StoredResponse, outcome: Outcome) -> Reply | None:
        if (reply := blobs.quickly(self._means, self._means.store.memory, request, stored, outcome)) is not None:
            return reply
        data = await self.bytes_of(stored)
        return None if data is None else whole(self._means, request, stored, data, outcome)

    async def bytes_of(self, stored: StoredResponse) -> bytes | None:
        return await bytes_of(self._means, stored)

    async def _own(self, request: Request, doc: Document, who: Permission | None) -> Reply:
        """Of what strangers are refused, as far as can be told."""
        return await (self._relayed(request, doc) if who is None else self.confided.answer(request, doc, who))

    async def _relayed(self, request: Request, doc: Document, who: Permission | None = None) -> Reply:
        reply = await relay(self._means, request, hub=doc.hub, kind="api", detail=Detail.ACCESS)
        asked = reply.outcome.fwd_status is not None
        if who is not None and asked and refuses(reply.status, reply.headers.get("x-error-code") or ""):
            self.confided.heard(doc, who)
        return reply

    def _terms(self, doc: Document, rows: Sequence[StoredResponse]) -> Terms:
        return terms_of(self._means.rules, doc, rows)

    def _key(self, doc: Document) -> str:
        return f"{doc.key}~{self._means.rules.xet}" if doc.edit else doc.key


def _proof(doc: Document, status: int) -> str:
    """By which strangers may have it."""
    if doc.what == "raw" and doc.about is not None:
        return giving(doc.about.repo, doc.about.path or "", status)
    return _listed(doc)


def _listed(doc: Document) -> str:
    """What a refusal is about. A gated repo is listed for all, but its files are not: raw text counts as a file.

    The dataset viewer goes by rules of its own, so what it refuses says nothing of the listing, nor the reverse.
    """
    if doc.repo is None:
        return ""
    return {"raw": doc.repo.key, "viewer": viewing(doc.repo)}.get(doc.what) or listing(doc.repo)


async def _if_success(answer: Answer) -> bytes | None:
    data = await answer.whole(LARGEST)
    return data if await said(data) is None else None
