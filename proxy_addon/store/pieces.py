"""Pieces as files, a row for each, and for each blob one row of `Held` that says how much of it is here.

The tag of a piece's row is its blob, and triggers keep `Held` right in the same transaction, whoever writes.
`Held.access` is the order of eviction. A row is written after its file and removed before it: a row that points at
nothing is a crash of the file system, a file that no row names is swept. Until then it takes room (`stray`), which may
be wanted: whoever writes gives his file its row soon after its last byte, so what has none for `SETTLED` is nobody's.
A piece here counts only if the index has its digests.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from ..core.messages import Buffer
from .disk import UntrustedRow
from .index import piece_key
from .rows import after
from .shelf import Shelf

SETTLED = 60.0  # seconds; a write waits a third of that for the database, then takes its file away
PAGE = 256  # rows of `Held` looked at in one go


class Located(NamedTuple):
    path: str
    name: str
    size: int


class Pieces(Shelf):
    files = True
    schema = (
        "CREATE INDEX IF NOT EXISTS Cache_filename ON Cache (filename)",
        "CREATE TABLE IF NOT EXISTS Held (blob TEXT PRIMARY KEY, bytes INTEGER, access REAL) WITHOUT ROWID",
        "CREATE INDEX IF NOT EXISTS Held_access ON Held (access)",
        "CREATE TRIGGER IF NOT EXISTS Held_insert AFTER INSERT ON Cache BEGIN "
        "INSERT INTO Held VALUES (NEW.tag, NEW.size, NEW.access_time) ON CONFLICT (blob) DO UPDATE SET "
        "bytes = bytes + NEW.size, access = max(access, NEW.access_time); END",
        "CREATE TRIGGER IF NOT EXISTS Held_update AFTER UPDATE ON Cache BEGIN "
        "UPDATE Held SET bytes = bytes + NEW.size - OLD.size, access = max(access, NEW.access_time) "
        "WHERE blob = NEW.tag; END",
        "CREATE TRIGGER IF NOT EXISTS Held_delete AFTER DELETE ON Cache BEGIN "
        "UPDATE Held SET bytes = bytes - OLD.size WHERE blob = OLD.tag; "
        "DELETE FROM Held WHERE blob = OLD.tag AND bytes <= 0; END",
    )

    def __init__(self, directory: Path, clock: Callable[[], float]) -> None:
        super().__init__(directory, clock)
        self.stray: dict[str, tuple[int, float]] = {}  # file that no row named -> bytes, time of its last change

    def stray_bytes(self) -> int:
        return sum(size for size, _ in [*self.stray.values()])

    def reclaim(self, age: float, need: float = math.inf) -> int:
        """Remove stray files that nobody has changed for `age` seconds, until there are `need` bytes less of them; how
        many less. What has been given its row meanwhile was none."""
        less, before = 0, self.clock() - age
        for name, (size, changed) in [*self.stray.items()]:
            if less >= need:
                break
            named = self.rows.select("SELECT 1 FROM Cache WHERE filename = ?", (name,))
            if not named and changed <= before:
                self.rows.disk.remove(name)
            if named or changed <= before:
                self.stray.pop(name, None)
                less += size
        return less

    def put(self, blob: str, index: int, data: Buffer) -> None:
        """Write the file, then the row; neither is left after an OSError."""
        rows = self.rows
        stored = rows.disk.store(data, False)
        try:
            with rows.change() as change:
                change.place(piece_key(blob, index), stored, blob)
        except BaseException:
            rows.disk.remove(stored[2])
            raise

    def locate(self, blob: str, index: int) -> Located | None:
        found = self.rows.select(
            "SELECT filename, size FROM Cache WHERE key = ? AND raw = 1", (piece_key(blob, index),)
        )
        for name, size in found:
            try:
                return Located(self.rows.disk.path(name), name, size)
            except UntrustedRow:
                self.discard(blob, index, name)
        return None

    def discard(self, blob: str, index: int, name: str | None, *, leave_file: bool = False) -> bool:
        """Drop one piece, if its file is still the one that was found bad. `leave_file`: it is the caller's now."""
        with self.rows.change() as change:
            gone = change.delete("key = ? AND filename IS ?", (piece_key(blob, index), name)) > 0
            if leave_file:
                change.doomed.clear()
        return gone

    def expel(self, blob: str) -> list[tuple[int, Path]]:
        """Drop the rows of a blob; (number of the piece, its file), which are the caller's now."""
        low = piece_key(blob, 0)[:-6]
        span = low, after(low)
        with self.rows.change() as change:
            found = change.execute("SELECT key, filename FROM Cache WHERE key >= ? AND key < ?", span).fetchall()
            change.delete("key >= ? AND key < ?", span)
            change.doomed.clear()
        files = list[tuple[int, Path]]()
        for key, name in found:
            with contextlib.suppress(UntrustedRow):
                files.append((int(key[-6:], 16), Path(self.rows.disk.path(name))))
        return sorted(files)

    def indices(self, blob: str) -> set[int]:
        low = piece_key(blob, 0)[:-6]
        found = self.rows.select("SELECT key FROM Cache WHERE key >= ? AND key < ?", (low, after(low)))
        return {int(key[-6:], 16) for (key,) in found}

    def drop(self, *blobs: str) -> None:
        with self.rows.change() as change:
            for blob in blobs:
                low = piece_key(blob, 0)[:-6]
                change.delete("key >= ? AND key < ?", (low, after(low)))

    def shed(self, blob: str, need: int) -> tuple[int, int]:
        """Drop pieces of a blob, from its end, until `need` bytes are free; (pieces, bytes) dropped."""
        low = piece_key(blob, 0)[:-6]
        with self.rows.change() as change:
            found = change.execute(
                "SELECT rowid, size FROM Cache WHERE key >= ? AND key < ? ORDER BY key DESC", (low, after(low))
            )
            freed, doomed = 0, []
            for rowid, size in found:
                doomed.append(rowid)
                freed += size
                if freed >= need:
                    break
            found.close()
            for rowid in doomed:
                change.delete("rowid = ?", (rowid,))
        return len(doomed), freed

    def oldest(self) -> Iterator[tuple[str, int]]:
        """(blob, bytes here), the one longest not asked for first. Rows may be dropped while iterating."""
        at: tuple[float, str] = (float("-inf"), "")
        while page := self.rows.select(
            "SELECT blob, bytes, access FROM Held WHERE (access, blob) > (?, ?) ORDER BY access, blob LIMIT ?",
            (*at, PAGE),
        ):
            for blob, size, access in page:
                yield blob, size
                at = access, blob

    def held(self, blob: str) -> int:
        """Bytes of the blob that are here."""
        found = self.rows.select("SELECT bytes FROM Held WHERE blob = ?", (blob,))
        return int(found[0][0]) if found else 0

    def touch(self, seen: Mapping[str, float]) -> None:
        """As `Index.touch`, by blob."""
        sql = "UPDATE Held SET access = max(min(access, ?), ?) WHERE blob = ?"
        with self.rows.change() as change:
            change.many(sql, ((self.clock(), at, blob) for blob, at in seen.items()))

    def named(self, folder: str) -> dict[str, int]:
        """{file name: rowid} of the rows whose file is in `folder`, the first part of a file name."""
        found = self.rows.select(
            "SELECT filename, rowid FROM Cache WHERE filename >= ? AND filename < ?",
            (folder + "/", after(folder + "/")),
        )
        return dict(found)

    def unname(self, rowid: int, name: str) -> None:
        """Drop a row whose file is gone."""
        with self.rows.change() as change:
            if not os.path.exists(self.directory / name):
                change.delete("rowid = ? AND filename = ?", (rowid, name))
