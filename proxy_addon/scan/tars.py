"""The tar that PyTorch wrote before version 0.1.10: pickles, and raw numbers between them in two of its files.

`torch.load` tries every file as a tar first, so whatever a tar reader takes for one is one: ustar's checksum decides.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from .contract import Budget, Unparsable
from .sources import Reader, Region
from .walk import Walk

BLOCK = 512
MOST_LISTED = 1024  # bytes of a long name
MOST_HEADER = 64 * 1024  # bytes of an extended header
_SIZES = {
    "Double": 8, "Float": 4, "Half": 2, "Long": 8, "Int": 4, "Short": 2, "Char": 1, "Byte": 1, "Bool": 1,
    "BFloat16": 2, "ComplexFloat": 8, "ComplexDouble": 16,
}  # fmt: skip


def is_tar(head: bytes) -> bool:
    if len(head) < BLOCK or not any(head[:BLOCK]):
        return False
    block = head[:148] + b" " * 8 + head[156:BLOCK]
    told = head[148:156].strip(b" \0")
    return told.isdigit() and len(told) <= 7 and all(48 <= each < 56 for each in told) and int(told, 8) in _sums(block)


def _sums(block: bytes) -> tuple[int, int]:
    return sum(block), sum(each - 256 if each > 127 else each for each in block)


def members(region: Region, most: int) -> Iterator[tuple[str, Region]]:
    """Its files, by name. Raises Unparsable."""
    at, long = 0, ""
    for _ in range(most):
        head = region.read(at, BLOCK)
        if len(head) < BLOCK or not any(head):
            return
        if not is_tar(head):
            raise Unparsable(f"a tar with a broken header at {at}")
        size, at = _number(head[124:136]), at + BLOCK
        name = head[:100].split(b"\0")[0].decode("latin-1")
        kind = head[156:157]
        if kind == b"L":
            long = region.read(at, min(size, MOST_LISTED)).split(b"\0")[0].decode("latin-1")
        elif kind == b"x":
            if size > MOST_HEADER or b" size=" in region.read(at, size):
                raise Unparsable("a tar with sizes in other places than its headers")
        else:
            if kind in (b"0", b"\0", b"7"):
                yield long or name, region.part(at, size)
            elif kind not in b"123456g":
                raise Unparsable("a tar with a member of a kind that is not known")
            long = ""
        at += -(-size // BLOCK) * BLOCK
    raise Budget("budget: a tar with too many members")


def _number(field: bytes) -> int:
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    try:
        return int(field.strip(b" \0") or b"0", 8)
    except ValueError as fault:
        raise Unparsable("a tar with a size that is no number") from fault


def storage(reader: Reader, walk: Walk) -> None:
    """Past a storage: how many numbers, then these. `walk` was its (key, location, type)."""
    kind = walk.value[2] if isinstance(walk.value, tuple) and len(walk.value) == 3 else None
    name = getattr(kind, "name", "").removesuffix("Storage")
    if name not in _SIZES:
        raise Unparsable("a storage of a type that is not known")
    reader.skip(reader.number(8) * _SIZES[name])


def tensor(reader: Reader, walk: Walk) -> None:
    """Past a tensor's sizes, strides and offset."""
    (dimensions,) = struct.unpack("<i4x", reader.take(8))
    if not 0 <= dimensions <= 1024:
        raise Unparsable("a tensor with too many dimensions")
    reader.skip(16 * dimensions + 8)
