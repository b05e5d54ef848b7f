"""How a file of a repo that is not open to all is answered: to each client by his own permission.

He needs a lease for the repo (`access.leases`), which is asked for before anything is looked up. Without one his own
request decides: the hub is asked with his permission for just this file, and that it gives it is the proof. What it
says of the file is kept under keys of its own, which nobody reads but holders of a lease; the bytes are kept by digest
and verified as all are. A refusal is the client's own: it goes to him in the hub's words, ends his lease, and is told
to nobody else. While the hub cannot be asked, a lease is good to its end, and after that only as long as the operator
says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from ..core.errors import UpstreamFailed
from ..core.messages import Reply, Request, StoredResponse
from ..core.reuse import Forward, Reuse, Unavailable, Validate, decide, on_upstream_failure
from ..core.status import Detail, Fwd, Outcome
from ..fetch.upstream import Throttled
from ..hub import modelscope as ms
from ..hub.resources import LEASED, File
from ..store.contract import View
from . import blobs
from .heads import ref_row
from .inquiry import Found, Inquiry, Refused
from .means import Means
from .own import Own
from .permission import OTHER_NAMES, Permission, permission, refuses
from .relay import failed_with, failure, standing_in
from .replies import not_cached, only_if_cached, private, refusal
from .witness import Witness

_AWAY = "the hub cannot be asked whether you may have this file"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who asks for which repo, and since when."""

    own: Permission
    repo: str
    since: float  # seconds of the timer


