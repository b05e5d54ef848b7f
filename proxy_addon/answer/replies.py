"""Replies: from a stored response and its bytes, or of our own making.

A reply to HEAD, and every 204, 304, 412 and 416 here, has no body. Ranges and preconditions are decided by
`core.ranges`; here they only become heads and bodies.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import assert_never

from ..access.public import has_credentials
from ..core.conditions import NotModified, PreconditionFailed
from ..core.directives import of_request
from ..core.messages import Body, BytesBody, Headers, Reply, Request, StoredResponse
from ..core.ranges import Full, Partial, Unsatisfiable, answer_stored, content_range, multipart, unsatisfied_range
from ..core.reuse import reply_headers
from ..core.status import Detail, Outcome
from ..fetch.bodies import PartsBody
from ..hub.resources import Kind, Resource

SMALL = 64 * 1024  # bytes: a body up to this size is read at once and sent in one go

type Cut = Callable[[int, int], bytes | Body]
"""Bytes `start`..`end` of the representation, as bytes or as a body to stream."""


def of_stored(
    request: Request, stored: StoredResponse, cut: Cut, outcome: Outcome, now: float, boundary: Callable[[], str]
) -> Reply:
    """What `request` gets of a stored representation of known size."""
    head = reply_headers(stored, now)
    size = stored.size or 0
    wants_body = request.method != "HEAD" and stored.status not in (204, 304)
    match answer_stored(request, stored):
        case Full():
            length = ("Content-Length", str(size))
            fields = head if stored.status == 204 else head.replace(length)
            return Reply(stored.status, fields, cut(0, size) if wants_body and size else b"", outcome)
        case Partial((part,)):
            fields = head.replace(
                ("Content-Length", str(part[1] - part[0])), ("Content-Range", content_range(part, size))
            )
            return Reply(206, fields, cut(*part), outcome)
        case Partial(parts):
            mark = boundary()
            preambles, closing, length_ = multipart(parts, size, stored.headers.get("content-type"), mark)
            fields = head.replace(
                ("Content-Length", str(length_)), ("Content-Type", f"multipart/byteranges; boundary={mark}")
            )
            return Reply(206, fields, PartsBody(length_, preambles, [_body(cut(*p)) for p in parts], closing), outcome)
        case Unsatisfiable():
            fields = head.without("content-type", "content-disposition").replace(
                ("Content-Length", "0"), ("Content-Range", unsatisfied_range(size))
            )
            return Reply(416, fields, b"", outcome)
        case NotModified():
            return Reply(304, head.without("content-length", "content-type"), b"", outcome)
        case PreconditionFailed():
            return Reply(412, head.without("content-type").replace(("Content-Length", "0")), b"", outcome)
        case never:
            assert_never(never)


def _body(data: bytes | Body) -> Body:
    return BytesBody(data) if isinstance(data, bytes) else data


def forbids_storing(request: Request) -> bool:
    """The client wants nothing kept of this exchange (RFC 9111 §5.2.1.5)."""
    return "no-store" in of_request(request.headers)


def only_if_cached(request: Request) -> bool:
    return "only-if-cached" in of_request(request.headers)


def not_cached(request: Request, *, hub: str, kind: str) -> Reply:
    """504 to who said only-if-cached (RFC 9111 §5.2.1.7)."""
    text = "hubgate: not cached, and the request said only-if-cached"
    return refusal(request, 504, text, Detail.UPSTREAM, hub=hub, kind=kind)


def refusal(
    request: Request, status: int, text: str, detail: Detail, *extra: tuple[str, str], hub: str = "-", kind: str = "-"
) -> Reply:
    """Our own error: one sentence, as JSON for programs and as `X-Error-Message` for hub clients that drop bodies."""
    body = json.dumps({"error": text, "message": text}).encode()
    line = text.encode("ascii", "replace").decode()[:800].replace("\n", " ").replace("\r", " ")
    headers = Headers(
        (
            ("Content-Type", "application/json"),
            ("Cache-Control", "no-store"),
            ("X-Error-Message", line),
            *extra,
            ("Content-Length", str(len(body))),
        )
    )
    return Reply(status, headers, b"" if request.method == "HEAD" else body, Outcome(detail=detail), hub=hub, kind=kind)


def private(reply: Reply) -> Reply:
    """For him, and for no cache that others use."""
    fields = (("Cache-Control", "private"), ("Vary", "Authorization, Cookie"))
    reply.headers = Headers((*reply.headers.without("cache-control", "vary").fields, *fields))
    return reply


def for_git(request: Request, resource: Resource, refused: Reply) -> Reply:
    """What a hub's API has refused to tell. git shows credentials only to who asks for them in its way (RFC 7617 §2),
    as the hub does where git asks; the API has other words, or says that there is no such repo."""
    if resource.kind is not Kind.GIT or has_credentials(request):
        return refused
    text, challenge = "hubgate: the hub tells nothing of this repo without credentials", 'Basic realm="hub"'
    return refusal(request, 401, text, Detail.ACCESS, ("WWW-Authenticate", challenge))
