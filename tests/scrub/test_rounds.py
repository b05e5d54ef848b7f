"""Rounds of the scrubber on a real store: everything is read once, no faster than told, and from where it was left."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import AsyncIterator
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import pytest

from proxy_addon.metrics import Metrics
from proxy_addon.scrub import Rounds, Standing, State, StateFile, Stopped
from proxy_addon.scrub.rounds import SAVED
from proxy_addon.store.contract import PIECE, UNIT
from proxy_addon.store.local import DiskStore
from tests.contracts.samples import MIB, content, fill
from tests.faults.surgeon import flip

SIZES = {"a": 3000, "b": 2 * PIECE + 5, "c": 1, "d": PIECE, "e": UNIT + 1}
NAMES = {f"sha256:{hashlib.sha256(content(name, size)).hexdigest()}": name for name, size in SIZES.items()}


class Time:
    """A timer that only the waiting moves. `stop_after`: units that are read until it is time to stop."""

    def __init__(self, stop_after: int = 1 << 30) -> None:
        self.now, self.units, self.stop_after = 100.0, 0, stop_after

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        self.units += seconds > 0
        return self.units >= self.stop_after


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[DiskStore]:
    made = DiskStore(tmp_path / "cache", 256 * MIB, MIB)
    await made.open()
    for blob, name in NAMES.items():
        await fill(made.blobs, blob, content(name, SIZES[name]))
    yield made
    await made.close()


@pytest.fixture
def file(tmp_path: Path) -> StateFile:
    return StateFile(tmp_path / "cache")


def rounds(store: DiskStore, file: StateFile, time: Time, rate: float = 1e6) -> Rounds:
    return Rounds(store, file, rate, time.wait, timer=time, clock=lambda: 1e9 + time.now)


async def test_everything_is_read_once_at_the_rate(store: DiskStore, file: StateFile) -> None:
    time = Time()
    state = await rounds(store, file, time, 1e6).run()
    total = sum(SIZES.values())
    assert (state.done, state.read, state.blobs, state.found) == (total, total, len(SIZES), {})
    assert time.now - 100 == pytest.approx(total / 1e6)
    assert state.ended == 1e9 + time.now and state.began == 1e9 + 100 and not state.under_way
    assert file.read() == state
    again = await rounds(store, file, time).run()
    assert (again.done, again.read, again.blobs) == (total, 2 * total, 2 * len(SIZES)) and again.began >= state.ended


@pytest.mark.parametrize("after", range(1, 26, 3))
async def test_it_goes_on_where_it_was_stopped(store: DiskStore, file: StateFile, after: int) -> None:
    """Nothing of it is read twice but the piece that was under way."""
    with pytest.raises(Stopped):
        await rounds(store, file, Time(after)).run()
    state = file.read()
    assert state.under_way and 0 < state.done < sum(SIZES.values())
    ended = await rounds(store, file, Time()).run()
    assert sum(SIZES.values()) <= ended.done <= sum(SIZES.values()) + PIECE
    assert (ended.began, ended.blobs) == (state.began, len(SIZES)) and not ended.under_way


async def test_where_it_is_is_written_as_it_goes(store: DiskStore, file: StateFile) -> None:
    """For who is killed: the state on the disk is never older than `SAVED` seconds."""
    seen, time = list[State](), Time()

    def wait(seconds: float) -> bool:
        seen.append(file.read())
        return time.wait(seconds)

    await Rounds(store, file, 100_000, wait, timer=time).run()
    read = sum(SIZES.values())
    assert max(later.read - before.read for before, later in pairwise(seen)) < read / 2
    assert len({state.read for state in seen}) >= read / 100_000 / (SAVED + UNIT / 100_000) - 1


async def test_what_is_damaged_is_counted_set_aside_and_told(store: DiskStore, file: StateFile, tmp_path: Path) -> None:
    for n, piece in enumerate(p for p in (tmp_path / "cache/pieces").rglob("*.val") if p.stat().st_size == PIECE):
        flip(piece, random.Random(n))
    with store._index.rows.change() as change:
        change.execute("UPDATE Cache SET value = zeroblob(40) WHERE key = ?", (f"u:{next(iter(NAMES))}#000000",))
    standing, metrics = Standing(file, store.quarantine), Metrics()
    standing.register(metrics)
    standing.look()
    assert standing.reasons == () and b'hubgate_scrub_found_total{what="piece"} 0.0' in await metrics.text()
    state = await rounds(store, file, Time()).run()
    assert state.found == {"piece": 3, "row": 1, "blob": 1}
    assert sorted(entry.by for entry in store.quarantine.entries()) == ["scrub"] * 3
    standing.look()
    lines = (line.rpartition(" ") for line in (await metrics.text()).decode().splitlines() if line[0] != "#")
    told = {name: float(value) for name, _, value in lines}
    assert told['hubgate_scrub_found_total{what="piece"}'] == 3
    assert told["hubgate_scrub_read_bytes_total"] == state.read and told["hubgate_scrub_blobs_total"] == 5
    assert told["hubgate_scrub_progress"] == 1 and told["hubgate_scrub_last_timestamp_seconds"] == state.ended
    assert told['hubgate_quarantine_entries{by="scrub"}'] == 3 and told['hubgate_quarantine_entries{by="hub"}'] == 0
    assert told["hubgate_quarantine_bytes"] == 3 * PIECE
    assert standing.reasons == (
        "the scrubber found damage on the disk, 3 are set aside: hubgate cache quarantine ls, then rm",
    )
    for entry in store.quarantine.entries():
        store.quarantine.remove(entry.id)
    standing.look()
    assert standing.reasons == ()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"began": 1.0}', json.dumps(asdict(State()) | {"found": {"piece": "x"}}), "\0" * 300],
)
def test_a_state_that_is_not_ours_begins_anew(file: StateFile, tmp_path: Path, text: str) -> None:
    file.write(State(began=5.0, found={"piece": 1}))
    (state,) = (tmp_path / "cache/scrub").glob("state.json")
    assert file.read() == State(began=5.0, found={"piece": 1})
    state.write_text(text)
    assert file.read() == State()


def test_when_the_next_round_is_due() -> None:
    ended = State(first=1.0, began=90.0, ended=100.0)
    assert State(first=50.0).next(30.0, 40.0) == 50.0
    assert State(first=5000.0).next(30.0, 40.0) == 70.0, "a clock that was ahead puts nothing off"
    assert ended.next(30.0, 110.0) == 130.0
    assert replace(ended, began=120.0).next(30.0, 121.0) == 121.0, "one that is under way goes on"
    assert ended.next(30.0, 99.0) == 99.0, "nor does one that went back"


def test_one_at_a_time(file: StateFile, tmp_path: Path) -> None:
    with file.alone() as first, StateFile(tmp_path / "cache").alone() as second:
        assert (first, second) == (True, False)
    with file.alone() as again:
        assert again
