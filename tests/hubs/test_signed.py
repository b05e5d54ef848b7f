"""Until when a link is good, by every way in which hubs write it; and what of a batch answer is a link."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy_addon.hub.signed import downloads, expiry

OID = "a" * 64
U = "https://cdn.example/x"
NOON = 1_767_268_800.0  # 2026-01-01T12:00:00Z


@pytest.mark.parametrize(
    ("query", "at"),
    [
        ("Expires=1767268800&Signature=x&Key-Pair-Id=K", NOON),
        ("X-Amz-Date=20260101T110000Z&X-Amz-Expires=3600&X-Amz-Signature=x", NOON),
        ("filename=a&auth_key=1767268800-abc-0-d41d8", NOON),
        ("Signature=x", None),
        ("Expires=soon", None),
        ("X-Amz-Date=20260101T110000Z", None),
        ("X-Amz-Expires=3600", None),
        ("auth_key=x-1", None),
        ("", None),
        ("Expires=1767268800#Expires=1", NOON),
        ("Expires=9999999999&auth_key=1767268800-a", NOON),
        ("auth_key=1767268800-a&auth_key=9999999999-a", NOON),
        ("Expires=1767268800&expires=9999999999", NOON),
        ("X-Amz-Date=20260101T110000Z&X-Amz-Expires=3600&X-Amz-Date=20270101T110000Z&X-Amz-Expires=9999", NOON),
        ("X-Amz-Date=20260101T110000Z&X-Amz-Expires=3600&X-Amz-Date=x", NOON),
    ],
)
def test_the_end_of_a_link(query: str, at: float | None) -> None:
    assert expiry(f"{U}?{query}") == at


def batch(**changes: Any) -> dict[str, Any]:
    action = {"href": U, **changes.pop("action", {})}
    return {"objects": [{"oid": OID, "size": 7, "actions": {"download": action}, **changes}]}


@pytest.mark.parametrize(
    ("action", "at"),
    [
        ({}, None),
        ({"expires_at": "2026-01-01T12:00:00Z"}, NOON),
        ({"expires_at": "2026-01-01T13:00:00+01:00"}, NOON),
        ({"expires_in": 60}, 160.0),
        ({"expires_in": 60, "expires_at": "2026-01-01T12:00:00Z"}, 160.0),
        ({"href": f"{U}?Expires=50", "expires_at": "2026-01-01T12:00:00Z"}, 50.0),
        ({"expires_at": "0001-01-01T00:00:00Z"}, None),
        ({"expires_at": "tomorrow"}, None),
        ({"expires_in": 10**400}, None),
        ({"expires_at": "9999-12-31T23:59:59-23:59"}, 253402387139.0),
    ],
)
def test_a_download(action: dict[str, Any], at: float | None) -> None:
    (link,) = downloads(batch(action=action), 100.0)
    assert (link.blob, link.size, link.expires) == (f"sha256:{OID}", 7, at)


@pytest.mark.parametrize(
    "answer",
    [
        batch(oid="b"),
        batch(oid=OID.upper()),
        batch(size="7"),
        batch(size=True),
        batch(size=0),
        batch(actions={"upload": {"href": U}}),
        batch(actions=None),
        batch(error={"code": 404}, actions={}),
        batch(action={"header": {"Authorization": "x"}}),
        batch(action={"href": None}),
        {"objects": {}},
        [],
        None,
    ],
)
def test_what_is_no_download(answer: Any) -> None:
    assert list(downloads(answer, 0.0)) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["objects", "actions"]), inner),
)


@given(JSON, st.text())
def test_it_never_raises(answer: Any, text: str) -> None:
    assert all(link.url for link in downloads(answer, 0.0))
    assert list(downloads(batch(action={"href": f"{U}?{text}", "expires_at": text}), 0.0))
