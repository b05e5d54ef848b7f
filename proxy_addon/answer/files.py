"""How a `/resolve` is answered.

Three questions, each asked upstream only if the stored answer is too old: which commit does the revision name; what is
known of the file at that commit (size, digest, type); where are its bytes. The first two come from one HEAD, because
the hub puts all facts on its redirect. All of it is asked without credentials: what comes back is public and may be
shared. Who is refused anonymously gets his own request passed on, with his own token, and nothing of that is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from cachetools import TTLCache

from ..core.errors import IntegrityError, UpstreamFailed
from ..core.messages import Headers, Reply, Request, StoredResponse
from ..core.reuse import FAILURES, Forward, Reuse, Unavailable, Validate, decide, on_upstream_failure
from ..core.status import Detail, Fwd, Outcome
from ..fetch.upstream import Answer, Throttled
from ..hub import huggingface as hf
from ..hub.resources import COMMIT, File
from ..store.contract import View
from . import blobs
from .means import Means
from .relay import failure, relay
from .replies import not_cached, only_if_cached
from .sources import Redirected

LOCATION_LASTS = 300.0  # seconds; the hub signs for an hour
_KEPT_404 = ("x-error-code", "x-error-message", "x-repo-commit")


@dataclass(frozen=True, slots=True)
class Refused:
    """The hub will not tell an anonymous client."""

    status: int
    code: str = ""  # X-Error-Code


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of the file, and how that came about."""

    file: File
    stored: StoredResponse
    outcome: Outcome


