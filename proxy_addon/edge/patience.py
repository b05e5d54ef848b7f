"""How long a client may take over what it owes: a header block, a TLS handshake, the body that it has announced.

A deadline does not suit a body, which may be of any size: it owes a rate, counted over each `header_deadline`. The
client is excused while it is us who do not take: what it sent waits for upstream, or for our answer.
What it takes of a reply is counted where the reply is sent (`edge.pump`, `edge.wire`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from proxy_addon.config import Limits

from .admission import Deadlines


class Patience:
    """`cut` is told the connection and why; `excused` whether a connection waits for us."""

    def __init__(self, limits: Limits, cut: Callable[[str, str], None], excused: Callable[[str], bool]) -> None:
        self._limits, self._cut, self._excused = limits, cut, excused
        self._heads = Deadlines(limits.header_deadline, lambda ident: cut(ident, "no whole header block in time"))
        self._bodies: dict[str, asyncio.TimerHandle] = {}
        self._came: dict[str, int] = {}

    def head(self, ident: str, *, armed: bool) -> None:
        """A header block has begun; or it is complete. A running deadline is not extended."""
        self._heads.set(ident, armed=armed)

    def body(self, ident: str, *, owed: bool, came: int) -> None:
        """`came` bytes did; `owed`: there are more to come."""
        if not owed:
            if (timer := self._bodies.pop(ident, None)) is not None:
                timer.cancel()
                del self._came[ident]
        elif ident in self._bodies:
            self._came[ident] += came
        else:
            self._wait(ident)

    def forget(self, ident: str) -> None:
        self.head(ident, armed=False)
        self.body(ident, owed=False, came=0)

    def _wait(self, ident: str) -> None:
        self._came[ident] = 0
        self._bodies[ident] = asyncio.get_running_loop().call_later(self._limits.header_deadline, self._count, ident)

    def _count(self, ident: str) -> None:
        due = self._limits.body_rate * self._limits.header_deadline
        if self._came[ident] >= due or self._excused(ident):
            self._wait(ident)
            return
        del self._bodies[ident], self._came[ident]
        self._cut(ident, f"a request body slower than {self._limits.body_rate:.0f} bytes a second")
