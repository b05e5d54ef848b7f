"""One repo brought up to date: ask what the hub has, and fetch what is new of it.

The hub is asked one thing; if what it has is what is here, complete and still whole, that is all. Else the new version
is listed and fetched as any prefetch, which brings only what is not here yet; and only when every file of it is here
does it become the version that is. Whatever happens in between (a failure, a kill) leaves the old version standing and
the next run to go on from there.

With `pin` the new version is pinned before it is fetched, and what only an older one needed is unpinned when the new
one is complete, never before. Only what was pinned for a repo's sake is unpinned, not what a person has pinned; what a
person has unpinned is pinned again.
"""

from __future__ import annotations

import json
from asyncio import to_thread
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

from ..config import Subscription
from ..hub.resources import COMMIT, File
from ..prefetch import Fault, Item, Look, Plan, Prefetch, State
from .changes import Changes, Run
from .journal import Journal
from .standing import Standing

FAULTS = 100  # that one line of the log names


class Result(StrEnum):
    UNCHANGED = "unchanged"
    CHANGED = "changed"
    FAILED = "failed"
    BUSY = "busy"  # another process is at it


@dataclass(frozen=True, slots=True)
class Update:
    repo: str
    result: Result
    run: Run | None = None  # the line of the log, if there is something to tell


class Pins(Protocol):
    @property
    def kept(self) -> frozenset[str]: ...
    async def keep_all(self, blobs: Collection[str], kept: bool) -> None: ...


class Updates:
    """`room`: bytes that a set may have at most. `clock` tells epoch seconds."""

    def __init__(self, work: Prefetch, journal: Journal, pins: Pins, *, room: int, clock: Callable[[], float]) -> None:
        self._work, self._journal, self._pins, self._room, self._clock = work, journal, pins, room, clock

    async def once(self, subscription: Subscription) -> Update:
        """The repo must be on the journal's list. Raises OSError when the disk refuses."""
        repo = str(subscription.repo)
        with self._journal.alone(repo) as alone:
            if not alone:
                return Update(repo, Result.BUSY)
            return await self._once(subscription, await self._begun(repo))

    async def _begun(self, repo: str) -> Standing:
        stands = await to_thread(self._journal.standing, repo)
        assert stands is not None
        if stands.began is not None:
            cut_off = Run(repo, stands.began, stands.version, stands.known, faults=((repo, "it was interrupted"),))
            await to_thread(self._journal.note, cut_off)
        return stands

    async def _once(self, subscription: Subscription, old: Standing) -> Update:
        journal, repo = self._journal, old.repo
        run = Run(repo, self._clock(), old.version)
        await to_thread(journal.begin, repo, run.at)
        try:
            look = await self._work.look(subscription.repo, documents := set[str]())
            if look.stale:
                raise Fault("the hub cannot be asked")
        except Fault as fault:
            return await self._failed(replace(run, faults=((repo, str(fault)),)))
        if (look.version, terms(subscription)) == (old.version, old.terms) and await self._whole(look):
            wanted = await to_thread(journal.wanted, repo)
            if lost := wanted - self._pins.kept:  # unpinned with another repo that has the same bytes
                await self._pins.keep_all(lost, True)
            await self.unpin(repo, wanted)
            await to_thread(journal.equal, repo, run.at)
            return Update(repo, Result.UNCHANGED)
        await to_thread(journal.known, repo, look.version)
        plan = await self._work.plan_of(look, documents, subscription.include, subscription.exclude)
        return await self._fetched(subscription, replace(run, after=look.version), plan)

    async def _whole(self, look: Look) -> bool:
        """Whether all that came with this version is still here."""
        repo, rev = look.target.repo, look.version if COMMIT.match(look.version) else look.target.revision
        files = await to_thread(self._journal.files, str(look.target))
        return await self._work.here(
            Item(look.target, File(repo, rev, path), size, blob) for path, (size, blob) in files.items()
        )

    async def _fetched(self, subscription: Subscription, run: Run, plan: Plan) -> Update:
        if plan.size > self._room:
            why = f"the set has {plan.size:,} bytes, cache.size is {self._room:,}; raise it"
            return await self._failed(replace(run, faults=((run.repo, why),)))
        wanted = await self._pin(run.repo, plan) if subscription.pin else set[str]()
        await self._work.fetch(plan)
        if subscription.pin:
            wanted |= await self._pin(run.repo, plan)  # what the listing named no digest of is known by now
        failed = [(item.file.path, item.fault) for item in plan.items if item.state is State.FAILED]
        took = self._clock() - run.at
        if faults := [*plan.faults, *failed]:
            return await self._failed(replace(run, fetched=plan.fetched, seconds=took, faults=tuple(_bounded(faults))))
        new = {item.file.path: (item.size, item.blob) for item in plan.items}
        changes = Changes.between(await to_thread(self._journal.files, run.repo), new)
        run = replace(run, changes=changes, fetched=plan.fetched, seconds=took)
        await to_thread(self._journal.arrived, run, terms(subscription), new, wanted)
        await self.unpin(run.repo, wanted)
        return Update(run.repo, Result.CHANGED, run)

    async def _failed(self, run: Run) -> Update:
        await to_thread(self._journal.failed, run)
        return Update(run.repo, Result.FAILED, run)

    async def _pin(self, repo: str, plan: Plan) -> set[str]:
        """What of the plan is pinned by us. First on record, then done: a pin is never forgotten."""
        journal = self._journal
        mine, others = await to_thread(journal.pins, repo), await to_thread(journal.other_pins, repo)
        ours = plan.blobs - (self._pins.kept - mine - others)
        await to_thread(journal.set_pins, repo, mine | ours)
        await self._pins.keep_all(ours, True)
        return ours

    async def unpin(self, repo: str, wanted: set[str]) -> None:
        """Let go of all that was pinned for the repo and is not wanted, by it or by another."""
        pins = await to_thread(self._journal.pins, repo)
        if pins == wanted:
            return
        if loose := pins - wanted - await to_thread(self._journal.other_pins, repo):
            await self._pins.keep_all(loose, False)
        await to_thread(self._journal.set_pins, repo, wanted)


def terms(subscription: Subscription) -> str:
    """What a version must be complete for."""
    return json.dumps([subscription.include, subscription.exclude, subscription.pin])


def _bounded(faults: list[tuple[str, str]]) -> list[tuple[str, str]]:
    more = len(faults) - FAULTS
    return faults if more <= 0 else [*faults[:FAULTS], (f"{more} more", "not named here")]
