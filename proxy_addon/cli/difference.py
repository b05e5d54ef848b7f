"""`hubgate rules diff OLD NEW`: what real requests would meet under other rules.

Exit 0: no request is decided otherwise. 1: some are. 2: faults. 3: none could be judged. `--json` prints an object:

    exit                  0..3
    old, new              {digest, count, files}
    population            log | cache
    requests              that were judged, or {files} of the cache; `users` behind them, client addresses where the log
                          names no user
    blocked, allowed, would_deny
                          newly blocked, newly allowed, newly told of by a rule in audit mode: {requests, users, rows};
                          a row for each rule and repo, most first: {rule, place, repo, requests, users, files,
                          example}; for what is newly allowed the rule is the one that denied it before
    unjudged              {requests, why: {reason: requests}}: facts were lacking that decide
    unplaced, beside, left_out, unread
                          requests of which nobody can tell the repo; about none, or writing; over the limit; lines that
                          are none of an access log
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..config import Settings
from ..core.errors import UpstreamFailed
from ..core.messages import Headers, Request
from ..hub.resources import Subject
from ..hub.targets import spelled
from ..policy.facts import Facts
from ..policy.judge import Allow, Deny, Need, Policy
from ..policy.load import Loaded, load
from . import options
from .accesses import Accesses
from .inspecting import AGENT, SHUT, Naming, inspecting, token
from .output import as_json, counted, near, say, table, tell
from .population import Population, Who, of_cache, of_log
from .report import Log, entries, logs

if TYPE_CHECKING:
    from ..answer.inspection import Inspection, Known

_WORDS = {"blocked": "newly blocked", "allowed": "newly allowed", "would_deny": "newly in audit: would be denied"}
_PERSONAL = frozenset({"client", "user"})
_NOBODY = "nobody knows which repo they are from"


@dataclass(slots=True)
class Row:
    requests: int = 0
    users: set[str] = field(default_factory=set)
    files: set[Subject] = field(default_factory=set)


@dataclass(slots=True)
class Difference:
    """Rows by (kind, rule, place, repo)."""

    rows: dict[tuple[str, str, str, str], Row] = field(default_factory=dict)
    unjudged: Counter[str] = field(default_factory=Counter)
    judged: int = 0
    totals: Counter[str] = field(default_factory=Counter)
    beside: int = 0

    def note(self, kind: str, rule: str, place: str, subject: Subject, who: Who, count: int) -> None:
        row = self.rows.setdefault((kind, rule, place, spelled(subject.repo)), Row())
        row.requests += count
        row.files.add(subject)
        if who.name:
            row.users.add(who.name)


def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="A rule file or a directory of them.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The same, as it may become.")],
    config: options.ConfigFile = None,
    log: Log = None,
    ask: Annotated[bool, typer.Option("--ask", help="Ask the hubs for what is not stored.")] = False,
    top: Annotated[int, typer.Option(min=1, max=10_000, help="Lines of each table.")] = 20,
    json: options.Json = False,
) -> int:
    """Replay real requests under two sets of rules: what is newly blocked, what newly allowed."""
    now = time.time()
    sets = load([old], now=now), load([new], now=now)
    settings = options.settings(config)
    accesses = Accesses(logs(settings, log, needed=False))
    population, found = asyncio.run(_compared(settings, sets, accesses, bool(accesses.paths), ask, now))
    told = {
        "exit": _code(found),
        "old": _named(sets[0]),
        "new": _named(sets[1]),
        "population": "log" if accesses.paths else "cache",
        "requests": found.judged,
        "users": len({who.name for counts in population.asked.values() for who in counts if who.name}),
        **{kind: _described(found, kind) for kind in _WORDS},
        "unjudged": {"requests": found.unjudged.total(), "why": dict(found.unjudged.most_common())},
        "unplaced": population.unplaced,
        "beside": population.beside + found.beside,
        "left_out": population.left_out,
        "unread": accesses.unread,
    }
    as_json(told) if json else _print(told, top)
    return _code(found)


def _code(found: Difference) -> int:
    return 3 if found.unjudged and not found.judged else int(bool(found.rows))


async def _compared(
    settings: Settings, sets: tuple[Loaded, Loaded], accesses: Accesses, logged: bool, ask: bool, now: float
) -> tuple[Population, Difference]:
    policies = sets[0].policy, sets[1].policy
    async with inspecting(settings, ask=ask) as desk:
        if logged:
            population = await of_log(accesses, Naming(settings), desk.inspection)
        else:
            population = await of_cache(desk.catalogue)
        found = Difference()
        personal = any(test.fact in _PERSONAL for p in policies for e in entries(p) for test in e.tests)
        for subject, counts in sorted(population.asked.items(), key=lambda item: item[0].repo.key):
            parts = [Counter({who: n}) for who, n in counts.items()] if personal else [counts]
            for part in parts:
                known = await _known(desk.inspection, subject, next(iter(part)), policies, now)
                _compare(found, policies, subject, part, known, now)
    return population, found


async def _known(
    inspection: Inspection, subject: Subject, who: Who, policies: tuple[Policy, Policy], now: float
) -> Sequence[Known] | None:
    from ..answer.inspection import Known

    def needed(facts: Facts) -> frozenset[str]:
        answers = (policy.judge(facts, now) for policy in policies)
        return frozenset().union(*(answer.facts for answer in answers if isinstance(answer, Need)))

    headers = Headers((("User-Agent", AGENT), *token(subject.repo.hub, os.environ)))
    request = Request("GET", "https", "", 443, "/", "", headers, client=who.client)
    try:
        return await inspection.known(subject, request, needed, who.user or None)
    except UpstreamFailed as fault:
        return [Known(subject, Facts(), {"": fault.reason})]


def _compare(
    found: Difference,
    policies: tuple[Policy, Policy],
    subject: Subject,
    counts: Counter[Who],
    known: Sequence[Known] | None,
    now: float,
) -> None:
    if known is None:  # a page that only looked like a repo's
        found.beside += counts.total()
        return
    before, after = (_answer(policy, known, now) for policy in policies)
    if before is None or after is None:
        lacking = [why for each in known for why in each.lacking.values()]
        found.unjudged[lacking[0].replace(SHUT, "not stored (--ask asks the hubs)") if lacking else _NOBODY] += (
            counts.total()
        )
        return
    found.judged += counts.total()
    differences = _differences(before, after)
    found.totals.update(dict.fromkeys({kind for kind, *_ in differences}, counts.total()))
    for kind, rule, place in differences:
        for who, count in counts.items():
            found.note(kind, rule, place, subject, who, count)


def _differences(before: Allow | Deny, after: Allow | Deny) -> list[tuple[str, str, str]]:
    match before, after:
        case Allow(), Deny(rule=rule, place=place):
            return [("blocked", rule, place)]
        case Deny(rule=rule, place=place), Allow():
            return [("allowed", rule, place)]
        case Allow(audit=heard), Allow(audit=hears):
            known = {spoke.rule for spoke in heard}
            return [("would_deny", spoke.rule, spoke.place) for spoke in hears if spoke.rule not in known]
    return []


def _answer(policy: Policy, known: Sequence[Known], now: float) -> Allow | Deny | None:
    """Of all that it may be about; one denied denies. None: not to be told."""
    answers = [policy.judge(each.facts, now) for each in known]
    denied = [each for each in answers if isinstance(each, Deny)]
    if denied:
        return denied[0]
    allowed = [each for each in answers if isinstance(each, Allow)]
    if not answers or len(allowed) < len(answers):
        return None
    audit = {spoke.rule: spoke for each in allowed for spoke in each.audit}
    return Allow(audit=tuple(audit.values()))


def _named(of: Loaded) -> dict[str, Any]:
    return {"digest": of.policy.digest, "count": of.policy.size, "files": [*map(str, of.files)]}


def _described(found: Difference, kind: str) -> dict[str, Any]:
    rows = [(key, row) for key, row in found.rows.items() if key[0] == kind]
    rows.sort(key=lambda item: (-item[1].requests, item[0]))
    users = set[str]().union(*(row.users for _, row in rows))
    return {
        "requests": found.totals[kind],
        "users": len(users),
        "rows": [
            {
                "rule": rule,
                "place": place,
                "repo": repo,
                "requests": row.requests,
                "users": len(row.users),
                "files": len(row.files),
                "example": min((f"@{each.rev}/{each.path}" for each in row.files if each.path), default=None),
            }
            for (_, rule, place, repo), row in rows
        ],
    }


def _print(told: dict[str, Any], top: int) -> None:
    what = "requests" if told["population"] == "log" else "cached files"
    behind = f" by {counted(told['users'], 'user')}" if told["users"] else ""
    say(f"{told['requests']} {what}{behind} judged by both")
    for kind, words in _WORDS.items():
        rows = told[kind]["rows"]
        say(f"{told[kind]['requests']} {words}")
        shown = [(str(r["requests"]), str(r["users"]), r["repo"], r["rule"], near(r["place"])) for r in rows[:top]]
        if shown:
            table((what, "users", "repo", "rule", ""), shown, right=(what, "users"))
        if len(rows) > top:
            say(f"and {len(rows) - top} more (--top)")
    for why, count in told["unjudged"]["why"].items():
        tell(f"{count} not judged: {why}")
    for key, words in (
        ("unplaced", "about nobody knows which repo"),
        ("left_out", "left out, as there were too many"),
        ("unread", "lines that are none of an access log"),
    ):
        if told[key]:
            tell(f"{told[key]} {words}")
