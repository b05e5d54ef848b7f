"""Entries of a policy, found by the facts: of a thousand, the few that can speak about a request are looked at.

An entry stands under one key, which is a necessary condition for it to match: a namespace, a user, the end of a path, a
licence. Where the fact is not known all entries under that kind of key are candidates. What is known of a repo rules
most of them out for all of its files, and that is remembered, under everything it went by. So a candidate that is
missing would be a fault here, one too many costs only time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import chain
from typing import Any

from .facts import UNKNOWN
from .globs import Globs
from .matching import State, Test, opaque
from .schema import Match

_ABSENT = object()
PENDING = 3  # beside the values of State: a fact is absent, and none that is known says no


class Tier(IntEnum):
    """The lower one speaks; the gaps are where exceptions and approvals come in."""

    EMBARGO = 1
    DENY = 3
    APPROVAL = 4
    SCAN = 5
    DEFAULT = 6
    GRANT = 7


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A rule, class, approval or exception, compiled. `expires` is UNIX time."""

    id: str
    place: str
    tier: Tier
    tests: tuple[Test, ...]
    match: Match | None = None
    audit: bool = False
    reason: str = ""
    owner: str = ""
    expires: float | None = None
    overrides: frozenset[str] = frozenset()

    def state(self, values: Mapping[str, object]) -> int:
        outcome: int = State.YES
        for fact, holds, unknown in self.tests:
            value = values.get(fact, _ABSENT)
            if value is _ABSENT:
                outcome = PENDING
                continue
            said = UNKNOWN if value is UNKNOWN else holds(value)
            if said is False:
                return State.NO
            if said is UNKNOWN:
                if not unknown:
                    return State.NO
                if outcome == State.YES:
                    outcome = unknown
        return outcome

    def missing(self, values: Mapping[str, object]) -> Iterator[str]:
        return (test.fact for test in self.tests if test.fact not in values)

    def unsure(self, values: Mapping[str, object]) -> list[str]:
        """The facts that it went by without knowing them."""
        known = ((test, values.get(test.fact, UNKNOWN)) for test in self.tests)
        return [test.fact for test, value in known if value is UNKNOWN or test.holds(value) is UNKNOWN]

    def specific(self, values: Mapping[str, object]) -> tuple[int, str]:
        """Sorts the most specific first: by the longest literal prefix that matched, then by id."""
        longest = 0
        for name in ("namespace", "repo", "path", "revision"):
            globs, value = getattr(self.match, name, None), values.get(name)
            if isinstance(globs, Globs) and isinstance(value, str):
                longest = max(longest, globs.prefix(value))
        return -longest, self.id


type _Keys = Callable[[Match], Iterable[str | None] | None]
type _Key = Callable[[Any], str | object | None]


def _of_namespace(match: Match) -> Iterable[str | None] | None:
    if match.namespace and not match.namespace.pattern:
        return match.namespace.names
    if match.repo and all("/" in glob.prefix or (glob.literal and "/" not in glob.text) for glob in match.repo.members):
        return {glob.prefix.partition("/")[0] if "/" in glob.text else None for glob in match.repo.members}
    return None


def _of_user(match: Match) -> Iterable[str | None] | None:
    return match.user.names if match.user and not match.user.pattern else None


def _of_path(match: Match) -> Iterable[str | None] | None:
    ends = [glob.text.rpartition(".") for glob in match.path.members] if match.path else []
    return {end for _, _, end in ends} if ends and all(dot and "*" not in end for _, dot, end in ends) else None


def _of_licence(match: Match) -> Iterable[str | None] | None:
    return match.license.id.names if match.license and match.license.id and not match.license.id.pattern else None


def _licence_key(value: Any) -> object:
    """Several licences, or several in one, have more keys than one."""
    return _ABSENT if len(value) != 1 or opaque(value[0]) or " AND " in value[0].id else value[0].id.casefold()


def _folded(value: str | None) -> str | None:
    return None if value is None else value.casefold()


type _Kind = tuple[str, _Keys, _Key]  # fact, keys of an entry (None: not of this kind), key of a fact (_ABSENT: all)
_OF_REPO: tuple[_Kind, ...] = (("namespace", _of_namespace, _folded), ("license", _of_licence, _licence_key))
_OF_FILE: tuple[_Kind, ...] = (
    ("user", _of_user, _folded),
    ("path", _of_path, lambda path: None if path is None else path.casefold().rpartition(".")[2]),
)
#: What is the same for all files of a repo; `license` is beside these.
_STEADY = (
    "hub", "type", "repo", "gated", "private", "repo_size", "tags", "base_model", "hub_scan", "has_safetensors_twin",
    "author", "license_conflict",
)  # fmt: skip
_STEADY_TESTS = frozenset({*_STEADY, "namespace", "license"})
_REMEMBERED = 2048  # repos


class _Shelf:
    """Entries under the keys of one kind."""

    def __init__(self, kind: _Kind) -> None:
        self._fact, self._keys_of, self._key_of = kind
        self.all: list[Entry] = []
        self._under: dict[str | object | None, list[Entry]] = {}

    def takes(self, entry: Entry) -> bool:
        keys = self._keys_of(entry.match) if entry.match is not None else None
        if keys is None:
            return False
        self.all.append(entry)
        for key in keys:
            self._under.setdefault(key, []).append(entry)
        return True

    def at(self, values: Mapping[str, object]) -> list[Entry]:
        value = values.get(self._fact, UNKNOWN)
        key = _ABSENT if value is UNKNOWN else self._key_of(value)
        return self.all if key is _ABSENT else self._under.get(key, [])


class Index:
    """Those that depend on the file are looked up each time; for the rest, what can match in a repo is remembered."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        of_file, self._of_repo = [*map(_Shelf, _OF_FILE)], [*map(_Shelf, _OF_REPO)]
        self._rest = [e for e in entries if not any(shelf.takes(e) for shelf in (*of_file, *self._of_repo))]
        self._of_file = [shelf for shelf in of_file if shelf.all]
        self._known: dict[tuple[object, ...], list[Entry]] = {}

    def candidates(self, values: Mapping[str, object]) -> Iterable[Entry]:
        licences = values.get("license", _ABSENT)
        if isinstance(licences, tuple):
            licences = tuple((type(each), each.id) for each in licences)
        key = (licences, *(values.get(name, _ABSENT) for name in _STEADY))
        found = self._known.get(key)
        if found is None:
            found = [e for e in chain(self._rest, *(shelf.at(values) for shelf in self._of_repo)) if _may(e, values)]
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[key] = found
        return chain(found, *(shelf.at(values) for shelf in self._of_file)) if self._of_file else found


def _may(entry: Entry, values: Mapping[str, object]) -> bool:
    """Nothing about the repo rules it out."""
    steady = tuple(test for test in entry.tests if test.fact in _STEADY_TESTS)
    return replace(entry, tests=steady).state(values) != State.NO
