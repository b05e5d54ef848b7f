"""The aiohttp application behind `admin.listen`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Protocol

from aiohttp import web

from ..metrics import CONTENT_TYPE
from .bounded import BACKLOG, Bounded, Open
from .page import Ruled, Synced, index

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Health:
    """Degraded means: clients are served, but less well than they should be; each reason is one sentence."""

    reasons: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.reasons


class Certificates(Protocol):
    @property
    def expires(self) -> datetime: ...
    def public_pem(self) -> bytes: ...
    def bundle_pem(self) -> bytes: ...
    def fingerprint(self) -> str: ...


class Numbers(Protocol):
    def totals(self) -> dict[str, int]: ...
    async def stored(self) -> dict[str, int]: ...
    async def text(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Listening:
    host: str
    port: int  # the one that was chosen, if 0 was asked for
    runner: web.AppRunner
    server: asyncio.Server

    async def close(self) -> None:
        self.server.close()
        await self.runner.cleanup()


def create_app(
    health: Callable[[], Health],
    ca: Certificates,
    metrics: Numbers,
    clients: Sequence[IPv4Network | IPv6Network] = (),
    synced: Callable[[], Sequence[Synced]] = tuple,
    ruled: Callable[[], Ruled | None] = lambda: None,
) -> web.Application:
    """`clients`, when given, are the only networks that are answered. `synced`: the repos that are kept in sync.
    `ruled`: the rules in force."""

    async def healthz(_: web.Request) -> web.Response:
        now = health()
        body = {"status": "ok" if now.ok else "degraded", "reasons": list(now.reasons)}
        return web.json_response(body, status=200 if now.ok else 503)

    async def ca_pem(_: web.Request) -> web.Response:
        name = {"Content-Disposition": 'attachment; filename="hubgate-ca.pem"'}
        return web.Response(body=ca.public_pem(), content_type="application/x-pem-file", headers=name)

    async def bundle_pem(_: web.Request) -> web.Response:
        name = {"Content-Disposition": 'attachment; filename="hubgate-bundle.pem"'}
        return web.Response(body=ca.bundle_pem(), content_type="application/x-pem-file", headers=name)

    async def exposition(_: web.Request) -> web.Response:
        return web.Response(body=await metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    async def home(_: web.Request) -> web.Response:
        numbers = {**metrics.totals(), **await metrics.stored()}
        page = index(health().reasons, numbers, ca.fingerprint(), ca.expires, synced(), ruled())
        return web.Response(text=page, content_type="text/html")

    @web.middleware
    async def guard(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if clients and not _admitted(request.remote, clients):
            return web.Response(status=403, text="this address is not in `clients`\n")
        return await handler(request)

    async def headers(_: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(_HEADERS)
        response.force_close()

    app = web.Application(middlewares=[guard])
    app.on_response_prepare.append(headers)
    app.add_routes(
        [
            web.get("/", home),
            web.get("/healthz", healthz),
            web.get("/ca.pem", ca_pem),
            web.get("/bundle.pem", bundle_pem),
            web.get("/metrics", exposition),
        ]
    )
    return app


async def start(app: web.Application, host: str, port: int, header: float, open: Open | None = None) -> Listening:
    """Serve until `close`. `header`: seconds for a request's header to be complete. Raises OSError when the address
    cannot be had."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0, keepalive_timeout=header, max_headers=64)
    await runner.setup()
    made, open = runner.server, open or Open()
    assert made is not None
    try:
        server = await asyncio.get_running_loop().create_server(
            lambda: Bounded(made, open), host, port, backlog=BACKLOG
        )
    except BaseException:
        await runner.cleanup()
        raise
    return Listening(host, server.sockets[0].getsockname()[1], runner, server)


def _admitted(remote: str | None, clients: Sequence[IPv4Network | IPv6Network]) -> bool:
    if remote is None:
        return False
    address = ip_address(remote.partition("%")[0])
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in network for network in clients)
