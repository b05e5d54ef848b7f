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


def leaves(proxy: Hubgate, file: Placed, after: int, begun: Callable[[], object], gone: threading.Event) -> Took:
    """Leaves after so many bytes, and tells."""
    try:
        return take(proxy, file.url, leave=after, begun=begun)
    finally:
        gone.set()


@pytest.mark.fault("R18", tries=6)
def test_those_who_stay_have_it_all_whoever_leaves(hub: TestHub, hasty: Hubgate) -> None:
    """The first one to come, and others at random, leave while the hub holds the rest back."""
    rnd = chance("leaving")
    for n in range(many(2)):
        size, staying = 12_000_000 + rnd.randrange(1000), 8
        file = large(hub, f"followers-{n}", size, seed=100 + n)
        hub.knob(host=CDN, hold=f"rest-{n}", hold_at=1_000_000)
        first, gone = threading.Event(), [threading.Event() for _ in range(3)]
        begun = threading.Barrier(staying + 1)
        leaders: list[Callable[[], Took]] = [
            partial(leaves, hasty, file, rnd.randrange(1, 900_000), first.set, event) for event in gone
        ]

        def stays(file: Placed = file, first: threading.Event = first, begun: threading.Barrier = begun) -> Took:
            first.wait(20)
            return take(hasty, file.url, begun=partial(begun.wait, 30))

        def release(n: int = n, begun: threading.Barrier = begun, gone: list[threading.Event] = gone) -> Took:
            begun.wait(30)  # all have their heads
            assert all(event.wait(30) for event in gone)
            hub.release(f"rest-{n}")
            return Took(whole=True)

        got = together([*leaders, *[stays] * staying, release])
        assert [took.size < size for took in got[:3]] == [True] * 3
        assert all(took.right(file.source) for took in got[3:-1]), [*map(str, got[3:-1])]
        asked_once(hub, file.source)
        hub.unknob()
        served_without(hub, hasty, {file.url: file.source})


@pytest.mark.fault("R18", tries=2)
def test_what_is_cheap_is_finished_for_nobody(hub: TestHub, hasty: Hubgate) -> None:
    """It is no more than is fetched for nobody, or half of it is here."""
    file = large(hub, "cheap", CHEAP - 5)
    assert take(hasty, file.url, leave=100_000).size == 100_000
    settled(hasty)
    assert hub.bytes_sent(host=CDN) == file.source.size
    served_without(hub, hasty, {file.url: file.source})


@pytest.mark.fault("R18", tries=2)
def test_what_is_not_cheap_is_left_where_it_is(hub: TestHub, hasty: Hubgate) -> None:
    before = Footprint.of(hasty.pid)
    file = large(hub, "dear", 3 * CHEAP)
    hub.knob(host=CDN, bandwidth=40_000_000)
    for took in crowd(hasty, [Ask(file.url, leave=500_000), Ask(file.url, leave=2_000_000)]):
        assert took.cut
    settled(hasty)
    here = hub.bytes_sent(host=CDN)
    assert here < CHEAP, "it was stopped"
    before.restored(spare=16)
    hub.unknob()
    hub.clear()
    got = take(hasty, file.url, headers={"Range": f"bytes=0-{PIECE // 2}"})
    assert got.whole and got.status == 206 and not hub.requests(host=CDN), "what was begun serves the next one"
    assert take(hasty, file.url).right(file.source)
    assert hub.bytes_sent(host=CDN) <= file.source.size - PIECE


@pytest.mark.fault("R18", tries=8)
def test_who_leaves_before_the_head_spoils_nothing(hub: TestHub, hasty: Hubgate) -> None:
    """They wait for what the hub says of the file, or for its first byte, and go."""
    for n, where in enumerate(({"host": "huggingface.co", "method": "HEAD"}, {"host": CDN})):
        file = large(hub, f"impatient-{n}", 3_000_000, seed=200 + n)
        hub.knob(**where, hold=f"head-{n}")
        impatient = [partial(take, hasty, file.url, timeout=0.5) for _ in range(4)]
        patient = [partial(take, hasty, file.url) for _ in range(2)]
        released = threading.Timer(0.8, hub.release, [f"head-{n}"])
        released.start()
        got = together([*impatient, *patient])
        released.join()
        assert [took.status for took in got[:4]] == [0] * 4
        assert all(took.right(file.source) for took in got[4:]), [*map(str, got[4:])]
        hub.unknob()
        assert take(hasty, file.url).right(file.source)
