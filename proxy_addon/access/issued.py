"""Links that a hub has issued: signed URLs that were seen on their way to a client, and what each of them names.

Whoever holds such a URL would get the bytes from the hub until it expires, so he gets them from here as well, and
nobody else does: the URL is compared whole, signature included. Only an HMAC of it is kept, in memory.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from cachetools import TLRUCache

LASTS = 900.0  # seconds that a link is believed whose own expiry is not known
_AT_MOST = 24 * 3600.0
_KEY = os.urandom(32)


@dataclass(frozen=True, slots=True)
class Issued:
    """What a link names."""

    blob: str  # blob id: "sha256:<64 hex>", or the key of a xorb range; empty: what the URL says
    size: int | None  # bytes
    until: float  # epoch seconds


class IssuedLinks:
    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: TLRUCache[bytes, Issued] = TLRUCache(262_144, lambda _, issued, now: issued.until, clock)

    def note(self, url: str, blob: str, size: int | None, expires: float | None = None) -> None:
        """`expires`: epoch seconds, as the link itself says."""
        now = self._clock()
        until = min(now + LASTS if expires is None else expires, now + _AT_MOST)
        self._known[mark(url)] = Issued(blob, size, until)

    def find(self, url: str) -> Issued | None:
        return self._known.get(mark(url))

    def forget(self, url: str) -> None:
        """The hub has refused it."""
        self._known.pop(mark(url), None)


def mark(url: str) -> bytes:
    """Clients write a URL as they please, with more or fewer escapes than the hub did."""
    return hmac.digest(_KEY, unquote(url).encode("utf-8", "surrogatepass"), hashlib.sha256)
