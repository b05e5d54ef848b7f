"""How fast we may ask: the operator's bandwidth cap, and what a hub said about its own limits.

A 429 or 503 with `Retry-After`, or a `RateLimit` field with nothing remaining, closes one (host, principal) pair for
that long: other users of the same hub have limits of their own. Waits are capped at `LONGEST` so that a mistaken header
cannot close a hub for a day. All times are monotonic seconds, passed in.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable
from email.utils import parsedate_to_datetime

from cachetools import LRUCache

from ..core.directives import delta_seconds
from ..core.messages import Headers

LONGEST = 600.0
_REMAINING = re.compile(r";\s*r=(\d+)")
_RESET = re.compile(r";\s*t=(\d+)")


def pause_of(status: int, headers: Headers, now_epoch: float) -> float:
    """Seconds to leave the host alone; 0 when it is content."""
    if status in (429, 503) and (text := headers.get("retry-after")):
        if (seconds := delta_seconds(text.strip())) is not None:
            return min(float(seconds), LONGEST)
        try:
            return max(0.0, min(parsedate_to_datetime(text).timestamp() - now_epoch, LONGEST))
        except (TypeError, ValueError, OverflowError):
            return 1.0
    limit = headers.get("ratelimit") or ""
    remaining, reset = _REMAINING.search(limit), _RESET.search(limit)
    if reset and (status == 429 or (remaining and remaining[1] == "0")):
        return min(float(reset[1]), LONGEST)
    return 1.0 if status == 429 else 0.0


class Closures:
    """Which (host, principal) pairs asked to be left alone, and until when. Bounded."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: LRUCache[tuple[str, str], float] = LRUCache(4096)

    def close(self, host: str, principal: str, seconds: float) -> None:
        self._until[host, principal] = self._clock() + seconds

    def left(self, host: str, principal: str) -> float:
        """Seconds still to wait."""
        until = self._until.get((host, principal))
        return 0.0 if until is None else max(0.0, until - self._clock())


class Bandwidth:
    """A token bucket for all fills together: `rate` bytes per second, None for no cap; bursts of a quarter second."""

    def __init__(self, rate: float | None, clock: Callable[[], float]) -> None:
        self.rate, self._clock = rate, clock
        self._free_at = -math.inf

    async def take(self, size: int) -> None:
        """Wait until `size` more bytes may have come."""
        if (seconds := self.due(size)) > 0:
            await asyncio.sleep(seconds)

    def due(self, size: int) -> float:
        """Count `size` bytes; the seconds to wait for them."""
        if self.rate is None:
            return 0.0
        now = self._clock()
        self._free_at = max(self._free_at, now - 0.25) + size / self.rate
        return max(0.0, self._free_at - now)
