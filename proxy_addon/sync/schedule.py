"""When: each repo at once after the start, then at its interval; after a failure sooner, and less often each time.

A repo never has two runs at a time, and only a few repos have one at all, so that clients keep most of the connections.
Nothing that goes wrong with one repo ends the schedule.
"""

from __future__ import annotations

import asyncio
import logging
import time
from asyncio import to_thread
from collections.abc import Awaitable, Callable, Sequence

from ..config import Subscription
from ..hub.targets import target
from .journal import Journal
from .update import Result, Update, Updates

log = logging.getLogger(__name__)
RETRY = 60.0  # seconds after a first failure; doubled with each further one, up to the interval
AT_ONCE = 2  # repos
_GOOD = frozenset({Result.UNCHANGED, Result.CHANGED})


class Schedule:
    """`listed`: these are all that the configuration lists, and what else one once listed is let go.

    `told` hears of every run. `clock` tells epoch seconds; `timer` only goes forward; `pause` waits for seconds.
    """

    def __init__(
        self,
        updates: Updates,
        journal: Journal,
        subscriptions: Sequence[Subscription],
        *,
        listed: bool,
        told: Callable[[Update], None] = lambda update: None,
        at_once: int = AT_ONCE,
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.monotonic,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._updates, self._journal, self._listed, self._told = updates, journal, listed, told
        self._subscriptions = subscriptions
        self._free = asyncio.Semaphore(at_once)
        self._clock, self._timer, self._pause = clock, timer, pause
        self._good: set[str] = set()

    async def run(self) -> None:
        """Until it is cancelled. Raises OSError when the journal cannot be written at the start."""
        if self._listed:
            await to_thread(self._journal.claims.stake, [str(each.repo) for each in self._subscriptions])
        for subscription in self._subscriptions:
            await self._want(str(subscription.repo))
        await self._let_go()
        async with asyncio.TaskGroup() as group:
            for subscription in self._subscriptions:
                group.create_task(self._follow(subscription))

    async def _follow(self, subscription: Subscription) -> None:
        failures = 0
        while True:
            async with self._free:
                began = self._timer()
                update = await self._one(subscription)
            failures = failures + 1 if update.result is Result.FAILED else 0
            if update.result in _GOOD:
                rest = subscription.every - (self._timer() - began)
            else:
                rest = min(subscription.every, RETRY * 2 ** min(failures - 1, 30) if failures else RETRY)
            await self._pause(max(rest, 1.0))

    async def _one(self, subscription: Subscription) -> Update:
        repo = str(subscription.repo)
        try:
            await self._want(repo)  # again: the journal may have begun anew
            update = await self._updates.once(subscription)
            if update.result in _GOOD:
                self._good.add(repo)
                await self._let_go()
        except Exception:  # the disk, or a fault of ours: neither may end the schedule, nor the server
            log.exception("sync of %s failed", repo)
            update = Update(repo, Result.FAILED)
        self._told(update)
        return update

    async def _want(self, repo: str) -> None:
        await to_thread(self._journal.want, repo, self._clock(), listed=self._listed)

    async def _let_go(self) -> None:
        """What no configuration lists any more: once nothing else is listed of that repo, or that is complete."""
        if not self._listed:
            return
        mine = {str(each.repo): each.repo.repo for each in self._subscriptions}
        left = [at.repo for at in await to_thread(self._journal.standings) if at.listed and at.repo not in mine]
        others = await to_thread(self._journal.claims.others) if left else set[str]()
        for name in left:
            if name in others:
                continue
            heirs = {heir for heir, repo in mine.items() if repo == target(name).repo}
            if heirs <= self._good:
                await self._updates.unpin(name, set())
                await to_thread(self._journal.drop, name)
