"""How small answers are kept: API JSON, listings, raw text.

They are had whole (at most `LARGEST` bytes), without credentials, edited if they would send clients to Xet, and kept as
a blob under their own digest; one that tells nothing new is the one that is here. So is the 404 for a path that a
public repo does not have kept, since clients ask for optional files as a matter of course. Whatever else is no plain
success, be it that only the body says so, is told to the client and not kept; a client with a credential whom the
anonymous answer does not satisfy gets his own.
"""

from __future__ import annotations

import hashlib
import json
from asyncio import to_thread
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..access.public import has_credentials, listing, viewing
from ..core.errors import BodyLost, UpstreamFailed
from ..core.messages import Headers, Reply, Request, StoredResponse
from ..core.reuse import Forward, Reuse, Unavailable, Validate, decide, on_upstream_failure, replace_variant
from ..core.status import Detail, Outcome
from ..core.storing import Terms
from ..fetch.bodies import BlobBody
from ..fetch.upstream import Answer, Throttled
from ..hub import modelscope as ms
from ..hub import xet
from ..hub.resources import Document
from ..store.contract import View
from . import blobs
from .due import whole_of
from .means import Means
from .mirrored import first_good
from .relay import failure, relay, sent_upstream, standing_in
from .replies import SMALL, BytesBody, forbids_storing, not_cached, of_stored, only_if_cached

LARGEST = 32 * 1024 * 1024  # bytes, inflated
_KEPT = frozenset(
    [
        "content-type",
        "etag",
        "last-modified",
        "link",
        "x-repo-commit",
        "x-revision",  # of the viewer: `datasets` believes no answer without it
        "x-total-count",
        "content-disposition",
        "docker-content-digest",
        "date",
        "x-error-code",
        "x-error-message",
    ]
)
_TOLD = _KEPT | frozenset(
    [
        "x-request-id",
        "retry-after",
        "ratelimit",
        "ratelimit-policy",
        "www-authenticate",
        "location",
    ]
)
_SENT = frozenset({"user-agent", "accept", "content-type"})
_REFUSALS = frozenset({200, 401, 403, 404, 429})  # 200: in words
_PAGES = ("raw", "static")  # documents that may be HTML


@dataclass(frozen=True, slots=True)
class Told:
    """An answer that is not kept."""

    status: int
    headers: Headers
    body: bytes
    reason: str
    outcome: Outcome
    closed: bool = False  # it is the repo that is refused


@dataclass(frozen=True, slots=True)
class Kept:
    stored: StoredResponse
    outcome: Outcome
    data: bytes | None = None  # None: in the store


