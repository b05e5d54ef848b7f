"""Links found in JSON that goes by, wherever it is cut."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_addon.answer.passing import LONGEST, Passing
from proxy_addon.core.messages import Buffer

URLS = st.text(min_size=1, max_size=40).filter(lambda url: "#" not in url)


class Cut:
    """A body that comes in parts of these sizes, in turn."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self.length, self._data, self._sizes, self._turn, self.closed = None, data, sizes, 0, False

    async def read(self, limit: int) -> Buffer:
        size = self._sizes[self._turn % len(self._sizes)]
        self._turn += 1
        part, self._data = self._data[:size], self._data[size:]
        return memoryview(part)

    def close(self) -> None:
        self.closed = True


async def passed(data: bytes, sizes: list[int]) -> tuple[bytes, list[str]]:
    """What the reader got, and the links that were told."""
    told: list[str] = []
    source = Cut(data, sizes)
    body, parts = Passing(source, told.append), []
    while part := await body.read(1 << 16):
        parts.append(bytes(part))
    body.close()
    assert source.closed
    return b"".join(parts), told


@settings(deadline=None, max_examples=60)
@given(st.lists(URLS), st.lists(st.integers(1, 60), min_size=1), st.booleans(), st.integers(0, 3))
async def test_every_link_is_told_once_and_the_body_is_as_it_came(
    urls: list[str], sizes: list[int], ascii: bool, indent: int
) -> None:
    document = {"xorbs": {str(n): [{"url": url, "ranges": [n]}] for n, url in enumerate(urls)}, "url_range": 5}
    data = json.dumps(document, ensure_ascii=ascii, indent=indent or None).encode("utf-8", "surrogatepass")
    assert await passed(data, sizes) == (data, urls)


async def test_a_link_may_be_long_but_not_without_end() -> None:
    for size, found in ((LONGEST, 1), (LONGEST + 1, 0)):
        data = json.dumps({"url": "x" * size}).encode()
        assert [len(url) for url in (await passed(data, [997]))[1]] == [size] * found


async def test_what_follows_a_text_without_end_is_found() -> None:
    data = b'"url": "' + b"x" * (3 * LONGEST) + b'", "url": "good", "url": "\\q", "url": "better#part"'
    assert (await passed(data, [4096]))[1] == ["good", "better"]


async def test_no_more_than_a_link_is_held() -> None:
    body = Passing(Cut(b'"url": "' + b"x" * 200_000, [50_000]), print)
    while await body.read(1):
        assert len(body._tail) < LONGEST + 300
