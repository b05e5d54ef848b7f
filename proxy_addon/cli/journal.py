"""The work behind `hubgate cache log`: what sync has on record, for people and for programs.

It is read while a server writes it. Where there is no journal yet, nothing was ever kept in sync.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ..hub.targets import Target, same, target
from ..sync import Journal, Result, Standing, Update, journal
from ..sync.changes import Run, packed
from .output import as_json, human, say, shown, table, tell

_SHOWN = 12  # digits of a commit
_NAMED = 10  # files of each sort below a line


def log(directory: Path, repo: Target | None, since: float, json: bool) -> int:
    """The lines of all repos, or of one at any revision unless it names one; not older than `since` (epoch seconds)."""
    runs = _read(directory, lambda found: found.runs(since))
    if runs is None:
        return 1
    found = [run for run in runs if repo is None or _meant(repo, run.repo)]
    if json:
        as_json([described(run) for run in found])
        return 0
    for run in found:
        say("\n".join(_paragraph(run)))
    if not found:
        tell(f"{repo or 'sync'}: nothing is on record")
    return 0


def lag(directory: Path, repo: Target | None, json: bool) -> int:
    """How far behind each repo may be."""
    now = time.time()
    stands = _read(directory, Journal.standings)
    if stands is None:
        return 1
    found = [at for at in stands if repo is None or _meant(repo, at.repo)]
    if json:
        as_json([_described(at, now) for at in found])
        return 0
    heads = ("repo", "lag", "last in step", "here", "at the hub", "state")
    table(heads, [_row(at, now) for at in found], right=("lag",))
    return 0


def headline(update: Update) -> str:
    if update.run is not None:
        return "\n".join(_paragraph(update.run))
    words = {Result.UNCHANGED: "unchanged", Result.BUSY: "another hubgate is at it", Result.FAILED: "failed"}
    return f"{_when(time.time())}  {update.repo}  {words.get(update.result, update.result)}"


def described(run: Run) -> dict[str, Any]:
    return {
        "repo": run.repo,
        "at": _stamp(run.at),
        "from": run.before or None,
        "to": run.after or None,
        **packed(run.changes),
        "fetched": run.fetched,
        "seconds": round(run.seconds, 3),
        "errors": [{"what": what, "error": why} for what, why in run.faults],
        "times": run.times,
        "last": _stamp(run.last or run.at),
    }


def _read[T](directory: Path, what: Callable[[Journal], list[T]]) -> list[T] | None:
    """None: it cannot be read, and that was told."""
    if not journal.exists(directory):
        return []
    try:
        with closing(Journal(directory)) as found:
            return what(found)
    except OSError as fault:
        tell(str(fault))
        return None


def _meant(asked: Target, repo: str) -> bool:
    found = target(repo)
    return found.repo == asked.repo and (asked.rev is None or same(found, asked))


def _paragraph(run: Run) -> list[str]:
    moved = f"{_version(run.before)} -> {_version(run.after, 'unknown')}"
    tallies = ((name, getattr(run.changes, name)) for name in ("added", "changed", "removed"))
    said = [f"{tally.count} {name} ({human(tally.size)})" for name, tally in tallies if tally.count]
    came = f"{human(run.fetched)} fetched in {run.seconds:.1f} s"
    again = f"; {run.times} times, last {_when(run.last)}" if run.times > 1 else ""
    state = f"FAILED{again}" if run.faults else ", ".join(said) or "no file changed"
    lines = [f"{_when(run.at)}  {run.repo}  {moved}  {state}; {came}"]
    lines += [f"    {what}: {why}" for what, why in run.faults]
    for sign, tally in (("+", run.changes.added), ("~", run.changes.changed), ("-", run.changes.removed)):
        lines += [f"    {sign} {path}  {human(size)}" for path, size in tally.named[:_NAMED]]
        if tally.count > _NAMED:
            lines.append(f"    {sign} and {tally.count - _NAMED} more")
    return [shown(line) for line in lines]


def _row(at: Standing, now: float) -> Sequence[str]:
    state = at.fault or ("coming" if at.behind else "in step")
    equal = _when(at.equal) if at.equal is not None else "never"
    return (
        at.repo,
        str(timedelta(seconds=round(at.lag(now)))),
        equal,
        _version(at.version),
        _version(at.known, "unknown"),
        state,
    )


def _described(at: Standing, now: float) -> dict[str, Any]:
    return {
        "repo": at.repo,
        "lag": round(at.lag(now), 3),
        "behind": at.behind,
        "in_step": None if at.equal is None else _stamp(at.equal),
        "here": at.version or None,
        "known": at.known or None,
        "error": at.fault or None,
        "listed": at.listed,
    }


def _version(version: str, empty: str = "nothing") -> str:
    return version.rpartition(":")[2][:_SHOWN] or empty


def _when(at: float) -> str:
    return datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M:%S")


def _stamp(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().isoformat(timespec="milliseconds")
