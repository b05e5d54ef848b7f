"""Further hosts, cached by plain RFC 9111."""

from __future__ import annotations

import asyncio
from email.utils import formatdate

import pytest

from proxy_addon.config.places import OtherHost
from proxy_addon.store.contract import PIECE
from tests.conftest import Starter
from tests.engine.rig import Clock, Rig, drained, until
from tests.hub import Scripted, Synthetic, TestHub
from tests.hub.exchange import Answer, Exchange

P = "https://plain.example"
MIB = 1 << 20


@pytest.fixture
async def r(start: Starter) -> Rig:
    return await start(hubs__others=(OtherHost("plain.example"),))


def later(hub: TestHub, clock: Clock, seconds: float) -> None:
    """Time passes, for the hub's Date too."""
    clock.leap(seconds)
    hub.knob(host="plain.example", headers={"Date": formatdate(clock(), usegmt=True)})


def held(r: Rig, key: str) -> list[str]:
    """The blobs of what is stored under a key."""
    return [row.blob or "" for row in r.parts.store.responses.peek(key) or ()]


def fields(**named: str) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in named.items()}


FRESH = fields(Cache_Control="max-age=60", ETag='"a"', Content_Type="text/plain")


async def test_fresh_then_validated_then_replaced(hub: TestHub, r: Rig, clock: Clock) -> None:
    hub.script(
        "/x", Scripted(200, FRESH, "one"), Scripted(200, FRESH, "one"), Scripted(200, FRESH | {"ETag": '"b"'}, "two")
    )
    assert (await r.get(f"{P}/x")).cache == "hubgate; fwd=uri-miss; fwd-status=200; stored"
    warm = await r.get(f"{P}/x")
    assert (warm.body, warm.header("Age") is not None) == (b"one", True) and warm.cache.startswith("hubgate; hit; ttl=")
    later(hub, clock, 61)
    same = await r.get(f"{P}/x")
    assert (same.body, same.cache) == (b"one", "hubgate; fwd=stale; fwd-status=304; stored")
    assert (await r.get(f"{P}/x")).cache.startswith("hubgate; hit")
    later(hub, clock, 61)
    assert (await r.get(f"{P}/x")).body == b"two"
    assert [q.headers.get("if-none-match") for q in hub.requests()] == [None, '"a"', '"a"']


async def test_heuristic_freshness(hub: TestHub, r: Rig, clock: Clock) -> None:
    now = clock()
    hub.script(
        "/x",
        Scripted(
            200, fields(Date=formatdate(now, usegmt=True), Last_Modified=formatdate(now - 1000, usegmt=True)), "x"
        ),
    )
    await r.get(f"{P}/x")
    later(hub, clock, 50)
    assert "hit" in (await r.get(f"{P}/x")).cache
    later(hub, clock, 100)
    assert "fwd=stale" in (await r.get(f"{P}/x")).cache


async def test_variants(hub: TestHub, r: Rig) -> None:
    hub.on(
        "/x",
        lambda ex: Answer(
            200, [("Cache-Control", "max-age=60"), ("Vary", "Accept-Language")], ex.header("accept-language").encode()
        ),
    )
    for language in ("de", "fr", "de", "fr"):
        assert (await r.get(f"{P}/x", {"Accept-Language": language})).body == language.encode()
    assert len(hub.requests()) == 2
    assert "vary-miss" in (await r.get(f"{P}/x", {"Accept-Language": "it"})).cache


@pytest.mark.parametrize("control", ["no-store", "private", "private, max-age=60", "max-age=0", ""])
async def test_what_may_not_be_kept(hub: TestHub, r: Rig, control: str) -> None:
    hub.script("/x", Scripted(200, fields(Cache_Control=control) if control else {}, "x"))
    for _ in range(2):
        assert (await r.get(f"{P}/x")).body == b"x"
    assert len(hub.requests()) == 2 and not [b async for b in r.kept()]


@pytest.mark.parametrize(
    ("control", "shared"), [("max-age=60", False), ("public, max-age=60", True), ("s-maxage=60", True)]
)
@pytest.mark.parametrize("credential", ["Authorization", "Cookie", "PRIVATE-TOKEN", "X-JFrog-Art-Api"])
async def test_what_a_credential_unlocked(hub: TestHub, r: Rig, control: str, shared: bool, credential: str) -> None:
    hub.script("/x", Scripted(200, fields(Cache_Control=control), "x"))
    await r.get(f"{P}/x", {credential: "a"})
    assert ("hit" in (await r.get(f"{P}/x")).cache) == shared


