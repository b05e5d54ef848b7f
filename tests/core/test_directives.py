from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_addon.core.directives import MAX_SECONDS, delta_seconds, of_request, of_response, parse, split_list
from proxy_addon.core.messages import Headers

CASES: list[tuple[list[str], dict[str, str | None]]] = [
    ([], {}),
    ([""], {}),
    ([" , ,, "], {}),
    (["no-store"], {"no-store": None}),
    (["No-Store,MAX-AGE=1"], {"no-store": None, "max-age": "1"}),
    (["max-age=1", "public"], {"max-age": "1", "public": None}),
    (['max-age="1"'], {"max-age": "1"}),
    (['x="a, b=\\"c\\", no-cache", y'], {"x": 'a, b="c", no-cache', "y": None}),
    (["max-age=1, max-age=2"], {"max-age": "1"}),
    (['x="never closed, public'], {"x": '"never closed, public', "no-store": None}),
    (["=1"], {"": "1"}),
]


@pytest.mark.parametrize(("lines", "said"), CASES)
def test_parse(lines: list[str], said: dict[str, str | None]) -> None:
    assert dict(parse(lines)) == said


SECONDS = [
    ("max-age=60", 60),
    ("max-age=060", 60),
    ('max-age="60"', 60),
    ("max-age=2147483649", MAX_SECONDS),
    ("max-age=" + "9" * 5000, MAX_SECONDS),
    ("max-age=" + "0" * 5000 + "7", 7),
    ("max-age=60, max-age=5", 5),
    ("max-age=60, max-age=x", 0),
    ("max-age", 0),
    ("max-age=", 0),
    ("max-age=-1", 0),
    ("max-age=+1", 0),
    ("max-age=1.0", 0),
    ("max-age=1e3", 0),
    ("max-age='1'", 0),
    ("max-age=²", 0),
    ("max-age=1;x", 0),
    ("max-age =1", 0),
    ("max-age= 1", 0),
    ("maxage=1", None),
]


@pytest.mark.parametrize(("text", "seconds"), SECONDS)
def test_seconds(text: str, seconds: int | None) -> None:
    assert parse([text]).seconds("max-age") == seconds


FIELDS = [
    ("no-cache", True, set()),
    ('no-cache="A, b"', False, {"a", "b"}),
    ("no-cache=a", False, {"a"}),
    ('no-cache="a", no-cache', True, {"a"}),
    ('no-cache=""', True, set()),
    ('no-cache=","', True, set()),
    ('no-cache="a b"', True, set()),
    ("private", False, set()),
]


@pytest.mark.parametrize(("text", "wide", "names"), FIELDS)
def test_wide_and_narrow_forms(text: str, wide: bool, names: set[str]) -> None:
    said = parse([text])
    assert (said.bare("no-cache"), said.field_names("no-cache")) == (wide, names)


def test_pragma_counts_only_without_cache_control() -> None:
    assert "no-cache" in of_request(Headers([("Pragma", "foo, No-Cache")]))
    assert "no-cache" not in of_request(Headers([("Pragma", "no-cache"), ("Cache-Control", "")]))
    assert "no-cache" not in of_response(200, Headers([("Pragma", "no-cache")]))


@pytest.mark.parametrize(("status", "said", "barred"), [
    (200, "no-store, must-understand", False),
    (200, "must-understand", False),
    (200, "no-store", True),
    (599, "no-store, must-understand", True),
    (599, "must-understand", True),
])  # fmt: skip
def test_must_understand(status: int, said: str, barred: bool) -> None:
    assert ("no-store" in of_response(status, Headers([("Cache-Control", said)]))) is barred


TEXT = st.one_of(
    st.text(max_size=80),
    st.lists(st.sampled_from(['"', "\\", ",", "=", " ", "a", "max-age", "private", "9"]), max_size=40).map("".join),
)


@given(TEXT)
@settings(max_examples=100, deadline=None)
def test_total(text: str) -> None:
    said = parse([text])
    for name in said:
        assert said.seconds(name) in range(MAX_SECONDS + 1)
        assert said.bare(name) or said.field_names(name)
    assert all(member and member == member.strip() for member in split_list(text))
    assert (delta_seconds(text) is None) == (not (text.isascii() and text.isdigit()))


@pytest.mark.parametrize("text", ['"\\' * 32_000, '"' * 65_000, '",' * 32_000, "\\" * 65_000, '"\\""' * 16_000])
def test_hostile_text_takes_no_time_to_speak_of(text: str) -> None:
    assert isinstance(dict(parse([text])), dict)


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=5))
@settings(max_examples=50, deadline=None)
def test_of_several_the_least_counts(values: list[int]) -> None:
    assert parse([f"max-age={value}" for value in values]).seconds("max-age") == min(min(values), MAX_SECONDS)
