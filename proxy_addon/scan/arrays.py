"""Arrays that joblib writes raw into the stream of a pickle, right after the state of their wrapper.

How many bytes those are is told by shape and dtype, and must be known exactly: who is off by one byte walks another
stream than joblib reads. So whatever is not plain is refused. A dtype's state overrides what its name says.
"""

from __future__ import annotations

import math
import re
from typing import Any

from .contract import Unparsable
from .sources import Reader
from .values import Made

_DTYPE = re.compile(rb"[<>|=]?([biufcmMSUVO])(\d{1,9})")
HAS_OBJECTS = 1  # flag of a dtype
MOST = 1 << 50  # bytes of one array


def passed(reader: Reader, wrapper: Made, state: object) -> bool:
    """Go past the array. True if it has objects: then it is a pickle, which is left to the caller."""
    if wrapper.of != "wrapper" or not isinstance(state, Made) or state.of != "dict":
        raise Unparsable("an array of joblib whose size cannot be told")
    wrapper.items.update(state.items)  # a second state adds to the first
    shape, dtype = wrapper.items.get(b"shape"), wrapper.items.get(b"dtype")
    if not isinstance(dtype, Made) or dtype.of != "dtype":
        raise Unparsable("an array of joblib whose type cannot be told")
    size, objects = _size(dtype)
    if objects:
        return True
    if not isinstance(shape, tuple) or not all(type(each) is int and each >= 0 for each in shape):
        raise Unparsable("an array of joblib whose shape cannot be told")
    total = math.prod(shape) * size
    if total > MOST:
        raise Unparsable("an array of joblib that is too large to be one")
    if b"numpy_array_alignment_bytes" in wrapper.items:
        if type(wrapper.items[b"numpy_array_alignment_bytes"]) is not int:
            raise Unparsable("an array of joblib that cannot be told where it begins")
        reader.skip(reader.number(1))
    reader.skip(total)
    return False


def _size(dtype: Made) -> tuple[int, bool]:
    """Bytes of an item, and whether it has objects in it."""
    name = dtype.args[0] if dtype.args else None
    found = _DTYPE.fullmatch(name) if isinstance(name, bytes) else None
    if found is None:
        raise Unparsable("an array of joblib whose type cannot be told")
    code, size = found[1], int(found[2]) * (4 if found[1] == b"U" else 1)
    flags = _flags(dtype.state, size if code in (b"S", b"U", b"V") else -1)
    objects = code == b"O"
    if flags is not None and bool(flags & HAS_OBJECTS) != objects:
        if code != b"V":
            raise Unparsable("an array of joblib of a type that contradicts itself")
        objects = True
    return size, objects


def _flags(state: Any, size: int) -> int | None:
    """From `(version, order, subarray, names, fields, size, alignment, flags)`; None if the type has no state."""
    if state is None:
        return None
    if not isinstance(state, tuple) or len(state) < 8 or state[0] not in (3, 4) or state[5] != size:
        raise Unparsable("an array of joblib of a type that cannot be told")
    flags = state[7]
    if type(flags) is not int:
        raise Unparsable("an array of joblib of a type that cannot be told")
    return flags
