"""Bytes of a reply body to one client's socket, past mitmproxy's layers.

A body goes from its buffer into TLS and from there to the transport in steps of `STEP` bytes, each step complete before
anything else can run, so it mixes safely with what mitmproxy's own layers send on the same connection. Nobody is ahead
of the client by more than one step: `drain` returns when the transport has room again. The bytes handed in are copied
or encrypted before `send` returns; the caller's buffer is free then.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Sequence

from mitmproxy.proxy.layer import Layer
from mitmproxy.proxy.layers.tls import ClientTLSLayer
from mitmproxy.proxy.server import ConnectionHandler
from OpenSSL import SSL

from proxy_addon.core.messages import Buffer

#: What is encrypted and offered to the socket at once: it stays in the processor's cache, and it is all that a reader
#: who has stopped costs here beside the body's own buffer.
STEP = 256 * 1024
_BIO = STEP + 64 * 1024
#: Seconds for which a client may take nothing at all of what waits for it.
STALL = 600.0
_AT_ONCE = struct.pack("ii", 1, 0)


class Wire:
    """One client connection. `layers` is the stack of the stream that sends, outermost first."""

    def __init__(self, connection: ConnectionHandler, layers: Sequence[Layer]) -> None:
        writer = connection.transports[connection.client].writer
        assert isinstance(writer, asyncio.StreamWriter)
        self._writer = writer
        self._transport = writer.transport
        self._watchdog = connection.timeout_watchdog
        self._tls = [layer.tls for layer in reversed(layers) if isinstance(layer, ClientTLSLayer) and layer.tls]

    def send(self, data: Buffer) -> None:
        """At most `STEP` bytes. Raises ConnectionError when the client is gone."""
        if self._transport.is_closing():
            raise ConnectionResetError("the client is gone")
        if not self._tls:
            self._transport.write(bytes(data))
        for tls in self._tls:
            try:
                tls.sendall(data)
            except SSL.Error as fault:
                raise ConnectionResetError(f"TLS: {fault}") from fault
            data = _sealed(tls)
        if self._tls:
            self._transport.write(data)

    async def drain(self) -> None:
        """Returns when there is room for another step. Raises TimeoutError after `STALL` seconds without any."""
        if self._transport.get_write_buffer_size():
            async with asyncio.timeout(STALL):
                await self._writer.drain()
        self.alive()

    def reset(self) -> None:
        """Ends the connection by RST: for a reply whose only end is the end of the connection."""
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self._transport.abort()

    def alive(self) -> None:
        """The connection is not idle, whatever its socket says."""
        self._watchdog.register_activity()


def _sealed(tls: SSL.Connection) -> bytes:
    data = tls.bio_read(_BIO)
    if len(data) < _BIO:
        return data
    parts = [data]
    while len(parts[-1]) == _BIO:
        try:
            parts.append(tls.bio_read(_BIO))
        except SSL.WantReadError:
            break
    return b"".join(parts)
