"""Infos, listings and raw text of closed repos: told again to him who was told, and to nobody else."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from proxy_addon.answer import confided
from proxy_addon.core.messages import Finished, Headers, Pass, Request
from proxy_addon.core.status import Outcome
from tests.conftest import Starter
from tests.engine.rig import Clock, Got, Rig, drained, request_for, until
from tests.engine.test_leases import DOWN, H, M, Place
from tests.hub import Repo, TestHub

NO_CACHE, NO_STORE, ONLY = ({"Cache-Control": said} for said in ("no-cache", "no-store", "only-if-cached"))
GRACE = 3600.0
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Shut(Place):
    """A private repo, and what is told of it."""

    @property
    def info(self) -> str:
        return f"{M}/api/v1/models/acme/shut" if self.ms else f"{H}/api/models/acme/shut"

    @property
    def branch(self) -> str:
        """Its listing, which may change."""
        return self.listing("master" if self.ms else "main")

    @property
    def pinned(self) -> str:
        return self.listing(self.repo.head)

    def listing(self, rev: str) -> str:
        by_query = f"{self.info}/repo/files?Revision={rev}&Recursive=True"
        return by_query if self.ms else f"{self.info}/tree/{rev}?recursive=true"

    @property
    def asked(self) -> int:
        """How often the hub was asked for a document by somebody who showed something."""
        shown = [q for q in self.test.requests() if {"authorization", "cookie"} & q.headers.keys()]
        return len([q for q in shown if "/api/" in q.path])


@pytest.fixture(params=["hf", "ms"])
def shut(request: pytest.FixtureRequest, hub: TestHub) -> Shut:
    return Shut(hub, request.param, private=True)


@pytest.fixture
def hf(hub: TestHub) -> Shut:
    return Shut(hub, "hf", private=True)


def hit(got: Got) -> bool:
    return got.status == 200 and got.cache.startswith("hubgate; hit")


async def seen(r: Rig, url: str, who: dict[str, str], method: str = "GET") -> list[object]:
    """What is had without asking anybody."""
    request = request_for(method, url, who)
    return [r.parts.engine.quick(request), await r.parts.engine.glance(request)]


async def upload(r: Rig, place: Shut) -> None:
    path = "/api/v1/repos/models/acme/shut/commit/master" if place.ms else "/api/models/acme/shut/commit/main"
    pushed = request_for("POST", f"{M if place.ms else H}{path}", place.alice)
    r.parts.engine.completed(Finished(pushed, 200, Outcome(), place.repo.hub, "upload", 1))
    await r.parts.engine.settle()


# -- who is told again ----------------------------------------------------------------------------------------------


async def test_the_hub_is_asked_once_and_every_way_to_ask_is_answered(hub: TestHub, start: Starter, shut: Shut) -> None:
    r = await start()
    first = {url: await r.get(url, shut.alice) for url in (shut.info, shut.branch, shut.pinned)}
    assert [got.status for got in first.values()] == [200, 200, 200] and "stored" in first[shut.info].cache
    hub.clear()
    for url, cold in first.items():
        again, head = await r.get(url, shut.alice), await r.head(url, shut.alice)
        assert hit(again) and (again.body, again.header("ETag")) == (cold.body, cold.header("ETag"))
        assert (head.status, head.body, head.header("Content-Length")) == (200, b"", str(len(cold.body)))
        part = await r.get(url, shut.alice | {"Range": "bytes=2-4"})
        assert (part.status, part.body) == (206, cold.body[2:5])
        for got in (cold, again, head, part):
            assert (got.header("Cache-Control"), got.header("Vary")) == ("private", "Authorization, Cookie")
            assert got.header("Set-Cookie") is None
    if tag := first[shut.branch].header("ETag"):
        assert (await r.get(shut.branch, shut.alice | {"If-None-Match": tag})).status == 304
    assert hub.requests() == []


async def test_nothing_of_it_is_there_for_all(hub: TestHub, start: Starter, shut: Shut) -> None:
    r = await start()
    for url in (shut.info, shut.pinned):
        assert (await r.get(url, shut.alice)).status == 200
    store = r.parts.store
    keys = [key for key, _ in await store.responses.listing("", "", 100)]
    assert not [key for key in keys if "acme/shut" in key], keys
    manifests = [await store.blobs.manifest(blob) async for blob in r.kept()]
    assert len(manifests) == 2 and not any(manifest and manifest.public for manifest in manifests)
    for who in (shut.alice, shut.bob, shut.stranger, {}):
        for method in ("GET", "HEAD"):
            assert await seen(r, shut.info, who, method) == [None, None]


async def test_another_gets_his_own_answer_and_never_the_first_ones(hub: TestHub, start: Starter, shut: Shut) -> None:
    r = await start(access__offline_grace=GRACE)
    assert (await r.get(shut.info, shut.alice)).status == 200
    hub.clear()
    for who in ({}, shut.stranger, {}, shut.stranger):
        for method in ("GET", "HEAD"):
            got = await r.get(shut.info, who, method)
            assert got.status == shut.refused(who) and b"acme/shut" not in got.body.replace(
                b"repository acme/shut", b""
            )
    assert (await r.get(shut.info, shut.stranger | ONLY)).status == 504
    asked = shut.asked
    assert (await r.get(shut.info, shut.bob)).status == 200 and shut.asked == asked + 1
    hub.stop()
    assert hit(await r.get(shut.info, shut.alice)) and hit(await r.get(shut.info, shut.bob))
    for who in ({}, shut.stranger, shut.who("ms_nobody" if shut.ms else "hf_nobody")):
        assert (await r.get(shut.info, who)).status == 504


async def test_tokens_that_look_alike_are_not_alike(hub: TestHub, start: Starter, hf: Shut) -> None:
    r = await start(access__offline_grace=GRACE)
    assert (await r.get(hf.info, hf.alice)).status == 200
    odd = ("Bearer HF_ALICE", "Bearer hf_alic", "Bearer hf_alice2", "Bearer ", "hf_alice", "", "Bearer hf_alice, x")
    for shown in odd:
        assert (await r.get(hf.info, {"Authorization": shown})).status in (401, 404), shown
    assert (await r.get(hf.info, {"Cookie": "token=hf_alice"})).status == 401
    hub.stop()
    twice = Headers((("Authorization", "Bearer hf_alice"), ("Authorization", "Bearer hf_other")))
    for fields in (twice, Headers(reversed(twice.fields))):
        reply = await r.parts.engine.handle(
            Request("GET", "https", "huggingface.co", 443, "/api/models/acme/shut", headers=fields)
        )
        assert not isinstance(reply, Pass) and (await drained(reply)).status == 504
    for shown in odd:
        assert (await r.get(hf.info, {"Authorization": shown})).status == 504, shown


async def test_at_the_same_time_one_holder_asks_once_and_two_ask_twice(
    hub: TestHub, start: Starter, shut: Shut
) -> None:
    r = await start()
    assert (await r.get(shut.info)).status == shut.refused({})
    hub.clear()
    knob = hub.knob(path="/api/*/acme/shut", hold="info", hold_at=-1)
    readers = [asyncio.ensure_future(r.get(shut.info, who)) for who in (shut.alice, shut.bob) * 4]
    await asyncio.to_thread(hub.wait, 2)
    hub.unknob(knob)
    hub.release("info")
    got = await asyncio.gather(*readers)
    assert [g.status for g in got] == [200] * 8 and len(hub.requests()) == 2
    assert sum("collapsed" in g.cache for g in got) == 6


async def test_what_is_asked_in_a_body_is_kept_by_it(hub: TestHub, start: Starter, hf: Shut) -> None:
    r, url = await start(), f"{hf.info}/paths-info/main"
    bodies = (b"paths=config.json", b"paths=w.bin")
    for body in (*bodies, *bodies):
        got = await r.get(url, hf.alice | FORM, "POST", body)
        assert [entry["path"] for entry in json.loads(got.body)] == [body.decode().partition("=")[2]]
    assert hf.asked == 2
    for _ in range(2):  # a body where none belongs is for the hub to understand
        assert "detail=access" in (await r.get(hf.info, hf.alice | FORM, "GET", b"x=y")).cache
    assert hf.asked == 4


# -- for how long ---------------------------------------------------------------------------------------------------


async def test_fresh_as_an_open_one_is_and_then_validated_with_his_permission(
    hub: TestHub, start: Starter, clock: Clock, hf: Shut
) -> None:
    r = await start()
    cold = await r.get(hf.branch, hf.alice)
    hub.clear()
    clock.leap(58)
    assert hit(await r.get(hf.branch, hf.alice)) and hub.requests() == []
    clock.leap(3)
    same = await r.get(hf.branch, hf.alice)
    assert (same.body, same.cache) == (cold.body, "hubgate; fwd=stale; fwd-status=304; stored")
    (asked,) = hub.requests()
    assert asked.headers["if-none-match"] == cold.header("ETag") and asked.headers["authorization"] == "Bearer hf_alice"
    assert hit(await r.get(hf.branch, hf.alice))
    hf.repo.commit({"more.txt": "more"})
    clock.leap(61)
    assert b"more.txt" in (await r.get(hf.branch, hf.alice)).body


async def test_what_tells_nothing_new_is_not_kept_twice(hub: TestHub, start: Starter, clock: Clock, hf: Shut) -> None:
    place, r = Shut(hub, "ms", private=True), await start()
    cold = await r.get(place.branch, place.alice)
    clock.leap(61)
    same = await r.get(place.branch, place.alice)
    assert same.body == cold.body and same.cache == "hubgate; fwd=stale; fwd-status=200; stored"
    assert len([blob async for blob in r.kept()]) == 1
    place.repo.commit({"more.txt": "more"})
    clock.leap(61)
    assert b"more.txt" in (await r.get(place.branch, place.alice)).body


async def test_a_token_that_was_taken_back_is_good_for_no_longer_than_the_lease(
    hub: TestHub, start: Starter, clock: Clock, shut: Shut
) -> None:
    r = await start(access__offline_grace=GRACE)
    urls = [shut.pinned, shut.info]
    for each in urls:
        assert (await r.get(each, shut.alice)).status == 200
    shut.repo.admitted = frozenset({shut.b})
    clock.leap(295)
    assert hit(await r.get(shut.pinned, shut.alice))
    clock.leap(6)
    for each in urls:
        assert (await r.get(each, shut.alice)).status == shut.refused(shut.alice)
    hub.stop()
    for each in urls:
        assert (await r.get(each, shut.alice)).status >= 500, "it was refused since"


async def test_the_lease_bounds_what_never_changes(hub: TestHub, start: Starter, clock: Clock, shut: Shut) -> None:
    r = await start(access__lease=40.0)
    for url in (shut.pinned, shut.info):
        await r.get(url, shut.alice)
        clock.leap(39)
        assert hit(await r.get(url, shut.alice))
        clock.leap(2)
        hub.clear()
        got = await r.get(url, shut.alice)
        assert got.status == 200 and "; fwd=" in got.cache and shut.asked == 1
        clock.leap(39)
        assert hit(await r.get(url, shut.alice)), "it counts from when the hub was asked last"


async def test_the_hub_is_not_asked_meanwhile_what_it_tells_strangers(
    hub: TestHub, start: Starter, clock: Clock, shut: Shut
) -> None:
    r = await start()
    assert (await r.get(shut.pinned, shut.alice)).status == 200
    clock.leap(250)
    assert (await r.get(shut.pinned, shut.alice | NO_CACHE)).status == 200
    hub.clear()
    clock.leap(60)
    assert hit(await r.get(shut.pinned, shut.alice)) and hub.requests() == []


async def test_nothing_of_it_outlives_the_process(hub: TestHub, start: Starter, shut: Shut) -> None:
    r = await start(access__offline_grace=GRACE)
    await r.get(shut.info, shut.alice)
    await r.close()
    hub.stop()
    assert (await (await start(access__offline_grace=GRACE)).get(shut.info, shut.alice)).status == 504


# -- what ends it ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["another document", "no-store", "a file"])
async def test_a_refusal_ends_all_that_he_was_told_of_the_repo(
    hub: TestHub, start: Starter, shut: Shut, by: str
) -> None:
    r = await start(access__offline_grace=GRACE)
    for who in (shut.alice, shut.bob):
        for url in (shut.info, shut.pinned):
            assert (await r.get(url, who)).status == 200
    assert (await r.get(shut.url("config.json"), shut.alice)).status == 200
    shut.repo.admitted = frozenset({shut.b})
    refused = {
        "another document": (shut.info, NO_CACHE),
        "no-store": (shut.info, NO_STORE),
        "a file": (shut.url("w.bin"), NO_CACHE),
    }[by]
    assert (await r.get(refused[0], shut.alice | refused[1])).status == shut.refused(shut.alice)
    hub.stop()
    for url in (shut.info, shut.pinned, shut.url("config.json")):
        assert (await r.get(url, shut.alice)).status >= 500
    for url in (shut.info, shut.pinned):
        assert hit(await r.get(url, shut.bob))


@pytest.mark.parametrize("code", [10990101003, 10010205001, 10010205002])
async def test_a_refusal_in_words_ends_it_too(hub: TestHub, start: Starter, code: int) -> None:
    shut, r = Shut(hub, "ms", private=True), await start(access__offline_grace=GRACE)
    for url in (shut.info, shut.branch):
        assert (await r.get(url, shut.alice)).status == 200
    hub.knob(path="/api/v1/models/acme/shut", status=200, body=f'{{"Code":{code},"Message":"no","Success":false}}')
    told = await r.get(shut.info, shut.alice | NO_CACHE)
    assert str(code).encode() in told.body and "stored" not in told.cache
    hub.stop()
    for url in (shut.info, shut.branch):
        assert (await r.get(url, shut.alice)).status == 504


async def test_that_there_is_no_such_revision_ends_nothing_else(hub: TestHub, start: Starter, shut: Shut) -> None:
    r = await start()
    assert (await r.get(shut.info, shut.alice)).status == 200
    for _ in range(2):
        absent = await r.get(shut.listing("nowhere"), shut.alice)
        assert absent.status == (200 if shut.ms else 404) and "stored" not in absent.cache
    hub.stop()
    assert hit(await r.get(shut.info, shut.alice))


async def test_a_path_that_is_not_there_is_told_to_him_again(
    hub: TestHub, start: Starter, clock: Clock, hf: Shut
) -> None:
    r, url = await start(), f"{H}/acme/shut/raw/main/no.txt"
    for _ in range(2):
        got = await r.get(url, hf.alice)
        assert (got.status, got.header("X-Error-Code")) == (404, "EntryNotFound")
    assert got.cache.startswith("hubgate; hit")
    hf.repo.commit({"no.txt": "yes"})
    clock.leap(31)
    assert (await r.get(url, hf.alice)).body == b"yes"


async def test_an_upload_ends_it_for_all(hub: TestHub, start: Starter, clock: Clock, shut: Shut) -> None:
    r = await start(access__offline_grace=GRACE)
    for who in (shut.alice, shut.bob):
        assert (await r.get(shut.branch, who)).status == 200
    shut.repo.commit({"more.txt": "more"})
    await upload(r, shut)
    clock.leap(1)
    assert b"more.txt" in (await r.get(shut.branch, shut.alice)).body
    hub.stop()
    assert hit(await r.get(shut.branch, shut.alice))
    assert (await r.get(shut.branch, shut.bob)).status == 504


@pytest.mark.parametrize("by", ["refusal", "upload"])
async def test_an_answer_from_before_comes_too_late_to_be_kept(
    hub: TestHub, start: Starter, shut: Shut, by: str
) -> None:
    r = await start()
    assert (await r.get(shut.info, shut.alice)).status == 200
    knob = hub.knob(path="*/acme/shut/*", hold="listing", hold_at=1)
    hub.clear()
    before = asyncio.ensure_future(r.get(shut.pinned, shut.alice))
    await until(lambda: hub.requests(path="*/acme/shut/*", status=200), "an answer that is under way")
    hub.unknob(knob)
    if by == "upload":
        await upload(r, shut)
    else:
        shut.repo.admitted = frozenset({shut.b})
        assert (await r.get(shut.info, shut.alice | NO_CACHE)).status == shut.refused(shut.alice)
    hub.release("listing")
    told = await before
    assert told.status == 200 and "stored" not in told.cache
    hub.stop()
    assert (await r.get(shut.pinned, shut.alice)).status == 504


# -- without the hub ------------------------------------------------------------------------------------------------

ALL_DOWN = DOWN | {
    "page": lambda hub: hub.knob(status=200, body="<html>sign in</html>", content_type="text/html"),
}
SAYS = {"refused": 504, "500": 500, "503": 503, "429": 429, "silent": 504, "page": 502}


@pytest.mark.parametrize(
    ("name", "fails"),
    [*(("hf", fails) for fails in ALL_DOWN), *(("ms", fails) for fails in ("refused", "503", "page"))],
)
async def test_while_the_hub_is_down_it_stands_in_to_the_leases_end(
    hub: TestHub, start: Starter, clock: Clock, name: str, fails: str
) -> None:
    shut = Shut(hub, name, private=True)
    r = await start(upstream__connect_timeout=1.0)
    cold = await r.get(shut.info, shut.alice)
    clock.leap(61)
    ALL_DOWN[fails](hub)
    got = await r.get(shut.info, shut.alice)
    marks = "detail=offline" if SAYS[fails] == 504 else "detail=stale-if-error"
    assert (got.status, got.body, got.header("Cache-Control")) == (200, cold.body, "private") and marks in got.cache
    assert (await r.get(shut.info, shut.alice | NO_CACHE)).status == SAYS[fails]
    assert (await r.get(shut.info, shut.stranger)).status == SAYS[fails]
    clock.leap(240)
    late = await r.get(shut.info, shut.alice)
    assert late.status == SAYS[fails] and cold.body not in late.body


async def test_past_that_as_long_as_the_operator_says(hub: TestHub, start: Starter, clock: Clock, shut: Shut) -> None:
    r = await start(access__offline_grace=GRACE)
    cold = {url: await r.get(url, shut.alice) for url in (shut.info, shut.pinned)}
    hub.stop()
    clock.leap(3000)
    for url, told in cold.items():
        got = await r.get(url, shut.alice)
        assert got.body == told.body and got.cache == "hubgate; hit; detail=offline"
        assert (await r.get(url, shut.alice | ONLY)).status == 504
        for who in (shut.bob, shut.stranger, {}):
            assert (await r.get(url, who)).status == 504
    clock.leap(1000)
    for url in cold:
        assert (await r.get(url, shut.alice)).status == 504


async def test_what_stands_in_does_not_grow_younger_by_it(hub: TestHub, start: Starter, clock: Clock, hf: Shut) -> None:
    r = await start(access__offline_grace=100.0)
    assert (await r.get(hf.info, hf.alice)).status == 200
    hub.stop()
    for _ in range(3):
        clock.leap(130)
        assert (await r.get(hf.info, hf.alice)).status == 200
    clock.leap(20)
    assert (await r.get(hf.info, hf.alice)).status == 504


async def test_a_wrong_answer_with_200_is_not_kept(hub: TestHub, start: Starter, hf: Shut) -> None:
    r = await start()
    for kind, body in (("text/html", "<html>"), ("application/json", '{"id": "acme/sh'), ("application/json", "")):
        knob = hub.knob(path="/api/models/acme/shut", status=200, body=body, content_type=kind)
        assert (await r.get(hf.info, hf.alice)).status == 502
        hub.unknob(knob)
    hub.knob(path="/api/models/acme/shut", status=200, body="[" + " " * (33 << 20) + "]")
    got = await r.get(hf.info, hf.alice)
    assert got.status == 502 and "more than" in (got.header("X-Error-Message") or "")
    hub.stop()
    assert (await r.get(hf.info, hf.alice)).status == 504 and not [blob async for blob in r.kept()]


async def test_by_the_name_by_which_he_asked_and_no_other(hub: TestHub, start: Starter, clock: Clock, hf: Shut) -> None:
    r, other = await start(access__offline_grace=GRACE), hf.info.replace(H, "https://hf.co")
    assert (await r.get(other, hf.alice)).status == 200
    hub.clear()
    assert (await r.get(hf.info, hf.alice)).status == 200
    assert [(q.host, q.headers.get("authorization")) for q in hub.requests()] == [("huggingface.co", "Bearer hf_alice")]
    hub.stop()
    for url in (other, hf.info):
        assert hit(await r.get(url, hf.alice))
    clock.leap(400)
    assert hit(await r.get(hf.info, hf.alice))
    assert (await r.get(other, hf.alice)).status == 504, "that it is out of reach says nothing of the hub"


async def test_nobody_chooses_a_spelling_by_which_the_hub_fails(
    hub: TestHub, start: Starter, clock: Clock, hf: Shut
) -> None:
    r = await start(access__offline_grace=GRACE)
    assert (await r.get(hf.pinned, hf.alice)).status == 200
    hf.repo.admitted = frozenset()
    clock.leap(301)
    hub.clear()
    odd = hf.pinned.replace("?", "?" + "&" * 2000)
    hub.knob(path="/api/models/acme/shut/*", status=500)
    assert (await r.get(odd, hf.alice)).status == 500
    hub.unknob()
    assert (await r.get(hf.pinned, hf.alice | {"Accept": "\x7f" * 9000, "User-Agent": "\xe9" * 900})).status == 404
    shown = hub.requests(path="/api/models/acme/shut/*")[-1].headers
    assert (shown["accept"], shown["user-agent"]) == ("*/*", "hubgate")


# -- what the client says -------------------------------------------------------------------------------------------


async def test_a_client_may_have_the_hub_asked_or_not(hub: TestHub, start: Starter, clock: Clock, shut: Shut) -> None:
    r = await start()
    assert (await r.get(shut.info, shut.alice | ONLY)).status == 504 and shut.asked == 0
    relayed = await r.get(shut.info, shut.alice | NO_STORE)
    assert relayed.status == 200 and "bypass" in relayed.cache and not [blob async for blob in r.kept()]
    assert (await r.get(shut.info, shut.alice | ONLY)).status == 504
    assert (await r.get(shut.info, shut.alice)).status == 200
    hub.clear()
    assert hit(await r.get(shut.info, shut.alice | ONLY)) and hub.requests() == []
    assert "fwd=request" in (await r.get(shut.info, shut.alice | NO_CACHE)).cache and shut.asked == 1
    clock.leap(301)
    assert (await r.get(shut.info, shut.alice | ONLY)).status == 504 and shut.asked == 1


@pytest.mark.parametrize("xet", ["bridge", "native"])
async def test_listings_name_xet_only_where_clients_shall_use_it(
    hub: TestHub, start: Starter, hf: Shut, xet: str
) -> None:
    r = await start(hubs__huggingface={"xet": xet})
    hub.knob(page_size=100)
    for _ in range(2):
        got = await r.get(hf.branch, hf.alice)
        named = [entry["path"] for entry in json.loads(got.body) if "xetHash" in entry]
        assert named == (["x.bin"] if xet == "native" else [])
    assert hit(got) and got.header("Content-Length") == str(len(got.body))
    tag = got.header("ETag") or ""
    assert (await r.get(hf.branch, hf.alice | {"If-None-Match": tag})).status == 304


# -- what is open, and what is a file -------------------------------------------------------------------------------


async def test_of_a_gated_repo_the_info_is_for_all_and_the_text_of_a_file_is_his(hub: TestHub, start: Starter) -> None:
    gated, r = Shut(hub, "hf", gated="auto"), await start()
    raw = f"{H}/acme/shut/raw/main/config.json"
    assert (await r.get(gated.info, gated.alice)).header("Cache-Control") != "private"
    assert hit(await r.get(gated.info, gated.stranger)) and hit(await r.get(gated.info))
    cold = await r.get(raw, gated.alice)
    assert (cold.status, cold.body, cold.header("Cache-Control")) == (200, b'{"a": 1}', "private")
    assert hit(await r.get(raw, gated.alice))
    assert (await r.get(raw, gated.stranger)).status == 403 and (await r.get(raw)).status == 401


async def test_what_he_was_told_is_no_lease_for_files(hub: TestHub, start: Starter) -> None:
    gated, r = Shut(hub, "hf", gated="auto"), await start()
    assert (await r.get(gated.url("config.json", gated.repo.head), gated.alice)).status == 200
    assert (await r.get(f"{H}/acme/shut/raw/main/config.json", gated.stranger)).status == 403
    hub.knob(path="/acme/shut/raw/main/README.md", status=200, body="# shut\n")
    for _ in range(2):
        assert (await r.get(f"{H}/acme/shut/raw/main/README.md", gated.stranger)).status == 200
    assert (await r.get(gated.url("config.json", gated.repo.head), gated.stranger)).status == 403


async def test_what_was_told_of_a_closed_repo_is_told_to_all_when_it_opens(
    hub: TestHub, start: Starter, clock: Clock, hf: Shut
) -> None:
    r, url = await start(), f"{H}/acme/shut/raw/main/config.json"
    assert (await r.get(url, hf.alice)).status == 200
    hf.repo.private = False
    clock.leap(301)
    assert (await r.get(url)).body == b'{"a": 1}'
    assert (await r.get(url)).body == b'{"a": 1}'
    assert (await seen(r, url, {}))[0] is not None, "its bytes are public now"


async def test_a_listing_is_asked_for_once_for_its_reader_and_for_his_files(hub: TestHub, start: Starter) -> None:
    shut, r = Shut(hub, "ms", private=True), await start()
    listing = "/api/v1/models/acme/shut/repo/files"
    for path in ("config.json", "w.bin"):
        assert (await r.get(shut.url(path), shut.alice)).body == shut.data(path)
    assert hit(await r.get(shut.branch, shut.alice))
    assert len([q for q in hub.requests(path=listing) if "cookie" in q.headers]) == 1


async def test_who_holds_no_lease_is_told_anew_what_a_file_is(hub: TestHub, start: Starter) -> None:
    shut, r = Shut(hub, "ms", private=True), await start()
    assert (await r.get(shut.branch, shut.alice)).status == 200
    shut.repo.commit({"config.json": '{"a": 2}'})
    assert (await r.get(shut.url("config.json"), shut.alice)).body == b'{"a": 2}'


async def test_who_names_a_digest_first_has_not_made_it_public(hub: TestHub, start: Starter, hf: Shut) -> None:
    text = hf.data("config.json")
    own = hub.add(Repo("mallory/points", files={"x.bin": text}, storage={"x.bin": "lfs"}))
    hub.knob(host="cdn-lfs*", path=f"/repos/{own.lfs_prefix}/*", status=404)
    r, theirs = await start(), f"{H}/mallory/points/resolve/main/x.bin"
    assert (await r.get(theirs)).status >= 400
    await r.idle()
    assert (await r.get(f"{H}/acme/shut/raw/main/config.json", hf.alice)).body == text
    for _ in range(2):
        got = await r.get(theirs)
        assert got.status >= 400 and text not in got.body
    manifest = await r.parts.store.blobs.manifest(f"sha256:{own.file('x.bin').digest}")
    assert manifest is not None and manifest.sealed and not manifest.public


# -- the store ------------------------------------------------------------------------------------------------------


async def test_what_is_gone_is_asked_for_anew(hub: TestHub, start: Starter, shut: Shut) -> None:
    r = await start()
    cold = await r.get(shut.info, shut.alice)
    for blob in [blob async for blob in r.kept()]:
        await r.parts.store.blobs.drop(blob)
    hub.clear()
    assert (await r.get(shut.info, shut.alice | ONLY)).status == 504
    again = await r.get(shut.info, shut.alice)
    assert again.status == 200 and len(again.body) == len(cold.body) and shut.asked == 1
    assert hit(await r.get(shut.info, shut.alice))


async def test_there_are_so_many_rows_and_no_more(
    hub: TestHub, start: Starter, hf: Shut, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confided, "ROOM", 6000)
    r: Any = await start()
    urls = [f"{hf.info}/revision/main?n={number}" for number in range(6)]
    for url in urls:
        assert (await r.get(url, hf.alice)).status == 200
    assert hit(await r.get(urls[-1], hf.alice))
    assert not hit(await r.get(urls[0], hf.alice))
