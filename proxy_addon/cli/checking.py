"""The work behind `hubgate cache verify` and `hubgate cache quarantine`, on an open store.

Each function returns the exit code: 0 all is well, 1 something is not as wanted, 2 the work could not be done.
"""

from __future__ import annotations

import json as writer
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime

from ..catalogue import Catalogue, Entry
from ..hub.targets import Target
from ..store import quarantine
from ..store.audit import Finding
from ..store.local import DiskStore
from .keeping import looked_up, names, nothing
from .output import as_json, bars, console, counted, human, say, shown, table, tell


async def verify(store: DiskStore, name: str | None, repo: Target | None, json: bool, repair: bool) -> int:
    """Read all of it; drop what is damaged, if it is to be repaired."""
    try:
        return await _verified(store, name, repo, json, repair)
    except OSError as fault:
        tell(f"the cache cannot be verified: {fault}")
        return 2


async def _verified(store: DiskStore, name: str | None, repo: Target | None, json: bool, repair: bool) -> int:
    leftovers = await store.first_sweep
    rows = await store.check_rows() if name is None else 0
    entries = await looked_up(store, name, repo) if name else await Catalogue(store).entries()
    if name and not entries:
        return nothing(name)
    damaged = list[tuple[Entry, list[Finding]]]()
    with bars(console(stderr=json)) as progress:
        task = progress.add_task("verify", total=sum(entry.listed.held for entry in entries))
        for entry in entries:
            found = await store.blobs.examine(
                entry.blob, "verify", lambda _, size: progress.advance(task, size), mend=repair
            )
            if found:
                damaged.append((entry, found))
    held, replaced = sum(entry.listed.held for entry in entries), store.replaced
    if json:
        _as_json(damaged, blobs=len(entries), bytes=held, rows=rows, leftovers=leftovers, databases=replaced)
    else:
        _in_words(damaged, repair)
        if replaced:
            say(f"damaged: {counted(replaced, 'database')}: set aside; what is good of it is kept")
        if rows:
            say(f"damaged: {counted(rows, 'row')} of the index: dropped")
        say(f"read {len(entries)} blobs, {human(held)}: {len(damaged)} damaged")
    return 1 if damaged or rows or replaced else 0


def _as_json(damaged: list[tuple[Entry, list[Finding]]], **figures: int) -> None:
    dropped = [
        {"blob": e.blob, "pieces": [f.piece for f in found if f.piece is not None], "files": names(e)}
        for e, found in damaged
    ]
    found = [asdict(finding) for _, findings in damaged for finding in findings]
    as_json({**figures, "dropped": dropped, "found": found})


def _in_words(damaged: list[tuple[Entry, list[Finding]]], repair: bool) -> None:
    for entry, findings in damaged:
        what = shown(", ".join(names(entry)) or entry.blob)
        pieces = sum(finding.piece is not None for finding in findings)
        if pieces:
            say(f"damaged: {what}: {counted(pieces, 'piece')} {'dropped' if repair else 'left as found'}")
        for finding in findings:
            if finding.piece is None:
                say(f"damaged: {what}: {finding.what}: {'all of it dropped' if repair else 'left as found'}")


async def ls(store: DiskStore, json: bool) -> int:
    """What is in the quarantine, the oldest first."""
    entries = store.quarantine.entries()
    if json:
        as_json([asdict(entry) for entry in entries])
        return 0
    heads = ("id", "found", "by", "size", "blob", "what")
    rows = ((e.id[-8:], _when(e.at), e.by, human(e.size), e.blob, e.what) for e in entries)
    table(heads, rows, right=("size",))
    return 0


async def show(store: DiskStore, id: str, json: bool) -> int:
    """One of them, and where its bytes lie."""
    entry = store.quarantine.one(id)
    if entry is None:
        return _unknown(id)
    told = asdict(entry) | {"directory": str(store.quarantine.place(entry))}
    if json:
        as_json(told)
    else:
        told |= {"at": _when(entry.at)}
        table(("", ""), ((key, text if isinstance(text, str) else writer.dumps(text)) for key, text in told.items()))
    return 0


async def rm(store: DiskStore, ids: Iterable[str], all: bool) -> int:
    """Remove these, or all."""
    chosen = list[quarantine.Entry]()
    for id in ids:
        if (entry := store.quarantine.one(id)) is None:
            return _unknown(id)
        chosen.append(entry)
    chosen = store.quarantine.entries() if all else chosen
    try:
        for entry in chosen:
            store.quarantine.remove(entry.id)
    except OSError as fault:
        tell(f"not removed: {fault}")
        return 2
    say(f"removed {len(chosen)} of the quarantine, {human(sum(entry.kept for entry in chosen))}")
    return 0


async def restore(store: DiskStore, id: str) -> int:
    """Put it back, if it is right after all."""
    entry = store.quarantine.one(id)
    if entry is None:
        return _unknown(id)
    try:
        refused = await store.restore(entry)
    except OSError as fault:
        tell(f"{entry.id} cannot be restored: {fault}")
        return 2
    if refused:
        tell(f"{entry.id} stays where it is: {refused}")
        return 1
    say(f"restored {entry.blob}, {human(entry.size)}")
    return 0


def _when(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}"


def _unknown(id: str) -> int:
    tell(f"{id}: nothing of that name is in the quarantine")
    return 1