async def test_on_a_hubs_own_host_no_credential_reads_or_writes_the_cache(hub: TestHub, r: Rig) -> None:
    url, token = "https://huggingface.co/.well-known/meta.json", {"Authorization": "Bearer hf_reader"}
    hub.knob(host="huggingface.co", headers={"Cache-Control": "public, max-age=60"})
    for headers, cache in ((token, "bypass"), ({}, "uri-miss"), ({}, "hit"), (token, "bypass")):
        assert cache in (await r.get(url, headers)).cache
    assert "bypass" in (await r.get(url, {"Cookie": "token=x"})).cache


async def test_set_cookie_is_never_kept(hub: TestHub, r: Rig) -> None:
    hub.script("/x", Scripted(200, FRESH | {"Set-Cookie": "id=1"}, "x"))
    await r.get(f"{P}/x")
    warm = await r.get(f"{P}/x")
    assert "hit" in warm.cache and warm.header("Set-Cookie") is None


async def test_stale_while_revalidate_asks_once_in_the_background(hub: TestHub, r: Rig, clock: Clock) -> None:
    head = fields(Cache_Control="max-age=10, stale-while-revalidate=60", ETag='"a"')
    hub.script("/x", Scripted(200, head, "one"), Scripted(200, head | {"ETag": '"b"'}, "two"))
    await r.get(f"{P}/x")
    later(hub, clock, 11)
    before = held(r, f"plain:{P}/x")
    hub.knob(host="plain.example", hold="later")
    got = await asyncio.gather(*(r.get(f"{P}/x") for _ in range(5)))
    assert {g.body for g in got} == {b"one"} and "stale-while-revalidate" in got[0].cache
    await asyncio.to_thread(hub.wait, 2)
    hub.release("later")

    await until(lambda: held(r, f"plain:{P}/x") != before)
    assert (await r.get(f"{P}/x")).body == b"two"
    assert len(hub.requests()) == 2


async def test_stale_if_error(hub: TestHub, r: Rig, clock: Clock) -> None:
    hub.script("/x", Scripted(200, FRESH, "one"), Scripted(503, {}, "down"))
    await r.get(f"{P}/x")
    later(hub, clock, 61)
    got = await r.get(f"{P}/x")
    assert (got.body, got.cache) == (b"one", "hubgate; hit; detail=stale-if-error")
    hub.stop()
    got = await r.get(f"{P}/x")
    assert (got.body, got.cache) == (b"one", "hubgate; hit; detail=offline")
    assert (await r.get(f"{P}/other")).status == 504


async def test_must_revalidate_is_never_stale(hub: TestHub, r: Rig, clock: Clock) -> None:
    hub.script("/x", Scripted(200, FRESH | {"Cache-Control": "max-age=60, must-revalidate"}, "one"))
    await r.get(f"{P}/x")
    later(hub, clock, 61)
    hub.stop()
    assert (await r.get(f"{P}/x")).status == 504


async def test_only_if_cached(hub: TestHub, r: Rig) -> None:
    only = {"Cache-Control": "only-if-cached"}
    hub.script("/x", Scripted(200, FRESH, "one"))
    assert (await r.get(f"{P}/x", only)).status == 504 and hub.requests() == []
    await r.get(f"{P}/x")
    assert (await r.get(f"{P}/x", only)).body == b"one"


async def test_a_head_is_answered_from_a_get_and_updates_it(hub: TestHub, r: Rig, clock: Clock) -> None:
    hub.script(
        "/x",
        Scripted(200, FRESH, "one"),
        Scripted(200, FRESH | {"X-New": "1"}, "one"),
        Scripted(200, FRESH | {"ETag": '"b"'}, "two!"),
    )
    await r.get(f"{P}/x")
    head = await r.head(f"{P}/x")
    assert "hit" in head.cache and head.header("Content-Length") == "3"
    again = {"Cache-Control": "no-cache"}
    assert (await r.head(f"{P}/x", again)).status in (200, 304)
    assert (await r.get(f"{P}/x")).cache.startswith("hubgate; hit")
    await r.head(f"{P}/x", again)  # another length: what is here is no longer so
    assert (await r.get(f"{P}/x")).body == b"two!"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_an_unsafe_method_invalidates(hub: TestHub, r: Rig, method: str) -> None:
    hub.script("/x", Scripted(200, FRESH, "one"), Scripted(200, {}, "done"), Scripted(200, FRESH, "two"))
    await r.get(f"{P}/x")
    sent = await r.get(f"{P}/x", {"Content-Length": "3"}, method, b"abc")
    assert (sent.body, hub.requests()[1].body, sent.cache) == (b"done", "abc", "hubgate; fwd=method; fwd-status=200")
    assert (await r.get(f"{P}/x")).body == b"two"


