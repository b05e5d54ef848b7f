"""The tar that PyTorch wrote before version 0.1.10: pickles, and raw numbers between them in two of its files.

`torch.load` tries every file as a tar first, so whatever Python's `tarfile` takes for one is one, and its numbers are
read as there. What would give a member another name, size or content than its own header says is refused, for it is by
the name that PyTorch knows how to read it. Only files have contents, for `tarfile` passes over those of nothing else.
A tar that comes after the end of one is read too; anything else there is a problem.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from .contract import Budget, Unparsable
from .sources import Reader, Region
from .walk import Walk

BLOCK = 512
_PART = 64 * 1024  # bytes at a time
MOST_LISTED = 1024  # bytes of a long name
MOST_HEADER = 64 * 1024  # bytes of an extended header
KNOWN = frozenset({"storages", "tensors", "pickle", "sys_info"})  # names that PyTorch reads
_RECORD = re.compile(rb"([0-9]{1,6}) ([^=]+)=")  # of an extended header, pax
_SIZES = {
    "Double": 8, "Float": 4, "Half": 2, "Long": 8, "Int": 4, "Short": 2, "Char": 1, "Byte": 1, "Bool": 1,
    "BFloat16": 2, "ComplexFloat": 8, "ComplexDouble": 16,
}  # fmt: skip


def is_tar(head: bytes) -> bool:
    if len(head) < BLOCK or not any(head[:BLOCK]):
        return False
    try:
        return _number(head[148:156]) in _sums(head[:148] + b" " * 8 + head[156:BLOCK])
    except Unparsable:
        return False


def _sums(block: bytes) -> tuple[int, int]:
    return sum(block), sum(each - 256 if each > 127 else each for each in block)


def members(region: Region, most: int) -> Iterator[tuple[str, Region]]:
    """Its files, by name. Raises Unparsable."""
    at, long = 0, ""
    for _ in range(most):
        head = region.read(at, BLOCK)
        if head and not any(head):
            at = _past_zeroes(region, at)
            head = region.read(at, BLOCK)
        if not head:
            return
        if not is_tar(head):
            raise Unparsable(f"a tar with a broken header at {at}")
        size, at = _number(head[124:136]), at + BLOCK
        name = head[:100].split(b"\0")[0].decode("latin-1")
        kind = head[156:157]
        if kind == b"L":
            long = region.read(at, min(size, MOST_LISTED)).split(b"\0")[0].decode("latin-1")
        elif kind in (b"x", b"g"):
            long = _path(region.read(at, min(size, MOST_HEADER + 1)), kind == b"g") or long
        else:
            if size and (kind in b"123456" or (kind == b"\0" and name.endswith("/"))):
                raise Unparsable("a tar with contents of what is no file")
            if kind in (b"0", b"\0", b"7"):
                yield long or name, region.part(at, size)
            elif kind not in b"123456" or (kind in b"12" and (long or name).removeprefix("./") in KNOWN):
                raise Unparsable("a tar with a member of a kind that is not known")
            long = ""
        at += -(-size // BLOCK) * BLOCK
    raise Budget("budget: a tar with too many members")


def _past_zeroes(region: Region, at: int) -> int:
    """Where the first block begins that is not empty, or the end."""
    while data := region.read(at, _PART):
        if rest := data.lstrip(b"\0"):
            return at + (len(data) - len(rest)) // BLOCK * BLOCK
        at += len(data)
    return at


def _number(field: bytes) -> int:
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    try:
        number = int(field.split(b"\0")[0].decode("ascii").strip() or "0", 8)
    except ValueError as fault:
        raise Unparsable("a tar with a number that is none") from fault
    if number < 0:
        raise Unparsable("a tar with a number below nothing")
    return number


def _path(header: bytes, everywhere: bool) -> str:
    """The name that an extended header gives to the member after it; empty if none. Raises Unparsable."""
    found, at = "", 0
    while at < len(header) and header[at]:
        record = _RECORD.match(header, at)
        end = at + int(record[1]) if record else 0
        if record is None or len(header) > MOST_HEADER or not record.end() < end <= len(header):
            raise Unparsable("a tar with an extended header that cannot be read")
        key, value = record[2], header[record.end() : end - 1]
        if key == b"size" or key.startswith(b"GNU.sparse") or (everywhere and key == b"path"):
            raise Unparsable("a tar with names or sizes in other places than its headers")
        found, at = value.decode("utf-8", "surrogateescape") if key == b"path" else found, end
    return found


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
