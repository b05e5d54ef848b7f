"""A TLS hello that never ends is not waited for, however long a client may take."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from proxy_addon.edge.relay import HELLO_LIMIT
from tests.edge.conftest import Serve
from tests.edge.stand_in import HUB, StandIn

#: A handshake record whose message says that it has 16 MiB, and one that goes on with it.
BEGUN = b"\x16\x03\x01\x40\x00" + b"\x01\xff\xff\xff\x03\x03" + bytes(16378)
MORE = b"\x16\x03\x01\x40\x00" + bytes(16384)


@pytest.mark.fault("R24")
@pytest.mark.parametrize("target", [f"{HUB}:443", "far.example:443"], ids=["a hub", "a tunnel"])
async def test_a_hello_without_end_is_cut(engine: StandIn, serve: Serve, target: str) -> None:
    came = bytearray()

    async def far(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            came.extend(data)
        writer.close()

    server = await asyncio.start_server(far, "127.0.0.1", 0)
    engine.upstream = server.sockets[0].getsockname()
    client = await (await serve(deadline=3600.0))()
    assert (await client.connect(target)).startswith(b"HTTP/1.1 200 ")
    client.send(BEGUN + MORE * (HELLO_LIMIT // len(MORE)))
    rest = await client.rest()
    assert rest == b"" or rest[0] == 21  # nothing but a TLS alert
    assert came == b""
    server.close()


async def test_a_long_hello_is_read(engine: StandIn, serve: Serve) -> None:
    """In as many pieces as it comes in: to somewhere else it goes on as it is."""
    extensions = b"\x00\x15\x40\x00" + bytes(0x4000)
    body = b"\x03\x03" + bytes(32) + b"\x00" + b"\x00\x02\x13\x01" + b"\x01\x00"
    body += len(extensions).to_bytes(2) + extensions
    message = b"\x01" + len(body).to_bytes(3) + body
    hello = b"".join(
        b"\x16\x03\x01" + len(part).to_bytes(2) + part
        for part in (message[at : at + 1000] for at in range(0, len(message), 1000))
    )
    whole = asyncio.get_running_loop().create_future()

    async def far(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            whole.set_result(await reader.readexactly(len(hello)))
        writer.close()

    server = await asyncio.start_server(far, "127.0.0.1", 0)
    engine.upstream = server.sockets[0].getsockname()
    client = await (await serve())()
    assert (await client.connect("far.example:443")).startswith(b"HTTP/1.1 200 ")
    for at in range(0, len(hello), 5000):
        client.send(hello[at : at + 5000])
        await asyncio.sleep(0)
    async with asyncio.timeout(10):
        assert await whole == hello
    server.close()
