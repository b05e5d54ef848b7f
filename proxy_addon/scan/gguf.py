"""GGUF: the metadata is walked, the templates in it are looked at, and no tensor may lie beyond the end.

Format: versions 1 to 3 of the specification that comes with ggml, in either byte order.
"""

from __future__ import annotations

from typing import Final

from .contract import Budget, Notes, Unparsable
from .sources import Reader, Region
from .templates import reaches

MAGIC: Final = b"GGUF"
MOST_KEYS = 65_536
MOST_ITEMS = 16_000_000  # of all arrays
MOST_TENSORS = 1 << 20
KEY = 65_535  # bytes
_FIXED: Final = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_TEXT, _ARRAY = 8, 9


class _Metadata:
    def __init__(self, reader: Reader, notes: Notes) -> None:
        self._reader, self._notes, self._items = reader, notes, 0
        version = int.from_bytes(reader.take(8)[4:], "little")
        self._order = "little" if version & 0xFFFF else "big"
        self.version = version if self._order == "little" else version >> 24
        if self.version not in (1, 2, 3):
            raise Unparsable(f"GGUF in version {self.version}")
        self._width = 4 if self.version == 1 else 8

    def number(self, size: int) -> int:
        return self._reader.number(size, order=self._order)

    def length(self) -> int:
        return self.number(self._width)

    def key(self) -> bytes:
        size = self.length()
        if size > KEY:
            raise Unparsable("GGUF with a key that is too long")
        return self._reader.take(size)

    def value(self, kind: int, depth: int = 0, template: bool = False) -> None:
        if kind in _FIXED:
            self._reader.skip(_FIXED[kind])
        elif kind == _TEXT:
            self._text(template)
        elif kind == _ARRAY and depth < 4:
            inner, count = self.number(4), self.length()
            self._items += count
            if self._items > MOST_ITEMS:
                raise Budget("budget: GGUF with arrays that are too long")
            if inner in _FIXED:
                self._reader.skip(count * _FIXED[inner])
            else:
                for _ in range(count):
                    self.value(inner, depth + 1, template)
        else:
            raise Unparsable(f"GGUF with a value of type {kind}")

    def _text(self, template: bool) -> None:
        size = self.length()
        if not template:
            self._reader.skip(size)
        elif size > self._notes.limits.text:
            raise Budget("budget: GGUF with a template that is too long")
        else:
            self._notes.templated(reaches(self._reader.take(size).decode("utf-8", "replace")))


def scan(region: Region, notes: Notes) -> None:
    """Raises Unparsable."""
    notes.kinds.append("gguf")
    reader = region.reader()
    metadata = _Metadata(reader, notes)
    tensors, keys = metadata.length(), metadata.length()
    if keys > MOST_KEYS or tensors > MOST_TENSORS:
        raise Budget("budget: GGUF with too many keys or tensors")
    for _ in range(keys):
        key = metadata.key()
        metadata.value(metadata.number(4), template=b"template" in key.lower())
    for _ in range(tensors):
        metadata.key()
        dimensions = metadata.number(4)
        if dimensions > 8:
            raise Unparsable("GGUF with a tensor of too many dimensions")
        reader.skip(dimensions * metadata._width + 4)
        if metadata.number(8) > region.size:
            raise Unparsable("GGUF with a tensor beyond its end")
