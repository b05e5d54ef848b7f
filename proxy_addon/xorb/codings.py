"""How a chunk is packed: as it is (0), as an LZ4 frame (1), or its bytes dealt into four groups before that (2).

No more is unpacked than a chunk may hold, whatever the packed bytes say of themselves.
"""

from __future__ import annotations

from lz4.frame import LZ4FrameDecompressor

from ..core.errors import IntegrityError
from ..core.messages import Buffer
from .frames import Chunk

PLAIN, LZ4, GROUPED = 0, 1, 2


def unpack(chunk: Chunk) -> Buffer:
    """The bytes of a chunk. Raises `IntegrityError` if they are not as many as its header says."""
    data = _unpacked(chunk)
    return _dealt_back(data) if chunk.scheme == GROUPED else data


def check(chunk: Chunk) -> None:
    """Raises `IntegrityError` unless the chunk unpacks to its length."""
    _unpacked(chunk)


def _unpacked(chunk: Chunk) -> Buffer:
    if chunk.scheme == PLAIN:
        data = chunk.packed
    elif chunk.scheme in (LZ4, GROUPED):
        data = _inflated(chunk)
    else:
        raise IntegrityError(f"a chunk of a xorb is packed by a scheme that is not known here ({chunk.scheme})")
    if len(data) != chunk.size:
        raise IntegrityError(f"a chunk of a xorb has {len(data)} bytes, not {chunk.size}")
    return data


def _inflated(chunk: Chunk) -> bytes:
    decoder = LZ4FrameDecompressor()
    try:
        data: bytes = decoder.decompress(chunk.packed, max_length=chunk.size + 1)
    except RuntimeError as fault:
        raise IntegrityError(f"a chunk of a xorb does not unpack: {fault}") from fault
    if not decoder.eof or decoder.unused_data:
        raise IntegrityError("a chunk of a xorb does not end where it should")
    return data


def _dealt_back(groups: Buffer) -> bytes:
    out, at = bytearray(len(groups)), 0
    for turn in range(4):
        count = len(range(turn, len(groups), 4))
        out[turn::4] = groups[at : at + count]
        at += count
    return bytes(out)
