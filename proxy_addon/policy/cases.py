"""Cases: what a policy is expected to say of a repo that is described in the same words as rules are.

What a case does not give is ordinary: an open, scanned repo of a year ago, with nothing in it that a scan would find.
Its licence is unknown, though, and so is every fact given as `unknown`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time
from ipaddress import ip_address
from typing import Any

from ..written import units
from .facts import GATES, UNKNOWN, Facts, Unrecognised
from .judge import Allow, Answer, Deny, Policy
from .licences import canonical
from .schema import Case

_YEAR = 365 * 86400.0
_ORDINARY: Mapping[str, object] = {
    "commit": None, "license": UNKNOWN, "license_conflict": None, "gated": False, "private": False, "repo_size": 0,
    "tags": (), "base_model": (), "hub_scan": "safe", "has_safetensors_twin": False, "digest": None,
    "pickle_imports": None, "template": None,
}  # fmt: skip
_OF_REQUEST = ("hub", "type", "repo", "revision", "path", "client", "user")


@dataclass(frozen=True, slots=True)
class Outcome:
    """`differences` are empty when all is as expected."""

    name: str
    place: str
    differences: tuple[str, ...] = ()


def facts(given: Mapping[str, Any], now: float) -> Facts:
    """Raises ValueError with the fix in it."""
    if strange := sorted(given.keys() - GATES.keys() | {"namespace"} & given.keys()):
        known = ", ".join(sorted(GATES.keys() - {"namespace"}))
        raise ValueError(f"{', '.join(strange)}: not to be given; use {known}")
    if not isinstance(given.get("repo"), str):
        raise ValueError("`repo` is missing; write it, such as repo: org/name")
    usual = {"hub": "huggingface", "type": "model"}
    asked = {name: _value(name, given[name], now) for name in given}
    request = Facts.of_request(**{**usual, **{name: asked[name] for name in _OF_REQUEST if name in asked}})  # type: ignore[arg-type]
    rest = {name: value for name, value in asked.items() if name not in _OF_REQUEST}
    ordinary = {name: value for name, value in _ORDINARY.items() if name not in request.values}
    ordinary |= {"author": request.values["namespace"], "revision_age": now - _YEAR}
    return request.told("case", **{**ordinary, **rest})


def _value(name: str, given: Any, now: float) -> object:
    if given == "unknown" and name not in ("repo", "hub", "type"):
        return UNKNOWN
    texts = given if isinstance(given, list) else [given]
    match name:
        case "license":
            return tuple(canonical(text, hub="huggingface") or Unrecognised(text) for text in map(str, texts))
        case "tags" | "base_model" | "pickle_imports":
            return None if given is None else tuple(map(str, texts))
        case "repo_size":
            return units.size(given)
        case "revision_age":
            return now - units.duration(given)
        case "client":
            return ip_address(str(given))
    if name in ("private", "has_safetensors_twin") and not isinstance(given, bool):
        raise ValueError(f"{name}: {given!r} is neither true, false nor unknown")
    if name != "gated" and not isinstance(given, str | bool | None):
        raise ValueError(f"{name}: {given!r} is not text; write it in quotes")
    return given


def fault(case: Case, now: float) -> str | None:
    try:
        facts(case.given, now)
    except (TypeError, ValueError) as wrong:
        return f"{wrong}; correct it"
    return None


def at(case: Case, now: float) -> float:
    return now if case.at is None else datetime.combine(case.at, time(12), UTC).timestamp()


def outcome(policy: Policy, case: Case, place: str, now: float) -> Outcome:
    """Raises ValueError for a case that cannot be read."""
    when = at(case, now)
    answer = policy.judge(facts(case.given, when), when)
    return Outcome(case.name, place, tuple(_differences(case, answer)))


def _differences(case: Case, answer: Answer) -> Iterable[str]:
    expected, rules = case.expect, tuple[str, ...]()
    match answer:
        case Deny():
            said, rules = "deny", (answer.rule,)
            because = f" by {answer.rule} ({answer.place}): {answer.reason}"
        case Allow():
            said, rules = "allow", answer.by
            because = f" by {', '.join(rules)}" if rules else ", as nothing denies it"
        case _:
            said, because = "need", f" of {', '.join(sorted(answer.facts))}"
    if said != expected.decision:
        yield f"expected {expected.decision}, got {said}{because}"
    elif expected.rule is not None and expected.rule not in rules:
        yield f"expected {said} by {expected.rule}, got {said}{because}"
    if expected.would_deny is not None:
        heard = {spoke.rule for spoke in getattr(answer, "audit", ())}
        if heard != {*expected.would_deny}:
            wanted = ", ".join(expected.would_deny)
            yield f"expected that {wanted} would deny, got {', '.join(sorted(heard)) or 'none'}"
