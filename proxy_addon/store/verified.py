"""Pieces together with their digests: the only code that knows both databases.

A piece counts when its bytes *and* its digests are here, and the digests are written last: whenever a write is killed,
the piece is whole or absent. Digests outlive the bytes, so what is fetched again must be what was there. A sealed blob
that has lost digests can no longer be checked; it is forgotten whole. Every method blocks; any thread may call.
"""

from __future__ import annotations

import contextlib
import logging
import os
from dataclasses import dataclass

from ..core.errors import IntegrityError
from ..core.messages import Buffer
from . import records
from .contract import UNIT, Manifest, PieceMissing
from .index import INLINE, ROW, Index
from .pieces import Pieces
from .room import Room

log = logging.getLogger(__name__)
WILLNEED = getattr(os, "POSIX_FADV_WILLNEED", None)


@dataclass(slots=True, eq=False)
class OpenPiece:
    """One piece ready to be read: a file, or, for a small blob, its bytes."""

    number: int
    size: int
    digests: bytes
    name: str | None = None
    fd: int = -1
    data: bytes | None = None

    def fill(self, buffer: memoryview, offset: int) -> bool:
        """Read and check the unit at `offset`, blocking; False when it is not what it was."""
        done = 0
        with contextlib.suppress(OSError):
            while done < len(buffer) and (count := os.preadv(self.fd, [buffer[done:]], offset + done)):
                done += count
        return done == len(buffer) and self.matches(buffer, offset)

    def matches(self, unit: Buffer, offset: int) -> bool:
        return records.unit_matches(unit, self.digests, offset // UNIT)

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class VerifiedPieces:
    def __init__(self, index: Index, pieces: Pieces, room: Room) -> None:
        self._index, self._pieces, self._room = index, pieces, room
        self.bad = 0  # pieces found damaged

    def present(self, blob: str) -> set[int]:
        recorded = self._index.recorded(blob)
        if recorded == {0} and self._index.small(blob) is not None:
            return recorded
        return recorded & self._pieces.indices(blob)

    def write(self, blob: str, number: int, data: Buffer) -> None:
        manifest = self._index.registered(blob)
        if not 0 <= number < manifest.pieces or len(data) != manifest.piece_size(number):
            raise ValueError(f"{blob}: piece {number} of {len(data)} bytes")
        digests = records.unit_digests(data)
        known = self._index.digests(blob, number)
        if known is None and manifest.sealed:
            self._forsake(blob)
            self._index.registered(blob)
        if known is not None and known != digests:
            raise IntegrityError(f"{blob}: piece {number} differs from what it was")

        def keep() -> None:
            if manifest.size <= INLINE:
                return self._index.record(blob, number, digests, data)
            self._pieces.put(blob, number, data)
            try:
                self._index.record(blob, number, digests)
            except OSError:
                self._discard(blob, number)
                raise

        self._room.spend(len(data) + ROW, blob, keep)

    def open(self, manifest: Manifest, number: int) -> OpenPiece:
        """Raises `PieceMissing`."""
        blob, size = manifest.blob, manifest.piece_size(number)
        digests = self._index.digests(blob, number)
        if digests is None:
            if manifest.sealed:
                self._forsake(blob)
            raise PieceMissing(blob, number)
        if manifest.size <= INLINE:
            data = self._index.small(blob)
            if data is None:
                raise PieceMissing(blob, number)
            return OpenPiece(number, size, digests, data=data)
        found = self._pieces.locate(blob, number)
        while found is not None and found.size == size:
            try:
                fd = os.open(found.path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:  # evicted or rewritten just now: there is another name, or none
                again = self._pieces.locate(blob, number)
                if again == found:
                    break
                found = again
            except OSError as error:
                log.warning("piece %s of %s cannot be opened: %s", number, blob, error)
                raise PieceMissing(blob, number) from error
            else:
                if WILLNEED is not None:
                    os.posix_fadvise(fd, 0, 0, WILLNEED)
                return OpenPiece(number, size, digests, found.name, fd)
        if found is not None:
            self._pieces.discard(blob, number, found.name)
        raise PieceMissing(blob, number)

    def reject(self, blob: str, piece: OpenPiece) -> None:
        """The piece is damaged: drop it, unless another took its place or it is dropped already."""
        if piece.name is None:
            self._index.lose_small(blob)
            dropped = True
        else:
            dropped = self._pieces.discard(blob, piece.number, piece.name)
        if dropped:
            self.bad += 1
            log.error("piece %s of %s is damaged on disk: dropped, to be fetched again", piece.number, blob)

    def check(self, manifest: Manifest, number: int) -> bool:
        """Read one piece through and reject it if it is damaged; raises `PieceMissing`."""
        piece, buffer = self.open(manifest, number), memoryview(bytearray(UNIT))
        try:
            good = all(
                piece.fill(buffer[: min(UNIT, piece.size - at)], at)
                if piece.data is None
                else piece.matches(piece.data, at)
                for at in range(0, piece.size, UNIT)
            )
        finally:
            piece.close()
        if not good:
            self.reject(manifest.blob, piece)
        return good

    def _discard(self, blob: str, number: int) -> None:
        with contextlib.suppress(OSError):
            found = self._pieces.locate(blob, number)
            if found is not None:
                self._pieces.discard(blob, number, found.name)

    def _forsake(self, blob: str) -> None:
        manifest = self._index.manifest(blob)
        if manifest is not None and manifest.sealed:
            log.error("%s has lost digests: forgotten whole", blob)
            self._index.forget(blob)
            self._pieces.drop(blob)
