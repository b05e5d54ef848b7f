"""What changed between two sets of files, and one line of the log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

NAMED = 500  # files of each sort that the log names; of the others it keeps number and bytes

type Files = Mapping[str, tuple[int, str]]  # path -> (bytes, blob)


@dataclass(frozen=True, slots=True)
class Tally:
    """Some files: how many, their bytes, and the first of their names with sizes."""

    count: int = 0
    size: int = 0
    named: tuple[tuple[str, int], ...] = ()

    @classmethod
    def of(cls, files: Iterable[tuple[str, int]]) -> Self:
        files = sorted(files)
        return cls(len(files), sum(size for _, size in files), tuple(files[:NAMED]))


@dataclass(frozen=True, slots=True)
class Changes:
    added: Tally = Tally()
    changed: Tally = Tally()
    removed: Tally = Tally()

    @classmethod
    def between(cls, old: Files, new: Files) -> Self:
        """Sizes are the new ones, of what is removed the old ones."""
        return cls(
            Tally.of((path, size) for path, (size, _) in new.items() if path not in old),
            Tally.of((path, size) for path, (size, blob) in new.items() if path in old and old[path] != (size, blob)),
            Tally.of((path, size) for path, (size, _) in old.items() if path not in new),
        )

    def __bool__(self) -> bool:
        return bool(self.added.count or self.changed.count or self.removed.count)


@dataclass(frozen=True, slots=True)
class Run:
    """One line of the log: something came, or something failed. Times are epoch seconds, durations seconds.

    The same failure again is the same line: `times` it was met, and when `last`.
    """

    repo: str
    at: float
    before: str = ""  # the commit, or digest of the listing, that was here complete; empty: none was
    after: str = ""  # the one that the hub had; empty: it could not be asked
    changes: Changes = Changes()
    fetched: int = 0  # bytes
    seconds: float = 0.0
    faults: tuple[tuple[str, str], ...] = ()  # (file, glob or repo; why)
    times: int = 1
    last: float = 0.0

    def repeats(self, other: Run) -> bool:
        mine, theirs = ((r.repo, r.before, r.after, r.faults) for r in (self, other))
        return bool(self.faults) and mine == theirs and not self.fetched


def packed(changes: Changes) -> dict[str, Any]:
    """For JSON."""
    return {
        name: {"count": tally.count, "bytes": tally.size, "files": [list(file) for file in tally.named]}
        for name, tally in (("added", changes.added), ("changed", changes.changed), ("removed", changes.removed))
    }


def unpacked(told: Mapping[str, Any]) -> Changes:
    return Changes(*(_tally(told[name]) for name in ("added", "changed", "removed")))


def _tally(told: Mapping[str, Any]) -> Tally:
    return Tally(told["count"], told["bytes"], tuple((path, size) for path, size in told["files"]))
