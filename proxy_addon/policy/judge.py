"""A policy judges what is known of a request: Allow, Deny, or Need of facts that would settle it.

    1 embargoed                            deny; nothing lifts it
    2 an exception names the rule          that rule is lifted, which is recorded
    3 a deny rule                          deny
    4 restricted, or approval required     deny, unless an approval covers it
    5 a scan verdict                       deny
    6 an allow rule, else the default      allow or deny

Everything speaks, so no order of files or rules matters. Invariants: an answer with fewer facts is Need or the answer
with all of them; one more barrier never lets more pass; an exception lifts only what it names. A barrier in audit mode
is heard and told of, and denies nothing. Pure: `now` is UNIX time.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from functools import cached_property

from .facts import UNKNOWN, Facts, words
from .index import ROOM, Entry, Heard, Index, Tier
from .matching import Imports, State
from .wording import Decision, Denial

DEFAULT = "defaults.decision"
_FIELD = re.compile(r"\{([a-z_.]+)\}")
_OUR_REASON = {
    Tier.EMBARGO: "{repo} is embargoed.",
    Tier.DENY: "{repo} is denied by this rule.",
    Tier.APPROVAL: "{repo} needs an approval first.",
    Tier.SCAN: "The scan of {repo} says no.",
    Tier.DEFAULT: "{repo} is not on the list of what is allowed.",
}


@dataclass(frozen=True, slots=True)
class Spoke:
    """A barrier that matched without denying: in audit mode, or lifted."""

    rule: str
    place: str
    reason: str


@dataclass(frozen=True, slots=True)
class Allow:
    """`by` names what let it pass: allow rules, exceptions, approvals. `audit` would have denied."""

    by: tuple[str, ...] = ()
    audit: tuple[Spoke, ...] = ()


@dataclass(frozen=True, slots=True)
class Deny:
    """`ids` are all that deny, the one whose words these are among them."""

    rule: str
    place: str
    tier: Tier
    reason: str
    owner: str = ""
    contact: str = ""
    request_url: str = ""
    ids: tuple[str, ...] = ()
    audit: tuple[Spoke, ...] = ()

    @property
    def denial(self) -> Denial:
        kinds = {Tier.EMBARGO: Decision.EMBARGOED, Tier.APPROVAL: Decision.APPROVAL}
        decision = kinds.get(self.tier, Decision.DENIED)
        return Denial(self.rule, self.reason, decision, self.owner, self.contact, self.request_url)


@dataclass(frozen=True, slots=True)
class Need:
    facts: frozenset[str]


_ALLOW = Allow()
type Answer = Allow | Deny | Need
type Standing = tuple[Tier, Entry]
type _Grants = tuple[Set[str], Set[str]]  # the ids of those that hold; the facts that others wait for
_NONE: _Grants = (frozenset(), frozenset())


@dataclass(frozen=True)
class Policy:
    """Compiled, and never changed. `digest` names these rules among all others."""

    barriers: tuple[Entry, ...] = ()
    exceptions: tuple[Entry, ...] = ()
    approvals: tuple[Entry, ...] = ()
    allows: tuple[Entry, ...] = ()
    default: Entry | None = None  # the barrier that an allow-list is; None lets pass what nothing denies
    contact: str = ""
    request_url: str = ""
    digest: str = ""

    @cached_property
    def _barriers(self) -> Index:
        return Index(self.barriers)

    @cached_property
    def _allows(self) -> Index:
        return Index(self.allows)

    @cached_property
    def _approvals(self) -> Index:
        return Index(self.approvals)

    @cached_property
    def _lifting(self) -> Mapping[str, Index]:
        found: dict[str, list[Entry]] = {}
        for each in self.exceptions:
            for id in each.overrides:
                found.setdefault(id, []).append(each)
        return {id: Index(entries, ROOM // len(found)) for id, entries in found.items()}

    @cached_property
    def _ends(self) -> list[float]:
        """When grants end."""
        return sorted({each.expires for each in (*self.exceptions, *self.approvals) if each.expires is not None})

    @cached_property
    def _ages(self) -> list[float]:
        """Of a revision, in seconds, at which some entry begins or ends to match."""
        matches = (e.match for e in (*self.barriers, *self.allows, *self.exceptions, *self.approvals))
        return sorted({match.revision_age.bound for match in matches if match is not None and match.revision_age})

    @property
    def size(self) -> int:
        """Rules, classes, approvals and exceptions in force."""
        return sum(map(len, (self.barriers, self.exceptions, self.approvals, self.allows)))

    @property
    def open(self) -> bool:
        """Nothing here could deny anything."""
        return not self.barriers and self.default is None

    @property
    def enforces(self) -> bool:
        """Not all that could deny is in audit mode."""
        return any(not entry.audit for entry in (*self.barriers, *filter(None, [self.default])))

    def ready(self) -> None:
        """Builds what the first decision would else have to wait for."""
        _ = self._barriers, self._allows, self._approvals, self._lifting, self._ends, self._ages

    def until(self, facts: Facts, now: float) -> float:
        """The time before which these facts are judged as they are now, unless others come."""
        next_end = bisect_right(self._ends, now)
        until = self._ends[next_end] if next_end < len(self._ends) else math.inf
        if isinstance(made := facts.values.get("revision_age"), int | float):
            next_age = bisect_left(self._ages, now - made)  # of that very age a moment later may tell otherwise
            if next_age < len(self._ages):
                until = min(until, made + self._ages[next_age])
        return until

    def judge(self, facts: Facts, now: float) -> Answer:
        values = aged(facts.values, now)
        matched, waiting = self._barriers.heard(values, now)
        if not matched and not waiting and self.default is None:
            return _ALLOW
        fired = [(Tier.APPROVAL if state == State.REVIEW else entry.tier, entry) for entry, state in matched]
        return self._settled(values, now, fired, waiting)

    def _settled(self, values: Mapping[str, object], now: float, fired: list[Standing], waiting: set[str]) -> Answer:
        by: set[str] = set()
        need: set[str] = set()
        if self.default is not None:
            allowed, open = _ids(self._allows.heard(values, now))
            by |= allowed
            if not allowed and open:
                need |= open
            elif not allowed:
                fired.append((Tier.DEFAULT, self.default))
        standing: list[Standing] = []
        for tier, entry in fired:
            lifted, open = self._lifted(tier, entry, values, now)
            by |= lifted
            if not lifted and open:
                need |= open
            elif not lifted:
                standing.append((tier, entry))
        enforced = [each for each in standing if not each[1].audit]
        audit = tuple(sorted((spoken(values, *each) for each in standing if each[1].audit), key=lambda s: s.rule))
        if enforced:
            return self._denied(values, enforced, audit)
        if need or waiting:
            return Need(frozenset(need | waiting))
        return Allow(tuple(sorted(by)), audit)

    def _lifted(self, tier: Tier, entry: Entry, values: Mapping[str, object], now: float) -> _Grants:
        """What lifts it; what would have to be known to tell."""
        if tier is Tier.EMBARGO:
            return _NONE
        exceptions = self._lifting.get(entry.id)
        lifted, open = _NONE if exceptions is None else _ids(exceptions.heard(values, now))
        if not lifted and tier is Tier.APPROVAL:
            more, also = _ids(self._approvals.heard(values, now))
            lifted, open = lifted | more, open | also
        return lifted, open

    def _denied(self, values: Mapping[str, object], standing: list[Standing], audit: tuple[Spoke, ...]) -> Deny:
        first = min(tier for tier, _ in standing)
        speakers = [e for tier, e in standing if tier == first]
        if first is Tier.SCAN:  # what was found is told before what is not known
            speakers = [e for e in speakers if not e.unsure(values)] or speakers
        entry = min(speakers, key=lambda e: e.specific(values))
        ids = tuple(sorted({each.id for _, each in standing}))
        told = spoken(values, first, entry)
        contact, url = self.contact, self.request_url
        return Deny(entry.id, entry.place, first, told.reason, entry.owner, contact, url, ids, audit)


def aged(values: Mapping[str, object], now: float) -> Mapping[str, object]:
    """As matchers read them: the age of a revision in seconds, where the fact is the time at which it was made."""
    made = values.get("revision_age")
    return {**values, "revision_age": now - made} if isinstance(made, int | float) else values


def _ids(heard: tuple[list[Heard], set[str]]) -> _Grants:
    found, open = heard
    return {entry.id for entry, _ in found}, open


def spoken(values: Mapping[str, object], tier: Tier, entry: Entry) -> Spoke:
    """What a barrier says to whom it stops."""
    unsure = entry.unsure(values)
    if unsure and not (tier is Tier.SCAN and isinstance(values.get("path"), str)):
        names = " and ".join(fact.replace("_", " ") for fact in dict.fromkeys(unsure))
        verb = "are" if len(set(unsure)) > 1 else "is"
        text = f"The {names} of {{repo}} {verb} not known, and this rule does not let that pass."
    else:
        text = entry.reason or _OUR_REASON.get(tier, "")
    return Spoke(entry.id, entry.place, filled(text, _objected(entry, values), entry.id))


def _objected(entry: Entry, values: Mapping[str, object]) -> Mapping[str, object]:
    """Of what a file imports, that which this entry is about."""
    names = values.get("pickle_imports")
    about = next((test.holds for test in entry.tests if isinstance(test.holds, Imports)), None)
    found = about.among(names) if about is not None and isinstance(names, tuple) else ()
    return {**values, "pickle_imports": found} if found else values


def filled(text: str, values: Mapping[str, object], rule: str) -> str:
    """`{license.id}`, `{repo}` and the like, put in once: what is put in is not looked at again."""
    return _FIELD.sub(lambda found: rule if found[1] == "rule" else words(values, found[1]), text)


def fields(text: str) -> Iterable[str]:
    """The names in braces."""
    return _FIELD.findall(text)


__all__ = [
    "DEFAULT", "UNKNOWN", "Allow", "Answer", "Deny", "Need", "Policy", "Spoke", "aged", "fields", "filled", "spoken",
]  # fmt: skip
