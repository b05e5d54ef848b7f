"""A store of which any single operation can fail, as if the disk had refused just that one, or all from then on.

An operation is a read or a transaction of a database, the write of a piece's file, its opening, or a read of it. It is
called by its kind and by who in the store asks for it, so that what runs at the same time in other threads changes
nothing of which is meant. What goes on by itself, beside the requests, is not counted.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, NoReturn

import pytest

from proxy_addon.store.disk import BytesDisk
from proxy_addon.store.rows import BrokenRows, Change, Rows

ERRORS = ("ENOSPC", "EROFS", "EIO", "EMFILE", "EBUSY", "broken")
_BESIDE = {"DiskStore._current", "Seen.flush", "Index.tidy", "sweep", "_ownerless", "_folder", "DiskStore._stats"}
_BELOW = tuple(f"{os.sep}{name}.py" for name in ("rows", "disk", "lanes", "reader"))
_STORE = os.sep + os.path.join("proxy_addon", "store") + os.sep


@dataclass(frozen=True)
class Fault:
    """The first operation called `at` fails with `error`; `lasting`: and from then on "all", those of its "kind",
    or those called so ("here")."""

    at: str
    error: str = "EIO"
    lasting: str = ""

    def begins(self, at: str) -> bool:
        return self.at == at

    def goes_on(self, kind: str, at: str) -> bool:
        if self.lasting == "here":
            return self.at == at
        return self.lasting == "all" or (self.lasting == "kind" and self.at.startswith(kind))


@dataclass
class Refusing:
    seen: Counter[str] = field(default_factory=Counter)  # operations since `armed` was entered
    failed: int = 0
    _fault: Fault | None = None
    _counting: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def armed(self, fault: Fault | None) -> Iterator[None]:
        with self._lock:
            self._fault, self.failed, self._counting = fault, 0, True
            self.seen.clear()
        try:
            yield
        finally:
            with self._lock:
                self._fault, self._counting = None, False

    def pass_(self, kind: str, rows: Rows | None = None) -> None:
        """Before the operation: it may fail."""
        if not self._counting or (caller := _caller()) is None:
            return
        with self._lock:
            at, fault = f"{kind} of {caller}", self._fault
            self.seen[at] += 1
            if fault is None or not (fault.begins(at) if not self.failed else fault.goes_on(kind, at)):
                return
            self.failed += 1
        _refuse(fault.error, rows)


def _refuse(error: str, rows: Rows | None) -> NoReturn:
    if error == "broken" and rows is not None:
        raise BrokenRows(rows, "on purpose")
    number = errno.EIO if error == "broken" else int(getattr(errno, error))
    raise OSError(number, f"{os.strerror(number)}, on purpose")


def _caller() -> str | None:
    """The functions of the store that ask, the innermost first; None for what is not counted."""
    frame: FrameType | None = sys._getframe(2)
    found = list[str]()
    while frame is not None:
        code = frame.f_code
        if code.co_qualname in _BESIDE:
            return None
        if _STORE in code.co_filename and not code.co_filename.endswith(_BELOW):
            found.append(code.co_qualname.replace(".<locals>", ""))
        frame = frame.f_back
    return " < ".join(found) or None


@contextmanager
def refusing_disk() -> Iterator[Refusing]:
    made = Refusing()
    select, value, change = Rows.select, Rows.value, Rows.change
    store, open_, preadv = BytesDisk.store, os.open, os.preadv

    def selecting(self: Rows, *args: Any) -> Any:
        made.pass_("select", self)
        return select(self, *args)

    def valuing(self: Rows, key: str) -> bytes | None:
        made.pass_("value", self)
        return value(self, key)

    @contextmanager
    def changing(self: Rows) -> Iterator[Change]:
        if self._open is None:
            made.pass_("begin", self)
        outermost = self._open is None
        with change(self) as begun:
            yield begun
            if outermost:
                made.pass_("commit", self)

    def storing(self: BytesDisk, value: Any, read: bool, key: object = None) -> Any:
        if self.min_file_size == 0:
            made.pass_("write")
        return store(self, value, read, key)

    def opening(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if str(path).endswith(".val") and not flags & os.O_CREAT:
            made.pass_("open")
        return open_(path, flags, *args, **kwargs)

    def reading(*args: Any) -> int:
        made.pass_("read")
        return preadv(*args)

    replaced: list[tuple[Any, str, Callable[..., Any]]] = [
        (Rows, "select", selecting), (Rows, "value", valuing), (Rows, "change", changing),
        (BytesDisk, "store", storing), (os, "open", opening), (os, "preadv", reading),
    ]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for owner, name, new in replaced:
            patch.setattr(owner, name, new)
        yield made
