from __future__ import annotations

import math
from typing import assert_never

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_addon.core import freshness, ranges, reuse, storing
from proxy_addon.core.messages import Headers, StoredResponse
from proxy_addon.core.reuse import Forward, Reuse, Unavailable, Validate
from proxy_addon.core.status import Detail, Fwd
from proxy_addon.core.storing import Terms

from .dialogue import START, Fields, at, get, kept

CC = "Cache-Control"
TAG = ("ETag", '"a"')
PLAIN = Terms()
FRESH = kept([("Date", at(0)), (CC, "max-age=60"), TAG])
STALE = kept([("Date", at(-90)), (CC, "max-age=60"), TAG], age=90)


@pytest.mark.parametrize(("method", "stored", "reason"), [
    ("POST", FRESH, Fwd.METHOD),
    ("OPTIONS", FRESH, Fwd.METHOD),
    ("GET", None, Fwd.URI_MISS),
    ("GET", kept([(CC, "max-age=60")], vary=(("foo", "1"),)), Fwd.VARY_MISS),
    ("GET", kept([(CC, "max-age=0")]), Fwd.STALE),
    ("GET", kept([TAG, (CC, "max-age=0")], 404), Fwd.STALE),
])  # fmt: skip
def test_why_a_request_goes_upstream(method: str, stored: StoredResponse | None, reason: Fwd) -> None:
    verdict = reuse.decide(get(method=method), [stored] if stored else [], START, PLAIN)
    assert verdict == Forward(reason)


def test_what_the_outcome_says() -> None:
    hit = reuse.decide(get(), [FRESH], START + 1.5, PLAIN)
    assert isinstance(hit, Reuse) and hit.outcome.header == "hubgate; hit; ttl=58"
    forever = reuse.decide(get(), [STALE], START, Terms(lifetime=math.inf))
    assert forever == Reuse(STALE, None)
    assert isinstance(forever, Reuse) and forever.outcome.header == "hubgate; hit"


def test_what_is_validated_and_why() -> None:
    tag = Headers([("If-None-Match", '"a"')])
    assert reuse.decide(get(), [STALE], START, PLAIN) == Validate(STALE, tag, Fwd.STALE)
    assert reuse.decide(get([(CC, "no-cache")]), [FRESH], START, PLAIN) == Validate(FRESH, tag, Fwd.REQUEST)


@pytest.mark.parametrize("terms", [PLAIN, Terms(lifetime=60)])
def test_what_came_at_a_time_that_is_yet_to_be_is_validated(terms: Terms) -> None:
    """The clock was set back: how old it is, nobody knows. A little may be another machine's clock."""
    assert isinstance(reuse.decide(get(), [FRESH], START - freshness.SKEW + 1, terms), Reuse)
    for before in (freshness.SKEW + 1, 30.0 * 86400):
        assert isinstance(reuse.decide(get(), [FRESH], START - before, terms), Validate)
        assert reuse.on_upstream_failure(get(), [FRESH], START - before, Terms(stale_if_error=60)) == FRESH
    assert isinstance(reuse.decide(get(), [FRESH], START - 9999, Terms(lifetime=math.inf)), Reuse)


def test_stale_while_revalidate_says_so() -> None:
    stored = kept([("Date", at(-61)), (CC, "max-age=60, stale-while-revalidate=9"), TAG], age=61)
    assert reuse.decide(get(), [stored], START, PLAIN) == Reuse(stored, -1, True, Detail.STALE_WHILE_REVALIDATE)


def test_what_is_private_is_not_reused() -> None:
    stored = kept([("Date", at(0)), (CC, "s-maxage=0, max-age=60, private")], authorized=True)
    assert isinstance(reuse.decide(get(), [stored], START, PLAIN), Forward)


def test_the_youngest_of_several_that_match() -> None:
    older = kept([("Date", at(-20)), (CC, "max-age=60")], age=20, vary=(("foo", None),))
    younger = kept([("Date", at(-10)), (CC, "max-age=60")], age=10, vary=(("bar", None),))
    for order in ([older, younger], [younger, older]):
        assert reuse.select(get(), order, START, PLAIN) is younger
        assert reuse.select(get(), order, START, Terms(lifetime=9)) is younger
    assert reuse.select(get([("Bar", "1")]), [older, younger], START, PLAIN) is older


@pytest.mark.parametrize("status", [None, *sorted(reuse.FAILURES)])
def test_what_is_fresh_may_always_stand_in(status: int | None) -> None:
    assert reuse.on_upstream_failure(get(), [FRESH], START, PLAIN, status) is FRESH


@pytest.mark.parametrize("status", [200, 304, 400, 401, 403, 404, 410, 416, 451, 501, 505])
def test_a_decision_is_passed_on(status: int) -> None:
    assert reuse.on_upstream_failure(get(), [FRESH], START, Terms(stale_if_error=math.inf), status) is None


