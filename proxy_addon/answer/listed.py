"""What ModelScope says of a file: the listing of its revision tells size and digest, and is one that SDKs ask for, too.

The listing is a document like any other: stored, shared, as old as `freshness.ref` allows. What is known of a file
holds only as long as the newest listing says the same, so that no client is given other bytes than the listing that it
saw has promised. At a commit nothing changes any more.

Anybody may list a gated repo. So before its files are shared one of them is asked for without credentials; that proof
is good for all of the repo, or if it is the card, which may be open where the files are not, for that alone. A file
that no listing names is asked for itself: a redirect tells size and digest, too; what comes in place has no digest, and
is nothing to share.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from cachetools import TTLCache

from ..access.public import giving
from ..core.errors import UpstreamFailed
from ..core.messages import REDIRECTS, StoredResponse
from ..core.ranges import parse_content_range
from ..core.reuse import FAILURES
from ..core.status import Outcome
from ..core.storing import Terms
from ..fetch.upstream import Answer
from ..hub import modelscope as ms
from ..hub.resources import File
from ..store.contract import View
from .agent import asking
from .documents import Documents
from .inquiry import Found, Refused
from .listings import ABSENT, Listings, Read
from .means import Means
from .places import Places
from .sources import Redirected, to_files_of

LOCATION_LASTS = 300.0  # seconds; the hub signs for longer
SMALL = 64 * 1024  # bytes: what a refusal takes at most


class Listed:
    hub = ms.HUB
    names_commits = False

    def __init__(self, means: Means, places: Places, documents: Documents) -> None:
        self._means, self._places, self._listings = means, places, Listings(means, documents)
        self._mirrors = means.rules.mirrors.get(ms.HUB, ())
        self.may_follow = to_files_of(ms.is_ours, self._mirrors)
        self._locations: TTLCache[str, str] = TTLCache(4096, LOCATION_LASTS, means.timer)  # signed: in memory only

    # -- what is stored ---------------------------------------------------------------------------------------------

    def seen(self, view: View, file: File) -> Sequence[StoredResponse]:
        rows = view.responses(file.key) or ()
        key = _listed_in(file, rows)
        return rows if not key else self._upheld(file, rows[0], view.responses(key) or ())

    async def stored(self, file: File) -> Sequence[StoredResponse]:
        responses = self._means.store.responses
        rows = await responses.get(file.key)
        if not (key := _listed_in(file, rows)):
            return rows
        listing = await responses.get(key)
        if listing:
            await self._listings.parse(listing[0], None)
        return self._upheld(file, rows[0], listing)

    def _upheld(self, file: File, row: StoredResponse, listing: Sequence[StoredResponse]) -> Sequence[StoredResponse]:
        """The row, as old as the listing is, if that says the same."""
        parsed = self._listings.parsed(listing[0]) if listing else None
        entry = parsed.files.get(file.path) if parsed is not None else None
        if entry is None or row.blob != f"sha256:{entry.sha256}":
            return ()
        return (replace(row, request_time=listing[0].request_time, response_time=listing[0].response_time),)

    def proof(self, file: File, status: int) -> str:
        return giving(file.repo, file.path, status)

    def terms(self, file: File, status: int) -> Terms:
        return self._means.rules.file(status) if file.pinned else self._means.rules.revision()

    # -- what the hub says ------------------------------------------------------------------------------------------

    async def ask(self, file: File, agent: str, *, hurry: bool, reload: bool) -> Found | Refused:
        try:
            read = await self._listings.look(file, agent, reload)
        except UpstreamFailed:
            read, hurry = None, True  # the file itself may still be had, and if not, no time is lost
        if isinstance(read, Refused):
            return await self._noted(file, read)
        if read is None:
            return await self._linked(file, agent, hurry)
        row, outcome = row_of(file, read), read.outcome
        proof = self.proof(file, 200)
        if not await self._means.public.proven(proof):
            refused, _ = await self._means.flights.join(f"proof:{proof}", lambda: self._prove(file, row, agent, hurry))
            outcome = replace(outcome, hit=False)
            if refused is not None:
                return await self._noted(file, refused)
        await self._keep(file, row)
        return Found(file, row, outcome)

    async def _noted(self, file: File, refused: Refused) -> Refused:
        if refused.closed:
            with self._means.unless_disk_refuses():
                await self._means.public.note_refusal(file.repo.key)
        return refused

    async def _keep(self, file: File, row: StoredResponse) -> None:
        old = await self._means.store.responses.get(file.key)
        if not old or (old[0].blob, old[0].facts) != (row.blob, row.facts) or not row.facts:
            await self._means.keep(file.key, (row,))
        await self._places.note(row)

    # -- files ------------------------------------------------------------------------------------------------------

    async def _prove(self, file: File, row: StoredResponse, agent: str, hurry: bool) -> Refused | None:
        """Ask for the file without credentials, and for as few bytes of it as the hub lets one."""
        size, refused = row.size or 0, ABSENT
        fault: UpstreamFailed | None = None
        fields = (*asking(agent), *((("Range", "bytes=0-0"),) if size else ()))
        for url in self._urls(file, row):
            try:
                answer = await self._means.upstream.open("GET", url, fields, hub=ms.HUB, hurry=hurry)
                given, data, location = await self.given(answer, row)
            except UpstreamFailed as failed:
                fault = failed
                continue
            if given:
                if location:
                    self._locations[file.key] = location
                await self._means.public.note_success(self.proof(file, 200), answer.request_time)
                return None
            if answer.status in FAILURES:
                fault = answer.failure()
            elif answer.status == 200 and not ms.failure_of(data):
                fault = UpstreamFailed(f"{urlsplit(url).hostname} sent other bytes than its listing names")
            elif self._is_home(url) and (refused := refusal(answer.status, data)).closed:
                return refused
        if fault is not None:
            raise fault
        return refused

    async def given(self, answer: Answer, row: StoredResponse) -> tuple[bool, bytes, str]:
        """Whether the answer gives the file, what it said if not, and where the bytes are."""
        size = row.size or 0
        if answer.status in REDIRECTS:
            target, named = answer.location, _digest_of(answer.location)
            answer.release()
            if target is None or not self.may_follow(target) or not (named or ms.linked(answer.headers)):
                return False, b"", ""
            return True, b"", target if row.blob == f"sha256:{named}" else ""
        if answer.status in (200, 206) and parse_content_range(answer.headers.get("content-range")) == (0, 1, size):
            answer.close()
            return True, b"", ""
        length = answer.headers.get("content-length") or ""
        if answer.status == 200 and size > SMALL:
            answer.close()
            return length == str(size), b"", ""
        data = await answer.whole(SMALL)
        return answer.status == 200 and row.blob == f"sha256:{hashlib.sha256(data).hexdigest()}", data, ""

    async def _linked(self, file: File, agent: str, hurry: bool) -> Found | Refused:
        """A file that is in no listing, as far as one can be had."""
        fault: UpstreamFailed | None = None
        for base in self._bases(file):
            try:
                url = ms.file_url(file, base)
                answer = await self._means.upstream.open("GET", url, asking(agent), hub=ms.HUB, hurry=hurry)
            except UpstreamFailed as failed:
                fault = failed
                continue
            told, target = ms.linked(answer.headers), answer.location
            if answer.status in REDIRECTS and told is not None and target is not None and self.may_follow(target):
                answer.release()
                return await self._by_link(file, answer, told)
            if answer.status in FAILURES:
                answer.close()
                fault = answer.failure()
            elif self._is_home(url):
                data = await answer.whole(SMALL) if answer.status >= 400 else b""
                answer.close()
                return await self._noted(file, refusal(answer.status, data))
            else:
                answer.close()
        raise fault or UpstreamFailed("no upstream is configured")

    async def _by_link(self, file: File, answer: Answer, told: ms.Linked) -> Found | Refused:
        if told.size is None:
            return ABSENT
        await self._means.public.note_success(self.proof(file, 200), answer.request_time)
        entry = ms.Entry(told.sha256, told.size, "", True)
        row = StoredResponse(
            status=200,
            headers=ms.file_headers(entry, file),
            request_time=answer.request_time,
            response_time=answer.response_time,
            url=ms.resolve_url(file),
            blob=f"sha256:{told.sha256}",
            size=told.size,
            kind="file",
        )
        await self._keep(file, row)
        return Found(file, row, Outcome(fwd_status=answer.status, stored=True))

    # -- where the bytes are ----------------------------------------------------------------------------------------

    def source(self, file: File, stored: StoredResponse, agent: str) -> Redirected:
        return Redirected(
            self._means.upstream,
            self._urls(file, stored),
            stored.size or 0,
            hub=ms.HUB,
            may_follow=self.may_follow,
            headers=(("User-Agent", agent),),
            location=self._locations.get(file.key),
            blob=stored.blob or "",
            unmarked=True,
            refused=lambda: self._means.public.doubt(file.repo.key),
        )

    def _urls(self, file: File, row: StoredResponse) -> list[str]:
        """At the commit that made the file what it is, since the branch may move on; then as it was asked for."""
        commit = dict(row.facts).get("commit")
        files = dict.fromkeys((file.at(commit), file) if commit and not file.pinned else (file,))
        return [ms.file_url(at, base) for base in self._bases(file) for at in files]

    def _bases(self, file: File) -> tuple[str, ...]:
        return (*(self._mirrors if not file.repo.site else ()), ms.origin(file.repo))

    def _is_home(self, url: str) -> bool:
        """Not a mirror, which cannot refuse."""
        return ms.is_ours(urlsplit(url).hostname or "")


def row_of(file: File, read: Read) -> StoredResponse:
    """What a listing says of the file that it names."""
    entry = read.listing.files[file.path]
    return StoredResponse(
        status=200,
        headers=ms.file_headers(entry, file),
        request_time=read.stored.request_time,
        response_time=read.stored.response_time,
        url=ms.resolve_url(file.at(entry.commit or file.rev)),
        blob=f"sha256:{entry.sha256}",
        size=entry.size,
        kind="file",
        facts=(("listing", read.key), ("commit", entry.commit)),
    )


def _listed_in(file: File, rows: Sequence[StoredResponse]) -> str:
    """The key of the listing that the row goes by; empty if it stands alone."""
    return dict(rows[0].facts).get("listing", "") if rows and not file.pinned else ""


def _digest_of(url: str | None) -> str | None:
    return ms.digest_in(tuple(urlsplit(url or "").path.strip("/").split("/")))


def refusal(status: int, data: bytes) -> Refused:
    return Refused(403 if status in (401, 403) or ms.failure_of(data) == ms.NO_REPO else 404)
