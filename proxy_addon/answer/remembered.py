"""What is known of repos, in memory: for each revision of each, and for each principal that was told it.

An entry is never changed: what is learned makes a new one. A value is believed until the time that its answer had; the
principal is empty for what the hub tells everybody. What is past its time stays for links and tokens, with which nobody
can ask (`Memory.told`). How much is remembered in all is bounded by its size, so that no repo can push out more of the
others than it takes itself.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from ..access.provenance import same_repo
from ..hub.resources import Repo, Subject
from ..policy.facts import UNKNOWN
from ..policy.sheets import Paths, Scan, Sheet, Twins

ROOM = 32 * 1024 * 1024  # bytes, about
_TABLES = (Twins, Scan, Paths)
_SMALL = 100  # bytes of a value, with its source and its place
_SHOWN = 32  # answers that an entry has ready
_LEAST = 1000 * _SHOWN  # bytes of an entry, with these

type Key = tuple[Repo, str | None, str]
type Believed = tuple[object, str, float]  # a value or a table of values, its source, until when


@dataclass(frozen=True, slots=True)
class Learned:
    """A value for each fact that was needed. `name`: the repo's own, where it was asked for by another; `beside`: a
    revision that is to be judged as well, where this one may be a stranger's."""

    values: Mapping[str, object]
    sources: Mapping[str, str]
    name: str = ""
    beside: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """`repo` is where the facts were found, be it after a redirect."""

    repo: Repo
    name: str = ""
    beside: str = ""
    told: Mapping[str, Believed] = field(default_factory=dict)
    weight: int = _LEAST
    shown: dict[tuple[frozenset[str], str | None, str], tuple[Learned, float]] = field(default_factory=dict)

    def has(self, fact: str, now: float, digest: str = "") -> bool:
        """Whether it is known for now."""
        found = self.told.get(fact)
        if found is None or found[2] <= now:
            return False
        return not isinstance(found[0], Paths) or found[0].of(digest) is not None

    def value(self, fact: str) -> object:
        found = self.told.get(fact)
        return UNKNOWN if found is None else found[0]

    def learned(self, subject: Subject, need: frozenset[str], now: float) -> Learned | None:
        """None if a fact is not known, or was for too long."""
        asked = (need, subject.path, subject.digest)
        shown = self.shown.get(asked)
        if shown is None or shown[1] <= now:
            if (shown := self._learned(subject, need)) is None or shown[1] <= now:
                return None
            if len(self.shown) >= _SHOWN:
                self.shown.clear()
            self.shown[asked] = shown
        return shown[0]

    def _learned(self, subject: Subject, need: frozenset[str]) -> tuple[Learned, float] | None:
        values: dict[str, object] = {}
        sources: dict[str, str] = {}
        path, last = subject.path, math.inf
        for fact in sorted(need, key="path".__ne__):  # that first, since others depend on it
            if fact == "path" and not subject.digest:
                values[fact], sources[fact] = path, "request"
                continue
            if (found := self.told.get(fact)) is None:
                return None
            value, sources[fact], until = found
            if isinstance(value, _TABLES) and (value := value.of(subject.digest if fact == "path" else path)) is None:
                return None
            if fact == "path" and isinstance(value, str):
                path = value
            values[fact], last = value, min(last, until)
        return Learned(values, sources, self.name, self.beside), last

    def also(self, older: Entry, now: float) -> Entry:
        """With what else was told of the same commit, as past its time."""
        if older.value("commit") != self.value("commit"):
            return self
        return self._with({**older._ended(now), **self.told})

    def ended(self, now: float) -> Entry:
        """As past its time."""
        return self._with(self._ended(now))

    def _ended(self, now: float) -> dict[str, Believed]:
        return {fact: (value, source, min(until, now)) for fact, (value, source, until) in self.told.items()}

    def with_sheet(self, sheet: Sheet, until: float) -> Entry:
        return self._with(
            {**self.told, **{f: (value, sheet.sources.get(f, ""), until) for f, value in sheet.values.items()}}
        )

    def _with(self, told: Mapping[str, Believed]) -> Entry:
        return replace(self, told=told, weight=_LEAST + sum(map(_weight, told.values())), shown={})


class Memory:
    def __init__(self, room: int = ROOM) -> None:
        self._entries: OrderedDict[Key, Entry] = OrderedDict()  # the longest unused first
        self._room, self.weight = room, 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, repo: Repo, rev: str | None, principal: str) -> Entry | None:
        if (entry := self._entries.get(key := (repo, rev, principal))) is not None:
            self._entries.move_to_end(key)
        return entry

    def told(self, repo: Repo, rev: str | None, principal: str) -> Iterator[Entry]:
        """What that principal was told of this revision, also by another name of it or of the repo; the last first."""
        if (entry := self.get(repo, rev, principal)) is not None:
            yield entry
        for (of, name, whose), entry in reversed(self._entries.items()):
            if whose == principal and rev in (name, entry.value("commit")) and same_repo(of, repo):
                yield entry

    def put(self, repo: Repo, rev: str | None, principal: str, entry: Entry) -> None:
        key = (repo, rev, principal)
        self._drop(key)
        if entry.weight > self._room:
            return
        self._entries[key] = entry
        self.weight += entry.weight
        while self.weight > self._room:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: Key) -> None:
        if (gone := self._entries.pop(key, None)) is not None:
            self.weight -= gone.weight

    def forget(self, repo: Repo, now: float) -> None:
        """It is to be asked about again. What was handed out to somebody is of what the repo was until then."""
        for key in [key for key in self._entries if key[0].key == repo.key]:
            entry = self._entries[key]
            self._drop(key)
            if key[2]:
                self.put(*key, entry.ended(now))


def _weight(believed: Believed) -> int:
    value, source, _ = believed
    return _SMALL + len(source) + _size(value)


def _size(value: object) -> int:
    match value:
        case str():
            return len(value) * 2
        case Twins():
            return sum(len(folder) + _SMALL for folder in value.folders)
        case Scan():
            return sum(len(path) + _SMALL for path in value.levels)
        case Paths():
            return sum(len(digest) + _SMALL + _size(paths) for digest, paths in value.known.items())
        case tuple():
            return sum(_SMALL + _size(each) for each in value)
        case _:
            return len(getattr(value, "id", ""))
