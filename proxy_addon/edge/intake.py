"""From what a client sent to a `Request` that can be believed, or the reason why not. Pure.

The host of a `Request` is where the connection goes: the CONNECT target inside a tunnel, the URL in absolute-form
(RFC 9112 §3.2.2). `Host`, SNI and that host must agree, or the request is misdirected (RFC 9110 §7.4, §15.5.20).
Whatever two readers could read in two ways is refused, so nothing that leaves here can be smuggled (RFC 9112 §11.2).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mitmproxy import http
from mitmproxy.net.http.validate import validate_headers

from proxy_addon.core.messages import PORTS, Headers, Request
from proxy_addon.core.status import Detail

_LABEL = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_AUTHORITY = re.compile(rf"((?=.{{1,254}}(?::|$)){_LABEL}(?:\.{_LABEL})*\.?|\[[0-9A-Fa-f:.]+\])(?::([0-9]{{1,5}}))?")
_METHOD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}")
_TARGET = re.compile(r"/[!-\"$-~]*")  # no space, no control character, no "#", ASCII only
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_QUOTED = re.compile(r"[:,]?\s*\(?(?<!\w)b?['\"]")
_TARGET_LIMIT = 16 * 1024


@dataclass(frozen=True, slots=True)
class Refusal:
    """Not served as it is: mostly the client's own fault. `reason` is one line that may be shown to it."""

    status: int
    reason: str
    detail: Detail = Detail.MALFORMED
    wait: int = 0  # seconds until it may be tried again


@dataclass(frozen=True, slots=True)
class Place:
    """What the connection itself says. `host` is None outside a tunnel, where each request names its own."""

    scheme: str
    host: str | None
    port: int
    sni: str | None
    client: str
    user: str = ""  # who opened the tunnel


def authority(text: str, scheme: str) -> tuple[str, int] | None:
    """Host in lower case without a trailing dot, and port; None when it is no authority (RFC 3986 §3.2)."""
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        return None
    port = int(found[2]) if found[2] else PORTS.get(scheme, 0)
    return (normal(found[1]), port) if 0 < port < 65536 else None


def normal(host: str) -> str:
    return host.lower().removesuffix(".")


def unreadable(fault: ValueError) -> Refusal:
    """In mitmproxy's words, without what they quote: a line that cannot be read may hold anything."""
    return Refusal(400, _QUOTED.split(str(fault))[0])


def _fields(message: http.Request) -> Headers | Refusal:
    try:
        validate_headers(message)
    except ValueError as fault:
        return unreadable(fault)
    fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message.headers.fields]
    for name, value in fields:
        if not _VALUE.fullmatch(value):
            return Refusal(400, f"control character in {name}")
    return Headers(fields)


def _named(message: http.Request, headers: Headers, place: Place) -> tuple[str, str, int] | Refusal:
    """Scheme, host and port that the request itself names."""
    hosts = headers.get_all("host")
    absolute = message.data.authority.decode("latin-1")
    if message.is_http2:
        if len(hosts) > 1 or (hosts and absolute and hosts[0] != absolute):
            return Refusal(400, "Host and :authority differ")
        scheme, text = place.scheme, absolute or "".join(hosts)
    elif len(hosts) != 1:
        return Refusal(400, "more than one Host" if hosts else "no Host")
    elif place.host is not None:
        if absolute:
            return Refusal(400, "absolute-form inside a tunnel")
        scheme, text = place.scheme, hosts[0]
    elif not absolute:
        return Refusal(400, "this is a proxy: send absolute-form, or CONNECT")
    else:
        scheme, text = message.data.scheme.decode("latin-1"), absolute
        if scheme != "http":
            return Refusal(400, "only http in absolute-form: use CONNECT for the rest")
        if authority(hosts[0], scheme) != authority(absolute, scheme):
            return Refusal(421, "Host is not the host of the URL", Detail.MISDIRECTED)
    named = authority(text, scheme)
    return Refusal(400, "Host is not a host name") if named is None else (scheme, *named)


def connect(message: http.Request) -> tuple[str, int] | Refusal:
    """Where a CONNECT shall lead (RFC 9110 §9.3.6). Its Host may be missing, as old clients have it, or be bare."""
    named = authority(message.data.authority.decode("latin-1"), "")
    hosts = message.headers.get_all("host")
    if named is None or len(hosts) > 1:
        return Refusal(400, "CONNECT wants host:port, and one Host")
    if "transfer-encoding" in message.headers or message.headers.get("content-length", "0") != "0":
        return Refusal(400, "a CONNECT has no body")
    if hosts and (authority(hosts[0], "https") or ("", 0))[0] != named[0]:
        return Refusal(421, "Host is not the host of the tunnel", Detail.MISDIRECTED)
    return named


def read(message: http.Request, place: Place, *, ended: bool = False) -> Request | Refusal:
    """The head of a request, with an empty body; `ended`: no other will come.

    Over HTTP/2 such a head may yet promise one, for which an HTTP/1 server would take what is sent next.
    """
    method = message.data.method.decode("latin-1")
    if not _METHOD.fullmatch(method):
        return Refusal(400, "the method is not a token")
    if method.upper() in ("TRACE", "TRACK"):
        return Refusal(405, "TRACE is not served")
    headers = _fields(message)
    if isinstance(headers, Refusal):
        return headers
    if ended and headers.get("content-length", "0") != "0":
        return Refusal(400, "Content-Length, and no body")
    if "upgrade" in headers:
        return Refusal(400, "Upgrade is not served")
    if headers.get("expect", "100-continue") != "100-continue":
        return Refusal(417, "no such expectation")
    named = _named(message, headers, place)
    if isinstance(named, Refusal):
        return named
    scheme, host, port = named
    if place.host is not None and (host, port) != (place.host, place.port):
        return Refusal(421, "Host is not the host of the tunnel", Detail.MISDIRECTED)
    if place.sni is not None and normal(place.sni) != host:
        return Refusal(421, "Host is not the TLS server name", Detail.MISDIRECTED)
    target = message.data.path.decode("latin-1")
    if len(target) > _TARGET_LIMIT:
        return Refusal(414, "the URL is too long")
    if not _TARGET.fullmatch(target):
        return Refusal(400, "the URL has a character that belongs percent-encoded")
    path, _, query = target.partition("?")
    return Request(method, scheme, host, port, path, query, headers, client=place.client, user=place.user)
