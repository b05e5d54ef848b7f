"""Every rule that was tried on a request, what came of it and why: the long form of `Policy.judge`.

The answer is the judge's own; what stands beside it says the same: the steps that deny are its `ids`, those in audit
mode its `audit`, what a barrier still waits for its `Need`, and what lets pass its `by`. Pure, as the judge is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum, auto

from .facts import UNKNOWN, Facts
from .index import PENDING, Entry, Tier
from .judge import Allow, Answer, Deny, Need, Policy, aged, spoken
from .matching import State, Test

#: Facts by which a rule is about somebody else's request.
_OF_OTHERS = frozenset({"hub", "type", "namespace", "repo", "user", "client"})
KINDS = {Tier.EMBARGO: "embargo", Tier.DENY: "deny", Tier.APPROVAL: "approval_required", Tier.SCAN: "scan"}


class Outcome(StrEnum):
    DENIES = auto()
    WOULD_DENY = auto()  # in audit mode
    LIFTED = auto()  # it matched, and something lets pass what it would stop
    LETS_PASS = auto()
    UNUSED = auto()  # it would let pass, and nothing was in the way
    PENDING = auto()  # facts that nobody has asked for yet would tell
    NO_MATCH = auto()
    EXPIRED = auto()


class Said(StrEnum):
    """What a fact says to one test. `UNKNOWN_*`: nobody can say, and that is taken so."""

    YES = auto()
    NO = auto()
    ABSENT = auto()  # not asked for yet
    UNKNOWN_YES = auto()
    UNKNOWN_REVIEW = auto()  # it matches, and wants an approval
    UNKNOWN_NO = auto()

    @property
    def against(self) -> bool:
        return self in (Said.NO, Said.UNKNOWN_NO)


_TAKEN = {State.YES: Said.UNKNOWN_YES, State.REVIEW: Said.UNKNOWN_REVIEW, State.NO: Said.UNKNOWN_NO}


@dataclass(frozen=True, slots=True)
class Finding:
    fact: str
    said: Said


@dataclass(frozen=True, slots=True)
class Step:
    """One rule, class, approval, exception or default. `lifted_by` are ids, `waits` the facts that would tell."""

    id: str
    place: str
    kind: str  # embargo | deny | approval_required | scan | default | allow | exception | approval
    outcome: Outcome
    findings: tuple[Finding, ...] = ()
    lifted_by: tuple[str, ...] = ()
    waits: frozenset[str] = frozenset()
    decided: bool = False
    audit: bool = False
    reason: str = ""  # filled in, of a barrier that matched
    owner: str = ""
    tier: Tier = Tier.GRANT
    expires: float | None = None  # UNIX time

    @property
    def relevant(self) -> bool:
        """Not plainly about another repo or somebody else."""
        strangers = any(each.said.against and each.fact in _OF_OTHERS for each in self.findings)
        return self.outcome is not Outcome.NO_MATCH or not strangers


@dataclass(frozen=True, slots=True)
class Trace:
    answer: Answer
    steps: tuple[Step, ...]
    values: Mapping[str, object]  # as the tests read them: ages in seconds
    now: float

    def of(self, *outcomes: Outcome) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.outcome in outcomes)


def trace(policy: Policy, facts: Facts, now: float) -> Trace:
    """`now` is UNIX time."""
    values, answer = aged(facts.values, now), policy.judge(facts, now)
    allows = [_grant(each, "allow", values, now) for each in policy.allows]
    approvals = [_grant(each, "approval", values, now) for each in policy.approvals]
    exceptions = [_grant(each, "exception", values, now) for each in policy.exceptions]
    naming: dict[str, list[Step]] = {}
    for entry, step in zip(policy.exceptions, exceptions, strict=True):
        for id in entry.overrides:
            naming.setdefault(id, []).append(step)
    barriers = [_barrier(each, values, naming.get(each.id, ()), approvals) for each in policy.barriers]
    if policy.default is not None:
        barriers.append(_default(policy.default, values, allows, naming.get(policy.default.id, ())))
    used = {id for step in barriers for id in step.lifted_by}
    grants = (_told(step, used) for step in (*allows, *exceptions, *approvals))
    return Trace(answer, tuple(_deciding(answer, (*barriers, *grants))), values, now)


def _barrier(entry: Entry, values: Mapping[str, object], naming: Sequence[Step], approvals: Sequence[Step]) -> Step:
    step = Step(
        entry.id,
        entry.place,
        KINDS[entry.tier],
        Outcome.NO_MATCH,
        _findings(entry, values),
        audit=entry.audit,
        owner=entry.owner,
        tier=entry.tier,
    )
    state = entry.state(values)
    if state == PENDING:
        return replace(step, outcome=Outcome.PENDING, waits=frozenset(entry.missing(values)))
    if state == State.NO:
        return step
    tier = Tier.APPROVAL if state == State.REVIEW else entry.tier
    step = replace(step, tier=tier, reason=spoken(values, tier, entry).reason)
    if tier is Tier.EMBARGO:
        return _standing(step)
    return (
        _lifted(step, naming)
        or (_lifted(step, approvals) if tier is Tier.APPROVAL else None)
        or _waiting(step, (*naming, *(approvals if tier is Tier.APPROVAL else ())))
    )


def _default(entry: Entry, values: Mapping[str, object], allows: Sequence[Step], naming: Sequence[Step]) -> Step:
    """What an allow-list denies: all that no allow rule names."""
    step = Step(entry.id, entry.place, "default", Outcome.NO_MATCH, audit=entry.audit, tier=Tier.DEFAULT)
    if (lifted := _lifted(step, allows)) is not None:
        return lifted
    if waits := _waits(allows):
        return replace(step, outcome=Outcome.PENDING, waits=waits)
    step = replace(step, reason=spoken(values, Tier.DEFAULT, entry).reason)
    return _lifted(step, naming) or _waiting(step, naming)


def _lifted(step: Step, grants: Iterable[Step]) -> Step | None:
    ids = tuple(sorted({grant.id for grant in grants if grant.outcome is Outcome.UNUSED}))
    return replace(step, outcome=Outcome.LIFTED, lifted_by=ids) if ids else None


def _waiting(step: Step, grants: Iterable[Step]) -> Step:
    """It stands, unless what is not known yet of a grant may lift it."""
    waits = _waits(grants)
    return replace(step, outcome=Outcome.PENDING, waits=waits) if waits else _standing(step)


def _standing(step: Step) -> Step:
    return replace(step, outcome=Outcome.WOULD_DENY if step.audit else Outcome.DENIES)


def _waits(grants: Iterable[Step]) -> frozenset[str]:
    return frozenset().union(*(grant.waits for grant in grants))


def _grant(entry: Entry, kind: str, values: Mapping[str, object], now: float) -> Step:
    state, expires = entry.state(values), entry.expires
    outcome = {State.NO: Outcome.NO_MATCH, PENDING: Outcome.PENDING}.get(state, Outcome.UNUSED)
    if expires is not None and now >= expires and outcome is not Outcome.NO_MATCH:
        outcome = Outcome.EXPIRED
    waits = frozenset(entry.missing(values)) if outcome is Outcome.PENDING else frozenset[str]()
    return Step(
        entry.id, entry.place, kind, outcome, _findings(entry, values), waits=waits, owner=entry.owner, expires=expires
    )


def _told(step: Step, used: set[str]) -> Step:
    return replace(step, outcome=Outcome.LETS_PASS) if step.id in used else step


def _deciding(answer: Answer, steps: Iterable[Step]) -> Iterator[Step]:
    for step in steps:
        match answer:
            case Deny(rule=rule):
                decided = step.id == rule
            case Allow(by=by):
                decided = step.id in by
            case Need(facts=facts):
                decided = step.outcome is Outcome.PENDING and step.tier is not Tier.GRANT and step.waits <= facts
        yield replace(step, decided=decided) if decided else step


def _findings(entry: Entry, values: Mapping[str, object]) -> tuple[Finding, ...]:
    return tuple(Finding(test.fact, _said(test, values)) for test in entry.tests)


def _said(test: Test, values: Mapping[str, object]) -> Said:
    if test.fact not in values:
        return Said.ABSENT
    value = values[test.fact]
    verdict = UNKNOWN if value is UNKNOWN else test.holds(value)
    if verdict is UNKNOWN:
        return _TAKEN[test.unknown]
    return Said.YES if verdict else Said.NO
