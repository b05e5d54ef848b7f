"""The arithmetic of waiting, with clocks that a test moves."""

from __future__ import annotations

import pytest

from proxy_addon.core.messages import Headers
from proxy_addon.fetch.pacing import LONGEST, Bandwidth, Closures, pause_of

NOW = 1_700_000_000.0


class Hands:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("status", "fields", "seconds"),
    [
        (429, {"Retry-After": "7"}, 7),
        (503, {"Retry-After": "7"}, 7),
        (200, {"Retry-After": "7"}, 0),
        (429, {"Retry-After": "999999"}, LONGEST),
        (429, {"Retry-After": "Tue, 14 Nov 2023 22:13:30 GMT"}, 10),
        (429, {"Retry-After": "Tue, 14 Nov 2023 22:00:00 GMT"}, 0),
        (429, {"Retry-After": "soon"}, 1),
        (429, {"Retry-After": "-5"}, 1),
        (429, {"Retry-After": "\xb2"}, 1),  # a digit to str.isdigit alone
        (503, {"Retry-After": "9" * 5000}, LONGEST),
        (429, {"Retry-After": "Mon, 01 Jan 0001 00:00:00 GMT"}, 0),
        (429, {}, 1),
        (200, {"RateLimit": '"resolvers";r=0;t=30'}, 30),
        (200, {"RateLimit": '"resolvers";r=2;t=30'}, 0),
        (429, {"RateLimit": '"resolvers";r=2;t=30'}, 30),
        (200, {"RateLimit": "nonsense"}, 0),
        (200, {}, 0),
    ],
)
def test_what_an_answer_asks_for(status: int, fields: dict[str, str], seconds: float) -> None:
    assert pause_of(status, Headers(fields.items()), NOW) == pytest.approx(seconds)


def test_closures_are_each_persons_own() -> None:
    clock = Hands()
    closures = Closures(clock)
    closures.close("hub", "alice", 10)
    assert closures.left("hub", "alice") == 10
    assert closures.left("hub", "bob") == closures.left("cdn", "alice") == 0
    clock.now += 4
    assert closures.left("hub", "alice") == 6
    clock.now += 60
    assert closures.left("hub", "alice") == 0


async def test_a_cap_is_kept_over_any_stretch(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Hands()
    bucket = Bandwidth(1000.0, clock)
    owed = [bucket.due(500) for _ in range(4)]  # bursts of a quarter second are free
    assert owed == [pytest.approx(x) for x in (0.25, 0.75, 1.25, 1.75)]
    clock.now += 100
    assert bucket.due(250) == 0 and bucket.due(250) == pytest.approx(0.25)


def test_no_cap_costs_nothing() -> None:
    assert Bandwidth(None, Hands()).due(1 << 40) == 0
