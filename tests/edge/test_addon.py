"""Who gets in, where a CONNECT leads, and what is never let through."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import ssl

import pytest
import trustme

from proxy_addon.core.messages import Headers, Pass, Reply, Request
from proxy_addon.edge.admission import Admission
from tests.edge.stand_in import StandIn, text


@pytest.fixture
async def far():
    """A TLS server on loopback, its CA, and every request it saw; echoes the body it was sent."""
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("far.example", "hub.example").configure_cert(context)
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]) if b"ength" in head else 0
        body = await reader.readexactly(size)
        seen.append(head + body[:10])
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Far: yes\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    yield server.sockets[0].getsockname()[1], ca, seen
    server.close()


async def test_a_tunnel_is_relayed_untouched(engine: StandIn, serve, far, tmp_path) -> None:
    port, ca, seen = far
    engine.upstream = ("127.0.0.1", port)
    client = await (await serve())()
    assert (await client.connect("far.example:443")).startswith(b"HTTP/1.1 200 ")
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    client.ca = tmp_path / "ca.pem"
    await client.tls("far.example")
    client.get("/far", host="far.example")
    assert b"X-Far: yes" in await client.head()
    assert seen[0].startswith(b"GET /far HTTP/1.1\r\n") and engine.seen == []


@pytest.mark.parametrize(
    ("target", "status", "phrase"),
    [
        ("far.example:22", 403, b"Port 22 is not for tunnels"),
        ("far.example:443", 502, b"Bad Gateway"),
        ("127.0.0.1:443", 502, b"Bad Gateway"),
        ("[::1]:443", 502, b"Bad Gateway"),
        ("hub.example:8443", 403, b"Port 8443 is not for tunnels"),
    ],
)
async def test_a_connect_that_is_refused(engine: StandIn, serve, target: str, status: int, phrase: bytes) -> None:
    client = await (await serve())()
    head = await client.connect(target)
    assert head.startswith(b"HTTP/1.1 %d %b\r\n" % (status, phrase))
    assert engine.seen == []


async def test_a_hub_is_not_reached_through_a_tunnel_to_an_address(engine: StandIn, serve, far) -> None:
    engine.upstream = ("127.0.0.1", far[0])
    client = await (await serve())()
    assert b" 200 " in await client.connect("127.0.0.1:443")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await client.tls("hub.example")
    assert far[2] == []


async def test_what_the_engine_does_not_take_is_streamed_upstream(engine: StandIn, hub, far, monkeypatch) -> None:
    engine.upstream = ("127.0.0.1", far[0])
    engine.passed.add("/push")
    client = await hub()
    client.get("/push", "Content-Length: 3000000", method="PUT")
    client.send(b"x" * 3_000_000)
    # The far end's certificate is not from a public root: verified, and refused.
    status, _, body = await client.reply()
    assert status == 502 and b"ertificate verify failed" in body and far[2] == []
    ((request, status, outcome, _, aborted),) = await engine.records(1)
    assert (request.method, status, outcome.label, aborted) == ("PUT", 502, "bypass", True)


@pytest.mark.parametrize("collected", [True, False])
async def test_plain_http_is_relayed_when_passed(engine: StandIn, serve, collected: bool) -> None:
    got = asyncio.get_running_loop().create_future()

    async def far(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        got.set_result(head + await reader.readexactly(2_000_000 if not collected else 5))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n" + b"y" * 2_000_000)
        await writer.drain()

    async def passes(request: Request) -> Pass:
        return Pass("huggingface", "upload")

    server = await asyncio.start_server(far, "127.0.0.1", 0)
    engine.upstream = server.sockets[0].getsockname()
    engine.slowly["/push"] = passes
    engine.passed |= set() if collected else {"/push"}
    client = await (await serve())()
    body = b"hello" if collected else b"x" * 2_000_000
    client.send(f"PUT http://hub.example/push HTTP/1.1\r\nHost: hub.example\r\nContent-Length: {len(body)}\r\n\r\n")
    client.send(body)
    assert await client.reply() == (200, b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n", b"y" * 2_000_000)
    sent = await got
    assert sent.startswith(b"PUT /push HTTP/1.1\r\n") and sent.endswith(body)
    ((request, status, outcome, count, aborted),) = await engine.records(1)
    assert (request.host, status, outcome.label, count, aborted) == ("hub.example", 200, "bypass", 2_000_000, False)
    server.close()


async def test_absolute_form_is_served(engine: StandIn, serve) -> None:
    engine.quickly["/a"] = text("a")

    async def answer(request: Request) -> Reply:
        return Reply(200, Headers(), request.origin.encode())

    engine.slowly["/b"] = answer
    client = await (await serve())()
    client.send("GET http://hub.example/a HTTP/1.1\r\nHost: hub.example\r\n\r\n")
    assert (await client.reply())[2] == b"a"
    client.send("GET http://Hub.Example.:80/b?c=d HTTP/1.1\r\nHost: hub.example\r\n\r\n")
    assert (await client.reply())[2] == b"http://hub.example"
    assert [(request.scheme, request.port, request.target) for request in engine.seen] == [
        ("http", 80, "/a"),
        ("http", 80, "/b?c=d"),
    ]


async def test_a_client_from_elsewhere_is_turned_away(engine: StandIn, serve) -> None:
    client = await (await serve(Admission((ipaddress.ip_network("10.0.0.0/8"),))))()
    assert await client.rest() == b""


async def test_connections_of_one_client_are_capped(engine: StandIn, serve) -> None:
    open_one = await serve(Admission(limit=2))
    engine.quickly["/a"] = text("a")
    first, second, third = [await open_one() for _ in range(3)]
    assert await third.rest() == b""
    await first.close()
    async with asyncio.timeout(60):
        while True:
            again = await open_one()
            again.send("GET http://hub.example/a HTTP/1.1\r\nHost: hub.example\r\n\r\n")
            with contextlib.suppress(ConnectionError):  # closed with our request unread
                if await again.reader.read(1):
                    break
    second.send("GET http://hub.example/a HTTP/1.1\r\nHost: hub.example\r\n\r\n")
    assert (await second.reply())[2] == b"a"


@pytest.mark.parametrize(
    "begun", ["", "GET http://hub.example/ HTTP/1.1\r\nHost: hub", "CONNECT hub.example:443 HTTP/1.1\r\n\r\n"]
)
async def test_a_header_block_has_to_be_finished_in_time(engine: StandIn, serve, begun: str) -> None:
    client = await (await serve(deadline=1.0))()
    client.send(begun)
    rest = await client.rest()
    assert rest == (b"HTTP/1.1 200 Connection established\r\n\r\n" if begun.startswith("CONNECT") else b"")


async def test_an_idle_connection_is_not_late(engine: StandIn, serve) -> None:
    engine.quickly["/a"] = text("a")
    client = await (await serve(deadline=1.5))()  # a certificate is made and a handshake done within it
    await client.connect()
    await client.tls()
    for _ in range(2):
        client.get("/a")
        assert (await client.reply())[2] == b"a"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.6):
                await client.reader.read(1)
    client.send("GET /a HTTP/1.1\r\nHost:")
    assert await client.rest() == b""


async def test_until_there_is_an_engine_the_answer_is_503(confdir) -> None:
    from proxy_addon.addon import Hubgate
    from proxy_addon.master import Proxy
    from tests.edge.conftest import Client

    proxy = Proxy(Hubgate(), listen=[("127.0.0.1", 0)], confdir=confdir)
    ((_, port),) = await proxy.bind()
    running = asyncio.create_task(proxy.run(drain=0.1))
    client = await Client(port, confdir).open()
    client.send("CONNECT hub.example:443 HTTP/1.1\r\n\r\n")
    assert (await client.reply())[1].startswith(b"HTTP/1.1 403 hubgate is starting\r\n")
    client.send("GET http://hub.example/a HTTP/1.1\r\nHost: hub.example\r\n\r\n")
    status, _, body = await client.reply()
    assert (status, json.loads(body)) == (503, {"error": "hubgate is starting"})
    proxy.stop()
    await running


async def test_a_port_in_use_is_an_error_and_nothing_else(confdir) -> None:
    from proxy_addon.addon import Hubgate
    from proxy_addon.master import Proxy

    taken = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    with pytest.raises(OSError, match=str(port)) as fault:
        await Proxy(Hubgate(), listen=[("127.0.0.1", port)], confdir=confdir).bind()
    assert fault.value.errno == 98
    taken.close()


async def test_a_stop_lets_open_streams_finish(engine: StandIn, confdir) -> None:
    from proxy_addon.addon import Hubgate
    from proxy_addon.master import Proxy
    from tests.edge.conftest import Client

    begun, go = asyncio.Event(), asyncio.Event()

    async def waits(request: Request) -> Reply:
        begun.set()
        await go.wait()
        return text("late")

    engine.slowly["/waits"] = waits
    proxy = Proxy(Hubgate(engine), listen=[("127.0.0.1", 0)], confdir=confdir)
    ((_, port),) = await proxy.bind()
    running = asyncio.create_task(proxy.run(drain=10))
    client, idle = [await Client(port, confdir).open() for _ in range(2)]
    client.send("GET http://hub.example/waits HTTP/1.1\r\nHost: hub.example\r\n\r\n")
    await begun.wait()
    proxy.stop()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await asyncio.shield(running)
    with pytest.raises(ConnectionError):
        async with asyncio.timeout(60):
            while True:
                await (await Client(port, confdir).open()).close()
    go.set()
    status, head, body = await client.reply()
    assert (status, body) == (200, b"late") and b"Connection: close" in head
    assert await idle.rest() == b""
    async with asyncio.timeout(60):
        await running


async def test_what_was_collected_and_then_passed_is_over_when_it_is_over(engine: StandIn, confdir) -> None:
    from proxy_addon.addon import Hubgate
    from proxy_addon.master import Proxy
    from tests.edge.conftest import Client

    async def passes(request: Request) -> Pass:
        await asyncio.sleep(0)
        return Pass()

    engine.slowly["/pass"] = passes
    proxy = Proxy(Hubgate(engine), listen=[("127.0.0.1", 0)], confdir=confdir)
    ((_, port),) = await proxy.bind()
    running = asyncio.create_task(proxy.run(drain=60))
    for _ in range(2):
        client = await Client(port, confdir).open()
        client.send("GET http://hub.example/pass HTTP/1.1\r\nHost: hub.example\r\n\r\n")
        assert (await client.reply())[0] == 502
    await engine.records(2)
    proxy.stop()
    async with asyncio.timeout(60):
        await running
