"""How a Xet file lies in xorbs: chunks of 64 KiB, each behind an eight-byte header, stored without compression.

The hashes are arbitrary, as no client checks them; the frames decode. A file of more than one chunk lies in two xorbs
at least, and a xorb holds 512 chunks at most.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from .content import Source

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
        start = (first - self.first) * FRAME
        return start, start + self.unpacked(first, last) + HEADER * (last - first)

    def read(self, offset: int, limit: int) -> bytes:
        end = min(offset + limit, self.size)
        if end <= offset:
            return b""
        low = self.first + offset // FRAME
        high = self.first + (end - 1) // FRAME + 1
        out = bytearray()
        for chunk in range(low, high):
            length = self.unpacked(chunk, chunk + 1)
            size = length.to_bytes(3, "little")
            out += b"\0" + size + b"\0" + size  # version, packed length, scheme "none", length
            out += self.file.read(chunk * CHUNK, length)
        start = self.span(low, low)[0]
        return bytes(memoryview(out)[offset - start : end - start])


def xorbs_of(file: Source, file_hash: str) -> list[Xorb]:
    chunks = -(-file.size // CHUNK)
    each = min(MOST_CHUNKS, max(1, -(-chunks // 2)))
    return [
        Xorb(hashlib.sha256(f"xorb:{file_hash}:{n}".encode()).hexdigest(), file, file_hash, n, min(n + each, chunks))
        for n in range(0, chunks, each)
    ]
