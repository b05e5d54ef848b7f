"""A client that says what a test tells it to, byte by byte, and hears all that comes back."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path

import h2.config
import h2.connection
import h2.events

from tests.processes import Hubgate

HUB = "huggingface.co"
PATIENCE = 60.0  # seconds in which anything at all comes, or the end


@contextlib.contextmanager
def opened(proxy: Hubgate) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), PATIENCE) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield plain


def heard(stream: socket.socket) -> bytes:
    """All that comes until the other side ends it, well or badly; raises TimeoutError when it does not."""
    parts = []
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while data := stream.recv(65536):
            parts.append(data)
    return b"".join(parts)


def head_of(stream: socket.socket) -> bytes:
    """Up to the blank line, or the end."""
    head = b""
    while not head.endswith(b"\r\n\r\n") and (byte := stream.recv(1)):
        head += byte
    return head


def connect(plain: socket.socket, target: bytes) -> int:
    """The status of the answer to a CONNECT; 0: there was none."""
    plain.sendall(b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (target, target))
    head = head_of(plain)
    return int(head[9:12]) if head else 0


def trusting(roots: Path | None, alpn: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if roots is None:
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(roots)
    context.set_alpn_protocols([alpn])
    return context


@contextlib.contextmanager
def tunnel(proxy: Hubgate, host: str = HUB, *, sni: str | None = "", alpn: str = "http/1.1") -> Iterator[ssl.SSLSocket]:
    """TLS to the proxy inside a CONNECT; `sni` is the host if it is empty."""
    with opened(proxy) as plain:
        assert connect(plain, f"{host}:443".encode()) == 200
        context = trusting(proxy.ca / "ca.pem", alpn)
        with context.wrap_socket(plain, server_hostname=host if sni == "" else sni) as stream:
            yield stream


def said(proxy: Hubgate, raw: bytes, host: str = HUB) -> bytes:
    """The whole answer to raw bytes inside a tunnel, when the proxy has ended the connection."""
    with tunnel(proxy, host) as stream:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            stream.sendall(raw)
        return heard(stream)


def statuses(answers: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", answers)]


class Http2:
    """One HTTP/2 connection of a client that may say anything; nothing that it says is put right."""

    def __init__(self, stream: ssl.SSLSocket) -> None:
        said_as_it_is = h2.config.H2Configuration(
            validate_outbound_headers=False, normalize_outbound_headers=False, header_encoding="latin-1"
        )
        self.stream, self.h2 = stream, h2.connection.H2Connection(said_as_it_is)
        self.status: dict[int, int] = {}
        self.over: dict[int, str] = {}  # stream -> how it ended
        self.gone = False
        self.h2.initiate_connection()
        self.flush()

    def flush(self) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            self.stream.sendall(self.h2.data_to_send())

    def ask(self, fields: Sequence[tuple[str, str]], body: bytes | None = None) -> int:
        ident = self.h2.get_next_available_stream_id()
        self.h2.send_headers(ident, fields, end_stream=body is None)
        if body is not None:
            self.h2.send_data(ident, body, end_stream=True)
        self.flush()
        return ident

    def hear(self, *idents: int) -> None:
        """Until these streams, or the connection, have ended."""
        while not self.gone and not self.over.keys() >= set(idents):
            try:
                data = self.stream.recv(65536)
            except (ConnectionError, ssl.SSLError):
                data = b""
            if not data:
                self.gone = True
                return
            for event in self.h2.receive_data(data):
                self._note(event)
            self.flush()

    def _note(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived():
                self.status[event.stream_id or 0] = int(dict(event.headers or ())[":status"])
            case h2.events.DataReceived():
                self.h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
            case h2.events.StreamEnded():
                self.over[event.stream_id or 0] = "ended"
            case h2.events.StreamReset():
                self.over[event.stream_id or 0] = "reset"
            case h2.events.ConnectionTerminated():
                self.gone = True
