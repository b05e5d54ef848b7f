"""Other people's JSON, read strictly: each value is of the shape that is expected and within bounds, or it is nothing.

Who uploads a repo writes much of what its hub tells, so that any shape may come. Nothing here raises; what is read is
bounded, however large the document was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

LONGEST = 300  # characters of one text
MANY = 1000  # texts in one list
ALL = 30_000  # characters of all texts in one list
LARGEST = 1 << 62

_NAME = re.compile(r"(?:\w[\w.-]{0,95}/)?\w[\w.-]{0,95}", re.ASCII)


def document(data: bytes) -> object:
    """None for what is no JSON."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def mapping(value: object) -> Mapping[str, object] | None:
    return value if isinstance(value, dict) else None


def text(value: object) -> str | None:
    """A text of some length on one line, without the spaces around it."""
    if not isinstance(value, str) or len(value) > LONGEST:
        return None
    bare = value.strip()
    return bare if bare and bare.isprintable() else None


def texts(value: object) -> tuple[str, ...] | None:
    """One text or a list of them, each once, empty ones left out; null is an empty list."""
    if value is None:
        return ()
    listed = value if isinstance(value, list) else [value]
    if len(listed) > MANY:
        return None
    found = [text(each) for each in listed if each != ""]
    whole = tuple(dict.fromkeys(each for each in found if each is not None))
    return whole if None not in found and within(whole) else None


def within(whole: Iterable[str]) -> bool:
    """Whether all of these together are little enough to be remembered."""
    return sum(map(len, whole)) <= ALL


def count(value: object) -> int | None:
    """A whole number that counts something."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST else None


def moment(value: object) -> float | None:
    """UNIX time, from that itself or from ISO 8601; what names no zone is UTC."""
    if isinstance(value, str) and len(value) <= LONGEST:
        try:
            when = datetime.fromisoformat(value)
            return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            return None
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e11:
        return float(value)
    return None


def repo_name(value: object) -> str:
    """`namespace/name` or `name`; empty for what cannot be one."""
    named = text(value) or ""
    return named if _NAME.fullmatch(named) else ""
