"""Uploads over HTTP/2 that are relayed: many on one connection do not wait for each other."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import trustme

from proxy_addon.edge.admission import Admission
from tests.edge.conftest import Client, Serve
from tests.edge.stand_in import HUB, StandIn
from tests.edge.test_holding import KIB, Streams

type Connect = Callable[[], Awaitable[Client]]

MIB = 1024 * KIB
UPLOADS, SIZE = 12, 512 * KIB  # more than the upstream connections that mitmproxy has at once, and than may wait


class Far:
    """Takes uploads; answers each when it is whole."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.open = self.most = 0
        self.begun = asyncio.Event()

    async def have(self, count: int) -> None:
        while self.open < count:
            self.begun.clear()
            await self.begun.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.most = max(self.most, self.open)
        self.begun.set()
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        size = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        left = size
        while left:
            data = await reader.read(min(left, MIB))
            if not data:
                break
            left -= len(data)
        self.taken.append(size - left)
        self.open -= 1
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()
        writer.close()


@pytest.fixture
async def far(engine: StandIn, tmp_path: Path) -> AsyncIterator[Far]:
    ca, far = trustme.CA(), Far()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(HUB).configure_cert(context)
    server = await asyncio.start_server(far.serve, "127.0.0.1", 0, ssl=context)
    engine.upstream = server.sockets[0].getsockname()
    engine.passed.add("/far")
    yield far
    server.close()


async def test_many_uploads_on_one_connection_do_not_wait_for_each_other(
    far: Far, serve: Serve, tmp_path: Path
) -> None:
    client = await (await serve(upstream_ca=tmp_path / "ca.pem"))()
    await client.connect()
    streams = await Streams(await client.tls(alpn="h2")).open()
    fields = [(":method", "PUT"), (":scheme", "https"), (":authority", HUB), (":path", "/far")]
    idents = []
    for _ in range(UPLOADS):
        idents.append(ident := streams.h2.get_next_available_stream_id())
        streams.h2.send_headers(ident, [*fields, ("content-length", str(SIZE))])
    for _ in range(0, SIZE, 16 * KIB):
        for ident in idents:
            streams.h2.send_data(ident, b"x" * 16 * KIB)
    for ident in idents:
        streams.h2.end_stream(ident)
    streams.flush()
    assert [(await streams.head(ident))[":status"] for ident in idents] == ["200"] * UPLOADS
    assert far.taken == [SIZE] * UPLOADS


async def test_one_address_has_so_many_connections_to_upstream_and_no_more(
    far: Far, serve: Serve, tmp_path: Path
) -> None:
    """By all of its own; and gets others when some have ended."""
    new = await serve(Admission(limit=5), upstream_ca=tmp_path / "ca.pem")
    fields = [(":method", "PUT"), (":scheme", "https"), (":authority", HUB), (":path", "/far"), ("content-length", "9")]

    async def opened() -> Streams:
        client = await new()
        await client.connect()
        return await Streams(await client.tls(alpn="h2")).open()

    def begin(streams: Streams) -> int:
        ident = streams.h2.get_next_available_stream_id()
        streams.h2.send_headers(ident, fields)
        streams.h2.send_data(ident, b"x" * 8)
        streams.flush()
        return ident

    async def end(streams: Streams, ident: int) -> str:
        streams.h2.send_data(ident, b"x", end_stream=True)
        streams.flush()
        return (await streams.head(ident))[":status"]

    first, second = await opened(), await opened()
    mine = [begin(first) for _ in range(3)]
    async with asyncio.timeout(60):
        await far.have(3)
        theirs = [begin(second) for _ in range(4)]
        while len(second.heads) < 2:
            await second.hear()
        await far.have(5)
    assert {head[":status"] for head in second.heads.values()} == {"502"} and far.most == 5
    assert [await end(first, ident) for ident in mine] == ["200"] * 3
    left = [ident for ident in theirs if ident not in second.heads]
    assert [await end(second, ident) for ident in (*left, begin(second), begin(second))] == ["200"] * 4
    assert far.most == 5


async def test_what_could_not_be_connected_takes_no_place(
    far: Far, engine: StandIn, serve: Serve, tmp_path: Path
) -> None:
    client = await (await serve(Admission(limit=3), upstream_ca=tmp_path / "ca.pem"))()
    await client.connect()
    streams, there = await Streams(await client.tls(alpn="h2")).open(), engine.upstream
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        engine.upstream = nobody.getsockname()
        for _ in range(4):
            assert (await streams.head(streams.post(9, "/far", end=True)))[":status"] == "502"
    engine.upstream = there
    ident = streams.h2.get_next_available_stream_id()
    fields = [(":method", "PUT"), (":scheme", "https"), (":authority", HUB), (":path", "/far"), ("content-length", "1")]
    streams.h2.send_headers(ident, fields)
    streams.h2.send_data(ident, b"x", end_stream=True)
    streams.flush()
    assert (await streams.head(ident))[":status"] == "200"
