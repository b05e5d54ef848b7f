"""A proxy on an ephemeral port around a stand-in engine, and a client that goes through it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from proxy_addon.addon import Hubgate
from proxy_addon.auth import Door
from proxy_addon.config import Limits
from proxy_addon.edge.admission import Admission
from proxy_addon.master import Proxy
from tests.edge.stand_in import HUB, StandIn


class Client:
    """One client connection, raw: what is written is what goes out."""

    def __init__(self, port: int, ca: Path) -> None:
        self.port, self.ca = port, ca

    async def open(self) -> Client:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
        return self

    async def connect(self, target: str = f"{HUB}:443") -> bytes:
        """The answer's head to a CONNECT."""
        self.writer.write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        return await self.head()

    async def tls(self, sni: str | None = HUB, alpn: str = "http/1.1") -> Client:
        context = ssl.create_default_context(cafile=str(self.ca))
        if sni is None:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols([alpn])
        async with asyncio.timeout(60):
            await self.writer.start_tls(context, server_hostname=sni or "")
        return self

    def send(self, text: str | bytes) -> None:
        self.writer.write(text.encode("latin-1") if isinstance(text, str) else text)

    def get(self, path: str, *lines: str, method: str = "GET", host: str = HUB) -> None:
        self.send("\r\n".join((f"{method} {path} HTTP/1.1", f"Host: {host}", *lines, "", "")))

    async def head(self) -> bytes:
        async with asyncio.timeout(60):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def reply(self) -> tuple[int, bytes, bytes]:
        """Status, head and a body of the length the head names."""
        head = await self.head()
        size = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
        async with asyncio.timeout(60):
            return int(head[9:12]), head, await self.reader.readexactly(size)

    async def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        async with asyncio.timeout(60):
            try:
                return await self.reader.read()
            except (ConnectionError, ssl.SSLError):
                return b""

    async def close(self) -> None:
        self.writer.transport.abort()


@pytest.fixture(scope="session")
def confdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ca")


@pytest.fixture
def engine() -> StandIn:
    return StandIn()


type Serve = Callable[..., Awaitable[Callable[[], Awaitable[Client]]]]


@pytest.fixture
async def serve(engine: StandIn, confdir: Path) -> AsyncIterator[Serve]:
    """Starts a proxy; gives a function that opens a plain connection to it."""
    running: list[tuple[Proxy, asyncio.Task[None]]] = []
    clients: list[Client] = []

    async def start(
        admission: Admission | None = None,
        deadline: float = 15.0,
        body_rate: float = 1000.0,
        stall: float = 600.0,
        upstream_ca: Path | None = None,
        door: Door | None = None,
    ) -> Callable[[], Awaitable[Client]]:
        limits = Limits.model_construct(header_deadline=deadline, body_rate=body_rate, stall=stall)  # unchecked: soon
        proxy = Proxy(
            Hubgate(engine, admission, limits, door),
            listen=[("127.0.0.1", 0)],
            confdir=confdir,
        )
        if upstream_ca is not None:
            proxy._master.options.update(ssl_verify_upstream_trusted_ca=str(upstream_ca))
        ((_, port),) = await proxy.bind()
        running.append((proxy, asyncio.create_task(proxy.run(drain=0.1))))

        async def client() -> Client:
            clients.append(await Client(port, confdir / "mitmproxy-ca-cert.pem").open())
            return clients[-1]

        return client

    yield start
    for each in clients:
        await each.close()
    for proxy, task in running:
        proxy.stop()
        async with asyncio.timeout(60):
            await task


@pytest.fixture
async def hub(serve: Serve) -> Callable[..., Awaitable[Client]]:
    """Opens a connection through CONNECT and TLS."""
    client = await serve()

    async def through(alpn: str = "http/1.1", target: str = f"{HUB}:443", sni: str | None = HUB) -> Client:
        opened = await client()
        assert b" 200 " in await opened.connect(target)
        return await opened.tls(sni, alpn)

    return through