async def test_a_failed_unsafe_request_invalidates_nothing(hub: TestHub, r: Rig) -> None:
    hub.script("/x", Scripted(200, FRESH, "one"), Scripted(500, {}, "no"), Scripted(200, FRESH, "two"))
    await r.get(f"{P}/x")
    await r.get(f"{P}/x", {"Content-Length": "1"}, "POST", b"a")
    assert (await r.get(f"{P}/x")).body == b"one"


async def test_a_body_without_a_length_is_kept_if_it_is_short(hub: TestHub, r: Rig) -> None:
    hub.knob(host="plain.example", chunked=True)
    for size, kept in ((0, True), (70_000, True), (PIECE + 1, False)):
        hub.script(f"/{size}", Scripted(200, FRESH, bytes(Synthetic(size).read(0, size))))
        for _ in range(2):
            got = await r.get(f"{P}/{size}")
            assert got.body == bytes(Synthetic(size).read(0, size)) and not got.cut
        assert got.cache.startswith("hubgate; hit") == kept


async def test_a_body_without_a_length_that_is_cut_is_not_kept(hub: TestHub, r: Rig) -> None:
    hub.script("/x", Scripted(200, FRESH, b"x" * 100_000))
    knob = hub.knob(host="plain.example", chunked=True, drop_after=50_000)
    got = await r.get(f"{P}/x")
    assert got.cut or got.status == 502
    hub.unknob(knob)
    assert (await r.get(f"{P}/x")).body == b"x" * 100_000


def large(hub: TestHub, size: int, etag: str = '"big"') -> bytes:
    body = bytes(Synthetic(size, 9).read(0, size))
    hub.script("/big", Scripted(200, FRESH | {"ETag": etag}, body, ranges=True))
    return body


async def test_followers_read_behind_a_large_body(hub: TestHub, r: Rig) -> None:
    body = large(hub, 6 * MIB)
    hub.knob(host="plain.example", hold="rest", hold_at=MIB)
    leader = await r.open("GET", f"{P}/big")
    follower = await r.open("GET", f"{P}/big")
    for reply in (leader, follower):
        assert not isinstance(reply.body, bytes)
        async with asyncio.timeout(60):
            assert bytes(await reply.body.read(100)) == body[:100]
    assert "collapsed" in follower.outcome.header
    hub.release("rest")
    for reply in (leader, follower):
        assert (await drained(reply)).body == body[100:]
    await r.idle()
    assert (await r.get(f"{P}/big", {"Range": "bytes=5000000-5000009"})).body == body[5_000_000:5_000_010]
    assert len(hub.requests()) == 1


@pytest.mark.parametrize("etag", ['"big"', 'W/"big"'])
async def test_a_large_body_is_resumed_only_under_a_strong_etag(hub: TestHub, r: Rig, etag: str) -> None:
    body = large(hub, 6 * MIB, etag)
    hub.knob(host="plain.example", drop_after=MIB, times=1)
    got = await r.get(f"{P}/big")
    assert got.cut == (etag != '"big"') and got.body == body[: len(got.body)]
    assert (await r.get(f"{P}/big")).body == body


async def test_a_large_body_that_changes_is_not_mended(hub: TestHub, r: Rig) -> None:
    body = large(hub, 6 * MIB)
    hub.knob(host="plain.example", drop_after=MIB, times=1)
    knob = hub.knob(host="plain.example", etag="other", skip=1)
    got = await r.get(f"{P}/big")
    assert got.cut and got.body == body[: len(got.body)]
    hub.unknob(knob)
    assert (await r.get(f"{P}/big")).body == body


@pytest.mark.parametrize(("first", "then"), [('"a"', '"b"'), ('W/"a"', 'W/"a"')])
async def test_a_part_is_joined_only_to_its_own_representation(hub: TestHub, r: Rig, first: str, then: str) -> None:
    body = bytes(Synthetic(6 * MIB, 9).read(0, 6 * MIB))

    def answer(ex: Exchange) -> Answer:  # cares nothing for If-Range
        if not ex.header("range"):
            return Answer(200, [("Cache-Control", "max-age=60"), ("ETag", first)], body)
        at = int(ex.header("range").removeprefix("bytes=").partition("-")[0])
        span = f"bytes {at}-{len(body) - 1}/{len(body)}"
        return Answer(206, [("ETag", then), ("Content-Range", span)], bytes(len(body) - at))

    hub.on("/x", answer)
    hub.knob(host="plain.example", drop_after=MIB, times=1)
    got = await r.get(f"{P}/x")
    assert got.cut and got.body == body[: len(got.body)]


