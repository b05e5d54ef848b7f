"""The same promises over HTTP/2, where a client can close its window while its socket is wide open."""

from __future__ import annotations

import asyncio
import ssl

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
import trustme

from proxy_addon.core.errors import BodyLost
from proxy_addon.core.messages import Headers, Reply, Request
from tests.edge.stand_in import HUB, Pattern, StandIn, text

MIB = 1 << 20


class Peer:
    """An HTTP/2 client that opens its windows only when told to."""

    def __init__(self, client, window: int) -> None:
        self.client = client
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.local_settings.initial_window_size = window
        self.h2.local_settings.acknowledge()
        self.h2.initiate_connection()
        self.got: dict[int, int] = {}
        self.status: dict[int, int] = {}
        self.content: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.reset: dict[int, int] = {}
        self.flush()

    def flush(self) -> None:
        self.client.writer.write(self.h2.data_to_send())

    def get(self, path: str, method: str = "GET", authority: str = HUB, **extra: str) -> int:
        stream = self.h2.get_next_available_stream_id()
        fields = {":method": method, ":scheme": "https", ":authority": authority, ":path": path, **extra}
        self.h2.send_headers(stream, list(fields.items()), end_stream=True)
        self.flush()
        return stream

    def open(self, stream: int, size: int) -> None:
        self.h2.increment_flow_control_window(size, stream)
        self.h2.increment_flow_control_window(size)
        self.flush()

    async def until(self, done) -> None:
        """Reads until `done()`; windows stay as they are."""
        async with asyncio.timeout(60):
            while not done():
                data = await self.client.reader.read(MIB)
                assert data, "connection closed"
                for event in self.h2.receive_data(data):
                    match event:
                        case h2.events.ResponseReceived():
                            self.status[event.stream_id] = int(dict(event.headers)[":status"])
                        case h2.events.DataReceived():
                            self.got[event.stream_id] = self.got.get(event.stream_id, 0) + len(event.data)
                            self.content[event.stream_id] = (self.content.get(event.stream_id, b"") + event.data)[-64:]
                        case h2.events.StreamEnded():
                            self.ended.add(event.stream_id)
                        case h2.events.StreamReset():
                            self.reset[event.stream_id] = event.error_code
                self.flush()


def serves(engine: StandIn, path: str, body: Pattern) -> None:
    async def answer(request: Request) -> Reply:
        return Reply(200, Headers(), body)

    engine.slowly[path] = answer


async def test_a_closed_window_holds_one_stream_and_no_memory(engine: StandIn, hub) -> None:
    body = Pattern(300 * MIB)
    serves(engine, "/big", body)
    engine.quickly["/a"] = text("a")
    peer = Peer(await hub("h2"), window=100_000)
    big = peer.get("/big")
    await peer.until(lambda: peer.got.get(big) == 65_535)  # the connection's own window is the smaller one
    assert body.taken == MIB
    peer.h2.increment_flow_control_window(1 << 20)
    peer.flush()
    await peer.until(lambda: peer.got[big] == 100_000)
    for _ in range(3):
        small = peer.get("/a")
        await peer.until(lambda: small in peer.ended)  # noqa: B023
        assert peer.content[small] == b"a"
    assert (body.taken, peer.got[big]) == (MIB, 100_000)
    peer.open(big, 2 * MIB)
    await peer.until(lambda: peer.got[big] == 100_000 + 2 * MIB)
    assert body.taken == 3 * MIB
    peer.h2.reset_stream(big)
    peer.flush()
    async with asyncio.timeout(60):
        await body.closed.wait()
    await engine.records(4)
    small = peer.get("/a")
    await peer.until(lambda: small in peer.ended)
    assert body.closes == 1
    assert [record[4] for record in await engine.records(5)] == [False, False, False, True, False]


