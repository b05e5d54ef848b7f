"""What sync has on record: bounded, there after a kill, and read while another process writes."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy_addon.sync import Journal, Standing
from proxy_addon.sync import journal as room
from proxy_addon.sync.changes import NAMED, Changes, Run, Tally
from tests.processes import ROOT

REPO = "hf:acme/tiny"
FILES = st.dictionaries(
    st.text(min_size=1, max_size=3), st.tuples(st.integers(0, 9), st.sampled_from("ab")), max_size=6
)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    found = Journal(tmp_path)
    found.want(REPO, 100.0, listed=True)
    yield found
    found.close()


def line(at: float, **more: object) -> Run:
    return replace(Run(REPO, at, "a" * 40, "b" * 40, last=at), **more)


@given(old=FILES, new=FILES)
def test_changes_tell_the_whole_way_from_one_set_to_the_other(old, new):
    told = Changes.between(old, new)
    names = [{path for path, _ in tally.named} for tally in (told.added, told.changed, told.removed)]
    assert names == [set(new) - set(old), {p for p in old if p in new and old[p] != new[p]}, set(old) - set(new)]
    assert told.added.size + told.changed.size == sum(new[path][0] for path in names[0] | names[1])
    assert bool(told) == (old != new)


def test_many_files_are_counted_not_named():
    told = Tally.of((f"{n:05}", 2) for n in range(NAMED + 5))
    assert (told.count, told.size, len(told.named)) == (NAMED + 5, 2 * NAMED + 10, NAMED)


def test_what_is_written_is_read(journal: Journal, tmp_path: Path) -> None:
    changes = Changes(Tally(1, 5, (("new é.txt", 5),)), Tally(), Tally(2, 9, (("x", 4), ("y", 5))))
    run = line(200.0, changes=changes, fetched=5, seconds=1.5)
    journal.arrived(run, "terms", {"x": (4, "sha256:00")}, {"sha256:00"})
    other = Journal(tmp_path)
    assert other.runs() == [run] and other.files(REPO) == {"x": (4, "sha256:00")}
    assert other.wanted(REPO) == {"sha256:00"} and other.pins(REPO) == set()
    assert other.standing(REPO) == Standing(REPO, True, 100.0, "b" * 40, "b" * 40, 200.0, None, "terms")
    assert other.runs(since=200.5) == []
    other.close()


def test_the_same_failure_is_one_line(journal: Journal) -> None:
    for at in (1.0, 2.0, 3.0):
        journal.failed(line(at, faults=((REPO, "down"),)))
    journal.failed(line(4.0, faults=((REPO, "down"),), fetched=7))
    journal.failed(line(5.0, faults=((REPO, "gone"),)))
    assert [(r.at, r.last, r.times) for r in journal.runs()] == [(1.0, 3.0, 3), (4.0, 4.0, 1), (5.0, 5.0, 1)]
    found = journal.standing(REPO)
    assert found is not None and found.fault == "gone" and found.equal is None


def test_the_log_is_bounded(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "KEEP", 5)
    monkeypatch.setattr(room, "KEEP_ALL", 8)
    for at in range(10):
        journal.note(line(float(at), fetched=1))
    assert [r.at for r in journal.runs()] == [5.0, 6.0, 7.0, 8.0, 9.0]
    for at in range(10, 14):
        journal.note(line(float(at), fetched=1, repo="hf:acme/other"))
    assert [r.at for r in journal.runs()] == [6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0]


def test_what_nobody_watches_any_more_is_forgotten_unless_it_is_pinned(journal: Journal) -> None:
    for name in ("hf:a/watched", "hf:a/pinned"):
        journal.want(name, 100.0, listed=False)
    journal.set_pins("hf:a/pinned", {"sha256:00"})
    journal.want("hf:a/new", 101.0 + room.FORGOTTEN, listed=False)
    assert [at.repo for at in journal.standings()] == ["hf:a/new", "hf:a/pinned", REPO]


def test_a_server_s_repo_stays_so_when_it_is_watched_too(journal: Journal) -> None:
    journal.want(REPO, 200.0, listed=False)
    found = journal.standing(REPO)
    assert found is not None and found.listed and found.since == 100.0


def test_lag_is_counted_from_the_last_moment_in_step() -> None:
    at = Standing(REPO, True, since=100.0)
    assert at.lag(130.0) == 30.0 and at.behind
    at = replace(at, equal=120.0, version="a", known="a", terms="all")
    assert at.lag(130.0) == 10.0 and not at.behind
    assert at.lag(110.0) == 0.0, "a clock that was set back"
    assert replace(at, known="b").behind and replace(at, terms="").behind


def test_a_damaged_file_is_put_aside(journal: Journal, tmp_path: Path) -> None:
    journal.note(line(1.0))
    journal.close()
    file = tmp_path / "sync/journal.db"
    file.write_bytes(b"no database, " * 1000)
    again = Journal(tmp_path)
    again.want(REPO, 5.0, listed=True)
    again.note(line(2.0, fetched=1))
    assert [r.at for r in again.runs()] == [2.0]
    assert (tmp_path / "sync/journal.damaged").read_bytes().startswith(b"no database")
    again.close()


def spoilt(file: Path) -> None:
    """Its pages, but not its head: it opens."""
    con = sqlite3.connect(file)
    con.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    con.close()
    data = file.read_bytes()
    file.write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))


def test_damage_inside_the_file_is_found_when_it_is_opened(journal: Journal, tmp_path: Path) -> None:
    journal.close()
    spoilt(tmp_path / "sync/journal.db")
    again = Journal(tmp_path)
    again.want(REPO, 5.0, listed=True)
    assert [at.since for at in again.standings()] == [5.0] and (tmp_path / "sync/journal.damaged").exists()
    again.close()


def test_damage_that_is_met_at_work_is_put_aside_at_the_next_call(journal: Journal, tmp_path: Path) -> None:
    spoilt(tmp_path / "sync/journal.db")
    journal._db.rows("PRAGMA shrink_memory")  # it would go by the pages that it remembers
    with pytest.raises(OSError, match="sync journal: database disk image is malformed"):
        journal.standings()
    assert journal.standings() == [] and (tmp_path / "sync/journal.damaged").exists()


def test_who_has_a_file_open_that_is_put_aside_goes_over_to_the_new_one(journal: Journal, tmp_path: Path) -> None:
    (tmp_path / "sync/journal.db").rename(tmp_path / "sync/journal.damaged")
    other = Journal(tmp_path)
    other.want("hf:acme/other", 5.0, listed=True)
    assert [at.repo for at in journal.standings()] == ["hf:acme/other"]
    journal.want(REPO, 6.0, listed=True)
    assert [at.repo for at in other.standings()] == ["hf:acme/other", REPO]
    other.close()


def test_what_others_list_is_known_as_long_as_they_live(journal: Journal, tmp_path: Path) -> None:
    other = Journal(tmp_path)
    journal.claims.stake([REPO])
    assert journal.claims.others() == set() and other.claims.others() == {REPO}
    other.claims.stake(["hf:acme/other"])
    assert journal.claims.others() == {"hf:acme/other"}
    other.close()
    assert journal.claims.others() == set()


CLAIMER = """
import os, sys
from pathlib import Path
from proxy_addon.sync import Journal
Journal(Path(sys.argv[1])).claims.stake(["hf:acme/other"])
os._exit(9)
"""


def test_who_was_killed_claims_nothing_and_leaves_nothing(journal: Journal, tmp_path: Path) -> None:
    claims = tmp_path / "sync"
    for _ in range(2):
        assert subprocess.run([sys.executable, "-c", CLAIMER, str(tmp_path)], cwd=ROOT).returncode == 9
        assert len(list(claims.glob("*.claim"))) == 1
    assert journal.claims.others() == set() and not list(claims.glob("*.claim"))


def test_a_file_of_another_version_is_put_aside(journal: Journal, tmp_path: Path) -> None:
    journal.close()
    con = sqlite3.connect(tmp_path / "sync/journal.db")
    con.execute("PRAGMA user_version = 99")
    con.close()
    again = Journal(tmp_path)
    assert again.standings() == [] and (tmp_path / "sync/journal.damaged").exists()
    again.close()


WRITER = """
import sys, time
from pathlib import Path
from proxy_addon.sync import Journal
from proxy_addon.sync.changes import Run
journal = Journal(Path(sys.argv[1]))
with journal.alone("hf:acme/tiny") as alone:
    for n in range(50):
        journal.note(Run("hf:acme/tiny", float(n), fetched=1))
    print("written", alone, flush=True)
    time.sleep(60)
"""


def test_a_kill_loses_no_line_and_gives_the_repo_free(journal: Journal, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None and writer.stdout.readline() == "written True\n"
        assert len(journal.runs()) == 50, "read while it is open elsewhere"
        with journal.alone(REPO) as alone, journal.alone("hf:acme/other") as other:
            assert not alone and other
        writer.kill()
    with journal.alone(REPO) as alone:
        assert alone
    assert len(journal.runs()) == 50
