"""Passwords at the edge: every kind of connection, and nothing of them further in."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from proxy_addon import front
from proxy_addon.auth import Door, Users, schemes
from proxy_addon.core.messages import Pass, Request
from tests.edge.stand_in import HUB, StandIn, text
from tests.edge.test_http2 import Peer

KEPT = {name: schemes.made(name.encode()) for name in ("alice", "bob")}


def shown(user: str, password: str | None = None) -> str:
    said = f"{user}:{user if password is None else password}".encode()
    return f"Proxy-Authorization: Basic {base64.b64encode(said).decode()}"


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    users = Users(tmp_path / "users")
    users.current = dict(KEPT)
    made = Door(users)
    yield made
    made.close()


@pytest.fixture
async def opened(serve, door: Door):
    return await serve(door=door)


async def tunnel(opened, user: str, alpn: str = "http/1.1"):
    client = await opened()
    client.send(f"CONNECT {HUB}:443 HTTP/1.1\r\nHost: {HUB}:443\r\n{shown(user)}\r\n\r\n")
    assert b" 200 " in await client.head()
    return await client.tls(HUB, alpn)


def absolute(path: str, *lines: str, method: str = "GET") -> str:
    return "\r\n".join((f"{method} http://{HUB}{path} HTTP/1.1", f"Host: {HUB}", *lines, "", ""))


async def test_after_a_407_the_same_connection_may_try_again(opened, engine: StandIn) -> None:
    client = await opened()
    for lines, status in (("", 407), (shown("alice", "wrong") + "\r\n", 407), (shown("alice") + "\r\n", 200)):
        client.send(f"CONNECT {HUB}:443 HTTP/1.1\r\nHost: {HUB}:443\r\n{lines}\r\n")
        if status == 407:
            got, head, body = await client.reply()
            assert got == 407 and b"\r\nProxy-Authenticate: Basic realm=" in head and b"password" in body
    assert b" 200 " in await client.head()
    engine.quickly["/a"] = text("a")
    await client.tls()
    client.get("/a")
    assert (await client.reply())[0] == 200
    assert [(request.method, request.user, status) for request, status, *_ in await engine.records(3)] == [
        ("CONNECT", "", 407), ("CONNECT", "", 407), ("GET", "alice", 200),
    ]  # fmt: skip


@pytest.mark.parametrize("way", ["quickly", "glanced", "slowly"])
async def test_every_road_knows_whose_the_request_is_and_none_sees_the_password(
    opened, engine: StandIn, way: str
) -> None:
    async def slow(request: Request):
        return text("x")

    engine.slowly["/x"] = slow  # who is not known yet goes this way first
    getattr(engine, way)["/x"] = {"quickly": text("x"), "glanced": lambda: text("x"), "slowly": slow}[way]
    inside, outside = await tunnel(opened, "alice"), await opened()
    for name in ("bob", "alice", "bob"):
        inside.get("/x", shown("bob"))  # inside a tunnel it counts for nothing
        assert (await inside.reply())[0] == 200
        outside.send(absolute("/x", shown(name)))
        assert (await outside.reply())[0] == 200
    assert [request.user for request in engine.seen] == ["alice", "bob", "alice", "alice", "alice", "bob"]
    assert not any("proxy-authorization" in request.headers for request in engine.seen)


async def test_pipelined_requests_of_two_users_are_each_ones_own(opened, engine: StandIn) -> None:
    engine.quickly["/x"] = text("x")
    client = await opened()
    names = ["alice", "bob", "alice", "bob"]
    client.send("".join(absolute("/x", shown(name)) for name in names) + absolute("/x"))
    assert [(await client.reply())[0] for _ in range(5)] == [200] * 4 + [407]
    assert [request.user for request in engine.seen] == names


async def test_http2_streams_are_of_who_opened_the_tunnel_until_he_is_out(opened, engine: StandIn, door: Door) -> None:
    engine.quickly["/x"] = text("x")
    peer, other = Peer(await tunnel(opened, "alice", "h2"), 65535), Peer(await tunnel(opened, "bob", "h2"), 65535)
    for each in (peer, other):
        stream = each.get("/x", **{"proxy-authorization": shown("bob").partition(" ")[2]})
        await each.until(lambda each=each, stream=stream: stream in each.ended)
        assert each.status[stream] == 200
    assert [request.user for request in engine.seen] == ["alice", "bob"]
    assert not any("proxy-authorization" in request.headers for request in engine.seen)
    door.users.current = {"bob": KEPT["bob"]}
    for each, status, content in ((peer, 403, b"connect again"), (other, 200, b"x")):
        stream = each.get("/x")
        await each.until(lambda each=each, stream=stream: stream in each.ended)
        assert each.status[stream] == status and content in each.content[stream]


@pytest.mark.parametrize("way", ["quickly", "slowly"])
async def test_who_is_out_is_out_on_an_open_connection(opened, engine: StandIn, door: Door, way: str) -> None:
    async def slow(request: Request):
        return text("x")

    getattr(engine, way)["/x"] = text("x") if way == "quickly" else slow
    inside, outside = await tunnel(opened, "alice"), await opened()
    inside.get("/x")
    outside.send(absolute("/x", shown("alice")))
    assert (await inside.reply())[0] == (await outside.reply())[0] == 200
    door.users.current = {"alice": KEPT["bob"], "bob": KEPT["bob"]}
    inside.get("/x")
    status, head, body = await inside.reply()
    assert status == 403 and b"Connection: close" in head and b"connect again" in body
    assert await inside.rest() == b""
    outside.send(absolute("/x", shown("alice")))
    assert (await outside.reply())[0] == 407
    assert len(engine.seen) == 2


async def test_a_body_that_follows_a_refusal_is_not_a_request(opened, engine: StandIn) -> None:
    client = await opened()
    engine.quickly["/x"] = text("x")
    body = absolute("/x", shown("alice"))
    client.send(absolute("/y", f"Content-Length: {len(body)}", method="POST") + body)
    assert b" 407 " in await client.head()
    assert b"HTTP/1.1" not in await client.rest() and engine.seen == []


class Far:
    """A server that says 200 to everything; `seen` are the heads it got."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.context, self.seen = context, list[bytes]()

    async def __aenter__(self) -> Far:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.context)
        self.address = self.server.sockets[0].getsockname()[:2]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.seen.append(head.lower())
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


