"""One SQLite file for several threads and processes; every error is an OSError.

A file that is damaged, or of another version, is put aside as it is and a new one begun. Whoever has the old one open
goes over to the new one.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)
BUSY = 20.0  # seconds that one process waits for another's transaction


class Database:
    def __init__(self, file: Path, version: int, schema: str) -> None:
        self._lock = threading.Lock()
        self._file, self._version, self._schema = file, version, schema
        self._con = _opened(file, version, schema)
        self._inode = _inode(file)

    def close(self) -> None:
        with self._lock:
            self._con.close()

    def rows(self, sql: str, *args: Any) -> list[tuple[Any, ...]]:
        with self._lock:
            try:
                return self._current().execute(sql, args).fetchall()
            except sqlite3.Error as fault:
                raise self._failure(fault) from fault

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it or, after any exception, nothing."""
        with self._lock:
            try:
                con = self._current()
                con.execute("BEGIN IMMEDIATE")
                try:
                    yield con
                    con.execute("COMMIT")
                except BaseException:
                    if con.in_transaction:
                        con.execute("ROLLBACK")
                    raise
            except sqlite3.Error as fault:
                raise self._failure(fault) from fault

    def _current(self) -> sqlite3.Connection:
        if self._inode != _inode(self._file):
            self._con.close()
            self._con = _opened(self._file, self._version, self._schema)
            self._inode = _inode(self._file)
        return self._con

    def _failure(self, fault: sqlite3.Error) -> OSError:
        if not isinstance(fault, sqlite3.OperationalError):  # it may be damage: the next call opens and checks it
            self._inode = 0
        return OSError(f"sync journal: {fault}")


def _inode(file: Path) -> int | None:
    try:
        return file.stat().st_ino
    except FileNotFoundError:
        return None


def _opened(file: Path, version: int, schema: str) -> sqlite3.Connection:
    try:
        return _connected(file, version, schema)
    except sqlite3.OperationalError as fault:
        raise OSError(f"{file}: {fault}") from fault
    except sqlite3.DatabaseError:
        with open(file.with_suffix(".lock"), "wb") as alone:
            fcntl.flock(alone, fcntl.LOCK_EX)
            return _anew(file, version, schema)


def _anew(file: Path, version: int, schema: str) -> sqlite3.Connection:
    try:
        return _connected(file, version, schema)  # another process was first
    except sqlite3.DatabaseError as fault:
        aside = file.with_suffix(".damaged")
        log.error("%s cannot be used (%s): put aside as %s", file, fault, aside.name)
        os.replace(file, aside)
        for rest in ("-wal", "-shm"):
            file.with_name(file.name + rest).unlink(missing_ok=True)
        return _connected(file, version, schema)


def _connected(file: Path, version: int, schema: str) -> sqlite3.Connection:
    con = sqlite3.connect(file, timeout=BUSY, isolation_level=None, check_same_thread=False)
    try:
        ((sound,),) = con.execute("PRAGMA quick_check(1)")
        if sound != "ok":
            raise sqlite3.DatabaseError(sound.splitlines()[-1])
        ((found,),) = con.execute("PRAGMA user_version")
        if found not in (0, version):
            raise sqlite3.DatabaseError(f"format {found}, not {version}")
        con.execute("PRAGMA synchronous = NORMAL")
        if not found:  # else nothing is written: a full disk can be read
            con.execute("PRAGMA journal_mode = WAL")
            con.executescript(schema)
            con.execute(f"PRAGMA user_version = {version}")
    except BaseException:
        con.close()
        raise
    return con
