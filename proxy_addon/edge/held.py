"""A reply body that is already in memory, read like any other."""

from __future__ import annotations

from proxy_addon.core.messages import Buffer


class HeldBody:
    def __init__(self, content: bytes) -> None:
        self.length: int | None = len(content)
        self._rest = memoryview(content)

    async def read(self, limit: int) -> Buffer:
        piece, self._rest = self._rest[:limit], self._rest[limit:]
        return piece

    def close(self) -> None:
        self._rest = self._rest[:0]