@pytest.fixture(params=[True, False], ids=["auth", "no-auth"])
def maybe(request: pytest.FixtureRequest, door: Door) -> Door | None:
    return door if request.param else None


async def test_what_is_relayed_is_relayed_without_it(
    serve, engine: StandIn, maybe: Door | None, tmp_path: Path
) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HUB).configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "up.pem"))

    async def through(request: Request) -> Pass:
        return Pass()

    engine.passed, engine.slowly["/taken"] = {"/unseen"}, through
    opened = await serve(door=maybe, upstream_ca=tmp_path / "up.pem")
    async with Far(context) as far, Far() as plain:
        for path in ("/unseen", "/taken"):
            engine.upstream = far.address
            client = await tunnel(opened, "alice")
            client.get(path, shown("alice"), "X-Kept: 1")
            assert (await client.reply())[0] == 200
            engine.upstream = plain.address
            outside = await opened()
            outside.send(absolute(path, shown("alice"), "X-Kept: 1"))
            assert (await outside.reply())[0] == 200
        assert len(far.seen) == len(plain.seen) == 2
        for head in (*far.seen, *plain.seen):
            assert b"x-kept: 1" in head and b"proxy-authorization" not in head
        user = "alice" if maybe else ""
        assert [request.user for request, *_ in await engine.records(4)] == [user] * 4


async def test_a_tunnel_to_elsewhere_ends_with_its_user(opened, engine: StandIn, door: Door) -> None:
    async with Far() as far:
        engine.upstream = far.address
        client = await opened()
        client.send(f"CONNECT far.example:443 HTTP/1.1\r\nHost: far.example:443\r\n{shown('alice')}\r\n\r\n")
        assert b" 200 " in await client.head()
        client.get("/one", host="far.example")
        assert (await client.reply())[0] == 200
        door.users.current = {}
        client.get("/two", host="far.example")
        assert await client.rest() == b"" and len(far.seen) == 1


async def test_who_leaves_while_he_is_verified_leaves_nothing_behind(
    opened, engine: StandIn, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, gate = threading.Event(), threading.Event()

    def held(kept: str, password: bytes) -> bool:
        begun.set()
        return gate.wait(10)

    monkeypatch.setattr(schemes, "matches", held)
    client = await opened()
    client.send(absolute("/x", shown("alice")))
    assert await asyncio.to_thread(begun.wait, 10)
    await client.close()
    ((request, status, *_, aborted),) = await engine.records(1)
    assert (request.user, status, aborted) == ("", 0, True) and engine.seen == []
    gate.set()
    engine.quickly["/x"] = text("x")
    again = await opened()
    again.send(absolute("/x", shown("alice")))
    assert (await again.reply())[0] == 200


async def test_a_fault_lets_nobody_in(opened, engine: StandIn, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(door, "enter", broken)
    engine.quickly["/x"] = text("x")
    for first in (
        absolute("/x", shown("alice")),
        f"CONNECT {HUB}:443 HTTP/1.1\r\nHost: {HUB}:443\r\n{shown('alice')}\r\n\r\n",
    ):
        client = await opened()
        client.send(first)
        status, head, body = await client.reply()
        assert status == 503 and b"X-Hubgate-Error" in head and b"the id is in the log" in body
    assert engine.seen == []


async def test_a_header_block_that_does_not_end_is_not_logged(opened, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        client = await opened()
        client.send(f"CONNECT {HUB}:443 HTTP/1.1\r\n{shown('alice')}\r\n")
        client.writer.write_eof()
        assert await client.rest() == b""
    assert caplog.records and shown("alice").rpartition(" ")[2] not in caplog.text


async def test_no_header_block_with_a_password_is_remembered(opened, engine: StandIn) -> None:
    engine.quickly["/x"] = text("x")
    client = await opened()
    client.send(absolute("/x", shown("alice"), "X-Mark: remembered?"))
    assert (await client.reply())[0] == 200
    client.send(absolute("/x", "X-Mark: remembered?"))
    assert (await client.reply())[0] == 407
    blocks = [block for block in front._KNOWN if b"X-Mark: remembered?" in block]
    assert len(blocks) == 1 and b"authorization" not in blocks[0].lower()