class Documents:
    def __init__(self, means: Means) -> None:
        self._means = means

    def quickly(self, view: View, request: Request, doc: Document) -> Reply | None:
        means = self._means
        if doc.what == "list" and has_credentials(request):
            return None
        rows = view.responses(self._key(doc))
        if not rows or (doc.repo is not None and not means.public.seen(view, _listed(doc))):
            return None
        verdict = decide(request, rows, means.clock(), self._terms(doc, rows))
        if not isinstance(verdict, Reuse):
            return None
        return blobs.quickly(means, view, request, verdict.stored, verdict.outcome)

    async def answer(self, request: Request, doc: Document) -> Reply:
        repo, own = _listed(doc) or self._key(doc), has_credentials(request)
        if forbids_storing(request) or (own and (self._means.public.refused(repo) or doc.what == "list")):
            return await self._relayed(request, doc)
        try:
            got = await self.current(request, doc)
            if isinstance(got, Kept) and got.data is None:
                if (reply := await self._from_store(request, got.stored, got.outcome)) is not None:
                    return reply
                got = await self.current(request, doc, gone=True)
        except UpstreamFailed as fault:
            return await self._relayed(request, doc) if own else failure(request, fault, hub=doc.hub, kind="api")
        match got:
            case Kept(stored, outcome, data):
                return self._whole(request, stored, data or b"", outcome)
            case Told(status=status) if own and status in _REFUSALS:
                return await self._relayed(request, doc)
            case Told(status, headers, body, reason, outcome):
                return Reply(status, headers, b"" if request.method == "HEAD" else body, outcome, reason)
            case None:
                return not_cached(request, hub=doc.hub, kind="api")

    async def current(
        self, request: Request, doc: Document, terms: Terms | None = None, *, gone: bool = False
    ) -> Kept | Told | None:
        """What is known of the document, asked for if what is stored is too old by `terms`, or if its bytes are `gone`.

        None for who said only-if-cached. Raises `UpstreamFailed`.
        """
        means, key = self._means, self._key(doc)
        repo = _listed(doc) or key
        rows = await means.store.responses.get(key)
        terms = terms or self._terms(doc, rows)
        match decide(request, rows, means.clock(), terms):
            case Reuse() as reuse if not gone and (doc.repo is None or await means.public.proven(repo)):
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
            got, collapsed = await means.flights.join(key, lambda: self._fetch(request, doc, rows[0] if rows else None))
        except UpstreamFailed as fault:
            status = 429 if isinstance(fault, Throttled) else None
            stored = on_upstream_failure(request, rows, means.clock(), terms, status)
            if stored is None or gone or not (doc.repo is None or await means.public.known(repo)):
                raise
            return Kept(stored, Outcome(hit=True, detail=standing_in(fault)))
        return replace(got, outcome=replace(got.outcome, fwd=outcome.fwd, collapsed=collapsed))

    # -- upstream ---------------------------------------------------------------------------------------------------

    async def _fetch(self, request: Request, doc: Document, old: StoredResponse | None) -> Kept | Told:
        means = self._means
        fields = [(k, v) for k, v in sent_upstream(request) if k.lower() in _SENT]
        fields.append(("Accept-Encoding", "gzip, deflate"))
        held: bytes | None = None
        if old is not None and old.status == 200 and (tag := dict(old.facts).get("etag")):
            held = await self.bytes_of(old)
            if held is not None:
                fields.append(("If-None-Match", tag))
        had = _if_success if doc.hub == ms.HUB else lambda answer: whole_of(doc, answer, LARGEST)
        pages = doc.what in _PAGES
        answer, read = await first_good(means, request, doc.hub, fields, had, hurry=old is not None, pages=pages)
        repo = _listed(doc)
        if answer.status == 304 and old is not None and held is not None:
            answer.release()
            return await self._renewed(doc, answer, old, held)
        data = await whole_of(doc, answer, LARGEST) if read is None else read
        absent = answer.status == 404 and answer.headers.get("x-error-code") == "EntryNotFound"
        failed = await said(data) if doc.hub == ms.HUB else None
        if (answer.status != 200 or failed is not None) and not (repo and absent):
            headers = Headers((k, v) for k, v in answer.headers.fields if k.lower() in _TOLD)
            closed = answer.status in (401, 403) or failed == ms.NO_REPO
            if repo and closed:
                with means.unless_disk_refuses():
                    await means.public.note_refusal(repo)
            headers = headers.replace(("Content-Length", str(len(data))))
            return Told(answer.status, headers, data, answer.reason, Outcome(fwd_status=answer.status), closed)
        if doc.hub == ms.HUB and old is not None and old.status == answer.status:
            held = await self.bytes_of(old)
            if held is not None and await to_thread(ms.same_answer, held, data):
                return await self._renewed(doc, answer, old, held)
        return await self._keep(doc, answer, data)

    async def _renewed(self, doc: Document, answer: Answer, old: StoredResponse, held: bytes) -> Kept:
        date = answer.headers.get("date")  # the age is counted from it (RFC 9111, 3.2 and 4.2.3)
        headers = old.headers.replace(("Date", date)) if date else old.headers.without("date")
        new = replace(old, headers=headers, request_time=answer.request_time, response_time=answer.response_time)
        await self._put(doc, new)
        if doc.repo is not None:
            await self._means.public.note_success(_listed(doc))
        return Kept(new, Outcome(fwd_status=answer.status, stored=True), held)

    async def _keep(self, doc: Document, answer: Answer, data: bytes) -> Kept:
        means = self._means
        edited = doc.edit and means.rules.xet != "native"
        body = await to_thread(self._edited, data) if edited and b'"xetHash"' in data else data
        digest = await to_thread(lambda: hashlib.sha256(body).hexdigest())
        kept = [(k, v) for k, v in answer.headers.fields if k.lower() in _KEPT]
        tag = answer.headers.get("etag")
        if body is not data and tag is not None:
            kept = [(k, v) for k, v in kept if k.lower() != "etag"] + [("ETag", f'W/"{digest[:32]}"')]
        stored = StoredResponse(
            status=answer.status,
            headers=Headers(kept),
            request_time=answer.request_time,
            response_time=answer.response_time,
            url=answer.url.partition("?")[0],
            blob=f"sha256:{digest}",
            size=len(body),
            kind="api",
            facts=(("etag", tag),) if tag else (),
        )
        if doc.repo is not None:
            await means.public.note_success(_listed(doc))
        with means.unless_disk_refuses():
            await blobs.keep(means, f"sha256:{digest}", body)
            await self._put(doc, stored)
        return Kept(stored, Outcome(fwd_status=answer.status, stored=True), body)

    def _edited(self, data: bytes) -> bytes:
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            return data
        return json.dumps(xet.without_xet(document, self._means.rules.keep_xet), separators=(",", ":")).encode()

    async def _put(self, doc: Document, stored: StoredResponse) -> None:
        key = self._key(doc)
        rows = await self._means.store.responses.get(key)
        await self._means.keep(key, replace_variant(rows, stored))

    # -- replies ----------------------------------------------------------------------------------------------------

    async def _from_store(self, request: Request, stored: StoredResponse, outcome: Outcome) -> Reply | None:
        if (reply := blobs.quickly(self._means, self._means.store.memory, request, stored, outcome)) is not None:
            return reply
        data = await self.bytes_of(stored)
        return None if data is None else self._whole(request, stored, data, outcome)

    async def bytes_of(self, stored: StoredResponse) -> bytes | None:
        """The document from the store; None if a piece of it is gone."""
        if not stored.size or stored.blob is None:
            return b""
        store = self._means.store.blobs
        manifest = await store.manifest(stored.blob)
        if manifest is None or not manifest.sealed:
            return None
        try:
            return await blobs.whole(BlobBody(store, manifest, 0, manifest.size))
        except BodyLost:
            return None

    def _whole(self, request: Request, stored: StoredResponse, data: bytes, outcome: Outcome) -> Reply:
        means = self._means
        reply = of_stored(request, stored, lambda a, b: data[a:b], outcome, means.clock(), means.boundary)
        if isinstance(reply.body, bytes) and len(reply.body) > 1024 * 1024:
            reply.body = BytesBody(reply.body)
        return reply

    async def _relayed(self, request: Request, doc: Document) -> Reply:
        return await relay(self._means, request, hub=doc.hub, kind="api", detail=Detail.ACCESS)

    def _terms(self, doc: Document, rows: Sequence[StoredResponse]) -> Terms:
        return self._means.rules.document(rows[0].status if rows else 200, pinned=doc.pinned, what=doc.what)

    def _key(self, doc: Document) -> str:
        return f"{doc.key}~{self._means.rules.xet}" if doc.edit else doc.key


def _listed(doc: Document) -> str:
    """What the proof is about. A gated repo is listed for all, but its files are not: raw text counts as a file.

    The dataset viewer goes by rules of its own, so what it refuses says nothing of the listing, nor the reverse.
    """
    if doc.repo is None:
        return ""
    return {"raw": doc.repo.key, "viewer": viewing(doc.repo)}.get(doc.what) or listing(doc.repo)


async def said(data: bytes) -> int | None:
    """The code of the failure that a body speaks of, if it does."""
    return await to_thread(ms.failure_of, data) if len(data) > SMALL else ms.failure_of(data)


async def _if_success(answer: Answer) -> bytes | None:
    data = await answer.whole(LARGEST)
    return data if await said(data) is None else None
