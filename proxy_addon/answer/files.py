"""How a file of a repo is answered, on any hub.

Three questions, each asked upstream only if the stored answer is too old: which commit does the revision name, where a
hub tells that; what is known of the file (size, digest, type); where are its bytes. How a hub is asked says its
`Inquiry`. All of it is asked without credentials: what comes back is public and may be shared. Where the hub refuses
that, who shows a permission of his own is answered by it (`Leased`); what cannot be answered so is the client's own
request passed on, and nothing of that is kept.

Bytes of known digest that somebody wants whole may come from any public place that is known to have them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..access.public import has_credentials, showing
from ..core.errors import IntegrityError, UpstreamFailed
from ..core.messages import Reply, Request, StoredResponse
from ..core.ranges import Full, Partial, answer_stored
from ..core.reuse import Forward, Reuse, Unavailable, Validate, decide, on_upstream_failure
from ..core.status import Detail, Fwd, Outcome
from ..core.storing import delta_bytes
from ..fetch.transfer import Source
from ..fetch.upstream import Answer
from ..hub import modelscope as ms
from ..hub import xet
from ..hub.resources import File
from ..store.contract import View
from . import blobs
from .agent import agent_of
from .documents import Documents
from .heads import Heads
from .inquiry import Found, Inquiry, Refused
from .leased import Holder, Leased, unasked
from .listed import Listed
from .means import Means
from .own import OwnHeads, OwnListed
from .places import Places
from .relay import failed_with, failure, relay, standing_in
from .replies import forbids_storing, not_cached, only_if_cached, private
from .sources import Elsewhere, not_given


class Files:
    def __init__(self, means: Means, documents: Documents) -> None:
        self._means, self._places = means, Places(means)
        heads, listed = Heads(means, self._places), Listed(means, self._places, documents)
        self._inquiries: dict[str, Inquiry] = {heads.hub: heads, listed.hub: listed}
        self._leased = Leased(
            means, self._inquiries, (OwnHeads(means, heads), OwnListed(means, listed, documents.confided))
        )

    # -- in memory --------------------------------------------------------------------------------------------------

    def quickly(self, view: View, request: Request, file: File) -> Reply | None:
        if (reply := self._open(view, request, file)) is not None or not has_credentials(request):
            return reply
        if view is not self._means.store.memory:  # leases are seen from the event loop only
            return None
        found = self._leased.quickly(view, request, file)
        if found is None or _about_xet(request, shown := self._shown(found[0])):
            return None
        reply = blobs.quickly(self._means, view, request, shown, found[1])
        return None if reply is None else private(reply)

    def _open(self, view: View, request: Request, file: File) -> Reply | None:
        means, now, inquiry = self._means, self._means.clock(), self._inquiries[file.hub]
        if inquiry.names_commits and not file.pinned:
            refs = view.responses(file.ref_key)
            if not refs or not isinstance(decide(request, refs, now, means.rules.revision()), Reuse):
                return None
            file = file.at(_commit(refs))
        rows = inquiry.seen(view, file)
        if not rows or not means.public.seen(view, inquiry.proof(file, rows[0].status)):
            return None
        verdict = decide(request, rows, now, inquiry.terms(file, rows[0].status))
        if not isinstance(verdict, Reuse) or (verdict.stored.status == 200 and not verdict.stored.blob):
            return None
        shown = self._shown(verdict.stored)
        return None if _about_xet(request, shown) else blobs.quickly(means, view, request, shown, verdict.outcome)

    # -- the whole way ----------------------------------------------------------------------------------------------

    async def answer(self, request: Request, file: File) -> Reply:
        who = self._leased.holder(request, file)
        if forbids_storing(request):
            return await self._relayed(request, file, who)
        proof = self._inquiries[file.hub].proof(file, 200)
        if self._means.public.refused(file.repo.key) or (who is not None and await self._leased.is_first(who, proof)):
            return await self._closed(request, file, who)
        try:
            match await self._find(request, file):
                case Refused():
                    return await self._closed(request, file, who)
                case Reply() as reply:
                    return reply
                case Found() as found:
                    given = await self._given(request, found)
                    return given if given is not None else await self._closed(request, file, who)
        except UpstreamFailed as fault:
            if who is not None and not await self._known(file):
                return await self._closed(request, file, who)
            if fault.status == 429 and has_credentials(request):
                return await self._relayed(request, file)  # his own quota may have room
            return failure(request, fault, hub=file.hub, kind="file")
        except IntegrityError as fault:
            return failure(request, fault, hub=file.hub, kind="file")

    async def _closed(self, request: Request, file: File, who: Holder | None) -> Reply:
        """Of a repo that strangers are refused, as far as can be told."""
        if who is None:
            return await self._relayed(request, file)
        try:
            found = await self._leased.find(request, file, who)
        except UpstreamFailed as fault:
            return unasked(request, fault, hub=file.hub)
        if isinstance(found, Reply):
            return found
        if isinstance(found, Refused) or _about_xet(request, shown := self._shown(found.stored)):
            return await self._relayed(request, file, who)
        try:
            return await self._leased.reply(request, found, shown, who)
        except UpstreamFailed as fault:
            if not_given(fault):
                return await self._relayed(request, file, who)
            return failure(request, fault, hub=file.hub, kind="file")
        except IntegrityError as fault:
            return failure(request, fault, hub=file.hub, kind="file")

    async def _find(self, request: Request, file: File) -> Found | Refused | Reply:
        means, inquiry = self._means, self._inquiries[file.hub]
        outcome: Outcome | None = None
        if inquiry.names_commits and not file.pinned:
            match await self._revision(request, file):
                case Found() as found if found.stored.kind == "file":
                    return found
                case Found(stored=row, outcome=outcome):
                    file = file.at(_commit((row,)))
                case other:
                    return other
        rows = await inquiry.stored(file)
        terms = inquiry.terms(file, rows[0].status if rows else 200)
        proof = inquiry.proof(file, rows[0].status if rows else 200)
        proven = await means.public.proven(proof)
        match decide(request, rows, means.clock(), terms):
            case Reuse() as reuse if proven:
                return Found(file, reuse.stored, _merged(outcome, reuse.outcome))
            case Unavailable():
                return not_cached(request, hub=file.hub, kind="file")
            case Validate(reason=reason) | Forward(reason=reason):
                pass
            case Reuse() if only_if_cached(request):
                return not_cached(request, hub=file.hub, kind="file")
            case Reuse():
                reason = Fwd.STALE
        asking = Outcome(fwd=reason, detail=outcome.detail if outcome else None)  # stale, if the commit was
        try:
            return await self._ask(request, file, asking, hurry=bool(rows))
        except UpstreamFailed as fault:
            stored = on_upstream_failure(request, rows, means.clock(), terms, failed_with(fault))
            if stored is None or not await means.public.known(proof):
                raise
            return Found(file, stored, Outcome(hit=True, detail=standing_in(fault)))

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
                return not_cached(request, hub=file.hub, kind="file")
            case Validate(reason=reason) | Forward(reason=reason):
                outcome = Outcome(fwd=reason)
        try:
            return await self._ask(request, file, outcome, hurry=bool(rows))
        except UpstreamFailed as fault:
            stored = on_upstream_failure(request, rows, means.clock(), terms, failed_with(fault))
            if stored is None or not await self._known(file):
                raise
            return Found(file, stored, Outcome(hit=True, detail=standing_in(fault)))

    async def _known(self, file: File) -> bool:
        """Which commit it is may be said to all."""
        return await self._means.public.known(showing(file.repo))

    async def _ask(self, request: Request, file: File, outcome: Outcome, *, hurry: bool) -> Found | Refused | Reply:
        agent = agent_of(request.headers)
        inquiry, reload = self._inquiries[file.hub], outcome.fwd is Fwd.REQUEST

        async def ask() -> Found | Refused:
            if outcome.fwd is Fwd.URI_MISS and inquiry.names_commits and (found := await self._since(request, file)):
                return found
            return await inquiry.ask(file, agent, hurry=hurry, reload=reload)

        asked, collapsed = await self._means.flights.join(f"head:{file.key}", ask)
        match asked:
            case Found(outcome=how):  # a listing that is stale says so itself
                new = how if how.hit else replace(how, fwd=outcome.fwd, collapsed=collapsed)
                return replace(asked, outcome=replace(new, detail=outcome.detail or how.detail))
            case Refused(closed=True):
                self._means.leases.note_closed(file.key)
        return asked

    async def _since(self, request: Request, file: File) -> Found | None:
        """What somebody who asked has been told since we looked."""
        means, inquiry = self._means, self._inquiries[file.hub]
        rows = await means.store.responses.get(file.key if file.pinned else file.ref_key)
        if not rows:
            return None
        terms = inquiry.terms(file, rows[0].status) if file.pinned else means.rules.revision()
        if file.pinned and not await means.public.proven(inquiry.proof(file, rows[0].status)):
            return None
        match decide(request, rows, means.clock(), terms):
            case Reuse(stored=stored):
                return Found(file, stored, Outcome(hit=True))
            case _:
                return None

    async def _reply(self, request: Request, found: Found) -> Reply:
        stored, file = self._shown(found.stored), found.file
        if _about_xet(request, stored):
            return await relay(self._means, request, hub=file.hub, kind="file")
        agent = agent_of(request.headers)
        source: Source = self._inquiries[file.hub].source(file, stored, agent)
        if _wants_all(request, stored):
            source = Elsewhere(source, lambda: self._others(stored, agent))
        checked = file.hub == ms.HUB and ms.checks_digests(request.headers.get("user-agent") or "")
        return await blobs.reply(self._means, request, stored, found.outcome, source, checked=checked)

    async def _given(self, request: Request, found: Found) -> Reply | None:
        """None if strangers could have it, and are not given the bytes now. Raises as `_reply`."""
        proof = self._inquiries[found.file.hub].proof(found.file, found.stored.status)
        try:
            return await self._reply(request, found)
        except UpstreamFailed as fault:
            given = not not_given(fault) and await self._means.public.proven(proof)
            if found.outcome.detail is not None or given:
                raise
            return None

    async def _others(self, stored: StoredResponse, agent: str) -> list[Source]:
        """Other places that a hub has named for the same digest."""
        if stored.blob is None:
            return []
        files = await self._places.of(stored.blob, besides=stored.url)
        about = replace(stored, facts=())  # what is stored beside the digest is of the one place only
        return [self._inquiries[file.hub].source(file, about, agent) for file in files]

    def _shown(self, stored: StoredResponse) -> StoredResponse:
        """As the client shall see it: without Xet when the plain file is the better way."""
        if "x-xet-hash" not in stored.headers or self._means.rules.keep_xet(stored.size):
            return stored
        return replace(stored, headers=stored.headers.without(*xet.XET_FIELDS))

    async def _relayed(self, request: Request, file: File, who: Holder | None = None) -> Reply:
        """The client's own request, with its own rights."""
        reply = await relay(self._means, request, hub=file.hub, kind="file", drop=self._hidden, detail=Detail.ACCESS)
        if who is not None and reply.outcome.fwd_status is not None:
            self._leased.heard(who, reply.status, reply.headers.get("x-error-code") or "")
        if reply.outcome.fwd_status is None and reply.status != 429 and self._means.public.refused(file.repo.key):
            why = (reply.headers.get("x-error-message") or "").removeprefix("hubgate: ").partition("; ")[0]
            return unasked(request, UpstreamFailed(why), hub=file.hub)
        return reply

    def _hidden(self, answer: Answer) -> frozenset[str]:
        keep = self._means.rules.keep_xet(delta_bytes(answer.headers.get("x-linked-size")))
        return frozenset() if keep else frozenset(field.lower() for field in xet.XET_FIELDS)


def _about_xet(request: Request, shown: StoredResponse) -> bool:
    """Asked for the Xet facts as JSON in place of the file, where Xet is left to the client."""
    return "x-xet-hash" in shown.headers and xet.XET_FACTS in (request.headers.get("accept") or "")


def _wants_all(request: Request, stored: StoredResponse) -> bool:
    """Then nobody can end with a file whose digest is wrong; a lone part is given out before its whole is proven."""
    match answer_stored(request, stored):
        case Full():
            return True
        case Partial(parts):
            return parts == ((0, stored.size),)
        case _:
            return False


def _commit(rows: Sequence[StoredResponse]) -> str:
    return dict(rows[0].facts).get("commit", "")


def _merged(revision: Outcome | None, file: Outcome) -> Outcome:
    """A hit that needed the revision validated is no plain hit."""
    if revision is None or (revision.hit and revision.detail is None):
        return file
    return revision
