"""What a blob's id says about its bytes: some ids are the digest of the whole.

`sha256:` is the plain SHA-256, `git:` git's SHA-1 of a blob object: of `blob <size>\\0` and the bytes. Any other name
tells nothing that could be computed from the bytes alone.
"""

from __future__ import annotations

import hashlib
from typing import Protocol, Self


class Digest(Protocol):
    def update(self, data: bytes | bytearray | memoryview, /) -> None: ...
    def hexdigest(self) -> str: ...
    def copy(self) -> Self: ...


def digest_for(blob: str, size: int) -> tuple[Digest, str] | None:
    """(what all bytes have to go through, the hexadecimal digest that must come out); None: the id names no digest."""
    scheme, _, name = blob.partition(":")
    if scheme == "sha256":
        return hashlib.sha256(), name
    if scheme == "git":
        return hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False), name
    return None
