"""Uploads over HTTP/2 that are relayed: many on one connection do not wait for each other."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import trustme

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

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        size = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        left = size
        while left:
            data = await reader.read(min(left, MIB))
            if not data:
                break
            left -= len(data)
        self.taken.append(size - left)
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
