"""What of requests is held in memory, counted until that memory is free: bounded for all, and for each client.

A request that the engine takes is collected whole, and one that is relayed waits here while upstream is not there yet:
by HTTP/2 that is a hundred bodies on each connection of one client. All together may have `TOTAL`, one client `SHARE`
of it; a body that finds no room is answered 503, and what waits to be relayed is not read any further (`owing`). Each
has room of its own: while upstream is not to be reached uploads wait, and what the cache answers must not be refused.

Bytes are held for as long as somebody has them, which is not always as long as there is a client: what is asked for
many goes on without the first. So a body is a value that gives back its place when it is freed, and to leave early
gains nothing. What lies in cycles is looked for before anybody is refused, once in `SWEEP` seconds.
"""

from __future__ import annotations

import gc
import time
from collections import Counter, deque
from collections.abc import Callable

from ..auth.attempts import network
from .admission import Open

TOTAL = 64 * 1024 * 1024  # bytes
SHARE = 16 * 1024 * 1024  # bytes of one client; an honest one asks with some KiB
SWEEP = 5.0


class Holding:
    """For one event loop. `open` is told what was given back, for `thrift`."""

    def __init__(
        self, open: Open, total: int = TOTAL, share: int = SHARE, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.open, self._total, self._share, self._clock = open, total, share, clock
        self._of: Counter[str] = Counter()
        self._all = 0
        self.freed: deque[tuple[str, int]] = deque()
        self._swept = float("-inf")

    def begin(self, client: str) -> Held:
        """`client`: its address."""
        return Held(self, network(client))

    @property
    def held(self) -> int:
        """Bytes, by all."""
        self._settle()
        return self._all

    def fits(self, one: str, more: int) -> bool:
        if not self._fits(one, more) and self._clock() - self._swept >= SWEEP:
            self._swept = self._clock()
            gc.collect()
        return self._fits(one, more)

    def _fits(self, one: str, more: int) -> bool:
        self._settle()
        return self._all + more <= self._total and self._of[one] + more <= self._share

    def add(self, one: str, size: int) -> None:
        """Less, if `size` is negative."""
        self._settle()
        self._count(one, size)

    def _settle(self) -> None:
        while self.freed:
            one, size = self.freed.popleft()
            self._count(one, -size)

    def _count(self, one: str, size: int) -> None:
        self._all += size
        self._of[one] += size
        if self._of[one] <= 0:
            del self._of[one]


class Held:
    """The place of one body, or of what waits on one connection; given back with this object."""

    def __init__(self, holding: Holding, one: str) -> None:
        self._holding, self._one = holding, one
        self.size = 0

    def more(self, size: int) -> bool:
        """False when there is no room for so many bytes: then nothing was taken."""
        if not self._holding.fits(self._one, size):
            return False
        self.resize(self.size + size)
        return True

    def resize(self, size: int) -> None:
        """Whether there is room or not."""
        if size != self.size:
            more, self.size = size - self.size, size
            self._holding.add(self._one, more)

    @property
    def over(self) -> bool:
        """Whether there is no room for more."""
        return not self._holding.fits(self._one, 1)

    def __del__(self) -> None:
        # At any time and in any thread, as the collector has it: this is counted later.
        if self.size:
            self._holding.open.left += 1
            self._holding.freed.append((self._one, self.size))


class Whole(bytes):
    """A body that has come to its end, with its place."""

    held: Held

    @classmethod
    def of(cls, collected: bytes, held: Held) -> Whole:
        made = cls(collected)
        made.held = held
        return made
