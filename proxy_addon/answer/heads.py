"""What Hugging Face says of a file: one HEAD tells commit, digest, size and where the bytes lie.

Asked without credentials, of the mirrors first and of the hub itself last. What is told is stored; a refusal is
remembered, and only the hub itself can refuse.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cachetools import TTLCache

from ..access.public import giving
from ..core.errors import UpstreamFailed
from ..core.messages import Headers, StoredResponse
from ..core.reuse import FAILURES
from ..core.status import Outcome
from ..core.storing import Terms, delta_bytes
from ..fetch.upstream import Answer
from ..hub import huggingface as hf
from ..hub.resources import COMMIT, File
from ..store.contract import View
from .agent import asking
from .inquiry import Found, Refused
from .means import Means
from .places import Places
from .sources import Redirected, to_files_of

LOCATION_LASTS = 300.0  # seconds; the hub signs for an hour
_KEPT_404 = ("x-error-code", "x-error-message", "x-repo-commit")


@dataclass(frozen=True, slots=True)
class Read:
    """What the hub's answer says of a file; `file` is at the commit that it names."""

    file: File
    row: StoredResponse
    facts: hf.Facts | None


class Heads:
    hub = hf.HUB
    names_commits = True

    def __init__(self, means: Means, places: Places) -> None:
        self._means, self._places = means, places
        mirrors = means.rules.mirrors.get(hf.HUB, ())
        self.may_follow = to_files_of(hf.is_ours, mirrors)
        self._bases = (*mirrors, hf.ORIGIN)
        self._locations: TTLCache[str, str] = TTLCache(4096, LOCATION_LASTS, means.timer)  # signed: in memory only

    def seen(self, view: View, file: File) -> Sequence[StoredResponse]:
        return view.responses(file.key) or ()

    async def stored(self, file: File) -> Sequence[StoredResponse]:
        return await self._means.store.responses.get(file.key)

    def proof(self, file: File, status: int) -> str:
        return giving(file.repo, file.path, status)

    def terms(self, file: File, status: int) -> Terms:
        return self._means.rules.file(status)

    def source(self, file: File, stored: StoredResponse, agent: str) -> Redirected:
        return Redirected(
            self._means.upstream,
            [hf.resolve_url(file, base) for base in self._bases],
            stored.size or 0,
            hub=hf.HUB,
            may_follow=self.may_follow,
            headers=(("User-Agent", agent),),
            location=self._locations.get(file.key),
            blob=stored.blob or "",
            refused=lambda: self._means.public.doubt(file.repo.key),
        )

    async def ask(self, file: File, agent: str, *, hurry: bool, reload: bool) -> Found | Refused:
        """One HEAD, at the first upstream that answers; what it says is stored."""
        fault: UpstreamFailed | None = None
        for base in self._bases:
            try:
                url = hf.resolve_url(file, base)
                answer = await self._means.upstream.open("HEAD", url, asking(agent), hub=hf.HUB, hurry=hurry)
            except UpstreamFailed as failed:
                fault = failed
                continue
            answer.release()
            if answer.status in FAILURES or (answer.status >= 400 and base != hf.ORIGIN):
                fault = answer.failure()
                continue
            told = await self._told(file, answer)
            if base != hf.ORIGIN and (isinstance(told, Refused) or told.stored.status != 200):
                continue  # only the hub itself can refuse, or say that a repo has moved
            if isinstance(told, Refused) and told.closed:
                with self._means.unless_disk_refuses():
                    await self._means.public.note_refusal(file.repo.key)
            return told
        raise fault or UpstreamFailed("no upstream is configured")

    async def read(self, file: File, answer: Answer) -> Read | Refused:
        commit = answer.headers.get("x-repo-commit") or ""
        location = answer.location
        facts = hf.facts_of(answer.status, answer.headers, location)
        if facts is not None and facts.size is None:
            facts = await self._measured(facts, answer.url)
        if facts is not None:
            head, status, commit = hf.file_headers(facts, file), 200, facts.commit
        elif answer.status == 404 and answer.headers.get("x-error-code") == "EntryNotFound" and COMMIT.match(commit):
            head, status = Headers((k, v) for k, v in answer.headers.fields if k.lower() in _KEPT_404), 404
        elif location is not None and hf.is_rename(location):
            head, status = Headers((("Location", answer.headers.get("location") or ""),)), answer.status
        else:
            return Refused(answer.status, answer.headers.get("x-error-code") or "")
        row = StoredResponse(
            status=status,
            headers=head,
            request_time=answer.request_time,
            response_time=answer.response_time,
            url=hf.resolve_url(file.at(commit) if commit else file),
            blob=(facts.blob or _nameless(facts, file)) if facts else None,
            size=facts.size if facts else 0,
            kind="file",
        )
        return Read(file.at(commit) if commit else file, row, facts)

    async def _told(self, file: File, answer: Answer) -> Found | Refused:
        means, read = self._means, await self.read(file, answer)
        if isinstance(read, Refused):
            return read
        row, facts, commit = read.row, read.facts, read.row.headers.get("x-repo-commit") or ""
        if commit:
            await means.public.note_success(self.proof(file, row.status), row.request_time)
            await means.keep(read.file.key, (row,))  # before the branch leads to it
            if not file.pinned:
                await means.keep(file.ref_key, (ref_row(row, commit),))
            file = read.file
            if facts is not None:
                await self._places.note(row)
        elif row.status != 404:  # it has moved, as anybody may know
            await means.public.note_success(self.proof(file, row.status), row.request_time)
            await means.keep(file.key, (row,))
        if facts is not None and facts.location and self.may_follow(facts.location):
            self._locations[file.key] = facts.location
        return Found(file, row, Outcome(fwd_status=answer.status, stored=True))

    async def _measured(self, facts: hf.Facts, url: str) -> hf.Facts | None:
        """The size, from where the bytes are."""
        target = facts.location or url
        if not self.may_follow(target):
            return None
        answer = await self._means.upstream.open("HEAD", target, (("Accept-Encoding", "identity"),), hub=hf.HUB)
        answer.release()
        length = delta_bytes(answer.headers.get("content-length"))
        return replace(facts, size=length) if answer.status == 200 and length is not None else None


def ref_row(row: StoredResponse, commit: str) -> StoredResponse:
    """That a branch names this commit, told with the head of a file."""
    facts = (("commit", commit),)
    return replace(row, status=200, headers=Headers(), blob=None, size=0, kind="ref", facts=facts)


def _nameless(facts: hf.Facts, file: File) -> str:
    """A blob id for bytes whose digest nobody named: by place and validator."""
    return "body:" + hashlib.sha256(f"{file.at(facts.commit).key} {facts.etag}".encode()).hexdigest()[:32]
