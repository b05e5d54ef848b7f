"""R18: clients leave: the one who came first while others wait, all of them, the last one.

The rule for a fill that nobody waits for any more: once somebody wanted the whole it goes on if what remains is no more
than what is here, or than 64 MiB (`fetch.fill`); else it stops when the pieces that were begun have come, and these
serve the next one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import pytest

from proxy_addon.fetch.fill import CHEAP
from proxy_addon.store.contract import PIECE
from tests.faults.asking import Ask, Placed, Took, chance, crowd, many, placed, settled, take, together
from tests.faults.invariants import Footprint, asked_once, served_without
from tests.hub import Repo, Synthetic, TestHub
from tests.processes import Hubgate

CDN = "cdn-lfs*"


def large(hub: TestHub, name: str, size: int, seed: int = 5) -> Placed:
    repo = Repo(f"leaving/{name}", files={"b.bin": Synthetic(size, seed)}, storage={"b.bin": "lfs"})
    return placed(hub, repo, "b.bin")


def leaves(proxy: Hubgate, file: Placed, gone: threading.Event, **how: object) -> Took:
    """Leaves, and tells."""
    try:
        return take(proxy, file.url, **how)
    finally:
        gone.set()


@pytest.mark.fault("R18", tries=6)
def test_those_who_stay_have_it_all_whoever_leaves(hub: TestHub, patient: Hubgate) -> None:
    """The first one to come, and others at random, leave while the hub holds the rest back."""
    rnd = chance("leaving")
    for n in range(many(2)):
        size, staying = 12_000_000 + rnd.randrange(1000), 8
        file = large(hub, f"followers-{n}", size, seed=100 + n)
        hub.knob(host=CDN, hold=f"rest-{n}", hold_at=1_000_000)
        first, gone = threading.Event(), [threading.Event() for _ in range(3)]
        begun = threading.Barrier(staying + 1)
        leaders: list[Callable[[], Took]] = [
            partial(leaves, patient, file, event, leave=rnd.randrange(1, 900_000), begun=first.set) for event in gone
        ]

        def stays(file: Placed = file, first: threading.Event = first, begun: threading.Barrier = begun) -> Took:
            first.wait(60)
            return take(patient, file.url, begun=partial(begun.wait, 60))

        def release(n: int = n, begun: threading.Barrier = begun, gone: list[threading.Event] = gone) -> Took:
            begun.wait(60)  # all have their heads
            assert all(event.wait(60) for event in gone)
            hub.release(f"rest-{n}")
            return Took(whole=True)

        got = together([*leaders, *[stays] * staying, release])
        assert [took.size < size for took in got[:3]] == [True] * 3
        assert all(took.right(file.source) for took in got[3:-1]), [*map(str, got[3:-1])]
        asked_once(hub, file.source)
        hub.unknob()
        served_without(hub, patient, {file.url: file.source})


@pytest.mark.fault("R18", tries=2)
def test_what_is_cheap_is_finished_for_nobody(hub: TestHub, patient: Hubgate) -> None:
    """It is no more than is fetched for nobody, or half of it is here."""
    file = large(hub, "cheap", CHEAP - 5)
    assert take(patient, file.url, leave=100_000).size == 100_000
    settled(patient)
    assert hub.bytes_sent(host=CDN) == file.source.size
    served_without(hub, patient, {file.url: file.source})


@pytest.mark.fault("R18", tries=2)
def test_what_is_not_cheap_is_left_where_it_is(hub: TestHub, patient: Hubgate) -> None:
    before = Footprint.of(patient.pid)
    file = large(hub, "dear", 3 * CHEAP)
    hub.knob(host=CDN, bandwidth=10_000_000)
    for took in crowd(patient, [Ask(file.url, leave=500_000), Ask(file.url, leave=2_000_000)]):
        assert took.cut
    settled(patient)
    here = hub.bytes_sent(host=CDN)
    assert here < CHEAP, "it was stopped"
    before.restored(spare=16)
    hub.unknob()
    hub.clear()
    got = take(patient, file.url, headers={"Range": f"bytes=0-{PIECE // 2}"})
    assert got.whole and got.status == 206 and not hub.requests(host=CDN), "what was begun serves the next one"
    assert take(patient, file.url).right(file.source)
    assert hub.bytes_sent(host=CDN) <= file.source.size - PIECE


@pytest.mark.fault("R18", tries=8)
def test_who_leaves_before_the_head_spoils_nothing(hub: TestHub, patient: Hubgate) -> None:
    """They wait for what the hub says of the file, or for its first byte, and go."""
    for n, where in enumerate(({"host": "huggingface.co", "method": "HEAD"}, {"host": CDN})):
        file = large(hub, f"impatient-{n}", 3_000_000, seed=200 + n)
        hub.knob(**where, hold=f"head-{n}")
        gone = [threading.Event() for _ in range(4)]

        def release(n: int = n, gone: list[threading.Event] = gone) -> Took:
            assert all(event.wait(60) for event in gone)
            hub.release(f"head-{n}")
            return Took(whole=True)

        calls: list[Callable[[], Took]] = [partial(leaves, patient, file, event, timeout=0.5) for event in gone]
        calls += [partial(take, patient, file.url)] * 2
        got = together([*calls, release])
        assert [took.status for took in got[:4]] == [0] * 4
        assert all(took.right(file.source) for took in got[4:-1]), [*map(str, got[4:-1])]
        hub.unknob()
        assert take(patient, file.url).right(file.source)
