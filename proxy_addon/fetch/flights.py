"""Collapsing: of many who want the same thing at the same time one asks, the others wait for that answer.

For exchanges whose result is small (heads, documents). A flight belongs to nobody: it goes on when its leader leaves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any


class Flights:
    def __init__(self) -> None:
        self._open: dict[str, asyncio.Task[Any]] = {}

    def __len__(self) -> int:
        return len(self._open)

    async def join[T](self, key: str, start: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """The result, and whether somebody else's request brought it. The flight's exception reaches all."""
        task = self._open.get(key)
        collapsed = task is not None
        if task is None:
            task = asyncio.ensure_future(_awaited(start))
            self._open[key] = task
            task.add_done_callback(lambda done: self._land(key, done))
        return await asyncio.shield(task), collapsed

    def _land(self, key: str, task: asyncio.Task[Any]) -> None:
        del self._open[key]
        if not task.cancelled():
            task.exception()  # seen: nobody may be left to await it


async def _awaited[T](start: Callable[[], Awaitable[T]]) -> T:
    return await start()
