"""The clients: each draws what it wants and how it takes it, asks, and hands what came to the ledger.

A client that was not served, with no trouble to excuse it, asks once more: what fails twice is a fault. (A connection
that was kept alive may end just when it is used again; every client meets that.) What is pinned, and a proxy that gives
no word at all, are judged by fewer excuses: see `ledger`.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from urllib.parse import urljoin, urlsplit

from proxy_addon.fetch.addresses import is_literal

from . import actions
from .judge import Reading, Verdict, Want
from .keeper import Keeper
from .ledger import UNPROVEN, Class, Ledger
from .wire import Connection, Cut, Head, Hung, Refused, Turned, trust
from .world import World

AWAY = 1.5  # seconds that a client waits where nobody listens, as a proxy that starts wants the processor too
PAUSE = 1.2  # seconds between two requests of a client, at most


@dataclass(frozen=True)
class Manner:
    """How a body is taken: `after` so many bytes it stops, for good, or to go on elsewhere; `slow` seconds a piece."""

    after: int | None = None
    resume: bool = False
    slow: float = 0.0


@dataclass
class Got:
    verdict: Verdict
    reading: Reading | None = None
    head: Head | None = None
    text: bytes = b""


@dataclass
class Client:
    number: int
    world: World
    ledger: Ledger
    keeper: Keeper
    rnd: random.Random
    others: tuple[Callable[[Client], Awaitable[None]], ...] = ()  #: what takes more than one request, a share of all
    away: float = AWAY
    ending: asyncio.Event = field(default_factory=asyncio.Event)
    _context: ssl.SSLContext | None = None
    _kept: dict[tuple[int, str], Connection] = field(default_factory=dict)

    async def run(self) -> None:
        while not self.ending.is_set():
            if self.others and self.rnd.random() < 0.08:
                await self.rnd.choice(self.others)(self)
            else:
                await self.one()
            await asyncio.sleep(self.rnd.uniform(0, PAUSE))
        self.close()

    def close(self) -> None:
        for connection in self._kept.values():
            connection.close()
        self._kept.clear()

    def context(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = trust(self.keeper.ca_pem)
        return self._context

    async def one(self) -> None:
        counts, makers = zip(*actions.WANTS, strict=True)
        (maker,) = self.rnd.choices(makers, counts)
        want = maker(self.world, self.rnd)
        dice = self.rnd.random()
        manner = Manner()
        if want.versions is not None and want.to == "open":
            if dice < 0.2:
                want = actions.ranged(want, self.world, self.rnd)
            elif dice < 0.28:
                want = replace(want, method="HEAD")
            elif dice < 0.36:
                manner = Manner(after=self.rnd.randrange(800_000), resume=dice < 0.32)
            elif dice < 0.4:
                manner = Manner(slow=self.rnd.uniform(0.02, 0.1))
        got = await self.served(want, manner)
        if manner.resume and got.reading is not None and got.reading.ours and (done := got.reading.got):
            etag = got.reading.fields.get("etag", "")
            more = (("Range", f"bytes={done}-"), *((("If-Range", etag),) if etag else ()))
            await self.served(replace(want, kind="resumed", range=(done, None), headers=(*want.headers, *more)))

    async def served(self, want: Want, manner: Manner | None = None, door: int | None = None) -> Got:
        """Ask, twice if it must be, and tell the ledger."""
        manner = manner or Manner()
        since = time.monotonic()
        for again in (False, True):
            got = await self.asked(want, manner, door)
            lied = self.ledger.lied(since)
            faults = [each for each in got.verdict.faults if not (lied and each[0] in UNPROVEN)]
            for kind, text in faults:
                self.ledger.fault(kind, f"client {self.number}: {text}")
            left = manner.after is not None and got.verdict.outcome == "left"
            self.ledger.requests[want.kind, got.verdict.outcome] += 1
            if got.verdict.outcome == "no proxy":
                self.close()  # others that were kept may have ended as well
                await asyncio.sleep(self.away)
            if got.verdict.served or left or faults or self._excused(want, got, since) is not None:
                return got
            if not again:
                await asyncio.sleep(0.2)
        kind = "lost blob" if want.kept and self.ledger.kept_since(since) else "not served"
        told = got.reading.told if got.reading is not None else f"{want.method} {want.url.partition('?')[0]}"
        now = ", ".join(self.ledger.under_way()) or "no trouble"
        self.ledger.fault(kind, f"client {self.number}: {told}: {got.verdict.outcome} {got.text[:300]!r} [{now}]")
        return got

    def _excused(self, want: Want, got: Got, since: float) -> str | None:
        excuses: tuple[Class, ...] = ("hub", "proxy")
        if want.to != "open" or got.verdict.outcome in ("no proxy", "hung"):
            excuses = ("hub", "proxy") if want.to != "open" else ("proxy",)
        elif want.kept and self.ledger.kept_since(since):
            excuses = ("proxy",)
        return self.ledger.excuse(since, *excuses)

    async def asked(self, want: Want, manner: Manner, door: int | None = None) -> Got:
        """One exchange, and those that its redirects lead to."""
        since = time.monotonic()
        which = self.rnd.choice(self.keeper.doors()) if door is None else door
        try:
            got = await self._exchange(want, manner, which, since)
        except Refused as fault:
            return Got(Verdict("no proxy"), text=str(fault).encode())
        except Turned as turned:
            return Got(Verdict(f"CONNECT {turned.status}"))
        except ssl.SSLError as fault:
            return Got(Verdict("no proxy"), text=repr(fault).encode())
        except Hung as hung:
            if self.ledger.excuse(since, "proxy") is None:
                self.ledger.fault("hung", f"client {self.number}: {want.method} {want.url.partition('?')[0]}: {hung}")
            return Got(Verdict("hung"))
        head = got.head
        if (
            head is not None
            and head.status in (301, 302, 303, 307, 308)
            and want.hops < 5
            and "location" in head.fields
            and not is_literal(urlsplit(head.fields["location"]).hostname or "")  # `connect_to` leads it to the hub
        ):
            return await self.asked(self._redirected(want, head.fields["location"]), manner, which)
        return got

    def _redirected(self, want: Want, location: str) -> Want:
        url = urljoin(want.url, location)
        same = urlsplit(url).hostname == urlsplit(want.url).hostname
        kept = tuple(each for each in want.headers if same or each[0] not in ("Authorization", "Cookie"))
        return replace(want, url=url, headers=kept, hops=want.hops + 1, etag=False)

    async def _exchange(self, want: Want, manner: Manner, which: int, since: float) -> Got:
        at = urlsplit(want.url)
        host = at.hostname or ""
        connection = self._kept.pop((which, host), None)
        if connection is None:
            connection = await Connection.open(self.keeper.ports[which], host, self.context())
        reading, done = Reading(want, since), False
        try:
            head = await connection.ask(want, at.path + (f"?{at.query}" if at.query else ""))
            reading.head(head.status, head.fields, time.monotonic())
            try:
                async for data in connection.body(want, head):
                    reading.chunk(data)
                    self.ledger.bytes += len(data)
                    if manner.slow:
                        await asyncio.sleep(manner.slow)
                    if manner.after is not None and reading.got > manner.after and reading.ours:
                        found = reading.over(False)
                        return Got(Verdict("left", found.faults), reading, head)
            except Cut as cut:
                return Got(reading.over(False), reading, head, reading.text or str(cut).encode())
            done = not (head.closes or connection.spent)
            return Got(reading.over(True), reading, head, reading.text)
        finally:
            if done and self.rnd.random() < 0.7 and (which, host) not in self._kept:
                self._kept[which, host] = connection
            else:
                connection.close()
