"""Byte ranges: which bytes of a stored representation answer a request (RFC 9110 §13, §14, §15.3.7).

Every range here is half-open, `(start, end)`, with 0 <= start < end <= size. Invariant: the union of the parts of a
`Partial` is the union of the satisfiable ranges asked for, and no two parts touch. A Range that is malformed, of
another unit, or asks for more parts than an honest reader would, is ignored: the whole representation is always a right
answer (§14.2).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .conditions import NotModified, PreconditionFailed, evaluate
from .messages import Request, StoredResponse
from .validators import is_strong_date, strong_match

type Range = tuple[int, int]

MAX_ASKED = 10_000
MAX_PARTS = 64

_SPEC = re.compile(r"[ \t]*(?:(\d*)-(\d*))?[ \t]*", re.ASCII)
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(?:(\d{1,18})|\*)", re.ASCII | re.IGNORECASE)
_BEYOND = 10**18


@dataclass(frozen=True, slots=True)
class Full:
    """The whole representation, with the stored status."""


@dataclass(frozen=True, slots=True)
class Partial:
    """206. One part goes out as it is, several as multipart/byteranges, in the order asked for (RFC 9110 §15.3.7.2)."""

    parts: tuple[Range, ...]


@dataclass(frozen=True, slots=True)
class Unsatisfiable:
    """416, with `Content-Range: bytes */size`."""


type Answer = Full | Partial | Unsatisfiable | NotModified | PreconditionFailed


def answer(
    request: Request,
    status: int,
    etag: str | None,
    last_modified: str | None,
    size: int | None,
    *,
    date: str | None = None,
) -> Answer:
    """What to send of a stored representation. `date` is its Date field, for If-Range and If-Modified-Since."""
    if not 200 <= status < 300:  # preconditions count only where the plain answer is a success (RFC 9110 §13.2.1)
        return Full()
    headers = request.headers
    if (verdict := evaluate(request, etag, last_modified, date)) is not None:
        return verdict
    if status != 200 or size is None or request.method != "GET" or (value := headers.get("range")) is None:
        return Full()
    if not _if_range(headers.get("if-range"), etag, last_modified, date):
        return Full()
    return resolve(value, size)


def answer_stored(request: Request, stored: StoredResponse) -> Answer:
    field = stored.headers.get
    return answer(request, stored.status, field("etag"), field("last-modified"), stored.size, date=field("date"))


def _if_range(condition: str | None, etag: str | None, last_modified: str | None, date: str | None) -> bool:
    if condition is None:
        return True
    condition = condition.strip()
    if condition.startswith(('"', "W/")):
        return strong_match(condition, etag)
    return condition == last_modified and is_strong_date(last_modified, date)


def resolve(value: str, size: int) -> Full | Partial | Unsatisfiable:
    """A Range field's value against a representation of `size` bytes; total on any text."""
    unit, _, specs = value.partition("=")
    if unit.strip().lower() != "bytes" or specs.count(",") >= MAX_ASKED:
        return Full()
    asked: list[Range] = []
    seen = False
    for spec in specs.split(","):
        match = _SPEC.fullmatch(spec)
        if match is None:
            return Full()
        first, last = match.groups()
        if first is None:
            continue
        seen = True
        if first:
            start, end = _number(first), _number(last) + 1 if last else size
            if last and end <= start:
                return Full()
        elif last:
            if size == 0 and _number(last):
                return Full()  # satisfiable, and no Content-Range could say so (RFC 9110 §14.1.2)
            start, end = max(0, size - _number(last)), size
        else:
            return Full()
        if start < min(end, size):
            asked.append((start, min(end, size)))
    if not seen:
        return Full()
    if not asked:
        return Unsatisfiable()
    parts = _in_order(asked)
    return Full() if len(parts) > MAX_PARTS else Partial(parts)


def _number(digits: str) -> int:
    return int(digits) if len(digits) <= 18 else min(int(digits.lstrip("0")[:19] or "0"), _BEYOND)


def merge(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """The same bytes in ascending ranges of which no two overlap or touch."""
    merged: list[Range] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)


def _in_order(asked: Sequence[Range]) -> tuple[Range, ...]:
    parts = merge(asked)
    if len(parts) < 2 or len(parts) > MAX_PARTS:
        return parts
    starts = [start for start, _ in parts]
    return tuple(dict.fromkeys(parts[bisect_right(starts, start) - 1] for start, _ in asked))


def content_range(part: Range, size: int) -> str:
    return f"bytes {part[0]}-{part[1] - 1}/{size}"


def unsatisfied_range(size: int) -> str:
    return f"bytes */{size}"


def parse_content_range(value: str | None) -> tuple[int, int, int | None] | None:
    """`(start, end, total)` with total None for `*`; None when it is no byte range that can be (RFC 9110 §14.4)."""
    if value is None or (match := _CONTENT_RANGE.fullmatch(value.strip())) is None:
        return None
    start, end, total = int(match[1]), int(match[2]) + 1, int(match[3]) if match[3] else None
    return None if end <= start or (total is not None and end > total) else (start, end, total)


def multipart(
    parts: Sequence[Range], size: int, content_type: str | None, boundary: str
) -> tuple[tuple[bytes, ...], bytes, int]:
    """What goes before each part, what goes after the last, and the length of the whole body in bytes (RFC 9110 §14.6).

    The body's own type is `multipart/byteranges; boundary=<boundary>`; `boundary` must not occur in the data.
    """
    kind = "" if content_type is None else f"Content-Type: {content_type}\r\n"
    heads = [f"--{boundary}\r\n{kind}Content-Range: {content_range(part, size)}\r\n\r\n" for part in parts]
    preambles = tuple(("\r\n" * (index > 0) + head).encode("latin-1") for index, head in enumerate(heads))
    closing = f"\r\n--{boundary}--\r\n".encode("latin-1")
    return preambles, closing, sum(map(len, preambles)) + sum(end - start for start, end in parts) + len(closing)
