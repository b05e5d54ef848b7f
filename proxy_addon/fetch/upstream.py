"""The one HTTP client: every byte that the engine brings from upstream comes through `Upstream.open`.

It follows no redirect, sends no header that it was not given, and tells all failures as `UpstreamFailed` with the
status our client shall see. Redirects are the caller's to judge; `may_follow` says where a hub's redirect may lead.
"""

from __future__ import annotations

import asyncio
import ssl
import time
import zlib
from collections.abc import Callable, Iterable
from typing import Protocol
from urllib.parse import urlsplit

import aiohttp
import certifi
from yarl import URL

from ..core.errors import UpstreamFailed
from ..core.messages import Headers
from .addresses import ConnectTo, Resolver, is_literal, may_dial
from .pacing import Bandwidth, Closures, pause_of

DOWN_FOR = 10.0  # seconds a host that could not be reached is not tried again by those who have something stale
HURRIED = 5.0  # seconds for an answer's head, to those who have something stale; clients give up after ten
SLOWEST = 1024.0  # bytes a second: less, for as long as a stall may take, is a stall
UPLOAD = 10_000.0  # bytes a second at which a request's own body goes out at the least
_CHUNK = 256 * 1024


class Throttled(UpstreamFailed):
    """The hub asked us to wait; `retry_after` seconds are left."""

    def __init__(self, host: str, retry_after: float) -> None:
        super().__init__(f"{host} asked to wait {retry_after:.0f} s", 429)
        self.retry_after = retry_after


class Meter(Protocol):
    def upstream_request(self, hub: str, status: int) -> None: ...
    def upstream_bytes(self, hub: str, size: int) -> None: ...


class Answer:
    """A reply from upstream, its head read and its body to come. Close it, or read it to the end."""

    def __init__(self, response: aiohttp.ClientResponse, upstream: Upstream, hub: str, request_time: float) -> None:
        self._response, self._upstream, self._hub = response, upstream, hub
        self.status = response.status
        self.reason = response.reason or ""
        self.headers = Headers((k.decode("latin-1"), v.decode("latin-1")) for k, v in response.raw_headers)
        self.url = str(response.url)
        self.pause = 0.0  #: seconds that the hub asks us to wait
        self.trickles = True  #: is passed on however slowly it comes
        self._waited, self._came = 0.0, 0
        self.request_time, self.response_time = request_time, upstream.clock()

    def speak_as(self, base: str, origin: str) -> None:
        """A mirror's links to itself are links to the host that it stands for."""
        if base != origin and (link := self.headers.get("link")):
            self.headers = self.headers.replace(("Link", link.replace(f"<{base}/", f"<{origin}/")))

    @property
    def location(self) -> str | None:
        """The redirect's target, absolute; raises `UpstreamFailed` for one that is no URL."""
        return location_of(self.url, self.headers)

    def failure(self) -> UpstreamFailed:
        """This answer, when it is one that a stale response may stand in for."""
        host = urlsplit(self.url).hostname or ""
        if self.status == 429:
            return Throttled(host, self.pause)
        return UpstreamFailed(f"{host} answered {self.status}", self.status)

    async def chunk(self) -> bytes:
        """The next bytes as they come, or b"" at a proper end; raises `UpstreamFailed` on a cut or a stall."""
        begun = time.monotonic()
        try:
            data = await self._response.content.readany()
        except (aiohttp.ClientError, TimeoutError, OSError, ssl.SSLError) as fault:
            raise _translated(fault, self.url) from fault
        if data:
            self._waited, self._came = self._waited + time.monotonic() - begun, self._came + len(data)
            if self._waited >= self._upstream.stall_timeout:
                if not self.trickles and self._came < SLOWEST * self._waited:
                    raise UpstreamFailed(f"{urlsplit(self.url).hostname} only trickles", 504)
                self._waited, self._came = 0.0, 0
            self._upstream.meter.upstream_bytes(self._hub, len(data))
            await self._upstream.bandwidth.take(len(data))
        return data

    async def whole(self, limit: int) -> bytes:
        """The whole body, content codings undone; raises `UpstreamFailed` when it passes `limit` bytes inflated."""
        coding = (self.headers.get("content-encoding") or "identity").strip().lower()
        if coding not in _CODINGS:
            self.close()
            raise UpstreamFailed(f"content coding {coding!r} from {self.url.split('?')[0]}")
        self.trickles = False
        decoder, parts, size, read = _CODINGS[coding](), [], 0, 0
        try:
            while data := await self.chunk():
                piece = decoder.undo(data, limit + 1 - size)
                read += len(data)
                size += len(piece)
                if size > limit:
                    raise UpstreamFailed(f"{self.url.split('?')[0]} sent more than {limit} bytes")
                parts.append(piece)
            if read and not decoder.ended:
                raise zlib.error("it ends early")
        except zlib.error as fault:
            raise UpstreamFailed("a broken content coding") from fault
        finally:
            self.close()
        return b"".join(parts)

    def close(self) -> None:
        self._response.close()

    def release(self) -> None:
        """The body is not wanted and is short or absent: keep the connection."""
        self._response.release()


def location_of(url: str, headers: Headers) -> str | None:
    """Where an answer from `url` leads. Whatever this gives can be taken apart by `urlsplit`."""
    if (target := headers.get("location")) is None:
        return None
    try:
        found = str(URL(url, encoded=True).join(URL(target, encoded=True)))
        _ = urlsplit(found).port
        return found
    except ValueError:
        raise UpstreamFailed(f"{urlsplit(url).hostname} redirects to what is no URL") from None


