"""Where the bytes of a file come from: memory, a file on disk, or a formula.

A source is read by offset and is never held whole, so that a 10 GB file costs nothing. Its digests are true ones: a
client or a proxy that checks them must find them right. The digest of a large synthetic file is kept in `.cache/`
beside the sources, because to compute it is slow and the formula never changes (`FORMULA` counts its versions).
"""

from __future__ import annotations

import hashlib
import json
import os
import random
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Protocol

UNIT = 64 * 1024
BLOCK = 1024 * 1024
FORMULA = 1
DIGESTS = Path(__file__).resolve().parents[2] / ".cache" / "synthetic.json"


class Source(Protocol):
    @property
    def size(self) -> int:
        """Bytes in all."""
        ...

    def read(self, offset: int, limit: int) -> bytes | memoryview:
        """At most `limit` bytes from `offset`; shorter only at the end of the source."""
        ...

    @property
    def sha256(self) -> str: ...


class Memory:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)

    def read(self, offset: int, limit: int) -> bytes:
        return self.data[offset : offset + limit]

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


class OnDisk:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = path.stat().st_size

    @cached_property
    def _file(self) -> int:
        return os.open(self.path, os.O_RDONLY)

    def read(self, offset: int, limit: int) -> bytes:
        return os.pread(self._file, limit, offset)

    @cached_property
    def sha256(self) -> str:
        return _digest(self)

    def __del__(self) -> None:
        if "_file" in self.__dict__:
            os.close(self._file)


@dataclass(frozen=True)
class Part:
    """Bytes `start` up to `end` of a source, which begin at a unit, and end at one or with the source."""

    source: Source
    start: int
    end: int


class Spliced:
    """A file made of parts of others, as one that shares most of its bytes with an older one."""

    def __init__(self, *parts: Part) -> None:
        self.parts = parts
        self.size = sum(part.end - part.start for part in parts)

    def read(self, offset: int, limit: int) -> bytes:
        out, at = bytearray(), 0
        for part in self.parts:
            length = part.end - part.start
            low, high = max(0, offset - at), min(length, offset + limit - at)
            if low < high:
                out += part.source.read(part.start + low, high - low)
            at += length
        return bytes(out)

    @cached_property
    def sha256(self) -> str:
        return _digest(self)


class Synthetic:
    """`size` pseudo-random bytes: one random MiB again and again, each 64 KiB of it stamped with its own number.

    Any two units differ, so bytes that a cache puts at a wrong place are seen to be wrong.
    """

    def __init__(self, size: int, seed: int = 0) -> None:
        self.size = size
        self.seed = seed

    def read(self, offset: int, limit: int) -> memoryview:
        end = min(offset + limit, self.size)
        if end <= offset:
            return memoryview(b"")
        base = _block(self.seed)
        first = offset // UNIT
        out = bytearray()
        for unit in range(first, (end - 1) // UNIT + 1):
            at = unit * UNIT % BLOCK
            out += b"%016x" % (unit ^ 0x5EED)
            out += base[at + 16 : at + UNIT]
        return memoryview(out)[offset - first * UNIT : end - first * UNIT]

    @cached_property
    def sha256(self) -> str:
        key = f"{FORMULA}:{self.size}:{self.seed}"
        known = _known_digests()
        if key not in known:
            known[key] = _digest(self)
            if self.size >= 64 * BLOCK:
                _keep_digests({**_known_digests(), key: known[key]})
        return known[key]


def source_of(what: bytes | str | Path | Source) -> Source:
    match what:
        case bytes():
            return Memory(what)
        case str():
            return Memory(what.encode())
        case Path():
            return OnDisk(what)
        case _:
            return what


@cache
def _block(seed: int) -> memoryview:
    return memoryview(random.Random(seed).randbytes(BLOCK))


def _digest(source: Source) -> str:
    digest = hashlib.sha256()
    for offset in range(0, source.size, BLOCK):
        digest.update(source.read(offset, BLOCK))
    return digest.hexdigest()


def _known_digests() -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads(DIGESTS.read_text())
    except (OSError, ValueError):
        return {}
    return found


def _keep_digests(digests: dict[str, str]) -> None:
    DIGESTS.parent.mkdir(exist_ok=True)
    aside = DIGESTS.with_suffix(f".{os.getpid()}")
    aside.write_text(json.dumps(digests))
    aside.replace(DIGESTS)
