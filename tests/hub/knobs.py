"""What a test may turn while the hub runs: delays, throttles, faults, and odd behaviour that real hubs have shown.

A knob applies to the requests that its patterns match (shell globs on host, raw path and method). Where several
match, the one set last wins, field by field. `skip` lets the first so many matching requests pass; `times` ends the
knob after so many.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase


@dataclass(frozen=True)
class Effect:
    """Everything that may be asked of one reply; the defaults are a well-behaved hub."""

    latency: float = 0.0  #: seconds before the head
    bandwidth: float | None = None  #: bytes of body per second and connection
    sip: int = 1024  #: with `bandwidth`: bytes that are written at once, at the least
    status: int | None = None  #: this status instead of the reply
    body: str | None = None  #: with `status`: this body
    content_type: str = "application/json"  #: with `body`
    retry_after: int | None = None  #: with `status` 429: also r=0 in `RateLimit`
    redirect: str | None = None  #: 302 to this URL instead; "self" makes a loop
    headers: Mapping[str, str] = field(default_factory=dict)  #: set on the reply
    drop_headers: tuple[str, ...] = ()  #: taken off the reply
    drop_after: int | None = None  #: cut the connection after so many bytes of body
    drop_rst: bool = False  #: cut by RST, not by FIN
    stall_after: int | None = None  #: go silent, the connection open, after so many bytes of body
    hold: str | None = None  #: wait for `hub.release(name)`...
    hold_at: int = -1  #: ...after so many bytes of body; -1: before the head; 0: between head and body
    range_ignored: bool = False  #: 200 with everything to a ranged request
    length_lie: int = 0  #: added to Content-Length
    chunked: bool = False  #: no Content-Length
    corrupt_at: int | None = None  #: flip the byte at this offset of the file
    etag: str | None = None  #: this ETag, and no other validator
    gzip_small: bool = False  #: gzip small text when the client accepts it
    page_size: int | None = None  #: entries on a page of a listing
    listing_cap: int = 3000  #: ModelScope: entries of a listing that has no pages; the rest is silently left out
    url_ttl: int = 3600  #: seconds that a signed URL is good for; negative: already expired
    token_ttl: int = 3600  #: seconds that a Xet token is good for
    strip_xet_headers: bool = False  #: /resolve says nothing of Xet
    strip_xet_tree: bool = False  #: nor do listings
    push: bool = False  #: git and git-lfs may write, with a token of the hub
    cas_v2: bool = True  #: False: 404, so that clients fall back to v1
    xorb_200: bool = False  #: the whole range with 200


DEFAULT = Effect()
NAMES = frozenset(f.name for f in fields(Effect))


@dataclass
class Knob:
    id: int
    host: str
    path: str
    method: str
    skip: int
    times: int | None
    set: Mapping[str, object]

    def takes(self, host: str, path: str, method: str) -> bool:
        if not (fnmatchcase(host, self.host) and fnmatchcase(path, self.path) and fnmatchcase(method, self.method)):
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.times is not None:
            if not self.times:
                return False
            self.times -= 1
        return True


class Knobs:
    def __init__(self) -> None:
        self._set: tuple[Knob, ...] = ()
        self._ids = itertools.count(1)

    def add(
        self,
        *,
        host: str = "*",
        path: str = "*",
        method: str = "*",
        skip: int = 0,
        times: int | None = None,
        **effect: object,
    ) -> int:
        """Set a knob; returns its id, for `remove`. Raises TypeError for an unknown name."""
        if unknown := effect.keys() - NAMES:
            raise TypeError(f"no such knob: {', '.join(sorted(unknown))}; there are {', '.join(sorted(NAMES))}")
        knob = Knob(next(self._ids), host, path, method, skip, times, effect)
        self._set = (*self._set, knob)
        return knob.id

    def remove(self, id: int) -> None:
        self._set = tuple(k for k in self._set if k.id != id)

    def clear(self) -> None:
        self._set = ()

    def effect(self, host: str, path: str, method: str) -> Effect:
        if not self._set:
            return DEFAULT
        merged: dict[str, object] = {}
        for knob in self._set:
            if knob.takes(host, path, method):
                merged |= knob.set
        return Effect(**merged)  # type: ignore[arg-type]
