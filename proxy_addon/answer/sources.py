"""Where the bytes of a blob are fetched from.

A hub's file is named by its `/resolve` URL; where its bytes lie this minute is said by the redirect, which is signed
and short-lived, so it is kept in memory only and asked for again when it is refused. Mirrors are tried in order, the
origin last. Every answer must be about the same representation: the same size, on one host the same strong ETag, and
where a hub tells a digest beside its redirect, the right one. When all of them fail, other places of the same digest
may stand in (`Elsewhere`).
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit

from ..core.errors import IntegrityError, UpstreamFailed
from ..core.messages import REDIRECTS
from ..core.ranges import parse_content_range
from ..core.storing import delta_bytes
from ..core.validators import is_strong
from ..fetch.transfer import Source
from ..fetch.upstream import Answer, Upstream
from ..hub.huggingface import bare
from ..hub.resources import SHA256
from .permission import refuses

_GOOD_FOR = 300.0  # seconds a signed location is used
_AVOIDED_FOR = 30.0  # seconds that a place which failed is left alone where another one helps
_HOPS = 5
_REFUSED = frozenset({400, 401, 403, 404, 410})


def leads_home(url: str, is_ours: Callable[[str], bool]) -> bool:
    """Where a redirect may be followed to: https, on its own port, to nobody in particular, on a host of this hub."""
    parts = urlsplit(url)
    try:
        plain = parts.scheme == "https" and parts.port in (None, 443) and "@" not in parts.netloc
    except ValueError:
        return False
    return plain and is_ours((parts.hostname or "").removesuffix("."))


def to_files_of(is_ours: Callable[[str], bool], mirrors: Sequence[str]) -> Callable[[str], bool]:
    """Whether a URL leads to where this hub, or a configured mirror of it, keeps files."""
    hosts = frozenset(urlsplit(mirror).hostname or "" for mirror in mirrors)
    return lambda url: leads_home(url, is_ours) or (urlsplit(url).hostname or "") in hosts


class NotGiven(UpstreamFailed):
    """The hub itself does not give the bytes. `refuses`: to who asks, as far as can be told, for it may hide what it
    refuses; else there are none."""

    refuses = False


def not_given(fault: UpstreamFailed) -> bool:
    """Whether this has come of a `NotGiven`."""
    return isinstance(fault, NotGiven) or isinstance(fault.__cause__, NotGiven)


class Redirected:
    """A source behind URLs that redirect: `urls` in order of preference.

    `unmarked`: a server that answers a range with 200, and only Content-Range says that it is one. `blob`: the blob id
    of what shall be there. `own`: fields that go to the host of `urls` only, and `principal` whose they are;
    `refused` is called when the bytes are had nowhere, and the hub itself, which the last of them leads to, refuses
    them to him, or to whoever asks without any.
    """

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
        unmarked: bool = False,
        blob: str = "",
        own: Sequence[tuple[str, str]] = (),
        principal: str = "",
        refused: Callable[[], None] = lambda: None,
    ) -> None:
        self._own, self._principal, self._refused = tuple(own), principal, refused
        self._homes, self._hub_host = frozenset(_host(url) for url in urls), _host(urls[-1])
        self._upstream, self._urls, self._size, self._hub = upstream, tuple(urls), size, hub
        self._may_follow, self._headers, self._unmarked = may_follow, tuple(headers), unmarked
        self._location, self._until = location, time.monotonic() + _GOOD_FOR
        self._validators: dict[str, str] = {}
        self._digest = blob.removeprefix("sha256:")

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
        if isinstance(fault, NotGiven) and fault.refuses:
            self._refused()
        raise fault or UpstreamFailed("no upstream is configured")

    async def _ranged(self, url: str, start: int, end: int) -> tuple[Answer, int]:
        fields = [*self._headers, ("Accept", "*/*"), ("Accept-Encoding", "identity")]
        if (start, end) != (0, self._size):
            fields.append(("Range", f"bytes={start}-{end - 1}"))
        answer = await self._asked(url, fields)
        for _ in range(_HOPS):
            if answer.status not in REDIRECTS:
                break
            target = answer.location
            answer.release()
            self._compare(answer)
            if target is None or not self._may_follow(target):
                away = urlsplit(target or "").hostname
                raise UpstreamFailed(f"a redirect to {away}, where this hub keeps nothing", 403)
            answer = await self._asked(target, fields)
            if answer.status in (200, 206):
                self._location, self._until = target, time.monotonic() + _GOOD_FOR
        if answer.status in REDIRECTS:
            answer.close()
            raise UpstreamFailed(f"{urlsplit(answer.url).hostname} redirects without end", 508)
        return self._accepted(answer, start, end)

    async def _asked(self, url: str, fields: Sequence[tuple[str, str]]) -> Answer:
        own, principal = (self._own, self._principal) if _host(url) in self._homes else ((), "")
        return await self._upstream.open("GET", url, (*fields, *own), hub=self._hub, principal=principal)

    def _compare(self, answer: Answer) -> None:
        told = bare(answer.headers.get("x-linked-etag"))
        if SHA256.match(told) and SHA256.match(self._digest) and told != self._digest:
            raise UpstreamFailed(f"{urlsplit(answer.url).hostname} has another file there", 404)

    def _accepted(self, answer: Answer, start: int, end: int) -> tuple[Answer, int]:
        try:
            if _host(answer.url) == self._hub_host and refuses(answer.status, ""):
                fault = NotGiven(f"{urlsplit(answer.url).hostname} answered {answer.status}", answer.status)
                fault.refuses = refuses(answer.status, answer.headers.get("x-error-code") or "")
                raise fault
            self._compare(answer)
            at = self._offset(answer, start, end)
        except (UpstreamFailed, IntegrityError):
            answer.close()
            raise
        answer.trickles = False
        return answer, at

    def _offset(self, answer: Answer, start: int, end: int) -> int:
        host = urlsplit(answer.url).hostname or ""
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise UpstreamFailed(f"{host} sent a content coding that was not asked for")
        span = parse_content_range(answer.headers.get("content-range"))
        if answer.status == 206 or (answer.status == 200 and self._unmarked and span == (start, end, self._size)):
            if span is None or span[0] != start:
                raise UpstreamFailed(f"{host} sent another range than was asked for")
            total, at = span[2], start
        elif answer.status == 200:
            total, at = delta_bytes(answer.headers.get("content-length")), 0
            ranged = (start, end) != (0, self._size)  # then nothing proves the bytes but that they are as many
            if self._unmarked and (total != self._size if ranged else total not in (None, self._size)):
                raise UpstreamFailed(f"{host} answered 200, and not with the file", 404)
        else:
            raise UpstreamFailed(f"{host} answered {answer.status}", answer.status)
        if total is not None and total != self._size:
            raise IntegrityError(f"{host} has {total} bytes where {self._size} were promised")
        etag = answer.headers.get("etag")
        if etag is not None and is_strong(etag) and self._validators.setdefault(host, etag) != etag:
            raise IntegrityError(f"{host} changed the representation midway")
        return at


def _host(url: str) -> tuple[str, str]:
    """All that a credential was given for."""
    at = urlsplit(url)
    return at.scheme, at.netloc.lower()


class Elsewhere:
    """A source for bytes that their digest will prove: its own place, and while that fails the others, in turn."""

    def __init__(self, own: Source, others: Callable[[], Awaitable[Sequence[Source]]]) -> None:
        self._own, self._ask = own, others
        self._others: Sequence[Source] | None = None
        self._again = 0.0

    async def open(self, start: int, end: int) -> tuple[Answer, int]:
        fault: UpstreamFailed | IntegrityError | None = None
        if time.monotonic() >= self._again:
            try:
                return await self._own.open(start, end)
            except (UpstreamFailed, IntegrityError) as failed:
                fault = failed
        if self._others is None:
            self._others = await self._ask()
        for other in self._others:
            try:
                opened = await other.open(start, end)
            except (UpstreamFailed, IntegrityError):
                continue
            if fault is not None:
                self._again = time.monotonic() + _AVOIDED_FOR
            return opened
        if fault is not None:
            raise fault
        return await self._own.open(start, end)


class Resumed:
    """A source of more of what came before, which only a strong validator names (RFC 9110 §13.1.5)."""

    def __init__(
        self, upstream: Upstream, url: str, etag: str | None, headers: Sequence[tuple[str, str]], *, hub: str
    ) -> None:
        self._upstream, self._url, self._etag, self._hub = upstream, url, etag, hub
        self._headers = tuple(headers)

    async def open(self, start: int, end: int) -> tuple[Answer, int]:
        if self._etag is None or not is_strong(self._etag):
            raise UpstreamFailed("the body was cut, and without a strong ETag it cannot be resumed", 416)
        resume = (("Range", f"bytes={start}-{end - 1}"), ("If-Range", self._etag))
        answer = await self._upstream.open("GET", self._url, (*self._headers, *resume), hub=self._hub)
        span = parse_content_range(answer.headers.get("content-range"))
        if answer.status == 206 and span is not None and span[0] == start and answer.headers.get("etag") == self._etag:
            return answer, start
        answer.close()
        raise IntegrityError(f"{urlsplit(self._url).hostname} has another representation now")


class Opened(Resumed):
    """One whose first answer is here already."""

    def __init__(self, upstream: Upstream, first: Answer, headers: Sequence[tuple[str, str]], *, hub: str) -> None:
        super().__init__(upstream, first.url, first.headers.get("etag"), headers, hub=hub)
        self._first: Answer | None = first

    async def open(self, start: int, end: int) -> tuple[Answer, int]:
        first, self._first = self._first, None
        if first is not None and start == 0:
            return first, 0
        return await super().open(start, end)
