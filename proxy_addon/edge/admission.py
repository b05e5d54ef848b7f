"""Who may connect, how often, and how long a client may take to say what it wants.

mitmproxy knows none of this: it accepts from anywhere, without a limit, and waits ten minutes for a header block.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Callable, Iterable

from proxy_addon.auth.attempts import network
from proxy_addon.config import LOOPBACK, Limits, Network


class Admission:
    def __init__(self, clients: Iterable[Network] = LOOPBACK, limit: int = Limits().connections) -> None:
        """`limit` connections from one client at a time."""
        self.clients, self.limit = tuple(clients), limit
        self._open: Counter[str] = Counter()

    def enter(self, address: str) -> str | None:
        """None, or why this client is turned away; undone by `leave` when it was None."""
        try:
            peer = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return "not an IP address"
        if isinstance(peer, ipaddress.IPv6Address) and peer.ipv4_mapped:
            peer = peer.ipv4_mapped
        if not any(peer in each for each in self.clients):
            return "not in `clients`"
        one = network(address)
        if self._open[one] >= self.limit:
            return f"{self.limit} connections are open already"
        self._open[one] += 1
        return None

    def leave(self, address: str) -> None:
        one = network(address)
        self._open[one] -= 1
        if self._open[one] <= 0:
            del self._open[one]


class Deadlines:
    """One running deadline for each connection at most; arming a running one does not extend it."""

    def __init__(self, seconds: float, expired: Callable[[str], None]) -> None:
        self._seconds, self._expired = seconds, expired
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def set(self, ident: str, *, armed: bool) -> None:
        if not armed:
            timer = self._timers.pop(ident, None)
            if timer is not None:
                timer.cancel()
        elif ident not in self._timers:
            self._timers[ident] = asyncio.get_running_loop().call_later(self._seconds, self._fire, ident)

    def _fire(self, ident: str) -> None:
        del self._timers[ident]
        self._expired(ident)


class Open:
    """Counts what is under way, so that a stop can wait for it."""

    def __init__(self) -> None:
        self.count = self.begun = 0
        self.left = 0  # what has ended besides: connections, bodies
        self._none = asyncio.Event()
        self._none.set()

    def __enter__(self) -> None:
        self.begin()

    def __exit__(self, *_: object) -> None:
        self.end()

    def begin(self) -> None:
        self.count += 1
        self.begun += 1
        self._none.clear()

    def end(self) -> None:
        self.count -= 1
        if not self.count:
            self._none.set()

    async def none(self) -> None:
        await self._none.wait()
