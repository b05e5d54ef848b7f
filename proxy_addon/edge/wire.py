"""Bytes to one client's socket, past mitmproxy's layers: encrypt a step, offer it to the socket, wait for room.

A step is complete before anything else can run, so it mixes safely with what mitmproxy's own layers send on the same
connection. Nobody is ahead of the client by more than one step: `drain` returns when all of it is with the kernel.

The cost of a body is its copies. Measured for 1 GiB over TLS: a fresh buffer for each step is 400 000 page faults and
more than doubles the processor time, a call into OpenSSL for each record costs a tenth. So one buffer serves the
whole process (the event loop is one thread, and it is free again before `send` returns), OpenSSL is told to take a step
whole, and the socket is written to directly while the transport holds nothing. pyOpenSSL has no public name for
these calls; `SSL._lib` and `SSL._ffi` are what mitmproxy itself uses.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Sequence
from typing import Any

from mitmproxy.proxy.layer import Layer
from mitmproxy.proxy.layers.tls import ClientTLSLayer
from mitmproxy.proxy.server import ConnectionHandler
from OpenSSL import SSL

from proxy_addon.core.messages import Buffer

#: What is encrypted and offered to the socket at once: it stays in the processor's cache, and it is all that a reader
#: who has stopped costs here beside the body's own buffer (twice: in OpenSSL and in the transport).
STEP = 128 * 1024

_lib: Any = SSL._lib  # type: ignore[attr-defined]
_ffi: Any = SSL._ffi  # type: ignore[attr-defined]
_AT_ONCE = struct.pack("ii", 1, 0)
_SEALED_LIMIT = STEP + 64 * 1024
_scratch = _ffi.new("char[]", _SEALED_LIMIT)
_sealed = memoryview(_ffi.buffer(_scratch))


class Wire:
    """One client connection. `layers` is the stack of the stream that sends, outermost first; `stall` the seconds in
    which a client has to take a step."""

    def __init__(self, connection: ConnectionHandler, layers: Sequence[Layer], stall: float) -> None:
        self.stall = stall
        writer = connection.transports[connection.client].writer
        assert isinstance(writer, asyncio.StreamWriter)
        self._writer = writer
        self._transport = writer.transport
        self._fd = writer.get_extra_info("socket").fileno()
        self._watchdog = connection.timeout_watchdog
        self._tls = [layer.tls for layer in reversed(layers) if isinstance(layer, ClientTLSLayer) and layer.tls]
        for tls in self._tls:
            _lib.SSL_clear_mode(tls._ssl, _lib.SSL_MODE_ENABLE_PARTIAL_WRITE)
        # `drain` then means that the transport holds nothing, and the next step may go straight to the socket.
        self._transport.set_write_buffer_limits(0)

    def send(self, *parts: Buffer) -> None:
        """About `STEP` bytes at most. Raises ConnectionError when the client is gone."""
        if self._transport.is_closing():
            raise ConnectionResetError("the client is gone")
        if not self._tls:
            for part in parts:
                self._put(part)
            return
        inner, *outer = self._tls
        for part in parts:
            _write(inner, part)
        while size := _lib.BIO_read(inner._from_ssl, _scratch, _SEALED_LIMIT):
            if size < 0:
                break
            sealed: Buffer = _sealed[:size]
            for tls in outer:
                _write(tls, sealed)
                sealed = tls.bio_read(2 * _SEALED_LIMIT)
            self._put(sealed)

    def _put(self, data: Buffer) -> None:
        sent = 0
        if not self._transport.get_write_buffer_size():
            try:
                sent = os.write(self._fd, data)
            except BlockingIOError:
                pass
            except OSError as fault:
                raise ConnectionResetError(str(fault)) from fault
        if sent < len(data):
            self._transport.write(bytes(data[sent:]))

    async def drain(self) -> None:
        """Returns when there is room for another step. Raises TimeoutError after `stall` seconds without."""
        if self._transport.get_write_buffer_size():
            async with asyncio.timeout(self.stall):
                await self._writer.drain()
        self.alive()

    def reset(self) -> None:
        """Ends the connection by RST: for a reply whose only end is the end of the connection."""
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self._transport.abort()

    def alive(self) -> None:
        """The connection is not idle, whatever its socket says."""
        self._watchdog.register_activity()


def _write(tls: SSL.Connection, data: Buffer) -> None:
    with _ffi.from_buffer(data) as start:
        if _lib.SSL_write(tls._ssl, start, len(data)) != len(data):
            raise ConnectionResetError("TLS is closed")
