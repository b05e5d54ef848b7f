from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_addon.core.conditions import NotModified, PreconditionFailed, evaluate
from proxy_addon.core.validators import (
    conditional,
    is_strong,
    is_strong_date,
    split_tags,
    strong_match,
    weak_match,
)

from .dialogue import Fields, Headers, at, get

N, F = NotModified(), PreconditionFailed()
INM, IMS, IM, IUS = "If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since"

# The client's fields against an ETag and a Last-Modified of -3000.
VERDICTS: list[tuple[Fields, str | None, object]] = [
    ([], '"a"', None),
    ([(INM, '"a"')], '"a"', N),
    ([(INM, '"a"')], 'W/"a"', N),
    ([(INM, 'W/"a"')], '"a"', N),
    ([(INM, '"x", "a", "y"')], '"a"', N),
    ([(INM, '"x"'), (INM, '"a"')], '"a"', N),
    ([(INM, '"x,a"')], '"a"', None),
    ([(INM, '"x,a"')], '"x,a"', N),
    ([(INM, "*")], '"a"', N),
    ([(INM, "*")], None, N),
    ([(INM, "a")], '"a"', None),
    ([(INM, "a")], "a", N),
    ([(INM, '"é"')], '"é"', N),
    ([(INM, '"x"'), (IMS, at(0))], '"a"', None),
    ([(INM, '"a"'), (IMS, at(-9000))], '"a"', N),
    ([(IMS, at(-3000))], '"a"', N),
    ([(IMS, at(0))], '"a"', N),
    ([(IMS, at(-3001))], '"a"', None),
    ([(IMS, "yesterday")], '"a"', None),
    ([(IM, '"a"')], '"a"', None),
    ([(IM, '"a"')], 'W/"a"', F),
    ([(IM, '"x", "a"')], '"a"', None),
    ([(IM, "*")], '"a"', None),
    ([(IM, '"x"')], '"a"', F),
    ([(IM, '"a"')], None, F),
    ([(IM, '"a"'), (IUS, at(-9000))], '"a"', None),
    ([(IUS, at(-3000))], '"a"', None),
    ([(IUS, at(-3001))], '"a"', F),
    ([(IUS, "never")], '"a"', None),
    ([(IM, '"a"'), (INM, '"a"')], '"a"', N),
]


@pytest.mark.parametrize(("asked", "etag", "verdict"), VERDICTS)
def test_precedence(asked: Fields, etag: str | None, verdict: object) -> None:
    assert evaluate(get(asked), etag, at(-3000)) == verdict
    assert evaluate(get(asked, method="HEAD"), etag, at(-3000)) == verdict


def test_a_write_that_matches_fails() -> None:
    assert evaluate(get([(INM, '"a"')], method="POST"), '"a"', None) == F
    assert evaluate(get([(IMS, at(0))], method="POST"), '"a"', at(-9)) is None


def test_date_stands_in_for_last_modified() -> None:
    assert evaluate(get([(IMS, at(0))]), None, None, at(-1)) == N
    assert evaluate(get([(IMS, at(-2))]), None, None, at(-1)) is None
    assert evaluate(get([(IMS, at(0))]), None, "garbage", at(-1)) is None
    assert evaluate(get([(IUS, at(-2))]), None, None, at(-1)) is None


@pytest.mark.parametrize(("one", "other", "strong", "weak"), [
    ('"a"', '"a"', True, True),
    ('W/"a"', '"a"', False, True),
    ('W/"a"', 'W/"a"', False, True),
    ('W/"a"', 'W/"b"', False, False),
    ("a", "a", False, True),
    ('"', '"', False, True),
    (None, None, False, False),
    (None, '"a"', False, False),
    ('"a"', None, False, False),
])  # fmt: skip
def test_comparison(one: str | None, other: str | None, strong: bool, weak: bool) -> None:
    assert (strong_match(one, other), weak_match(one, other)) == (strong, weak)


@pytest.mark.parametrize(("modified", "date", "strong"), [
    (at(-1), at(0), True),
    (at(0), at(0), False),
    (at(-1), None, False),
    (None, at(0), False),
    ("x", at(0), False),
])  # fmt: skip
def test_strong_dates(modified: str | None, date: str | None, strong: bool) -> None:
    assert is_strong_date(modified, date) is strong


@pytest.mark.parametrize(("stored", "sent"), [
    ([], []),
    ([("ETag", '"a"')], [(INM, '"a"')]),
    ([("Last-Modified", at(-5))], [(IMS, at(-5))]),
    ([("ETag", 'W/"a"'), ("Last-Modified", at(-5))], [(INM, 'W/"a"'), (IMS, at(-5))]),
    ([("ETag", ""), ("Last-Modified", "long ago")], []),
])  # fmt: skip
def test_what_a_validation_sends(stored: Fields, sent: Fields) -> None:
    assert list(conditional(Headers(stored))) == sent


@given(st.text(alphabet='W/",* ab', max_size=30), st.one_of(st.none(), st.text(alphabet='W/"ab', max_size=6)))
@settings(max_examples=100, deadline=None)
def test_total(text: str, etag: str | None) -> None:
    assert evaluate(get([(INM, text), (IM, text)]), etag, text) in (None, N, F)
    assert all(tag and tag == tag.strip() for tag in split_tags(text))
    assert is_strong(text) == strong_match(text, text)
