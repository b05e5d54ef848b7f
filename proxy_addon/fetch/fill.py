"""A fill: bringing a blob's missing pieces from upstream, for all who read it at once.

Readers say which bytes they want; a few connections fetch runs of missing pieces, nearest need first, into buffers of
one piece. Bytes can be read from the buffer as they land, and from the store once the piece is written. So everybody
streams from the first byte, memory is one or two pieces a connection, and a range costs the pieces it touches.

The invariant: **the tail of a blob is released only after size and digest hold**, whenever all of the blob is here or
on its way. Until then the last `TAIL` bytes wait, so that no client can end with a complete file of wrong bytes. When
the digest fails the blob is dropped and every reader is cut short. A lone range of a blob that nobody wants whole
cannot be proven by its digest; it is given out under the upstream's validator, and proven when the rest has come.

A fill outlives its readers: once somebody wanted the whole it goes on without them if what remains is no more than what
is already here, or than `CHEAP` bytes; otherwise it stops when the pieces that were begun have come, and these serve
the next one.

When the disk refuses a piece the fill goes on *diskless*: pieces stay in memory while a reader is within `NEAR` pieces
of them, or the proof within twice that, and no reader runs further ahead of the proof. Who comes later makes his own.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_left
from collections.abc import Callable, Coroutine
from dataclasses import replace
from itertools import count, islice

from ..core.errors import BodyLost, FillOver, IntegrityError, UpstreamFailed
from ..store.contract import PIECE, UNIT, Blobs, Manifest, PieceMissing, Unchecked
from .pieces import ANY, MOVED, Landing, Pieces
from .proof import Proof
from .transfer import RangesIgnored, Source, Transfer
from .wants import Want

TAIL = 64 * 1024  # bytes
CHEAP = 64 * 1024 * 1024  # bytes
LONGEST_RUN = 8  # pieces in one upstream request
NEAR = 8  # pieces
TRIES = 3  # times that a piece is stored
UNUSED = 10.0  # seconds until a fill is given up whose only client left before reading
log = logging.getLogger(__name__)


class Fill:
    """Made with its blob pinned; unpins it when it closes."""

    def __init__(
        self,
        blobs: Blobs,
        manifest: Manifest,
        present: set[int],
        source: Source,
        *,
        connections: int,
        slots: asyncio.Semaphore,
        closed: Callable[[Fill], None],
        refused: Callable[[str, Exception], None],
        alone: bool = False,
        diskless: bool = False,
    ) -> None:
        self.manifest, self.diskless = manifest, diskless
        self.refills = manifest.sealed  # no proof to come: each piece is checked against the digests on record
        self.pieces = Pieces(manifest, present)
        self.error: Exception | None = None
        self._blobs, self._source, self._closed, self._refused = blobs, source, closed, refused
        self._slots, self._connections, self._alone = slots, connections, alone  # alone: one for all, without ranges
        self.proof = Proof(blobs, self.pieces, self.hungry, self.lost)
        self._proving: asyncio.Task[None] | None = None
        self._wants, self._rest, self._turns = set[Want](), Want(0, manifest.size), count(1)
        self._transfers: set[asyncio.Task[None]] = set()
        self._whole = self._discarded = False  # everything was asked for; wrong bytes came, and nothing more is stored
        self._supervisor: asyncio.Task[None] | None = None
        self._kick = asyncio.Event()
        self._unused = asyncio.get_running_loop().call_later(UNUSED, self.give_up)

    # -- readers ----------------------------------------------------------------------------------------------------

    def join(self, start: int, end: int) -> Want:
        self._wants.add(want := Want(start, end))
        self._whole = self._whole or (start == 0 and end == self.manifest.size)
        self._unused.cancel()
        if self._supervisor is None:
            self._supervisor = asyncio.create_task(self._supervise())
        self._kick.set()
        return want

    def leave(self, want: Want) -> None:
        self._wants.discard(want)
        self._kick.set()
        self.pieces.notify_all()

    def limit(self) -> int:
        """How far bytes may be given out now."""
        held = not self.manifest.sealed and self._all_coming()
        return max(0, self.manifest.size - TAIL) if held else self.manifest.size

    def hungry(self) -> None:
        """A reader, or the proof, has come to the end of what is here."""
        if self.diskless:
            self._kick.set()
            self.pieces.notify(MOVED)

    def lost(self, piece: int, came: int | None = None) -> None:
        """A piece that was here is gone (evicted, or bad on disk): fetch it again, unless that was done. What the disk
        takes and does not give back is not left to it without end."""
        self.diskless = self.diskless or (came or 0) >= TRIES
        self.pieces.lost(piece, came)
        self._kick.set()

    def give_up(self) -> None:
        """Close what nobody has joined."""
        if self._supervisor is None:
            self._unused.cancel()
            self._close()

    def cancel(self, why: Exception) -> None:
        """Stop now; every reader is cut short."""
        if self.error is None:
            self.error = why
        self.pieces.notify_all()
        self._kick.set()

    # -- what to do next --------------------------------------------------------------------------------------------

    def _all_coming(self) -> bool:
        """Every piece that is neither here nor hashed is wanted, so the whole can be proven before long."""
        if self._worth_finishing():
            return True
        spans = sorted(want.span for want in self._wants)
        reach, at, absent = 0, 0, self.pieces.absent
        for index in islice(absent, bisect_left(absent, self.proof.done), None):
            while at < len(spans) and spans[at][0] <= index:
                reach, at = max(reach, spans[at][1]), at + 1
            if index >= reach:
                return False
        return True

    def _worth_finishing(self) -> bool:
        if not self._whole or self.manifest.sealed or self.diskless:
            return False
        remaining = (self.manifest.pieces - len(self.pieces.present)) * PIECE
        return remaining <= max(CHEAP, self.manifest.size - remaining)

    def _wanted(self) -> bool:
        return bool(self._wants) or self._worth_finishing()

    def _next_run(self) -> range | None:
        """The run of missing pieces nearest to a reader's need; of those who are equally near to who has had none for
        the longest time. When places are scarce each fill has one."""
        if self.error is not None or len(self._transfers) >= (1 if self._slots.locked() else self._connections):
            return None
        absent, wants = self.pieces.absent, [*self._wants, *([self._rest] if self._worth_finishing() else [])]
        needs = [(want, *want.span) for want in wants]
        if self.diskless:
            proven = self.proof.done + 2 * NEAR if self._proving is not None else 0
            needs = [(want, a, min(last, a + NEAR, proven if a < proven else last)) for want, a, last in needs]
        near = [(want, here, bisect_left(absent, here), last) for want, here, last in needs]
        near = [each for each in near if each[2] < len(absent) and absent[each[2]] < each[3]]
        if not near:
            return None
        want, _, at, last = min(near, key=lambda each: (absent[each[2]] - each[1], each[0].turn))
        want.turn = next(self._turns)
        size, longest = 1, max(1, min(LONGEST_RUN, len(absent) // (2 * self._connections)))
        while size < longest and at + size < len(absent) and absent[at + size] == absent[at] + size < last:
            size += 1
        return self.pieces.take(at, size)

    # -- doing it ---------------------------------------------------------------------------------------------------

    async def _supervise(self) -> None:
        try:
            while self.error is None:
                self._kick.clear()
                if self._proving is None and not self.manifest.sealed and self._all_coming():
                    self._proving = self._begin(self._prove())
                while run := self._next_run():
                    if self._alone:
                        self.pieces.give_back(run)
                        run = self.pieces.take_all()
                    self._transfers.add(self._begin(self._fetch(run)))
                    await asyncio.sleep(0)  # so that it has its place before anybody's second
                proving = self._proving and not self._proving.done() and self.pieces.all_stored
                if not (self._transfers or proving or self._wanted()):
                    return
                if not (self._transfers or self.pieces.absent):
                    self.pieces.rest()
                await self._kick.wait()
        finally:
            self._close()

    def _close(self) -> None:
        self._closed(self)
        self.error = self.error or FillOver("the fill is over")  # for who joins too late
        for task in self._transfers | ({self._proving} if self._proving else set()):
            task.cancel()
        self.pieces.let_go()
        self._blobs.unpin(self.manifest.blob)

    def _begin(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._transfers.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._fail(fault)
        self._kick.set()

    def _fail(self, fault: BaseException) -> None:
        if not isinstance(fault, UpstreamFailed | IntegrityError | BodyLost | OSError):
            log.error("fill of %s failed", self.manifest.blob, exc_info=fault)
        self.cancel(fault if isinstance(fault, Exception) else BodyLost("the fill was cancelled"))

    async def _fetch(self, run: range) -> None:
        try:
            async with self._slots:
                transfer = Transfer(self.pieces, self._source, self._write, self._wanted, self._early, self._check)
                await transfer.bring(run, alone=self._alone)
        except RangesIgnored:
            self._connections, self._alone = 1, True
        except IntegrityError:
            await self._discard()
            raise

    async def _check(self, index: int, landing: Landing) -> None:
        """What comes again is given out unit by unit: of a slow hub nobody waits for a whole piece."""
        begun = landing.checked
        if self.refills and landing.filled >= begun + UNIT:
            data = memoryview(landing.buffer)[begun : landing.filled]
            landing.checked = begun + await self._blobs.agreeing(self.manifest.blob, index, begun, data)
            self.pieces.notify(index)  # they may have been told of these bytes before they could have them

    async def _write(self, index: int, landing: Landing) -> None:
        if self.refills or not (self.diskless or self._discarded):
            try:
                await self._blobs.write_piece(self.manifest.blob, index, memoryview(landing.buffer))
            except OSError as fault:
                if self.refills and isinstance(fault, Unchecked | FileNotFoundError):
                    raise  # nothing else tells that the piece is right
                if not self._discarded:  # else the blob was dropped by us, which is no fault of the disk
                    self._refused(self.manifest.blob, fault)
                    self.diskless, landing.checked = True, landing.filled  # the store compares before it writes
                    self.pieces.notify_all()
            else:
                if not self.diskless:
                    return self.pieces.stored(index)
                landing.checked = landing.filled
                self.pieces.notify(index, ANY)
        self._trim()

    def _trim(self) -> None:
        """Without a disk: forget what is near to no reader, nor to the proof."""
        near = [(here, min(last, here + NEAR)) for here, last in (want.span for want in self._wants)]
        if self._proving is not None:
            near.append((self.proof.done, self.proof.done + 2 * NEAR))
        for index in [i for i, landing in self.pieces.landing.items() if landing.full]:
            if not any(here <= index < last for here, last in near):
                self.pieces.forget(index)

    def _early(self, index: int) -> bool:
        """Without a disk: whether the piece would be forgotten before those came to it who are still behind. Whoever
        waits for a piece that has gone by is not waited for: only another stream brings it."""
        if not self.diskless:
            return False
        if self._proving is not None and self.proof.done + 2 * NEAR <= index and self.pieces.here(self.proof.done):
            return True
        behind = [here for here, last in (want.span for want in self._wants) if here <= index < last]
        return bool(behind) and max(behind) + NEAR <= index and any(map(self.pieces.here, behind))

    async def _discard(self, wrong: IntegrityError | None = None) -> None:
        """What came cannot be trusted. Until that is done newcomers join this fill, and end with it."""
        if not (self.manifest.sealed or self._discarded):
            self._discarded, blob = True, self.manifest.blob
            with self.pieces.whole() as landed:
                try:
                    await (self._blobs.condemn(blob, wrong.found, landed) if wrong else self._blobs.renounce(blob))
                except OSError as fault:  # whoever resumes it finds out as we did
                    self._refused(f"{blob} is wrong, and stays", fault)

    async def _prove(self) -> None:
        try:
            await self.proof.establish()
            while not (self.diskless or self.pieces.all_stored):
                await self.pieces.progress(ANY)
            if not self.diskless:
                await self._seal()
        except IntegrityError as fault:
            await self._discard(fault)
            raise
        self.manifest = replace(self.manifest, sealed=True)
        self.pieces.notify_all()

    async def _seal(self) -> None:
        try:
            await self._blobs.seal(self.manifest.blob, public=self.manifest.public)
        except (OSError, PieceMissing) as fault:
            self._refused(f"{self.manifest.blob} is proven, and not kept", fault)
