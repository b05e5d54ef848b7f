"""Bodies of any size to clients of any speed."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from proxy_addon.core.errors import BodyLost, UpstreamFailed
from proxy_addon.core.messages import Headers, Pass, Reply, Request
from tests.edge.stand_in import Pattern, StandIn, text

MIB = 1 << 20


def gives(body: Pattern, status: int = 200, headers: tuple[tuple[str, str], ...] = ()):
    async def answer(request: Request) -> Reply:
        return Reply(status, Headers(headers), body)

    return answer


async def still(body: Pattern) -> int:
    """How much was taken from a body when nobody takes any more."""
    async with asyncio.timeout(60):
        before = -1
        while before != body.taken or not body.taken:
            before = body.taken
            await asyncio.sleep(0.1)
    return before


async def test_a_large_body_arrives_whole_and_waits_for_a_client_that_stops(engine: StandIn, hub) -> None:
    body = Pattern(300 * MIB)
    engine.slowly["/big"] = gives(body)
    client = await hub()
    client.get("/big")
    head = await client.head()
    assert b"Content-Length: 314572800\r\n" in head and b"chunked" not in head
    assert await still(body) < 24 * MIB  # what the kernel and the client's own buffers hold
    count, last = 0, 0
    while count < 300 * MIB:
        piece = await client.reader.read(MIB)
        assert (piece and piece == bytes([piece[0]]) * len(piece)) or count % MIB
        count, last = count + len(piece), piece[-1]
    assert last == 300 % 251
    assert (count, body.closes) == (300 * MIB, 1)
    client.get("/nothing")
    assert (await client.reply())[0] == 404
    assert [(status, sent, aborted) for _, status, _, sent, aborted in await engine.records(2)] == [
        (200, 300 * MIB, False),
        (404, 13, False),
    ]


async def test_a_body_of_unknown_length_is_chunked(engine: StandIn, hub) -> None:
    engine.slowly["/unknown"] = gives(Pattern(None, size=3 * MIB + 5))
    client = await hub()
    client.get("/unknown")
    assert b"Transfer-Encoding: chunked\r\n" in await client.head()
    total = 0
    while size := int((await client.reader.readline()).strip(), 16):
        await client.reader.readexactly(size + 2)
        total += size
    assert await client.reader.readline() == b"\r\n"
    assert total == 3 * MIB + 5
    client.get("/nothing")
    assert (await client.reply())[0] == 404


async def test_http_1_0_gets_a_body_of_unknown_length_until_the_end(engine: StandIn, hub) -> None:
    engine.slowly["/unknown"] = gives(Pattern(None, size=100_000))
    client = await hub()
    client.send("GET /unknown HTTP/1.0\r\nHost: hub.example\r\n\r\n")
    head = await client.head()
    assert b"Connection: close\r\n" in head and b"chunked" not in head
    assert len(await client.rest()) == 100_000


@pytest.mark.parametrize(
    "body",
    [
        lambda: Pattern(5 * MIB, size=2 * MIB),
        lambda: Pattern(5 * MIB, size=2 * MIB, fault=BodyLost("upstream is gone")),
        lambda: Pattern(5 * MIB, size=2 * MIB, fault=RuntimeError("a bug")),
        lambda: Pattern(5 * MIB, size=5 * MIB + 1),
        lambda: Pattern(None, size=2 * MIB, fault=BodyLost("upstream is gone")),
    ],
    ids=["short", "lost", "fault", "long", "lost-chunked"],
)
async def test_a_body_that_is_not_what_was_promised_never_ends_cleanly(engine: StandIn, hub, body) -> None:
    pattern = body()
    engine.slowly["/torn"] = gives(pattern)
    client = await hub()
    client.get("/torn")
    head = await client.head()
    rest = await client.rest()
    assert client.reader.at_eof()
    if b"chunked" in head:
        assert not rest.endswith(b"0\r\n\r\n") and len(rest) > 2 * MIB
    else:
        assert 2 * MIB <= len(rest) < 5 * MIB
    assert pattern.closes == 1
    assert (await engine.records(1))[0][4] is True


async def test_a_client_that_leaves_closes_the_body(engine: StandIn, hub) -> None:
    body = Pattern(300 * MIB)
    engine.slowly["/big"] = gives(body)
    client = await hub()
    client.get("/big")
    await client.head()
    await client.close()
    async with asyncio.timeout(60):
        await body.closed.wait()
    ((_, status, _, sent, aborted),) = await engine.records(1)
    assert (status, aborted, body.closes) == (200, True, 1) and sent < 300 * MIB


async def test_a_client_that_leaves_cancels_what_was_asked_for_it(engine: StandIn, hub) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def never(request: Request) -> Reply:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    engine.slowly["/never"] = never
    client = await hub()
    client.get("/never")
    async with asyncio.timeout(60):
        await begun.wait()
        await client.close()
        await cancelled.wait()
    assert (await engine.records(1))[0][4] is True


async def test_a_reply_for_a_client_that_has_left_is_closed(engine: StandIn, hub) -> None:
    body, begun, left = Pattern(MIB), asyncio.Event(), asyncio.Event()

    async def stubborn(request: Request) -> Reply:
        begun.set()
        try:
            await left.wait()
        except asyncio.CancelledError:
            return Reply(200, Headers(), body)
        raise AssertionError

    engine.slowly["/stubborn"] = stubborn
    client = await hub()
    client.get("/stubborn")
    async with asyncio.timeout(60):
        await begun.wait()
        await client.close()
        await body.closed.wait()
    assert body.closes == 1


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304), ("HEAD", 404)])
@pytest.mark.parametrize("kind", ["bytes", "body"])
async def test_no_body_where_there_is_none(engine: StandIn, hub, method: str, status: int, kind: str) -> None:
    body = Pattern(MIB)
    engine.slowly["/none"] = gives(body, status)
    if kind == "bytes":

        async def answer(request: Request) -> Reply:
            return Reply(status, Headers((("Content-Length", "1048576"),)))

        engine.slowly["/none"] = answer
    client = await hub()
    client.get("/none", method=method)
    head = await client.head()
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert (b"content-length: 1048576" in head.lower()) is (kind == "bytes" and status != 204)
    assert b"transfer-encoding" not in head.lower()
    client.get("/nothing")
    assert (await client.reply())[2] == b"no such thing"
    assert body.closes == (1 if kind == "body" else 0) and body.reads == 0


async def test_pipelined_requests_are_answered_in_order(engine: StandIn, hub) -> None:
    engine.quickly |= {"/a": text("a"), "/c": text("c"), "/d": text("d")}
    body = Pattern(3 * MIB)
    engine.slowly["/b"] = gives(body)
    client = await hub()
    client.send("".join(f"GET /{path} HTTP/1.1\r\nHost: hub.example\r\n\r\n" for path in "aabcda"))
    sizes = []
    for _ in range(6):
        head = await client.head()
        size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await client.reader.readexactly(size)
        sizes.append(size)
    assert sizes == [1, 1, 3 * MIB, 1, 1, 1]
    assert [request.path for request in engine.seen] == ["/a", "/a", "/b", "/c", "/d", "/a"]


async def test_what_one_look_at_the_disk_can_answer_keeps_its_place_in_line(engine: StandIn, hub) -> None:
    engine.quickly["/a"] = text("a")
    engine.glanced["/g"] = lambda: text("g")
    client = await hub()
    for order in ("g", "gg", "agbga", "bga"):
        engine.slowly["/b"] = gives(Pattern(1))
        client.send("".join(f"GET /{path} HTTP/1.1\r\nHost: hub.example\r\n\r\n" for path in order))
        seen = "".join([(await client.reply())[2].replace(b"\x01", b"b").decode() for _ in order])
        assert seen == order
    client.get("/g", method="HEAD")
    assert (await client.head()).startswith(b"HTTP/1.1 200 ")
    client.get("/g")
    assert (await client.reply())[2] == b"g"
    assert [status for _, status, *_ in engine.log] == [200] * 13


async def test_what_a_look_at_the_disk_cannot_hold_goes_the_slow_road(engine: StandIn, hub) -> None:
    first, second = Pattern(MIB), Pattern(MIB)
    engine.glanced["/g"] = lambda: Reply(206, Headers(), first)
    engine.slowly["/g"] = gives(second, 206)
    client = await hub()
    client.get("/g")
    status, _, body = await client.reply()
    assert (status, len(body), first.closes, first.reads, second.closes) == (206, MIB, 1, 0, 1)


async def test_hundreds_of_pipelined_requests(engine: StandIn, hub) -> None:
    engine.quickly["/a"] = text("a")

    async def answer(request: Request) -> Reply:
        return text("b")

    engine.slowly["/b"] = answer
    client = await hub()
    client.send("".join(f"GET /{path} HTTP/1.1\r\nHost: hub.example\r\n\r\n" for path in "ab" * 400))
    assert "".join([(await client.reply())[2].decode() for _ in range(800)]) == "ab" * 400


@pytest.mark.parametrize("where", ["handle", "takes", "contradiction", "header"])
async def test_a_fault_is_a_503_with_an_id_that_is_in_the_log(
    engine: StandIn, hub, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(request: Request) -> Reply:
        raise RuntimeError("handle failed")

    async def contradicts(request: Request) -> Reply:
        return Reply(200, Headers((("Content-Length", "3"),)), b"four")

    async def splits(request: Request) -> Reply:
        return Reply(200, Headers((("X-Split", "a\r\nb: c"),)), b"four")

    engine.slowly |= {"/handle-fails": fails, "/contradiction-fails": contradicts, "/header-fails": splits}
    client = await hub()
    with caplog.at_level(logging.ERROR):
        client.get(f"/{where}-fails")
        status, head, body = await client.reply()
    ident = json.loads(body)["id"]
    assert status == 503 and f"X-Hubgate-Error: {ident}".encode() in head
    (record,) = [record for record in caplog.records if ident in record.getMessage()]
    assert record.exc_info is not None and record.exc_info[0] is not None
    assert engine.resolved == []


async def test_quick_that_fails_falls_to_the_slow_road(engine: StandIn, hub) -> None:
    class Fails(dict[str, Reply]):
        def get(self, key: str, default: object = None) -> Reply:
            raise RuntimeError("quick failed")

    async def answer(request: Request) -> Reply:
        return text("slow")

    engine.quickly, engine.slowly["/x"] = Fails(), answer
    client = await hub()
    client.get("/x")
    assert (await client.reply())[2] == b"slow"


async def test_upstream_failed_keeps_its_status_and_reason(engine: StandIn, hub) -> None:
    async def fails(request: Request) -> Reply:
        raise UpstreamFailed("the hub does not answer", 504)

    engine.slowly["/x"] = fails
    client = await hub()
    client.get("/x")
    status, _, body = await client.reply()
    assert (status, json.loads(body)) == (504, {"error": "the hub does not answer"})


async def test_a_request_body_is_collected(engine: StandIn, hub) -> None:
    async def echo(request: Request) -> Reply:
        return Reply(200, Headers(), request.body)

    engine.slowly["/echo"] = echo
    client = await hub()
    client.get("/echo", "Content-Length: 5", "Expect: 100-continue", method="POST")
    assert (await client.head()).startswith(b"HTTP/1.1 100 ")
    client.send("hello")
    assert (await client.reply())[2] == b"hello"
    client.get("/echo", "Transfer-Encoding: chunked", method="POST")
    client.send("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    assert (await client.reply())[2] == b"abcde"
    client.get("/echo", f"Content-Length: {MIB + 1}", method="POST")
    client.send(b"x" * (MIB + 1))
    assert (await client.reply())[0] == 413


async def test_pass_relays_a_request_that_was_collected(engine: StandIn, hub) -> None:
    async def passes(request: Request) -> Pass:
        return Pass("huggingface", "upload")

    engine.slowly["/pass"] = passes
    client = await hub()
    client.get("/pass", "Content-Length: 5", method="POST")
    client.send("hello")
    status, _, body = await client.reply()
    assert status == 502 and b"has no public address" in body
    assert engine.resolved == [("hub.example", 443)]
    assert [status for _, status, *_ in await engine.records(1)] == [502]


async def test_tls_inside_tls(engine: StandIn, serve) -> None:
    body = Pattern(3 * MIB)
    engine.slowly["/big"] = gives(body)
    client = await (await serve())()
    await client.tls(None)
    assert b" 200 " in await client.connect()
    await client.tls()
    client.get("/big")
    await client.head()
    got = b"".join([await client.reader.readexactly(MIB) for _ in range(3)])
    assert got == bytes([1]) * MIB + bytes([2]) * MIB + bytes([3]) * MIB
