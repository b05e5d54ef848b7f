from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_addon.core import ranges
from proxy_addon.core.conditions import NotModified, PreconditionFailed
from proxy_addon.core.ranges import Full, Partial, Unsatisfiable

from .dialogue import Fields, at, get, kept

F, U = Full(), Unsatisfiable()


def p(*parts: tuple[int, int]) -> Partial:
    return Partial(parts)


# Against 100 bytes.
RESOLVED: list[tuple[str, object]] = [
    ("bytes=0-0", p((0, 1))),
    ("bytes=0-99", p((0, 100))),
    ("bytes=0-100", p((0, 100))),
    ("bytes=90-100", p((90, 100))),
    ("bytes=99-", p((99, 100))),
    ("bytes=0-", p((0, 100))),
    ("bytes=100-", U),
    ("bytes=100-200", U),
    ("bytes=" + "9" * 40 + "-", U),
    ("bytes=0-" + "9" * 5000, p((0, 100))),
    ("bytes=" + "0" * 5000 + "5-7", p((5, 8))),
    ("bytes=-1", p((99, 100))),
    ("bytes=-100", p((0, 100))),
    ("bytes=-1000", p((0, 100))),
    ("bytes=-0", U),
    ("bytes=-0,1-2", p((1, 3))),
    ("BYTES=1-2", p((1, 3))),
    ("bytes= 1-2 , 5-6", p((1, 3), (5, 7))),
    ("bytes=,1-2,,", p((1, 3))),
    ("bytes=5-6,1-2", p((5, 7), (1, 3))),
    ("bytes=50-60,0-9,55-70", p((50, 71), (0, 10))),
    ("bytes=0-9,10-19", p((0, 20))),
    ("bytes=0-9,0-9", p((0, 10))),
    ("bytes=1-2,200-300", p((1, 3))),
    ("bytes=0-0,-1", p((0, 1), (99, 100))),
    ("bytes=2-1", F),
    ("bytes=0-1,2-1", F),
    ("bytes=", F),
    ("bytes=,", F),
    ("bytes", F),
    ("bytes=-", F),
    ("bytes=a-b", F),
    ("bytes=1 -2", F),
    ("bytes=1", F),
    ("bytes=--1", F),
    ("bytes=1-2;3-4", F),
    ("bytes=+1-2", F),
    ("bytes=٣-٤", F),
    ("bytes=1-2, bytes=3-4", F),
    ("items=0-1", F),
    ("", F),
]


@pytest.mark.parametrize(("value", "result"), RESOLVED, ids=[value[:30] for value, _ in RESOLVED])
def test_range(value: str, result: object) -> None:
    assert ranges.resolve(value, 100) == result


def test_nothing_to_take_a_range_of() -> None:
    assert ranges.resolve("bytes=0-", 0) == U
    assert ranges.resolve("bytes=-0", 0) == U
    assert ranges.resolve("bytes=-5", 0) == F


def test_too_many() -> None:
    def asking(count: int, step: int) -> str:
        return "bytes=" + ",".join(f"{i * step}-{i * step}" for i in range(count))

    assert ranges.resolve(asking(64, 2), 10**6) == Partial(tuple((i * 2, i * 2 + 1) for i in range(64)))
    assert ranges.resolve(asking(65, 2), 10**6) == F
    assert ranges.resolve(asking(10_000, 1), 10**6) == p((0, 10_000))
    assert ranges.resolve(asking(10_001, 1), 10**6) == F


TAG, LM, DATE = '"a"', at(-3000), at(0)
R = ("Range", "bytes=0-9")

ANSWERS: list[tuple[str, Fields, int, object]] = [
    ("GET", [], 200, F),
    ("GET", [R], 200, p((0, 10))),
    ("GET", [R], 203, F),
    ("GET", [R], 404, F),
    ("HEAD", [R], 200, F),
    ("GET", [R, ("If-Range", TAG)], 200, p((0, 10))),
    ("GET", [R, ("If-Range", '"b"')], 200, F),
    ("GET", [R, ("If-Range", 'W/"a"')], 200, F),
    ("GET", [R, ("If-Range", "a")], 200, F),
    ("GET", [R, ("If-Range", LM)], 200, p((0, 10))),
    ("GET", [R, ("If-Range", at(-2999))], 200, F),
    ("GET", [("If-Range", '"b"')], 200, F),
    ("GET", [R, ("If-None-Match", TAG)], 200, NotModified()),
    ("GET", [R, ("If-None-Match", '"b"')], 200, p((0, 10))),
    ("GET", [R, ("If-Match", '"b"')], 200, PreconditionFailed()),
    ("GET", [R, ("If-Match", TAG), ("If-Range", '"b"')], 200, F),
    ("GET", [("If-None-Match", "*")], 404, F),
    ("GET", [("If-None-Match", "*")], 204, NotModified()),
    ("GET", [("Range", "bytes=100-"), ("If-None-Match", TAG)], 200, NotModified()),
    ("GET", [("Range", "bytes=100-")], 200, U),
    ("GET", [("Range", "bytes=100-"), ("If-Range", '"b"')], 200, F),
    ("GET", [R, ("Range", "bytes=20-29")], 200, F),
]


