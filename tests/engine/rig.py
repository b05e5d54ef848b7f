"""An engine with a real store and the test hub behind it, without the mitmproxy edge."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from proxy_addon.config import Settings
from proxy_addon.config.places import ConnectTo
from proxy_addon.core.messages import Headers, Pass, Reply, Request
from proxy_addon.wiring import Assembly, assemble


@dataclass(frozen=True, slots=True)
class Got:
    reply: Reply
    body: bytes

    @property
    def status(self) -> int:
        return self.reply.status

    def header(self, name: str) -> str | None:
        return self.reply.headers.get(name)

    @property
    def cache(self) -> str:
        return self.reply.outcome.header


@dataclass(slots=True)
class Rig:
    parts: Assembly

    async def open(self, method: str, url: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Reply:
        at = urlsplit(url)
        request = Request(
            method,
            at.scheme,
            at.hostname or "",
            at.port or (443 if at.scheme == "https" else 80),
            at.path or "/",
            at.query,
            Headers((headers or {}).items()),
            body,
            "127.0.0.1",
        )
        reply = self.parts.engine.quick(request) or await self.parts.engine.handle(request)
        assert not isinstance(reply, Pass)
        return reply

    async def get(self, url: str, headers: dict[str, str] | None = None, method: str = "GET", body: bytes = b"") -> Got:
        reply = await self.open(method, url, headers, body)
        if isinstance(reply.body, bytes):
            return Got(reply, reply.body)
        parts = []
        try:
            while data := await reply.body.read(1 << 20):
                parts.append(bytes(data))
        finally:
            reply.body.close()
        return Got(reply, b"".join(parts))

    async def head(self, url: str, headers: dict[str, str] | None = None) -> Got:
        return await self.get(url, headers, "HEAD")


def settings_for(hub_port: int, ca_pem: Path, cache: Path, **changes: object) -> Settings:
    """Settings that send every upstream connection to the test hub. `changes`: `section__key=value`."""
    raw: dict[str, dict[str, object]] = {
        "cache": {"dir": cache, "size": 2_000_000_000, "memory": 64_000_000},
        "upstream": {
            "connect_to": ConnectTo(((None, None, "127.0.0.1", hub_port),)),
            "ca_file": ca_pem,
            "connect_timeout": 2.0,
            "stall_timeout": 5.0,
        },
    }
    for key, value in changes.items():
        section, _, name = key.partition("__")
        raw.setdefault(section, {})[name] = value
    return Settings.model_validate(raw)


@contextlib.asynccontextmanager
async def rig(settings: Settings) -> AsyncIterator[Rig]:
    parts = await assemble(settings)
    try:
        yield Rig(parts)
    finally:
        await parts.close()
