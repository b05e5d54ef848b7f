"""What turned out wrong is kept aside, within bounds, and out of the way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from proxy_addon.store.contract import PIECE, Manifest
from proxy_addon.store.quarantine import MOST, Case, Quarantine

from .conftest import Clock


@pytest.fixture
def aside(tmp_path: Path, clock: Clock) -> Quarantine:
    return Quarantine(tmp_path / "quarantine", 1000, clock)


def case(blob: str = "sha256:aa", size: int = 100, piece: int | None = 0, by: str = "scrub") -> Case:
    manifest = Manifest(blob, size, True, True, source="https://hub.test/x")
    return Case(by, manifest, "piece 0 is damaged at 0", "blake3:01", "blake3:02", piece)


def test_a_file_is_moved_with_all_that_is_known_of_it(aside: Quarantine, tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "piece"
    file.write_bytes(b"x" * 100)
    aside.put(case(), [(0, file)])
    (entry,) = aside.entries()
    assert not file.exists()
    assert (entry.at, entry.by, entry.blob, entry.piece) == (clock.now, "scrub", "sha256:aa", 0)
    assert (entry.expected, entry.found, entry.source) == ("blake3:01", "blake3:02", "https://hub.test/x")
    assert (entry.size, entry.kept, aside.size()) == (100, 100, 100)
    assert list(aside.bytes_of(entry)) == [(0, b"x" * 100)]
    assert aside.one(entry.id) == aside.one(entry.id[-8:]) == entry
    assert aside.one(entry.id[-4:]) is None and aside.one("../x") is None
    assert oct(aside.place(entry).stat().st_mode)[-3:] == "700"
    aside.remove(entry.id)
    assert aside.entries() == [] and aside.size() == 0


def test_the_oldest_go_when_there_are_too_many_bytes(aside: Quarantine, clock: Clock) -> None:
    for number in range(5):
        clock.now += 1
        aside.put(case(f"sha256:{number}", 300), [(0, bytes(300))])
    assert [entry.blob for entry in aside.entries()] == ["sha256:2", "sha256:3", "sha256:4"]
    assert aside.size() == 900


def test_of_what_is_larger_than_all_the_room_the_beginning_is_kept(aside: Quarantine, tmp_path: Path) -> None:
    files = [tmp_path / f"{number}" for number in range(3)]
    for file in files:
        file.write_bytes(bytes(400))
    aside.put(case(size=3 * PIECE, piece=None), list(enumerate(files)))
    (entry,) = aside.entries()
    assert (entry.size, entry.kept, aside.size()) == (3 * PIECE, 800, 800)
    assert not any(file.exists() for file in files), "what was not kept must not stay on the disk"


def test_no_room_keeps_what_was_found_and_no_bytes(tmp_path: Path, clock: Clock) -> None:
    aside = Quarantine(tmp_path / "q", 0, clock)
    aside.put(case(), [(0, b"x" * 100)])
    (entry,) = aside.entries()
    assert (entry.kept, entry.found, aside.size()) == (0, "blake3:02", 0)


def test_entries_are_bounded_in_number(aside: Quarantine, clock: Clock, tmp_path: Path) -> None:
    for number in range(MOST + 5):
        clock.now += 1
        (tmp_path / "quarantine" / f"{clock.now:.0f}").parent.mkdir(exist_ok=True)
        if number < MOST:
            stamp = f"20200101T{number:012d}"
            (tmp_path / "quarantine" / f"{stamp}-read-00000000").mkdir()
        else:
            aside.put(case(), [])
    assert len(aside.entries()) == MOST
    assert aside.tally() == {"read": MOST - 5, "scrub": 5}


def test_a_disk_that_refuses_costs_the_evidence_and_nothing_else(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "q").write_text("in the way")
    file = tmp_path / "piece"
    file.write_bytes(b"x")
    aside = Quarantine(tmp_path / "q", 1000, clock)
    aside.put(case(), [(0, file)])
    assert not file.exists(), "bad bytes must not stay where they were"
    assert aside.entries() == [] and aside.size() == 0 and not aside.tally()


def test_what_was_never_finished_goes_after_a_while(aside: Quarantine, clock: Clock, tmp_path: Path) -> None:
    aside.put(case(), [])
    left = tmp_path / "quarantine" / ".new-0123"
    left.mkdir()
    (left / "000000").write_bytes(b"half")
    aside.put(case(), [])
    assert left.exists() and len(aside.entries()) == 2, "it may be another process's, at work"
    os.utime(left, (clock.now - 7200, clock.now - 7200))
    aside.put(case(), [])
    assert not left.exists() and len(aside.entries()) == 3


def test_an_entry_that_is_damaged_itself_is_told_as_far_as_its_name_goes(aside: Quarantine, clock: Clock) -> None:
    clock.now = float(int(clock.now))
    aside.put(case(by="hub"), [(0, b"x")])
    (entry,) = aside.entries()
    (aside.place(entry) / "about.json").write_text("{")
    (told,) = aside.entries()
    assert (told.id, told.by, told.at, told.what) == (entry.id, "hub", entry.at, "unreadable")
