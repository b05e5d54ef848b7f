"""Numbers and texts as protocol 0 spells them, one to a line; None for what is not, or not of interest."""

from __future__ import annotations

import codecs

from .values import SHORT


def integer(line: bytes | None) -> int | None:
    try:
        return int(line.rstrip(b"L")) if line is not None and len(line) <= 100 else None
    except ValueError:
        return None


def spelled(line: bytes | None, *, quoted: bool) -> bytes | None:
    """A `str` of protocol 0, in UTF-8."""
    if line is None or len(line) > 4 * SHORT:
        return None
    try:
        if not quoted:
            return line.decode("raw-unicode-escape").encode("utf-8", "surrogatepass")
        body = line[1:-1]
        return bytes(codecs.escape_decode(body)[0]) if b"\\" in body else body
    except ValueError:
        return None
