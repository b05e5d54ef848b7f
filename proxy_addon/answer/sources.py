"""Where the bytes of a blob are fetched from.

A hub's file is named by its `/resolve` URL; where its bytes lie this minute is said by the redirect, which is signed
and short-lived, so it is kept in memory only and asked for again when it is refused. Mirrors are tried in order, the
origin last. Every answer must be about the same representation: the same size, and on one host the same strong ETag.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from ..core.errors import IntegrityError, UpstreamFailed
from ..core.ranges import parse_content_range
from ..core.validators import is_strong
from ..fetch.upstream import Answer, Upstream

_GOOD_FOR = 300.0  # seconds a signed location is used
_HOPS = 5
_REFUSED = frozenset({400, 401, 403, 404, 410})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Redirected:
    """A source behind URLs that redirect: `urls` in order of preference."""

    def __init__(
        self,
        upstream: Upstream,
        urls: Sequence[str],
        size: int,
        *,
        hub: str,
        may_follow: Callable[[str], bool],
        headers: Sequence[tuple[str, str]] = (),
        location: str | None = None,
    ) -> None:
        self._upstream, self._urls, self._size, self._hub = upstream, tuple(urls), size, hub
        self._may_follow, self._headers = may_follow, tuple(headers)
        self._location, self._until = location, time.monotonic() + _GOOD_FOR
        self._validators: dict[str, str] = {}

    async def open(self, start: int, end: int) -> tuple[Answer, int]:
        fault: UpstreamFailed | IntegrityError | None = None
        if self._location is not None and time.monotonic() < self._until:
            try:
                return await self._ranged(self._location, start, end)
            except UpstreamFailed as refused:
                fault = refused
                if refused.status not in _REFUSED and len(self._urls) == 1:
                    raise
        self._location = None
        for url in self._urls:
            try:
                return await self._ranged(url, start, end)
            except (UpstreamFailed, IntegrityError) as failed:
                fault = failed
        raise fault or UpstreamFailed("no upstream is configured")

    async def _ranged(self, url: str, start: int, end: int) -> tuple[Answer, int]:
        fields = [*self._headers, ("Accept", "*/*"), ("Accept-Encoding", "identity")]
        if (start, end) != (0, self._size):
            fields.append(("Range", f"bytes={start}-{end - 1}"))
        answer = await self._upstream.open("GET", url, fields, hub=self._hub)
        for _ in range(_HOPS):
            if answer.status not in _REDIRECTS:
                break
            target = answer.location
            answer.release()
            if target is None or not self._may_follow(target):
                away = urlsplit(target or "").hostname
                raise UpstreamFailed(f"a redirect to {away}, where this hub keeps nothing", 403)
            answer = await self._upstream.open("GET", target, fields, hub=self._hub)
            if answer.status in (200, 206):
                self._location, self._until = target, time.monotonic() + _GOOD_FOR
        if answer.status in _REDIRECTS:
            answer.close()
            raise UpstreamFailed(f"{urlsplit(answer.url).hostname} redirects without end", 508)
        return self._accepted(answer, start)

    def _accepted(self, answer: Answer, start: int) -> tuple[Answer, int]:
        try:
            at = self._offset(answer, start)
        except (UpstreamFailed, IntegrityError):
            answer.close()
            raise
        return answer, at

    def _offset(self, answer: Answer, start: int) -> int:
        host = urlsplit(answer.url).hostname or ""
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise UpstreamFailed(f"{host} sent a content coding that was not asked for")
        if answer.status == 206:
            span = parse_content_range(answer.headers.get("content-range"))
            if span is None or span[0] != start:
                raise UpstreamFailed(f"{host} sent another range than was asked for")
            total, at = span[2], start
        elif answer.status == 200:
            length = answer.headers.get("content-length")
            total, at = int(length) if length and length.isdigit() else None, 0
        else:
            raise UpstreamFailed(f"{host} answered {answer.status}", answer.status)
        if total is not None and total != self._size:
            raise IntegrityError(f"{host} has {total} bytes where {self._size} were promised")
        etag = answer.headers.get("etag")
        if etag is not None and is_strong(etag) and self._validators.setdefault(host, etag) != etag:
            raise IntegrityError(f"{host} changed the representation midway")
        return at


class Opened:
    """A source whose first answer is here already; resumed only under a strong validator (RFC 9110 §13.1.5)."""

    def __init__(self, upstream: Upstream, first: Answer, headers: Sequence[tuple[str, str]], *, hub: str) -> None:
        self._upstream, self._first, self._hub = upstream, first, hub
        self._url, self._etag = first.url, first.headers.get("etag")
        self._headers = tuple(headers)
        self._taken = False

    async def open(self, start: int, end: int) -> tuple[Answer, int]:
        if start == 0 and not self._taken:
            self._taken = True
            return self._first, 0
        if self._etag is None or not is_strong(self._etag):
            raise UpstreamFailed("the body was cut, and without a strong ETag it cannot be resumed", 416)
        resume = (("Range", f"bytes={start}-{end - 1}"), ("If-Range", self._etag))
        answer = await self._upstream.open("GET", self._url, (*self._headers, *resume), hub=self._hub)
        span = parse_content_range(answer.headers.get("content-range"))
        if answer.status == 206 and span is not None and span[0] == start and answer.headers.get("etag") == self._etag:
            return answer, start
        answer.close()
        raise IntegrityError(f"{urlsplit(self._url).hostname} has another representation now")
