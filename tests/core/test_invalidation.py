from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_addon.core.invalidation import SAFE, targets
from proxy_addon.core.messages import Headers

from .dialogue import get

HERE = "https://example.org/x/a"

NAMED: list[tuple[str, str | None]] = [
    # Location of the answer to POST https://example.org/x/a, and what it makes wrong besides
    ("b", "https://example.org/x/b"),
    ("/b", "https://example.org/b"),
    ("../b?c=d#e", "https://example.org/b?c=d"),
    ("?q", "https://example.org/x/a?q"),
    ("https://example.org/b", "https://example.org/b"),
    ("HTTPS://EXAMPLE.org:443/B", "https://example.org/B"),
    ("https://example.org./b", "https://example.org/b"),
    ("//example.org/b", "https://example.org/b"),
    ("https://example.org", "https://example.org/"),
    ("", None),
    ("a", None),
    ("http://example.org/b", None),
    ("https://example.org:444/b", None),
    ("https://other.org/b", None),
    ("https://example.org.evil/b", None),
    ("https://[", None),
    ("https://example.org:x/b", None),
    ("mailto:a@example.org", None),
]


@pytest.mark.parametrize(("reference", "besides"), NAMED)
@pytest.mark.parametrize("field", ["Location", "Content-Location"])
def test_named(field: str, reference: str, besides: str | None) -> None:
    expected = (HERE,) if besides is None else (HERE, besides)
    assert targets(get(method="POST", path="/x/a"), 201, Headers([(field, reference)])) == expected


@pytest.mark.parametrize("method", sorted(SAFE))
def test_safe(method: str) -> None:
    assert targets(get(method=method), 200, Headers()) == ()


@pytest.mark.parametrize("status", [100, 199, 400, 404, 500, 599])
def test_failed(status: int) -> None:
    assert targets(get(method="PUT"), status, Headers([("Location", "/b")])) == ()


@given(st.text(max_size=40))
@settings(max_examples=100, deadline=None)
def test_total_and_never_another_origin(reference: str) -> None:
    urls = targets(get(method="DELETE", path="/x/a"), 200, Headers([("Location", reference)]))
    assert urls[0] == HERE
    assert all(url.startswith("https://example.org/") for url in urls)
