"""What bodies of requests take up: counted while it is there, for each client and for all, and let go at once."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from threading import Thread

import h2.config
import h2.connection
import h2.events
import pytest

from proxy_addon.addon import Hubgate
from proxy_addon.core.messages import Headers, Pass, Reply, Request
from proxy_addon.edge import connections
from proxy_addon.edge.admission import Open
from proxy_addon.edge.holding import SWEEP, Held, Holding, Whole
from proxy_addon.edge.relay import PacedReader
from proxy_addon.master import Proxy
from proxy_addon.streaming import GateStream
from tests.edge.conftest import Client
from tests.edge.stand_in import HUB, Pattern, StandIn, text

KIB = 1024
SHARE, TOTAL = 300 * KIB, 400 * KIB


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def holding(clock: Clock) -> Holding:
    return Holding(Open(), total=100, share=60, clock=clock)


def test_a_client_has_its_share_and_all_together_the_total(holding: Holding) -> None:
    one, two, same = (holding.begin(name) for name in ("192.0.2.1", "192.0.2.2", "::ffff:192.0.2.1"))
    assert one.more(60) and not one.more(1) and not same.more(1)
    assert two.more(40) and not two.more(1), "the total"
    one.resize(10)
    assert two.more(20) and not two.more(1), "its share"
    assert same.more(30) and one.size == 10


def test_a_machine_with_a_network_of_its_own_is_one_client(holding: Holding) -> None:
    one, same = holding.begin("2001:db8::1"), holding.begin("2001:db8::ffff:2%eth0")
    assert one.more(60) and not same.more(1)


def test_a_place_is_kept_until_the_body_is_freed(holding: Holding) -> None:
    other, held = holding.begin("192.0.2.1"), holding.begin("192.0.2.1")
    assert held.more(60)
    body = Whole.of(b"x" * 60, held)
    del held
    assert body == b"x" * 60 and not other.more(1)
    del body
    assert other.more(60) and holding.open.left == 1


def test_what_another_thread_frees_is_counted(holding: Holding) -> None:
    def held() -> Held:
        made = holding.begin("192.0.2.1")
        assert made.more(60)
        return made

    kept = [held()]
    thread = Thread(target=kept.clear)
    thread.start()
    thread.join()
    assert holding.begin("192.0.2.1").more(60)


def test_what_lies_in_cycles_is_looked_for_before_anybody_is_refused(holding: Holding, clock: Clock) -> None:
    def lose() -> None:
        held = holding.begin("192.0.2.1")
        assert held.more(60)
        cycle: list[object] = [held]
        cycle.append(cycle)

    other = holding.begin("192.0.2.1")
    gc.disable()
    try:
        lose()
        assert other.more(60)
        other.resize(0)
        lose()
        assert not other.more(60), "not each time"
        clock.now += SWEEP
        assert other.more(60)
    finally:
        gc.enable()


# -- in a proxy -------------------------------------------------------------------------------------------------------

type Connect = Callable[..., Awaitable[Client]]


@pytest.fixture
async def addon(engine: StandIn) -> Hubgate:
    made = Hubgate(engine)
    made.holding, made.waiting = (Holding(made.open, TOTAL, SHARE) for _ in range(2))
    return made


@pytest.fixture
async def hub(addon: Hubgate, confdir: Path) -> AsyncIterator[Connect]:
    """Opens a connection through CONNECT and TLS, from an address."""
    proxy = Proxy(addon, listen=[("127.0.0.1", 0)], confdir=confdir)
    ((_, port),) = await proxy.bind()
    running = asyncio.create_task(proxy.run(drain=0.1))
    clients: list[Client] = []

    async def through(alpn: str = "http/1.1", address: str = "127.0.0.1") -> Client:
        client = Client(port, confdir / "mitmproxy-ca-cert.pem")
        client.reader, client.writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
        clients.append(client)
        assert b" 200 " in await client.connect()
        return await client.tls(alpn=alpn)

    yield through
    for client in clients:
        await client.close()
    proxy.stop()
    async with asyncio.timeout(10):
        await running


def held(addon: Hubgate) -> int:
    return addon.holding.held


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not what():  # noqa: ASYNC110  what is counted rings no bell
            await asyncio.sleep(0.01)


def post(client: Client, size: int, sent: int, path: str = "/quick") -> None:
    client.send(f"POST {path} HTTP/1.1\r\nHost: {HUB}\r\nContent-Length: {size}\r\n\r\n".encode() + b"x" * sent)


class Streams:
    """Requests over HTTP/2."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.heads: dict[int, dict[str, str]] = {}
        self.flush()

    async def open(self) -> Streams:
        """The windows are as wide as the proxy has them."""
        async with asyncio.timeout(20):
            while self.h2.outbound_flow_control_window < 1 << 20:
                await self.hear()
        return self

    def flush(self) -> None:
        self.client.send(self.h2.data_to_send())

    def post(self, size: int, path: str = "/quick", *, end: bool = False) -> int:
        """`size` bytes of a body, within the windows."""
        ident = self.h2.get_next_available_stream_id()
        fields = [(":method", "POST"), (":scheme", "https"), (":authority", HUB), (":path", path)]
        self.h2.send_headers(ident, fields)
        for start in range(0, size, 16 * KIB):
            self.h2.send_data(ident, b"x" * min(16 * KIB, size - start))
        if end:
            self.h2.end_stream(ident)
        self.flush()
        return ident

    async def hear(self) -> None:
        for event in self.h2.receive_data(await self.client.reader.read(65536)):
            if isinstance(event, h2.events.ResponseReceived):
                assert event.stream_id is not None and event.headers is not None
                self.heads[event.stream_id] = {str(name): str(value) for name, value in event.headers}
        self.flush()

    async def head(self, ident: int) -> dict[str, str]:
        async with asyncio.timeout(20):
            while ident not in self.heads:
                await self.hear()
        return self.heads[ident]


