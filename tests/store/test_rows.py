from __future__ import annotations

import errno
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy_addon.store.rows import BrokenRows, Rows, after, fault

ALPHABET = st.characters(exclude_categories=["Cs"])


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Rows]:
    made = Rows(tmp_path / "r", time.time, files=False, schema=())
    yield made
    made.close()


@given(st.text(ALPHABET, min_size=1), st.text(ALPHABET), st.text(ALPHABET))
def test_after_bounds_exactly_what_starts_so(prefix: str, tail: str, other: str) -> None:
    if prefix.strip("\U0010ffff"):
        low, high = prefix.encode(), after(prefix).encode()
        assert low <= (prefix + tail).encode() < high
        assert (low <= other.encode() < high) == other.startswith(prefix)


def test_an_exception_undoes_the_whole_change(rows: Rows) -> None:
    with pytest.raises(KeyError), rows.change() as change:
        change.set("a", b"1", "T")
        raise KeyError
    assert rows.value("a") is None
    with rows.change() as change:
        change.set("b", b"2", "T")
    assert rows.value("b") == b"2"
    assert rows.total() == (1, 1)


def test_a_transaction_that_was_left_open_does_not_block_the_next(rows: Rows) -> None:
    rows._con.execute("BEGIN IMMEDIATE")  # as a COMMIT that failed on a full disk leaves it
    with rows.change() as change:
        change.set("a", b"1", "T")
    assert rows.value("a") == b"1"


def test_a_full_database_is_enospc(rows: Rows) -> None:
    ((pages,),) = rows.select("PRAGMA page_count")
    rows.select(f"PRAGMA max_page_count = {pages + 3}")
    with pytest.raises(OSError) as full, rows.change() as change:
        change.set("a", bytes(1 << 20), "T")
    assert full.value.errno == errno.ENOSPC
    with rows.change() as change:
        change.set("a", b"1", "T")
    assert rows.value("a") == b"1"


def test_damage_is_told_from_misuse(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "cache.db").write_bytes(b"not a database" * 400)
    with pytest.raises(BrokenRows):
        Rows(tmp_path / "d", time.time, files=False, schema=())
    misuse = sqlite3.ProgrammingError("closed")
    assert fault(misuse) is misuse
