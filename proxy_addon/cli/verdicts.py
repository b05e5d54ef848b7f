"""A decision about one repo or file, as a value for programs and in words for people.

Both are made of the same `Trace`: what a program reads and what is on the screen cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..core.messages import Request
from ..hub.targets import spelled
from ..policy.facts import GATES, UNKNOWN, words
from ..policy.judge import Allow, Answer, Deny, Need, Policy
from ..policy.otherwise import Change, What, changes
from ..policy.trace import Said, Step, Trace, trace
from ..policy.wording import words as wording
from .report import last_day

if TYPE_CHECKING:
    from ..answer.inspection import Known

DECISIONS = {Allow: "allow", Deny: "deny", Need: "undecided"}
_TIMES = frozenset({"revision_age"})


@dataclass(frozen=True, slots=True)
class Verdict:
    known: Known
    traced: Trace
    changes: tuple[Change, ...]

    @property
    def decision(self) -> str:
        return decision(self.traced.answer)


def decision(answer: Answer) -> str:
    return DECISIONS[type(answer)]


def verdict(policy: Policy, known: Known, now: float) -> Verdict:
    found = trace(policy, known.facts, now)
    return Verdict(known, found, changes(policy, known.facts, found))


def described(verdict: Verdict, request: Request) -> dict[str, Any]:
    known, answer = verdict.known, verdict.traced.answer
    subject, denies = known.subject, isinstance(answer, Deny)
    places = {step.id: step for step in verdict.traced.steps}
    return {
        "repo": spelled(subject.repo),
        "revision": subject.rev,
        "path": known.facts.values.get("path") if known.facts.values.get("path") is not UNKNOWN else None,
        "digest": subject.digest or None,
        "decision": verdict.decision,
        "rule": answer.rule if isinstance(answer, Deny) else None,
        "place": answer.place if isinstance(answer, Deny) else None,
        "denied_by": list(answer.ids) if isinstance(answer, Deny) else [],
        "would_deny": [] if isinstance(answer, Need) else [spoke.rule for spoke in answer.audit],
        "by": list(answer.by) if isinstance(answer, Allow) else [],
        "needs": sorted(answer.facts) if isinstance(answer, Need) else [],
        "shown": wording(answer.denial, request, subject, "id").text if denies else None,  # type: ignore[union-attr]
        "missing": known.missing,
        "facts": _facts(known, verdict.traced.now),
        "rules": [_step(step, verdict.traced.values) for step in verdict.traced.steps],
        "changes": [_change(change, places) for change in verdict.changes],
    }


def _facts(known: Known, now: float) -> dict[str, Any]:
    values, sources = known.facts.values, known.facts.sources
    told = {
        name: {
            "value": plain(values[name]),
            "known": values[name] is not UNKNOWN,
            "text": spoken(name, values, now),
            "source": sources.get(name, ""),
        }
        for name in GATES
        if name in values
    }
    if "client" in told and values["client"] is UNKNOWN:
        told["client"]["source"] = "not given (--client)"
    for name, why in known.lacking.items():
        if name not in values:
            told[name] = {"value": None, "known": False, "text": "unknown", "source": f"could not be asked: {why}"}
    return told


def plain(value: object) -> Any:
    """As JSON has it; a licence by its id."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if value is UNKNOWN:
        return None
    if isinstance(value, tuple):
        return [plain(each) for each in value]
    return getattr(value, "id", None) or str(value)


def spoken(name: str, values: Mapping[str, object], now: float) -> str:
    value = values.get(name, UNKNOWN)
    if name in _TIMES and isinstance(value, int | float):
        return f"{ago(now - value)}, made {datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M} UTC"
    return words(values, name) or "none"


def ago(seconds: float) -> str:
    for unit, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{int(seconds // unit)} {name}"
    return f"{max(0, int(seconds))} seconds"


def _step(step: Step, values: Mapping[str, object]) -> dict[str, Any]:
    return {
        "id": step.id,
        "kind": step.kind,
        "place": step.place,
        "outcome": str(step.outcome),
        "decided": step.decided,
        "relevant": step.relevant,
        "mode": "audit" if step.audit else "enforce",
        "tests": [{"fact": each.fact, "said": str(each.said)} for each in step.findings],
        "why": _why(step, values),
        "lifted_by": list(step.lifted_by),
        "needs": sorted(step.waits),
        "reason": step.reason or None,
        "owner": step.owner or None,
        "expires": None if step.expires is None else last_day(step.expires),
    }


_TAKEN = {
    Said.UNKNOWN_YES: "{} is not known, which counts as a match",
    Said.UNKNOWN_REVIEW: "{} is not known, which wants an approval",
    Said.UNKNOWN_NO: "{} is not known, which does not count as a match",
    Said.ABSENT: "{} was not asked for",
}


def _why(step: Step, values: Mapping[str, object]) -> str:
    """Of what does not match, what is against it; else all that it went by."""
    against = [each for each in step.findings if each.said.against]
    said = []
    for each in dict.fromkeys(against or step.findings):
        name = each.fact.replace("_", " ")
        value = f"{name}: {_value(each.fact, values)}"
        said.append(_TAKEN[each.said].format(name) if each.said in _TAKEN else value)
    return "; ".join(said)


def _value(fact: str, values: Mapping[str, object]) -> str:
    age = values.get(fact)
    if fact in _TIMES and isinstance(age, int | float):
        return ago(age)
    return words(values, fact) or "none"


def _change(change: Change, steps: Mapping[str, Step]) -> dict[str, Any]:
    facts = change.names if change.what is What.KNOWN else ()
    return {
        "what": str(change.what),
        "rules": [] if facts else list(change.names),
        "facts": {name: plain(change.values.get(name)) for name in facts},
        "decision": decision(change.answer),
        "text": _in_words(change, steps),
    }


def _in_words(change: Change, steps: Mapping[str, Step]) -> str:
    named = [f"{id} ({steps[id].place})" if id in steps and steps[id].place else id for id in change.names]
    all_of, ids = _and(named), _and(change.names)
    day = next((last_day(at) for id in change.names if id in steps and (at := steps[id].expires) is not None), "")
    match change.what:
        case What.WITHOUT:
            return f"without {all_of}"
        case What.EXCEPTION:
            return f"with an exception that names {ids}"
        case What.APPROVAL:
            return "with an approval for it"
        case What.ALLOWED:
            return "with an allow rule that names it"
        case What.RENEWED:
            return f"if {all_of}, which ended on {day}, were granted anew"
        case What.ENFORCED:
            return f"if {all_of} were not in audit mode"
        case What.LATER:
            return f"when {all_of} has ended, after {day}"
        case What.KNOWN:
            facts = _and([name.replace("_", " ") for name in change.names])
            like = [words(change.values, name) for name in change.names if change.values.get(name) is not None]
            return f"if the {facts} were known" + (
                f", and were {like[0]} for example" if len(change.names) == 1 == len(like) else ""
            )


def _and(names: tuple[str, ...] | list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
