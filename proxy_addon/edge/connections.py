"""mitmproxy's own side of a client connection, found by what the layers know of it."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from weakref import WeakKeyDictionary

from mitmproxy import connection, ctx
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.mode_servers import ProxyConnectionHandler

from ..auth.attempts import network
from ..core.errors import UpstreamFailed
from .relay import PacedReader

logger = logging.getLogger(__name__)

#: Seconds that a client has for the rest of what was sent when its connection ends.
LINGER = 5.0
#: Connections to one address for one client's connection: as many as it may have streams. mitmproxy has five, and a
#: sixth upload waits for one of them to end, while nothing more of them is read because it waits.
OUTWARD = 100
_out: WeakKeyDictionary[ProxyConnectionHandler, set[str]] = WeakKeyDictionary()  # by their ids


def of(client: connection.Client) -> ProxyConnectionHandler:
    return _all()[client.id]


def reader(context: Context) -> PacedReader | None:
    """That of the upstream connection which a stream is relayed from."""
    io = of(context.client).transports.get(context.server)
    return io.reader if io is not None and isinstance(io.reader, PacedReader) else None


def begin(client: connection.Client) -> asyncio.WriteTransport | None:
    """Before the first byte is read: from now on `wait` can tell it to wait. What is returned is for `end`."""
    handler = of(client)
    handler.max_conns = defaultdict(lambda: asyncio.Semaphore(OUTWARD))
    io = handler.transports[client]
    if isinstance(io.reader, asyncio.StreamReader):
        io.reader = PacedReader(io.reader)  # type: ignore[assignment]
    return io.writer.transport if isinstance(io.writer, asyncio.StreamWriter) else None


def end(transport: asyncio.WriteTransport | None) -> None:
    """mitmproxy has done with a connection. It forgets to close one that it cancels while an event waits its turn, and
    one that is closed stays for as long as its peer takes nothing: each would be a descriptor for ever."""
    if transport is None:
        return
    transport.close()
    if transport.get_write_buffer_size():
        asyncio.get_running_loop().call_later(LINGER, transport.abort)


def go_out(client: connection.Client, server: connection.Server, limit: int) -> None:
    """A connection to upstream is to be made. Raises `UpstreamFailed` if the client's address has `limit` of them
    already, by all of its own: by HTTP/2 each of these may want `OUTWARD`."""
    one = network(client.peername[0])
    mine = [each for each in _all().values() if network(each.client.peername[0]) == one]
    if sum(len(_out.get(each, ())) for each in mine) >= limit:
        raise UpstreamFailed(f"{limit} connections to upstream are open for this client already", 503)
    _out.setdefault(of(client), set()).add(server.id)
    server.alpn_offers = (b"http/1.1",)  # what is relayed is framed for that


def left(client: connection.Client, server: connection.Server) -> None:
    """The same for a connection to upstream, made or not."""
    handler = _all().get(client.id)
    if handler is not None:
        _out.get(handler, set()).discard(server.id)
    io = handler.transports.get(server) if handler is not None else None
    end(io.writer.transport if io is not None and isinstance(io.writer, asyncio.StreamWriter) else None)


def wait(client: connection.Client, *, held: bool) -> None:
    io = of(client).transports.get(client)
    if io is not None and isinstance(io.reader, PacedReader):
        io.reader.hold(0) if held else io.reader.release(0)


def cut(ident: str, why: str) -> None:
    handler = _all().get(ident)
    if handler is not None and (io := handler.transports.get(handler.client)) and io.handler:
        logger.info("closed: %s from %s", why, handler.client.peername[0])
        io.handler.cancel(why)


def waits_for_us(ident: str) -> bool:
    """Whether what this client sent is not taken: upstream is not there yet, or slower than the client."""
    handler = _all().get(ident)
    if handler is None:
        return False
    mine = handler.transports.get(handler.client)
    if mine is not None and isinstance(mine.reader, PacedReader) and mine.reader.held:
        return True
    far = [io.writer for to, io in handler.transports.items() if to is not handler.client]
    return any(writer is None or writer.transport.get_write_buffer_size() for writer in far)  # type: ignore[union-attr]


def _all() -> dict[str, ProxyConnectionHandler]:
    server: Proxyserver = ctx.master.addons.get("proxyserver")
    return server.connections  # type: ignore[return-value]