class Files:
    def __init__(self, means: Means) -> None:
        self._means = means
        host = {urlsplit(m).hostname or "" for m in means.rules.mirrors}
        self._mirror_hosts = frozenset(host)
        self._bases = (*means.rules.mirrors, hf.ORIGIN)
        self._locations: TTLCache[str, str] = TTLCache(4096, LOCATION_LASTS, means.timer)  # signed: in memory only

    # -- in memory --------------------------------------------------------------------------------------------------

    def quickly(self, view: View, request: Request, file: File) -> Reply | None:
        means, now = self._means, self._means.clock()
        if not file.pinned:
            rows = view.responses(file.ref_key)
            if not rows or not isinstance(decide(request, rows, now, means.rules.revision()), Reuse):
                return None
            file = file.at(_commit(rows))
        rows = view.responses(file.key)
        if not rows or not means.public.seen(view, file.repo.key):
            return None
        verdict = decide(request, rows, now, means.rules.file(rows[0].status))
        if not isinstance(verdict, Reuse) or (verdict.stored.status == 200 and not verdict.stored.blob):
            return None
        shown = self._shown(verdict.stored)
        return None if _about_xet(request, shown) else blobs.quickly(means, view, request, shown, verdict.outcome)

    # -- the whole way ----------------------------------------------------------------------------------------------

    async def answer(self, request: Request, file: File) -> Reply:
        if self._means.public.refused(file.repo.key):
            return await self._relayed(request)
        try:
            match await self._find(request, file):
                case Refused():
                    return await self._relayed(request)
                case Reply() as reply:
                    return reply
                case Found() as found:
                    return await self._reply(request, found)
        except UpstreamFailed as fault:
            return failure(request, fault, hub=hf.HUB, kind="file")
        except IntegrityError as fault:
            return failure(request, UpstreamFailed(str(fault)), hub=hf.HUB, kind="file")

    async def _find(self, request: Request, file: File) -> Found | Refused | Reply:
        means = self._means
        outcome: Outcome | None = None
        if not file.pinned:
            match await self._revision(request, file):
                case Found() as found if found.stored.kind == "file":
                    return found
                case Found(stored=row, outcome=outcome):
                    file = file.at(_commit((row,)))
                case other:
                    return other
        rows = await means.store.responses.get(file.key)
        terms = means.rules.file(rows[0].status if rows else 200)
        proven = await means.public.proven(file.repo.key)
        match decide(request, rows, means.clock(), terms):
            case Reuse() as reuse if proven:
                return Found(file, reuse.stored, _merged(outcome, reuse.outcome))
            case Unavailable():
                return not_cached(request, hub=hf.HUB, kind="file")
            case Validate(reason=reason) | Forward(reason=reason):
                outcome = Outcome(fwd=reason)
            case Reuse() if only_if_cached(request):
                return not_cached(request, hub=hf.HUB, kind="file")
            case Reuse():
                outcome = Outcome(fwd=Fwd.STALE)
        try:
            return await self._ask(request, file, outcome, hurry=bool(rows))
        except UpstreamFailed as fault:
            stored = on_upstream_failure(request, rows, means.clock(), terms, _status(fault))
            if stored is None or not await means.public.known(file.repo.key):
                raise
            return Found(file, stored, Outcome(hit=True, detail=_stale(fault)))

    async def _revision(self, request: Request, file: File) -> Found | Refused | Reply:
        """The commit that `file.rev` names: a stored row of its own, one for all files of the repo."""
        means = self._means
        rows = await means.store.responses.get(file.ref_key)
        terms = means.rules.revision()
        if not rows:
            rows = await means.store.responses.get(file.key)  # the repo has moved: a redirect, kept by name
        match decide(request, rows, means.clock(), terms):
            case Reuse() as reuse:
                return Found(file, reuse.stored, reuse.outcome)
            case Unavailable():
                return not_cached(request, hub=hf.HUB, kind="file")
            case Validate(reason=reason) | Forward(reason=reason):
                outcome = Outcome(fwd=reason)
        try:
            return await self._ask(request, file, outcome, hurry=bool(rows))
        except UpstreamFailed as fault:
            stored = on_upstream_failure(request, rows, means.clock(), terms, _status(fault))
            if stored is None or not await means.public.known(file.repo.key):
                raise
            return Found(file, stored, Outcome(hit=True, detail=_stale(fault)))

    async def _ask(self, request: Request, file: File, outcome: Outcome, *, hurry: bool) -> Found | Refused | Reply:
        agent = request.headers.get("user-agent") or "hubgate"
        asked, collapsed = await self._means.flights.join(
            f"head:{file.key}", lambda: self._head(file, agent, hurry=hurry)
        )
        match asked:
            case Found():
                new = replace(asked.outcome, fwd=outcome.fwd, collapsed=collapsed)
                return replace(asked, outcome=new)
            case _:
                return asked

    async def _head(self, file: File, agent: str, *, hurry: bool) -> Found | Refused:
        """One HEAD, at the first upstream that answers; what it says is stored."""
        fields = (("User-Agent", agent), ("Accept", "*/*"), ("Accept-Encoding", "identity"))
        fault: UpstreamFailed | None = None
        for base in self._bases:
            try:
                answer = await self._means.upstream.open(
                    "HEAD", hf.resolve_url(file, base), fields, hub=hf.HUB, hurry=hurry
                )
            except UpstreamFailed as failed:
                fault = failed
                continue
            answer.release()
            if answer.status in FAILURES or (answer.status >= 400 and base != hf.ORIGIN):
                fault = answer.failure()
                continue
            told = await self._told(file, answer)
            if isinstance(told, Refused):
                if base != hf.ORIGIN:
                    continue  # only the hub itself can refuse
                if told.status in (401, 403) or told.code in ("RepoNotFound", "GatedRepo"):
                    await self._means.public.note_refusal(file.repo.key)
            return told
        raise fault or UpstreamFailed("no upstream is configured")

    async def _told(self, file: File, answer: Answer) -> Found | Refused:
        means, put = self._means, self._means.store.responses.put
        commit = answer.headers.get("x-repo-commit") or ""
        location = answer.location
        facts = hf.facts_of(answer.status, answer.headers, location)
        if facts is not None and facts.size is None:
            facts = await self._measured(facts, answer.url)
        if facts is not None:
            head, status, commit = hf.file_headers(facts, file), 200, facts.commit
        elif answer.status == 404 and answer.headers.get("x-error-code") == "EntryNotFound" and COMMIT.match(commit):
            head, status = Headers((k, v) for k, v in answer.headers.fields if k.lower() in _KEPT_404), 404
        elif location is not None and hf.is_rename(urlsplit(answer.url).path, location):
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
        await means.public.note_success(file.repo.key)
        if commit:
            if not file.pinned:
                ref = replace(row, status=200, headers=Headers(), blob=None, size=0, kind="ref")
                await put(file.ref_key, (replace(ref, facts=(("commit", commit),)),))
            file = file.at(commit)
            await put(file.key, (row,))
        elif status != 404:
            await put(file.key, (row,))
        if facts is not None and facts.location and self._may_follow(facts.location):
            self._locations[file.key] = facts.location
        return Found(file, row, Outcome(fwd_status=answer.status, stored=True))

    async def _measured(self, facts: hf.Facts, url: str) -> hf.Facts | None:
        """The size, from where the bytes are."""
        target = facts.location or url
        if not self._may_follow(target):
            return None
        answer = await self._means.upstream.open("HEAD", target, (("Accept-Encoding", "identity"),), hub=hf.HUB)
        answer.release()
        length = answer.headers.get("content-length") or ""
        return replace(facts, size=int(length)) if answer.status == 200 and length.isdigit() else None

    async def _reply(self, request: Request, found: Found) -> Reply:
        stored = self._shown(found.stored)
        if _about_xet(request, stored):
            return await relay(self._means, request, hub=hf.HUB, kind="file")
        agent = request.headers.get("user-agent") or "hubgate"
        source = Redirected(
            self._means.upstream,
            [hf.resolve_url(found.file, base) for base in self._bases],
            stored.size or 0,
            hub=hf.HUB,
            may_follow=self._may_follow,
            headers=(("User-Agent", agent),),
            location=self._locations.get(found.file.key),
        )
        return await blobs.reply(self._means, request, stored, found.outcome, source)

    def _shown(self, stored: StoredResponse) -> StoredResponse:
        """As the client shall see it: without Xet when the plain file is the better way."""
        if "x-xet-hash" not in stored.headers or self._means.rules.keep_xet(stored.size):
            return stored
        return replace(stored, headers=stored.headers.without(*hf.XET_FIELDS))

    async def _relayed(self, request: Request) -> Reply:
        """The client's own request, with its own rights."""
        drop = frozenset() if self._means.rules.xet == "native" else frozenset(f.lower() for f in hf.XET_FIELDS)
        return await relay(self._means, request, hub=hf.HUB, kind="file", drop=drop, detail=Detail.ACCESS)

    def _may_follow(self, url: str) -> bool:
        """https, and a host where this hub or a configured mirror keeps files."""
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        return (parts.scheme == "https" and hf.is_ours(host)) or host in self._mirror_hosts


def _about_xet(request: Request, shown: StoredResponse) -> bool:
    """Asked for the Xet facts as JSON in place of the file, where Xet is left to the client."""
    return "x-xet-hash" in shown.headers and hf.XET_FACTS in (request.headers.get("accept") or "")


def _commit(rows: Sequence[StoredResponse]) -> str:
    return dict(rows[0].facts).get("commit", "")


def _nameless(facts: hf.Facts, file: File) -> str:
    """A blob id for bytes whose digest nobody named: by place and validator."""
    import hashlib

    return "body:" + hashlib.sha256(f"{file.at(facts.commit).key} {facts.etag}".encode()).hexdigest()[:32]


def _merged(revision: Outcome | None, file: Outcome) -> Outcome:
    """A hit that needed the revision validated is no plain hit."""
    if revision is None or (revision.hit and revision.detail is None):
        return file
    return revision


def _status(fault: UpstreamFailed) -> int | None:
    return None if not isinstance(fault, Throttled) else 429


def _stale(fault: UpstreamFailed) -> Detail:
    return Detail.OFFLINE if fault.status == 504 else Detail.STALE_IF_ERROR
