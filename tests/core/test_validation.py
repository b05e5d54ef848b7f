from __future__ import annotations

import pytest

from proxy_addon.core.messages import Headers
from proxy_addon.core.validation import after_validation, freshen_from_head

from .dialogue import START, Fields, at, kept

TAG, WEAK, LM = ("ETag", '"a"'), ("ETag", 'W/"a"'), ("Last-Modified", at(-9000))

SELECTED: list[tuple[Fields, Fields, bool]] = [
    # stored, 304
    ([TAG], [TAG], True),
    ([TAG], [], True),  # an answer to our own condition
    ([TAG], [("ETag", '"b"')], False),
    ([TAG], [WEAK], True),
    ([WEAK], [WEAK], True),
    ([WEAK], [TAG], False),  # equivalent is not identical, and ranges would believe it
    ([LM], [LM], True),
    ([LM], [("Last-Modified", at(-9000).lower())], True),
    ([LM], [("Last-Modified", at(-8000))], False),
    ([LM], [], True),
    ([("Last-Modified", "then")], [("Last-Modified", "then")], True),
    ([("Last-Modified", "then")], [LM], False),
    ([LM], [TAG, LM], False),
    ([TAG], [LM], False),
    ([TAG, LM], [LM], True),
    ([TAG, LM], [TAG, ("Last-Modified", at(-8000))], True),
    ([], [], True),
]


@pytest.mark.parametrize(("stored", "headers", "freshens"), SELECTED)
def test_which_304_is_meant(stored: Fields, headers: Fields, freshens: bool) -> None:
    assert (after_validation(kept(stored), Headers(headers), START, START) is not None) is freshens


def test_what_a_304_changes() -> None:
    stored = kept(
        [
            TAG,
            ("Date", at(-99)),
            ("Age", "50"),
            ("Cache-Control", "max-age=1"),
            ("Content-Type", "text/plain"),
            ("Content-Length", "10"),
            ("Content-Encoding", "br"),
            ("Vary", "Foo"),
            ("Old", "1"),
            ("Two", "1"),
            ("Two", "2"),
        ],
        age=99,
        vary=(("foo", "1"),),
    )
    fresh = after_validation(
        stored,
        Headers(
            [
                ("etag", '"a"'),
                ("Cache-Control", 'max-age=9, no-cache="n"'),
                ("Content-Type", "text/html"),
                ("Content-Length", "0"),
                ("Content-Encoding", "gzip"),
                ("Content-Range", "bytes 0-1/2"),
                ("Vary", "Bar"),
                ("Set-Cookie", "a=b"),
                ("N", "1"),
                ("Connection", "Hop"),
                ("Hop", "1"),
                ("two", "3"),
                ("Content-Location", "/b"),
            ]
        ),
        START - 1,
        START,
    )
    assert fresh is not None
    assert list(fresh.headers) == [
        ("Content-Length", "10"),
        ("Content-Encoding", "br"),
        ("Vary", "Foo"),
        ("Old", "1"),
        ("etag", '"a"'),
        ("Cache-Control", 'max-age=9, no-cache="n"'),
        ("Content-Type", "text/html"),
        ("two", "3"),
        ("Content-Location", "/b"),
        ("Date", at(0)),
    ]
    assert (fresh.request_time, fresh.response_time) == (START - 1, START)
    assert (fresh.status, fresh.blob, fresh.size, fresh.vary) == (stored.status, stored.blob, stored.size, stored.vary)


def test_an_age_in_the_304_counts() -> None:
    fresh = after_validation(kept([TAG, ("Age", "50")]), Headers([("Age", "7"), ("Date", at(-7))]), START, START)
    assert fresh is not None
    assert (fresh.headers.get("age"), fresh.headers.get("date")) == ("7", at(-7))


HEADS: list[tuple[int, Fields, str]] = [
    (200, [], "freshened"),
    (200, [TAG, LM, ("Content-Length", "10")], "freshened"),
    (200, [("Content-Length", "11")], "dropped"),
    (200, [("ETag", '"b"')], "dropped"),
    (200, [("Last-Modified", at(-1))], "dropped"),
    (404, [("ETag", '"b"')], "untouched"),
    (304, [TAG], "untouched"),
]


@pytest.mark.parametrize(("status", "headers", "result"), HEADS)
def test_head(status: int, headers: Fields, result: str) -> None:
    stored = kept([TAG, LM, ("Content-Length", "10")], age=50)
    after = freshen_from_head(stored, status, Headers(headers), START, START)
    if after is None or after is stored:
        assert result == ("dropped" if after is None else "untouched")
    else:
        assert result == "freshened" and after.response_time == START


def test_a_length_is_no_news_where_none_is_known() -> None:
    after = freshen_from_head(kept([TAG], size=None), 200, Headers([("Content-Length", "11")]), START, START + 1)
    assert after is not None and after.response_time == START + 1


def test_head_says_nothing_about_a_stored_404() -> None:
    stored = kept([TAG], 404)
    assert freshen_from_head(stored, 200, Headers([TAG]), START, START) is stored
