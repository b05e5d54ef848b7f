"""What brings nothing forward over HTTP/2 has a bucket, and whoever empties it is told why he has to go."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import h2.config
import h2.stream
import hpack
import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import DataFrame, Frame, HeadersFrame, PingFrame, RstStreamFrame, WindowUpdateFrame

from proxy_addon.core.messages import Headers, Reply, Request
from proxy_addon.edge.calm import A_SECOND, AT_ONCE, Calm, TooMuch
from tests.edge.conftest import Client
from tests.edge.stand_in import HUB, Pattern, StandIn, text
from tests.edge.test_http2 import Peer, serves

type Opener = Callable[..., Awaitable[Client]]

PREFACE, SETTINGS, RST = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\0\0\0\4\0\0\0\0\0", b"\0\0\0\x08"
MANY = AT_ONCE * 3 // 2


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def asks(method: str = "GET") -> bytes:
    fields = {":method": method, ":scheme": "https", ":authority": HUB, ":path": "/slow"}
    return bytes(hpack.Encoder().encode(fields.items()))


ASKS = asks()
GET, POST = frame(1, 5, 1, ASKS), frame(1, 4, 1, asks("POST"))


def in_vain(stream: int) -> bytes:
    return frame(1, 5, stream, ASKS) + frame(3, 0, stream, RST)


def continued(stream: int) -> bytes:
    return frame(1, 1, stream, ASKS) + frame(9, 0, stream) * 60 + frame(9, 4, stream)


#: All of it fits into one read, so that nothing is left unread when the connection ends, and the reason arrives.
FLOODS = {
    "requests that are reset": b"".join(in_vain(1 + 2 * n) for n in range(MANY)),
    "a request reset again and again": GET + frame(3, 0, 1, RST) * MANY,
    "a request that was reset, again": in_vain(1) + GET * MANY,
    "DATA of a byte for what was reset": POST + frame(3, 0, 1, RST) + frame(0, 0, 1, b"x") * MANY,
    "CONTINUATION of nothing": b"".join(continued(1 + 2 * n) for n in range(5)),
    "PING": frame(6, 0, 0, bytes(8)) * MANY,
    "answers to no PING": frame(6, 1, 0, bytes(8)) * MANY,
    "SETTINGS": (frame(4, 0, 0, b"\0\4\0\0\0\x64") + frame(4, 0, 0, b"\0\4\0\0\0\x65")) * MANY,
    "SETTINGS of nothing": SETTINGS * MANY,
    "DATA of nothing": POST + frame(0, 0, 1) * MANY,
    "DATA of a byte": POST + frame(0, 0, 1, b"x") * (10 * MANY),
    "WINDOW_UPDATE": frame(8, 0, 0, b"\0\0\0\1") * MANY,
    "PRIORITY": frame(2, 0, 1, b"\0\0\0\0\1") * MANY,
    "what nobody knows": frame(0xAB, 0, 0) * MANY,
}


async def goaway(client: Client) -> list[int]:
    """Why the connection is over, by the frames that say so."""
    came = await client.rest()
    at, reasons = 0, []
    while at + 9 <= len(came):
        if came[at + 3] == 7:
            reasons.append(int.from_bytes(came[at + 13 : at + 17]))
        at += 9 + int.from_bytes(came[at : at + 3])
    return reasons


@pytest.mark.fault("R24")
@pytest.mark.parametrize("name", FLOODS)
async def test_who_sends_what_is_of_no_use_without_end_is_sent_away(engine: StandIn, hub: Opener, name: str) -> None:
    client = await hub("h2")
    client.send(PREFACE + SETTINGS + FLOODS[name])
    assert await goaway(client) == [ErrorCodes.ENHANCE_YOUR_CALM]
    assert engine.seen == []


async def never(request: Request) -> Reply:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.mark.fault("R18")
async def test_who_leaves_in_the_same_breath_as_he_asks_is_not_waited_for(engine: StandIn, hub: Opener) -> None:
    engine.slowly["/slow"] = never
    client = await hub("h2")
    client.send(PREFACE + SETTINGS + in_vain(1) + in_vain(3))
    assert [record[4] for record in await engine.records(2)] == [True, True]


@pytest.mark.fault("R24")
async def test_what_is_begun_in_vain_comes_to_an_end(engine: StandIn, hub: Opener) -> None:
    engine.slowly["/slow"] = never
    client = await hub("h2")
    client.send(PREFACE + SETTINGS + in_vain(1))
    await engine.records(1)
    over = asyncio.ensure_future(client.rest())
    for number in range(1, 10_000):
        if over.done():
            break
        client.send(in_vain(1 + 2 * number))
        await asyncio.sleep(0)
    await over
    assert len(engine.seen) < 2000
    assert all(record[4] for record in await engine.records(len(engine.seen))), "none of them is left over"


async def test_who_cancels_what_is_being_answered_may_do_so_for_ever(engine: StandIn, hub: Opener) -> None:
    """And so may who reads in small steps: each of three hundred replies was begun before the client left it."""
    engine.quickly["/a"] = Reply(200, Headers(), b"x" * 1000)
    peer = Peer(await hub("h2"), window=100)
    for _ in range(AT_ONCE + 100):
        stream = peer.get("/a")
        await peer.until(lambda: peer.got.get(stream) == 100)  # noqa: B023
        for _ in range(5):
            peer.open(stream, 20)
        peer.h2.reset_stream(stream)
        peer.flush()
    last = peer.get("/a")
    await peer.until(lambda: last in peer.got)


async def test_who_leaves_what_has_been_answered_meanwhile_may_do_so_for_ever(engine: StandIn, hub: Opener) -> None:
    """Its end is on the way to the client, or waits there to be read."""
    engine.quickly["/a"] = text("a")
    peer = Peer(await hub("h2"), window=1000)
    for _ in range(AT_ONCE + 100):
        stream = peer.get("/a")
        await peer.until(lambda: stream in peer.ended)  # noqa: B023
        peer.client.send(frame(3, 0, stream, RST))
    last = peer.get("/a")
    await peer.until(lambda: last in peer.ended)


async def test_who_refuses_each_frame_of_what_it_has_left_is_not_sent_away(engine: StandIn, hub: Opener) -> None:
    """As libraries do that have forgotten the stream by then."""
    frames = 2 * AT_ONCE
    serves(engine, "/long", Pattern(frames * 16384))
    engine.quickly["/a"] = text("a")
    peer = Peer(await hub("h2"), window=frames * 16384)
    peer.h2.increment_flow_control_window(frames * 16384)
    stream = peer.get("/long")
    await peer.until(lambda: stream in peer.ended)
    peer.client.send(frame(3, 0, stream, RST) * frames)
    last = peer.get("/a")
    await peer.until(lambda: last in peer.ended)


async def test_who_takes_a_long_reply_in_small_steps_gets_all_of_it(engine: StandIn, hub: Opener) -> None:
    steps = AT_ONCE
    body = Pattern(1000 * (steps + 1))
    serves(engine, "/long", body)
    peer = Peer(await hub("h2"), window=1000)
    stream = peer.get("/long")
    for step in range(1, steps + 1):
        await peer.until(lambda: peer.got.get(stream) == 1000 * step)  # noqa: B023
        peer.open(stream, 1000)
    await peer.until(lambda: stream in peer.ended)


async def test_a_client_that_is_cut_off_takes_nobody_along(engine: StandIn, hub: Opener) -> None:
    engine.quickly["/a"] = text("a")
    peer, flood = Peer(await hub("h2"), window=1000), await hub("h2")
    flood.send(PREFACE + SETTINGS * MANY)
    assert await goaway(flood) == [ErrorCodes.ENHANCE_YOUR_CALM]
    stream = peer.get("/a")
    await peer.until(lambda: stream in peer.ended)
    assert peer.content[stream] == b"a"


# -- the bucket -------------------------------------------------------------------------------------------------------


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def stream(*, answered: bool = False, closed: bool = False) -> h2.stream.H2Stream:
    made = h2.stream.H2Stream(1, h2.config.H2Configuration(client_side=False), 65535, 65535)
    made.state_machine.headers_sent = answered or None
    made.state_machine.state = h2.stream.StreamState.CLOSED if closed else h2.stream.StreamState.OPEN
    return made


def good_for(calm: Calm, frame: Frame, streams: dict[int, h2.stream.H2Stream], most: int = 10_000) -> int:
    """How many of them are taken."""
    for count in range(most):
        try:
            calm.came(frame, streams)
        except TooMuch:
            return count
    return most


def test_so_many_at_once_and_then_so_many_a_second() -> None:
    clock = Clock()
    calm = Calm(clock)
    assert good_for(calm, PingFrame(0), {}) == AT_ONCE
    clock.now += 2
    assert good_for(calm, PingFrame(0), {}) == 2 * A_SECOND - 1  # the last one was not taken, and was counted
    clock.now += 1_000_000
    assert good_for(calm, PingFrame(0), {}) == AT_ONCE


ENDED = DataFrame(1, flags=["END_STREAM"])


@pytest.mark.parametrize(
    ("what", "streams", "taken"),
    [
        (RstStreamFrame(1), {1: stream(answered=True)}, None),
        (RstStreamFrame(1), {1: stream()}, AT_ONCE),
        (RstStreamFrame(1), {1: stream(answered=True, closed=True)}, AT_ONCE),
        (RstStreamFrame(1), {}, AT_ONCE),
        (DataFrame(1, b"x" * 256), {}, None),
        (DataFrame(1, b"x" * 255), {}, AT_ONCE),
        (DataFrame(1, b"x" * 255), {1: stream()}, 10 * AT_ONCE),
        (DataFrame(1), {1: stream()}, AT_ONCE),
        (ENDED, {1: stream()}, None),
        (ENDED, {1: stream(closed=True)}, AT_ONCE),
        (HeadersFrame(1), {1: stream()}, AT_ONCE + 1),
    ],
)
def test_what_is_charged(what: Frame, streams: dict[int, h2.stream.H2Stream], taken: int | None) -> None:
    assert good_for(Calm(Clock()), what, streams, 3000) == (3000 if taken is None else taken)


def test_window_updates_for_what_was_sent_are_free() -> None:
    update = WindowUpdateFrame(0, 1)
    assert good_for(Calm(Clock()), update, {}) == AT_ONCE + 1
    calm = Calm(Clock())
    for number in (1, 3, 5):
        calm.came(HeadersFrame(number), {})
    calm.sent(50)
    assert good_for(calm, update, {}) == AT_ONCE + 1 + 2 * 3 + 20 * 50


def test_one_reset_for_each_frame_of_what_is_over_is_free() -> None:
    calm = Calm(Clock())
    calm.sent(50)
    assert good_for(calm, RstStreamFrame(1), {1: stream(answered=True)}, 1000) == 1000
    assert good_for(calm, RstStreamFrame(3), {}) == 50 + AT_ONCE
    calm.sent(1000)
    assert good_for(calm, RstStreamFrame(5), {5: stream()}) == 0, "of a request that is not answered"
