"""Stored responses on disk, with those lately used in memory.

A lookup that began before a write may end after it with the old row: it is answered, and not kept in memory. Failing
lookups are misses (the proxy then passes through); failing writes raise OSError.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from ..core.messages import StoredResponse
from ..troubles import Trouble
from . import records
from .index import ROW, Index, response_key
from .lanes import Lanes
from .memory import Memory
from .room import Room
from .seen import Seen

log = logging.getLogger(__name__)


class DiskResponses:
    def __init__(self, index: Index, room: Room, lanes: Lanes, memory: Memory, seen: Seen) -> None:
        self._index, self._room, self._lanes = index, room, lanes
        self._memory, self._seen = memory, seen
        self.lookups = Trouble(log, "lookups in the cache fail, and count as misses")
        self._writes = 0  # begun and ended

    def peek(self, key: str) -> Sequence[StoredResponse] | None:
        found: tuple[StoredResponse, ...] | None = self._memory.get(row := response_key(key))
        if found is not None:
            self._seen.row(row)
        return found

    async def get(self, key: str) -> Sequence[StoredResponse]:
        try:
            return await self.read(key)
        except OSError as error:
            self.lookups.came(str(error))
            return ()

    async def read(self, key: str) -> Sequence[StoredResponse]:
        if (found := self.peek(key)) is not None:
            return found
        mark = self.mark()
        variants, size = await self._lanes.read(self._index.responses, key)
        self.lookups.over()
        if variants:
            self.remember(mark, {key: (variants, size)})
        return variants

    def mark(self) -> tuple[int, int]:
        """A point in time: what is read after it may be kept by `remember` if nothing was written since."""
        return self._writes, self._memory.epoch

    def remember(self, mark: tuple[int, int], rows: Mapping[str, tuple[tuple[StoredResponse, ...], int]]) -> None:
        for key, (variants, size) in rows.items():
            self._seen.row(response_key(key))
            if mark == self.mark():
                self._memory.put(response_key(key), variants, _cost(size))

    async def put(self, key: str, variants: Sequence[StoredResponse]) -> None:
        """Raises OSError when the disk refuses; what was there before may or may not be there still."""
        row = records.pack_responses(variants)
        self._begin(key)
        try:
            if variants:
                await self._lanes.write(
                    self._room.spend, len(row) + ROW, "", lambda: self._index.put_responses(key, row)
                )
                self._memory.put(response_key(key), tuple(variants), _cost(len(row)))
            else:
                await self._lanes.write(self._index.drop_responses, key)
                self._memory.drop(response_key(key))
        finally:
            self._writes += 1

    async def invalidate(self, prefix: str) -> int:
        self._writes += 1
        try:
            return await self._lanes.write(self._index.invalidate, prefix)
        finally:
            self._writes += 1
            self._memory.age()

    async def listing(
        self, prefix: str, after: str = "", limit: int = 1000
    ) -> list[tuple[str, tuple[StoredResponse, ...]]]:
        """(key, variants) in the order of keys, of those with `prefix` that follow `after`. For people."""
        return await self._lanes.read(self._index.found, prefix, after, limit)

    def _begin(self, key: str) -> None:
        self._writes += 1
        self._memory.drop(response_key(key))


def _cost(row: int) -> int:
    """Bytes that parsed variants take, from the bytes of their row (measured: about five times as many)."""
    return 700 + 5 * row
