"""Cuts the bytes of a xorb range into chunks, however they come.

The header of a chunk is eight bytes: version (0), packed length (three bytes, the lowest first), scheme, length (three
bytes). What is begun and not complete is kept, at most one chunk.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..core.errors import IntegrityError
from ..core.messages import Buffer

HEADER = 8
LARGEST = 128 * 1024  # bytes of a chunk
PACKED = 2 * LARGEST  # more than any packing that is worth it
MOST = 8192  # chunks of a xorb


@dataclass(frozen=True, slots=True)
class Chunk:
    scheme: int
    size: int  # bytes when unpacked
    packed: Buffer

    @property
    def length(self) -> int:
        """Bytes in the xorb."""
        return HEADER + len(self.packed)


class Frames:
    def __init__(self, rest: bytes = b"", count: int = 0) -> None:
        self._rest, self._count = rest, count

    def copy(self) -> Frames:
        return Frames(self._rest, self._count)

    @property
    def whole(self) -> bool:
        """No chunk is begun."""
        return not self._rest

    def feed(self, data: Buffer | bytearray) -> list[Chunk]:
        """The chunks that are complete now; they are views of `data`.

        Raises `IntegrityError` at a bad header, and at more chunks than a xorb has."""
        view = memoryview(data)
        chunks: list[Chunk] = []
        if self._rest:
            view = self._complete(view)
            if len(self._rest) < HEADER or len(self._rest) < HEADER + _packed(self._rest):
                return chunks
            chunks.append(_chunk(memoryview(self._rest)))
            self._rest = b""
        at = 0
        while len(view) - at >= HEADER and len(view) - at >= (length := HEADER + _packed(view[at : at + HEADER])):
            chunks.append(_chunk(view[at : at + length]))
            at += length
            if self._count + len(chunks) > MOST:
                raise IntegrityError(f"more than {MOST} chunks in a xorb")
        self._count += len(chunks)
        self._rest = bytes(view[at:])
        return chunks

    def _complete(self, view: memoryview) -> memoryview:
        """Add to the chunk that is begun, and no more than belongs to it."""
        if len(self._rest) < HEADER:
            count = HEADER - len(self._rest)
            self._rest, view = self._rest + view[:count], view[count:]
        if len(self._rest) >= HEADER:
            count = HEADER + _packed(self._rest) - len(self._rest)
            self._rest, view = self._rest + view[:count], view[count:]
        return view


def _packed(header: Buffer) -> int:
    """The packed length, of a header that makes sense."""
    packed = int.from_bytes(header[1:4], "little")
    if header[0] != 0 or not 0 < packed <= PACKED or not 0 < int.from_bytes(header[5:8], "little") <= LARGEST:
        raise IntegrityError("a chunk of a xorb has a header that cannot be")
    return packed


def _chunk(frame: memoryview) -> Chunk:
    return Chunk(frame[4], int.from_bytes(frame[5:8], "little"), frame[HEADER:])
