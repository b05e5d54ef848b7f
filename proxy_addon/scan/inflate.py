"""Compressed streams, known by their first bytes, unpacked as they are read and dropped: a window at a time.

No more comes out, over one whole scan, than a limit says. What follows the end of a stream is another of its kind, or
nothing: zeroes are padding.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Any, Final, Protocol

from .contract import Budget, Unparsable
from .sources import Feed

OUT = 256 * 1024
MEMORY = 128 << 20  # bytes of xz's dictionary
_FAULTS = (zlib.error, lzma.LZMAError, OSError, EOFError, RuntimeError, ValueError)


class Decoder(Protocol):
    eof: bool
    unused_data: bytes

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Zlib:
    """zlib's object with the face of the others."""

    def __init__(self, wbits: int) -> None:
        self._inner, self._rest = zlib.decompressobj(wbits), b""

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
    return _Zlib(-zlib.MAX_WBITS)


#: What a stream begins with, how many bytes come before it, and what unpacks it.
CODECS: Final[tuple[tuple[bytes, int, Callable[[], Any]], ...]] = (
    (b"\x1f\x8b", 0, lambda: _Zlib(16 + zlib.MAX_WBITS)),
    (b"BZ", 0, bz2.BZ2Decompressor),
    (b"\xfd7zXZ", 0, _xz(lzma.FORMAT_XZ)),
    (b"\x5d\x00", 0, _xz(lzma.FORMAT_ALONE)),
    (b"\x04\x22\x4d\x18", 0, _lz4),
    (b"x\x01", 0, lambda: _Zlib(zlib.MAX_WBITS)),
    (b"x\x5e", 0, lambda: _Zlib(zlib.MAX_WBITS)),
    (b"x\x9c", 0, lambda: _Zlib(zlib.MAX_WBITS)),
    (b"x\xda", 0, lambda: _Zlib(zlib.MAX_WBITS)),
    (b"ZF0x", 21, lambda: _Zlib(zlib.MAX_WBITS)),  # joblib before 0.10: the length as text, then zlib
)


def codec(head: bytes) -> tuple[int, Callable[[], Any]] | None:
    for magic, before, decoder in CODECS:
        if head.startswith(magic):
            return before + (magic == b"ZF0x" and head[21:22] == b" "), decoder
    return None


class Allowance:
    """Bytes that may still come out."""

    def __init__(self, left: int) -> None:
        self.left = left


class Inflated:
    """A Feed. Raises Unparsable when the bytes do not unpack or end too soon."""

    def __init__(self, feed: Feed, decoder: Callable[[], Any], allowance: Allowance, *, once: bool = False) -> None:
        """`once`: what follows the stream is not looked at."""
        self._feed, self._made, self._allowance = feed, decoder, allowance
        self._decoder = self._fresh()
        self._once, self._done = once, False
        self._out, self._at = b"", 0

    def read(self, size: int) -> bytes:
        if self._at >= len(self._out) and not self._done:
            self._out, self._at = self._more(), 0
        data = self._out[self._at : self._at + size]
        self._at += len(data)
        return data

    def skip(self, size: int) -> int:
        passed = 0
        while passed < size and (data := self.read(size - passed)):
            passed += len(data)
        return passed

    def _more(self) -> bytes:
        """The next bytes; none only at the end."""
        while True:
            try:
                given = self._feed.read(OUT // 4) if getattr(self._decoder, "needs_input", True) else b""
                starved = not given and getattr(self._decoder, "needs_input", True)
                out: bytes = self._decoder.decompress(given, OUT)
                ended = self._decoder.eof
                rest = self._decoder.unused_data if ended else b""
            except _FAULTS as fault:
                raise Unparsable(f"compressed data that does not unpack: {fault}") from fault
            if ended:
                self._next(rest or b"")
            self._allowance.left -= len(out)
            if self._allowance.left < 0:
                raise Budget("budget: too much comes out of compressed data")
            if out or self._done:
                return out
            if starved and not ended:
                raise Unparsable("truncated: compressed data without an end")

    def _next(self, rest: bytes) -> None:
        while not self._once and not rest.strip(b"\0"):
            rest = self._feed.read(OUT // 4)
            if not rest:
                break
        if self._once or not rest:
            self._done = True
            return
        self._feed = _Before(rest.lstrip(b"\0"), self._feed)
        self._decoder = self._fresh()

    def _fresh(self) -> Any:
        try:
            return self._made()
        except _FAULTS as fault:
            raise Unparsable(f"compressed data of a kind that is not known: {fault}") from fault


class _Before:
    """Some bytes, then the rest of a feed."""

    _head: bytes
    _feed: Feed

    def __init__(self, head: bytes, feed: Feed) -> None:
        while isinstance(feed, _Before) and not feed._head:  # a stream may have thousands of members
            feed = feed._feed
        self._head, self._feed = head, feed

    def read(self, size: int) -> bytes:
        if not self._head:
            return self._feed.read(size)
        data, self._head = self._head[:size], self._head[size:]
        return data

    def skip(self, size: int) -> int:
        return len(self.read(size)) if self._head else self._feed.skip(size)
