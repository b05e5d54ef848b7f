"""Walks the opcodes of one pickle and tells what it would import and call. Nothing is imported, called or made.

The stack and the memo are followed as the unpickler does, with what is known in place of objects (`values`), so that a
name is found however it got to the top: what is not known there gives UNRESOLVED. Only what can become part of a name
is held; large objects are passed over. The walk ends where the unpickler would: at STOP, or at what it refuses.
"""

from __future__ import annotations

import time
from typing import Any

from . import opcodes as op
from .contract import Budget, Notes, Unparsable
from .machine import NEED, RARE, Machine, underflow
from .opcodes import COUNTED, PLAIN
from .sources import Reader
from .values import SHORT, short

DEEPEST = 1_000_000  # objects on the stack
NESTED = 8  # pickles inside the arrays of a pickle


class Walk(Machine):
    """One pickle. `value` is what is known of its object, after `run`."""

    def __init__(self, reader: Reader, notes: Notes, until: float, *, arrays: bool = False, nested: int = 0) -> None:
        """`until` is in seconds of `time.process_time`."""
        super().__init__(reader, notes, arrays=arrays)
        self._until, self._nested = until, nested
        self.value: Any = None

    def run(self) -> None:
        """Raises Unparsable, with what was told before it in the notes."""
        reader, stack, marks, memo = self._reader, self._stack, self._marks, self._memo
        window, at = reader.window, reader.at
        fence = 0  # the height of the stack at the last mark: nothing below it can be taken
        while True:
            if at + 10 > len(window):
                reader.at = at
                self._check()
                reader.peek(10)
                window, at = reader.window, reader.at
                if at >= len(window):
                    raise Unparsable(f"truncated: a pickle has no end at {reader.tell()}")
            code = window[at]
            at += 1
            if code in COUNTED:
                width, signed, text = COUNTED[code]
                size = int.from_bytes(window[at : at + width], "little", signed=signed)
                at += width
                if size < 0 or at > len(window):
                    raise Unparsable("a pickle with a length that cannot be")
                if at + size <= len(window):
                    stack.append(window[at : at + size] if text and size <= SHORT else None)
                    at += size
                else:
                    reader.at = at
                    if text and size <= SHORT:
                        stack.append(reader.take(size))
                    else:
                        reader.skip(size)
                        stack.append(None)
                    window, at = reader.window, reader.at
            elif code == op.MEMOIZE or code == op.BINPUT:
                if len(stack) <= fence:
                    raise underflow()
                if code == op.BINPUT:
                    memo.put(_byte(window, at), stack[-1])
                    at += 1
                else:
                    memo.append(stack[-1])
            elif code == op.BINGET:
                stack.append(memo.held.get(_byte(window, at)))
                at += 1
            elif code == op.EMPTY_TUPLE:
                stack.append(())
            elif code == op.BININT1:
                stack.append(_byte(window, at))
                at += 1
            elif code in PLAIN:
                width, taken = PLAIN[code]
                at += width
                if len(stack) - taken < fence:
                    raise underflow()
                stack[len(stack) - taken :] = (None,)
            elif code == op.MARK:
                fence = len(stack)
                marks.append(fence)
            elif op.TUPLE1 <= code <= op.TUPLE3:
                size = code - op.TUPLE1 + 1
                if len(stack) - size < fence:
                    raise underflow()
                stack[-size:] = [short(stack[-size:])]
            elif code == op.BININT:
                stack.append(int.from_bytes(window[at : at + 4], "little", signed=True))
                at += 4
            elif code == op.BININT2:
                stack.append(int.from_bytes(window[at : at + 2], "little"))
                at += 2
            elif code == op.STOP:
                reader.at = at
                if len(stack) <= fence:
                    raise underflow()
                self.value = stack[-1]
                return
            else:
                reader.at = at
                if code not in RARE:
                    raise Unparsable(f"no pickle: byte {code:#04x} at {reader.tell() - 1} is no opcode")
                if len(stack) - NEED.get(code, 0) < fence:
                    raise underflow()
                RARE[code](self, code, fence)
                window, at = reader.window, reader.at
                fence = marks[-1] if marks else 0

    def _check(self) -> None:
        if len(self._stack) > DEEPEST or len(self._marks) > DEEPEST:
            raise Budget("budget: a pickle with too deep a stack")
        if time.process_time() > self._until:
            raise Budget("budget: a pickle that takes too long to walk")

    def inside(self) -> None:
        """An array of objects is a pickle of its own."""
        if self._nested >= NESTED:
            raise Budget("budget: pickles in pickles")
        inner = Walk(self._reader, self._notes, self._until, nested=self._nested + 1)
        try:
            inner.run()
        finally:
            self.calls += inner.calls


def _byte(window: bytes, at: int) -> int:
    if at >= len(window):
        raise Unparsable("truncated: a pickle has no end")
    return window[at]
