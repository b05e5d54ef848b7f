"""Whether bytes are pickles, and all of the pickles that they are, one after another.

Bytes that begin as protocol 2 and later do, or that are called a pickle, must be one. Others are one if they can be
walked to the end, or would call something before they fail: the unpickler runs what comes before a fault.
What follows a pickle may be loaded too; only PyTorch's older format, known by its magic number, has raw bytes there.

joblib reads raw arrays from the middle of the stream and others do not, so such a stream is read both ways.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from .contract import Budget, Notes, Unparsable
from .sources import Reader
from .walk import Walk

TORCH_MAGIC = 0x1950A86A20F9469CFC6C
TORCH_PICKLES = 5  # magic number, version, system, object, keys of the storages
MOST = 50_000  # pickles in a row
_SURE = (".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle")
_NAMES = (*_SURE, ".p", ".pck", ".pcl", ".pt", ".pth", ".bin", ".ckpt", ".th", ".pdparams", ".pdopt")


def until(notes: Notes) -> float:
    return time.process_time() + notes.limits.seconds


def called_pickle(name: str) -> bool:
    """A name under which nothing but pickles is kept."""
    return name.lower().endswith(_SURE)


def perhaps_pickle(name: str) -> bool:
    """A name under which what cannot be recognised must count as unknown."""
    return name.lower().endswith(_NAMES)


def begins(head: bytes) -> bool:
    return len(head) > 1 and head[0] == 0x80 and head[1] <= 5


def pickles(opened: Callable[[], Reader], name: str, notes: Notes, deadline: float, *, raw: bool = False) -> bool:
    """Walk what `opened()` reads, as often as needed. False if it is no pickle.

    `raw`: no loader takes these bytes for a pickle, so that giving up on them is no problem.
    """
    reader = opened()
    sure, magic = called_pickle(name), begins(reader.peek(2))
    found = Notes(notes.limits)
    first = Walk(reader, found, deadline, arrays=True)
    try:
        first.run()
    except (Unparsable, OverflowError) as fault:
        if not (first.calls or sure or (magic and (found.imports or perhaps_pickle(name)))):
            if isinstance(fault, Budget) and not raw:
                notes.problem(str(fault))
            return False
        found.problem(str(fault))
        wrapped = first.wrapped
    else:
        calls, wrapped = _stacked(reader, first, found, deadline)
        if not (sure or magic or calls) and found.problems:
            return False  # such as a text whose first line is an opcode and a full stop
    _merge(found, notes)
    if wrapped:
        _otherwise(opened(), notes, deadline)
    notes.kinds.append("pickle")
    return True


def _stacked(reader: Reader, first: Walk, notes: Notes, deadline: float, arrays: bool = True) -> tuple[int, bool]:
    """What comes after the first one: calls, its own among them, and whether one of them holds arrays of joblib's."""
    torch = first.value == TORCH_MAGIC and not first.calls
    calls, wrapped = first.calls, first.wrapped
    for _ in range(TORCH_PICKLES - 1 if torch else MOST):
        if not reader.peek(1):
            break
        at = reader.tell()
        walk = Walk(reader, notes, deadline, arrays=arrays and not torch)
        try:
            walk.run()
        except (Unparsable, OverflowError) as fault:
            notes.problem(f"after the pickle that ends at {at}: {fault}")
            return calls + walk.calls, wrapped or walk.wrapped
        calls, wrapped = calls + walk.calls, wrapped or walk.wrapped
    if not torch and reader.peek(1):
        notes.problem("budget: too many pickles in a row")
    return calls, wrapped


def _otherwise(reader: Reader, notes: Notes, deadline: float) -> None:
    """As one who knows nothing of joblib reads it; what such a one cannot read is no problem of joblib's."""
    found = Notes(notes.limits)
    plain = Walk(reader, found, deadline)
    with contextlib.suppress(Unparsable, OverflowError):
        plain.run()
        _stacked(reader, plain, found, deadline, arrays=False)
    found.problems.clear()
    _merge(found, notes)


def _merge(found: Notes, notes: Notes) -> None:
    for each in found.imports:
        notes.imported(each)
    for problem in found.problems:
        notes.problem(problem)


def interleaved(reader: Reader, notes: Notes, deadline: float, gap: Callable[[Reader, Walk], None]) -> None:
    """A number n, then n times a pickle and what `gap` goes past; then pickles to the end. Raises Unparsable."""
    count = Walk(reader, notes, deadline)
    count.run()
    if type(count.value) is not int or not 0 <= count.value <= MOST:
        raise Unparsable("a list of storages without its length")
    for _ in range(count.value):
        each = Walk(reader, notes, deadline)
        each.run()
        gap(reader, each)
    while reader.peek(1):
        Walk(reader, notes, deadline).run()
