"""Reconstructions of both versions are read alike, and what is none is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy_addon.hub.terms import Fetch, Segment, read
from proxy_addon.hub.xet import Identity, identities

A, B = "a" * 64, "b" * 64
TERMS = [
    {"hash": A, "unpacked_length": 100, "range": {"start": 2, "end": 4}},
    {"hash": A, "unpacked_length": 50, "range": {"start": 4, "end": 5}},
    {"hash": B, "unpacked_length": 70, "range": {"start": 0, "end": 1}},
    {"hash": A, "unpacked_length": 10, "range": {"start": 9, "end": 10}},
]
V2 = {
    "offset_into_first_range": 30,
    "terms": TERMS,
    "xorbs": {
        A: [
            {"url": "u1", "ranges": [{"chunks": {"start": 1, "end": 6}, "bytes": {"start": 10, "end": 99}}]},
            {"url": "u2", "ranges": [{"chunks": {"start": 9, "end": 10}, "bytes": {"start": 200, "end": 219}}]},
        ],
        B: [{"url": "u3", "ranges": [{"chunks": {"start": 0, "end": 1}, "bytes": {"start": 0, "end": 79}}]}],
    },
}
V1 = {
    "offset_into_first_range": 30,
    "terms": TERMS,
    "fetch_info": {
        A: [
            {"range": {"start": 1, "end": 6}, "url": "u1", "url_range": {"start": 10, "end": 99}},
            {"range": {"start": 9, "end": 10}, "url": "u2", "url_range": {"start": 200, "end": 219}},
        ],
        B: [{"range": {"start": 0, "end": 1}, "url": "u3", "url_range": {"start": 0, "end": 79}}],
    },
}


@pytest.mark.parametrize("document", [V1, V2])
def test_terms_and_links(document: dict[str, Any]) -> None:
    told = read(document, 1030)
    assert told.fetches == (
        Fetch("u1", A, (1, 6), 10, 100),
        Fetch("u2", A, (9, 10), 200, 220),
        Fetch("u3", B, (0, 1), 0, 80),
    )
    assert told.segments == (
        Segment(1000, 150, f"xorb:{A}:10-100", 1, 3),  # two terms in a row of one range
        Segment(1150, 70, f"xorb:{B}:0-80", 0, 1),
        Segment(1220, 10, f"xorb:{A}:200-220", 0, 1),
    )


def test_a_link_for_several_ranges_is_left_alone() -> None:
    document = json.loads(json.dumps(V2))
    one, two = document["xorbs"][A]
    document["xorbs"][A] = [{"url": "u1", "ranges": [*one["ranges"], *two["ranges"]]}]
    told = read(document, 30)
    assert [fetch.url for fetch in told.fetches] == ["u3"]
    assert [segment.blob[:6] for segment in told.segments] == ["", "", "xorb:b", ""]


@pytest.mark.parametrize(
    "change",
    [
        {"offset_into_first_range": 31},
        {"offset_into_first_range": -1},
        {"offset_into_first_range": None},
        {"terms": None},
        {"terms": [{"hash": A, "unpacked_length": 0, "range": {"start": 2, "end": 4}}]},
        {"terms": [{"hash": A, "unpacked_length": 9, "range": {"start": 4, "end": 4}}]},
        {"terms": [{"hash": A, "unpacked_length": True, "range": {"start": 2, "end": 4}}]},
        {"terms": [{"hash": [], "unpacked_length": 9, "range": {"start": 2, "end": 4}}]},
        {"xorbs": []},
        {"xorbs": {A: [{"url": 1, "ranges": V2["xorbs"][B][0]["ranges"]}]}},  # type: ignore[index]
        {"xorbs": {A: [{"url": "u", "ranges": [{"chunks": {"start": 1, "end": 6}, "bytes": {"start": 9, "end": 8}}]}]}},
    ],
)
def test_what_is_no_reconstruction(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        read(V2 | change, 30)


anything = st.recursive(
    st.none() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*V2, *V1, "url", A]), inner),
)


@given(anything)
def test_anything(document: Any) -> None:
    try:
        told = read(document, 0)
    except ValueError:
        return
    assert all(segment.size for segment in told.segments)


def test_listings_name_files_by_both_digests() -> None:
    lfs = {"oid": "1" * 64, "size": 9}
    listing = [
        {"path": "a", "size": 9, "lfs": lfs, "xetHash": A},
        {"path": "b", "size": 9, "lfs": lfs},
        {"path": "c", "size": 9, "xetHash": A},
        {"path": "d", "size": "9", "lfs": lfs, "xetHash": A},
        {"path": "e", "size": 9, "lfs": {"sha256": "2" * 64}, "xetHash": B},
    ]
    assert {*identities({"siblings": listing})} == {Identity(A, "1" * 64, 9), Identity(B, "2" * 64, 9)}
