"""Bytes that turned out wrong, kept aside for people to look at, and never for a client.

An entry is a directory named `<time>-<who found it>-<random>` with `about.json` and the bytes in pieces; it is made
under another name and renamed, so a listed entry is whole. What comes in may be a piece's own file, which is then moved
and costs no writing, or bytes. Whatever cannot be kept (no room, a disk that refuses) is let go: what was found is said
in the log all the same, and nobody waits for this. Bounded in bytes and entries, the oldest go first. Nothing in the
store reads from here but `bytes_of`, for `restore`, which puts back only what is right after all. Methods block; any
thread or process may call.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import secrets
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from ..core.messages import Buffer
from .contract import Manifest

MOST = 1000  # entries
LEFT = 3600.0  # seconds after which an entry that was never finished is a leftover
_ENTRY = re.compile(r"[0-9]{8}T[0-9]{12}-(read|verify|scrub|hub)-[0-9a-f]{8}")
_PIECE = re.compile(r"[0-9a-f]{6}")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Case:
    """What was found. `expected` and `found` are digests with their algorithm; `piece` is None for a whole blob."""

    by: str  # read | verify | scrub | hub
    manifest: Manifest
    what: str  # in words
    expected: str = ""
    found: str = ""
    piece: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """`at` in epoch seconds; `kept` are bytes that lie here of `size` that were wrong."""

    id: str
    at: float
    by: str
    blob: str
    what: str
    piece: int | None
    expected: str
    found: str
    source: str
    size: int
    kept: int
    public: bool


class Quarantine:
    def __init__(self, directory: Path, limit: int, clock: Callable[[], float]) -> None:
        """`limit`: bytes; 0 keeps only what was found, and no bytes."""
        self._directory, self._limit, self._clock = directory, limit, clock

    def put(self, case: Case, contents: Iterable[tuple[int, Path | Buffer]]) -> None:
        """Take `contents`, by number of the piece, over: each file is moved here, or removed. Never raises OSError."""
        left = list(contents)
        at = self._clock()
        aside = self._directory / f".new-{secrets.token_hex(8)}"
        stamp = f"{datetime.fromtimestamp(at, UTC):%Y%m%dT%H%M%S%f}"
        name = f"{stamp}-{case.by}-{secrets.token_hex(4)}"
        manifest = case.manifest
        log.error("%s: %s (found by %s; set aside as %s)", manifest.blob, case.what, case.by, name)
        try:
            aside.mkdir(mode=0o700, parents=True)
            kept = self._take(aside, left)
            size = manifest.size if case.piece is None else manifest.piece_size(case.piece)
            entry = Entry(
                name, at, case.by, manifest.blob, case.what, case.piece, case.expected, case.found,
                manifest.source, size, kept, manifest.public,
            )  # fmt: skip
            (aside / "about.json").write_text(json.dumps(asdict(entry)))
            os.rename(aside, self._directory / name)
            self._trim()
        except OSError as error:
            log.warning("what is wrong of %s cannot be kept aside: %s", manifest.blob, error)
            shutil.rmtree(aside, ignore_errors=True)
        finally:
            for _, data in left:
                if isinstance(data, Path):
                    with contextlib.suppress(OSError):
                        data.unlink()

    def entries(self) -> list[Entry]:
        """The oldest first. One that cannot be read is told as far as its name goes."""
        return [self._read(name) for name in self._names()]

    def one(self, id: str) -> Entry | None:
        """By its name, or the end of it."""
        names = [name for name in self._names() if name == id or (len(id) >= 8 and name.endswith(id))]
        return self._read(names[0]) if len(names) == 1 else None

    def remove(self, id: str) -> None:
        """Raises OSError."""
        if _ENTRY.fullmatch(id):
            shutil.rmtree(self._directory / id)

    def bytes_of(self, entry: Entry) -> Iterator[tuple[int, bytes]]:
        """(number of the piece, bytes). Raises OSError."""
        for name in sorted(filter(_PIECE.fullmatch, os.listdir(self._directory / entry.id))):
            yield int(name, 16), (self._directory / entry.id / name).read_bytes()

    def place(self, entry: Entry) -> Path:
        return self._directory / entry.id

    def tally(self) -> Counter[str]:
        """Entries by who found them."""
        return Counter(name.split("-")[1] for name in self._names())

    def size(self) -> int:
        """Bytes."""
        return sum(_size(self._directory / name) for name in self._names())

    def _take(self, aside: Path, left: list[tuple[int, Path | Buffer]]) -> int:
        """Move what fits; `left` keeps what did not."""
        kept = 0
        for number, data in list(left):
            size = data.stat().st_size if isinstance(data, Path) else len(data)
            if kept + size > self._limit:
                break
            to = aside / f"{number:06x}"
            if isinstance(data, Path):
                os.rename(data, to)
            else:
                to.touch(mode=0o600)
                to.write_bytes(data)
            left.remove((number, data))
            kept += size
        return kept

    def _trim(self) -> None:
        names = self._names()
        sizes = {name: _size(self._directory / name) for name in names}
        total = sum(sizes.values())
        while names and (total > self._limit or len(names) > MOST):
            oldest = names.pop(0)
            total -= sizes[oldest]
            shutil.rmtree(self._directory / oldest, ignore_errors=True)
        for path in self._directory.glob(".new-*"):
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < self._clock() - LEFT:
                    shutil.rmtree(path, ignore_errors=True)

    def _names(self) -> list[str]:
        try:
            return sorted(filter(_ENTRY.fullmatch, os.listdir(self._directory)))
        except OSError:
            return []

    def _read(self, name: str) -> Entry:
        try:
            return Entry(**json.loads((self._directory / name / "about.json").read_bytes()) | {"id": name})
        except (OSError, ValueError, TypeError):
            at = datetime.strptime(name[:21], "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC).timestamp()
            return Entry(name, at, name.split("-")[1], "", "unreadable", None, "", "", "", 0, 0, False)


def _size(entry: Path) -> int:
    """Bytes of the pieces that lie in an entry."""
    total = 0
    with contextlib.suppress(OSError):
        for file in os.scandir(entry):
            if _PIECE.fullmatch(file.name):
                total += file.stat().st_size
    return total
