"""A database that is replaced by an empty one when it turns out damaged, while the proxy runs.

What is in a cache can be had again, so a damaged database is never repaired: its files are moved to
`<name>.bad-<epoch seconds>` for whoever wants to look, and a new one begins. The first to notice does it, whichever
thread or process that is; the others see another inode in its place and follow. The write-ahead log moves first: an
old log beside a new database would be replayed into it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from .rows import BrokenRows, Rows

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
        self._healing = threading.Lock()

    def open(self) -> None:
        """Raises OSError; a damaged database is set aside first."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self.rows = self._rows()
        except BrokenRows as broken:
            self._set_aside(broken)
            self.rows = self._rows()
        self.generation += 1

    def heal(self, broken: BrokenRows) -> None:
        """Replace the database that `broken` tells of, unless somebody has done so."""
        with self._healing:
            if broken.rows is not self.rows:
                return
            if self.current():
                self._set_aside(broken)
            self.open()

    def follow(self) -> None:
        """Reopen if another process has replaced the database, or somebody has removed it."""
        with self._healing:
            if not self.current():
                self.open()

    def current(self) -> bool:
        try:
            return os.stat(self.directory / "cache.db").st_ino == self.rows.inode
        except OSError:
            return False

    def close(self) -> None:
        """Close the calling thread's connection; each thread has its own."""
        if self.generation:
            self.rows.close()

    def _rows(self) -> Rows:
        return Rows(self.directory, self.clock, files=self.files, schema=self.schema)

    def _set_aside(self, broken: BrokenRows) -> None:
        for old in self.directory.parent.glob(f"{self.directory.name}.bad-*"):
            shutil.rmtree(old, ignore_errors=True)
        aside = self.directory.with_name(f"{self.directory.name}.bad-{int(self.clock())}")
        aside.mkdir(mode=0o700, exist_ok=True)
        for name in FILES:
            with contextlib.suppress(FileNotFoundError):
                os.rename(self.directory / name, aside / name)
        log.error("cache database %s is damaged (%s): set aside as %s, begun anew", self.directory, broken, aside.name)