async def test_past_its_share_a_client_is_told_to_come_again(addon: Hubgate, engine: StandIn, hub: Connect) -> None:
    engine.quickly["/quick"] = text("done")
    first, second, other = await hub(), await hub(), await hub(address="127.0.0.2")
    post(first, 300 * KIB, 250 * KIB)
    await until(lambda: held(addon) == 250 * KIB)
    post(second, 100 * KIB, 100 * KIB)
    status, head, _ = await second.reply()
    assert status == 503 and b"Retry-After: 5\r\n" in head
    assert await second.rest() == b""
    post(other, 100 * KIB, 100 * KIB)
    assert (await other.reply())[0] == 200, "somebody else has room"
    first.send(b"x" * 50 * KIB)
    assert (await first.reply())[0] == 200, "who had a place keeps it"
    engine.seen.clear()
    await until(lambda: held(addon) == 0)


@pytest.mark.usefixtures("untidied")
async def test_streams_of_one_connection_share(addon: Hubgate, engine: StandIn, hub: Connect) -> None:
    engine.quickly["/quick"] = text("done")
    streams = await Streams(await hub("h2")).open()
    begun = [streams.post(60 * KIB) for _ in range(5)]
    turned = streams.post(KIB)
    head = await streams.head(turned)
    assert (head[":status"], head["retry-after"]) == ("503", "5") and held(addon) == SHARE
    for ident in begun[:2]:
        streams.h2.reset_stream(ident)
    streams.flush()
    await until(lambda: held(addon) == 180 * KIB)
    assert (await streams.head(streams.post(60 * KIB, end=True)))[":status"] == "200"
    streams.h2.end_stream(begun[2])
    streams.flush()
    assert (await streams.head(begun[2]))[":status"] == "200"


@pytest.fixture
async def untidied(addon: Hubgate) -> AsyncIterator[None]:
    """Nothing that lies in cycles is freed."""
    gc.collect()
    gc.disable()
    try:
        with addon.open:  # `thrift` waits until nothing is under way
            yield
    finally:
        gc.enable()


