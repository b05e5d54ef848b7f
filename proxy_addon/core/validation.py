"""What a 304 or a HEAD says about what is stored (RFC 9111 §4.3.4, §4.3.5).

Freshening changes the head and its times, never the bytes or what they are keyed by. A 304 that names another validator
is about something else: None, and the caller asks again without conditions. One that names none answers our own
conditional request, which named exactly this one.
"""

from __future__ import annotations

from dataclasses import replace

from .dates import format_date, parse_date
from .directives import of_response
from .fields import storable_fields, updated
from .messages import Headers, StoredResponse
from .storing import delta_bytes
from .validators import is_strong, strong_match, weak_match


def after_validation(
    stored: StoredResponse, headers: Headers, request_time: float, response_time: float
) -> StoredResponse | None:
    """`stored` freshened by the head of a 304 to a request that carried its validators; None if it is not meant."""
    etag, kept = headers.get("etag"), stored.headers.get("etag")
    if etag is not None:
        selected = strong_match(etag, kept) if is_strong(etag) else weak_match(etag, kept)
    else:
        selected = "last-modified" not in headers or _same_date(headers, stored.headers)
    return _freshened(stored, headers, request_time, response_time) if selected else None


def freshen_from_head(
    stored: StoredResponse, status: int, headers: Headers, request_time: float, response_time: float
) -> StoredResponse | None:
    """What to keep after a HEAD: `stored` freshened; `stored` itself if the answer was no 200; None if it describes
    another representation and `stored` is to be dropped."""
    if status != 200 or stored.status != 200:
        return stored
    length = delta_bytes(headers.get("content-length"))
    same = (
        ("etag" not in headers or headers.get("etag") == stored.headers.get("etag"))
        and ("last-modified" not in headers or _same_date(headers, stored.headers))
        and (length is None or stored.size is None or length == stored.size)
    )
    return _freshened(stored, headers, request_time, response_time) if same else None


def _same_date(new: Headers, old: Headers) -> bool:
    one, other = new.get("last-modified"), old.get("last-modified")
    return one == other or (one is not None and parse_date(one) is not None and parse_date(one) == parse_date(other))


def _freshened(stored: StoredResponse, headers: Headers, request_time: float, response_time: float) -> StoredResponse:
    new = storable_fields(headers, of_response(stored.status, headers))
    if "date" not in new:
        new = new.replace(("Date", format_date(response_time)))
    return replace(
        stored,
        headers=updated(stored.headers, new),
        request_time=request_time,
        response_time=response_time,
    )
