"""Bytes to look into: a region, of which any part can be read, and a reader, which only goes forward.

A region is made of pieces of files, or of bytes in memory, and is never mapped: a file cut short under a mapping takes
the process down, a short read is only a problem. At most `OPEN` files are open at a time. A reader holds one window of
bytes, whatever is behind it; what is skipped is not read where it need not be.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from .contract import Unparsable

WINDOW = 64 * 1024
OPEN = 16


class Piece(NamedTuple):
    """`size` bytes from `offset` of a file."""

    path: str
    offset: int
    size: int


type Data = Sequence[Piece] | bytes
"""A file: where its pieces lie, or, if it is small, all of it."""


class Feed(Protocol):
    """Bytes in their order. Both give less than asked for only at the end."""

    def read(self, size: int) -> bytes: ...
    def skip(self, size: int) -> int: ...


class Files:
    """The pieces, one after another. Raises OSError when one cannot be opened."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._pieces, self._starts, self.size = pieces, list[int](), 0
        for piece in pieces:
            self._starts.append(self.size)
            self.size += piece.size
        self._open: OrderedDict[str, int] = OrderedDict()

    def read(self, offset: int, size: int) -> bytes:
        found = []
        while size > 0 and offset < self.size:
            number = bisect_right(self._starts, offset) - 1
            piece, within = self._pieces[number], offset - self._starts[number]
            part = os.pread(self._descriptor(piece.path), min(size, piece.size - within), piece.offset + within)
            if not part:
                raise Unparsable("the file is shorter than it should be")
            found.append(part)
            offset, size = offset + len(part), size - len(part)
        return b"".join(found) if len(found) != 1 else found[0]

    def _descriptor(self, path: str) -> int:
        if path in self._open:
            self._open.move_to_end(path)
        else:
            if len(self._open) >= OPEN:
                os.close(self._open.popitem(last=False)[1])
            self._open[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return self._open[path]

    def close(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1])


class Region:
    """`size` bytes from `start` of what `read(offset, size)` gives."""

    def __init__(self, read: Callable[[int, int], bytes], start: int, size: int) -> None:
        self._read, self._start, self.size = read, start, size

    @classmethod
    def of(cls, data: bytes) -> Region:
        return cls(lambda offset, size: data[offset : offset + size], 0, len(data))

    def read(self, offset: int, size: int) -> bytes:
        """Fewer bytes at the end. Raises Unparsable if what is behind it is shorter than it should be."""
        size = min(size, self.size - offset)
        if size <= 0 or offset < 0:
            return b""
        data = self._read(self._start + offset, size)
        if len(data) != size:
            raise Unparsable("the file is shorter than it should be")
        return data

    def part(self, offset: int, size: int) -> Region:
        """Of what is there: no more than up to the end."""
        offset = min(max(offset, 0), self.size)
        return Region(self._read, self._start + offset, max(0, min(size, self.size - offset)))

    def feed(self) -> Feed:
        return _Straight(self)

    def reader(self, offset: int = 0) -> Reader:
        return Reader(self.part(offset, self.size).feed())


class _Straight:
    def __init__(self, region: Region) -> None:
        self._region, self._at = region, 0

    def read(self, size: int) -> bytes:
        data = self._region.read(self._at, size)
        self._at += len(data)
        return data

    def skip(self, size: int) -> int:
        size = min(size, self._region.size - self._at)
        self._at += size
        return size


class Reader:
    """`window[at:]` is what was read and not yet taken. Past the end, everything raises Unparsable."""

    def __init__(self, feed: Feed) -> None:
        self._feed, self._base = feed, 0
        self.window, self.at = b"", 0

    def tell(self) -> int:
        return self._base + self.at

    def peek(self, size: int) -> bytes:
        """Up to `size` bytes, which stay."""
        while len(self.window) - self.at < size:
            more = self._feed.read(max(WINDOW, size))
            if not more:
                break
            self._base += self.at
            self.window, self.at = self.window[self.at :] + more, 0
        return self.window[self.at : self.at + size]

    def take(self, size: int) -> bytes:
        data = self.peek(size)
        if len(data) < size:
            raise Unparsable(f"truncated: {size} bytes are due at {self.tell()}")
        self.at += size
        return data

    def number(self, size: int, *, order: str = "little") -> int:
        return int.from_bytes(self.take(size), "little" if order == "little" else "big")

    def skip(self, size: int) -> None:
        here = min(size, len(self.window) - self.at)
        self.at += here
        if size > here:
            due = size - here
            self._base, self.window, self.at = self._base + self.at, b"", 0
            passed = self._feed.skip(due)
            self._base += passed
            if passed < due:
                raise Unparsable(f"truncated: {due - passed} bytes are missing at the end")

    def line(self, most: int) -> bytes | None:
        """Up to a newline, without it; None, and past it, for one longer than `most` bytes."""
        found = self._newline()
        if found >= 0 and found - self.at <= most:
            line = self.window[self.at : found]
            self.at = found + 1
            return line
        while found < 0:
            self.skip(len(self.window) - self.at)
            found = self._newline()
        self.at = found + 1
        return None

    def _newline(self) -> int:
        """Where the next one is in the window, -1 if it has none; the window is as large as it gets."""
        found = self.window.find(b"\n", self.at)
        if found < 0:
            if len(self.peek(WINDOW)) == 0:
                raise Unparsable(f"truncated: no end of a line at {self.tell()}")
            found = self.window.find(b"\n", self.at)
            if found < 0 and len(self.window) - self.at < WINDOW:
                raise Unparsable(f"truncated: no end of a line at {self.tell()}")
        return found
