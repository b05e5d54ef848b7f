"""An engine with a real store and the test hub behind it, without the mitmproxy edge."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from proxy_addon.config import Settings
from proxy_addon.config.places import ConnectTo
from proxy_addon.core.errors import BodyLost
from proxy_addon.core.messages import Headers, Pass, Reply, Request
from proxy_addon.wiring import Assembly, assemble


class Clock:
    """Epoch seconds, and seconds of a timer. Both stand still, so that a slow machine comes to no deadline by itself,
    and leap together."""

    def __init__(self) -> None:
        self.ahead, self._begun, self._timer = 0.0, time.time(), time.monotonic()

    def __call__(self) -> float:
        return self._begun + self.ahead

    def timer(self) -> float:
        return self._timer + self.ahead

    def leap(self, seconds: float) -> None:
        self.ahead += seconds


@dataclass(frozen=True, slots=True)
class Got:
    reply: Reply
    body: bytes
    cut: bool = False  #: the rest did not come

    @property
    def status(self) -> int:
        return self.reply.status

    def header(self, name: str) -> str | None:
        return self.reply.headers.get(name)

    @property
    def refused(self) -> bool:
        """An error in place of the file: told before the head, so that no client sees half a body."""
        failed = self.status == 429 or self.status >= 500
        return failed and self.header("X-Error-Message") is not None and not self.cut

    @property
    def cache(self) -> str:
        return self.reply.outcome.header


LINK = {"Cache-Control": "no-store"}
"""Sent along by who wants the hub's own answer, which for a large file is a link."""


def request_for(method: str, url: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Request:
    """As the edge makes it: an IPv6 literal keeps its brackets."""
    at = urlsplit(url)
    host = at.hostname or ""
    return Request(
        method,
        at.scheme,
        f"[{host}]" if ":" in host else host,
        at.port or (443 if at.scheme == "https" else 80),
        at.path or "/",
        at.query,
        Headers((headers or {}).items()),
        body,
        "127.0.0.1",
    )


@dataclass(slots=True)
class Rig:
    parts: Assembly
    closed: bool = False

    async def open(self, method: str, url: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Reply:
        request = request_for(method, url, headers, body)
        reply = self.parts.engine.quick(request) or await self.parts.engine.handle(request)
        assert not isinstance(reply, Pass)
        return reply

    async def get(self, url: str, headers: dict[str, str] | None = None, method: str = "GET", body: bytes = b"") -> Got:
        reply = await self.open(method, url, headers, body)
        if isinstance(reply.body, bytes):
            return Got(reply, reply.body)
        return await drained(reply)

    async def head(self, url: str, headers: dict[str, str] | None = None) -> Got:
        return await self.get(url, headers, "HEAD")

    async def close(self) -> None:
        if not self.closed:
            self.closed = True
            await self.parts.close()

    async def idle(self) -> None:
        """Wait until no fill is under way: what was fetched is then proven and stored."""
        await until(lambda: not len(self.parts.fills), "the end of all fills")

    async def kept(self) -> AsyncIterator[str]:
        """The blobs in the store."""
        for listed in await self.parts.store.blobs.listing():
            yield listed.manifest.blob


async def drained(reply: Reply) -> Got:
    """The reply with its body, as far as it comes."""
    if isinstance(reply.body, bytes):
        return Got(reply, reply.body)
    parts, cut = [], False
    try:
        while data := await reply.body.read(1 << 20):
            parts.append(bytes(data))
    except BodyLost:
        cut = True
    finally:
        reply.body.close()
    return Got(reply, b"".join(parts), cut)


async def until(true: Callable[[], Any], what: str = "what was waited for", limit: float = 60.0) -> None:
    """Wait for work of the loop's own, which has no other sign."""
    end = time.monotonic() + limit
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not happen")
        await asyncio.sleep(0.005)


def settings_for(hub_port: int, ca_pem: Path, cache: Path, **changes: object) -> Settings:
    """Settings that send every upstream connection to the test hub. `changes`: `section__key=value`."""
    raw: dict[str, Any] = {
        "cache": {"dir": cache, "size": 2_000_000_000, "memory": 64_000_000},
        "upstream": {
            "connect_to": ConnectTo(((None, None, "127.0.0.1", hub_port),)),
            "ca_file": ca_pem,
            "connect_timeout": 20.0,  # for a slow machine; a test that waits for the end of patience has its own
            "stall_timeout": 60.0,
        },
    }
    for key, value in changes.items():
        section, inside, name = key.partition("__")
        if inside:
            raw.setdefault(section, {})[name] = value
        else:
            raw[section] = value
    return Settings.model_validate(raw)


@contextlib.asynccontextmanager
async def rig(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Rig]:
    clock = clock or Clock()
    made = Rig(await assemble(settings, clock, clock.timer))
    try:
        yield made
    finally:
        await made.close()
