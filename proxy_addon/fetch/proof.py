"""The proof of a blob: its digest, computed in order while the pieces come.

A piece is hashed from its buffer if it is still there, else from the store, which verifies what it reads. Hashing runs
in a thread. A blob whose id carries no digest is proven by its size alone.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable

from ..core.errors import IntegrityError
from ..store.contract import PIECE, Blobs, PieceMissing, PieceReader
from .pieces import ANY, Pieces


class Proof:
    def __init__(self, blobs: Blobs, pieces: Pieces, advanced: Callable[[], None], lost: Callable[[int], None]) -> None:
        self._blobs, self._pieces, self._advanced, self._lost = blobs, pieces, advanced, lost
        self.done = 0  #: pieces hashed so far
        algorithm, _, self._expected = pieces.manifest.blob.partition(":")
        size = pieces.manifest.size
        self._digest = {
            "git": lambda: hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False),
            "sha256": hashlib.sha256,
        }.get(algorithm, lambda: None)()

    async def establish(self) -> None:
        """Returns when every byte has come and the digest holds; raises `IntegrityError` when it does not."""
        manifest = self._pieces.manifest
        reader = self._blobs.reader(manifest)
        try:
            while self.done < manifest.pieces:
                landing = self._pieces.landing.get(self.done)
                if landing is not None and landing.full:
                    landing.views += 1
                    try:
                        await self._update(landing.buffer)
                    finally:
                        self._pieces.release(landing)
                elif self.done not in self._pieces.present:
                    await self._pieces.progress(ANY)
                    continue
                elif self._digest is not None and not await self._read(reader):
                    continue
                self.done += 1
                self._advanced()
        finally:
            reader.close()
        if self._digest is not None and self._digest.hexdigest() != self._expected:
            raise IntegrityError(f"{manifest.blob}: upstream sent bytes with another digest")

    async def _read(self, reader: PieceReader) -> bool:
        """Hash one stored piece; False, and nothing hashed, if it turned out to be gone."""
        pos = self.done * PIECE
        end = pos + self._pieces.manifest.piece_size(self.done)
        before = self._digest.copy() if self._digest is not None else None
        try:
            while pos < end:
                data = await reader.read(pos, end)
                await self._update(data)
                pos += len(data)
        except PieceMissing:
            self._digest = before
            self._lost(self.done)
            return False
        return True

    async def _update(self, data: bytes | bytearray | memoryview) -> None:
        if self._digest is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._digest.update, data)
