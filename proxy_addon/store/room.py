"""How the store stays within its size: who goes, in what order, and what is never touched.

Bytes on disk are the pieces, the pages of both databases, and what is reserved for a piece being written. What no row
names any more goes before anything else; then pieces, of the blob that was longest not asked for, from its end, and no
more of them than are in the way; what is pinned (being read or written here, or kept by a person) stays. Whether that
will suffice is known before the first one goes: a piece that cannot fit costs nobody else's. The index may take a
quarter of the size; above it its own least recently used rows go, a blob's row with all its pieces.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .index import Index
from .pieces import SETTLED, Pieces

INDEX_SHARE = 4  # the index takes at most 1/4
TRIM = 256  # rows of the index that go at once


class Room:
    """Any thread may call. `flush` brings access times up to date; `pinned` says whether a blob must stay."""

    def __init__(
        self, index: Index, pieces: Pieces, size: int, pinned: Callable[[str], bool], flush: Callable[[], None]
    ) -> None:
        self._index, self._pieces, self.size = index, pieces, size
        self._pinned, self._flush = pinned, flush
        self._lock = threading.Lock()
        self._reserved = 0
        self.evicted = 0  # pieces

    def used(self) -> int:
        pieces = self._pieces.rows
        return int(pieces.total()[1]) + self._pieces.stray_bytes() + pieces.pages() + self._index.rows.pages()

    @contextmanager
    def reserved(self, need: int, blob: str = "") -> Iterator[None]:
        """Hold `need` bytes while they are written; nothing of `blob` goes for them. Raises OSError(ENOSPC)."""
        with self._lock:
            self._trim()
            over = self.used() + self._reserved + need - self.size
            if over > 0:
                self._free(over, blob)
            self._reserved += need
        try:
            yield
        finally:
            with self._lock:
                self._reserved -= need

    def spend[T](self, need: int, blob: str, work: Callable[[], T]) -> T:
        """Do `work`, which writes `need` bytes; once more, with as much evicted, if the disk itself is full."""
        with self.reserved(need, blob):
            try:
                return work()
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                with self._lock:
                    self._free(need, blob)
                return work()

    def _free(self, over: int, blob: str) -> None:
        over -= self._pieces.reclaim(SETTLED, over)
        if over <= 0:
            return
        self._flush()
        chosen: list[tuple[str, int]] = []
        missing = over
        for victim, held in self._pieces.oldest():
            if missing <= 0:
                break
            if victim != blob and not self._pinned(victim):
                chosen.append((victim, min(held, missing)))
                missing -= held
        if missing > 0:
            raise OSError(errno.ENOSPC, f"cache is full: {missing} bytes more than can be evicted")
        for victim, need in chosen:
            count, _ = self._pieces.shed(victim, need)
            self.evicted += count

    def _trim(self) -> None:
        share = self.size // INDEX_SHARE
        if self._index.weight() <= share:
            return
        self._flush()
        while (over := self._index.weight() - share * 9 // 10) > 0:
            blobs, responses = [], []
            for tag, key, size in self._index.oldest(TRIM):
                if tag == "R":
                    responses.append(key)
                elif not self._pinned(key[2:]):
                    blobs.append(key[2:])
                else:
                    continue
                over -= size
                if over <= 0:
                    break
            if not blobs and not responses:
                return
            self._index.drop_rows(responses)
            self._index.forget(*blobs)
            self._pieces.drop(*blobs)
            self.evicted += len(blobs)
