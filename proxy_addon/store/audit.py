"""Reads a blob through and says what is wrong with it; mends it by dropping what is, so that it is fetched again.

Every unit is compared with its digest on record, and, when the blob is sealed and all of it is here, the whole with the
digest that is its name: units only show that bytes are what was written, the whole that this was the file. The disk is
read past the page cache where it can be: what is in memory says nothing of the disk, and what clients need shall not be
driven out. Nothing is pinned, no access time changes: a piece that is evicted meanwhile is not missed. A server may
write at the same time, so what does not match is looked up once more before it is called damaged. Blocks.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
from collections.abc import Callable
from dataclasses import dataclass

from ..core.digests import Digest, digest_for
from .contract import UNIT, Manifest, PieceMissing
from .index import Index
from .quarantine import Case
from .records import unit_matches
from .verified import OpenPiece, VerifiedPieces

DIRECT = getattr(os, "O_DIRECT", 0)

type Read = Callable[[int, int], None]
"""Told after each unit: the number of its piece, its bytes. What it raises ends the reading."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`piece` is None when it is about the whole blob."""

    blob: str
    what: str
    piece: int | None = None
    expected: str = ""
    found: str = ""


def unheard(piece: int, size: int) -> None: ...


class Audit:
    def __init__(self, index: Index, pieces: VerifiedPieces) -> None:
        self._index, self._pieces = index, pieces

    def check(self, blob: str, by: str, read: Read = unheard, *, first: int = 0, mend: bool = True) -> list[Finding]:
        """Of a blob that is here, from piece `first` on. Only one that is read from its start is judged as a whole."""
        manifest = self._index.manifest(blob)
        if manifest is None:
            return []
        if manifest.sealed and (lost := set(range(manifest.pieces)) - self._index.recorded(blob)):
            if self._index.manifest(blob) != manifest:
                return []
            if mend:
                self._pieces.forsake(blob)
            return [Finding(blob, f"the digests of {len(lost)} pieces are lost")]
        here = sorted(number for number in self._pieces.present(blob) if number >= first)
        judged = digest_for(blob, manifest.size) if manifest.sealed and len(here) == manifest.pieces else None
        whole, expected = judged if judged is not None else (None, "")
        findings = list[Finding]()
        buffer = memoryview(mmap.mmap(-1, UNIT))  # begins a page, as O_DIRECT wants it
        for number in here:
            finding, whole = self._piece(manifest, number, by, whole, buffer, read, mend)
            if finding is not None:
                findings.append(finding)
        if whole is not None and whole.hexdigest() != expected:
            findings += self._whole(manifest, by, whole.hexdigest(), mend)
        return findings

    def _piece(
        self, manifest: Manifest, number: int, by: str, whole: Digest | None, buffer: memoryview, read: Read, mend: bool
    ) -> tuple[Finding | None, Digest | None]:
        """(what is wrong with it, the digest of everything up to its end unless that can no longer be told)."""
        failed: OpenPiece | None = None
        while True:
            try:
                piece = self._pieces.open(manifest, number, ahead=False)
            except PieceMissing:
                return None, None
            if failed is not None and (piece.name, piece.digests) == (failed.name, failed.digests):
                piece.close()  # not a rewrite that we crossed: it is bad
                break
            after = whole.copy() if whole is not None else None
            try:
                if _good(piece, after, buffer, read):
                    return None, after
            finally:
                piece.close()
            failed = piece
        case = self._pieces.difference(manifest, piece, by)
        if mend:
            self._pieces.reject(manifest, piece, case)
        return Finding(manifest.blob, case.what, number, case.expected, case.found), None

    def _whole(self, manifest: Manifest, by: str, digest: str, mend: bool) -> list[Finding]:
        if self._index.manifest(manifest.blob) != manifest:
            return []
        scheme = manifest.blob.partition(":")[0]
        case = Case(by, manifest, "the whole has another digest than its name", manifest.blob, f"{scheme}:{digest}")
        if mend:
            self._pieces.condemn(case)
        return [Finding(manifest.blob, case.what, None, case.expected, case.found)]


def _good(piece: OpenPiece, whole: Digest | None, buffer: memoryview, read: Read) -> bool:
    """Whether all units are what they were; `whole` takes them too."""
    if piece.fd >= 0 and DIRECT:
        with contextlib.suppress(OSError):
            fcntl.fcntl(piece.fd, fcntl.F_SETFL, fcntl.fcntl(piece.fd, fcntl.F_GETFL) | DIRECT)
    for at in range(0, piece.size, UNIT):
        size = min(UNIT, piece.size - at)
        unit = memoryview(piece.data) if piece.data is not None else buffer[: _read(piece.fd, buffer, at)][:size]
        if len(unit) != size or not unit_matches(unit, piece.digests, at // UNIT):
            return False
        if whole is not None:
            whole.update(unit)
        read(piece.number, size)
    return True


def _read(fd: int, buffer: memoryview, at: int) -> int:
    """Bytes that came; fewer than a unit at the end of the file, or when the disk fails."""
    done = 0
    while done < len(buffer):
        try:
            count = os.preadv(fd, [buffer[done:]], at + done)
        except OSError:
            flags = fcntl.fcntl(fd, fcntl.F_GETFL)
            if not flags & DIRECT:
                return done
            fcntl.fcntl(fd, fcntl.F_SETFL, flags & ~DIRECT)  # this file system, or an odd end, will not have it
            continue
        if not count:
            return done
        done += count
    return done
