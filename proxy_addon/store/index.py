"""The index: stored responses, manifests, digests of units, and small blobs whole.

A row's tag says what it is: R a stored response, M a sealed manifest, P a partial one, U the digests of one piece, B
the bytes of a small blob, S a setting. R, M and P are what can be found, so the order of eviction is over them, by
(tag, access_time); U and B live and die with their manifest, in one transaction. Tally counts rows by tag, and under
"changes" the transactions that changed what another process may hold in memory, "condemned" the blobs that turned out
wrong as a whole: even their bytes must leave every memory. Every method blocks; any thread may
call.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ..core.errors import IntegrityError
from ..core.messages import Buffer, StoredResponse
from . import records
from .contract import Manifest, PieceMissing
from .disk import UntrustedRow
from .rows import Change, after
from .shelf import Shelf

log = logging.getLogger(__name__)
INLINE = 32 * 1024  # bytes of a blob that is kept in the index
ROW = 300  # bytes that a row costs beside its value: key, its copies in three B-trees, times
BATCH = 2000  # rows of one deleting transaction

_COUNT = "INSERT INTO Tally VALUES ({0}, {1}) ON CONFLICT (tag) DO UPDATE SET n = n + {1};"


def response_key(key: str) -> str:
    return f"r:{key}"


def manifest_key(blob: str) -> str:
    return f"m:{blob}"


def bytes_key(blob: str) -> str:
    return f"b:{blob}"


def piece_key(blob: str, index: int) -> str:
    return f"{blob}#{index:06x}"


def digests_key(blob: str, index: int) -> str:
    return f"u:{piece_key(blob, index)}"


PINS = "s:pins"


class Index(Shelf):
    schema = (
        "CREATE INDEX IF NOT EXISTS Cache_tag_access ON Cache (tag, access_time)",
        "CREATE TABLE IF NOT EXISTS Tally (tag TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID",
        f"CREATE TRIGGER IF NOT EXISTS Tally_insert AFTER INSERT ON Cache BEGIN {_COUNT.format('NEW.tag', 1)} END",
        f"CREATE TRIGGER IF NOT EXISTS Tally_delete AFTER DELETE ON Cache BEGIN {_COUNT.format('OLD.tag', -1)} END",
        "CREATE TRIGGER IF NOT EXISTS Tally_update AFTER UPDATE OF tag ON Cache WHEN OLD.tag <> NEW.tag BEGIN "
        f"{_COUNT.format('OLD.tag', -1)} {_COUNT.format('NEW.tag', 1)} END",
        "INSERT OR IGNORE INTO Tally VALUES ('changes', 0), ('condemned', 0)",
    )

    def __init__(self, directory: Path, clock: Callable[[], float]) -> None:
        super().__init__(directory, clock)
        self._own_changes = 0
        self.refused = 0  # rows that were not as this program writes them

    # stored responses

    def responses(self, key: str) -> tuple[tuple[StoredResponse, ...], int]:
        """(variants, bytes of the row)."""
        return self._value(response_key(key), lambda row: (records.unpack_responses(row), len(row))) or ((), 0)

    def put_responses(self, key: str, row: bytes) -> None:
        with self._change() as change:
            change.set(response_key(key), row, "R")

    def drop_responses(self, key: str) -> None:
        with self._change() as change:
            change.delete("key = ?", (response_key(key),))

    def invalidate(self, prefix: str) -> int:
        low, high, dropped = response_key(prefix), after(response_key(prefix)), 0
        while True:
            with self._change() as change:
                count = change.delete(
                    "rowid IN (SELECT rowid FROM Cache WHERE key >= ? AND key < ? LIMIT ?)", (low, high, BATCH)
                )
            dropped += count
            if count < BATCH:
                return dropped

    def found(self, prefix: str, after_key: str, limit: int) -> list[tuple[str, tuple[StoredResponse, ...]]]:
        """(key, variants) in the order of keys, of those that start with `prefix` and follow `after_key`."""
        low = response_key(after_key or prefix)
        rows = self.rows.select(
            "SELECT key FROM Cache WHERE key >= ? AND key < ? AND key <> ? ORDER BY key LIMIT ?",
            (low, after(response_key(prefix)), response_key(after_key), limit),
        )
        return [(key[2:], self.responses(key[2:])[0]) for (key,) in rows]

    # manifests

    def manifest(self, blob: str) -> Manifest | None:
        manifest = self._value(manifest_key(blob), records.unpack_manifest)
        if manifest is not None and manifest.blob != blob:
            self._refuse(manifest_key(blob), "it is another blob's")
            return None
        return manifest

    def registered(self, blob: str) -> Manifest:
        """Raises FileNotFoundError, as a disk would that has lost something."""
        manifest = self.manifest(blob)
        if manifest is None:
            raise FileNotFoundError(errno.ENOENT, "blob is not registered", blob)
        return manifest

    def create(self, manifest: Manifest) -> tuple[Manifest, bool]:
        """(the manifest that is now on record, whether a differing partial blob was dropped for it)."""
        with self._change() as change:
            old = self.manifest(manifest.blob)
            if old is not None and old.size == manifest.size and (old.sealed or old.validator == manifest.validator):
                return old, False
            if old is not None and old.sealed:
                raise IntegrityError(f"{manifest.blob} has another size than {manifest.size} bytes")
            if old is not None:
                self._forget(change, old.blob)
            new = replace(manifest, sealed=False)
            change.set(manifest_key(new.blob), records.pack_manifest(new), "P")
            return new, old is not None

    def seal(self, blob: str, public: bool) -> Manifest:
        """Raises `PieceMissing` for a piece that never came."""
        with self._change() as change:
            manifest = self.registered(blob)
            if absent := set(range(manifest.pieces)) - self.recorded(blob):
                raise PieceMissing(blob, min(absent))
            return self._rewrite(change, replace(manifest, sealed=True, public=public))

    def set_public(self, blob: str, public: bool) -> None:
        with self._change() as change:
            manifest = self.manifest(blob)
            if manifest is not None and manifest.public != public:
                self._rewrite(change, replace(manifest, public=public))

    def forget(self, *blobs: str) -> None:
        with self._change() as change:
            for blob in blobs:
                self._forget(change, blob)

    def condemn(self, blob: str, *, proven: bool) -> Manifest | None:
        """Forget it, and tell every process so; what was on record, None if somebody was first. What is sealed is
        forgotten only if `proven` says so."""
        with self._change() as change:
            if (manifest := self.manifest(blob)) is not None and (proven or not manifest.sealed):
                self._forget(change, blob)
                change.execute("UPDATE Tally SET n = n + ? WHERE tag = 'condemned'", (manifest.sealed,))
        return manifest

    # pieces

    def recorded(self, blob: str) -> set[int]:
        """Pieces whose digests are on record, whether or not their bytes are here."""
        low = digests_key(blob, 0)[:-6]
        found = self.rows.select("SELECT key FROM Cache WHERE key >= ? AND key < ?", (low, after(low)))
        return {int(key[-6:], 16) for (key,) in found}

    def digests(self, blob: str, index: int) -> bytes | None:
        return self._value(digests_key(blob, index), bytes)

    def record(self, blob: str, index: int, digests: bytes, small: Buffer | None = None) -> None:
        """From here on the piece counts. Raises FileNotFoundError when the blob has been dropped meanwhile."""
        with self.rows.change() as change:
            self.registered(blob)
            change.set(digests_key(blob, index), digests, "U")
            if small is not None:
                change.set(bytes_key(blob), small, "B")

    def small(self, blob: str) -> bytes | None:
        return self._value(bytes_key(blob), bytes)

    def lose_small(self, blob: str) -> bool:
        """Whether it was there."""
        with self.rows.change() as change:
            return change.delete("key = ?", (bytes_key(blob),)) > 0

    # bookkeeping

    def touch(self, seen: Mapping[str, float]) -> None:
        """Advance access times, in epoch seconds, by row key; one that lies ahead of the clock is set right."""
        sql = "UPDATE Cache SET access_time = max(min(access_time, ?), ?) WHERE key = ? AND raw = 1"
        with self.rows.change() as change:
            change.many(sql, ((self.clock(), at, key) for key, at in seen.items()))

    def oldest(self, limit: int) -> list[tuple[str, str, int]]:
        """(tag, key, bytes) of the responses and manifests that were longest not asked for, the oldest first."""
        one = "SELECT * FROM (SELECT tag, key, size, access_time AS at FROM Cache WHERE tag = '{}' ORDER BY at LIMIT ?)"
        union = " UNION ALL ".join(one.format(tag) for tag in "RMP")
        rows = self.rows.select(f"{union} ORDER BY at LIMIT ?", (limit,) * 4)
        return [(tag, key, size + ROW) for tag, key, size, _ in rows]

    def drop_rows(self, keys: Collection[str]) -> None:
        with self._change() as change:
            for key in keys:
                change.delete("key = ?", (key,))

    def partials(self, before: float) -> list[str]:
        """Blobs not sealed and not touched since `before` (epoch seconds)."""
        rows = self.rows.select("SELECT key FROM Cache WHERE tag = 'P' AND access_time < ?", (before,))
        return [key[2:] for (key,) in rows]

    def blobs(self, after_blob: str, limit: int) -> list[Manifest]:
        rows = self.rows.select(
            "SELECT key FROM Cache WHERE key > ? AND key < ? ORDER BY key LIMIT ?",
            (manifest_key(after_blob), after("m:"), limit),
        )
        return [m for (key,) in rows if (m := self.manifest(key[2:])) is not None]

    def weight(self) -> int:
        """Bytes that the rows take, as the budget counts them."""
        count, size = self.rows.total()
        return size + ROW * count

    def counts(self) -> tuple[int, int]:
        """(stored responses, blobs)."""
        tally = dict(self.rows.select("SELECT tag, n FROM Tally"))
        return tally.get("R", 0), tally.get("M", 0) + tally.get("P", 0)

    def token(self) -> tuple[int, int, int]:
        """(the number of the index, changes of other processes, blobs that were condemned): each only another."""
        with self.rows.writing:
            tally = dict(self.rows.select("SELECT tag, n FROM Tally WHERE tag IN ('changes', 'condemned')"))
            return self.generation, tally.get("changes", 0) - self._own_changes, tally.get("condemned", 0)

    def look_through(self, after_key: str, limit: int) -> str:
        """Read rows in the order of their keys, those that follow `after_key`, and drop what is damaged; the last key,
        empty at the end."""
        rows = self.rows.select("SELECT key FROM Cache WHERE key > ? ORDER BY key LIMIT ?", (after_key, limit))
        for (key,) in rows:
            if type(key) is not str:
                self._refuse(key, "its key is no text")
            else:
                self.manifest(key[2:]) if key.startswith("m:") else self._value(key, bytes)
        return next((key for (key,) in reversed(rows) if type(key) is str), "")

    def pins(self) -> frozenset[str]:
        return self._value(PINS, records.unpack_names) or frozenset()

    def keep(self, blobs: Collection[str], kept: bool) -> frozenset[str]:
        """Put blobs on the list of those never to be evicted, or take them off; the list."""
        with self._change() as change:
            pins = self.pins() | {*blobs} if kept else self.pins() - {*blobs}
            change.set(PINS, records.pack_names(pins), "S")
        return pins

    def tidy(self) -> None:
        """Give some of the free pages back to the file system."""
        self.rows.select("PRAGMA incremental_vacuum(2000)")

    @contextmanager
    def _change(self) -> Iterator[Change]:
        with self.rows.change() as change:
            yield change
            change.execute("UPDATE Tally SET n = n + 1 WHERE tag = 'changes'")
            self._own_changes += 1

    def _value[T](self, key: str, unpack: Callable[[bytes], T]) -> T | None:
        try:
            row = self.rows.value(key)
            return None if row is None else unpack(row)
        except (UntrustedRow, ValueError) as reason:
            self._refuse(key, str(reason))
            return None

    def _refuse(self, key: str, reason: str) -> None:
        self.refused += 1
        with self.rows.change() as change:
            change.delete("key = ?", (key,))
        log.error("row %r of the index is not as this program writes it (%s): dropped", key, reason)

    def _rewrite(self, change: Change, manifest: Manifest) -> Manifest:
        change.set(manifest_key(manifest.blob), records.pack_manifest(manifest), "M" if manifest.sealed else "P")
        return manifest

    def _forget(self, change: Change, blob: str) -> None:
        low = digests_key(blob, 0)[:-6]
        change.delete("key >= ? AND key < ?", (low, after(low)))
        change.delete("key = ? OR key = ?", (manifest_key(blob), bytes_key(blob)))
