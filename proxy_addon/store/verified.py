"""Pieces together with their digests: the only code that knows both databases.

A piece counts when its bytes *and* its digests are here, and the digests are written last: whenever a write is killed,
the piece is whole or absent. Digests outlive the bytes, so what is fetched again must be what was there. A sealed blob
that has lost digests can no longer be checked; it is forgotten whole. Every method blocks; any thread may call.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from ..core.errors import IntegrityError
from ..core.messages import Buffer
from ..troubles import Trouble
from . import records
from .contract import PIECE, UNIT, Manifest, PieceMissing, Unchecked
from .index import INLINE, ROW, Index
from .pieces import Pieces
from .quarantine import Case, Quarantine
from .room import Room
from .rows import BrokenRows

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
    def __init__(self, index: Index, pieces: Pieces, room: Room, quarantine: Quarantine) -> None:
        self._index, self._pieces, self._room, self._quarantine = index, pieces, room, quarantine
        self.bad = 0  # pieces found damaged
        self.unread = Trouble(log, "the cache cannot be read, and is fetched again")

    def present(self, blob: str) -> set[int]:
        recorded = self._index.recorded(blob)
        if recorded == {0} and self._index.small(blob) is not None:
            return recorded
        return recorded & self._pieces.indices(blob)

    def write(self, blob: str, number: int, data: Buffer) -> None:
        try:
            manifest, known = self._on_record(blob, number, len(data))
        except (BrokenRows, FileNotFoundError):
            raise
        except OSError as error:
            raise Unchecked(error.errno, str(error.strerror)) from error
        digests = records.unit_digests(data)
        if known is not None and known != digests:
            self._quarantine.put(_difference("hub", manifest, number, data, known), [(number, data)])
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

    def agreeing(self, blob: str, number: int, start: int, data: Buffer) -> int:
        digests, view, at = self._index.digests(blob, number) or b"", memoryview(data), 0
        while at + UNIT <= len(view) and records.unit_matches(view[at : at + UNIT], digests, (start + at) // UNIT):
            at += UNIT
        return at

    def _on_record(self, blob: str, number: int, size: int) -> tuple[Manifest, bytes | None]:
        manifest = self._index.registered(blob)
        if not 0 <= number < manifest.pieces or size != manifest.piece_size(number):
            raise ValueError(f"{blob}: piece {number} of {size} bytes")
        known = self._index.digests(blob, number)
        if known is None and manifest.sealed:
            self.forsake(blob)
            manifest = self._index.registered(blob)
        return manifest, known

    def open(self, manifest: Manifest, number: int, *, ahead: bool = True) -> OpenPiece:
        """Raises `PieceMissing`. `ahead`: the kernel may begin to read it."""
        blob, size = manifest.blob, manifest.piece_size(number)
        digests = self._index.digests(blob, number)
        if digests is None:
            if manifest.sealed:
                self.forsake(blob)
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
                self.unread.came(f"piece {number} of {blob}: {error}")
                raise PieceMissing(blob, number) from error
            else:
                self.unread.over()
                if ahead and WILLNEED is not None:
                    os.posix_fadvise(fd, 0, 0, WILLNEED)
                return OpenPiece(number, size, digests, found.name, fd)
        if found is not None:
            self._pieces.discard(blob, number, found.name)
        raise PieceMissing(blob, number)

    def reject(self, manifest: Manifest, piece: OpenPiece, case: Case | None = None) -> None:
        """The piece is damaged: set it aside, unless another took its place or it is gone already."""
        blob, number = manifest.blob, piece.number
        contents: Buffer | Path = piece.data or b""
        if piece.name is None:
            dropped = self._index.lose_small(blob)
        else:
            contents = Path(self._pieces.rows.disk.path(piece.name))
            dropped = self._pieces.discard(blob, number, piece.name, leave_file=True)
        if dropped:
            self.bad += 1
            self._quarantine.put(case or self.difference(manifest, piece, "read"), [(number, contents)])
            log.error("piece %s of %s is damaged on disk: dropped, to be fetched again", number, blob)

    def difference(self, manifest: Manifest, piece: OpenPiece, by: str) -> Case:
        """What is wrong with it, as it is read now."""
        data: Buffer = piece.data or b""
        if piece.name is not None:
            with contextlib.suppress(OSError), open(self._pieces.rows.disk.path(piece.name), "rb") as file:
                data = file.read(PIECE + 1)
        return _difference(by, manifest, piece.number, data, piece.digests)

    def condemn(self, case: Case, landed: Mapping[int, Buffer] | None = None) -> None:
        """The blob is wrong as a whole: set aside what is here of it. Or that is wrong which a fill has brought: then
        with `landed`, pieces that were never written, and not what another process has proven meanwhile."""
        blob = case.manifest.blob
        small = self._index.small(blob)
        found = self._index.condemn(blob, proven=landed is None)
        if found is not None and found.sealed and landed is not None:
            return
        contents = dict[int, Path | Buffer](self._pieces.expel(blob))
        if small is not None:
            contents[0] = small
        contents |= {number: data for number, data in (landed or {}).items() if number not in contents}
        if found is not None or contents:
            self._quarantine.put(case, sorted(contents.items(), key=lambda item: item[0]))

    def _discard(self, blob: str, number: int) -> None:
        with contextlib.suppress(OSError):
            found = self._pieces.locate(blob, number)
            if found is not None:
                self._pieces.discard(blob, number, found.name)

    def forsake(self, blob: str) -> None:
        """Forget a sealed blob that can no longer be checked."""
        manifest = self._index.manifest(blob)
        if manifest is not None and manifest.sealed:
            self._index.forget(blob)
            log.error("%s has lost digests: forgotten whole", blob)
            self._pieces.drop(blob)


def _difference(by: str, manifest: Manifest, number: int, data: Buffer, digests: bytes) -> Case:
    """Of a piece that is not what it was: the first unit that tells, and the digests of that."""
    view, size = memoryview(data), manifest.piece_size(number)
    for unit, at in enumerate(range(0, size, UNIT)):
        part = view[at : min(at + UNIT, size)]
        expected = digests[unit * records.DIGEST : (unit + 1) * records.DIGEST]
        if (found := blake3(part).digest()) != expected or len(part) != min(UNIT, size - at):
            where = f"piece {number} is damaged at {number * PIECE + at}"
            short = "" if len(view) == size else f"; it has {len(view)} bytes, not {size}"
            return Case(by, manifest, where + short, f"blake3:{expected.hex()}", f"blake3:{found.hex()}", number)
    return Case(by, manifest, f"piece {number} was damaged, and is right now that it is read again", piece=number)
