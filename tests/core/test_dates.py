from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_addon.core.dates import format_date, parse_date

NOV_6 = 784_111_777.0

FORMS = [
    ("Sun, 06 Nov 1994 08:49:37 GMT", NOV_6),
    ("Sunday, 06-Nov-94 08:49:37 GMT", NOV_6),
    ("Sun Nov  6 08:49:37 1994", NOV_6),
    (" sUN, 06 nOV 1994 08:49:37 gmt ", NOV_6),
    ("Mon, 06 Nov 1994 08:49:37 GMT", NOV_6),  # the wrong weekday is nobody's business
    ("Sat, 31 Dec 2016 23:59:60 GMT", 1_483_228_799.0),
    ("Sun, 06 Nov 1994 08:49:37 UTC", None),
    ("Sun, 06 Nov 1994 08:49:37 +0000", None),
    ("Sun, 06 Nov 94 08:49:37 GMT", None),
    ("Sun, 6 Nov 1994 08:49:37 GMT", None),
    ("Sun, 06 Nov 1994 8:49:37 GMT", None),
    ("Sun, 31 Feb 1994 08:49:37 GMT", None),
    ("Sun, 06 Nov 0000 08:49:37 GMT", None),
    ("Sun, 06 Nov 1994 08:49:61 GMT", None),
    ("Sun, 06 Nov 1994 24:00:00 GMT", None),
    ("Sun, 06 Nov ١٩٩٤ 08:49:37 GMT", None),
    ("784111777", None),
    ("0", None),
    ("", None),
    (None, None),
]


@pytest.mark.parametrize(("text", "seconds"), FORMS)
def test_forms(text: str | None, seconds: float | None) -> None:
    assert parse_date(text) == seconds


CENTURIES = [(2026, "76", 2076), (2026, "77", 1977), (2060, "05", 2105)]


@pytest.mark.parametrize(("now_year", "text_year", "year"), CENTURIES)
def test_two_digit_years_are_at_most_fifty_ahead(now_year: int, text_year: str, year: int) -> None:
    now = parse_date(f"Thu, 01 Jun {now_year} 00:00:00 GMT")
    assert now is not None
    assert parse_date(f"Friday, 01-Jan-{text_year} 00:00:00 GMT", now) == parse_date(f"Fri, 01 Jan {year} 00:00:00 GMT")


@given(st.integers(0, 253_402_300_799))
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read(when: int) -> None:
    assert parse_date(format_date(when)) == when


@given(st.text(max_size=60))
@settings(max_examples=60, deadline=None)
def test_total(text: str) -> None:
    assert parse_date(text) is None or isinstance(parse_date(text), float)
