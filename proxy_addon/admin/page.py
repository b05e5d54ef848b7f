"""The index page: enough to see that it works, and where the rest is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>hubgate</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 40rem; margin: 2rem auto; padding: 0 1rem }}
th {{ text-align: left; font-weight: normal; padding-right: 2rem }} td {{ text-align: right }} code {{ font-size: 80% }}
</style>
<h1>hubgate is {state}</h1>
{reasons}
<table>
{rows}
</table>
{synced}
<p>{rules}</p>
<p>CA, until {expires:%Y-%m-%d}, SHA-256:<br><code>{fingerprint}</code></p>
<p><a href="ca.pem">CA certificate</a> &middot; <a href="metrics">metrics</a> &middot; <a href="healthz">health</a></p>
</html>
"""


@dataclass(frozen=True, slots=True)
class Synced:
    """One repo that is kept as it is at its hub."""

    repo: str
    lag: float  # seconds
    behind: bool  # a version is known that is not here complete
    fault: str = ""  # why the last run failed


@dataclass(frozen=True, slots=True)
class Ruled:
    """The rules in force. `since` is UNIX time."""

    count: int
    digest: str
    since: float


def index(
    reasons: Sequence[str],
    totals: Mapping[str, int],
    fingerprint: str,
    expires: datetime,
    synced: Sequence[Synced] = (),
    ruled: Ruled | None = None,
) -> str:
    return _PAGE.format(
        state="degraded" if reasons else "working",
        reasons="\n".join(f"<p>{escape(reason)}</p>" for reason in reasons),
        rows="\n".join(
            f"<tr><th>{escape(name.replace('_', ' '))}<td>{_amount(name, n)}</tr>" for name, n in totals.items()
        ),
        synced=_table(synced),
        rules=_rules(ruled),
        expires=expires,
        fingerprint=escape(fingerprint),
    )


def _rules(ruled: Ruled | None) -> str:
    if ruled is None:
        return ""
    since = f"{datetime.fromtimestamp(ruled.since, UTC):%Y-%m-%d %H:%M:%S UTC}"
    return f"Rules in force: {ruled.count:,}, since {since}, digest <code>{escape(ruled.digest)}</code>"


def _table(synced: Sequence[Synced]) -> str:
    if not synced:
        return ""
    rows = "\n".join(
        f"<tr><th>{escape(each.repo)}<td>{timedelta(seconds=round(each.lag))}"
        f"<td>{escape(each.fault) or ('coming' if each.behind else 'in step')}</tr>"
        for each in synced
    )
    return f"<h2>In sync</h2>\n<table>\n<tr><th>repo<td>lag<td>state</tr>\n{rows}\n</table>"


def _amount(name: str, count: int) -> str:
    if not name.endswith("bytes"):
        return f"{count:,}"
    size, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:,.0f} {units[0]}" if units[0] == "B" else f"{size:,.1f} {units[0]}"
