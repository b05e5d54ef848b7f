"""The client's preconditions against what we hold, in the order of RFC 9110 §13.2.2.

None means "go on and answer". If-Range is not here: it decides about Range only, and lives with it.
"""

from __future__ import annotations

from dataclasses import dataclass

from .dates import parse_date
from .messages import Request
from .validators import split_tags, strong_match, weak_match

CONDITIONS = frozenset({"if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range"})
_READS = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class NotModified:
    """304."""


@dataclass(frozen=True, slots=True)
class PreconditionFailed:
    """412."""


def evaluate(
    request: Request, etag: str | None, last_modified: str | None, date: str | None = None
) -> NotModified | PreconditionFailed | None:
    """Judge If-Match, If-Unmodified-Since, If-None-Match, If-Modified-Since.

    `date` (the stored Date) stands in for a missing Last-Modified in If-Modified-Since only (RFC 9111 §4.3.2).
    """
    ask = request.headers.get
    if (match := ask("if-match")) is not None:
        if not (match.strip() == "*" or any(strong_match(etag, tag) for tag in split_tags(match))):
            return PreconditionFailed()
    elif (since := parse_date(ask("if-unmodified-since"))) is not None:
        modified = parse_date(last_modified)
        if modified is not None and modified > since:
            return PreconditionFailed()
    if (none := ask("if-none-match")) is not None:
        if none.strip() == "*" or any(weak_match(etag, tag) for tag in split_tags(none)):
            return NotModified() if request.method in _READS else PreconditionFailed()
        return None
    if request.method in _READS and (since := parse_date(ask("if-modified-since"))) is not None:
        modified = parse_date(date if last_modified is None else last_modified)
        if modified is not None and modified <= since:
            return NotModified()
    return None
