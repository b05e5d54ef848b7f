"""Which stored responses an unsafe request makes wrong (RFC 9111 §4.4).

A method is unsafe unless it is known to be safe. Only what succeeded (2xx, 3xx) invalidates, and only URLs of the
request's own origin: otherwise one host could empty another's cache.
"""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from .messages import PORTS, Headers, Request

#: The registered safe methods (RFC 9110 §16.1.1).
SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PRI", "PROPFIND", "QUERY", "REPORT", "SEARCH"})


def targets(request: Request, status: int, headers: Headers) -> tuple[str, ...]:
    """Absolute URLs, in the form of `Request.url`, whose stored responses must not be used again."""
    if request.method in SAFE or not 200 <= status < 400:
        return ()
    named = (_resolve(request, value) for name in ("location", "content-location") for value in headers.get_all(name))
    return tuple(dict.fromkeys((request.url, *(url for url in named if url is not None))))


def _resolve(request: Request, reference: str) -> str | None:
    try:
        parts = urlsplit(urljoin(request.url, reference.strip()))
        port = parts.port or PORTS.get(parts.scheme)
    except ValueError:
        return None
    if (parts.scheme, (parts.hostname or "").rstrip("."), port) != (request.scheme, request.host, request.port):
        return None
    return request.origin + (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
