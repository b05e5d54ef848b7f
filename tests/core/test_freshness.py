from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_addon.core import freshness
from proxy_addon.core.directives import parse
from proxy_addon.core.messages import Headers, StoredResponse

from .dialogue import START, Fields, at, kept

CC = "Cache-Control"

AGES: list[tuple[Fields, float, float, float, float]] = [
    # headers, request sent, head arrived, now (all after START), age
    ([("Date", at(0))], 0, 0, 0, 0),
    ([("Date", at(0))], 0, 0, 60, 60),
    ([("Date", at(0))], 0, 5, 60, 60),  # what the delay adds, the apparent age has already
    ([("Date", at(5))], 0, 5, 60, 60),  # nothing apparent, but the delay
    ([("Date", at(-100))], 0, 0, 60, 160),
    ([("Date", at(100))], 0, 0, 60, 60),  # a fast clock gives no youth
    ([("Date", at(0)), ("Age", "30")], 0, 2, 62, 92),
    ([("Date", at(-100)), ("Age", "30")], 0, 0, 0, 100),
    ([("Age", "30")], 0, 0, 10, 40),
    ([("Date", "nonsense")], 0, 0, 10, 10),
    ([("Date", at(0)), ("Age", "30, 5")], 0, 0, 0, 30),
    ([("Date", at(0)), ("Age", "-30")], 0, 0, 0, 0),
    ([("Date", at(0)), ("Age", "9" * 30)], 0, 0, 0, 2**31),
    ([("Date", at(0))], 0, 10, 5, 10),  # our own clock went back
]


@pytest.mark.parametrize(("headers", "sent", "arrived", "now", "age"), AGES)
def test_age(headers: Fields, sent: float, arrived: float, now: float, age: float) -> None:
    stored = StoredResponse(200, Headers(headers), START + sent, START + arrived)
    assert freshness.age(stored, START + now) == age


LIFETIMES: list[tuple[int, Fields, float]] = [
    (200, [], 0),
    (200, [(CC, "max-age=5, s-maxage=9")], 9),
    (200, [(CC, "s-maxage=x, max-age=5")], 0),
    (200, [(CC, "max-age=5"), ("Expires", at(99))], 5),
    (200, [("Date", at(0)), ("Expires", at(99))], 99),
    (200, [("Expires", at(99))], 99),
    (200, [("Date", at(0)), ("Expires", at(-1)), ("Last-Modified", at(-1000))], 0),
    (200, [("Date", at(0)), ("Expires", "-1"), ("Last-Modified", at(-1000))], 0),
    (200, [("Date", at(0)), ("Last-Modified", at(-1000))], 100),
    (200, [("Last-Modified", at(-1000))], 100),
    (200, [("Date", at(0)), ("Last-Modified", at(-(10**8)))], 86_400),
    (200, [("Date", at(0)), ("Last-Modified", at(1000))], 0),
    (200, [("Date", at(0)), ("Last-Modified", "then")], 0),
    (302, [("Date", at(0)), ("Last-Modified", at(-1000))], 0),
    (302, [("Date", at(0)), ("Last-Modified", at(-1000)), (CC, "public")], 100),
    (302, [(CC, "max-age=7")], 7),
]


@pytest.mark.parametrize(("status", "headers", "seconds"), LIFETIMES)
def test_lifetime(status: int, headers: Fields, seconds: float) -> None:
    assert freshness.lifetime(kept(headers, status)) == seconds


STALE = [
    ("max-age=1", False),
    ("must-revalidate", True),
    ("proxy-revalidate", True),
    ("s-maxage=1", True),
    ("no-cache", True),
    ('no-cache="a"', False),
]


@pytest.mark.parametrize(("said", "forbidden"), STALE)
def test_forbids_stale(said: str, forbidden: bool) -> None:
    assert freshness.forbids_stale(parse([said])) == forbidden


FIELDS = st.lists(
    st.tuples(
        st.sampled_from(["Date", "Age", "Expires", "Last-Modified", CC]),
        st.one_of(
            st.integers(-(10**6), 10**6).map(at),
            st.integers(0, 10**5).map(str),
            st.just("max-age=50"),
            st.text(max_size=9),
        ),
    ),
    max_size=6,
)


@given(FIELDS, st.floats(0, 100), st.lists(st.floats(-(10**6), 10**9), min_size=2, max_size=6))
@settings(max_examples=100, deadline=None)
def test_nothing_becomes_fresh_by_waiting(fields: Fields, delay: float, moments: list[float]) -> None:
    stored = StoredResponse(200, Headers(fields), START, START + delay)
    left = [freshness.lifetime(stored) - freshness.age(stored, START + moment) for moment in sorted(moments)]
    assert left == sorted(left, reverse=True)
    assert freshness.lifetime(stored) >= 0
    assert freshness.age(stored, START) >= stored.response_time - stored.request_time
