"""The memory tier: least recently used goes first, counted in bytes, values ready for use.

Two kinds share the bound. Bytes of a sealed blob are right for ever. What another process may overwrite (stored
responses, manifests) belongs to an epoch: `age` begins a new one and makes all of it unseen at a stroke; it is looked
up again and costs no scan. Only the event loop's thread may call.
"""

from __future__ import annotations

from typing import Any

import cachetools

SMALL = 64 * 1024  # bytes of the largest blob that is kept here
_ALWAYS = -1
_Entry = tuple[int, int, Any]  # cost in bytes, epoch, value


class Memory:
    def __init__(self, limit: int) -> None:
        self._entries: cachetools.LRUCache[str, _Entry] = cachetools.LRUCache(limit, getsizeof=lambda entry: entry[0])
        self.epoch = 0

    def get(self, key: str) -> Any | None:
        try:
            _, epoch, value = self._entries[key]
        except KeyError:
            return None
        return value if epoch == self.epoch or epoch == _ALWAYS else None

    def put(self, key: str, value: Any, cost: int, *, immutable: bool = False) -> None:
        """Keep `value`, unless it alone is over the bound; `cost` in bytes."""
        if cost > self._entries.maxsize:
            self.drop(key)
        else:
            self._entries[key] = (cost, _ALWAYS if immutable else self.epoch, value)

    def drop(self, key: str) -> None:
        self._entries.pop(key, None)

    def clear(self) -> None:
        """What was right for ever was not."""
        self._entries.clear()

    def age(self) -> None:
        self.epoch += 1

    @property
    def used(self) -> int:
        """Bytes, as the costs say."""
        return int(self._entries.currsize)