@pytest.mark.usefixtures("untidied")
@pytest.mark.parametrize("alpn", ["http/1.1", "h2"])
async def test_a_body_that_is_broken_off_is_let_go_at_once(
    addon: Hubgate, engine: StandIn, hub: Connect, alpn: str
) -> None:
    client = await hub(alpn)
    if alpn == "h2":
        streams = await Streams(client).open()
        for _ in range(3):
            streams.post(60 * KIB)
    else:
        post(client, 200 * KIB, 180 * KIB)
    await until(lambda: held(addon) == 180 * KIB)
    left = addon.open.left
    await client.close()
    await until(lambda: held(addon) == 0 and addon.open.left > left)
    assert not any(each.request_body_buf for each in gc.get_objects() if isinstance(each, GateStream))


@pytest.mark.usefixtures("untidied")
async def test_a_body_that_is_too_long_is_let_go(addon: Hubgate, hub: Connect) -> None:
    addon.holding = Holding(addon.open)
    client = await hub()
    post(client, 3 << 20, (1 << 20) + 1)
    assert (await client.reply())[0] == 413
    assert held(addon) == 0


@pytest.mark.usefixtures("untidied")
async def test_what_is_held_for_the_engine_counts_until_it_is_freed(
    addon: Hubgate, engine: StandIn, hub: Connect
) -> None:
    """Though its client has left."""
    begun, kept = asyncio.Event(), list[Request]()

    async def waits(request: Request) -> Reply:
        kept.append(request)
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    engine.slowly["/waits"] = waits
    client = await hub()
    post(client, 200 * KIB, 200 * KIB, "/waits")
    async with asyncio.timeout(20):
        await begun.wait()
    engine.seen.clear()
    await client.close()
    assert (await engine.records(1))[0][-1], "aborted"
    engine.log.clear()
    assert len(kept[0].body) == held(addon) == 200 * KIB
    kept.clear()
    await until(lambda: held(addon) == 0)


@pytest.mark.usefixtures("untidied")
async def test_once_there_is_an_answer_the_body_is_let_go(addon: Hubgate, engine: StandIn, hub: Connect) -> None:
    pattern = Pattern(100 << 20)

    async def answers(request: Request) -> Reply:
        engine.seen.clear()
        return Reply(200, Headers(), pattern)

    engine.slowly["/long"] = answers
    client = await hub()
    post(client, 200 * KIB, 200 * KIB, "/long")
    assert b" 200 " in await client.head()
    assert held(addon) == 0 and not pattern.closes, "nobody reads it, it is still being sent"


@pytest.mark.usefixtures("untidied")
async def test_what_was_collected_and_then_relayed_is_let_go(addon: Hubgate, engine: StandIn, hub: Connect) -> None:
    async def passes(request: Request) -> Pass:
        engine.seen.clear()
        return Pass()

    engine.slowly["/passed"] = passes
    client = await hub()
    post(client, 200 * KIB, 200 * KIB, "/passed")
    assert (await client.reply())[0] == 502
    engine.log.clear()
    await until(lambda: held(addon) == 0)


async def test_what_waits_for_upstream_counts_and_is_not_read_past_the_share(
    addon: Hubgate, engine: StandIn, hub: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By HTTP/2 a hundred streams may each have some waiting. What is collected has room all the while."""
    go = asyncio.Event()

    async def resolve(host: str, port: int) -> tuple[str, int]:
        await go.wait()
        raise OSError("no such host")

    monkeypatch.setattr(engine, "resolve", resolve)
    engine.passed.add("/passed")
    client = await hub("h2")
    streams = await Streams(client).open()
    for _ in range(40):
        streams.post(32 * KIB, "/passed")
    (own,) = [
        io.reader for each in connections._all().values() for to, io in each.transports.items() if to is each.client
    ]
    assert isinstance(own, PacedReader)
    await until(lambda: own.held)
    assert SHARE < addon.waiting.held < SHARE + 256 * KIB < 40 * 32 * KIB
    engine.quickly["/quick"] = text("done")
    other = await hub()
    post(other, SHARE, SHARE)
    assert (await other.reply())[0] == 200
    go.set()
    await until(lambda: addon.waiting.held == 0)


async def test_who_leaves_is_counted_whatever_he_has_asked(addon: Hubgate, hub: Connect) -> None:
    """So that what a connection leaves behind is given back, though nothing was answered."""
    client, left = await hub(), addon.open.left
    await client.close()
    await until(lambda: addon.open.left == left + 1)
