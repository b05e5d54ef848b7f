"""How a Xet file lies in xorbs: chunks of 64 KiB, each behind an eight-byte header.

Chunks are stored as they are, or packed as an LZ4 frame, or with their bytes dealt into four groups before that. The
hashes are arbitrary, as no client checks them; the frames decode. A file of more than one chunk lies in two xorbs at
least, and a xorb holds 512 chunks at most. A file that is `Spliced` from others lies where they lie.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Literal

import lz4.frame

from .content import Source, Spliced

type Packing = Literal["none", "lz4", "bg4", "mixed"]

CHUNK = 64 * 1024
HEADER = 8
FRAME = HEADER + CHUNK
MOST_CHUNKS = 512


@dataclass(frozen=True)
class Xorb:
    """A source of its own: the serialised chunks `first` up to `last` (exclusive) of a file."""

    hash: str
    file: Source
    file_hash: str
    first: int
    last: int
    packing: Packing = "none"

    @property
    def size(self) -> int:
        return self.span(self.first, self.last)[1]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.read(0, self.size)).hexdigest()

    def unpacked(self, first: int, last: int) -> int:
        return min(last * CHUNK, self.file.size) - first * CHUNK

    def span(self, first: int, last: int) -> tuple[int, int]:
        """The bytes of this xorb, half open, in which the file's chunks `first` up to `last` lie."""
        if self.packing != "none":
            return self._ends[first - self.first], self._ends[last - self.first]
        start = (first - self.first) * FRAME
        return start, start + self.unpacked(first, last) + HEADER * (last - first)

    def read(self, offset: int, limit: int) -> bytes:
        if self.packing != "none":
            return self._packed[offset : offset + limit]
        end = min(offset + limit, self.size)
        if end <= offset:
            return b""
        low = self.first + offset // FRAME
        high = self.first + (end - 1) // FRAME + 1
        out = bytearray().join(self._frame(chunk) for chunk in range(low, high))
        start = self.span(low, low)[0]
        return bytes(memoryview(out)[offset - start : end - start])

    @cached_property
    def _frames(self) -> list[bytes]:
        return [self._frame(chunk) for chunk in range(self.first, self.last)]

    @cached_property
    def _ends(self) -> list[int]:
        return [0, *accumulate(map(len, self._frames))]

    @cached_property
    def _packed(self) -> bytes:
        return b"".join(self._frames)

    def _frame(self, chunk: int) -> bytes:
        data = bytes(self.file.read(chunk * CHUNK, self.unpacked(chunk, chunk + 1)))
        scheme = {"none": 0, "lz4": 1, "bg4": 2, "mixed": chunk % 3}[self.packing]
        dealt = b"".join(data[turn::4] for turn in range(4)) if scheme == 2 else data
        packed = lz4.frame.compress(dealt, store_size=False) if scheme else data
        return b"\0" + len(packed).to_bytes(3, "little") + bytes([scheme]) + len(data).to_bytes(3, "little") + packed


@dataclass(frozen=True)
class Extent:
    """Chunks of a xorb, numbered as in the file that the xorb was made of."""

    xorb: Xorb
    first: int
    last: int


def file_hash(sha256: str) -> str:
    return hashlib.sha256(f"xet:{sha256}".encode()).hexdigest()


def xorbs_of(file: Source, file_hash: str, packing: Packing = "none") -> list[Xorb]:
    chunks = -(-file.size // CHUNK)
    each = min(MOST_CHUNKS, max(1, -(-chunks // 2)))
    return [
        Xorb(name, file, file_hash, n, min(n + each, chunks), packing)
        for n in range(0, chunks, each)
        for name in [hashlib.sha256(f"xorb:{file_hash}:{n}:{packing}".encode()).hexdigest()]
    ]


def extents_of(file: Source, packing: Packing = "none") -> Iterator[Extent]:
    """Where a file lies, in its order."""
    if isinstance(file, Spliced):
        for part in file.parts:
            low, high = part.start // CHUNK, -(-part.end // CHUNK)
            for extent in extents_of(part.source, packing):
                first, last = max(low, extent.first), min(high, extent.last)
                if first < last:
                    yield Extent(extent.xorb, first, last)
    else:
        for xorb in xorbs_of(file, file_hash(file.sha256), packing):
            yield Extent(xorb, xorb.first, xorb.last)