async def test_a_client_that_leaves_does_not_spoil_a_large_body(hub: TestHub, r: Rig) -> None:
    body = large(hub, 6 * MIB)
    reply = await r.open("GET", f"{P}/big")
    assert not isinstance(reply.body, bytes)
    await reply.body.read(10)
    reply.body.close()
    await r.idle()
    got = await r.get(f"{P}/big")
    assert got.body == body and "hit" in got.cache


async def test_a_range_of_what_is_not_here_is_passed_on(hub: TestHub, r: Rig) -> None:
    body = large(hub, MIB)
    got = await r.get(f"{P}/big", {"Range": "bytes=10-19"})
    assert (got.status, got.body, "stored" in got.cache) == (206, body[10:20], False)
    assert (await r.get(f"{P}/big")).body == body and len(hub.requests()) == 2


@pytest.mark.parametrize("status", [301, 404, 410, 204])
async def test_other_statuses(hub: TestHub, r: Rig, status: int) -> None:
    hub.script("/x", Scripted(status, {"Cache-Control": "max-age=60"} | ({"Location": "/y"} if status == 301 else {})))
    for _ in range(2):
        got = await r.get(f"{P}/x")
        assert got.status == status
    assert "hit" in got.cache and len(hub.requests()) == 1


async def test_hop_by_hop_fields_stay_on_their_connection(hub: TestHub, r: Rig) -> None:
    hub.script("/x", Scripted(200, FRESH | {"Connection": "X-Mine", "X-Mine": "1"}, "x"))
    sent = {"Connection": "X-Yours", "X-Yours": "1", "Proxy-Authorization": "Basic x", "X-Kept": "1"}
    got = await r.get(f"{P}/x", sent)
    assert got.header("X-Mine") is None and got.header("Connection") is None
    seen = hub.requests()[0].headers
    assert "x-yours" not in seen and "proxy-authorization" not in seen and seen["x-kept"] == "1"


async def test_an_expectation_is_met_here_and_not_sent_on(hub: TestHub, r: Rig) -> None:
    hub.script("/x", Scripted(200, {}, "done"))
    async with asyncio.timeout(60):
        sent = await r.get(f"{P}/x", {"Expect": "100-continue", "Content-Length": "3"}, "POST", b"abc")
    assert sent.body == b"done"
    assert "expect" not in hub.requests()[0].headers and hub.requests()[0].body == "abc"


async def test_who_leaves_while_a_body_without_a_length_comes_leaves_no_connection(hub: TestHub, r: Rig) -> None:
    hub.script("/x", Scripted(200, FRESH, b"x" * 300_000))
    hub.knob(host="plain.example", chunked=True, hold="rest", hold_at=100_000)
    connector = r.parts.upstream._session.connector  # type: ignore[union-attr]
    assert connector is not None
    gone = [asyncio.create_task(r.get(f"{P}/x")) for _ in range(3)]
    await asyncio.to_thread(hub.wait, 3)
    await until(lambda: len(connector._acquired) == 3, "the connections")
    for task in gone:
        task.cancel()
    await asyncio.wait(gone)
    await until(lambda: not connector._acquired, "the end of the connections", 5)


async def test_a_signed_url_leaves_no_trace(hub: TestHub, r: Rig) -> None:
    hub.script("/x", Scripted(200, FRESH, "x"))
    hub.script("/y", Scripted(301, FRESH | {"Location": "https://s3.example/z?X-Amz-Signature=CANARY"}))
    for url in (f"{P}/x?Signature=CANARY&Expires=1", f"{P}/x?X-Amz-Signature=CANARY", f"{P}/y"):
        assert "stored" not in (await r.get(url)).cache
    assert (await r.parts.store.stats())["responses"] == 0


async def test_an_abrupt_end_of_the_engine_leaves_no_task_behind(hub: TestHub, r: Rig, clock: Clock) -> None:
    head = fields(Cache_Control="max-age=10, stale-while-revalidate=60", ETag='"a"')
    hub.script("/x", Scripted(200, head, "one"))
    await r.get(f"{P}/x")
    later(hub, clock, 11)
    hub.knob(host="plain.example", hold="never")
    await r.get(f"{P}/x")
    await asyncio.to_thread(hub.wait, 2)
    await r.parts.upstream.close()
    hub.release("never")
    await until(lambda: not len(r.parts.fills))
