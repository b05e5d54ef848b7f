"""Collects what a crash left behind: a little at a time, while the store is in use.

Left behind can be: a file that no row names (killed between file and row, or between row and file in an eviction), a
row whose file is gone, pieces, bytes and digests whose blob the index does not know (the page with its manifest was
damaged), and a blob that nobody finished within a day. Each is harmless to a reader; the sweep gives the space back.
What is younger than `grace` may be another process's work in progress: it is noted as `Pieces.stray`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from .index import Index
from .pieces import Pieces

GRACE = 600.0  # seconds
UNFINISHED = 86400.0  # seconds without a touch


def sweep(
    index: Index, pieces: Pieces, pinned: Callable[[str], bool], grace: float = GRACE, unfinished: float = UNFINISHED
) -> Iterator[int]:
    """A generator that does one bounded step for each `next`, and says how many leftovers that step removed."""
    now = pieces.clock()
    for blob in index.partials(now - unfinished):
        if not pinned(blob):
            index.forget(blob)
            yield 1
    for blob in _ownerless(index):
        if not pinned(blob) and index.manifest(blob) is None:  # it may have come again since
            index.forget(blob)
            yield 1
    for blob, _ in pieces.oldest():
        if index.manifest(blob) is None:
            pieces.drop(blob)
            yield 1
    for number in range(256):
        yield _folder(pieces, f"{number:02x}", now - grace)


def _ownerless(index: Index) -> list[str]:
    owners = {"b": "substr(key, 3)", "u": "substr(key, 3, length(key) - 9)"}  # "u:{blob}#{6 digits}"
    sql = "SELECT DISTINCT {1} AS owner FROM Cache WHERE key > '{0}:' AND key < '{0};' AND NOT EXISTS ({2})"
    known = "SELECT 1 FROM Cache AS m WHERE m.key = 'm:' || {0} AND m.raw = 1"
    return [
        str(owner)
        for row, name in owners.items()
        for (owner,) in index.rows.select(sql.format(row, name, known.format(name.replace("key", "Cache.key"))))
    ]


def _folder(pieces: Pieces, folder: str, before: float) -> int:
    files = dict(_files(pieces, folder))
    rows = pieces.named(folder)
    removed = 0
    for name in files.keys() - rows.keys():
        size, changed = files[name]
        if changed <= before:
            pieces.rows.disk.remove(name)
            removed += 1
        else:
            pieces.stray[name] = size, changed
    for name in rows.keys() - files.keys():
        pieces.unname(rows[name], name)
        removed += 1
    return removed


def _files(pieces: Pieces, folder: str) -> Iterator[tuple[str, tuple[int, float]]]:
    """(file name as a row has it, (bytes, time of its last change))."""
    try:
        subfolders = [entry.name for entry in os.scandir(pieces.directory / folder) if entry.is_dir()]
    except OSError:
        return
    for sub in subfolders:
        try:
            for entry in os.scandir(pieces.directory / folder / sub):
                yield f"{folder}/{sub}/{entry.name}", ((told := entry.stat()).st_size, told.st_mtime)
        except OSError:  # removed by somebody who found it empty
            continue
