"""What a run came to, for people and for programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

from .ending import DATABASES, MORE_DESCRIPTORS, MORE_MEMORY
from .keeper import Keeper
from .ledger import KINDS, Ledger
from .stage import Order, Outcome
from .times import HEALTHY

MIB = 1 << 20


def begins(order: Order) -> str:
    return f"soak: seed {order.seed}, {order.seconds / 60:g} minutes, {order.clients} clients"


def again(order: Order) -> str:
    return f"scripts/soak {order.seconds / 60:g} --seed {order.seed} --clients {order.clients}"


def progress(ledger: Ledger, keeper: Keeper) -> str:
    served = sum(count for (_, outcome), count in ledger.requests.items() if outcome.startswith("right"))
    now = ", ".join(ledger.under_way()) or "calm"
    use = keeper.last
    return (
        f"{ledger.now:5.0f} s  {sum(ledger.requests.values())} requests, {served} right, {ledger.bytes / 1e9:.2f} GB; "
        f"{use.memory // MIB} MiB, {use.descriptors} descriptors; "
        f"{len(ledger.troubles)} troubles; {ledger.counts.total()} faults; now: {now}"
    )


def table(outcome: Outcome) -> Iterator[str]:
    ledger = outcome.ledger
    yield ""
    yield from _columns("trouble", "times", Counter(trouble.name for trouble in ledger.troubles))
    yield ""
    kinds = sorted({kind for kind, _ in ledger.requests})
    for kind in kinds:
        rows = {what: count for (k, what), count in ledger.requests.items() if k == kind}
        told = ", ".join(f"{what} {count}" for what, count in sorted(rows.items(), key=lambda row: -row[1]))
        yield f"{kind:<28}{sum(rows.values()):>7}  {told}"
    yield f"{'all requests':<28}{sum(ledger.requests.values()):>7}  {ledger.bytes / 1e9:.2f} GB compared byte by byte"
    yield ""
    for name, text in _figures(outcome):
        yield f"{name:<28}{text}"


def _figures(outcome: Outcome) -> Iterator[tuple[str, str]]:
    ledger, keeper, reckoning = outcome.ledger, outcome.keeper, outcome.reckoning
    uses = (keeper.baseline, keeper.peak, reckoning.end)
    told = "{} at the start, {} at most, {} at rest; bound: start + {}"
    yield "descriptors", told.format(*(use.descriptors for use in uses), MORE_DESCRIPTORS)
    yield (
        "of databases",
        "{} at the start, {} at most, {} at rest; bound: {}".format(*(use.databases for use in uses), DATABASES),
    )
    yield "memory, MiB", told.format(*(use.memory // MIB for use in uses), MORE_MEMORY // MIB)
    yield (
        "starts",
        (
            f"{keeper.starts}, the slowest healthy after {keeper.slowest:.1f} s; bound: {HEALTHY:g}; "
            f"{keeper.refused} refused for the disk"
        ),
    )
    yield "without the hub", f"{reckoning.complete} files served, {reckoning.evicted} had been evicted"
    yield "cache verify", f"{reckoning.found} lines of damage at the first reading"
    for kind in KINDS:
        if kind in KINDS[:5] or ledger.of(kind):
            yield kind, str(ledger.of(kind))


def _columns(left: str, right: str, counted: Counter[str]) -> Iterator[str]:
    yield f"{left:<28}{right:>7}"
    for name, count in sorted(counted.items()):
        yield f"{name:<28}{count:>7}"


def faults(outcome: Outcome) -> Iterator[str]:
    for fault in outcome.ledger.faults:
        yield f"FAULT at {fault.at:.1f} s: {fault.kind}: {fault.text}"
    if outcome.interrupted:
        yield "interrupted"
    elif not outcome.good:
        yield f"failed; again: {again(outcome.order)}"
    else:
        yield "good"
    if outcome.kept is not None:
        yield f"kept: {outcome.kept}"


def as_json(outcome: Outcome) -> str:
    ledger, keeper, reckoning = outcome.ledger, outcome.keeper, outcome.reckoning
    requests: dict[str, dict[str, int]] = {}
    for (kind, what), count in sorted(ledger.requests.items()):
        requests.setdefault(kind, {})[what] = count
    return json.dumps(
        {
            "seed": outcome.order.seed,
            "seconds": outcome.order.seconds,
            "clients": outcome.order.clients,
            "good": outcome.good,
            "again": again(outcome.order),
            "kept": str(outcome.kept) if outcome.kept else None,
            "troubles": Counter(trouble.name for trouble in ledger.troubles),
            "requests": requests,
            "bytes": ledger.bytes,
            "counts": {kind: ledger.of(kind) for kind in KINDS},
            "faults": [vars(fault) for fault in ledger.faults],
            "descriptors": [keeper.baseline.descriptors, keeper.peak.descriptors, reckoning.end.descriptors],
            "memory": [keeper.baseline.memory, keeper.peak.memory, reckoning.end.memory],
            "slowest_start": keeper.slowest,
            "without_hub": {"served": reckoning.complete, "evicted": reckoning.evicted},
            "damage_found": reckoning.found,
        },
        indent=1,
    )
