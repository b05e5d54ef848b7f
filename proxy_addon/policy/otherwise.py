"""What would have to be otherwise for a request to be decided otherwise.

A suggestion is made only after it was tried: applied to the rules, the facts or the time, it changes the decision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum, auto

from .facts import UNKNOWN, Facts
from .index import Entry, Tier
from .judge import Allow, Answer, Deny, Need, Policy
from .licences import canonical
from .trace import Outcome, Said, Step, Trace

_NEW = "(new)"  # no id of a rule is written so
_LICENCES = ("mit", "apache-2.0", "gpl-3.0", "llama3.1", "cc-by-nc-4.0")
#: What a fact might turn out to be, the likeliest to be allowed first.
_MIGHT_BE: Mapping[str, tuple[object, ...]] = {
    "commit": (None,),
    "license": tuple((found,) for text in _LICENCES if (found := canonical(text, hub="huggingface")) is not None),
    "license_conflict": (None, "it differs from that of the base model"),
    "gated": (False, "manual"),
    "private": (False, True),
    "repo_size": (0, 1 << 50),
    "tags": ((),),
    "base_model": ((),),
    "hub_scan": ("safe", "unsafe"),
    "revision_age": (0.0,),
    "has_safetensors_twin": (False, True),
    "author": (None,),
    "path": (None,),
    "digest": (None,),
    "pickle_imports": (None,),
    "template": ("safe", "unsafe"),
}


type _Make = Callable[[Entry], Entry | None]


class What(StrEnum):
    WITHOUT = auto()  # without these rules, exceptions or approvals
    EXCEPTION = auto()  # with an exception that names these rules
    APPROVAL = auto()  # with an approval
    ALLOWED = auto()  # with an allow rule
    RENEWED = auto()  # if this exception or approval had not expired
    ENFORCED = auto()  # if this rule were not in audit mode
    LATER = auto()  # when this exception or approval has expired
    KNOWN = auto()  # if these facts were known, and were `values`


@dataclass(frozen=True, slots=True)
class Change:
    """`names` are ids of rules, or facts; `values` what these might be; `at` is UNIX time."""

    what: What
    names: tuple[str, ...]
    answer: Answer  # what it would then be
    values: Mapping[str, object] = field(default_factory=dict)
    at: float | None = None


def applied(change: Change, policy: Policy, facts: Facts, now: float) -> tuple[Policy, Facts, float]:
    """The rules, facts and time in which it is so."""
    match change.what:
        case What.KNOWN:
            return policy, Facts({**facts.values, **change.values}, facts.sources), now
        case What.LATER:
            return policy, facts, now if change.at is None else change.at
        case _:
            return _other(policy, change.what, frozenset(change.names)), facts, now


def _other(policy: Policy, what: What, names: frozenset[str]) -> Policy:
    grant = Entry(_NEW, "", Tier.GRANT, ())
    match what:
        case What.EXCEPTION:
            return replace(policy, exceptions=(*policy.exceptions, replace(grant, overrides=names)))
        case What.APPROVAL:
            return replace(policy, approvals=(*policy.approvals, grant))
        case What.ALLOWED:
            return replace(policy, allows=(*policy.allows, grant))
        case What.RENEWED:
            return _mapped(policy, names, lambda entry: replace(entry, expires=None))
        case What.ENFORCED:
            return _mapped(policy, names, lambda entry: replace(entry, audit=False))
    return _mapped(policy, names, lambda entry: None)


def _mapped(policy: Policy, names: frozenset[str], made: _Make) -> Policy:
    def each(entries: Iterable[Entry]) -> tuple[Entry, ...]:
        others = (made(entry) if entry.id in names else entry for entry in entries)
        return tuple(entry for entry in others if entry is not None)

    return replace(
        policy,
        barriers=each(policy.barriers),
        exceptions=each(policy.exceptions),
        approvals=each(policy.approvals),
        allows=each(policy.allows),
        default=next(iter(each([policy.default] if policy.default else [])), None),
    )


def changes(policy: Policy, facts: Facts, traced: Trace) -> tuple[Change, ...]:
    """Those that change the decision, what the least need be done for first."""
    found: list[Change] = []
    for change in _candidates(policy, facts, traced):
        answer = Policy.judge(*applied(change, policy, facts, traced.now))
        if type(answer) is not type(traced.answer):
            found.append(replace(change, answer=answer))
    return tuple(found)


def _candidates(policy: Policy, facts: Facts, traced: Trace) -> Iterator[Change]:
    match traced.answer:
        case Deny(ids=ids) as answer:
            yield from _known(policy, facts, traced, _unknown(traced.of(Outcome.DENIES), facts))
            for step in traced.of(Outcome.EXPIRED):
                yield Change(What.RENEWED, (step.id,), answer)
            yield Change(What.APPROVAL, (), answer)
            if policy.default is not None and policy.default.id in ids:
                yield Change(What.ALLOWED, (), answer)
            yield Change(What.EXCEPTION, ids, answer)
            yield Change(What.WITHOUT, ids, answer)
        case Allow(by=by) as answer:
            for step in traced.of(Outcome.WOULD_DENY):
                yield Change(What.ENFORCED, (step.id,), answer)
            for step in traced.of(Outcome.LETS_PASS):
                if step.expires is not None:
                    yield Change(What.LATER, (step.id,), answer, at=step.expires)
            for id in by:
                yield Change(What.WITHOUT, (id,), answer)
            if len(by) > 1:
                yield Change(What.WITHOUT, by, answer)
            yield from _known(policy, facts, traced, _unknown(traced.of(Outcome.NO_MATCH), facts))
        case Need() as answer:
            yield from _settled(policy, facts, traced, answer)


def _unknown(steps: Sequence[Step], facts: Facts) -> list[str]:
    """Facts that these went by without knowing them."""
    said = {Said.UNKNOWN_YES, Said.UNKNOWN_REVIEW, Said.UNKNOWN_NO}
    found = (each.fact for step in steps for each in step.findings if each.said in said)
    return [fact for fact in dict.fromkeys(found) if fact in _MIGHT_BE]


def _known(policy: Policy, facts: Facts, traced: Trace, names: Sequence[str]) -> Iterator[Change]:
    """Each by itself, with the first value that makes a difference."""
    for name in names:
        for value in _MIGHT_BE[name]:
            change = Change(What.KNOWN, (name,), traced.answer, {name: value})
            other, told, now = applied(change, policy, facts, traced.now)
            if type(other.judge(told, now)) is not type(traced.answer):
                yield change
                break


def _settled(policy: Policy, facts: Facts, traced: Trace, need: Need) -> Iterator[Change]:
    """All that has to be known, in as many rounds as the judge asks."""
    values: dict[str, object] = {}
    answer: Answer = need
    while isinstance(answer, Need):
        values |= {name: _MIGHT_BE.get(name, (UNKNOWN,))[0] for name in answer.facts}
        answer = policy.judge(Facts({**facts.values, **values}), traced.now)
    yield Change(What.KNOWN, tuple(sorted(values)), need, values)
