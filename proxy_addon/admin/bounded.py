"""A listener that nobody can fill: so many connections at most, and each is over within `LIFE`, whatever it does.

aiohttp bounds what it reads of a header (`max_line_size`, `max_field_size`, `max_headers`) and, by `keepalive_timeout`,
how long it waits for the end of one. It has no bound for connections, nor for a client that does not read its reply. A
connection here is for one request, which takes milliseconds: the oldest one is in all likelihood one that gets nowhere,
so when there are too many it makes room. Thus who comes always gets in, be it the one that asks how we are.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable

CONNECTIONS = 256
LIFE = 60.0  # seconds
_AT_ONCE = struct.pack("ii", 1, 0)
#: Connections that one turn of the loop accepts: not so many that a crowd pushes out its own.
BACKLOG = 64


class Open:
    """The connections of one listener, oldest first."""

    def __init__(self, most: int = CONNECTIONS, life: float = LIFE) -> None:
        self._most, self._life = most, life
        self._ends: dict[asyncio.Transport, asyncio.TimerHandle] = {}

    def enter(self, transport: asyncio.Transport) -> None:
        if len(self._ends) >= self._most:
            oldest = next(iter(self._ends))
            self.leave(oldest)
            _end(oldest)
        self._ends[transport] = asyncio.get_running_loop().call_later(self._life, _end, transport)

    def leave(self, transport: asyncio.Transport) -> None:
        end = self._ends.pop(transport, None)
        if end is not None:
            end.cancel()


def _end(transport: asyncio.Transport) -> None:
    """By RST: else the kernel keeps what is not sent, for a client that does not take it."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    transport.abort()


class Bounded(asyncio.Protocol):
    """Hands all on to the protocol that `made` makes."""

    def __init__(self, made: Callable[[], asyncio.Protocol], open: Open) -> None:
        self._inner, self._open = made(), open

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._open.enter(transport)
        self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.leave(self._transport)
        self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()
