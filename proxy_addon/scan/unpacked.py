"""A compressed stream as a region: any part of what is in it can be read, again and again; nothing is written anywhere.

It is unpacked once to its end, because only then its size is known, and a zip is found by its last bytes. What was
dropped is unpacked again: from the last of some marks, at which the state was copied, or at which a stream began that
follows another. Where neither is to be had more is held instead. All that comes out is counted, however often.

What follows the end of a stream is another of its kind, or nothing: zeroes are padding. A fault is an end as well: what
came out before it is there to be read, for that is what a loader gets that reads so far and no further.
"""

from __future__ import annotations

import lzma
from bisect import bisect_right
from collections.abc import Callable
from typing import NamedTuple

from .contract import Budget, Unparsable
from .inflate import FAULTS, Allowance, Decoder, Zlib
from .sources import Region

IN, OUT = 16 * 1024, 256 * 1024  # bytes at a time
SLOWLY = 16  # bytes given at first, then twice as many each time: of what a fault is in, nothing comes out
FIRST = 1088 * 1024  # bytes of the beginning that are held: all places where HDF5 may begin early
HELD, HELD_ELSE = 4 << 20, 32 << 20  # bytes that are held behind where it is read, twice as many at times
EVERY, MARKS = 1 << 20, 256  # bytes between marks at first, and how many there are


class _Mark(NamedTuple):
    """Where in what comes out, where in what goes in, and the state; None for a new one."""

    out: int
    into: int
    state: Zlib | None


class Unpacked:
    """`size` bytes; `fault` says why there are no more."""

    def __init__(
        self, packed: Region, made: Callable[[], Decoder], allowance: Allowance, *, once: bool = False
    ) -> None:
        """`once`: what follows the stream is not looked at."""
        self._packed, self._made, self._allowance, self._once = packed, made, allowance, once
        self._marks, self._every = [_Mark(0, 0, None)], EVERY
        self._first = b""
        self.fault: Unparsable | None = None
        try:
            self._go_to(self._marks[0])
            self._step = SLOWLY
            self._held = HELD if isinstance(self._decoder, Zlib) else HELD_ELSE
            while self._more():
                if not self._first and len(self._window) >= FIRST:
                    self._first = bytes(self._window[:FIRST])
        except Unparsable as fault:
            self.fault = fault
        self.size = self._base + len(self._window)
        if not self._base:
            self._first = bytes(self._window)  # all of it
        self._first = self._first or bytes(self._window[:FIRST])

    def region(self) -> Region:
        return Region.of(self._first) if len(self._first) == self.size else Region(self.read, 0, self.size)

    def read(self, offset: int, size: int) -> bytes:
        """Fewer bytes at the end. Raises Unparsable."""
        if offset + size <= len(self._first):
            return self._first[offset : offset + size]
        mark = self._marks[bisect_right(self._marks, offset, key=lambda each: each.out) - 1]
        if offset < self._base or mark.out > self._base + len(self._window):
            self._go_to(mark)
        while self._base + len(self._window) < offset + size and self._more(offset):
            pass
        with memoryview(self._window) as window:
            return bytes(window[offset - self._base : offset - self._base + size])

    def _go_to(self, mark: _Mark) -> None:
        self._window, self._base, self._into = bytearray(), mark.out, mark.into
        self._rest, self._done, self._step = b"", False, IN
        self._decoder = mark.state.copy() if mark.state else self._fresh()

    def _more(self, keep: int = 1 << 62) -> bool:
        """Unpack some more; False at the end. What is before `keep` need not stay. Raises Unparsable."""
        if self._done:
            return False
        needs = self._decoder.needs_input
        given = self._given() if needs else b""
        try:
            out = self._decoder.decompress(given, OUT)
            ended = self._decoder.eof
            rest = self._decoder.unused_data if ended else None
        except FAULTS as fault:
            raise _told(fault) from fault
        self._allowance.spend(len(out))
        self._window += out
        if len(self._window) > 2 * self._held:
            gone = min(len(self._window) - self._held, max(0, keep - self._base))
            del self._window[:gone]
            self._base += gone
        if ended:
            self._next(rest or b"")
        elif needs and not given and not out:
            raise Unparsable("truncated: compressed data without an end")
        self._mark(ended)
        return True

    def _given(self) -> bytes:
        if not self._rest:
            self._rest = self._packed.read(self._into, self._step)
            self._into += len(self._rest)
        given, self._rest = self._rest[: self._step], self._rest[self._step :]
        self._step = min(2 * self._step, IN)
        return given

    def _next(self, rest: bytes) -> None:
        """Past the end of a stream, to the beginning of the next one."""
        rest += self._rest
        self._done = self._once
        while not self._done and not (rest := rest.lstrip(b"\0")):
            rest = self._packed.read(self._into, IN)
            self._into += len(rest)
            self._done = not rest
        self._rest = rest
        if not self._done:
            self._decoder = self._fresh()

    def _mark(self, fresh: bool) -> None:
        at = self._base + len(self._window)
        decoder = self._decoder
        copied = isinstance(decoder, Zlib) and decoder.needs_input
        if self._done or at < self._marks[-1].out + self._every or not (fresh or copied):
            return
        state = decoder.copy() if isinstance(decoder, Zlib) and not fresh else None
        self._marks.append(_Mark(at, self._into - len(self._rest), state))
        if len(self._marks) > MARKS:
            del self._marks[1::2]
            self._every *= 2

    def _fresh(self) -> Decoder:
        try:
            return self._made()
        except FAULTS as fault:
            raise Unparsable(f"compressed data of a kind that is not known: {fault}") from fault


def _told(fault: Exception) -> Unparsable:
    if isinstance(fault, lzma.LZMAError) and "limit" in str(fault):
        return Budget("budget: compressed data that takes too much memory to unpack")
    return Unparsable(f"compressed data that does not unpack: {fault}")
