"""R24: who begins bodies without end, or breaks them off, fills no memory, and nobody else hears of it.

A real process; what it has in memory is read from /proc. A hundred megabytes are sent each time, of which a client may
have 16 MiB held.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest

from tests.faults.raw import HUB, PATIENCE, connect, head_of, trusting, tunnel
from tests.faults.test_hostile_clients import MIB, memory
from tests.faults.test_scrubber import until
from tests.hub import TestHub
from tests.processes import Hubgate, configuration

PATHS = "/api/models/acme/tiny/paths-info/main"
CREATE = "/api/repos/create"  # is relayed
NEARLY = 1_000_000  # bytes of a body that is not whole


@pytest.fixture
def proxy(hub: TestHub, tmp_path: Path) -> Iterator[Hubgate]:
    with Hubgate(configuration(tmp_path, hub, drain="1s")) as started:
        assert started.ask(f"https://{HUB}{PATHS}", "POST", JSON, WISH).status == 200
        yield started


JSON = {"Content-Type": "application/json"}
WISH = json.dumps({"paths": ["config.json"]}).encode()


def asked(proxy: Hubgate, address: str) -> int:
    """The status that an honest client at `address` gets for a small body; 0: none."""
    with socket.create_connection(("127.0.0.1", proxy.port), PATIENCE, source_address=(address, 0)) as plain:
        assert connect(plain, b"huggingface.co:443") == 200
        with trusting(proxy.ca / "ca.pem", "http/1.1").wrap_socket(plain, server_hostname=HUB) as stream:
            stream.sendall(
                b"POST %b HTTP/1.1\r\nHost: huggingface.co\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\nConnection: close\r\n\r\n%b" % (PATHS.encode(), len(WISH), WISH)
            )
            head = head_of(stream)
            return int(head[9:12]) if head else 0


def nearly(proxy: Hubgate, stack: contextlib.ExitStack) -> ssl.SSLSocket:
    """A connection with a body of which the last bytes do not come."""
    stream = stack.enter_context(tunnel(proxy, HUB))
    stream.settimeout(PATIENCE)
    head = b"POST %b HTTP/1.1\r\nHost: huggingface.co\r\nContent-Length: %d\r\n\r\n" % (PATHS.encode(), NEARLY + 1)
    stream.sendall(head + bytes(NEARLY))
    return stream


class Flood:
    """One HTTP/2 connection whose streams each send a body that does not end."""

    def __init__(self, stream: ssl.SSLSocket, path: str) -> None:
        self.stream, self.path = stream, path
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.refused = 0
        self.h2.initiate_connection()
        self.flush()
        while self.h2.outbound_flow_control_window < 1 << 20:
            self.hear()
        self.left = dict.fromkeys(self.begun(100), NEARLY)

    def flush(self) -> None:
        self.stream.sendall(self.h2.data_to_send())

    def hear(self) -> None:
        for event in self.h2.receive_data(self.stream.recv(65536)):
            if isinstance(event, h2.events.ResponseReceived):
                self.refused += (":status", "503") in [*(event.headers or ())]
        self.flush()

    def begun(self, count: int) -> list[int]:
        fields = [(":method", "POST"), (":scheme", "https"), (":authority", HUB), (":path", self.path)]
        idents = []
        for _ in range(count):
            idents.append(self.h2.get_next_available_stream_id())
            self.h2.send_headers(idents[-1], [*fields, ("content-length", str(NEARLY + 1))])
        self.flush()
        return idents

    def pour(self, wait: float = 5.0) -> int:
        """Bytes that went out until all did, or nothing was taken for so many seconds."""
        total = 0
        self.stream.settimeout(wait)
        with contextlib.suppress(TimeoutError, ssl.SSLError):
            while self.left:
                for ident in list(self.left):
                    piece = min(self.left[ident], 16384)
                    self.h2.send_data(ident, bytes(piece))
                    self.left[ident] -= piece
                    total += piece
                    if not self.left[ident]:
                        del self.left[ident]
                self.flush()
        return total


@pytest.mark.fault("R24", tries=100)
def test_bodies_of_many_streams_fill_no_memory(proxy: Hubgate, hub: TestHub) -> None:
    before = memory(proxy)
    with tunnel(proxy, HUB, alpn="h2") as stream:
        flood = Flood(stream, PATHS)
        assert flood.pour(PATIENCE) == 100 * NEARLY
        stream.settimeout(PATIENCE)
        while flood.refused < 80:
            flood.hear()
        assert memory(proxy) - before < 60 * MIB
        assert asked(proxy, "127.0.0.2") == 200, "somebody else has room"
    until(lambda: asked(proxy, "127.0.0.1") == 200, "what a client had is not given back")


@pytest.mark.fault("R24", tries=100)
def test_bodies_of_many_connections_fill_no_memory(proxy: Hubgate, hub: TestHub) -> None:
    before = memory(proxy)
    with contextlib.ExitStack() as stack:
        streams = [nearly(proxy, stack) for _ in range(100)]
        refused = 0
        for stream in streams[20:]:
            refused += b" 503 " in head_of(stream)
        assert refused == 80
        assert memory(proxy) - before < 70 * MIB
        assert asked(proxy, "127.0.0.2") == 200
    until(lambda: asked(proxy, "127.0.0.1") == 200, "what a client had is not given back")


@pytest.mark.fault("R24", tries=300)
def test_bodies_that_are_broken_off_leave_nothing(proxy: Hubgate, hub: TestHub, tries: int) -> None:
    before, most = memory(proxy), 0
    for _ in range(tries // 10):
        with contextlib.ExitStack() as stack:
            for _ in range(10):
                nearly(proxy, stack)
        most = max(most, memory(proxy))
    assert most - before < 70 * MIB
    until(lambda: memory(proxy) - before < 24 * MIB, "it is not given back")
    assert asked(proxy, "127.0.0.1") == 200


@pytest.mark.fault("R24", tries=300)
def test_bodies_for_an_upstream_that_is_silent_wait_with_the_client(proxy: Hubgate, hub: TestHub) -> None:
    """That of each stream may have a little waiting; of a hundred on each connection it would be much."""
    hub.stop(silent=True)
    before = memory(proxy)
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            Flood(stack.enter_context(tunnel(proxy, HUB, alpn="h2")), CREATE).pour(2.0)
        assert memory(proxy) - before < 50 * MIB
