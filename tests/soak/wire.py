"""A client by hand: a tunnel through the proxy, TLS in it, one HTTP/1.1 exchange after another.

It can do what a library does not let one do: read slowly, stop in the middle, say what no client should. It says what
came, and how it ended: `Cut` is an end before the end, `Refused` no proxy at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from .judge import Want

PIECE = 64 * 1024
IDLE = 45.0  # seconds without a byte: longer than anything in the proxy may take


class Refused(Exception):
    """Nobody listens, or the proxy ended before it had said a word."""


class Cut(Exception):
    """The connection ended within a reply."""


class Hung(Exception):
    """Nothing came for `IDLE` seconds."""


class Turned(Exception):
    """CONNECT was refused."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status = status


@dataclass
class Head:
    status: int
    fields: dict[str, str]

    @property
    def closes(self) -> bool:
        return self.fields.get("connection", "").lower() == "close"


def trust(ca_pem: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ca_pem)
    return context


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self.reader, self.writer, self.host = reader, writer, host
        self.spent = False  #: another exchange cannot follow

    @classmethod
    async def open(cls, port: int, host: str, context: ssl.SSLContext) -> Connection:
        """A tunnel to https://host through the proxy at `port`."""
        own = await cls.plain(port)
        try:
            async with asyncio.timeout(IDLE):
                own.writer.write(f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n".encode())
                head = await own.head()
                if head.status != 200:
                    raise Turned(head.status)
                await own.writer.start_tls(context, server_hostname=host)
        except TimeoutError as late:
            own.close()
            raise Hung("in the handshake") from late
        except (Cut, OSError) as cut:
            own.close()
            raise Refused(str(cut)) from cut
        except BaseException:
            own.close()
            raise
        own.host = host
        return own

    @classmethod
    async def plain(cls, port: int) -> Connection:
        try:
            async with asyncio.timeout(IDLE):
                return cls(*await asyncio.open_connection("127.0.0.1", port), "")
        except TimeoutError as late:
            raise Hung("connecting") from late
        except OSError as fault:
            raise Refused(str(fault)) from fault

    async def ask(self, want: Want, target: str) -> Head:
        """The head of the reply; the body is what `body` brings then."""
        lines = [f"{want.method} {target} HTTP/1.1", f"Host: {self.host}", "User-Agent: soak", "Accept: */*"]
        lines += [f"{name}: {value}" for name, value in want.headers]
        if want.body:
            lines.append(f"Content-Length: {len(want.body)}")
        return await self.say("\r\n".join([*lines, "", ""]).encode() + want.body)

    async def say(self, raw: bytes) -> Head:
        try:
            self.writer.write(raw)
            return await self.head()
        except (Cut, OSError) as cut:
            raise Refused(str(cut)) from cut

    async def head(self) -> Head:
        try:
            async with asyncio.timeout(IDLE):
                raw = await self.reader.readuntil(b"\r\n\r\n")
        except TimeoutError as late:
            raise Hung("waiting for the head of a reply") from late
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError) as cut:
            raise Cut(str(cut)) from cut
        first, *rest = raw.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in rest if line)
        return Head(int(first.split()[1]), {name.lower(): value.strip() for name, _, value in pairs})

    async def body(self, want: Want, head: Head) -> AsyncIterator[bytes]:
        """Pieces until the end; raises Cut before it."""
        if want.method == "HEAD" or head.status in (204, 304):
            return
        if "chunked" in head.fields.get("transfer-encoding", ""):
            async for data in self._chunked():
                yield data
            return
        length = head.fields.get("content-length")
        left = int(length) if length is not None else None
        self.spent = self.spent or left is None
        while left is None or left:
            data = await self._some(PIECE if left is None else min(PIECE, left))
            if not data and left is not None:
                raise Cut(f"{left} bytes short")
            if not data:
                return
            left = None if left is None else left - len(data)
            yield data

    async def _chunked(self) -> AsyncIterator[bytes]:
        while True:
            size = int((await self._line()).partition(b";")[0], 16)
            left = size
            while left:
                if not (data := await self._some(min(PIECE, left))):
                    raise Cut("in a chunk")
                left -= len(data)
                yield data
            await self._line()
            if not size:
                return

    async def _line(self) -> bytes:
        try:
            async with asyncio.timeout(IDLE):
                return await self.reader.readuntil(b"\r\n")
        except TimeoutError as late:
            raise Hung("in a chunked body") from late
        except (asyncio.IncompleteReadError, OSError) as cut:
            raise Cut(str(cut)) from cut

    async def _some(self, count: int) -> bytes:
        try:
            async with asyncio.timeout(IDLE):
                return await self.reader.read(count)
        except TimeoutError as late:
            raise Hung("in a body") from late
        except OSError as cut:
            raise Cut(str(cut)) from cut

    def close(self) -> None:
        """At once, whatever is on its way."""
        with contextlib.suppress(Exception):
            self.writer.transport.abort()
