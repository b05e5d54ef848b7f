"""The one HTTP client, against a real server: what it sends, what it refuses to take, and what its errors say."""

from __future__ import annotations

import gzip
import inspect
import zlib
from collections.abc import AsyncIterator
from functools import partial

import pytest

from proxy_addon.config import ConnectTo, Settings
from proxy_addon.core.errors import UpstreamFailed
from proxy_addon.core.messages import Headers
from proxy_addon.fetch.upstream import DOWN_FOR, Throttled, Upstream, location_of
from tests.engine.rig import Clock
from tests.hub import Scripted, Splice, TestHub

P = "https://plain.example"
patient = partial(Upstream, connect_timeout=20.0, stall_timeout=60.0, max_connections=64)


class Counted:
    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.bytes = 0

    def upstream_request(self, hub: str, status: int) -> None:
        self.statuses.append(status)

    def upstream_bytes(self, hub: str, size: int) -> None:
        self.bytes += size


@pytest.fixture
def meter() -> Counted:
    return Counted()


@pytest.fixture
async def upstream(hub: TestHub, meter: Counted, clock: Clock) -> AsyncIterator[Upstream]:
    made = patient(
        meter=meter,
        connect_to=ConnectTo(((None, None, "127.0.0.1", hub.port),)),
        ca_file=str(hub.ca_pem),
        clock=clock,
        timer=clock.timer,
    )
    await made.start()
    yield made
    await made.close()


async def test_it_sends_what_it_was_given_and_keeps_no_cookie(hub: TestHub, upstream: Upstream, meter: Counted) -> None:
    hub.script("/x", Scripted(200, {"Set-Cookie": "a=b"}, "body"))
    for _ in range(2):
        answer = await upstream.open("GET", f"{P}/x?q=%2F%20", [("X-Given", "1")])
        assert await answer.whole(100) == b"body"
    for record in hub.requests():
        assert set(record.headers) == {"host", "x-given"} and record.query == "q=%2F%20"
    assert (meter.statuses, meter.bytes) == ([200, 200], 8)
    assert len({record.client_port for record in hub.requests()}) == 1


async def test_it_follows_no_redirect(hub: TestHub, upstream: Upstream) -> None:
    hub.script("/x", Scripted(302, {"Location": "../y?a=%2F"}, ""))
    answer = await upstream.open("GET", f"{P}/x")
    assert (answer.status, answer.location) == (302, f"{P}/y?a=%2F") and len(hub.requests()) == 1
    answer.release()


@pytest.mark.parametrize("coding", ["gzip", "deflate", "identity"])
async def test_codings_are_undone(hub: TestHub, upstream: Upstream, coding: str) -> None:
    text = b"text " * 1000
    packed = {"gzip": gzip.compress(text), "deflate": zlib.compress(text), "identity": text}[coding]
    hub.script("/x", Scripted(200, {"Content-Encoding": coding}, packed))
    assert await (await upstream.open("GET", f"{P}/x")).whole(5000) == text


async def test_all_members_of_a_gzip_body_are_read(hub: TestHub, upstream: Upstream) -> None:
    members = [gzip.compress(text) for text in (b"one ", b"", b"two ", bytes(3000))]
    hub.script("/x", Scripted(200, {"Content-Encoding": "gzip"}, b"".join(members)))
    hub.script("/cut", Scripted(200, {"Content-Encoding": "gzip"}, b"".join(members)[:-20]))
    assert await (await upstream.open("GET", f"{P}/x")).whole(5000) == b"one two " + bytes(3000)
    with pytest.raises(UpstreamFailed, match="more than 3007 bytes"):
        await (await upstream.open("GET", f"{P}/x")).whole(3007)
    with pytest.raises(UpstreamFailed, match="broken content coding"):
        await (await upstream.open("GET", f"{P}/cut")).whole(5000)


@pytest.mark.parametrize(
    ("coding", "body", "reason"),
    [
        ("gzip", gzip.compress(bytes(10_000_000)), "more than 5000 bytes"),
        ("identity", bytes(5001), "more than 5000 bytes"),
        ("gzip", b"no gzip at all", "broken content coding"),
        ("gzip", gzip.compress(b"text " * 1000)[:-20], "broken content coding"),
        ("br", b"x", "content coding 'br'"),
    ],
    ids=["bomb", "long", "no gzip", "cut gzip", "unknown"],
)
async def test_bodies_that_are_not_taken(
    hub: TestHub, upstream: Upstream, coding: str, body: bytes, reason: str
) -> None:
    hub.script("/x", Scripted(200, {"Content-Encoding": coding}, body))
    answer = await upstream.open("GET", f"{P}/x")
    with pytest.raises(UpstreamFailed, match=reason):
        await answer.whole(5000)


