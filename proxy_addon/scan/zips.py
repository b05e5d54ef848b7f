"""The entries of a zip, as its central directory and its local headers both say, APPNOTE 6.3.

Loaders disagree on which of the two they believe, so each difference between them is a problem: another name, method,
size or flags, an entry that only one of them has, bytes in between that no header names, entries that overlap, names
that come twice, a second end of the directory. Contents are not read; where they are is what this gives.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from .contract import Budget, Notes, Unparsable
from .sources import Region

TAIL = 65_557  # bytes in which the end of the directory must be
HEAD = 2048  # bytes read at a local header: with the first bytes of the contents, most often
_END, _END64, _AT64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_CENTRAL, LOCAL, _AFTER = b"PK\x01\x02", b"PK\x03\x04", b"PK\x07\x08"
STORED, DEFLATED, BZIP2, LZMA = 0, 8, 12, 14  # methods
_ZIPS = (".keras", ".npz", ".pt", ".pth", ".bin", ".ckpt", ".zip")
ENCRYPTED = 0x0001 | 0x0040 | 0x2000
LATER = 0x0008  # sizes come after the contents
MOST_DIRECTORY = 64 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """`packed` bytes from `start`; `head` is as many of them as were read by the way."""

    name: str
    method: int
    flags: int
    packed: int
    size: int
    header: int
    start: int
    head: bytes = b""


def begins(head: bytes) -> bool:
    return head.startswith((LOCAL, _END))


def is_zip(region: Region, name: str, *, raw: bool = False) -> bool:
    """By its last bytes; under some names, by whatever some reader would take for an end. `raw`: by very few."""
    tail, at = _ends(region, 22 if raw else TAIL)
    return at >= 0 or (_END in tail and name.lower().endswith(_ZIPS))


def _ends(region: Region, most: int = TAIL) -> tuple[bytes, int]:
    """The last bytes, and where in them the directory ends: -1 if none of them says that it goes up to the end."""
    tail = region.read(max(0, region.size - most), most)
    at = tail.rfind(_END)
    while at >= 0 and len(tail) - at - 22 != int.from_bytes(tail[at + 20 : at + 22], "little"):
        at = tail.rfind(_END, 0, at)
    return tail, at if at + 22 <= len(tail) else -1


def entries(region: Region, notes: Notes) -> Iterator[Entry]:
    """In the order in which they lie. Raises Unparsable when there is no directory to be read."""
    offset, size, count = _directory(region, notes)
    if count > notes.limits.entries or size > MOST_DIRECTORY:
        raise Budget("budget: a zip with too many entries")
    found = sorted(_listed(region, offset, size, count, notes), key=lambda each: each.header)
    if not found and count:
        raise Unparsable("a zip without entries")
    names = set[str]()
    due = 0
    for entry in found:
        if entry.name in names:
            notes.problem(f"zip: the name {entry.name} comes twice")
        names.add(entry.name)
        if entry.header < due:
            notes.problem(f"zip: {entry.name} overlaps another entry")
        elif entry.header > due and not _descriptor(region, due, entry.header):
            notes.problem(f"zip: bytes before {entry.name} that no header names")
        entry = _met(region, entry, notes)
        due = entry.start + entry.packed
        yield entry
    if due > offset:
        notes.problem("zip: the last entry overlaps the directory")
    elif due < offset and not _descriptor(region, due, offset):
        notes.problem("zip: bytes before the directory that no header names")


def _directory(region: Region, notes: Notes) -> tuple[int, int, int]:
    """Its offset, size and number of entries."""
    tail, at = _ends(region)
    if at < 0:
        raise Unparsable("a zip without an end of its directory")
    if tail.count(_END) > 1:
        notes.problem("zip: more than one end of the directory")
    base = region.size - len(tail)
    disk, disk_of, here, count, size, offset, _ = struct.unpack("<4H2LH", tail[at + 4 : at + 22])
    ends = base + at
    where = region.read(ends - 20, 20) if ends >= 20 else b""
    if where.startswith(_AT64):
        _, end64, _ = struct.unpack("<LQL", where[4:])
        record = region.read(end64, 56)
        if len(record) < 56 or not record.startswith(_END64) or end64 + 56 > ends - 20:
            raise Unparsable("a zip64 without an end of its directory")
        shown = (disk, disk_of, here, count, size, offset)
        disk, disk_of, here, count, size, offset = struct.unpack("<2L4Q", record[16:])
        for small, large in zip(shown, (disk, disk_of, here, count, size, offset), strict=True):
            if small != large and small not in (0xFFFF, 0xFFFFFFFF):
                notes.problem("zip: its two ends of the directory disagree")
        ends = end64
    elif 0xFFFF in (here, count) or 0xFFFFFFFF in (size, offset):
        raise Unparsable("a zip64 without an end of its directory")
    if disk or disk_of or here != count:
        notes.problem("zip: in several parts")
    if offset + size != ends:
        notes.problem("zip: its directory is not where it says")
        offset = ends - size
    if offset < 0:
        raise Unparsable("a zip whose directory is larger than it")
    return offset, size, count


def _listed(region: Region, offset: int, size: int, count: int, notes: Notes) -> Iterator[Entry]:
    reader = region.part(offset, size).reader()
    for _ in range(count):
        head = reader.take(46)
        if not head.startswith(_CENTRAL):
            raise Unparsable("a zip whose directory is broken")
        _, _, flags, method, _, _, _, packed, full, n, x, c, disk, _, _, header = struct.unpack("<4x6H3L5H2L", head)
        raw = reader.take(n)
        packed, full, header = _wide(reader.take(x), packed, full, header)
        reader.skip(c)
        if disk not in (0, 0xFFFF):
            notes.problem("zip: in several parts")
        yield Entry(_name(raw), method, flags, packed, full, header, 0)
    if reader.peek(1):
        notes.problem("zip: its directory has more entries than it says")


def _wide(extra: bytes, packed: int, full: int, header: int = 0) -> tuple[int, int, int]:
    """Sizes from the zip64 field, where the short ones are all ones."""
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            field = extra[at + 4 : at + 4 + size]
            numbers = iter([number for (number,) in struct.iter_unpack("<Q", field[: len(field) // 8 * 8])])
            full = next(numbers, full) if full == 0xFFFFFFFF else full
            packed = next(numbers, packed) if packed == 0xFFFFFFFF else packed
            header = next(numbers, header) if header == 0xFFFFFFFF else header
            break
        at += 4 + size
    return packed, full, header


def _name(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("cp437")


def _met(region: Region, entry: Entry, notes: Notes) -> Entry:
    """With what the local header says. Raises Unparsable when there is none."""
    head = region.read(entry.header, HEAD)
    if len(head) < 30 or not head.startswith(LOCAL):
        raise Unparsable(f"a zip whose entry {entry.name} has no local header")
    _, flags, method, _, _, _, packed, full, n, x = struct.unpack("<4x5H3L2H", head[:30])
    after = 30 + n + x
    if after > len(head):
        head = region.read(entry.header, after)
    packed, full, _ = _wide(head[30 + n : after], packed, full)
    name = _name(head[30 : 30 + n])
    sizes = (packed, full) == (entry.packed, entry.size)
    if name != entry.name:
        notes.problem(f"zip: {entry.name} is {name} in its local header")
    if method != entry.method or flags != entry.flags or not (sizes or (flags & LATER and packed == full == 0)):
        notes.problem(f"zip: {entry.name}: its local header disagrees with the directory")
    if (flags | entry.flags) & ENCRYPTED:
        notes.problem(f"zip: {entry.name} is encrypted")
    if entry.method == 0 and entry.packed != entry.size:
        notes.problem(f"zip: {entry.name} is stored in a size that is not its own")
    start = entry.header + after
    if start + entry.packed > region.size:
        raise Unparsable(f"truncated: the zip ends within {entry.name}")
    known = head[after : after + entry.packed]
    return Entry(entry.name, entry.method, entry.flags, entry.packed, entry.size, entry.header, start, known)


def _descriptor(region: Region, start: int, end: int) -> bool:
    """Whether nothing but a data descriptor is there: 12 to 24 bytes, whose contents the directory has too."""
    size = end - start
    return size in (12, 20) or (size in (16, 24) and region.read(start, 4) == _AFTER)