@pytest.mark.parametrize(("method", "asked", "status", "result"), ANSWERS)
def test_answer(method: str, asked: Fields, status: int, result: object) -> None:
    assert ranges.answer(get(asked, method=method), status, TAG, LM, 100, date=DATE) == result


def test_a_date_without_a_clock_is_no_strong_validator() -> None:
    assert ranges.answer(get([R, ("If-Range", LM)]), 200, TAG, LM, 100) == F
    assert ranges.answer(get([R, ("If-Range", LM)]), 200, TAG, LM, 100, date=LM) == F


def test_unknown_size() -> None:
    assert ranges.answer(get([R]), 200, TAG, LM, None) == F


def test_answer_from_a_stored_response() -> None:
    stored = kept([("ETag", TAG), ("Date", DATE), ("Last-Modified", LM)], size=5)
    assert ranges.answer_stored(get([("Range", "bytes=-2"), ("If-Range", LM)]), stored) == p((3, 5))


CONTENT_RANGES = [
    ("bytes 0-9/10", (0, 10, 10)),
    ("Bytes 5-9/*", (5, 10, None)),
    (" bytes 0-0/1 ", (0, 1, 1)),
    ("bytes 0-10/10", None),
    ("bytes 9-0/10", None),
    ("bytes */10", None),
    ("bytes 0-9", None),
    ("bytes=0-9/10", None),
    ("items 0-9/10", None),
    ("bytes 0-" + "9" * 30 + "/*", None),
    ("", None),
    (None, None),
]


@pytest.mark.parametrize(("value", "result"), CONTENT_RANGES)
def test_content_range(value: str | None, result: object) -> None:
    assert ranges.parse_content_range(value) == result


def test_multipart_as_it_travels() -> None:
    data = bytes(range(100))
    parts = ((0, 2), (50, 53))
    preambles, closing, length = ranges.multipart(parts, 100, "text/plain", "XX")
    body = b"".join(head + data[start:end] for head, (start, end) in zip(preambles, parts, strict=True)) + closing
    assert body == (
        b"--XX\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/100\r\n\r\n\x00\x01"
        b"\r\n--XX\r\nContent-Type: text/plain\r\nContent-Range: bytes 50-52/100\r\n\r\n234"
        b"\r\n--XX--\r\n"
    )
    assert length == len(body)
    assert b"Content-Type" not in ranges.multipart(parts, 100, None, "XX")[0][0]


def octets(spans: object) -> set[int]:
    return {i for start, end in spans for i in range(start, end)}  # type: ignore[attr-defined]


SIZE = 60
SPANS = st.tuples(st.integers(0, SIZE), st.integers(0, SIZE)).filter(lambda span: span[0] < span[1])
SPECS = st.one_of(
    SPANS.map(lambda s: (f"{s[0]}-{s[1] - 1}", octets([s]))),
    st.integers(0, 80).map(lambda n: (f"{n}-", set(range(n, SIZE)))),
    st.integers(0, 80).map(lambda n: (f"-{n}", set(range(max(0, SIZE - n), SIZE)))),
)


@given(st.lists(SPECS, min_size=1, max_size=12))
@settings(max_examples=100, deadline=None)
def test_parts_are_what_was_asked(specs: list[tuple[str, set[int]]]) -> None:
    wanted = set().union(*(octets for _, octets in specs))
    result = ranges.resolve("bytes=" + ",".join(text for text, _ in specs), SIZE)
    if not wanted:
        assert result == U
        return
    assert isinstance(result, Partial)
    assert octets(result.parts) == wanted
    assert sum(end - start for start, end in result.parts) == len(wanted)
    ascending = sorted(result.parts)
    assert all(one[1] < other[0] for one, other in pairwise(ascending))


@given(st.one_of(st.text(max_size=60), st.text(alphabet="0123456789-, =bytes", max_size=60)), st.integers(0, 10**13))
@settings(max_examples=100, deadline=None)
def test_total(text: str, size: int) -> None:
    ranges.parse_content_range(text)
    for value in (text, "bytes=" + text):
        result = ranges.resolve(value, size)
        if isinstance(result, Partial):
            assert result.parts and all(0 <= start < end <= size for start, end in result.parts)


@given(st.lists(SPANS, min_size=1, max_size=6), st.integers(SIZE, 10**12))
@settings(max_examples=50, deadline=None)
def test_content_range_is_read_as_it_is_written(spans: list[tuple[int, int]], size: int) -> None:
    for span in spans:
        assert ranges.parse_content_range(ranges.content_range(span, size)) == (*span, size)
    assert ranges.parse_content_range(ranges.unsatisfied_range(size)) is None
