"""What the rarer opcodes of a pickle do to what is known of its stack and memo, and what they tell.

An import of an import (getattr) is told too, and so is a change made to an imported thing itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from . import opcodes as op
from .arrays import passed
from .contract import UNRESOLVED, Notes, Unparsable
from .literals import integer, spelled
from .memo import Memo
from .sources import Reader
from .values import DTYPE, GETATTR, Import, Made, attribute, imported, short, wraps

LINE = 64 * 1024
MOST_ITEMS = 32  # of a dict that is followed


class Machine(ABC):
    """`calls` counts what would be called. With `arrays` the stream is read as joblib does, with raw arrays in it."""

    def __init__(self, reader: Reader, notes: Notes, *, arrays: bool) -> None:
        self._reader, self._notes, self._arrays = reader, notes, arrays
        self.calls, self.wrapped = 0, False
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo, self._protocol, self._frame = Memo(), 0, 0

    @abstractmethod
    def inside(self) -> None:
        """Walk the pickle that begins here, in the middle of this one."""

    def _pop(self, code: int, fence: int) -> None:
        if len(self._stack) > fence:
            self._stack.pop()
        elif self._marks:
            self._marks.pop()
        else:
            raise underflow()

    def _pop_mark(self, code: int, fence: int) -> None:
        self._to_mark()

    def _dup(self, code: int, fence: int) -> None:
        self._stack.append(self._stack[-1])

    def _put(self, code: int, fence: int) -> None:
        index = self._reader.number(4) if code == op.LONG_BINPUT else self._decimal()
        self._memo.put(index, self._stack[-1])

    def _get(self, code: int, fence: int) -> None:
        index = self._reader.number(4) if code == op.LONG_BINGET else self._decimal()
        self._stack.append(self._memo.held.get(index))

    def _collect(self, code: int, fence: int) -> None:
        items = self._to_mark()
        self._stack.append(short(items) if code == op.TUPLE else None)

    def _empty_dict(self, code: int, fence: int) -> None:
        self._stack.append(Made("dict") if self.wrapped else None)

    def _add(self, code: int, fence: int) -> None:
        items = self._stack[1 - NEED[code] :]
        del self._stack[1 - NEED[code] :]
        self._changed(self._stack[-1], items)

    def _add_all(self, code: int, fence: int) -> None:
        items = self._to_mark(below=1)
        if self._stack[-1] is not None:
            self._changed(self._stack[-1], items)

    def _global(self, code: int, fence: int) -> None:
        module, name = self._reader.line(LINE), self._reader.line(LINE)
        found = self._import(module, name)
        self._stack.append(self._call(found, short(self._to_mark())) if code == op.INST else found)

    def _stack_global(self, code: int, fence: int) -> None:
        self._stack[-2:] = [self._import(*self._stack[-2:])]

    def _obj(self, code: int, fence: int) -> None:
        items = self._to_mark()
        if not items:
            raise underflow()
        self._stack.append(self._call(items[0], short(items[1:])))

    def _reduce(self, code: int, fence: int) -> None:
        need = NEED[code]
        called, args = self._stack[-need], self._stack[1 - need]
        self._stack[-need:] = [self._call(called, args, code != op.REDUCE)]

    def _extension(self, code: int, fence: int) -> None:
        self._reader.skip(1 << (code - op.EXT1))
        self._stack.append(self._import(None, None))

    def _proto(self, code: int, fence: int) -> None:
        self._protocol = self._reader.number(1)
        if self._protocol > 5:
            raise Unparsable(f"a pickle of protocol {self._protocol}")

    def _framed(self, code: int, fence: int) -> None:
        size = self._reader.number(8)
        self._frame = self._reader.tell() + size

    def _long(self, code: int, fence: int) -> None:
        size = self._reader.number(1 if code == op.LONG1 else 4)
        if size >= 1 << 31:
            raise Unparsable("a pickle with a length that cannot be")
        if size > 16:
            self._reader.skip(size)
            self._stack.append(None)
        else:
            self._stack.append(int.from_bytes(self._reader.take(size), "little", signed=True))

    def _line(self, code: int, fence: int) -> None:
        line = self._reader.line(LINE)
        if code in (op.STRING, op.UNICODE):
            self._stack.append(spelled(line, quoted=code == op.STRING))
        elif code == op.PERSID or code == op.FLOAT:
            self._stack.append(None)
        else:
            self._stack.append(integer(line))

    def _build(self, code: int, fence: int) -> None:
        self.calls += 1
        state = self._stack.pop()
        target = self._stack[-1]
        if type(target) is Import:
            self._notes.imported(UNRESOLVED)
        elif type(target) is Made and target.of == "dtype":
            target.state = state
        elif type(target) is Made and self._arrays:
            if self._reader.tell() < self._frame:
                raise Unparsable("an array of joblib inside a frame of its pickle")
            if passed(self._reader, target, state):
                self.inside()
            self._stack[-1] = None

    def _to_mark(self, below: int = 0) -> list[Any]:
        """What is above the mark, which goes; `below` objects must be under it."""
        if not self._marks:
            raise Unparsable("a pickle that misses a mark")
        start = self._marks.pop()
        if start - below < (self._marks[-1] if self._marks else 0):
            raise underflow()
        items = self._stack[start:]
        del self._stack[start:]
        return items

    def _decimal(self) -> int:
        index = integer(self._reader.line(100))
        if index is None or index < 0:
            raise Unparsable("a pickle with an index that is no number")
        return index

    def _import(self, module: Any, name: Any) -> Import | None:
        known = type(module) is bytes and type(name) is bytes
        found = imported(module, name, self._protocol) if known else None
        self._notes.imported(UNRESOLVED if found is None else found.shown)
        self.wrapped |= wraps(found)
        return found

    def _call(self, called: Any, args: Any, new: bool = False) -> Any:
        self.calls += 1
        args = args if type(args) is tuple else None  # the unpickler takes nothing else
        if wraps(called) and new:
            return Made("wrapper")
        if type(called) is Import and called.pair == GETATTR:
            found = attribute(args)
            self._notes.imported(UNRESOLVED if found is None else found.shown)
            return found
        if type(called) is Import and called.pair == DTYPE:
            return Made("dtype", args or ())
        return Made("odd") if self.wrapped and (args is None or any(map(wraps, (called, *args)))) else None

    def _changed(self, target: Any, items: list[Any]) -> None:
        """Items were added to `target`: keys and values, if it is a dict."""
        if type(target) is Import:
            self.calls += 1  # of a method that the thing may have
            self._notes.imported(UNRESOLVED)
        elif type(target) is Made:
            if target.of != "dict" or any(type(key) is not bytes for key in items[::2]):
                target.of = "odd"
            elif len(target.items) + len(items) > 2 * MOST_ITEMS:
                target.of, target.items = "odd", {}
            else:
                target.items.update(zip(items[::2], items[1::2], strict=False))


#: Objects that must be on the stack above the last mark.
NEED = {
    op.DUP: 1, op.PUT: 1, op.LONG_BINPUT: 1, op.STACK_GLOBAL: 2, op.REDUCE: 2, op.NEWOBJ: 2, op.NEWOBJ_EX: 3,
    op.BUILD: 2, op.APPEND: 2, op.SETITEM: 3,
}  # fmt: skip

RARE: dict[int, Callable[[Machine, int, int], None]] = {
    op.POP: Machine._pop,
    op.POP_MARK: Machine._pop_mark,
    op.DUP: Machine._dup,
    op.EMPTY_DICT: Machine._empty_dict,
    op.STACK_GLOBAL: Machine._stack_global,
    op.OBJ: Machine._obj,
    op.BUILD: Machine._build,
    op.PROTO: Machine._proto,
    op.FRAME: Machine._framed,
    **dict.fromkeys((op.GLOBAL, op.INST), Machine._global),
    **dict.fromkeys((op.PUT, op.LONG_BINPUT), Machine._put),
    **dict.fromkeys((op.GET, op.LONG_BINGET), Machine._get),
    **dict.fromkeys((op.TUPLE, op.LIST, op.FROZENSET, op.DICT), Machine._collect),
    **dict.fromkeys((op.APPEND, op.SETITEM), Machine._add),
    **dict.fromkeys((op.APPENDS, op.SETITEMS, op.ADDITEMS), Machine._add_all),
    **dict.fromkeys((op.REDUCE, op.NEWOBJ, op.NEWOBJ_EX), Machine._reduce),
    **dict.fromkeys((op.EXT1, op.EXT2, op.EXT4), Machine._extension),
    **dict.fromkeys((op.LONG1, op.LONG4), Machine._long),
    **dict.fromkeys((op.INT, op.LONG, op.FLOAT, op.PERSID, op.STRING, op.UNICODE), Machine._line),
}


def underflow() -> Unparsable:
    return Unparsable("a pickle that takes more off its stack than is there")
