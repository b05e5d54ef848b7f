"""What one answer of a hub tells of a repo: values of facts, each with its source.

Some facts differ from file to file. Of these a sheet has a small table (`Twins`, `Scan`, `Paths`), which tells the
value for one file, and is bounded: what was left out of it is UNKNOWN, or None where it can be looked up again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from .facts import UNKNOWN, Unknown
from .foreign import ALL, LONGEST, MANY, mapping

_SAFE = ".safetensors"
_WEIGHTS = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".h5", ".msgpack", ".npz", ".npy")
_LEVELS = ("safe", "unscanned", "caution", "suspicious", "unsafe")  # the worst last
_CALLED = {**{level: level for level in _LEVELS}, "queued": "unscanned", "error": "unscanned"}


@runtime_checkable
class Table(Protocol):
    def of(self, name: str | None) -> object:
        """The value for one file; of None: for the repo as a whole."""
        ...


@dataclass(frozen=True, slots=True)
class Sheet:
    """A fact that is not among `values` was not told, and one may ask elsewhere; UNKNOWN is the last word.

    `name` is the repo's own, empty if not told."""

    values: Mapping[str, object] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    name: str = ""


@dataclass(frozen=True, slots=True)
class Twins:
    """Beside which files a .safetensors lies."""

    folders: frozenset[str] = frozenset()
    both: bool = False  # somewhere weights of another format lie beside it
    whole: bool = True  # all files were looked at

    def of(self, path: str | None) -> bool | Unknown:
        if path is not None and path.casefold().endswith(_SAFE):
            return False
        if self.both if path is None else path.rpartition("/")[0] in self.folders:
            return True
        return False if self.whole else UNKNOWN


class Twinning:
    """`Twins` in the making."""

    def __init__(self) -> None:
        self._safe: set[str] = set()
        self._other: set[str] = set()
        self._room, self._whole = ALL, True

    def add(self, path: str) -> None:
        folder, _, name = path.casefold().rpartition("/")
        if name.endswith(_SAFE):
            self._put(self._safe, path[: len(folder)])
        elif name.endswith(_WEIGHTS):
            self._put(self._other, path[: len(folder)])

    def _put(self, folders: set[str], folder: str) -> None:
        if folder not in folders:
            self._room -= len(folder) + 8
            if self._room < 0:
                self._whole = False
            else:
                folders.add(folder)

    def done(self, *, whole: bool = True) -> Twins:
        both = not self._safe.isdisjoint(self._other)
        return Twins(frozenset(self._safe), both, self._whole and whole)


@dataclass(frozen=True, slots=True)
class Scan:
    """What the hub's own scan found, by path."""

    levels: Mapping[str, str | Unknown]
    done: bool
    whole: bool = True  # all findings are here
    worst: str | Unknown = "safe"

    def of(self, path: str | None) -> str | Unknown:
        if path is None:
            return self.worst
        if path in self.levels:
            return self.levels[path]
        return UNKNOWN if not self.whole else "safe" if self.done else "unscanned"


def scan(told: object) -> Scan | Unknown:
    """From `{scansDone, filesWithIssues: [{path, level}]}`."""
    status = mapping(told) or {}
    issues, done = status.get("filesWithIssues"), status.get("scansDone")
    if not isinstance(issues, list) or not isinstance(done, bool):
        return UNKNOWN
    levels: dict[str, str | Unknown] = {}
    room, worst, doubt = ALL, "safe" if done else "unscanned", False
    for issue in issues:
        match issue:
            case {"path": str(path), "level": str(said)}:
                level = _CALLED.get(said.casefold()[:LONGEST], UNKNOWN)
            case _:
                return UNKNOWN
        worst = max(worst, level, key=_LEVELS.index) if isinstance(level, str) else worst
        doubt = doubt or not isinstance(level, str)
        room -= len(path) + 8
        if room >= 0 and path not in levels:
            levels[path] = level
        elif path in levels:
            levels[path] = _worse(levels[path], level)
    return Scan(levels, done, room >= 0, UNKNOWN if doubt and worst != "unsafe" else worst)


def _worse(one: str | Unknown, other: str | Unknown) -> str | Unknown:
    if not isinstance(one, str) or not isinstance(other, str):
        return UNKNOWN
    return max(one, other, key=_LEVELS.index)


@dataclass(frozen=True, slots=True)
class Paths:
    """Where files of a digest lie. None: ask again, it was left out for want of room."""

    known: Mapping[str, tuple[str, ...]]
    whole: bool = True

    def of(self, digest: str | None) -> object:
        if (found := self.known.get(digest or "")) is None:
            return UNKNOWN if self.whole else None
        return UNKNOWN if not found or len(found) > MANY else found[0] if len(found) == 1 else found


class Placing:
    """`Paths` in the making: room is kept for those that are looked for."""

    def __init__(self, wanted: Iterable[str]) -> None:
        self._known: dict[str, list[str]] = {digest: [] for digest in wanted}
        self._wanted = frozenset(self._known)
        self._room = {True: ALL, False: ALL}
        self._whole = True

    def add(self, path: str, digests: Iterable[str]) -> None:
        for digest in digests:
            wanted = digest in self._wanted
            self._room[wanted] -= len(path) + (0 if wanted else len(digest))
            if self._room[wanted] >= 0:
                self._known.setdefault(digest, []).append(path)
            elif wanted:
                self._known[digest] = [""] * (MANY + 1)  # too many to be told
            else:
                self._whole = False
                self._known.pop(digest, None)  # some of its paths are not enough

    def done(self, alias: Mapping[str, str]) -> Paths:
        """`alias`: other names of digests."""
        known = {digest: tuple(paths) for digest, paths in self._known.items()}
        for name, digest in alias.items():
            known[name] = known.get(name) or known.get(digest, ())
        return Paths(known, self._whole)
