"""What the edge asks of the engine: it decides nothing itself, and sends nothing upstream that the engine did not pass.

`quick` and `takes` run on the event loop between two network events and must not wait. `handle` may be cancelled at any
await when its client leaves: work that others share belongs in a task of its own. A `Body` in a `Reply` becomes the
edge's own: it is closed exactly once the last byte is sent, or the client is gone, or the body is lost.
"""

from __future__ import annotations

from typing import Protocol

from proxy_addon.core.messages import Finished, Pass, Reply, Request


class Engine(Protocol):
    def quick(self, request: Request) -> Reply | None:
        """An answer from memory, its body `bytes`; None sends the request down the slow road."""
        ...

    async def glance(self, request: Request) -> Reply | None:
        """The same for what one look at the disk can show; never goes upstream."""
        ...

    def takes(self, request: Request) -> bool:
        """Asked when only the head is known (`request.body` is empty): False relays the request upstream unseen."""
        ...

    def refuses(self, request: Request) -> Reply | None:
        """Asked when a body is to come: the reply to what is refused whatever its body, which is then dropped."""
        ...

    async def handle(self, request: Request) -> Reply | Pass: ...

    def intercepts(self, host: str, port: int) -> bool:
        """Whether TLS to this host is terminated here; otherwise a CONNECT becomes a tunnel."""
        ...

    def claims(self, name: str, port: int) -> bool:
        """Whether a tunnel with this name in its TLS hello must not be relayed: a hub's, on whatever port."""
        ...

    def tunnel(self, host: str, port: int) -> str | None:
        """None when a CONNECT may be relayed untouched, else the reason phrase of a 403."""
        ...

    def connect_to(self, host: str, port: int) -> tuple[str, int] | None:
        """The operator's own mapping for connections that are relayed; it is not checked any further."""
        ...

    async def resolve(self, host: str, port: int) -> tuple[str, int]:
        """An address that may be connected to; raises `UpstreamFailed`."""
        ...

    def completed(self, finished: Finished) -> None:
        """Called once for each request."""
        ...
