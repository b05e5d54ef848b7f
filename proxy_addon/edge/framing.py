"""How a `Reply` lies on the wire: which headers say where its body ends, and what an error of ours looks like. Pure.

RFC 9112 §6.3 in one place: HEAD, 204 and 304 have no body whatever; a declared length wins and must be kept; without
one, HTTP/1.1 is chunked, HTTP/2 ends its stream, and HTTP/1.0 ends with the connection.
"""

from __future__ import annotations

import http.client
import json
import re
import secrets
from dataclasses import dataclass

from proxy_addon.auth import Turned
from proxy_addon.core.messages import Headers, Reply
from proxy_addon.core.status import Detail, Outcome

from .intake import Refusal

_HOP = frozenset(("connection", "keep-alive", "proxy-connection", "transfer-encoding", "te", "trailer", "upgrade"))
_BREAKS = re.compile("[\r\n\0]")


@dataclass(frozen=True, slots=True)
class Framing:
    headers: Headers
    bodiless: bool
    length: int | None  # body bytes that are promised; None: not known beforehand
    chunked: bool = False
    until_close: bool = False


def frame(reply: Reply, method: str, version: str) -> Framing:
    """`version` is "HTTP/1.0", "HTTP/1.1" or "HTTP/2.0". Raises ValueError when a reply contradicts itself."""
    headers, declared, hop = reply.headers, None, False
    for name, value in headers.fields:
        low = name.lower()
        if low == "content-length":
            declared = value
        elif low in _HOP:
            hop = True
        if _BREAKS.search(value):
            raise ValueError(f"line break in the value of {name}")
    if hop:
        headers = headers.without(*_HOP)
    if method == "HEAD" or reply.status in (204, 304):
        if declared is not None and reply.status == 204:
            headers = headers.without("content-length")
        return Framing(headers, True, 0)
    held = len(reply.body) if isinstance(reply.body, bytes) else reply.body.length
    if declared is None and held is not None:
        return Framing(Headers((*headers.fields, ("Content-Length", str(held)))), held == 0, held)
    if declared is not None:
        if not (declared.isascii() and declared.isdigit()):
            raise ValueError("a Content-Length that is no number")
        length = int(declared)
        if held is not None and held != length:
            raise ValueError(f"Content-Length {length} for a body of {held} bytes")
        return Framing(headers, length == 0, length)
    if version == "HTTP/2.0":
        return Framing(headers, False, None)
    if version == "HTTP/1.1":
        return Framing(Headers((*headers.fields, ("Transfer-Encoding", "chunked"))), False, None, chunked=True)
    return Framing(headers, False, None, until_close=True)


def closes(headers: Headers, version: str) -> bool:
    """Whether the client wants no further request on this connection (RFC 9112 §9.3); HTTP/1.0 never gets one."""
    asked = headers.get("connection")
    return version == "HTTP/1.0" or (asked is not None and "close" in asked.lower())


def phrase(reply: Reply) -> str:
    return reply.reason or http.client.responses.get(reply.status, "Unknown")


def head(status: int, reason: str, headers: Headers) -> bytes:
    """An HTTP/1.1 response head, blank line and all."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.fields])
    return f"HTTP/1.1 {status} {reason}\r\n{lines}\r\n".encode("latin-1")


def _ours(status: int, content: dict[str, str], detail: Detail, *extra: tuple[str, str]) -> Reply:
    body = json.dumps(content).encode() + b"\n"
    outcome = Outcome(detail=detail)
    fields = (
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("Cache-Status", outcome.header),
        *extra,
    )
    return Reply(status, Headers(fields), body, outcome)


def refused(refusal: Refusal) -> Reply:
    extra = (("Retry-After", str(refusal.wait)),) if refusal.wait else ()
    return _ours(refusal.status, {"error": refusal.reason}, refusal.detail, *extra)


def turned(why: Turned) -> Reply:
    """Who is not let in reads why, and in the status line too: of a CONNECT most clients show nothing else."""
    extra = []
    if why.status == 407:
        extra.append(("Proxy-Authenticate", 'Basic realm="hubgate", charset="UTF-8"'))  # RFC 7617 §2
    if why.wait:
        extra.append(("Retry-After", str(why.wait)))
    reply = _ours(why.status, {"error": why.words}, Detail.DENIED, *extra)
    reply.reason = why.words
    return reply


def failed(ident: str, status: int = 503, error: str = "internal error; the id is in the log") -> Reply:
    """The answer when a hook has failed; `ident` stands beside the traceback in the log."""
    return _ours(status, {"error": error, "id": ident}, Detail.ERROR, ("X-Hubgate-Error", ident))


def error_id() -> str:
    return secrets.token_hex(4)
