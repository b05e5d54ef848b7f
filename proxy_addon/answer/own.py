"""What a hub says of a file to one client, asked with his own permission: as an `Inquiry` asks, but nothing is stored.

The file itself is asked for, by the very URL that is meant: a hub may tell of a closed repo to all, and give its files
to few. ModelScope tells what a file is by its listings only; these are asked for with the same permission, and held
for its holder alone.
"""

from __future__ import annotations

import hashlib
from asyncio import to_thread
from dataclasses import replace
from typing import Protocol
from urllib.parse import urlsplit

from cachetools import TTLCache

from ..core.errors import UpstreamFailed
from ..core.messages import Headers, Request, StoredResponse
from ..core.reuse import FAILURES
from ..core.status import Outcome
from ..core.storing import Terms
from ..fetch.upstream import Answer
from ..hub import huggingface as hf
from ..hub import modelscope as ms
from ..hub.resources import Document, File
from .documents import LARGEST, Kept, Told, said
from .heads import LOCATION_LASTS, Heads
from .inquiry import Found, Refused
from .listed import Listed, refusal, row_of
from .listings import ABSENT, Listings, nothing_parsed
from .means import Means
from .permission import Permission
from .sources import Redirected

_LISTINGS_HELD = 16_384


class Own(Protocol):
    hub: str
    names_commits: bool

    async def ask(self, file: File, own: Permission, *, hurry: bool, proven: bool, reload: bool) -> Found | Refused:
        """`proven`: he may read the repo for certain; what is to be told is what the file is. Raises
        `UpstreamFailed`."""
        ...

    def terms(self, file: File, status: int) -> Terms: ...

    def source(self, file: File, stored: StoredResponse, own: Permission) -> Redirected: ...


class OwnHeads:
    hub = hf.HUB
    names_commits = True

    def __init__(self, means: Means, heads: Heads) -> None:
        self._means, self._heads, self.terms = means, heads, heads.terms
        self._locations: TTLCache[tuple[str, str], str] = TTLCache(4096, LOCATION_LASTS, means.timer)

    async def ask(self, file: File, own: Permission, *, hurry: bool, proven: bool, reload: bool) -> Found | Refused:
        answer = await _opened(self._means, "HEAD", hf.resolve_url(file, own.origin), own, hf.HUB, hurry)
        answer.release()
        read = await self._heads.read(file, answer)
        if isinstance(read, Refused):
            return read
        if read.row.status not in (200, 404):
            return Refused(read.row.status)  # it has moved; under that name he is asked about anew
        if read.facts is not None and read.facts.location and self._heads.may_follow(read.facts.location):
            self._locations[own.holder, read.file.key] = read.facts.location
        return Found(read.file, read.row, Outcome(fwd_status=answer.status, stored=True))

    def source(self, file: File, stored: StoredResponse, own: Permission) -> Redirected:
        return Redirected(
            self._means.upstream,
            [hf.resolve_url(file, own.origin)],
            stored.size or 0,
            hub=hf.HUB,
            may_follow=self._heads.may_follow,
            headers=(("User-Agent", own.agent),),
            location=self._locations.get((own.holder, file.key)),
            blob=stored.blob or "",
            own=own.fields,
            principal=own.principal,
            refused=lambda: self._means.leases.revoke(own.holder, file.repo.key),
        )


class OwnListed:
    hub = ms.HUB
    names_commits = False

    def __init__(self, means: Means, listed: Listed) -> None:
        self._means, self._listed, self.terms = means, listed, listed.terms
        self._parsed = nothing_parsed()
        self._held: TTLCache[tuple[str, str], StoredResponse] = TTLCache(
            _LISTINGS_HELD, max(means.rules.ref, 1.0), means.timer
        )

    async def ask(self, file: File, own: Permission, *, hurry: bool, proven: bool, reload: bool) -> Found | Refused:
        listings = Listings(self._means, OwnDocuments(self._means, self._held, own, proven, hurry), self._parsed)
        read = await listings.look(file, own.agent, reload)
        if read is None or isinstance(read, Refused):
            return read or ABSENT
        row = row_of(file, read)
        row = replace(row, facts=tuple(fact for fact in row.facts if fact[0] != "listing"))
        if not proven:
            fields = replace(own, fields=(*own.fields, *((("Range", "bytes=0-0"),) if row.size else ())))
            answer = await _opened(self._means, "GET", ms.file_url(file, own.origin), fields, ms.HUB, hurry)
            given, data, _ = await self._listed.given(answer, row)
            if not given and answer.status == 200 and not ms.failure_of(data):
                raise UpstreamFailed(f"{urlsplit(own.origin).hostname} sent other bytes than its listing names")
            if not given:
                return refusal(answer.status, data)
        return Found(file, row, replace(read.outcome, hit=False, stored=True))

    def source(self, file: File, stored: StoredResponse, own: Permission) -> Redirected:
        commit = dict(stored.facts).get("commit")
        files = dict.fromkeys((file.at(commit), file) if commit and not file.pinned else (file,))
        return Redirected(
            self._means.upstream,
            [ms.file_url(each, own.origin) for each in files],
            stored.size or 0,
            hub=ms.HUB,
            may_follow=self._listed.may_follow,
            headers=(("User-Agent", own.agent),),
            blob=stored.blob or "",
            unmarked=True,
            own=own.fields,
            principal=own.principal,
            refused=lambda: self._means.leases.revoke(own.holder, file.repo.key),
        )


class OwnDocuments:
    """Listings as one client is told them. Only what they say is held, parsed, and by whom they were asked for; it is
    believed while he is `proven`."""

    def __init__(
        self,
        means: Means,
        held: TTLCache[tuple[str, str], StoredResponse],
        own: Permission,
        proven: bool,
        hurry: bool,
    ) -> None:
        self._means, self._held, self._own, self._proven, self._hurry = means, held, own, proven, hurry

    async def current(
        self, request: Request, doc: Document, terms: Terms | None = None, *, gone: bool = False
    ) -> Kept | Told | None:
        known = self._held.get((self._own.holder, doc.key))
        if known is not None and self._proven and not gone and "cache-control" not in request.headers:
            return Kept(known, Outcome(hit=True))
        key = f"own:{self._own.holder}:{self._own.origin}:{doc.key}"
        got, _ = await self._means.flights.join(key, lambda: self._ask(request, doc))
        return got

    async def _ask(self, request: Request, doc: Document) -> Kept | Told:
        answer = await _opened(self._means, "GET", self._own.origin + request.target, self._own, ms.HUB, self._hurry)
        data = await answer.whole(LARGEST)
        failed = await said(data)
        if answer.status != 200 or failed is not None:
            closed = answer.status in (401, 403) or failed == ms.NO_REPO
            return Told(answer.status, Headers(), b"", answer.reason, Outcome(fwd_status=answer.status), closed)
        digest = await to_thread(lambda: hashlib.sha256(data).hexdigest())
        row = StoredResponse(200, Headers(), answer.request_time, answer.response_time, blob=f"sha256:{digest}")
        self._held[self._own.holder, doc.key] = row
        return Kept(row, Outcome(fwd_status=200), data)

    async def bytes_of(self, stored: StoredResponse) -> bytes | None:
        return None


async def _opened(means: Means, method: str, url: str, own: Permission, hub: str, hurry: bool) -> Answer:
    """With his permission. Raises `UpstreamFailed` for an answer that is a failure of the hub, too."""
    answer = await means.upstream.open(method, url, own.asking, hub=hub, principal=own.principal, hurry=hurry)
    if answer.status in FAILURES:
        answer.close()
        raise answer.failure()
    return answer
