"""Whoever hangs about at the admin listener goes, and keeps nobody else from it."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from proxy_addon.admin import Health, Listening, create_app, start
from proxy_addon.admin.bounded import Open
from proxy_addon.ca import Authority
from proxy_addon.metrics import Metrics

type Starter = Callable[..., Awaitable[Listening]]
type Opener = Callable[[Listening], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]

ASKED = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
pytestmark = pytest.mark.fault("R24")


@pytest.fixture
async def begin(tmp_path: Path) -> AsyncIterator[Starter]:
    """Starts a listener with the given bounds."""
    listeners: list[Listening] = []

    async def started(header: float = 3600.0, most: int = 256, life: float = 3600.0) -> Listening:
        app = create_app(Health, Authority.open(tmp_path), Metrics())
        listeners.append(await start(app, "127.0.0.1", 0, header, Open(most, life)))
        return listeners[-1]

    yield started
    for listening in listeners:
        await listening.close()


@pytest.fixture
async def dial() -> AsyncIterator[Opener]:
    """Connects."""
    writers: list[asyncio.StreamWriter] = []

    async def connected(to: Listening) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", to.port)
        writers.append(writer)
        return reader, writer

    yield connected
    for writer in writers:
        writer.transport.abort()


async def rest(reader: asyncio.StreamReader) -> bytes:
    """What comes until the other side ends it; TimeoutError when it does not."""
    async with asyncio.timeout(20):
        try:
            return await reader.read()
        except ConnectionError:
            return b""


@pytest.mark.parametrize("half", [b"", b"GET /healthz HT", ASKED[:-2], ASKED[:-2] + b"X: y\r\n"])
async def test_a_header_has_to_be_complete_in_time(begin: Starter, dial: Opener, half: bytes) -> None:
    reader, writer = await dial(await begin(header=0.2))
    writer.write(half)
    assert await rest(reader) == b""


async def test_a_byte_now_and_then_prolongs_nothing(begin: Starter, dial: Opener) -> None:
    reader, writer = await dial(await begin(header=0.3))
    over = asyncio.ensure_future(rest(reader))
    writer.write(ASKED[:-2] + b"X: ")
    while not over.done():
        with contextlib.suppress(ConnectionError):
            writer.write(b"y")
            await asyncio.wait((over,), timeout=0.05)
    assert await over == b""


@pytest.mark.parametrize("more", [b"X: y\r\n", b"a" * 600], ids=["fields", "one field"])
async def test_a_header_without_end_is_refused(begin: Starter, dial: Opener, more: bytes) -> None:
    reader, writer = await dial(await begin())
    writer.write(ASKED[:-2] + b"X: " + more * 100)
    assert (await rest(reader)).startswith(b"HTTP/1.0 400 ")


async def test_the_oldest_makes_room(begin: Starter, dial: Opener) -> None:
    """So that one that asks how we are always gets in."""
    listening = await begin(most=5)
    held = [await dial(listening) for _ in range(5)]
    async with ClientSession() as session, session.get(f"http://127.0.0.1:{listening.port}/healthz") as reply:
        assert reply.status == 200
    assert await rest(held[0][0]) == b""
    for reader, writer in held[1:]:
        writer.write(ASKED)
        assert (await rest(reader)).startswith(b"HTTP/1.1 200 ")


async def test_who_has_left_takes_no_place(begin: Starter, dial: Opener) -> None:
    listening = await begin(most=2)
    first, writer = await dial(listening)
    for _ in range(5):
        reader, other = await dial(listening)
        other.write(ASKED)
        assert (await rest(reader)).startswith(b"HTTP/1.1 200 ")
    writer.write(ASKED)
    assert (await rest(first)).startswith(b"HTTP/1.1 200 ")


async def test_who_does_not_take_the_reply_goes() -> None:
    async def large(_: web.Request) -> web.Response:
        return web.Response(body=bytes(64 << 20))

    app = web.Application()
    app.add_routes([web.get("/", large)])
    listening = await start(app, "127.0.0.1", 0, 3600.0, Open(life=0.5))
    with socket.create_connection(("127.0.0.1", listening.port)) as stalled:
        stalled.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        over = select.poll()
        over.register(stalled, 0)  # nothing but its end
        ((_, how),) = await asyncio.to_thread(over.poll, 20_000)
        assert how & select.POLLHUP
    await listening.close()
