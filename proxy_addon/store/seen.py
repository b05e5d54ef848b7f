"""When things were last asked for, gathered in memory and written in one go.

A read must not cost a write: times reach the disk once a minute, and before an eviction looks at them. They are what
protects a blob from the other process's eviction, so they are written even while nothing is evicted here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from ..troubles import Trouble
from .index import Index, manifest_key
from .pieces import Pieces
from .rows import BrokenRows

log = logging.getLogger(__name__)


class Seen:
    def __init__(self, index: Index, pieces: Pieces, clock: Callable[[], float]) -> None:
        self._index, self._pieces, self._clock = index, pieces, clock
        self._unwritten = Trouble(log, "access times cannot be written")
        self._rows: dict[str, float] = {}
        self._blobs: dict[str, float] = {}

    def row(self, key: str) -> None:
        self._rows[key] = self._clock()

    def blob(self, blob: str) -> None:
        self._blobs[blob] = self._rows[manifest_key(blob)] = self._clock()

    def flush(self) -> None:
        """Blocks; any thread. A disk that refuses costs only the order of eviction."""
        try:
            if rows := _drained(self._rows):
                self._index.touch(rows)
            if blobs := _drained(self._blobs):
                self._pieces.touch(blobs)
        except BrokenRows:
            raise
        except OSError as error:
            self._unwritten.came(str(error))
        else:
            self._unwritten.over()


def _drained(times: dict[str, float]) -> dict[str, float]:
    """Take out what is there now; another thread may put in meanwhile."""
    return {key: at for key, at in (times.popitem() for _ in range(len(times)))}