class Leased:
    def __init__(self, means: Means, open: dict[str, Inquiry], own: Sequence[Own]) -> None:
        self._means, self._open = means, open
        self._own = {each.hub: each for each in own}
        self._witness = Witness(means)

    def holder(self, request: Request, file: File) -> Holder | None:
        own = permission(self._means, request, file.repo)
        return None if own is None else Holder(own, file.repo.key, self._means.leases.timer())

    def holds(self, who: Holder) -> bool:
        return self._means.leases.holds(who.own.holder, who.repo)

    def stands_in(self, who: Holder) -> bool:
        return self._means.leases.stands_in(who.own.holder, who.repo)

    async def is_first(self, who: Holder, proof: str) -> bool:
        """Whether he is to be asked about before strangers, by whose `proof` all may have the file: his lease may stand
        in for a hub that is out of reach, and nobody need wait for it twice."""
        return self.stands_in(who) and not await self._means.public.proven(proof)

    # -- in memory --------------------------------------------------------------------------------------------------

    def quickly(self, view: View, request: Request, file: File) -> tuple[StoredResponse, Outcome] | None:
        """What is known of the file, to who holds a lease."""
        who = self.holder(request, file)
        if who is None or not self.holds(who):
            return None
        means, own = self._means, self._own[file.hub]
        if own.names_commits and not file.pinned:
            refs = view.responses(_ref_key(file))
            if not refs or not isinstance(decide(request, refs, means.clock(), means.rules.revision()), Reuse):
                return None
            file = file.at(dict(refs[0].facts)["commit"])
        rows = view.responses(_key(file))
        if not rows:
            return None
        verdict = decide(request, rows, means.clock(), own.terms(file, rows[0].status))
        if not isinstance(verdict, Reuse) or (verdict.stored.status == 200 and not verdict.stored.blob):
            return None
        return verdict.stored, verdict.outcome

    # -- the whole way ----------------------------------------------------------------------------------------------

    async def find(self, request: Request, file: File, who: Holder) -> Found | Refused | Reply:
        """Raises `UpstreamFailed` if the hub cannot be asked, and nothing that he may have stands in."""
        means, own, outcome = self._means, self._own[file.hub], Outcome()
        held = self.holds(who)
        if not held and only_if_cached(request):
            return not_cached(request, hub=file.hub, kind="file")
        if own.names_commits and not file.pinned:
            rows = await means.store.responses.get(_ref_key(file)) if held else ()
            match decide(request, rows, means.clock(), means.rules.revision()):
                case Reuse() as reuse:
                    file, outcome = file.at(dict(reuse.stored.facts)["commit"]), reuse.outcome
                case Unavailable():
                    return not_cached(request, hub=file.hub, kind="file")
                case Validate(reason=reason) | Forward(reason=reason):
                    return await self._asked(request, file, who, Outcome(fwd=reason if held else Fwd.MISS))
        rows = await means.store.responses.get(_key(file)) if held else ()
        match decide(request, rows, means.clock(), own.terms(file, rows[0].status if rows else 200)):
            case Reuse() as reuse:
                return Found(file, reuse.stored, reuse.outcome if outcome.detail is None else outcome)
            case Unavailable():
                return not_cached(request, hub=file.hub, kind="file")
            case Validate(reason=reason) | Forward(reason=reason):
                asking = Outcome(fwd=reason if held else Fwd.MISS, detail=outcome.detail)
                return await self._asked(request, file, who, asking)

    async def _asked(self, request: Request, file: File, who: Holder, outcome: Outcome) -> Found | Refused:
        means, reload = self._means, outcome.fwd is Fwd.REQUEST
        held, may_wait = self.holds(who), self.stands_in(who)
        key = f"own:{who.own.holder}:{who.own.origin}:{file.key}:{held}:{reload}"
        try:
            asked, collapsed = await means.flights.join(
                key, lambda: self._ask(file, who, held=held, hurry=may_wait, reload=reload)
            )
        except UpstreamFailed as fault:
            stored = await self._stale(request, file, who, fault)
            if stored is None:
                raise
            return stored
        if isinstance(asked, Found):
            new = replace(asked.outcome, fwd=outcome.fwd, collapsed=collapsed, detail=outcome.detail)
            return replace(asked, outcome=new)
        return asked

    async def _ask(self, file: File, who: Holder, *, held: bool, hurry: bool, reload: bool) -> Found | Refused:
        """Ask the hub as him, and keep what it says."""
        means = self._means
        asked = await self._own[file.hub].ask(file, who.own, hurry=hurry, proven=held, reload=reload)
        if isinstance(asked, Refused):
            self.heard(who, asked.status, asked.code)
            return asked
        if asked.stored.status == 200 and not held:
            await self._let_in(file, who)
        if asked.stored.status == 200 or held:  # that there is no such file may be said to whom the repo is closed
            if asked.file != file:
                await means.keep(_ref_key(file), (ref_row(asked.stored, asked.file.rev),))
            await means.keep(_key(asked.file), (asked.stored,))
        return asked

    async def _let_in(self, file: File, who: Holder) -> None:
        """He was given the file. That is a proof if strangers are not."""
        leases = self._means.leases
        if not leases.is_closed(file.key):
            try:
                stranger, _ = await self._means.flights.join(
                    f"head:{file.key}",
                    lambda: self._open[file.hub].ask(file, who.own.agent, hurry=False, reload=False),
                )
            except UpstreamFailed:
                return
            if isinstance(stranger, Refused) and stranger.closed:
                leases.note_closed(file.key)
        if leases.is_closed(file.key):
            leases.grant(who.own.holder, who.repo, who.since)

    async def _stale(self, request: Request, file: File, who: Holder, fault: UpstreamFailed) -> Found | None:
        """What is here, while his lease counts."""
        means, own = self._means, self._own[file.hub]
        if not self.stands_in(who):
            return None
        if not self.holds(who) and who.own.origin in OTHER_NAMES:
            return None  # that it is out of reach under that name says nothing of the hub
        status = failed_with(fault)
        if own.names_commits and not file.pinned:
            rows = await means.store.responses.get(_ref_key(file))
            ref = on_upstream_failure(request, rows, means.clock(), means.rules.revision(), status)
            if ref is None:
                return None
            file = file.at(dict(ref.facts)["commit"])
        rows = await means.store.responses.get(_key(file))
        terms = own.terms(file, rows[0].status if rows else 200)
        stored = on_upstream_failure(request, rows, means.clock(), terms, status)
        return None if stored is None else Found(file, stored, Outcome(hit=True, detail=standing_in(fault)))

    # -- replies ----------------------------------------------------------------------------------------------------

    async def reply(self, request: Request, found: Found, shown: StoredResponse, who: Holder) -> Reply:
        """Raises `UpstreamFailed`, `IntegrityError`."""
        file = found.file
        source = self._own[file.hub].source(file, found.stored, who.own)
        checked = file.hub == ms.HUB and ms.checks_digests(who.own.agent)
        return private(
            await blobs.reply(
                self._means,
                request,
                shown,
                found.outcome,
                source,
                public=False,
                checked=checked,
                witness=partial(self._witness.has, file.repo.key, source=source),
            )
        )

    def heard(self, who: Holder, status: int, code: str) -> None:
        """What the hub has answered to him: a refusal ends his lease."""
        if refuses(status, code):
            self._means.leases.revoke(who.own.holder, who.repo)


def unasked(request: Request, fault: UpstreamFailed, *, hub: str) -> Reply:
    """To who would have to be asked about."""
    if isinstance(fault, Throttled):
        return failure(request, fault, hub=hub, kind="file")
    text = f"hubgate: {_AWAY}: {fault}"
    return refusal(request, 503, text, Detail.ACCESS, ("Retry-After", "10"), hub=hub, kind="file")


def _key(file: File) -> str:
    return LEASED + file.key


def _ref_key(file: File) -> str:
    return LEASED + file.ref_key
