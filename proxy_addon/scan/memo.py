"""The memo of a pickle: what was put where. What is not held is not known; the number of entries is exact.

MEMOIZE puts at that number, so that it is counted also for what is not held.
"""

from __future__ import annotations

from typing import Any

from .contract import Budget
from .values import Import, Made

REMEMBERED = 200_000  # entries that are held
SCATTERED = 100_000  # entries that are not in a row from 0
_HELD = (bytes, Import, Made)


class Memo:
    def __init__(self) -> None:
        self.held: dict[int, Any] = {}
        self._row, self._beyond = 0, set[int]()

    def put(self, index: int, value: Any) -> None:
        if index == self._row:
            self._row += 1
            while self._beyond and self._row in self._beyond:
                self._beyond.discard(self._row)
                self._row += 1
        elif index > self._row:
            self._beyond.add(index)
            if len(self._beyond) > SCATTERED:
                raise Budget("budget: a memo with too many holes")
        if type(value) in _HELD and (index in self.held or len(self.held) < REMEMBERED):
            self.held[index] = value
        else:
            self.held.pop(index, None)
            if type(value) is Made:
                value.of = "odd"  # it may be changed by a name that is not followed

    def append(self, value: Any) -> None:
        self.put(self._row + len(self._beyond), value)
