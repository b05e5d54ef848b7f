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
from .plaintext import Plaintext
from .prior import Called

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
    is turned away, and so is what begins as TLS and is no hello that can be read, for a server may read it. What is not
    TLS is looked at to its end (`plaintext`). So is whoever may not go on: `may` is asked whenever the client sends
    something.
    """

    def __init__(self, context: Context, engine: Engine, port: int, may: Callable[[], bool]) -> None:
        super().__init__(context, ignore=True)
        self._engine, self._port, self._may = engine, port, may
        self._first: bytes | None = b""
        self._clear: Plaintext | None = None

    def relay_messages(self, event: events.Event) -> layer.CommandGenerator[None]:
        client = self.context.client
        try:
            if isinstance(event, events.DataReceived) and event.connection is client:
                data = self._looked_at(event.data)
                event = events.DataReceived(client, data)
                if not data:
                    return
            elif isinstance(event, events.ConnectionClosed) and event.connection is client and (held := self._rest()):
                yield from super().relay_messages(events.DataReceived(client, held))
        except Called:
            yield from self._cut()
            return
        yield from super().relay_messages(event)

    def _looked_at(self, data: bytes) -> bytes:
        """What of it may go on now. Raises `Called`."""
        if not self._may():
            raise Called
        if self._first is not None:
            self._first += data
            try:
                name = _server_name(self._first)
            except ValueError as fault:
                raise Called from fault
            if name is None and len(self._first) <= HELLO_LIMIT:
                return b""
            if name is None or (name and self._claims(normal(name))):
                raise Called
            self._clear = None if self._first.startswith(_HANDSHAKE) else Plaintext(self._claims)
            data, self._first = self._first, None
        return data if self._clear is None else self._clear.take(data)

    def _rest(self) -> bytes:
        return b"" if self._clear is None else self._clear.rest()

    def _claims(self, name: str) -> bool:
        return self._engine.claims(name, self._port)

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
