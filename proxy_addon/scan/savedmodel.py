"""TensorFlow's SavedModel: operations of its graph that read or write files, or call Python.

The protobuf is walked by field numbers, down to the name of each operation; everything else is passed over.
"""

from __future__ import annotations

from typing import Final

from .contract import Budget, Notes, Unparsable
from .sources import Reader, Region

BEGINS: Final = (b"\x08\x01\x12", b"\x08\x02\x12")
_RUNS = frozenset({b"ReadFile", b"WriteFile", b"MatchingFiles", b"PyFunc", b"PyFuncStateless", b"EagerPyFunc"})
MOST_FIELDS = 5_000_000
OPERATION = "an operation"

#: A message as the fields that matter, by number; the operation's name is a leaf.
type Message = dict[int, Message | str]
_NODE: Final[Message] = {2: OPERATION}
_FUNCTION: Final[Message] = {3: _NODE}
_GRAPH: Final[Message] = {1: _NODE, 2: {1: _FUNCTION}}
_SAVED: Final[Message] = {2: {2: _GRAPH}}


def is_saved_model(name: str, head: bytes) -> bool:
    last = name.lower().rpartition("/")[2]
    return last == "saved_model.pb" or (last.endswith(".pb") and head.startswith(BEGINS))


def scan(region: Region, notes: Notes) -> None:
    """Raises Unparsable."""
    notes.kinds.append("savedmodel")
    _Walk(region.reader(), notes).message(_SAVED, region.size)


def graph(region: Region, notes: Notes) -> bool:
    """A graph that is not in a SavedModel. False if the bytes are none."""
    found = Notes(notes.limits)
    try:
        _Walk(region.reader(), found).message(_GRAPH, region.size)
    except Budget as fault:
        notes.problem(str(fault))
    except Unparsable:
        if not found.imports:
            return False
    for each in found.imports:
        notes.imported(each)
    notes.kinds.append("savedmodel")
    return True


class _Walk:
    def __init__(self, reader: Reader, notes: Notes) -> None:
        self._reader, self._notes, self._fields = reader, notes, 0

    def message(self, wanted: Message, end: int) -> None:
        """Up to byte `end`."""
        reader = self._reader
        while reader.tell() < end:
            self._fields += 1
            if self._fields > MOST_FIELDS:
                raise Budget("budget: a graph with too many operations")
            tag = self._varint()
            field, wire = tag >> 3, tag & 7
            if wire == 0:
                self._varint()
            elif wire in (1, 5):
                reader.skip(8 if wire == 1 else 4)
            elif wire == 2:
                size = self._varint()
                inner = wanted.get(field)
                if reader.tell() + size > end:
                    raise Unparsable("a graph with a field beyond its end")
                if isinstance(inner, dict):
                    self.message(inner, reader.tell() + size)
                elif inner is OPERATION and size <= 64:
                    if (name := reader.take(size)) in _RUNS:
                        self._notes.imported(f"tensorflow.raw_ops.{name.decode()}")
                else:
                    reader.skip(size)
            else:
                raise Unparsable("a graph that is no protobuf")
        if reader.tell() != end:
            raise Unparsable("a graph with a field beyond its end")

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._reader.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise Unparsable("a graph that is no protobuf")
