"""The pieces of one blob while it is being filled: here, landing, or missing; and who waits for which.

A piece is in exactly one of `present` (in the store), `landing` (its buffer is growing, or is full and not yet
written), `absent`, or in the hands of the connection that has just taken its run. Buffers are recycled, but never while
a reader holds a view of one: `Landing.views` counts them.
"""

from __future__ import annotations

import asyncio
from bisect import insort
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from ..core.messages import Buffer
from ..store.contract import PIECE, Manifest

ANY = -1  # waits for whichever piece completes
MOVED = -2  # waits for a reader, or the proof, to want more than is here
WORTHWHILE = 256 * 1024  # bytes that readers are woken for
PATIENCE = 0.02  # seconds after which they are woken for less
_SPARE = 4  # full-sized buffers kept for the next pieces of this fill: fresh ones are paid in page faults


class Landing:
    """A piece on its way in."""

    __slots__ = ("buffer", "checked", "done", "filled", "later", "told", "views")

    def __init__(self, buffer: bytearray) -> None:
        self.buffer, self.filled, self.views, self.done = buffer, 0, 0, False
        self.checked = 0  # bytes that have been compared with the digests on record, if there are any
        self.told = (0, 0.0)  # how far, and when, readers were last told
        self.later = False  # they will be told of the rest, should nothing follow it

    @property
    def full(self) -> bool:
        return self.filled == len(self.buffer)


class Pieces:
    def __init__(self, manifest: Manifest, present: set[int]) -> None:
        self.manifest, self.present = manifest, present
        self.absent = [i for i in range(manifest.pieces) if i not in present]
        self.landing: dict[int, Landing] = {}
        self.came = Counter[int]()  # how often each was stored
        self._waiters: dict[int, set[asyncio.Future[None]]] = {}
        self._spare: list[bytearray] = []
        self._most = _SPARE

    @property
    def all_stored(self) -> bool:
        return len(self.present) == self.manifest.pieces

    # -- waiting ----------------------------------------------------------------------------------------------------

    async def progress(self, index: int) -> None:
        """Wait until something about the piece changed; `ANY`: until one completes. Wakes for nothing at times."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiters.setdefault(index, set())
        waiting.add(future)
        try:
            await future
        finally:
            waiting.discard(future)

    def here(self, index: int) -> bool:
        return index in self.present or index in self.landing

    def landed(self, index: int, landing: Landing, now: float) -> None:
        """Tell readers of new bytes, but not at once of every few: each wakes all of them, and each sends what it
        sees."""
        filled, when = landing.told
        if landing.full or landing.filled - filled >= WORTHWHILE or now - when >= PATIENCE:
            landing.told = landing.filled, now
            self.notify(index)
        elif not landing.later:
            landing.later = True
            asyncio.get_running_loop().call_later(PATIENCE, self._tell, index, landing)

    def _tell(self, index: int, landing: Landing) -> None:
        landing.later = False
        if landing.filled > landing.told[0]:
            landing.told = landing.filled, landing.told[1] + PATIENCE
            self.notify(index)

    def notify(self, *indices: int) -> None:
        for index in indices:
            for future in self._waiters.pop(index, ()):
                if not future.done():
                    future.set_result(None)

    def notify_all(self) -> None:
        self.notify(*self._waiters)

    # -- coming and going -------------------------------------------------------------------------------------------

    def room(self, index: int) -> Landing | None:
        """The buffer that the piece lands in; None if it is here already."""
        if index in self.present:
            return None
        landing = self.landing.get(index)
        if landing is None:
            size = self.manifest.piece_size(index)
            spare = self._spare and size == PIECE
            landing = self.landing[index] = Landing(self._spare.pop() if spare else bytearray(size))
        return landing

    def stored(self, index: int) -> None:
        """The piece is in the store now; its buffer is free."""
        self.came[index] += 1
        self.present.add(index)
        self._free(self.landing.pop(index, None))
        self.notify(index, ANY)

    def forget(self, index: int) -> None:
        """Drop the buffer; the piece is missing again."""
        self._free(self.landing.pop(index, None))
        self.lost(index)

    def lost(self, index: int, came: int | None = None) -> None:
        """A piece that was here is gone: it is missing. Not if it has come again: it had when it was read, `came`
        times. Of many who find the same piece bad only the first has it fetched."""
        if came is not None and came != self.came[index]:
            return
        self.present.discard(index)
        if index not in self.landing and index not in self.absent:
            insort(self.absent, index)

    def take(self, at: int, count: int) -> range:
        """Take `count` consecutive pieces out of `absent`, from its position `at`."""
        first = self.absent[at]
        del self.absent[at : at + count]
        return range(first, first + count)

    def rest(self) -> None:
        """Nothing is on its way: no buffers are needed."""
        self._spare.clear()

    def let_go(self) -> None:
        """It is over. Who still reads has what he reads; what has ended lies in cycles, which are taken apart late."""
        self._most = 0
        self.notify_all()
        self.landing.clear()
        self._spare.clear()

    def take_all(self) -> range:
        self.absent.clear()
        return range(self.manifest.pieces)

    def give_back(self, run: Iterable[int]) -> None:
        """What a connection did not bring is missing again; buffers that are full stay."""
        for index in run:
            landing = self.landing.get(index)
            if landing is not None and not landing.full:
                self._free(self.landing.pop(index))
            if index not in self.present and index not in self.landing and index not in self.absent:
                insort(self.absent, index)
            self.notify(index)

    def first_gap(self, pos: int, end: int) -> int:
        """The first byte at or after `pos` that has not come yet; `end` if all have."""
        while pos < end:
            index = pos // PIECE
            landing = self.landing.get(index)
            if landing is not None and not landing.full:
                return index * PIECE + landing.filled
            if landing is None and index not in self.present:
                return index * PIECE
            pos = (index + 1) * PIECE
        return end

    def view(self, landing: Landing, start: int, end: int) -> Buffer:
        """Bytes of a landing piece; `release` it when done with them."""
        landing.views += 1
        return memoryview(landing.buffer)[start:end]

    @contextmanager
    def whole(self) -> Iterator[dict[int, Buffer]]:
        """What has landed whole and is not written yet; nobody overwrites it meanwhile."""
        landed = {index: landing for index, landing in self.landing.items() if landing.full}
        try:
            yield {index: self.view(landing, 0, landing.filled) for index, landing in landed.items()}
        finally:
            for landing in landed.values():
                self.release(landing)

    def release(self, landing: Landing) -> None:
        landing.views -= 1
        if landing.done:
            self._free(landing)

    def _free(self, landing: Landing | None) -> None:
        if landing is None:
            return
        landing.done = True
        if not landing.views and len(landing.buffer) == PIECE and len(self._spare) < self._most:
            self._spare.append(landing.buffer)
            landing.buffer = bytearray()
