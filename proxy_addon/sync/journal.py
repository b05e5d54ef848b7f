"""What is known of every repo that is kept in sync, and the log of what changed: one SQLite file in the cache's folder.

Its own file, so that nothing of it is ever evicted, and readers look in while a server writes. SQLite's write-ahead log
sees to it that a process that is killed loses no line that was written. A damaged file is put aside and the journal
begins anew: what is in the cache does not depend on it, each repo is then looked up once more. Bounded: the newest
`KEEP` lines of a repo, `KEEP_ALL` in all. Every method blocks; any thread may call.
"""

from __future__ import annotations

import fcntl
import json
import sqlite3
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from .changes import Files, Run, packed, unpacked
from .claims import Claims
from .database import Database
from .standing import Standing

KEEP = 200
KEEP_ALL = 10_000
FORGOTTEN = 90 * 86400.0  # seconds after which a repo that nobody watches any more is dropped from the standings
_FILE = "journal.db"
_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS standing (repo TEXT PRIMARY KEY, listed INTEGER NOT NULL, since REAL NOT NULL,
  version TEXT NOT NULL DEFAULT '', known TEXT NOT NULL DEFAULT '', equal REAL, began REAL,
  terms TEXT NOT NULL DEFAULT '', fault TEXT NOT NULL DEFAULT '', asked REAL NOT NULL,
  files BLOB, pins BLOB, wanted BLOB) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS run (id INTEGER PRIMARY KEY, repo TEXT NOT NULL, at REAL NOT NULL, last REAL NOT NULL,
  told BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS run_repo ON run (repo, id);
CREATE INDEX IF NOT EXISTS run_last ON run (last);
"""
_COLUMNS = "repo, listed, since, version, known, equal, began, terms, fault"


def exists(directory: Path) -> bool:
    """Whether anything was ever kept in sync in this cache directory."""
    return (directory / "sync" / _FILE).exists()


class Journal:
    """Raises OSError when the directory cannot be written."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "sync"
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._db = Database(self._directory / _FILE, _VERSION, _SCHEMA)
        self.claims = Claims(self._directory)

    def close(self) -> None:
        self._db.close()
        self.claims.close()

    @contextmanager
    def alone(self, repo: str) -> Iterator[bool]:
        """Whether this process may work on the repo now; another one that does so keeps it until it ends, or dies."""
        with open(self._directory / f"{sha256(repo.encode()).hexdigest()[:32]}.lock", "wb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    # where repos stand

    def standings(self) -> list[Standing]:
        return [_standing(row) for row in self._db.rows(f"SELECT {_COLUMNS} FROM standing ORDER BY repo")]

    def standing(self, repo: str) -> Standing | None:
        rows = self._db.rows(f"SELECT {_COLUMNS} FROM standing WHERE repo = ?", repo)
        return _standing(rows[0]) if rows else None

    def want(self, repo: str, now: float, *, listed: bool) -> None:
        with self._db.change() as con:
            con.execute(
                "INSERT INTO standing (repo, listed, since, asked) VALUES (?, ?, ?, ?) ON CONFLICT (repo) "
                "DO UPDATE SET listed = max(listed, excluded.listed), asked = excluded.asked",
                (repo, listed, now, now),
            )
            con.execute(
                "DELETE FROM standing WHERE NOT listed AND asked < ? AND coalesce(pins, '') = ''", (now - FORGOTTEN,)
            )

    def drop(self, repo: str) -> None:
        with self._db.change() as con:
            con.execute("DELETE FROM standing WHERE repo = ?", (repo,))

    def begin(self, repo: str, now: float) -> None:
        self._set(repo, began=now, asked=now)

    def known(self, repo: str, version: str) -> None:
        """The hub has it, and it is not here complete: if it was, it is no longer, or not for what is wanted now."""
        with self._db.change() as con:
            con.execute(
                "UPDATE standing SET known = ?1, terms = CASE version WHEN ?1 THEN '' ELSE terms END WHERE repo = ?2",
                (version, repo),
            )

    def equal(self, repo: str, at: float) -> None:
        """What is here was checked, and is what the hub had."""
        self._set(repo, equal=at, began=None, fault="")

    def arrived(self, run: Run, terms: str, files: Files, wanted: Collection[str]) -> None:
        """Complete: from here on this is what is here. `wanted`: the blobs to keep pinned for it."""
        with self._db.change() as con:
            _update(
                con, run.repo, version=run.after, known=run.after, equal=run.at, began=None, fault="", terms=terms,
                files=_squeezed({path: list(file) for path, file in files.items()}), wanted=_squeezed(sorted(wanted)),
            )  # fmt: skip
            if run.before != run.after or run.changes or run.fetched:
                self._write(con, run)

    def failed(self, run: Run) -> None:
        with self._db.change() as con:
            _update(con, run.repo, began=None, fault=run.faults[0][1])
            self._write(con, run)

    def files(self, repo: str) -> Files:
        """Of the version that is here."""
        return {path: (size, blob) for path, (size, blob) in self._inflated(repo, "files", {}).items()}

    def wanted(self, repo: str) -> set[str]:
        return set(self._inflated(repo, "wanted", []))

    def pins(self, repo: str) -> set[str]:
        """Blobs that were pinned for the repo."""
        return set(self._inflated(repo, "pins", []))

    def other_pins(self, repo: str) -> set[str]:
        found = set[str]()
        for (pins,) in self._db.rows("SELECT pins FROM standing WHERE repo <> ? AND pins IS NOT NULL", repo):
            found.update(_inflated(pins))
        return found

    def set_pins(self, repo: str, blobs: Collection[str]) -> None:
        self._set(repo, pins=_squeezed(sorted(blobs)) if blobs else None)

    # the log

    def runs(self, since: float = 0.0) -> list[Run]:
        """The oldest first; not older than `since` (epoch seconds)."""
        rows = self._db.rows("SELECT repo, at, last, told FROM run WHERE last >= ? ORDER BY id", since)
        return [_run(*row) for row in rows]

    def note(self, run: Run) -> None:
        with self._db.change() as con:
            self._write(con, run)

    def _write(self, con: sqlite3.Connection, run: Run) -> None:
        newest = con.execute(
            "SELECT id, repo, at, last, told FROM run WHERE repo = ? ORDER BY id DESC LIMIT 1", (run.repo,)
        ).fetchone()
        if newest is not None and run.repeats(old := _run(*newest[1:])):
            con.execute(
                "UPDATE run SET last = ?, told = ? WHERE id = ?", (run.at, _told(run, old.times + 1), newest[0])
            )
            return
        con.execute(
            "INSERT INTO run (repo, at, last, told) VALUES (?, ?, ?, ?)", (run.repo, run.at, run.at, _told(run))
        )
        con.execute(
            "DELETE FROM run WHERE repo = ? AND id NOT IN (SELECT id FROM run WHERE repo = ? ORDER BY id DESC LIMIT ?)",
            (run.repo, run.repo, KEEP),
        )
        con.execute("DELETE FROM run WHERE id <= (SELECT max(id) FROM run) - ?", (KEEP_ALL,))

    def _set(self, repo: str, **values: Any) -> None:
        with self._db.change() as con:
            _update(con, repo, **values)

    def _inflated(self, repo: str, column: str, nothing: Any) -> Any:
        rows = self._db.rows(f"SELECT {column} FROM standing WHERE repo = ?", repo)
        return _inflated(rows[0][0]) if rows and rows[0][0] else nothing


def _update(con: sqlite3.Connection, repo: str, **values: Any) -> None:
    columns = ", ".join(f"{name} = ?" for name in values)
    con.execute(f"UPDATE standing SET {columns} WHERE repo = ?", (*values.values(), repo))


def _standing(row: tuple[Any, ...]) -> Standing:
    repo, listed, *rest = row
    return Standing(repo, bool(listed), *rest)


def _squeezed(value: Any) -> bytes:
    return zlib.compress(json.dumps(value).encode(), 3)


def _inflated(value: bytes) -> Any:
    return json.loads(zlib.decompress(value))


def _told(run: Run, times: int = 1) -> bytes:
    return _squeezed(
        {
            "before": run.before,
            "after": run.after,
            **packed(run.changes),
            "fetched": run.fetched,
            "seconds": run.seconds,
            "faults": run.faults,
            "times": times,
        }
    )


def _run(repo: str, at: float, last: float, told: bytes) -> Run:
    found = _inflated(told)
    return Run(
        repo,
        at,
        found["before"],
        found["after"],
        unpacked(found),
        found["fetched"],
        found["seconds"],
        tuple((what, why) for what, why in found["faults"]),
        found["times"],
        last,
    )
