"""The least of a client: CONNECT, TLS 1.3, and the head of one HTTP/1.1 reply."""

from __future__ import annotations

import socket
import ssl
import time
from pathlib import Path

from .rig import HOST

HEAD_LIMIT = 64 * 1024


def trust(ca: Path | str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def dial(port: int, connect: bool, context: ssl.SSLContext, timeout: float = 60.0) -> ssl.SSLSocket:
    """A TLS connection to huggingface.co, by the proxy on `port`, or with whoever listens there."""
    plain = socket.create_connection(("127.0.0.1", port), timeout)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if connect:
        plain.sendall(f"CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            if not (byte := plain.recv(1)):
                raise ConnectionError(f"CONNECT: {head!r}")
            head += byte
        if b" 200" not in head[:16]:
            raise ConnectionError(f"CONNECT: {head!r}")
    return context.wrap_socket(plain, server_hostname=HOST)


def request(path: str, method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n".encode()


def first_bytes(tls: ssl.SSLSocket) -> tuple[bytes, bytes, int]:
    """The head of the next reply, what came of its body (at least a byte), and Content-Length."""
    data = b""
    while (at := data.find(b"\r\n\r\n")) < 0 or at + 4 == len(data):
        more = tls.recv(64 * 1024)
        if not more or len(data) > HEAD_LIMIT:
            raise ConnectionError(f"reply ended: {data[:200]!r}")
        data += more
    head, body = data[:at], data[at + 4 :]
    if not head.startswith(b"HTTP/1.1 200"):
        raise ConnectionError(f"reply: {head[:200]!r}")
    return head, body, length_of(head)


def length_of(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise ValueError("no Content-Length")


def first_byte(port: int, connect: bool, context: ssl.SSLContext, path: str) -> float:
    """Seconds from a request on an established connection to the first byte of the body."""
    with dial(port, connect, context) as tls:
        started = time.perf_counter()
        tls.sendall(request(path))
        first_bytes(tls)
        return time.perf_counter() - started
