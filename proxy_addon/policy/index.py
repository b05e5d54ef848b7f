"""Entries of a policy, found by the facts: of a thousand, the few that can speak about a request are looked at.

An entry stands under one key, which is a necessary condition for it to match: a namespace, a user, the end of a path, a
licence. Where the fact is not known all entries under that kind of key are candidates. What is known of a repo settles
most of them for all of its files, the client and the revision settle most of the rest, and either is remembered, under
everything it went by; the few that the file or the clock has a say in are asked each time. So a candidate that is
missing would be a fault here, one too many costs only time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain, repeat
from typing import Any, NamedTuple

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
        return _state(self.tests, values)

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


def _state(tests: Iterable[Test], values: Mapping[str, object]) -> int:
    outcome: int = State.YES
    for fact, holds, unknown in tests:
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


type Heard = tuple[Entry, int]  # what matches, and its `State`
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
#: What is the same for all files of a revision that one client gets; `revision_age` is too while it is no number.
_OF_CLIENT = ("client", "user", "revision", "commit")
ROOM = 2_000_000  # words of 8 bytes, about, that what is remembered takes


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


type _Open = tuple[Entry, tuple[Test, ...]]  # what has something to say yet, and by what


class _Settled(NamedTuple):
    """What is said as soon as some of the facts are known, and who will say it when the others are."""

    matched: tuple[Heard, ...]
    absent: frozenset[str]  # facts that entries wait for
    open: tuple[_Open, ...]
    further: dict[tuple[object, ...], _Settled]  # with more of the facts


class Index:
    """Those that depend on the file are looked up each time; for the rest, what they say of a repo is remembered."""

    def __init__(self, entries: Iterable[Entry], room: int = ROOM) -> None:
        of_file, self._of_repo = [*map(_Shelf, _OF_FILE)], [*map(_Shelf, _OF_REPO)]
        self._rest = [e for e in entries if not any(shelf.takes(e) for shelf in (*of_file, *self._of_repo))]
        self._of_file = [shelf for shelf in of_file if shelf.all]
        self._known: dict[tuple[object, ...], _Settled] = {}
        self._room = self._left = room

    def __len__(self) -> int:
        """Repos that are remembered, each in the states that it was seen in."""
        return len(self._known)

    def heard(self, values: Mapping[str, object], now: float) -> tuple[list[Heard], set[str]]:
        """Those in force that match, as `State` says how; the facts that others wait for."""
        settled = self._settled(values)
        found, absent = _heard(settled.open, values, now)
        for shelf in self._of_file:
            if entries := shelf.at(values):
                more, also = _heard([(entry, entry.tests) for entry in entries], values, now)
                found += more
                absent |= also
        found += settled.matched
        absent |= settled.absent
        return found, absent

    def _settled(self, values: Mapping[str, object]) -> _Settled:
        licences = values.get("license", _ABSENT)
        if isinstance(licences, tuple):
            licences = tuple([(type(each), each.id) for each in licences])
        key = (licences, *map(values.get, _STEADY, repeat(_ABSENT)))
        in_repo = self._known.get(key)
        if in_repo is None:
            shelved = chain(self._rest, *(shelf.at(values) for shelf in self._of_repo))
            in_repo = _settle(((entry, entry.tests) for entry in shelved), values, _STEADY_TESTS)
            self._keep(self._known, key, in_repo)
        if not in_repo.open:
            return in_repo
        aged = isinstance(age := values.get("revision_age", _ABSENT), int | float)
        key = (None if aged else age, *map(values.get, _OF_CLIENT, repeat(_ABSENT)))
        settled = in_repo.further.get(key)
        if settled is None:
            facts = frozenset({*_OF_CLIENT, *(() if aged else ("revision_age",))})
            more = _settle(in_repo.open, values, facts)
            settled = more._replace(matched=in_repo.matched + more.matched, absent=in_repo.absent | more.absent)
            self._keep(in_repo.further, key, settled)
        return settled

    def _keep(self, known: dict[tuple[object, ...], _Settled], key: tuple[object, ...], settled: _Settled) -> None:
        size = 100 + sum(len(value) for value in key if isinstance(value, tuple)) + 10 * len(settled.open)
        if self._left < size:
            self._known.clear()
            self._left = self._room
        self._left -= size
        known[key] = settled


def _heard(open: Iterable[_Open], values: Mapping[str, object], now: float) -> tuple[list[Heard], set[str]]:
    found: list[Heard] = []
    absent: set[str] = set()
    for entry, tests in open:
        if (state := _state(tests, values)) and (entry.expires is None or now < entry.expires):
            if state == PENDING:
                absent.update(entry.missing(values))
            else:
                found.append((entry, state))
    return found, absent


def _settle(open: Iterable[_Open], values: Mapping[str, object], facts: frozenset[str]) -> _Settled:
    """By these facts alone. What says yes by them is left with its other tests."""
    matched: list[Heard] = []
    absent: set[str] = set()
    left: list[_Open] = []
    for entry, tests in open:
        state = _state([test for test in tests if test.fact in facts], values)
        if not state:
            continue
        others = tuple([test for test in tests if test.fact not in facts])
        if others or entry.expires is not None:
            left.append((entry, others if state == State.YES else tests))
        elif state == PENDING:
            absent.update(entry.missing(values))
        else:
            matched.append((entry, state))
    return _Settled(tuple(matched), frozenset(absent), tuple(left), {})
