"""The proof of a blob, established in order while the pieces come.

What has to hold is said by the scheme of the blob's id: a digest, or, of a xorb range, its structure. What carries
neither is proven by its size alone. A piece is taken from its buffer if it is still there, else from the store, which
verifies what it reads. The work is done in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, Self

from blake3 import blake3

from ..core.digests import Digest, digest_for
from ..core.errors import IntegrityError
from ..core.messages import Buffer
from ..store.contract import PIECE, Blobs, Manifest, PieceMissing, PieceReader
from ..xorb import codings
from ..xorb.frames import Frames
from .pieces import ANY, Pieces


class Judge(Protocol):
    """Takes a blob's bytes in order. `update` and `end` raise `IntegrityError`."""

    fingerprint: bytes | None  #: at the end: of bytes whose name does not tell what they are

    def update(self, data: Buffer | bytearray) -> None: ...
    def copy(self) -> Self: ...
    def end(self) -> None: ...


class ByDigest:
    def __init__(self, digest: Digest, expected: str) -> None:
        self.fingerprint: bytes | None = None
        self._digest, self._expected = digest, expected

    def update(self, data: Buffer | bytearray) -> None:
        self._digest.update(data)

    def copy(self) -> ByDigest:
        return ByDigest(self._digest.copy(), self._expected)

    def end(self) -> None:
        if self._digest.hexdigest() != self._expected:
            raise IntegrityError("upstream sent bytes with another digest", found=self._digest.hexdigest())


class ByStructure:
    """A range of a xorb: chunks to the last byte, each of which unpacks to its length."""

    def __init__(self, frames: Frames, digest: blake3) -> None:
        self._frames, self._digest = frames, digest
        self.fingerprint: bytes | None = None

    def update(self, data: Buffer | bytearray) -> None:
        self._digest.update(data)
        for chunk in self._frames.feed(data):
            codings.check(chunk)

    def copy(self) -> ByStructure:
        return ByStructure(self._frames.copy(), self._digest.copy())

    def end(self) -> None:
        if not self._frames.whole:
            raise IntegrityError("upstream sent chunks that do not end with the range")
        self.fingerprint = self._digest.digest()


class BySize:
    """The pieces are all there, and that is that."""

    fingerprint: bytes | None = None

    def update(self, data: Buffer | bytearray) -> None: ...

    def copy(self) -> BySize:
        return self

    def end(self) -> None: ...


_JUDGES: dict[str, Callable[[Manifest], Judge]] = {
    "xorb": lambda manifest: ByStructure(Frames(), blake3()),
}


def judge_of(manifest: Manifest) -> Judge:
    if (digest := digest_for(manifest.blob, manifest.size)) is not None:
        return ByDigest(*digest)
    made = _JUDGES.get(manifest.blob.partition(":")[0])
    return made(manifest) if made is not None else BySize()


class Proof:
    def __init__(
        self, blobs: Blobs, pieces: Pieces, advanced: Callable[[], None], lost: Callable[[int, int], None]
    ) -> None:
        self._blobs, self._pieces, self._advanced, self._lost = blobs, pieces, advanced, lost
        self.done = 0  #: pieces taken so far
        self._judge = judge_of(pieces.manifest)

    @property
    def fingerprint(self) -> bytes | None:
        return self._judge.fingerprint

    async def establish(self) -> None:
        """Returns when every byte has come and the proof holds; raises `IntegrityError` when it does not."""
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
                elif not isinstance(self._judge, BySize) and not await self._read(reader):
                    continue
                self.done += 1
                self._advanced()
            self._judge.end()
        except IntegrityError as fault:
            raise IntegrityError(f"{manifest.blob}: {fault}", found=fault.found) from fault
        finally:
            reader.close()

    async def _read(self, reader: PieceReader) -> bool:
        """Take one stored piece; False, and nothing taken, if it turned out to be gone."""
        pos = self.done * PIECE
        end = pos + self._pieces.manifest.piece_size(self.done)
        before, came = self._judge.copy(), self._pieces.came[self.done]
        try:
            while pos < end:
                data = await reader.read(pos, end)
                await self._update(data)
                pos += len(data)
        except PieceMissing:
            self._judge = before
            self._lost(self.done, came)
            return False
        return True

    async def _update(self, data: Buffer | bytearray) -> None:
        if not isinstance(self._judge, BySize):
            await asyncio.get_running_loop().run_in_executor(None, self._judge.update, data)
