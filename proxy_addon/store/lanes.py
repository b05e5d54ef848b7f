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
        self._readers = _Lane(READERS, "store-read")
        self._index = _Lane(1, "store-index")
        self._pieces = _Lane(1, "store-pieces")

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
                try:
                    for shelf in self._shelves:
                        shelf.heal(broken)
                except OSError as error:  # that a new one cannot be made tells nothing of the work
                    raise broken from error
        return work()

    def close(self) -> None:
        """Wait for all work, and close the connections, each in its own thread."""
        for lane in (self._index, self._pieces, self._readers):
            lane.close(self._farewell)

    def _farewell(self) -> None:
        for shelf in self._shelves:
            shelf.close()


class _Lane(ThreadPoolExecutor):
    """Threads that are begun as they are needed; each that was begun says its farewell, one after the other.

    Only they know how many they are: a pool counts a thread that is given work just as it has none as idle, and begins
    no other for what comes next. So each waits until all that were begun have left, not until so many have.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most, self._ending = most, _Ending()
        super().__init__(most, name, self._ending.begun)

    def close(self, farewell: Callable[[], None]) -> None:
        for _ in range(self._most):  # enough: until all have left nobody takes two
            self.submit(self._ending.leave, farewell)
        self.shutdown()


class _Ending:
    """Of the threads of one pool, which hold this and not the pool: else it would not end when it is forgotten."""

    def __init__(self) -> None:
        self._lock, self._all_left = threading.Lock(), threading.Event()
        self._here = set[int]()

    def begun(self) -> None:
        with self._lock:
            self._here.add(threading.get_ident())

    def leave(self, farewell: Callable[[], None]) -> None:
        try:
            with self._lock:  # the last to close folds the log into the database; two at once leave it to each other
                farewell()
        finally:
            self._left()

    def _left(self) -> None:
        with self._lock:
            self._here.discard(threading.get_ident())
            if not self._here:
                self._all_left.set()  # for good: who begins from here on has nothing open
        self._all_left.wait()


async def _settled[T](job: Future[T]) -> T:
    waiting = asyncio.wrap_future(job)
    try:
        return await asyncio.shield(waiting)
    except asyncio.CancelledError:
        waiting.add_done_callback(_heard)
        await asyncio.wait((waiting,))
        raise
    finally:
        del job, waiting  # a fault that leads back to itself would hold, until it is collected, what was to be written


def _heard(job: asyncio.Future[Any]) -> None:
    """Nobody waits for it any more: what became of it is not to be told as an exception that was lost."""
    if not job.cancelled():
        job.exception()
