"""What a hub tells of a closed repo to one client, asked with his own permission: a private cache for each (RFC 9111).

Infos, listings and raw text that strangers are refused are kept for him alone who was told them: by what he shows, by
the host that he addressed and by the very URL. The bytes lie in the store under their digest and are not public; the
row that leads to them is in memory, as leases are. He gets them again while they are fresh and no older than a lease;
past that the hub is asked, with his permission, and while it cannot be asked they stand in as far as the operator says
(`access.leases`). A refusal, or a change of the repo, ends all that he was told of it. Nothing of it proves a lease.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from cachetools import TTLCache

from ..core.errors import UpstreamFailed
from ..core.messages import Reply, Request, StoredResponse
from ..core.reuse import FAILURES, Forward, Reuse, Unavailable, Validate, decide, on_upstream_failure
from ..core.status import Detail, Fwd, Outcome
from ..core.storing import Terms
from ..fetch.upstream import Answer
from ..hub.resources import Document
from . import blobs
from .due import whole_of
from .means import Means
from .mirrored import a_page
from .permission import OTHER_NAMES, Permission, permission
from .relay import failed_with, failure, standing_in
from .replies import not_cached, only_if_cached, private
from .told import LARGEST, Kept, Told, bytes_of, kept, may_be_page, renewed, tells_the_same, terms_of, told, whole

ROOM = 32 * 1024 * 1024  # bytes of rows
_ROW = 1024  # bytes of one, besides its fields


@dataclass(frozen=True, slots=True)
class Held:
    stored: StoredResponse
    since: float  # seconds of the timer: when the hub was asked, with his permission


class Confided:
    def __init__(self, means: Means) -> None:
        self._means = means
        self._held: TTLCache[str, Held] = TTLCache(ROOM, means.leases.remembered, means.timer, getsizeof=_cost)

    def holder(self, request: Request, doc: Document) -> Permission | None:
        """None if he shows nothing, or if what he asks for cannot be kept for him."""
        if doc.repo is None or (request.body and doc.what != "paths-info"):
            return None
        return permission(self._means, request, doc.repo)

    def holds(self, request: Request, doc: Document, own: Permission, *, unasked: bool = False) -> bool:
        """`unasked`: as far as it may stand in for a hub that cannot be asked."""
        held = self._held.get(_key(request, doc, own))
        return held is not None and self._believed(doc, own, held, unasked=unasked)

    async def answer(self, request: Request, doc: Document, own: Permission) -> Reply:
        means = self._means
        try:
            got = await self.current(request, doc, own)
            if isinstance(got, Kept) and got.data is None:
                data = await bytes_of(means, got.stored)
                got = replace(got, data=data) if data is not None else await self.current(request, doc, own, gone=True)
        except UpstreamFailed as fault:
            return failure(request, fault, hub=doc.hub, kind="api")
        match got:
            case Kept(stored, outcome, data):
                return private(whole(means, request, stored, data or b"", outcome))
            case Told(status, headers, body, reason, outcome):
                outcome = replace(outcome, fwd=outcome.fwd or Fwd.BYPASS, detail=Detail.ACCESS)
                return private(Reply(status, headers, b"" if request.method == "HEAD" else body, outcome, reason))
            case None:
                return not_cached(request, hub=doc.hub, kind="api")

    async def current(
        self,
        request: Request,
        doc: Document,
        own: Permission,
        terms: Terms | None = None,
        *,
        gone: bool = False,
        waits: bool = True,
        hurry: bool = False,
    ) -> Kept | Told | None:
        """What he may be told, asked for if what is held is too old by `terms` or by his lease, or if its bytes are
        `gone`. `waits`: what is held may stand in for a hub that cannot be asked. `hurry`: something else may.

        None for who said only-if-cached. Raises `UpstreamFailed`."""
        means, key = self._means, _key(request, doc, own)
        held = self._held.get(key)
        rows = (held.stored,) if held is not None and self._believed(doc, own, held) else ()
        terms = terms or terms_of(means.rules, doc, rows)
        match decide(request, rows, means.clock(), terms):
            case Reuse() as reuse if not gone:
                return Kept(reuse.stored, reuse.outcome)
            case Unavailable():
                return None
            case Reuse() if only_if_cached(request):
                return None
            case Reuse():
                reason = Fwd.MISS
            case Validate(reason=reason) | Forward(reason=reason):
                reason = Fwd.STALE if held is not None and not rows else reason
        hurry = hurry or (waits and not gone and held is not None and self._believed(doc, own, held, unasked=True))
        try:
            got, collapsed = await means.flights.join(f"own:{key}", lambda: self._ask(request, doc, own, key, hurry))
        except UpstreamFailed as fault:
            stored = self._stale(request, doc, own, key, fault) if waits and not gone else None
            if stored is None:
                raise
            return Kept(stored, Outcome(hit=True, detail=standing_in(fault)))
        return replace(got, outcome=replace(got.outcome, fwd=reason, collapsed=collapsed))

    def heard(self, doc: Document, own: Permission) -> None:
        """The hub has refused him."""
        if doc.repo is not None:
            self._means.leases.revoke(own.holder, doc.repo.key)

    # -- what is held -----------------------------------------------------------------------------------------------

    def _believed(self, doc: Document, own: Permission, held: Held, *, unasked: bool = False) -> bool:
        repo = doc.repo
        return repo is not None and self._means.leases.believes(own.holder, repo.key, held.since, unasked=unasked)

    def _stale(
        self, request: Request, doc: Document, own: Permission, key: str, fault: UpstreamFailed
    ) -> StoredResponse | None:
        held = self._held.get(key)
        if held is None or not self._believed(doc, own, held, unasked=True):
            return None
        if not self._believed(doc, own, held) and own.origin in OTHER_NAMES:
            return None  # that it is out of reach under that name says nothing of the hub
        rows = (held.stored,)
        terms = terms_of(self._means.rules, doc, rows)
        return on_upstream_failure(request, rows, self._means.clock(), terms, failed_with(fault))

    # -- upstream ---------------------------------------------------------------------------------------------------

    async def _ask(self, request: Request, doc: Document, own: Permission, key: str, hurry: bool) -> Kept | Told:
        """With what names him and nothing else that he chose: it is not for him to say whether the hub answers."""
        means, since = self._means, self._means.leases.timer()
        held = self._held.get(key)
        if held is not None and not self._believed(doc, own, held, unasked=True):
            held = None
        old = held.stored if held is not None else None
        here = await bytes_of(means, old) if old is not None and old.status == 200 else None
        kind = [("Content-Type", line) for line in request.headers.get_all("content-type")] if request.body else []
        fields = [("User-Agent", own.agent), ("Accept", "*/*"), ("Accept-Encoding", "gzip, deflate")]
        fields += [*kind, *own.fields]
        if old is not None and here is not None and (tag := dict(old.facts).get("etag")):
            fields.append(("If-None-Match", tag))
        answer = await means.upstream.open(
            "POST" if request.method == "POST" else "GET",
            own.origin + request.target,
            fields,
            body=request.body or None,
            hub=doc.hub,
            principal=own.principal,
            hurry=hurry,
        )
        if answer.status in FAILURES:
            answer.close()
            raise answer.failure()
        if not may_be_page(doc, old) and (page := a_page(answer, own.origin)) is not None:
            raise page
        if answer.status == 304 and old is not None and here is not None:
            answer.release()
            return self._renewed(doc, own, key, answer, old, here, since)
        data = await whole_of(doc, answer, LARGEST)
        if (refusal := await told(doc, answer, data)) is not None:
            if refusal.status < 500:
                self._held.pop(key, None)
            if refusal.refused:
                self.heard(doc, own)
            return refusal
        if old is not None and here is not None and await tells_the_same(doc, answer, old, here, data):
            return self._renewed(doc, own, key, answer, old, here, since)
        stored, body = await kept(means.rules, doc, answer, data)
        outcome = Outcome(fwd_status=answer.status)
        with means.unless_disk_refuses():
            await blobs.keep(means, stored.blob or "", body, public=False)
            outcome = replace(outcome, stored=self._put(doc, own, key, Held(stored, since)))
        return Kept(stored, outcome, body)

    def _renewed(
        self, doc: Document, own: Permission, key: str, answer: Answer, old: StoredResponse, here: bytes, since: float
    ) -> Kept:
        new = renewed(answer, old)
        return Kept(new, Outcome(fwd_status=answer.status, stored=self._put(doc, own, key, Held(new, since))), here)

    def _put(self, doc: Document, own: Permission, key: str, held: Held) -> bool:
        """Unless he was refused, or the repo was changed, since the hub was asked."""
        if doc.repo is None or not self._means.leases.admit(own.holder, doc.repo.key, held.since):
            return False
        self._held[key] = held
        return True


def _key(request: Request, doc: Document, own: Permission) -> str:
    """Also by the URL as it was spelled: nobody shall choose one by which the hub fails, to be told what it was."""
    said = "\n".join((own.holder, own.origin, doc.key, request.target))
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()


def _cost(held: Held) -> int:
    stored = held.stored
    fields = (*stored.headers.fields, *stored.facts)
    return _ROW + len(stored.url) + sum(len(name) + len(value) for name, value in fields)