class _Identity:
    ended = True

    def undo(self, data: bytes, room: int) -> bytes:
        return data


class _Inflater:
    """gzip or zlib, told by its own head."""

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(47)

    def undo(self, data: bytes, room: int) -> bytes:
        out = b""
        data = self._inflater.unconsumed_tail + data
        while data and len(out) < room:
            if self._inflater.eof:  # another member follows (RFC 1952 §2.2)
                self._inflater = zlib.decompressobj(47)
            out += self._inflater.decompress(data, room - len(out))
            data = self._inflater.unused_data
        return out

    @property
    def ended(self) -> bool:
        return self._inflater.eof


_CODINGS: dict[str, type[_Identity] | type[_Inflater]]
_CODINGS = {"identity": _Identity, "gzip": _Inflater, "x-gzip": _Inflater, "deflate": _Inflater}


class Upstream:
    def __init__(
        self,
        *,
        meter: Meter,
        connect_to: ConnectTo,
        connect_timeout: float,
        stall_timeout: float,
        max_connections: int,
        ca_file: str | None = None,
        proxy: str | None = None,
        bandwidth: float | None = None,
        mirrors: Iterable[str] = (),
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock, self._timer = clock, timer
        self.meter, self._connect_to, self._proxy = meter, connect_to, proxy
        self._timeout = aiohttp.ClientTimeout(
            total=None, connect=connect_timeout, sock_connect=connect_timeout, sock_read=stall_timeout
        )
        self.stall_timeout, self._patience = stall_timeout, connect_timeout + stall_timeout
        trusted = {_place(url) for url in (*mirrors, *([proxy] if proxy else ()))}
        self.resolver = Resolver(connect_to, trusted, connect_timeout)
        self.bandwidth = Bandwidth(bandwidth, time.monotonic)
        self.closures = Closures(timer)
        self.fill_slots = asyncio.Semaphore(max_connections)
        self._down: dict[str, float] = {}
        self.shut = ""  #: why nothing at all is to be asked; empty: it may
        self._ssl = ssl.create_default_context()
        self._ssl.load_verify_locations(certifi.where())
        if ca_file:
            self._ssl.load_verify_locations(ca_file)
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        connector = aiohttp.TCPConnector(
            resolver=self.resolver, ssl=self._ssl, limit=0, ttl_dns_cache=10, keepalive_timeout=30
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=self._timeout,
            auto_decompress=False,
            read_bufsize=_CHUNK,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
        await self.resolver.close()

    def is_down(self, host: str) -> bool:
        return self._down.get(host, 0.0) > self._timer()

    async def open(
        self,
        method: str,
        url: str,
        headers: Iterable[tuple[str, str]] = (),
        *,
        body: bytes | None = None,
        hub: str = "-",
        principal: str = "",
        hurry: bool = False,
    ) -> Answer:
        """Send one request. `hurry`: the caller has something stale, so fail soon, and at once if the host was out of
        reach a moment ago.

        Raises `UpstreamFailed`, or `Throttled` when the hub closed itself to this principal.
        """
        assert self._session is not None
        if self.shut:
            raise UpstreamFailed(self.shut, 504)
        host, port = _place(url)
        chosen = self._connect_to.lookup(host, port) is not None or (host, port) in self.resolver.trusted
        if is_literal(host) and not chosen and not may_dial(host):
            raise UpstreamFailed(f"{host} is a private address, or one of this machine", 403)
        if (left := self.closures.left(host, principal)) > 0:
            raise Throttled(host, left)
        if hurry and self.is_down(host):
            raise UpstreamFailed(f"{host} was out of reach a moment ago", 504)
        sent = self.clock()
        patience = self._patience + len(body or b"") / UPLOAD  # for all of the head, which may trickle
        try:
            async with asyncio.timeout(HURRIED if hurry else patience):
                response = await self._session.request(
                    method,
                    URL(url, encoded=True),
                    headers=list(headers),
                    data=body,
                    allow_redirects=False,
                    proxy=self._proxy,
                )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as fault:
            if isinstance(fault, aiohttp.ClientConnectorError | TimeoutError):
                self._down[host] = self._timer() + DOWN_FOR
            raise _translated(fault, url) from fault
        self._down.pop(host, None)
        answer = Answer(response, self, hub, sent)
        self.meter.upstream_request(hub, answer.status)
        answer.pause = pause_of(answer.status, answer.headers, answer.response_time)
        if answer.pause > 0:
            self.closures.close(host, principal, answer.pause)
        return answer


def _place(url: str) -> tuple[str, int]:
    """Host and port of a URL."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _translated(fault: BaseException, url: str) -> UpstreamFailed:
    """One sentence that names the host and never the query."""
    host = urlsplit(url).hostname
    match fault:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return UpstreamFailed(f"TLS to {host} failed: {fault.os_error or fault}", 502)
        case aiohttp.ClientConnectorError():
            return UpstreamFailed(f"cannot connect to {host}: {fault.os_error.strerror or fault.os_error}", 504)
        case TimeoutError():
            return UpstreamFailed(f"{host} did not answer in time", 504)
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError() | ConnectionError():
            return UpstreamFailed(f"{host} cut the connection", 502)
        case _:
            return UpstreamFailed(f"{host}: {type(fault).__name__}", 502)
