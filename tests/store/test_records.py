from __future__ import annotations

import json

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from proxy_addon.core.messages import Headers, StoredResponse
from proxy_addon.store import records
from proxy_addon.store.contract import UNIT, Manifest

TEXT = st.text(st.characters(max_codepoint=255), max_size=20)
SIZES = st.integers(0, 2**53)
TIMES = st.floats(0, 4e9)
PAIRS = st.lists(st.tuples(TEXT, TEXT), max_size=4)
RESPONSES = st.builds(
    StoredResponse,
    status=st.integers(100, 599),
    headers=PAIRS.map(Headers),
    request_time=TIMES,
    response_time=TIMES,
    url=st.text(max_size=20),
    blob=st.none() | st.text(max_size=20),
    size=st.none() | SIZES,
    vary=st.lists(st.tuples(TEXT, st.none() | TEXT), max_size=3).map(tuple),
    authorized=st.booleans(),
    kind=TEXT,
    facts=PAIRS.map(tuple),
)


@given(st.lists(RESPONSES, max_size=4))
def test_responses_come_back_equal(variants: list[StoredResponse]) -> None:
    assert list(records.unpack_responses(records.pack_responses(variants))) == variants


@given(st.builds(Manifest, TEXT, SIZES, st.booleans(), st.booleans(), TEXT, TEXT))
def test_manifests_come_back_equal(manifest: Manifest) -> None:
    assert records.unpack_manifest(records.pack_manifest(manifest)) == manifest


@given(st.integers(1, 3 * UNIT))
def test_each_unit_has_its_own_digest(size: int) -> None:
    piece = bytes(size - 1) + b"x"
    digests = records.unit_digests(memoryview(piece))
    assert digests == b"".join(blake3(piece[at : at + UNIT]).digest() for at in range(0, size, UNIT))
    last = (size - 1) // UNIT
    assert records.unit_matches(piece[last * UNIT :], digests, last)
    assert not records.unit_matches(piece[last * UNIT :] + b"y", digests, last)
    assert not records.unit_matches(b"", digests, last + 1)


ROW = json.loads(records.pack_responses([StoredResponse(200, Headers((("ETag", '"a"'),)), 1.0, 2.0, "u", "b", 5)]))
ODD: list[tuple[int, object]] = [
    (0, "200"), (1, [["ETag", 1]]), (1, ["x"]), (2, "1"), (2, float("inf")), (3, float("nan")), (2, 10**400), (4, None),
    (6, -1), (6, "5"), (7, []), (7, 3), (8, [[1, "a"]]), (9, 1), (10, None), (11, {"a": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("at", "value"), ODD)
def test_a_row_with_an_odd_part_is_a_value_error(at: int, value: object) -> None:
    row = [*ROW[0][:at], value, *ROW[0][at + 1 :]]
    with pytest.raises(ValueError):
        records.unpack_responses(json.dumps([row]).encode())


@pytest.mark.parametrize(
    "row", [b"", b"null", b"[[]]", b"7", b"[" * 100_000, b"{}x", b"\xff", b'["b",-1,true,true,"",""]']
)
def test_what_is_no_row_is_a_value_error(row: bytes) -> None:
    for unpack in (records.unpack_responses, records.unpack_manifest, records.unpack_names):
        with pytest.raises(ValueError):
            unpack(row)
