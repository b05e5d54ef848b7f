"""What is not answered here: a tunnel that carries bytes untouched, a connection that is turned away, and the brake for
an upstream that is faster than the client it is relayed to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import TCPLayer
from mitmproxy.proxy.layers.tls import ClientTLSLayer, parse_client_hello

from .contract import Engine
from .intake import normal

#: Bytes of a TLS hello: OpenSSL takes twice that, clients send one or two thousand.
HELLO_LIMIT = 64 * 1024
_HANDSHAKE = b"\x16"
_NO_BEGINNING = frozenset({b"\x14\x03", b"\x15\x03", b"\x17\x03", b"\x18\x03"})  # records that servers may skip
_SERVER_NAME = 0  # RFC 6066 §3


class TurnedAway(layer.Layer):
    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, events.Start):
            yield commands.CloseConnection(self.context.client)


class ShortHello(ClientTLSLayer):
    """mitmproxy's own keeps what comes of a hello until it is whole, and one may say that it has 16 MiB."""

    def receive_handshake_data(self, data: bytes) -> layer.CommandGenerator[tuple[bool, str | None]]:
        if not self.client_hello_parsed and len(self.recv_buffer) + len(data) > HELLO_LIMIT:
            return False, "the TLS hello is too long"
        return (yield from super().receive_handshake_data(data))


class Tunnel(TCPLayer):
    """Relays once the first bytes were looked at.

    A hub's name in the TLS hello of a tunnel to somewhere else, or to another port, would pass by policy and cache: it
    is turned away, and so is what begins as TLS and is no hello that can be read, for a server may read it. So is
    whoever may not go on: `may` is asked whenever the client sends something.
    """

    def __init__(self, context: Context, engine: Engine, port: int, may: Callable[[], bool]) -> None:
        super().__init__(context, ignore=True)
        self._engine, self._port, self._may = engine, port, may
        self._first: bytes | None = b""

    def relay_messages(self, event: events.Event) -> layer.CommandGenerator[None]:
        client = self.context.client
        if isinstance(event, events.DataReceived) and event.connection is client and not self._may():
            yield from self._cut()
            return
        if self._first is not None and isinstance(event, events.DataReceived) and event.connection is client:
            self._first += event.data
            try:
                name = _server_name(self._first)
            except ValueError:
                yield from self._cut()
                return
            if name is None and len(self._first) <= HELLO_LIMIT:
                return
            if name is None or (name and self._engine.claims(normal(name), self._port)):
                yield from self._cut()
                return
            event, self._first = events.DataReceived(client, self._first), None
        yield from super().relay_messages(event)

    def _cut(self) -> layer.CommandGenerator[None]:
        self._handle_event = self.done
        yield commands.CloseConnection(self.context.server)
        yield commands.CloseConnection(self.context.client)


class PacedReader:
    """An upstream connection's reader that reads nothing while any stream holds it.

    mitmproxy stops reading when the client's socket is full, but an HTTP/2 client can close a window and leave its
    socket open; what came from upstream would then pile up.
    """

    def __init__(self, reader: asyncio.StreamReader, stall: float | None = None) -> None:
        """`stall`: seconds after which a reader that is held is lost, by TimeoutError."""
        self._reader, self._stall = reader, stall
        self._free = asyncio.Event()
        self._free.set()
        self._held: set[int] = set()

    async def read(self, size: int) -> bytes:
        if not self._free.is_set():
            async with asyncio.timeout(self._stall):
                await self._free.wait()
        return await self._reader.read(size)

    @property
    def held(self) -> bool:
        return not self._free.is_set()

    def hold(self, stream_id: int) -> None:
        self._held.add(stream_id)
        self._free.clear()

    def release(self, stream_id: int) -> None:
        self._held.discard(stream_id)
        if not self._held:
            self._free.set()


def _server_name(first: bytes) -> str | None:
    """The name in a TLS hello, "" when there is none or it is no TLS; None while more is needed to tell.

    Raises ValueError for what begins as TLS does and cannot be read, also if it is only the name that cannot.
    """
    if not first.startswith(_HANDSHAKE):
        if first[:2] in _NO_BEGINNING:
            raise ValueError("TLS that does not begin with a hello")
        return None if any(begin.startswith(first) for begin in _NO_BEGINNING) else ""
    hello = parse_client_hello(first)
    if hello is None:
        return None
    names = sum(kind == _SERVER_NAME for kind, _ in hello.extensions)
    if names > 1 or (names and hello.sni is None):
        raise ValueError("a server name that may be read in two ways")
    return hello.sni or ""