async def test_what_went_wrong_is_said_without_the_query(hub: TestHub, upstream: Upstream) -> None:
    hub.stop()
    with pytest.raises(UpstreamFailed, match=r"plain\.example") as refused:
        await upstream.open("GET", f"{P}/x?Signature=CANARY")
    assert refused.value.status == 504 and "CANARY" not in str(refused.value)
    hub.start()
    hub.script("/x", Scripted(200, {}, b"x" * 1000))
    hub.knob(host="plain.example", drop_after=10)
    answer = await upstream.open("GET", f"{P}/x?Signature=CANARY")
    with pytest.raises(UpstreamFailed, match="cut") as cut:
        await answer.whole(5000)
    assert cut.value.status == 502 and "CANARY" not in str(cut.value)


async def test_who_is_in_a_hurry_does_not_wait_for_a_host_that_is_gone(
    hub: TestHub, upstream: Upstream, clock: Clock
) -> None:
    hub.script("/x", Scripted(200, {}, "x"))
    hub.stop()
    with pytest.raises(UpstreamFailed, match="cannot connect"):
        await upstream.open("GET", f"{P}/x")
    hub.start()
    with pytest.raises(UpstreamFailed, match="a moment ago"):
        await upstream.open("GET", f"{P}/x", hurry=True)
    clock.leap(DOWN_FOR)
    (await upstream.open("GET", f"{P}/x", hurry=True)).release()
    assert not upstream.is_down("plain.example")


async def test_a_patient_request_that_succeeds_opens_the_host_again(hub: TestHub, upstream: Upstream) -> None:
    hub.script("/x", Scripted(200, {}, "x"))
    hub.stop()
    with pytest.raises(UpstreamFailed):
        await upstream.open("GET", f"{P}/x")
    hub.start()
    (await upstream.open("GET", f"{P}/x")).release()
    (await upstream.open("GET", f"{P}/x", hurry=True)).release()


async def test_a_wait_is_one_persons(hub: TestHub, upstream: Upstream, clock: Clock) -> None:
    hub.script("/x", Scripted(429, {"Retry-After": "20"}, ""), Scripted(200, {}, "x"))
    (await upstream.open("GET", f"{P}/x", principal="alice")).release()
    with pytest.raises(Throttled) as told:
        await upstream.open("GET", f"{P}/x", principal="alice")
    assert 19 <= told.value.retry_after <= 20 and told.value.status == 429
    (await upstream.open("GET", f"{P}/x", principal="bob")).release()
    clock.leap(20)
    (await upstream.open("GET", f"{P}/x", principal="alice")).release()
    assert len(hub.requests()) == 3


async def test_a_certificate_of_nobody_we_know(hub: TestHub, meter: Counted) -> None:
    upstream = patient(meter=meter, connect_to=ConnectTo(((None, None, "127.0.0.1", hub.port),)))
    await upstream.start()
    try:
        with pytest.raises(UpstreamFailed, match=r"TLS to plain\.example failed"):
            await upstream.open("GET", f"{P}/x")
    finally:
        await upstream.close()
    assert hub.requests() == []


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
async def test_a_corporate_proxy_may_have_a_private_address(hub: TestHub, meter: Counted, name: str) -> None:
    hub.script("/x", Scripted(200, {}, "x"))
    with Splice(hub.port) as splice:
        port = splice.url.rpartition(":")[2].rstrip("/")
        upstream = patient(meter=meter, connect_to=ConnectTo(), ca_file=str(hub.ca_pem), proxy=f"http://{name}:{port}")
        await upstream.start()
        try:
            assert await (await upstream.open("GET", f"{P}/x")).whole(10) == b"x"
            with pytest.raises(UpstreamFailed):
                await upstream.open("GET", f"https://127.0.0.1:{hub.port}/x")
        finally:
            await upstream.close()
        assert list(splice.targets) == ["plain.example:443"]


@pytest.mark.parametrize("target", ["//[", "https://[::1", "https://a:b/", "https://a:99999/", "http://[v1.x]:y/"])
def test_a_redirect_to_what_cannot_be_taken_apart_is_no_url(target: str) -> None:
    with pytest.raises(UpstreamFailed, match="no URL"):
        location_of("https://huggingface.co/a/b", Headers((("Location", target),)))
    assert location_of("https://huggingface.co/a/b", Headers((("Location", "c?d"),))) == "https://huggingface.co/a/c?d"


def test_its_timeouts_have_their_defaults_in_the_schema_alone() -> None:
    named = inspect.signature(Upstream).parameters
    shared = set(named) & set(type(Settings().upstream).model_fields)
    assert {"connect_timeout", "stall_timeout", "max_connections"} <= shared
    assert {named[name].default for name in shared} <= {inspect.Parameter.empty, None}
