"""How often one address may be wrong: guessing is slow, and no address has more than one guess under way.

Each address has `BURST` wrong answers to spare and gets one more every `EACH` seconds; who has none left is turned away
before anything is hashed. What waits for its turn is bounded too. An address is an IPv4 address or an IPv6 /64, since
whoever has one of these has all of it. Somebody who answers right spends nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache

BURST = 10
EACH = 6.0  # seconds
WAITING = 64  # for their turn, from one address
MOST = 8192  # addresses


class TooMany(Exception):
    """No attempt now; `wait` seconds until there may be one."""

    def __init__(self, wait: float) -> None:
        super().__init__(wait)
        self.wait = wait


@dataclass(slots=True)
class _Place:
    left: float
    at: float
    waiting: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Attempts:
    def __init__(self, timer: Callable[[], float]) -> None:
        self._timer = timer
        self._places: OrderedDict[str, _Place] = OrderedDict()

    def __len__(self) -> int:
        return len(self._places)

    @asynccontextmanager
    async def turn(self, address: str) -> AsyncIterator[Callable[[], None]]:
        """One attempt at a time; what it gives is to be called if the attempt was wrong. Raises TooMany."""
        place = self._place(network(address))
        self._refuse(place)
        if place.waiting >= WAITING:
            raise TooMany(EACH)
        place.waiting += 1
        try:
            async with place.turn:
                self._refuse(place)
                yield lambda: self._wrong(place)
        finally:
            place.waiting -= 1

    def _refuse(self, place: _Place) -> None:
        now = self._timer()
        place.left, place.at = min(float(BURST), place.left + (now - place.at) / EACH), now
        if place.left < 1:
            raise TooMany((1 - place.left) * EACH)

    @staticmethod
    def _wrong(place: _Place) -> None:
        place.left -= 1

    def _place(self, key: str) -> _Place:
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = _Place(BURST, self._timer())
            for old in [name for name, each in list(self._places.items())[:8] if not each.waiting and name != key]:
                if len(self._places) <= MOST:
                    break
                del self._places[old]
        self._places.move_to_end(key)
        return place


@lru_cache(1024)
def network(address: str) -> str:
    """What counts as one: an IPv4 address, or the /64 that a machine has all the addresses of (RFC 4291)."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((int(found) >> 64 << 64, 64)).network_address)
    return str(found)
