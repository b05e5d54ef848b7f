"""What a hub says of a file to one client, asked with his own permission: as an `Inquiry` asks, but nothing is stored.

The file itself is asked for, by the very URL that is meant: a hub may tell of a closed repo to all, and give its files
to few. ModelScope tells what a file is by its listings only; these are asked for with the same permission, and kept
for its holder alone (`confided`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol
from urllib.parse import urlsplit

from cachetools import TTLCache

from ..core.errors import UpstreamFailed
from ..core.messages import Request, StoredResponse
from ..core.reuse import FAILURES
from ..core.status import Outcome
from ..core.storing import Terms
from ..fetch.upstream import Answer
from ..hub import huggingface as hf
from ..hub import modelscope as ms
from ..hub.resources import Document, File
from .confided import Confided
from .heads import LOCATION_LASTS, Heads
from .inquiry import Found, Refused
from .listed import Listed, refusal, row_of
from .listings import ABSENT, Listings, nothing_parsed
from .means import Means
from .permission import Permission
from .sources import Redirected
from .told import Kept, Told, bytes_of


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

    def __init__(self, means: Means, listed: Listed, confided: Confided) -> None:
        self._means, self._listed, self.terms = means, listed, listed.terms
        self._parsed, self._confided = nothing_parsed(), confided

    async def ask(self, file: File, own: Permission, *, hurry: bool, proven: bool, reload: bool) -> Found | Refused:
        listings = Listings(self._means, OwnDocuments(self._means, self._confided, own, proven, hurry), self._parsed)
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
    """Listings as one client is told them; what he was told before is believed while he is `proven`."""

    def __init__(self, means: Means, confided: Confided, own: Permission, proven: bool, hurry: bool) -> None:
        self._means, self._confided, self._own, self._proven, self._hurry = means, confided, own, proven, hurry

    async def current(
        self, request: Request, doc: Document, terms: Terms | None = None, *, gone: bool = False
    ) -> Kept | Told | None:
        anew = gone or not self._proven
        hurry = self._hurry
        return await self._confided.current(request, doc, self._own, terms, gone=anew, waits=False, hurry=hurry)

    async def bytes_of(self, stored: StoredResponse) -> bytes | None:
        return await bytes_of(self._means, stored)


async def _opened(means: Means, method: str, url: str, own: Permission, hub: str, hurry: bool) -> Answer:
    """With his permission. Raises `UpstreamFailed` for an answer that is a failure of the hub, too."""
    answer = await means.upstream.open(method, url, own.asking, hub=hub, principal=own.principal, hurry=hurry)
    if answer.status in FAILURES:
        answer.close()
        raise answer.failure()
    return answer
