"""A small real engine and the proxy around it, for tests of the edge."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from proxy_addon.core.errors import UpstreamFailed
from proxy_addon.core.messages import Buffer, Finished, Headers, Pass, Reply, Request
from proxy_addon.core.status import Outcome

HUB = "hub.example"


class Pattern:
    """`length` bytes that say where they stand, made in one recycled buffer."""

    def __init__(
        self, length: int | None, *, size: int = -1, fault: Exception | None = None, unit: int = 1 << 20
    ) -> None:
        self.length = length
        self.left = size if size >= 0 else (length or 0)
        self.fault = fault
        self.closed = asyncio.Event()
        self.closes = 0
        self.reads = 0
        self.taken = 0
        self._buffer = bytearray(unit)

    async def read(self, limit: int) -> Buffer:
        assert not self.closes, "read after close"
        self.reads += 1
        size = min(limit, self.left, len(self._buffer))
        if size == 0:
            if self.fault is not None:
                raise self.fault
            return b""
        # The buffer is recycled: who kept the last piece sees it change.
        self._buffer[:size] = bytes([self.reads % 251]) * size
        self.left -= size
        self.taken += size
        return memoryview(self._buffer)[:size]

    def close(self) -> None:
        self.closes += 1
        self.closed.set()


@dataclass
class StandIn:
    """Answers by path from three tables; everything else is 404."""

    quickly: dict[str, Reply] = field(default_factory=dict)
    glanced: dict[str, Callable[[], Reply]] = field(default_factory=dict)
    slowly: dict[str, Callable[[Request], Awaitable[Reply | Pass]]] = field(default_factory=dict)
    passed: set[str] = field(default_factory=set)
    refused: dict[str, Reply] = field(default_factory=dict)
    upstream: tuple[str, int] | None = None
    seen: list[Request] = field(default_factory=list)
    log: list[tuple[Request, int, Outcome, int, bool]] = field(default_factory=list)
    logged: asyncio.Condition = field(default_factory=asyncio.Condition)
    resolved: list[tuple[str, int]] = field(default_factory=list)

    def quick(self, request: Request) -> Reply | None:
        reply = self.quickly.get(request.path)
        if reply is not None:
            self.seen.append(request)
        return reply

    async def glance(self, request: Request) -> Reply | None:
        """After a wait of one turn of the loop, as a look at the disk has it."""
        await asyncio.sleep(0)
        reply = self.glanced.get(request.path)
        if reply is not None:
            self.seen.append(request)
        return reply() if reply is not None else None

    def takes(self, request: Request) -> bool:
        if request.path == "/takes-fails":
            raise RuntimeError("takes failed")
        return request.path not in self.passed

    def refuses(self, request: Request) -> Reply | None:
        return self.refused.get(request.path)

    async def handle(self, request: Request) -> Reply | Pass:
        self.seen.append(request)
        answer = self.slowly.get(request.path)
        if answer is not None:
            return await answer(request)
        return self.quickly.get(request.path) or Reply(404, Headers(), b"no such thing")

    def intercepts(self, host: str, port: int) -> bool:
        return host == HUB and port in (80, 443)

    def claims(self, name: str, port: int) -> bool:
        return name == HUB

    def tunnel(self, host: str, port: int) -> str | None:
        return None if port == 443 else f"Port {port} is not for tunnels"

    def connect_to(self, host: str, port: int) -> tuple[str, int] | None:
        return self.upstream

    async def resolve(self, host: str, port: int) -> tuple[str, int]:
        self.resolved.append((host, port))
        raise UpstreamFailed(f"{host} has no public address")

    def completed(self, finished: Finished) -> None:
        self.log.append((finished.request, finished.status, finished.outcome, finished.sent, finished.aborted))
        self._ring = asyncio.ensure_future(self._notify())

    async def _notify(self) -> None:
        async with self.logged:
            self.logged.notify_all()

    async def records(self, count: int) -> list[tuple[Request, int, Outcome, int, bool]]:
        async with asyncio.timeout(60), self.logged:
            await self.logged.wait_for(lambda: len(self.log) >= count)
        return self.log


def text(body: str, status: int = 200) -> Reply:
    return Reply(status, Headers((("Content-Type", "text/plain"),)), body.encode())
