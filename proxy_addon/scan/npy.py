"""Arrays of NumPy: a header, and then numbers, or a pickle if there are objects among them.

Format: numpy.lib.format, versions 1 to 3.
"""

from __future__ import annotations

import ast
import re

from .contract import Unparsable
from .sources import Reader

MAGIC = b"\x93NUMPY"
MOST = 64 * 1024  # bytes of a header
_LONG = re.compile(r"(?<=\d)L\b")  # as Python 2 wrote a shape
_NUMBERS = re.compile(r"[<>|=]?[?biufcmMSUV]\d*(\[\w+\])?")


def holds_objects(reader: Reader) -> bool:
    """Go past the header; True unless it is sure that numbers follow. Raises Unparsable."""
    major = reader.take(8)[6]
    if major not in (1, 2, 3):
        raise Unparsable(f"an array of NumPy in format {major}")
    size = reader.number(2 if major == 1 else 4)
    if size > MOST:
        raise Unparsable("budget: an array of NumPy with a header that is too long")
    text = reader.take(size).decode("latin-1")
    try:
        header = ast.literal_eval(_LONG.sub("", text.strip()))
        return not _numbers(header["descr"], 0)
    except (ValueError, TypeError, SyntaxError, KeyError, MemoryError, RecursionError) as fault:
        raise Unparsable("an array of NumPy whose header cannot be read") from fault


def _numbers(descr: object, depth: int) -> bool:
    """A type: a text, a list of (name, type[, shape]), or (type, shape)."""
    if isinstance(descr, str):
        return _NUMBERS.fullmatch(descr) is not None
    if isinstance(descr, tuple) and len(descr) == 2 and depth < 16:
        return _numbers(descr[0], depth + 1)
    if isinstance(descr, list) and depth < 16:
        return all(isinstance(each, tuple) and len(each) in (2, 3) and _numbers(each[1], depth + 1) for each in descr)
    return False
