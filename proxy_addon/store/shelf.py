"""A database that is replaced by a new one when it turns out damaged, while the proxy runs.

What is in a cache can be had again, so a damaged database is never written again: its files are moved to
`<name>.bad-<epoch seconds>` for whoever wants to look, and a new one begins with those of its rows that are still good.
The first to notice does it, whichever thread or process that is; the others see another inode in its place and follow.
Locks, one on the directory and one of this process, keep them from what is not yet filled: a sweep that saw it empty
would take all pieces for leftovers. Rows are salvaged in one transaction before anybody else looks: later, what was
deleted meanwhile would come back. Who is killed before that leaves an empty database, and the next to open it does it.
The write-ahead log moves first: an old log beside a new database would be replayed there.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from .rows import BrokenRows, Rows
from .salvage import salvage

log = logging.getLogger(__name__)
FILES = ("cache.db-wal", "cache.db-shm", "cache.db")


class Shelf:
    """Owns the `Rows` of one directory. `generation` grows whenever they are replaced."""

    schema: ClassVar[Sequence[str]] = ()
    files: ClassVar[bool] = False

    def __init__(self, directory: Path, clock: Callable[[], float]) -> None:
        self.directory = directory
        self.clock = clock
        self.generation = 0
        self.replaced = 0  # times that it was damaged, and set aside by us
        self._healing = threading.RLock()

    @property
    def rows(self) -> Rows:
        """Those in force; waits while they are replaced."""
        with self._healing:
            return self._rows

    def open(self) -> None:
        """Raises OSError; a damaged database is set aside first."""
        with self._healing, self._alone():
            try:
                self._rows = self._new()
                self._salvage()
            except BrokenRows as broken:
                self._set_aside(broken)
                self._rows = self._new()
                self._salvage()
            self.generation += 1

    def heal(self, broken: BrokenRows) -> None:
        """Replace the database that `broken` tells of, unless somebody has done so."""
        with self._healing:
            if broken.rows is not self.rows:
                return
            with self._alone():
                if self.current():
                    self._set_aside(broken)
            self.open()

    def follow(self) -> None:
        """Reopen if another process has replaced the database, or somebody has removed it."""
        with self._healing:
            if not self.current():
                self.open()

    def check(self) -> None:
        """Read the whole database, and whether its indexes agree with it; raises `BrokenRows`."""
        rows = self.rows
        ((told,),) = rows.select("PRAGMA integrity_check(1)")
        if told != "ok":
            raise BrokenRows(rows, str(told).splitlines()[-1])

    def current(self) -> bool:
        try:
            return os.stat(self.directory / "cache.db").st_ino == self.rows.inode
        except OSError:
            return False

    def close(self) -> None:
        """Close the calling thread's connection; each thread has its own."""
        if self.generation:
            self.rows.close()

    def _new(self) -> Rows:
        return Rows(self.directory, self.clock, files=self.files, schema=self.schema)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process opens or replaces the database meanwhile."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self.directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _salvage(self) -> None:
        """Take over what is good in the database that was set aside last, if ours is empty and nobody did so."""
        for aside in sorted(self.directory.parent.glob(f"{self.directory.name}.bad-*"))[-1:]:
            done = aside / "salvaged"
            if done.exists() or self.rows.total()[0]:
                continue
            began = time.monotonic()
            try:
                count = salvage(aside / "cache.db", self.rows)
                done.write_text(f"{count}\n")
                log.warning("%s: %d rows are good and kept; %.1f s", self.directory, count, time.monotonic() - began)
            except (sqlite3.Error, OSError) as error:
                log.error("%s: nothing could be salvaged: %s", self.directory, error)

    def _set_aside(self, broken: BrokenRows) -> None:
        for old in self.directory.parent.glob(f"{self.directory.name}.bad-*"):
            shutil.rmtree(old, ignore_errors=True)
        aside = self.directory.with_name(f"{self.directory.name}.bad-{int(self.clock())}")
        aside.mkdir(mode=0o700, exist_ok=True)
        self.replaced += 1
        for name in FILES:
            with contextlib.suppress(FileNotFoundError):
                os.rename(self.directory / name, aside / name)
        log.error("cache database %s is damaged (%s): set aside as %s, begun anew", self.directory, broken, aside.name)
