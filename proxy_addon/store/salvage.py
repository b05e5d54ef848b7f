"""What can still be read of a damaged database, row by row.

A row counts only as it counts anywhere: a key that is text and that the table and its index agree on, and a value that
carries its checksum, or the name of a file that is there. So what is salvaged is no worse than what is read, and what
is not is fetched again. Damage costs the page that it lies in: where a run of rows cannot be read, each is tried alone.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .disk import BytesDisk, UntrustedRow
from .rows import Rows

RUN = 200  # rows read in one go
BEYOND = 20_000  # row ids that are tried past the last good one when the table does not tell where it ends
_COLUMNS = "key, raw, store_time, access_time, tag, size, mode, filename, value"
log = logging.getLogger(__name__)


def salvage(source: Path, into: Rows) -> int:
    """Put the good rows of the database `source` into the empty `into`, all of them or none; how many.

    Raises OSError when `into` cannot be written. `source` may be anything at all."""
    count = 0
    with contextlib.closing(sqlite3.connect(source, isolation_level=None)) as con, into.change() as change:
        with contextlib.suppress(sqlite3.Error):
            con.execute("PRAGMA writable_schema = ON")  # an index whose definition is damaged does not hide the table
        sql = f"INSERT OR IGNORE INTO Cache ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        for rowid, *row in _rows(con):
            if _good(con, rowid, row, into.disk):
                change.execute(sql, row)
                count += 1
    return count


def _rows(con: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
    at, last = 0, _last(con)
    end = BEYOND if last is None else last
    while at < end:
        try:
            sql = f"SELECT rowid, {_COLUMNS} FROM Cache WHERE rowid > ? ORDER BY rowid LIMIT ?"
            batch = con.execute(sql, (at, RUN)).fetchall()
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR):
                return  # no database at all
            batch = [row for rowid in range(at + 1, at + 1 + RUN) if (row := _one(con, rowid)) is not None]
            at += RUN
        else:
            if not batch:
                return
            at = batch[-1][0]
        if batch and last is None:
            end = at + BEYOND
        yield from batch


def _one(con: sqlite3.Connection, rowid: int) -> tuple[Any, ...] | None:
    with contextlib.suppress(sqlite3.Error):
        found = con.execute(f"SELECT rowid, {_COLUMNS} FROM Cache WHERE rowid = ?", (rowid,)).fetchone()
        return tuple(found) if found is not None else None
    return None


def _last(con: sqlite3.Connection) -> int | None:
    for where in ("", "INDEXED BY Cache_key_raw WHERE key > ''"):
        with contextlib.suppress(sqlite3.Error):
            ((last,),) = con.execute(f"SELECT max(rowid) FROM Cache {where}").fetchall()
            return int(last or 0)
    return None


def _good(con: sqlite3.Connection, rowid: int, row: list[Any], disk: BytesDisk) -> bool:
    key, raw, stored, accessed, tag, size, mode, filename, value = row
    if not (
        type(key) is str
        and raw == 1
        and type(tag) is str
        and type(size) is int
        and isinstance(stored, float)
        and isinstance(accessed, float)
    ):
        return False
    with contextlib.suppress(sqlite3.Error):  # where the index is damaged itself, it says nothing
        if con.execute("SELECT rowid FROM Cache WHERE key = ? AND raw = 1", (key,)).fetchone() != (rowid,):
            return False
    try:
        if filename is not None:
            return value is None and os.path.getsize(disk.path(filename)) == size
        return type(value) is bytes and len(disk.fetch(mode, None, value, False)) == size  # type: ignore[arg-type]
    except (UntrustedRow, OSError):
        return False