async def test_a_whole_body_and_its_end(engine: StandIn, hub) -> None:
    bodies = {f"/{n}": Pattern(n * MIB + n) for n in (1, 5, 9)}
    for path, body in bodies.items():
        serves(engine, path, body)
    peer = Peer(await hub("h2"), window=(1 << 31) - 1)
    peer.h2.increment_flow_control_window((1 << 31) - 1 - 65_535)
    peer.flush()
    streams = {path: peer.get(path) for path in bodies}
    await peer.until(lambda: peer.ended >= set(streams.values()))
    assert {path: peer.got[stream] for path, stream in streams.items()} == {p: b.length for p, b in bodies.items()}
    assert {body.closes for body in bodies.values()} == {1}


@pytest.mark.parametrize(
    "body",
    [
        lambda: Pattern(2 * MIB, size=MIB),
        lambda: Pattern(2 * MIB, size=MIB, fault=BodyLost("gone")),
        lambda: Pattern(MIB, size=MIB + 1),
        lambda: Pattern(None, size=MIB, fault=BodyLost("gone")),
    ],
    ids=["short", "lost", "long", "lost-unknown"],
)
async def test_a_body_that_is_not_what_was_promised_is_reset(engine: StandIn, hub, body) -> None:
    pattern = body()
    serves(engine, "/torn", pattern)
    peer = Peer(await hub("h2"), window=(1 << 31) - 1)
    peer.h2.increment_flow_control_window(1 << 24)
    peer.flush()
    stream = peer.get("/torn")
    await peer.until(lambda: stream in peer.reset)
    assert stream not in peer.ended and pattern.closes == 1
    again = peer.get("/nothing")
    await peer.until(lambda: again in peer.ended)
    assert peer.status[again] == 404


async def test_a_connection_that_breaks_closes_every_body(engine: StandIn, hub) -> None:
    bodies = [Pattern(300 * MIB) for _ in range(5)]
    peer = Peer(await hub("h2"), window=1000)
    for n, body in enumerate(bodies):
        serves(engine, f"/{n}", body)
        stream = peer.get(f"/{n}")
        await peer.until(lambda: peer.got.get(stream) == 1000)  # noqa: B023
    await peer.client.close()
    async with asyncio.timeout(60):
        for body in bodies:
            await body.closed.wait()
    assert {body.closes for body in bodies} == {1}


async def test_heads_and_faults(engine: StandIn, hub) -> None:
    async def fails(request: Request) -> Reply:
        raise RuntimeError("handle failed")

    serves(engine, "/body", Pattern(MIB))
    engine.slowly["/fails"] = fails
    peer = Peer(await hub("h2"), window=1 << 20)
    streams = [
        peer.get("/body", method="HEAD"),
        peer.get("/fails"),
        peer.get("/takes-fails"),
        peer.get("/x", authority="other.example"),
        peer.get("/x#y"),
    ]
    await peer.until(lambda: peer.ended >= set(streams))
    assert [peer.status[stream] for stream in streams] == [200, 503, 503, 421, 400]
    assert streams[0] not in peer.got
    assert [request.path for request in engine.seen] == ["/body", "/fails"]


async def test_what_is_relayed_waits_for_the_window_too(engine: StandIn, serve, tmp_path) -> None:
    written = 0

    async def far(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 * MIB))
        while written < 64 * MIB:
            writer.write(b"x" * MIB)
            await writer.drain()
            written += MIB

    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(HUB).configure_cert(context)
    server = await asyncio.start_server(far, "127.0.0.1", 0, ssl=context)
    engine.upstream = server.sockets[0].getsockname()
    engine.passed.add("/far")
    client = await (await serve(upstream_ca=tmp_path / "ca.pem"))()
    await client.connect()
    peer = Peer(await client.tls(alpn="h2"), window=1000)
    stream = peer.get("/far")
    await peer.until(lambda: peer.got.get(stream) == 1000)
    async with asyncio.timeout(60):
        before = -1
        while before != written:
            before = written
            await asyncio.sleep(0.1)
    assert written < 20 * MIB  # what the kernel holds
    peer.open(stream, 64 * MIB)
    await peer.until(lambda: stream in peer.ended)
    assert peer.got[stream] == 64 * MIB
    server.close()
