"""Quantities as people write them: `5m`, `200GB`, `400Mbps`.

A bare number is refused (save 0): 300 may be seconds or minutes to its author, and the one who reads the file next
year cannot ask. Decimal prefixes are powers of 1000 and `Ki`, `Mi`, ... powers of 1024 (IEC 80000-13). In a rate, case
matters, because `Mb` and `MB` differ by eight.
"""

from __future__ import annotations

import re

_NUMBER = r"([0-9]{1,15}(?:\.[0-9]{1,9})?)"
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PREFIX = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "p": 10**15}
_PREFIX |= {f"{p}i": 1024**n for n, p in enumerate("kmgtp", start=1)}
_DURATION_PART = re.compile(_NUMBER + r"(ms|s|m|h|d|w)")
_DURATION = re.compile(rf"(?:{_DURATION_PART.pattern})+")
_SIZE = re.compile(_NUMBER + r" ?([kmgtp]?i?)b", re.IGNORECASE)
_RATE = re.compile(_NUMBER + r" ?(?:([kKMGT]?)(?:bps|bit/s)|([kKMGT]?i?)B/s)")


def duration(value: object) -> float:
    """Seconds. Raises ValueError with the fix in it."""
    text = _spelled(value)
    if text == "0":
        return 0.0
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{value!r} is not a duration; write a number and a unit, such as 30s, 5m, 24h or 7d")
    return sum(float(n) * _SECONDS[unit] for n, unit in _DURATION_PART.findall(text))


def size(value: object) -> int:
    """Bytes. Raises ValueError with the fix in it."""
    text = _spelled(value)
    if text == "0":
        return 0
    found = _SIZE.fullmatch(text)
    if not found or found[2].lower() not in _PREFIX:
        raise ValueError(f"{value!r} is not a size; write a number and a unit, such as 256MB, 4MiB or 200GB")
    return round(float(found[1]) * _PREFIX[found[2].lower()])


def rate(value: object) -> float:
    """Bytes per second. Raises ValueError with the fix in it."""
    found = _RATE.fullmatch(_spelled(value))
    if not found or (found[3] or "").lower() not in _PREFIX:
        raise ValueError(f"{value!r} is not a rate; write bits as 400Mbps or bytes as 50MB/s (case matters)")
    bits, octets = found[2], found[3]
    return float(found[1]) * (_PREFIX[bits.lower()] / 8 if bits is not None else _PREFIX[octets.lower()])


def _spelled(value: object) -> str:
    return str(value).strip() if isinstance(value, str | int) else ""
