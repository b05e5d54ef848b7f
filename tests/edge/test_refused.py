"""A request that the engine refuses for its head: the client sees why, and its body is neither kept nor passed on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from proxy_addon.core.messages import BODY_LIMIT, Headers, Reply
from proxy_addon.core.status import Detail, Outcome
from tests.edge.conftest import Client
from tests.edge.stand_in import HUB, StandIn

type Opener = Callable[..., Awaitable[Client]]
BODY = bytes(8 * BODY_LIMIT)


@pytest.fixture
def no(engine: StandIn) -> StandIn:
    engine.refused["/no"] = Reply(403, Headers(), b"read-only", Outcome(detail=Detail.DENIED))
    return engine


@pytest.mark.parametrize(
    ("framing", "sent"),
    [
        (f"Content-Length: {len(BODY)}", BODY),
        ("Transfer-Encoding: chunked", b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)),
    ],
)
async def test_who_listens_only_when_all_is_sent_is_told(no: StandIn, hub: Opener, framing: str, sent: bytes) -> None:
    client = await hub()
    client.get("/no", framing, method="PUT")
    client.send(sent)
    await client.writer.drain()
    status, head, told = await client.reply()
    assert (status, told) == (403, b"read-only") and b"connection: close" in head.lower()
    assert await client.rest() == b""
    assert no.seen == []
    assert [(status, str(outcome.detail)) for _, status, outcome, *_ in await no.records(1)] == [(403, "denied")]


async def test_who_asks_first_is_told_at_once(no: StandIn, hub: Opener) -> None:
    client = await hub()
    client.get("/no", "Content-Length: 5000000000", "Expect: 100-continue", method="PUT")
    status, head, told = await client.reply()
    assert (status, told) == (403, b"read-only") and b"connection: close" in head.lower()


async def test_a_body_is_as_always_where_nothing_is_refused(no: StandIn, hub: Opener) -> None:
    client = await hub()
    client.get("/yes", "Content-Length: 3", method="POST")
    client.send(b"abc")
    assert (await client.reply())[0] == 404
    assert [(request.host, request.body) for request in no.seen] == [(HUB, b"abc")]
