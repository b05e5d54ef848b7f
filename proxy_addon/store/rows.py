"""One diskcache directory, spoken to in transactions over several rows.

diskcache gives the schema, a connection per thread and process, and the layout of the files. What it lacks is added
here: range queries over keys, several rows in one transaction, and errors that a caller can act on. Every statement
passes through `select`, `value` or `change`; they raise `BrokenRows` when the database is damaged, else OSError with
the errno that says what the disk refused. diskcache's own writing methods are not used: they leave a transaction open
when a COMMIT fails, and a file behind when a row cannot be written.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diskcache

from ..core.messages import Buffer
from .disk import BytesDisk

BUSY_TIMEOUT = 20.0  # seconds that one process waits for the other's transaction
_BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_UNREADABLE = {  # a file cut short, a bad sector: reading it again gives nothing else
    sqlite3.SQLITE_IOERR_READ,
    sqlite3.SQLITE_IOERR_SHORT_READ,
    sqlite3.SQLITE_IOERR_CORRUPTFS,
}
_ERRNO = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_BUSY: errno.EBUSY,
    sqlite3.SQLITE_LOCKED: errno.EBUSY,
}
_UPSERT = """
INSERT INTO Cache (key, raw, store_time, access_time, tag, size, mode, filename, value)
VALUES (?, 1, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (key, raw) DO UPDATE SET store_time = excluded.store_time, access_time = excluded.access_time,
tag = excluded.tag, size = excluded.size, mode = excluded.mode, filename = excluded.filename, value = excluded.value
"""


class BrokenRows(OSError):
    """The database is damaged; `rows` says which one."""

    def __init__(self, rows: Rows | None, reason: str) -> None:
        super().__init__(errno.EIO, reason)
        self.rows = rows


def fault(error: sqlite3.Error, rows: Rows | None = None) -> Exception:
    """What a sqlite3 error means to a caller; a misuse of the library stays what it is."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return error
    if code & 0xFF in _BROKEN or code in _UNREADABLE or "no such table" in str(error) or "no such column" in str(error):
        return BrokenRows(rows, str(error))
    return OSError(_ERRNO.get(code & 0xFF, errno.EIO), f"index: {error}")


def after(prefix: str) -> str:
    """The least string above every string that starts with `prefix` (SQLite compares UTF-8 octets)."""
    head, last = prefix[:-1], ord(prefix[-1])
    return after(head) if last == 0x10FFFF else head + chr(0xE000 if last == 0xD7FF else last + 1)


class Change:
    """One open transaction."""

    def __init__(self, rows: Rows, con: sqlite3.Connection, now: float) -> None:
        self._rows, self._con, self._now = rows, con, now
        self.doomed: list[str] = []  # files to remove once the rows that named them are gone for good

    def execute(self, sql: str, args: Sequence[Any] = ()) -> sqlite3.Cursor:
        return self._con.execute(sql, args)

    def many(self, sql: str, args: Iterator[Sequence[Any]]) -> None:
        self._con.executemany(sql, args)

    def set(self, key: str, value: Buffer, tag: str) -> None:
        self.place(key, self._rows.disk.store(value, False), tag)

    def place(self, key: str, stored: tuple[int, int, str | None, bytes | None], tag: str) -> None:
        """Make the row `key` hold what `BytesDisk.store` has stored; a file that it named before is removed."""
        old = self.execute("SELECT filename FROM Cache WHERE key = ? AND raw = 1", (key,)).fetchone()
        self.execute(_UPSERT, (key, self._now, self._now, tag, *stored))
        if old and old[0]:
            self.doomed.append(old[0])

    def delete(self, where: str, args: Sequence[Any]) -> int:
        self.doomed += (
            f for (f,) in self.execute(f"SELECT filename FROM Cache WHERE {where}", args).fetchall() if f is not None
        )
        return self.execute(f"DELETE FROM Cache WHERE {where}", args).rowcount


class Rows(diskcache.Cache):  # type: ignore[misc]
    """A directory with a database; values are in the rows, or, with `files`, all in files."""

    def __init__(self, directory: Path, clock: Callable[[], float], *, files: bool, schema: Sequence[str]) -> None:
        self._clock = clock
        self.writing = threading.RLock()  # one writer in a process: SQLite's own wait is a sleep
        self._open: Change | None = None
        try:
            super().__init__(
                str(directory),
                timeout=BUSY_TIMEOUT,
                disk=BytesDisk,
                disk_min_file_size=0 if files else 1 << 40,
                eviction_policy="none",
                cull_limit=0,
                size_limit=1 << 62,
                sqlite_mmap_size=0,  # a file cut short under a mapping is SIGBUS
                sqlite_cache_size=2048,  # pages, for each thread
                sqlite_auto_vacuum=2,  # incremental: a delete moves no pages
            )
            for statement in schema:
                self._con.execute(statement)
        except sqlite3.Error as error:
            self.close()
            raise fault(error) from error
        except (ValueError, TypeError) as error:  # diskcache unpacks Settings rows that a damaged file lacks
            self.close()
            raise BrokenRows(None, f"settings: {error}") from error
        self.inode = os.stat(os.path.join(self.directory, diskcache.core.DBNAME)).st_ino

    def select(self, sql: str, args: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            return list(self._con.execute(sql, args))
        except sqlite3.Error as error:
            raise fault(error, self) from error

    def value(self, key: str) -> bytes | None:
        """The value under `key`, in full; raises `UntrustedRow` if it is not one of ours, unbroken."""
        try:
            found = self.get(key)
        except sqlite3.Error as error:
            raise fault(error, self) from error
        return found if isinstance(found, bytes) else None

    @contextmanager
    def change(self) -> Iterator[Change]:
        """A transaction: all of it or, after any exception, nothing. One within another is part of it."""
        with self.writing:
            if self._open is not None:
                yield self._open
                return
            try:
                con: sqlite3.Connection = self._con
                if con.in_transaction:  # a COMMIT or ROLLBACK that failed, e.g. on a full disk
                    con.execute("ROLLBACK")
                con.execute("BEGIN IMMEDIATE")
                try:
                    yield (change := self._begun(con))
                    con.execute("COMMIT")
                except BaseException:
                    if con.in_transaction:
                        con.execute("ROLLBACK")
                    raise
                finally:
                    self._open = None
            except sqlite3.Error as error:
                raise fault(error, self) from error
        for name in change.doomed:
            self.disk.remove(name)

    def _begun(self, con: sqlite3.Connection) -> Change:
        self._open = change = Change(self, con, self._clock())
        return change

    def pages(self) -> int:
        """Bytes of the database that hold something."""
        ((count,),) = self.select("PRAGMA page_count")
        ((free,),) = self.select("PRAGMA freelist_count")
        return int(count - free) * int(self._page_size)

    def total(self) -> tuple[int, int]:
        """(number of rows, bytes of their values), kept by triggers."""
        counts = dict(self.select("SELECT key, value FROM Settings WHERE key IN ('count', 'size')"))
        return counts["count"], counts["size"]
