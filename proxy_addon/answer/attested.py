"""Bytes that are relayed, and named by their digest: what is passed on whole are those bytes, or it is cut.

The end is held back until the digest holds, so a page in place of the file, which is shorter than that, is not sent at
all.
"""

from __future__ import annotations

import asyncio
import hashlib

from ..core.errors import BodyLost
from ..core.messages import Body, Buffer
from ..fetch.fill import TAIL

_INLINE = 64 * 1024  # bytes that are hashed sooner than a thread begins


class Attested:
    """`body`, whose bytes have to have this SHA-256 (hex)."""

    def __init__(self, body: Body, sha256: str) -> None:
        self.length, self._body, self._sha256 = body.length, body, sha256
        self._hash, self._held, self._proven = hashlib.sha256(), bytearray(), False

    async def read(self, limit: int) -> Buffer:
        while not self._proven and len(self._held) <= TAIL:
            data = bytes(await self._body.read(limit))
            if len(data) > _INLINE:
                await asyncio.to_thread(self._hash.update, data)
            else:
                self._hash.update(data)
            self._held += data
            if not data:
                self._prove()
        out = bytes(self._held[: min(limit, len(self._held) - (0 if self._proven else TAIL))])
        del self._held[: len(out)]
        return out

    def _prove(self) -> None:
        if self._hash.hexdigest() != self._sha256:
            raise BodyLost("the hub sent other bytes than its link names")
        self._proven = True

    def close(self) -> None:
        self._body.close()
        self._held.clear()
