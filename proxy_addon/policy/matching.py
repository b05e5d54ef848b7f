"""From a `match:` to tests on facts, each of which says yes, no, or that it cannot tell.

A barrier (what can deny) has no pass for what is not known unless its author says so: for licences and security facts
"not known" counts as a match, for the rest it does not. A grant (what lets pass) never matches what is not known, save
an allow rule that says so. Of several licences a barrier looks for any, a grant wants all.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from enum import IntEnum
from typing import Any, NamedTuple

from .facts import UNKNOWN, LicenceLike, Partial, Unknown, Unrecognised, called
from .globs import Globs, globs
from .schema import Compared, License, Match

type Verdict = bool | Unknown
type Holds = Callable[[Any], Verdict]


class State(IntEnum):
    NO = 0
    YES = 1
    REVIEW = 2  # holds as far as is known; what is not known wants an approval


class Side(IntEnum):
    BARRIER = 0
    ALLOW = 1
    LIFT = 2  # exceptions and approvals


class Test(NamedTuple):
    fact: str
    holds: Holds
    unknown: State  # what it comes to when the fact is UNKNOWN


SECURITY = frozenset(
    {"license", "hub_scan", "revision_age", "pickle_imports", "template", "digest", "gated", "private", "commit"}
)
ATTRIBUTES = frozenset(License.model_fields) - {"id", "mirror", "accept_conditional", "on_unknown"}
_SIGNS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_COMMIT = re.compile(r"[0-9a-f]{40}")
_NOT_ABOUT_IT = {"path": False}  # what `_not_in` says when there is none; elsewhere nobody is not in any list


def tests(match: Match, side: Side, unknown_license: State, lists: Mapping[str, Globs]) -> tuple[Test, ...]:
    """`lists` has every list that the match names."""
    own = {"license": match.license.on_unknown if match.license else None}
    return tuple(
        Test(fact, holds, _unknown(fact, own.get(fact) or match.on_unknown, side, unknown_license))
        for fact, holds in _tests(match, side, lists)
    )


def _unknown(fact: str, written: str | None, side: Side, unknown_license: State) -> State:
    if side is not Side.BARRIER:
        return State.YES if written == "allow" and side is Side.ALLOW else State.NO
    if written is not None:
        return State.YES if written == "deny" else State.NO
    if fact == "license":
        return unknown_license
    return State.YES if fact in SECURITY else State.NO


def _tests(match: Match, side: Side, lists: Mapping[str, Globs]) -> Iterator[tuple[str, Holds]]:
    written = {name: value for name in Match.model_fields if (value := getattr(match, name)) is not None}
    for name, value in written.items():
        fact = name.removesuffix("_in").removesuffix("_not")
        if name.endswith("_not_in"):
            yield fact, _outside(_members(value, lists), _NOT_ABOUT_IT.get(fact, True))
        elif name.endswith("_in") or name in ("namespace", "repo", "path", "user", "author"):
            yield fact, _inside(_members(value, lists))
        elif name == "revision":
            commits = all(_COMMIT.fullmatch(glob.text) for glob in value.members)
            yield "commit" if commits else "revision", _inside(globs(called(glob.text) for glob in value.members))
        elif name == "license":
            yield name, _licence(value, side)
        elif name in _MADE:
            yield name, _MADE[name](value)


def _members(value: Globs | str, lists: Mapping[str, Globs]) -> Globs:
    return lists[value] if isinstance(value, str) else value


def _inside(globs: Globs) -> Holds:
    return lambda value: value is not None and globs.matches(value)


def _outside(globs: Globs, none: bool) -> Holds:
    return lambda value: none if value is None else not globs.matches(value)


def _among(words: tuple[str, ...]) -> Holds:
    folded = frozenset(word.casefold() for word in words)
    return lambda value: value is not None and value.casefold() in folded


def _some(globs: Globs) -> Holds:
    return lambda values: any(globs.matches(value) for value in values or ())


class Imports:
    """Whether a file imports something of these, or, `beyond`, anything else."""

    def __init__(self, globs: Globs | None, *, beyond: bool = False) -> None:
        self._globs, self._beyond = globs, beyond

    def among(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name in names if (self._globs is not None and self._globs.matches(name)) != self._beyond)

    def __call__(self, names: tuple[str, ...] | None) -> Verdict:
        if names is None:
            return False
        return True if self.among(names) else UNKNOWN if isinstance(names, Partial) else False


def _compared(wanted: Compared) -> Holds:
    holds, bound = _SIGNS[wanted.sign], wanted.bound
    return lambda value: value is not None and holds(value, bound)


_MADE: Mapping[str, Callable[[Any], Holds]] = {
    "hub": lambda words: lambda value: value in words,
    "type": lambda words: lambda value: value in words,
    "client": lambda networks: lambda value: value is not None and any(value in network for network in networks),
    "gated": lambda states: lambda value: value in states or (True in states and value not in (False, None)),
    "private": lambda wanted: lambda value: value == wanted,
    "has_safetensors_twin": lambda wanted: lambda value: value == wanted,
    "repo_size": _compared,
    "revision_age": _compared,
    "tags": _some,
    "base_model": _some,
    "pickle_imports": Imports,
    "hub_scan": _among,
    "digest": _among,
    "template": _among,
}


def _licence(wanted: License, side: Side) -> Holds:
    conditions = [_has_id(wanted.id, side)] if wanted.id else []
    conditions += [
        _has(name, frozenset(value.casefold() for value in values), wanted.accept_conditional)
        for name in (*sorted(ATTRIBUTES), "mirror")
        if (values := getattr(wanted, name)) is not None
    ]
    strongest = side is Side.BARRIER  # one of several licences that settles it

    def holds(licences: tuple[LicenceLike, ...]) -> Verdict:
        found = [_all(condition(licence) for condition in conditions) for licence in licences]
        if strongest in found:
            return strongest
        return UNKNOWN if UNKNOWN in found else not strongest

    return holds


def _all(verdicts: Iterator[Verdict]) -> Verdict:
    found = list(verdicts)
    return False if False in found else UNKNOWN if UNKNOWN in found else True


def opaque(licence: LicenceLike) -> bool:
    """Nobody knows what it allows: a family without a version, `other`, words of the uploader's own."""
    return isinstance(licence, Unrecognised)


def _has_id(globs: Globs, side: Side) -> Callable[[LicenceLike], Verdict]:
    settles = any if side is Side.BARRIER else all

    def holds(licence: LicenceLike) -> Verdict:
        if settles(map(globs.matches, licence.id.split(" AND "))):
            return True
        return UNKNOWN if opaque(licence) else False

    return holds


def _has(name: str, wanted: frozenset[str], accept_conditional: bool) -> Callable[[LicenceLike], Verdict]:
    taken = wanted | {"cond"} if accept_conditional and "yes" in wanted else wanted

    def holds(licence: LicenceLike) -> Verdict:
        said = _said(licence.mirror if name == "mirror" else licence.attributes.get(name))
        return True if said & taken else UNKNOWN if "unknown" in said else False

    return holds


def _said(value: object) -> frozenset[str]:
    """The words by which a rule may test it; of an attribute that is a list each member, and whether there are any."""
    if isinstance(value, tuple):
        return frozenset(["yes", *(str(each).casefold() for each in value)] if value else ["no", "none"])
    return frozenset(["unknown" if value is None else str(value).casefold()])
