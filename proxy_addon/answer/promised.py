"""Work that no reply waits for: it is held on to until it is done, and waited for before what it needs is closed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine


class Promised:
    def __init__(self) -> None:
        self._working: set[asyncio.Task[None]] = set()

    def soon(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._working.add(task)
        task.add_done_callback(self._working.discard)

    async def settle(self) -> None:
        while self._working:
            await asyncio.wait(self._working, timeout=5)
