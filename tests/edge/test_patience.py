"""Who takes nothing of a reply, holds nothing for ever; and what is counted as one client."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable

import pytest

from proxy_addon.core.messages import Headers, Reply, Request
from proxy_addon.edge.admission import Admission
from proxy_addon.edge.relay import PacedReader
from tests.edge.conftest import Serve
from tests.edge.stand_in import HUB, Pattern, StandIn
from tests.edge.test_http2 import Peer

MIB = 1 << 20


def gives(body: Pattern) -> Callable[[Request], Awaitable[Reply]]:
    async def answer(request: Request) -> Reply:
        return Reply(200, Headers(), body)

    return answer


async def test_who_reads_nothing_is_cut(engine: StandIn, serve: Serve) -> None:
    body = Pattern(300 * MIB)
    engine.slowly["/big"] = gives(body)
    client = await (await serve(stall=0.5))()
    await client.connect()
    await client.tls()
    client.get("/big")
    await client.head()
    async with asyncio.timeout(60):
        await body.closed.wait()
    assert body.closes == 1
    assert [aborted for *_, aborted in await engine.records(1)] == [True]


async def test_who_closes_his_window_and_pings_is_cut(engine: StandIn, serve: Serve) -> None:
    body = Pattern(300 * MIB)
    engine.slowly["/big"] = gives(body)
    client = await (await serve(stall=0.5))()
    await client.connect()
    peer = Peer(await client.tls(alpn="h2"), window=1000)
    peer.get("/big")
    async with asyncio.timeout(60):
        while not body.closes:
            peer.h2.ping(b"i am her")
            peer.flush()
            await asyncio.sleep(0.05)
    assert [aborted for *_, aborted in await engine.records(1)] == [True]


async def test_who_reads_slowly_is_not(engine: StandIn, serve: Serve) -> None:
    """A step within the time is enough, over three times that time."""
    body = Pattern(24 * MIB)
    engine.slowly["/big"] = gives(body)
    client = await (await serve(stall=2.0))()
    await client.connect()
    await client.tls()
    client.get("/big")
    await client.head()
    left = 24 * MIB
    for _ in range(12):
        await asyncio.sleep(0.5)
        left -= len(await client.reader.readexactly(2 * MIB))
    assert left == 0 and (await engine.records(1))[0][4] is False


async def test_what_is_held_for_a_stalled_stream_is_given_up() -> None:
    reader = PacedReader(asyncio.StreamReader(), 0.05)
    reader.hold(1)
    with pytest.raises(TimeoutError):
        await reader.read(1)


@pytest.mark.parametrize(
    ("one", "same", "other"),
    [
        ("10.0.0.1", "10.0.0.1", "10.0.0.2"),
        ("::ffff:10.0.0.1", "10.0.0.1", "10.0.0.2"),
        ("2001:db8::1", "2001:db8::2:3", "2001:db8:0:1::1"),
        ("fe80::1%eth0", "fe80::2%eth0", "fe81::1"),
    ],
)
def test_what_one_client_is(one: str, same: str, other: str) -> None:
    admission = Admission((ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")), limit=1)
    assert admission.enter(one) is None
    assert admission.enter(same) is not None and admission.enter(other) is None
    admission.leave(one)
    assert admission.enter(same) is None


async def test_fields_of_one_connection_stay_there(engine: StandIn, serve: Serve) -> None:
    """Of what is relayed, in both directions; what Connection names too, but not what says where a body ends."""
    got: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def far(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        got.set_result(head + await reader.readexactly(5))
        writer.write(
            b"HTTP/1.1 200 OK\r\nConnection: X-Theirs, keep-alive\r\nKeep-Alive: timeout=5\r\nX-Theirs: 1\r\n"
            b"Trailer: X\r\n"
            b'Upgrade: h2c\r\nProxy-Authenticate: Basic realm="x"\r\nProxy-Connection: close\r\n'
            b"X-Kept: 1\r\nContent-Length: 2\r\n\r\nok"
        )
        await writer.drain()

    server = await asyncio.start_server(far, "127.0.0.1", 0)
    engine.upstream = server.sockets[0].getsockname()
    engine.passed.add("/push")
    client = await (await serve())()
    mine = (
        "Connection: X-Mine, Content-Length, Host, keep-alive",
        "X-Mine: 1",
        "Keep-Alive: timeout=5",
        "TE: trailers",
        "Trailer: X",
        "Proxy-Connection: keep-alive",
        "Proxy-Authorization: Basic eDp5",
        "X-Kept: 1",
        "Content-Length: 5",
    )
    client.send("\r\n".join((f"PUT http://{HUB}/push HTTP/1.1", f"Host: {HUB}", *mine, "", "hello")))
    status, head, body = await client.reply()
    sent = (await got).lower()
    for gone in (b"connection:", b"x-mine", b"keep-alive", b"te:", b"trailer", b"proxy-", b"x-theirs", b"upgrade"):
        assert gone not in sent and gone not in head.lower(), gone
    assert (
        b"x-kept: 1" in sent and b"x-kept: 1" in head.lower() and sent.endswith(b"\r\n\r\nhello") and b"host:" in sent
    )
    assert (status, body) == (200, b"ok")
    server.close()
