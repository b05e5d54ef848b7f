"""The quick road is for requests that say nothing of the connection; it keeps no promise that others are to keep."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from tests.edge.conftest import Client
from tests.edge.stand_in import HUB, StandIn, text

type Opener = Callable[..., Awaitable[Client]]


@pytest.mark.parametrize("said", ["close", "Close", "x, close", "keep-alive, close"])
async def test_who_wants_the_connection_closed_has_it_closed(engine: StandIn, hub: Opener, said: str) -> None:
    """The reply says so, and what comes behind it is no request."""
    engine.quickly["/a"] = text("a")
    client = await hub()
    client.get("/a", f"Connection: {said}")
    client.get("/a")
    status, head, body = await client.reply()
    assert (status, body) == (200, b"a") and b"\r\nconnection: close\r\n" in head.lower()
    assert await client.rest() == b""
    assert [request.path for request in engine.seen] == ["/a"]


@pytest.mark.parametrize("lines", [(), ("Connection: keep-alive",), ("Connection: Keep-Alive",)])
async def test_others_have_it_kept(engine: StandIn, hub: Opener, lines: tuple[str, ...]) -> None:
    engine.quickly["/a"] = text("a")
    client = await hub()
    for _ in range(3):
        client.get("/a", *lines)
        assert (await client.reply())[0] == 200
    assert {request.host for request in engine.seen} == {HUB}