def test_nothing_stands_in_for_a_write_or_out_of_nothing() -> None:
    assert reuse.on_upstream_failure(get(method="POST"), [FRESH], START, PLAIN) is None
    assert reuse.on_upstream_failure(get(), [], START, PLAIN) is None


@pytest.mark.parametrize("status", [500, 503])
def test_an_error_does_not_stand_in_even_when_fresh(status: int) -> None:
    assert reuse.on_upstream_failure(get(), [kept([(CC, "max-age=60")], status)], START, PLAIN) is None


def test_the_very_second_of_expiry() -> None:
    for said in ("max-age=60", "max-age=60, must-revalidate", "max-age=60, stale-while-revalidate=0"):
        stored = kept([("Date", at(-60)), (CC, said), TAG], age=60)
        assert isinstance(reuse.decide(get(), [stored], START, PLAIN), Validate)
        assert reuse.on_upstream_failure(get(), [stored], START, PLAIN) is None


def test_origin_only_conditions_are_ours_to_judge_where_the_resource_is_known() -> None:
    asked = get([("If-Match", '"a"')])
    assert reuse.decide(asked, [FRESH], START, PLAIN) == Forward(Fwd.REQUEST)
    assert isinstance(reuse.decide(asked, [FRESH], START, Terms(lifetime=60)), Reuse)


def test_immutable_protects_only_while_fresh() -> None:
    stored = kept([("Date", at(-90)), (CC, "max-age=60, immutable"), TAG], age=90)
    verdict = reuse.decide(get([(CC, "max-age=0, max-stale")]), [stored], START, PLAIN)
    assert isinstance(verdict, Validate) and verdict.reason is Fwd.REQUEST


def test_reply_headers_count_on() -> None:
    stored = kept([("Date", at(-5)), ("Age", "100"), ("Connection", "close"), ("X", "1")])
    assert list(reuse.reply_headers(stored, START + 0.9)) == [("Date", at(-5)), ("X", "1"), ("Age", "100")]
    assert reuse.reply_headers(stored, START + 10**12).get("age") == str(2**31)


VALUES = ["no-cache", "max-age=5", "max-stale", "private", "public", "s-maxage=9", "*", "foo", '"a"', "bytes=0-3"]
TEXT = st.one_of(st.text(max_size=20), st.sampled_from([*VALUES, at(0), at(-99)]))
NAMES = [CC, "Pragma", "Vary", "Age", "Date", "Expires", "ETag", "Last-Modified", "Range", "If-Range", "If-None-Match"]
FIELDS = st.lists(st.tuples(st.sampled_from([*NAMES, "Foo"]), TEXT), max_size=6)
LIFETIMES, WINDOWS = st.sampled_from([None, 0.0, 9.0, math.inf]), st.sampled_from([0.0, 60.0])
TERMS = st.builds(Terms, lifetime=LIFETIMES, stale_if_error=WINDOWS)


@given(FIELDS, FIELDS, st.sampled_from(["GET", "HEAD", "POST"]), st.integers(100, 599), st.floats(-100, 10**6), TERMS)
@settings(max_examples=100, deadline=None)
def test_total(asked: Fields, said: Fields, method: str, status: int, later: float, terms: Terms) -> None:
    request = get(asked, method=method)
    plan = storing.storable(request, status, Headers(said), START, terms)
    if isinstance(plan, storing.NotStorable):
        assert plan.reason
        return
    stored = storing.stored_from(request, plan, request_time=START, response_time=START, url="", size=10)
    now = START + later
    verdict = reuse.decide(request, [stored], now, terms)
    match verdict:
        case Reuse(chosen, ttl):
            assert chosen is stored
            left = freshness.lifetime(stored) - freshness.age(stored, now)
            assert terms.lifetime is not None or ttl == math.floor(left)
        case Validate(headers=headers):
            assert headers
        case Forward(reason):
            assert reason is not Fwd.URI_MISS
        case Unavailable():
            assert "only-if-cached" in str(asked)
        case _:
            assert_never(verdict)
    assert reuse.on_upstream_failure(request, [stored], now, terms, 403) is None
    assert reuse.reply_headers(stored, now).get("age", "").isdigit()
    ranges.answer_stored(request, stored)


@given(FIELDS, TERMS, st.floats(0, 10**5), st.floats(0, 10**5))
@settings(max_examples=100, deadline=None)
def test_what_was_not_fresh_is_not_fresh_later(said: Fields, terms: Terms, one: float, other: float) -> None:
    stored = kept(said)
    sooner, later = sorted((START + one, START + other))
    if isinstance(reuse.decide(get(), [stored], later, terms), Reuse):
        assert isinstance(reuse.decide(get(), [stored], sooner, terms), Reuse)
