"""How small answers are kept: API JSON, listings, raw text.

They are had whole (at most `LARGEST` bytes), without credentials, edited if they would send clients to Xet, and kept as
a blob under their own digest. So is the 404 for a path that a public repo does not have, since clients ask for optional
files as a matter of course. Whatever else is no plain success is told to the client and not kept; a client with a
credential whom the anonymous answer does not satisfy gets his own.
"""

from __future__ import annotations

import hashlib
import json
from asyncio import to_thread
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..access.public import has_credentials, listing
from ..core.errors import BodyLost, UpstreamFailed
from ..core.messages import Headers, Reply, Request, StoredResponse
from ..core.reuse import FAILURES, Forward, Reuse, Unavailable, Validate, decide, on_upstream_failure, replace_variant
from ..core.status import Detail, Outcome
from ..core.storing import Terms
from ..fetch.bodies import BlobBody
from ..fetch.upstream import Answer, Throttled
from ..hub import huggingface as hf
from ..hub import xet
from ..hub.resources import Document
from ..store.contract import PIECE, Manifest, View
from . import blobs
from .means import Means
from .relay import failure, relay, sent_upstream, standing_in
from .replies import BytesBody, forbids_storing, not_cached, of_stored, only_if_cached

LARGEST = 32 * 1024 * 1024  # bytes, inflated
_KEPT = frozenset(
    [
        "content-type",
        "etag",
        "last-modified",
        "link",
        "x-repo-commit",
        "x-total-count",
        "content-disposition",
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
_REFUSALS = frozenset({401, 403, 404, 429})


@dataclass(frozen=True, slots=True)
class Told:
    """An answer that is not kept."""

    status: int
    headers: Headers
    body: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Kept:
    stored: StoredResponse
    status: int  # what upstream answered
    data: bytes


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
        means, key = self._means, self._key(doc)
        repo = _listed(doc) or key
        own = has_credentials(request)
        if forbids_storing(request) or (own and (means.public.refused(repo) or doc.what == "list")):
            return await self._relayed(request, doc)
        rows = await means.store.responses.get(key)
        terms = self._terms(doc, rows)
        match decide(request, rows, means.clock(), terms):
            case Reuse() as reuse if doc.repo is None or await means.public.proven(repo):
                if (reply := await self._from_store(request, reuse.stored, reuse.outcome)) is not None:
                    return reply
                outcome = Outcome()
            case Unavailable():
                return not_cached(request, hub=doc.hub, kind="api")
            case Reuse() if only_if_cached(request):
                return not_cached(request, hub=doc.hub, kind="api")
            case Validate(reason=reason) | Forward(reason=reason):
                outcome = Outcome(fwd=reason)
            case Reuse():
                outcome = Outcome()
        try:
            got, collapsed = await means.flights.join(key, lambda: self._fetch(request, doc, rows[0] if rows else None))
        except UpstreamFailed as fault:
            status = 429 if isinstance(fault, Throttled) else None
            stored = on_upstream_failure(request, rows, means.clock(), terms, status)
            if stored is not None and (doc.repo is None or await means.public.known(repo)):
                reply = await self._from_store(request, stored, Outcome(hit=True, detail=standing_in(fault)))
                if reply is not None:
                    return reply
            if own:
                return await self._relayed(request, doc)
            return failure(request, fault, hub=doc.hub, kind="api")
        match got:
            case Kept(stored, status, data):
                outcome = replace(outcome, fwd_status=status, stored=True, collapsed=collapsed)
                return self._whole(request, stored, data, outcome)
            case Told(status=status) if own and status in _REFUSALS:
                return await self._relayed(request, doc)
            case Told(status, headers, body, reason_phrase):
                outcome = replace(outcome, fwd_status=status, collapsed=collapsed)
                return Reply(status, headers, b"" if request.method == "HEAD" else body, outcome, reason_phrase)

    # -- upstream ---------------------------------------------------------------------------------------------------

    async def _fetch(self, request: Request, doc: Document, old: StoredResponse | None) -> Kept | Told:
        means = self._means
        fields = [(k, v) for k, v in sent_upstream(request) if k.lower() in _SENT]
        fields.append(("Accept-Encoding", "gzip, deflate"))
        held: bytes | None = None
        if old is not None and old.status == 200 and (tag := dict(old.facts).get("etag")):
            held = await self._bytes(old)
            if held is not None:
                fields.append(("If-None-Match", tag))
        answer = await self._first_good(request, doc, fields, hurry=old is not None)
        repo = _listed(doc)
        if answer.status == 304 and old is not None and held is not None:
            answer.release()
            new = replace(old, request_time=answer.request_time, response_time=answer.response_time)
            await self._put(doc, new)
            if repo:
                await means.public.note_success(repo)
            return Kept(new, 304, held)
        data = await answer.whole(LARGEST)
        absent = answer.status == 404 and answer.headers.get("x-error-code") == "EntryNotFound"
        if answer.status != 200 and not (repo and absent):
            headers = Headers((k, v) for k, v in answer.headers.fields if k.lower() in _TOLD)
            if repo and answer.status in (401, 403):
                with means.unless_disk_refuses():
                    await means.public.note_refusal(repo)
            return Told(answer.status, headers.replace(("Content-Length", str(len(data)))), data, answer.reason)
        return await self._keep(doc, answer, data)

    async def _first_good(
        self, request: Request, doc: Document, fields: list[tuple[str, str]], *, hurry: bool
    ) -> Answer:
        """The first upstream that does not fail: mirrors, then the host that was asked."""
        fault: UpstreamFailed | None = None
        mirrors = self._means.rules.mirrors if request.host in hf.HOME_HOSTS else ()  # only the hub itself can refuse
        for base in (*mirrors, request.origin):
            method = "POST" if request.method == "POST" else "GET"
            try:
                answer = await self._means.upstream.open(
                    method, base + request.target, fields, body=request.body or None, hub=doc.hub, hurry=hurry
                )
            except UpstreamFailed as failed:
                fault = failed
                continue
            if answer.status < 400 or (answer.status not in FAILURES and base == request.origin):
                answer.speak_as(base, request.origin)
                return answer
            answer.close()
            fault = answer.failure()
        raise fault or UpstreamFailed("no upstream is configured")

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
            await self._store(stored, body)
            await self._put(doc, stored)
        return Kept(stored, answer.status, body)

    def _edited(self, data: bytes) -> bytes:
        try:
            document = json.loads(data)
        except ValueError:
            return data
        return json.dumps(xet.without_xet(document, self._means.rules.keep_xet), separators=(",", ":")).encode()

    async def _store(self, stored: StoredResponse, body: bytes) -> None:
        store = self._means.store.blobs
        assert stored.blob is not None
        if not body:
            return
        manifest = await store.create(Manifest(stored.blob, len(body), public=True))
        if manifest.sealed and len(await store.present(stored.blob)) == manifest.pieces:
            return
        view = memoryview(body)
        for index in range(manifest.pieces):
            await store.write_piece(stored.blob, index, view[index * PIECE : (index + 1) * PIECE])
        await store.seal(stored.blob, public=True)

    async def _put(self, doc: Document, stored: StoredResponse) -> None:
        key = self._key(doc)
        rows = await self._means.store.responses.get(key)
        await self._means.keep(key, replace_variant(rows, stored))

    # -- replies ----------------------------------------------------------------------------------------------------

    async def _from_store(self, request: Request, stored: StoredResponse, outcome: Outcome) -> Reply | None:
        if (reply := blobs.quickly(self._means, self._means.store.memory, request, stored, outcome)) is not None:
            return reply
        data = await self._bytes(stored)
        return None if data is None else self._whole(request, stored, data, outcome)

    async def _bytes(self, stored: StoredResponse) -> bytes | None:
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
    """What the proof is about. A gated repo is listed for all, but its files are not: raw text counts as a file."""
    if doc.repo is None:
        return ""
    return doc.repo.key if doc.what == "raw" else listing(doc.repo)
