"""Holders of a lease past its end, while the hub is away: who is asked about first, and how long it is waited for."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Starter
from tests.engine.rig import LINK, Clock
from tests.engine.test_leases import H, Place, unasked
from tests.hub import TestHub

GRACE: dict[str, Any] = {"access__offline_grace": 3600.0}


@pytest.fixture(params=["hf", "ms"])
def gated(request: pytest.FixtureRequest, hub: TestHub) -> Place:
    return Place(hub, request.param, gated="auto")


@pytest.fixture
def hf(hub: TestHub) -> Place:
    return Place(hub, "hf", gated="auto")


@pytest.mark.parametrize("rev", ["branch", "commit"])
async def test_that_the_card_is_open_takes_nothing_from_a_holder(
    hub: TestHub, start: Starter, clock: Clock, hf: Place, rev: str
) -> None:
    r, rev = await start(**GRACE), hf.repo.head if rev == "commit" else ""
    url, card = hf.url("w.bin", rev), hf.repo.file("README.md")
    assert (await r.get(url, hf.alice)).status == 200
    clock.leap(301)
    facts = {"X-Repo-Commit": hf.repo.head, "ETag": f'"{card.oid}"', "Content-Length": str(card.size)}
    hub.knob(path="/acme/shut/resolve/*/README.md", status=200, body="# shut\n", headers=facts)
    assert (await r.get(hf.url("README.md", rev))).status == 200
    await r.idle()
    hub.stop()
    clock.leap(1000)
    got = await r.get(url, hf.alice)
    assert got.body == hf.data("w.bin") and "detail=offline" in got.cache
    assert (await r.get(hf.url("README.md", rev), hf.alice)).body == b"# shut\n"
    for who in ({}, hf.stranger, hf.bob):
        assert (await r.get(url, who)).status >= 500


async def test_a_holder_is_asked_about_before_strangers(
    hub: TestHub, start: Starter, clock: Clock, gated: Place
) -> None:
    r, url = await start(**GRACE), gated.url("w.bin", gated.repo.head)
    assert (await r.get(url, gated.alice)).status == 200
    await r.idle()
    clock.leap(1000)
    hub.clear()
    hub.knob(host="*", status=503)
    got = await r.get(url, gated.alice)
    assert got.body == gated.data("w.bin") and "detail=stale-if-error" in got.cache
    asked = hub.requests()
    assert asked and all({"authorization", "cookie"} & each.headers.keys() for each in asked)


async def test_a_repo_that_has_opened_is_soon_like_any_open_one(
    hub: TestHub, start: Starter, clock: Clock, gated: Place
) -> None:
    r, url = await start(**GRACE), gated.url("config.json", gated.repo.head)
    assert (await r.get(url, gated.alice)).status == 200
    gated.repo.gated = False
    clock.leap(1000)
    assert (await r.get(url, gated.alice)).status == 200
    hub.clear()
    for who in (gated.alice, gated.bob, {}):
        got = await r.get(url, who)
        assert got.body == gated.data("config.json") and got.header("Cache-Control") != "private"
    assert not [each for each in hub.requests() if {"authorization", "cookie"} & each.headers.keys()]


async def test_what_was_told_does_not_wait_for_a_silent_hub_as_if_there_were_nothing(
    hub: TestHub, start: Starter, clock: Clock
) -> None:
    place, patience = Place(hub, "hf", private=True), 600.0
    r = await start(**GRACE, upstream__connect_timeout=patience, upstream__stall_timeout=patience)
    info = f"{H}/api/models/acme/shut"
    told = await r.get(info, place.alice)
    assert told.status == 200
    hub.stop(silent=True)
    clock.leap(1000)
    got = await asyncio.wait_for(r.get(info, place.alice), 40)  # of a silent hub: 60 pass before a handshake ends
    assert got.body == told.body and "detail=offline" in got.cache


# -- under rules that ask for facts ---------------------------------------------------------------------------------


@pytest.fixture
def rules(tmp_path: Path) -> tuple[Path, ...]:
    path = tmp_path / "rules.yaml"
    path.write_text("version: 1\nmode: enforce\nrules: [{id: t, effect: deny, match: {tags: [evil]}}]\n")
    return (path,)


@pytest.fixture(params=["hf", "ms"])
def private(request: pytest.FixtureRequest, hub: TestHub) -> Place:
    return Place(hub, request.param, private=True)


async def test_what_a_holder_was_told_of_the_repo_stands_in_as_his_lease_does(
    hub: TestHub, start: Starter, clock: Clock, private: Place, rules: tuple[Path, ...]
) -> None:
    r, url = await start(rules=rules, **GRACE), private.url("w.bin", private.repo.head)
    assert (await r.get(url, private.alice)).status == 200
    await r.idle()
    hub.stop()
    clock.leap(1000)
    got = await r.get(url, private.alice)
    assert got.body == private.data("w.bin") and "detail=offline" in got.cache
    for who in ({}, private.stranger, private.bob):
        assert (await r.get(url, who)).status >= 500
    clock.leap(3000)
    assert unasked(await r.get(url, private.alice)), "the lease has ended"
    clock.leap(1000)
    late = await r.get(url, private.alice)
    assert late.status == 504 and "the rules ask for" in (late.header("X-Error-Message") or "")


async def test_and_not_when_the_hub_tells_him_nothing_more(
    hub: TestHub, start: Starter, clock: Clock, private: Place, rules: tuple[Path, ...]
) -> None:
    r, url = await start(rules=rules, **GRACE), private.url("w.bin", private.repo.head)
    assert (await r.get(url, private.alice)).status == 200
    private.repo.admitted = frozenset()
    clock.leap(1000)
    hub.clear()
    assert (await r.get(url, private.alice)).status == private.refused(private.alice)
    assert not hub.requests(path="*/resolve/*"), "it was refused what the rules ask for"


async def test_a_silent_hub_is_not_waited_for_by_rules_either(
    hub: TestHub, start: Starter, clock: Clock, rules: tuple[Path, ...]
) -> None:
    place, patience = Place(hub, "hf", private=True), 600.0
    r = await start(rules=rules, **GRACE, upstream__connect_timeout=patience, upstream__stall_timeout=patience)
    url = place.url("w.bin", place.repo.head)
    assert (await r.get(url, place.alice)).status == 200
    await r.idle()
    hub.stop(silent=True)
    clock.leap(1000)
    assert (await asyncio.wait_for(r.get(url, place.alice), 40)).body == place.data("w.bin")


async def test_what_load_balancers_tell_apart_is_asked_once(
    hub: TestHub, start: Starter, rules: tuple[Path, ...]
) -> None:
    place = Place(hub, "ms", private=True)
    r, url = await start(rules=rules), place.url("w.bin", place.repo.head)
    for n in range(2):
        hub.clear()
        assert (await r.get(url, {"Cookie": f"acw_tc={n}; m_session_id={place.a}"})).status == 200
        await r.idle()
    assert hub.requests() == []


async def test_who_shows_his_token_elsewhere_is_told_of_the_failure(
    hub: TestHub, start: Starter, clock: Clock, rules: tuple[Path, ...]
) -> None:
    place = Place(hub, "hf", private=True)
    r, url = await start(rules=rules, **GRACE), place.url("w.bin", place.repo.head)
    link = (await r.get(url, place.alice | LINK)).header("Location") or ""
    assert (await r.get(url, place.alice)).status == 200
    await r.idle()
    elsewhere = f"https://datasets-server.huggingface.co/acme/shut/resolve/{place.repo.head}/w.bin"
    hub.stop()
    clock.leap(1000)
    for asked in (elsewhere, link.partition("?")[0]):
        got = await r.get(asked, place.alice)
        assert got.status >= 400 and place.data("w.bin") not in got.body


async def test_and_shows_nothing_by_which_the_hub_could_be_asked_again(
    hub: TestHub, start: Starter, rules: tuple[Path, ...]
) -> None:
    place = Place(hub, "ms", private=True)
    r, url = await start(rules=rules), place.url("w.bin", place.repo.head)
    assert (await r.get(url, {"Cookie": "acw_tc=1"})).status == place.refused({})
    assert len(hub.requests(path="/api/v1/models/acme/shut")) == 1
