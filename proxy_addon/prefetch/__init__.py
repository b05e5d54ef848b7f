"""Fills the cache before anybody asks: a repo at a revision becomes the requests that clients will make for it.

Every byte comes by the same `Engine.handle` as a client's would, so whatever holds for clients (policy, proof by
digest, who may read, resumption) holds here.

The invariant: an item ends as *here* or *fetched* only when the store shows every piece of it, after the last of all
items has come. What is here is not read again. One item's failure is its own; only what would fail every other one too
(the hub is gone, the disk is full) ends the run early, and then each item that was not tried says so.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

from ..core.errors import BodyLost
from ..hub import huggingface as hf
from ..hub import targets
from ..hub.targets import Target
from ..store.contract import PIECE, Blobs, Responses
from . import listing
from .asking import Ask, Asking, Fault, each
from .listing import Look
from .plan import Item, Plan, State, Watcher

__all__ = ["Ask", "Fault", "Item", "Look", "Plan", "Prefetch", "State", "Watcher"]

GIVE_UP = 8  # items in a row for which no hub could be reached
_HARNESSES = "https://huggingface.co/api/agent-harnesses"  # newer clients ask for it before all else
_FULL = "cache.size is too small, or the disk is full"
_UNSHARED = "the hub gives it only to those with permission: hubgate keeps what anybody may fetch"


class Store(Protocol):
    @property
    def responses(self) -> Responses: ...
    @property
    def blobs(self) -> Blobs: ...


class Prefetch:
    """`trouble` tells why the store does not take anything, if so; `pause` waits for seconds."""

    def __init__(
        self,
        ask: Ask,
        store: Store,
        watcher: Watcher,
        *,
        agent: str,
        jobs: int = 8,
        trouble: Callable[[], str | None] = lambda: None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._asking = Asking(ask, agent=agent, say=watcher.said, pause=pause)
        self._store, self._watcher, self._jobs, self._trouble = store, watcher, jobs, trouble
        self._in_vain = 0
        self._over: str | None = None

    # -- what there is ----------------------------------------------------------------------------------------------

    async def look(self, target: Target, documents: set[str]) -> Look:
        """What the target is at the hub now: one question. Raises `Fault`."""
        return await self._asking.persistently(lambda: listing.look(self._asking, target, documents), str(target))

    async def here(self, items: Iterable[Item]) -> bool:
        """Whether all of it is here, under the names by which clients ask; no hub is asked."""
        await self._look(items := list(items))
        return all([item.state is State.HERE and await self._named(item) for item in items])

    async def _named(self, item: Item) -> bool:
        rows = await self._store.responses.get(item.file.key)
        return bool(rows) and rows[0].blob == item.blob

    async def plan(self, wanted: Iterable[Target], include: Sequence[str] = (), exclude: Sequence[str] = ()) -> Plan:
        """Look up and list every target; the listings are then in the cache."""
        plan, found = Plan(), dict[Target, list[Item] | Fault]()

        async def one(target: Target) -> None:
            try:
                look = await self.look(target, plan.documents)
                if look.stale:
                    self._watcher.said(f"{target}: the hub cannot be asked; going by what it last said")
                found[target] = await self._files(look)
            except Fault as fault:
                found[target] = fault

        order = list(dict.fromkeys(wanted))
        await each(order, self._jobs, one)
        for target in order:
            _choose(plan, target, found[target], include, exclude)
        return await self._planned(plan, include)

    async def plan_of(self, look: Look, documents: set[str], include: Sequence[str], exclude: Sequence[str]) -> Plan:
        """The same for what has been looked up already; its faults are among the plan's."""
        plan = Plan(documents=documents)
        try:
            files: list[Item] | Fault = await self._files(look)
        except Fault as fault:
            files = fault
        _choose(plan, look.target, files, include, exclude)
        return await self._planned(plan, include)

    async def _files(self, look: Look) -> list[Item]:
        return await self._asking.persistently(look.files, str(look.target))

    async def _planned(self, plan: Plan, include: Sequence[str]) -> Plan:
        if not plan.faults:
            plan.faults += [(glob, "no file is called so") for glob in include if not _fits(glob, plan)]
        await self._look(plan.items)
        return plan

    async def _look(self, items: Iterable[Item]) -> None:
        """Which items are here, by the digests that their listing names."""

        async def one(item: Item) -> None:
            if item.blob or not item.size:
                await self._lacking(item)
            else:
                item.lacks = item.size
            item.state = State.MISSING if item.lacks else State.HERE

        await each(items, self._jobs, one)

    # -- bringing it ------------------------------------------------------------------------------------------------

    async def fetch(self, plan: Plan) -> None:
        """Bring every item; each then has its state, and `fault` where it failed."""
        self._in_vain, self._over = 0, None
        self._watcher.planned(plan)
        if any(item.file.hub == hf.HUB for item in plan.items):
            await self._warm()
        await each(plan.items, self._jobs, self._bring)
        await each([item for item in plan.items if item.state is not State.FAILED], self._jobs, self._confirm)

    async def _warm(self) -> None:
        with contextlib.suppress(Fault):  # a client does without it too
            await self._asking.got(_HARNESSES)

    async def _bring(self, item: Item) -> None:
        try:
            if self._over is not None:
                raise Fault(f"not tried: {self._over}")
            await self._asking.persistently(lambda: self._once(item), item.file.path, self._hopeless)
            self._in_vain = 0
        except Fault as fault:
            item.state, item.fault = State.FAILED, str(fault)
            self._in_vain = self._in_vain + 1 if fault.gone else 0
            if self._in_vain >= GIVE_UP:
                self._over = str(fault)
        self._watcher.ended(item)

    def _hopeless(self, fault: Fault) -> bool:
        return self._over is not None or (fault.gone and self._in_vain > 0)

    async def _once(self, item: Item) -> None:
        self._watcher.advanced(item, -item.done)
        item.done = 0
        await self._asking.reply("HEAD", item.url)
        rows = await self._store.responses.get(item.file.key)
        if not rows or rows[0].blob is None:
            raise self._refused() or Fault(_UNSHARED)
        if not item.file.pinned and item.blob not in ("", rows[0].blob):
            raise Fault("it has changed just now; run it again")
        item.blob, item.size = rows[0].blob, rows[0].size or 0
        spans = await self._lacking(item)
        if not spans:
            item.state = State.HERE
            return
        for start, end in spans:
            await self._drain(item, start, end)
        lacked = item.lacks
        if await self._lacking(item):
            raise self._refused() or self._ended(_FULL)
        item.state, item.lacks = State.FETCHED, lacked

    async def _lacking(self, item: Item) -> list[tuple[int, int]]:
        """What to ask for, in bytes; sets `lacks`. All of it while nothing of it is proven: the rest resumes below."""
        blobs = self._store.blobs
        manifest = await blobs.manifest(item.blob) if item.size else None
        here = await blobs.present(item.blob) if manifest is not None and manifest.size == item.size else set[int]()
        absent = [n for n in range(-(-item.size // PIECE)) if n not in here]
        item.lacks = sum(min(PIECE, item.size - n * PIECE) for n in absent)
        if not item.size or (manifest is not None and manifest.sealed and not absent):
            return []
        if manifest is None or not manifest.sealed:
            item.lacks = item.lacks or 1  # the proof
            return [(0, item.size)]
        spans: list[tuple[int, int]] = []
        for n in absent:
            start, end = n * PIECE, min((n + 1) * PIECE, item.size)
            if spans and spans[-1][1] == start:
                start = spans.pop()[0]
            spans.append((start, end))
        return spans

    async def _drain(self, item: Item, start: int, end: int) -> None:
        part = (("Range", f"bytes={start}-{end - 1}"),) if (start, end) != (0, item.size) else ()
        reply = await self._asking.reply("GET", item.url, *part)
        body = reply.body
        try:
            if isinstance(body, bytes):
                self._passed(item, len(body))
                return
            while data := await body.read(1 << 20):
                self._passed(item, len(data))
        except BodyLost as lost:
            raise self._refused() or Fault(str(lost), 1.0) from lost
        finally:
            reply.close()

    def _passed(self, item: Item, size: int) -> None:
        item.done += size
        self._watcher.advanced(item, size)

    def _refused(self) -> Fault | None:
        why = self._trouble()
        return None if why is None else self._ended(why)

    def _ended(self, why: str) -> Fault:
        """The store takes nothing: no other item would fare better."""
        self._over = f"the cache cannot keep it: {why}"
        return Fault(self._over)

    async def _confirm(self, item: Item) -> None:
        """Others write to the cache too, and what is fetched last may push out what came first."""
        state, lacks = item.state, item.lacks
        if await self._lacking(item):
            item.state, item.fault = State.FAILED, "pushed out again meanwhile: raise cache.size, or use --pin"
        else:
            item.state, item.lacks = state, lacks


def _choose(
    plan: Plan, target: Target, files: list[Item] | Fault, include: Sequence[str], exclude: Sequence[str]
) -> None:
    if isinstance(files, Fault):
        plan.faults.append((str(target), str(files)))
        return
    chosen = [item for item in files if targets.wanted(item.file.path, include, exclude)]
    if files and not chosen:
        plan.faults.append((str(target), f"--include and --exclude leave none of its {len(files)} files"))
    plan.items += chosen


def _fits(glob: str, plan: Plan) -> bool:
    return any(targets.fits(item.file.path, glob) for item in plan.items)
