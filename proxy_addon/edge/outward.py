"""What of a message goes on when it is relayed: nothing that is of one connection only, and a body with one end.

Hop-by-hop fields, and those that Connection names, stop here in both directions (RFC 9110 §7.6.1). `close` is passed
on, since mitmproxy closes by it. A body that HTTP/2 frames has to be framed anew for HTTP/1, or upstream would take it
for the next request.
"""

from __future__ import annotations

from mitmproxy import http

from proxy_addon.core.fields import HOP_BY_HOP
from proxy_addon.core.messages import Request

_FRAMING = frozenset({"transfer-encoding", "content-length", "host"})  # not for a Connection field to take away


def end_to_end(headers: http.Headers) -> None:
    named = {name.strip(" \t").lower() for line in headers.get_all("connection") for name in line.split(",")}
    for name in (HOP_BY_HOP | named) - _FRAMING:
        headers.pop(name, None)
    if "close" in named:
        headers["connection"] = "close"


def streamed(message: http.Request, *, ended: bool) -> None:
    """A request whose body, if it has not `ended`, follows piece by piece."""
    end_to_end(message.headers)
    if message.is_http2 and not ended and "content-length" not in message.headers:
        message.headers["transfer-encoding"] = "chunked"


def whole(message: http.Request, request: Request) -> None:
    """A request whose body is here."""
    end_to_end(message.headers)
    message.data.host, message.data.port, message.scheme = request.host, request.port, request.scheme
    if not message.is_http2:
        message.authority = ""
    elif request.body:
        message.headers["content-length"] = str(len(request.body))
