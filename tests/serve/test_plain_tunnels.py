"""A tunnel in which a hub is called in the clear is cut before the far end has heard its name; any other is relayed."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.edge.test_prior import asking, spoken
from tests.processes import Hubgate, configuration

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
OTHER = b"GET /x HTTP/1.1\r\nHost: plain.example\r\n\r\n"


class Far:
    """A server that speaks HTTP/1 in the clear for every name, as the second address of a hub might."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.heard: dict[int, bytes] = {}
        self.ended = threading.Condition()
        self.over: set[int] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                wire, _ = self.listener.accept()
            except OSError:
                return
            number = len(self.heard)
            self.heard[number] = b""
            threading.Thread(target=self._serve, args=(wire, number), daemon=True).start()

    def _serve(self, wire: socket.socket, number: int) -> None:
        with wire, contextlib.suppress(ConnectionError):
            while data := wire.recv(65536):
                before = self.heard[number].count(b"\r\n\r\n")
                self.heard[number] += data
                wire.sendall(OK * (self.heard[number].count(b"\r\n\r\n") - before))
        with self.ended:
            self.over.add(number)
            self.ended.notify_all()

    def said_in(self, number: int) -> bytes:
        """All that came over a connection, which has ended."""
        with self.ended:
            assert self.ended.wait_for(lambda: number in self.over, 60)
        return self.heard[number]


@pytest.fixture(scope="module")
def far() -> Iterator[Far]:
    far = Far()
    yield far
    far.listener.close()


@pytest.fixture(scope="module")
def proxy(far: Far, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hubgate]:
    upstream = {"connect_to": {"*:*": f"127.0.0.1:{far.port}"}}
    with Hubgate(configuration(tmp_path_factory.mktemp("clear"), upstream=upstream)) as proxy:
        yield proxy


def tunnel(proxy: Hubgate, target: str = "plain.example:80") -> socket.socket:
    wire = socket.create_connection(("127.0.0.1", proxy.port), 60)
    wire.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    assert wire.recv(4096).startswith(b"HTTP/1.1 200")
    return wire


def answers(wire: socket.socket, many: int = 1) -> bytes:
    came = b""
    while len(came) < many * len(OK) and (data := wire.recv(4096)):
        came += data
    return came


def to_the_end(wire: socket.socket) -> bytes:
    came = b""
    try:
        while data := wire.recv(4096):
            came += data
    except ConnectionResetError:
        pass
    return came


CALLS = {
    "by its field": b"GET /acme/nc/raw/main/README.md HTTP/1.1\r\nHost: huggingface.co\r\n\r\n",
    "by the URL": b"GET http://www.modelscope.cn/x HTTP/1.1\r\nHost: plain.example\r\n\r\n",
    "of a cdn, on a port": b"GET /x HTTP/1.1\r\nHost: cdn-lfs-us-1.HF.co:8080\r\n\r\n",
    "through one more proxy": b"CONNECT huggingface.co:443 HTTP/1.1\r\nHost: plain.example\r\n\r\n",
    "on the way to HTTP/2": OTHER.replace(b"\r\n\r\n", b"\r\nHTTP2-Settings: AAMA\r\n\r\n"),
}


@pytest.mark.parametrize("target", ["plain.example:80", "plain.example:8443", "huggingface.co:8080"])
@pytest.mark.parametrize("calls", CALLS)
def test_a_hub_that_is_called_in_the_clear(proxy: Hubgate, far: Far, calls: str, target: str) -> None:
    number = len(far.heard)
    with tunnel(proxy, target) as wire:
        wire.sendall(CALLS[calls])
        assert to_the_end(wire) == b""
    assert far.said_in(number) == b""


def test_also_in_a_later_request_and_in_pieces(proxy: Hubgate, far: Far) -> None:
    number = len(far.heard)
    with tunnel(proxy) as wire:
        for _ in range(2):
            wire.sendall(OTHER)
            assert answers(wire) == OK
        for byte in b"GET /x HTTP/1.1\r\nHost: huggingface.co\r\n\r\n":
            try:
                wire.sendall(bytes([byte]))
            except ConnectionError:
                break
        assert to_the_end(wire) == b""
    assert b"Host: huggingface.co" not in far.said_in(number)


def by_http2(proxy: Hubgate, far: Far, authority: str) -> tuple[bytes, bytes]:
    """What is said, and what of it the far end hears."""
    data, number = spoken(asking(authority)), len(far.heard)
    with tunnel(proxy, "plain.example:50051") as wire:
        for part in (data[:20], data[20:60], data[60:]):
            wire.sendall(part)
        wire.shutdown(socket.SHUT_WR)
        to_the_end(wire)
    return data, far.said_in(number)


def test_grpc_in_the_clear_goes_by_unless_it_is_to_a_hub(proxy: Hubgate, far: Far) -> None:
    data, heard = by_http2(proxy, far, "plain.example:50051")
    assert heard == data
    data, heard = by_http2(proxy, far, "huggingface.co")
    assert spoken().startswith(heard), "no request"


def test_another_is_relayed_untouched(proxy: Hubgate, far: Far) -> None:
    number = len(far.heard)
    more = (
        b"POST / HTTP/1.1\r\nHost: huggingface.co.plain.example\r\n\r\nhuggingface.co"
        + bytes(range(256))
        + b"\nHost: pl"
    )
    with tunnel(proxy) as wire:
        wire.sendall(OTHER * 3)
        assert answers(wire, 3) == OK * 3
        wire.sendall(more)
        assert answers(wire) == OK
        wire.shutdown(socket.SHUT_WR)
        assert to_the_end(wire) == b""
    assert far.said_in(number) == OTHER * 3 + more, "to the last byte, which might have been a name's beginning"
