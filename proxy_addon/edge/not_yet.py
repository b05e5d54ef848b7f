"""Stands in until there is an engine: takes everything and answers 503, so that nothing gets past."""

from __future__ import annotations

from proxy_addon.core.errors import UpstreamFailed
from proxy_addon.core.messages import Finished, Pass, Reply, Request


class NotYet:
    def quick(self, request: Request) -> Reply | None:
        return None

    async def glance(self, request: Request) -> Reply | None:
        return None

    def takes(self, request: Request) -> bool:
        return True

    def refuses(self, request: Request) -> Reply | None:
        return None

    async def handle(self, request: Request) -> Reply | Pass:
        raise UpstreamFailed("hubgate is starting", 503)

    def intercepts(self, host: str, port: int) -> bool:
        return False

    def claims(self, name: str, port: int) -> bool:
        return True

    def tunnel(self, host: str, port: int) -> str | None:
        return "hubgate is starting"

    def connect_to(self, host: str, port: int) -> tuple[str, int] | None:
        return None

    async def resolve(self, host: str, port: int) -> tuple[str, int]:
        raise UpstreamFailed("hubgate is starting", 503)

    def completed(self, finished: Finished) -> None:
        pass
