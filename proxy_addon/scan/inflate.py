"""What unpacks a compressed stream, which is known by its first bytes.

A magic number of two bytes is *weak*: numbers may begin so by chance. zlib can copy its state, the others cannot.
"""

from __future__ import annotations

import bz2
import lzma
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from .contract import Budget

MEMORY = 128 << 20  # bytes of xz's dictionary
FAULTS = (zlib.error, lzma.LZMAError, OSError, EOFError, RuntimeError, ValueError)


class Decoder(Protocol):
    """What follows the end of a stream is in `unused_data`; without `needs_input` there is more to come."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes | None: ...
    @property
    def needs_input(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class Zlib:
    """zlib's object with the face of the others."""

    def __init__(self, wbits: int) -> None:
        self._inner, self._rest = zlib.decompressobj(wbits), b""

    def copy(self) -> Zlib:
        """Of one that needs input."""
        twin = Zlib.__new__(Zlib)
        twin._inner, twin._rest = self._inner.copy(), b""
        return twin

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._rest

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        out = self._inner.decompress(self._rest + data, max_length)
        self._rest = self._inner.unconsumed_tail
        return out


def _lz4() -> Any:
    from lz4.frame import LZ4FrameDecompressor

    return LZ4FrameDecompressor()


def _xz(kind: int) -> Callable[[], Any]:
    return lambda: lzma.LZMADecompressor(kind, memlimit=MEMORY)


def raw_deflate() -> Any:
    return Zlib(-zlib.MAX_WBITS)


class Codec(NamedTuple):
    """`before` bytes come before what `decoder` unpacks."""

    magic: bytes
    decoder: Callable[[], Decoder]
    before: int = 0
    weak: bool = False


CODECS: Final = (
    Codec(b"\x1f\x8b\x08", lambda: Zlib(16 + zlib.MAX_WBITS)),
    Codec(b"BZh", bz2.BZ2Decompressor),
    Codec(b"\xfd7zXZ\0", _xz(lzma.FORMAT_XZ)),
    Codec(b"\x5d\x00", _xz(lzma.FORMAT_ALONE), weak=True),
    Codec(b"\x04\x22\x4d\x18", _lz4),
    *(Codec(b"x" + level, lambda: Zlib(zlib.MAX_WBITS), weak=True) for level in (b"\x01", b"\x5e", b"\x9c", b"\xda")),
    Codec(b"ZF0x", lambda: Zlib(zlib.MAX_WBITS), 21),  # joblib before 0.10: the length as text, then zlib
)
#: What is not unpacked here: zstd and its frames to be skipped, 7z, RAR, lzip, compress, lz4's first format.
SEALED: Final = (
    b"\x28\xb5\x2f\xfd", *(bytes([0x50 + n]) + b"\x2a\x4d\x18" for n in range(16)), b"7z\xbc\xaf\x27\x1c",
    b"Rar!\x1a\x07", b"LZIP\x01", b"\x1f\x9d\x90", b"\x02\x21\x4c\x18",
)  # fmt: skip


def codec(head: bytes) -> Codec | None:
    found = next((each for each in CODECS if head.startswith(each.magic)), None)
    return found._replace(before=22) if found and found.before and head[21:22] == b" " else found


@dataclass(slots=True)
class Allowance:
    """What may still come out, over one whole scan: bytes, and until when, in seconds of `time.process_time`."""

    left: int
    until: float

    def spend(self, size: int) -> None:
        """Raises Budget."""
        self.left -= size
        if self.left < 0:
            raise Budget("budget: too much comes out of compressed data")
        if time.process_time() > self.until:
            raise Budget("budget: compressed data that takes too long to unpack")
