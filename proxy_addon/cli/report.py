"""`hubgate rules report`: what the rules did lately, by the access log, and which of them are idle or about to end.

Exit 0, and 2 for a log that cannot be read. Rules are those in force: the last good ones if what is on disk is broken.
`--json` prints an object:

    since, until          ISO times; the log before `since` is not counted
    requests, unread      lines that were counted, and lines that are none of an access log
    faults                why the rules in force are not those on disk
    denied, would_deny    {requests, repos, rules, users}; each of the latter a list of {name, requests, last, place},
                          most first, `--top` of them; `place` is FILE:LINE for a rule that is there now, else null;
                          `users` are client addresses where the log names no user
    expiring, expired     [{id, kind, place, expires, owner}]: approvals and exceptions, with the
                          last day of each (UTC); `expiring`: within 30 days
    unused                [{id, kind, place}]: exceptions and approvals that let nothing pass in that time
    silent                [{id, kind, place}]: rules that spoke to no request in that time, nor were lifted by an
                          exception that was used

The log names one rule for each denial, so that a rule which only ever denies together with a more specific one is
silent here.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from ..config import Settings
from ..core.errors import ConfigError
from ..policy.index import Entry
from ..policy.judge import Policy
from ..policy.trace import KINDS
from ..written.units import duration
from . import options
from .accesses import Access, Accesses
from .output import as_json, near, say, table, tell

SOON = 30 * 86400.0  # seconds before its end that an exception is told of
MAX_NAMES = 50_000  # that are counted one by one
REST = "(others)"
_HEADS = {"repos": "repo", "rules": "rule", "users": "user"}

Log = Annotated[
    list[Path] | None, typer.Option("--log", help="An access log, also a rotated one; may be repeated. Else yours.")
]


@dataclass(slots=True)
class Tally:
    """How often, and when last, for each name; the rest together when there are too many."""

    counts: dict[str, list[float]] = field(default_factory=dict)

    def note(self, name: str, at: float) -> None:
        if name not in self.counts and len(self.counts) >= MAX_NAMES:
            name = REST
        entry = self.counts.setdefault(name, [0, at])
        entry[0] += 1
        entry[1] = max(entry[1], at)

    def most(self, top: int) -> list[tuple[str, int, float]]:
        ordered = sorted(self.counts.items(), key=lambda item: (-item[1][0], item[0]))
        return [(name, int(count), last) for name, (count, last) in ordered[:top]]


@dataclass(slots=True)
class Sum:
    """Of what was denied, or would have been."""

    requests: int = 0
    by: Mapping[str, Tally] = field(default_factory=lambda: {name: Tally() for name in _HEADS})

    def note(self, access: Access, rules: Iterable[str]) -> None:
        self.requests += 1
        self.by["repos"].note(access.repo or "(no repo)", access.at)
        self.by["users"].note(access.who or "(nobody)", access.at)
        for rule in rules:
            self.by["rules"].note(rule, access.at)


def report(
    config: options.ConfigFile = None,
    since: Annotated[str, typer.Option(help="How far back, such as 24h or 7d.")] = "7d",
    log: Log = None,
    top: Annotated[int, typer.Option(min=1, max=10_000, help="Lines of each table.")] = 10,
    json: options.Json = False,
) -> int:
    """What the rules denied lately, what ends soon, what nobody uses."""
    from ..wiring import rulebook_of

    now = time.time()
    try:
        begin = max(0.0, now - duration(since))
    except ValueError as fault:
        raise typer.BadParameter(f"--since: {fault}") from None
    settings = options.settings(config)
    accesses = Accesses(logs(settings, log, needed=True))
    book = rulebook_of(settings, time.time, False)
    policy = book.policy
    denied, warned, spoke = Sum(), Sum(), set[str]()
    counted = 0
    for access in accesses:
        if not begin <= access.at:
            continue
        counted += 1
        spoke.update(access.by, access.would_deny, access.also)
        if access.rule:
            spoke.add(access.rule)
            denied.note(access, [access.rule])
        elif access.would_deny:
            warned.note(access, access.would_deny)
    told = {
        "since": stamp(begin),
        "until": stamp(now),
        "requests": counted,
        "unread": accesses.unread,
        "faults": book.faults,
        "denied": _summed(denied, policy, top),
        "would_deny": _summed(warned, policy, top),
        **_standing(policy, spoke, now),
    }
    for reason in book.reasons:
        tell(reason)
    as_json(told) if json else _print(told)
    return 0


def logs(settings: Settings, given: list[Path] | None, *, needed: bool) -> tuple[Path, ...]:
    """Those that are named, else the configured one if it is a file. Raises ConfigError."""
    if given:
        return tuple(given)
    own = settings.access_log
    if own is not None and own != Path("-") and (needed or own.exists()):
        return (own,)
    if needed:
        raise ConfigError(settings.fault("access_log", "is no file to be read; name one with --log FILE"))
    return ()


def _summed(of: Sum, policy: Policy, top: int) -> dict[str, Any]:
    places = {entry.id: entry.place for entry in entries(policy)}
    lists = {
        what: [
            {"name": name, "requests": count, "last": stamp(last), "place": places.get(name)}
            for name, count, last in tally.most(top)
        ]
        for what, tally in of.by.items()
    }
    return {"requests": of.requests, **lists}


def entries(policy: Policy) -> Iterator[Entry]:
    yield from (*policy.barriers, *policy.allows, *policy.exceptions, *policy.approvals)
    if policy.default is not None:
        yield policy.default


def _standing(policy: Policy, spoke: set[str], now: float) -> dict[str, Any]:
    grants = [("exception", each) for each in policy.exceptions] + [("approval", each) for each in policy.approvals]
    ending = sorted((e.expires, e.id, kind, e) for kind, e in grants if e.expires is not None)
    rules = [*((KINDS[e.tier], e) for e in policy.barriers), *(("allow", e) for e in policy.allows)]
    lifted = {id for each in policy.exceptions if each.id in spoke for id in each.overrides}
    live = [(kind, e) for kind, e in grants if e.expires is None or now < e.expires]
    return {
        "expiring": [_ends(kind, e) for at, _, kind, e in ending if now < at <= now + SOON],
        "expired": [_ends(kind, e) for at, _, kind, e in ending if at <= now],
        "unused": [_named(kind, e) for kind, e in live if e.id not in spoke],
        "silent": [_named(kind, e) for kind, e in rules if e.id not in spoke | lifted],
    }


def _named(kind: str, entry: Entry) -> dict[str, Any]:
    return {"id": entry.id, "kind": kind, "place": entry.place}


def _ends(kind: str, entry: Entry) -> dict[str, Any]:
    assert entry.expires is not None
    return {**_named(kind, entry), "expires": last_day(entry.expires), "owner": entry.owner}


def _print(told: Mapping[str, Any]) -> None:
    say(f"{told['requests']} requests since {_short(told['since'])}")
    for key, words in (("denied", "denied"), ("would_deny", "would be denied, were it not for audit mode")):
        say(f"\n{told[key]['requests']} {words}")
        for what, head in _HEADS.items():
            if found := told[key][what]:
                rows = [(str(e["requests"]), _short(e["last"]), e["name"], near(e["place"] or "")) for e in found]
                table(("requests", "last", head, ""), rows, right=("requests",))
    for key, words in (("expiring", "end within 30 days"), ("expired", "have ended: remove them, or grant them anew")):
        _paragraph(words, [(e["expires"], e["kind"], e["id"], near(e["place"])) for e in told[key]])
    _paragraph("let nothing pass in this time", [(e["kind"], e["id"], near(e["place"])) for e in told["unused"]])
    _paragraph("spoke to no request in this time", [(e["kind"], e["id"], near(e["place"])) for e in told["silent"]])
    if told["unread"]:
        tell(f"{told['unread']} lines are none of an access log")


def _paragraph(words: str, rows: list[tuple[str, ...]]) -> None:
    if rows:
        say(f"\n{len(rows)} {words}")
        table([""] * len(rows[0]), rows)


def last_day(expires: float) -> str:
    """On which it still holds, in UTC."""
    return datetime.fromtimestamp(expires - 1, UTC).date().isoformat()


def stamp(at: float) -> str:
    """In UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def _short(stamp: str) -> str:
    return stamp[:16].replace("T", " ")
