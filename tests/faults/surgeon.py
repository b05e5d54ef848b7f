"""Damage as a disk does it: to bytes of a file, without a word to anybody."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

type Cut = Callable[[Path, random.Random], None]


def flip(file: Path, rnd: random.Random, count: int = 1) -> None:
    """One bit each, somewhere."""
    with file.open("r+b") as f:
        for _ in range(count):
            at = rnd.randrange(file.stat().st_size)
            f.seek(at)
            old = f.read(1)[0]
            f.seek(at)
            f.write(bytes([old ^ 1 << rnd.randrange(8)]))


def zero(file: Path, rnd: random.Random, size: int = 4096) -> None:
    """A block that was never written: it changes something unless it was zero before."""
    data = bytearray(file.read_bytes())
    at = rnd.randrange(max(1, len(data) - size + 1))
    data[at : at + size] = bytes(min(size, len(data) - at))
    with file.open("r+b") as f:
        f.write(data)


def truncate(file: Path, rnd: random.Random) -> None:
    with file.open("r+b") as f:
        f.truncate(rnd.randrange(file.stat().st_size))


def grow(file: Path, rnd: random.Random) -> None:
    """Bytes behind the end, and one before it wrong."""
    flip(file, rnd)
    with file.open("ab") as f:
        f.write(rnd.randbytes(100))


def remove(file: Path, rnd: random.Random) -> None:
    file.unlink()


CUTS: dict[str, Cut] = {"flip": flip, "zero": zero, "truncate": truncate, "grow": grow, "remove": remove}
