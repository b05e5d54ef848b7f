"""The store's threads: disk work leaves the event loop here, and comes back here.

One thread writes pieces, one writes the index, a few read: a lookup never waits behind a 4 MiB write, and SQLite sees
one writer at a time. A coroutine that writes does not end, cancelled or not, before its write has: the caller may reuse
the buffer that it lent. A damaged database is replaced and the call made again.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from .rows import BrokenRows
from .shelf import Shelf

READERS = 4


class Lanes:
    def __init__(self, *shelves: Shelf) -> None:
        self._shelves = shelves
        self._closing = threading.Lock()
        self._readers = ThreadPoolExecutor(READERS, "store-read")
        self._index = ThreadPoolExecutor(1, "store-index")
        self._pieces = ThreadPoolExecutor(1, "store-pieces")

    def submit[**P, T](self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run on a reading thread; for whoever must know when the thread is done with his buffer."""
        return self._readers.submit(self._guarded, partial(work, *args, **kwargs))

    async def read[**P, T](self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.wrap_future(self._readers.submit(self._guarded, partial(work, *args, **kwargs)))

    async def write[**P, T](self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await _settled(self._index.submit(self._guarded, partial(work, *args, **kwargs)))

    async def write_pieces[**P, T](self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await _settled(self._pieces.submit(self._guarded, partial(work, *args, **kwargs)))

    def _guarded[T](self, work: Callable[[], T]) -> T:
        for _ in self._shelves:  # each may turn out damaged
            try:
                return work()
            except BrokenRows as broken:
                for shelf in self._shelves:
                    shelf.heal(broken)
        return work()

    def close(self) -> None:
        """Wait for all work, and close the connections, each in its own thread."""
        for pool, threads in ((self._index, 1), (self._pieces, 1), (self._readers, READERS)):
            together = threading.Barrier(threads)
            for _ in range(threads):
                pool.submit(self._farewell, together)
            pool.shutdown()

    def _farewell(self, together: threading.Barrier) -> None:
        together.wait(60)
        with self._closing:  # the last to close folds the log into the database; two at once leave it to each other
            for shelf in self._shelves:
                shelf.close()


async def _settled[T](job: Future[T]) -> T:
    waiting = asyncio.wrap_future(job)
    try:
        return await asyncio.shield(waiting)
    except asyncio.CancelledError:
        waiting.add_done_callback(_heard)
        await asyncio.wait((waiting,))
        raise


def _heard(job: asyncio.Future[Any]) -> None:
    """Nobody waits for it any more: what became of it is not to be told as an exception that was lost."""
    if not job.cancelled():
        job.exception()
