"""Signed URLs that a plain host hands out: one body for all signatures, and for nobody who was handed none."""

from __future__ import annotations

import itertools

import pytest

from proxy_addon.config.places import OtherHost
from tests.conftest import Starter
from tests.engine.rig import Clock, Rig
from tests.hub import TestHub
from tests.hub.exchange import Answer, Exchange, redirect

RELEASE, OBJECT = "https://plain.example/release", "https://objects.plain.example/bucket/77"
TOKEN = {"Authorization": "Bearer mine"}
AGES = {"ETag": '"r1"', "Last-Modified": "Wed, 01 Oct 2025 00:00:00 GMT", "Cache-Control": "max-age=60"}


@pytest.fixture
async def r(start: Starter, hub: TestHub) -> Rig:
    numbers = itertools.count()

    def release(ex: Exchange) -> Answer:
        lasts = ex.param("lasts", "60")
        return redirect(302, f"{OBJECT}?as={ex.param('as')}&Signature=s{next(numbers)}&Expires={lasts}&Key-Pair-Id=k")

    hub.on("/release", release)
    hub.on("/bucket/*", lambda ex: Answer(200, [*AGES.items()], ex.param("as").encode(), conditional=True), OBJECTS)
    return await start(hubs__others=(OtherHost("plain.example"), OtherHost("objects.plain.example")))


OBJECTS = "objects.plain.example"


async def handed(r: Rig, query: str = "?lasts=9999999999", headers: dict[str, str] | None = None) -> str:
    told = await r.get(RELEASE + query, headers)
    assert told.status == 302 and "stored" not in told.cache
    return told.header("Location") or ""


async def test_one_body_for_all_signatures(hub: TestHub, r: Rig) -> None:
    one, two = await handed(r), await handed(r)
    assert one != two
    assert (await r.get(one)).cache.endswith("stored")
    assert (await r.get(two)).cache.startswith("hubgate; hit")
    assert len(hub.requests(host=OBJECTS)) == 1


async def test_what_is_stale_is_validated_by_the_new_link(hub: TestHub, r: Rig, clock: Clock) -> None:
    await r.get(await handed(r))
    clock.leap(61)
    link = await handed(r)
    assert (await r.get(link)).cache == "hubgate; fwd=stale; fwd-status=304; stored"
    assert hub.requests(host=OBJECTS)[-1].query == link.partition("?")[2]


async def test_what_the_query_says_besides_keeps_apart(r: Rig) -> None:
    for kind in ("a", "b", "a", "b"):
        assert (await r.get(await handed(r, f"?lasts=9999999999&as={kind}"))).body == kind.encode()


async def test_a_link_that_was_not_handed_out_is_for_the_host_to_judge(hub: TestHub, r: Rig) -> None:
    link = await handed(r)
    await r.get(link)
    forged = await r.get(link.replace("Signature=s", "Signature=forged"))
    assert "fwd=bypass" in forged.cache and len(hub.requests(host=OBJECTS)) == 2


async def test_a_link_that_has_ended_is_for_the_host_to_judge(hub: TestHub, r: Rig, clock: Clock) -> None:
    link = await handed(r, f"?lasts={int(clock()) + 30}")
    await r.get(link)
    clock.leap(31)
    assert "fwd=bypass" in (await r.get(link)).cache


async def test_what_somebodys_token_opened_is_his_alone(hub: TestHub, r: Rig) -> None:
    link = await handed(r, headers=TOKEN)
    for count in (1, 2):
        assert "fwd=bypass" in (await r.get(link)).cache
        assert len(hub.requests(host=OBJECTS)) == count


async def test_links_to_hosts_that_are_not_ours_are_not_remembered(hub: TestHub, start: Starter) -> None:
    r = await start(hubs__others=(OtherHost("plain.example"),))
    hub.on("/away", lambda ex: redirect(302, "https://away.example/x?Signature=s"))
    assert (await r.get("https://plain.example/away")).status == 302
    assert r.parts.engine._means.issued.find("https://away.example/x?Signature=s") is None


async def test_a_location_that_makes_no_sense_is_passed_on(hub: TestHub, r: Rig) -> None:
    hub.on("/odd", lambda ex: Answer(302, [("Location", "https://[odd/"), ("Cache-Control", "max-age=60")]))
    got = await r.get("https://plain.example/odd")
    assert (got.status, got.header("Location")) == (302, "https://[odd/") and "stored" not in got.cache
