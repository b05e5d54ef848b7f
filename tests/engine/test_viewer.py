"""The dataset viewer: what is the same for all is kept; rows, which hold signed links, are not; nor what is closed."""

from __future__ import annotations

import pytest

from tests.conftest import Starter
from tests.engine.rig import Clock
from tests.hub import Repo, TestHub

V = "https://datasets-server.huggingface.co"
INFO = "https://huggingface.co/api/datasets/acme/closed-ds"
READER = {"Authorization": "Bearer hf_reader"}
KEPT = ("is-valid", "splits", "parquet", "info", "size")


@pytest.mark.parametrize("what", KEPT)
async def test_what_is_the_same_for_all_is_kept(hub: TestHub, start: Starter, clock: Clock, what: str) -> None:
    r, url = await start(), f"{V}/{what}?dataset=acme/tiny-ds"
    cold = await r.get(url)
    warm = await r.get(f"{V}/{what}?dataset=acme%2Ftiny-ds", READER)
    assert warm.body == cold.body and warm.cache.startswith("hubgate; hit")
    assert warm.header("X-Revision") == hub.repo("acme/tiny-ds", "datasets").head
    assert len(hub.requests()) == 1
    clock.leap(61)
    hub.stop()
    offline = await r.get(url)
    assert offline.body == cold.body and "detail=offline" in offline.cache


async def test_rows_hold_signed_links_and_are_relayed(hub: TestHub, start: Starter) -> None:
    r, url = await start(), f"{V}/rows?dataset=acme/tiny-ds&config=default&split=train&offset=0&length=10"
    for count in (1, 2):
        got = await r.get(url)
        assert b"Signature=" in got.body and "fwd=bypass" in got.cache
        assert len(hub.requests()) == count


async def test_what_is_closed_is_asked_for_with_the_clients_own_token(hub: TestHub, start: Starter) -> None:
    hub.add(Repo("acme/closed-ds", "dataset", {"a.csv": "a\n"}, gated="auto", readers={"hf_reader"}))
    r, url = await start(), f"{V}/parquet?dataset=acme/closed-ds"
    refused = await r.get(url)
    assert (refused.status, refused.header("X-Error-Code")) == (401, "ExternalUnauthenticatedError")
    for _ in range(2):
        got = await r.get(url, READER)
        assert got.status == 200 and "detail=access" in got.cache and "stored" not in got.cache
    assert (await r.get(url)).status == 401


async def test_what_the_viewer_refuses_says_nothing_of_the_listing(hub: TestHub, start: Starter) -> None:
    hub.add(Repo("acme/closed-ds", "dataset", {"a.csv": "a\n"}, gated="auto", readers={"hf_reader"}))
    r = await start()
    assert (await r.get(INFO)).status == 200
    assert (await r.get(f"{V}/info?dataset=acme/closed-ds")).status == 401
    for headers in ({}, READER):
        assert (await r.get(INFO, headers)).cache.startswith("hubgate; hit")
    assert len(hub.requests(host="huggingface.co")) == 1


async def test_an_upload_takes_the_proof_away(hub: TestHub, start: Starter) -> None:
    r, url, repo = await start(), f"{V}/info?dataset=acme/tiny-ds", "huggingface/datasets/acme/tiny-ds"
    await r.get(url)
    await r.parts.engine._means.public.forget(repo)
    hub.clear()
    assert (await r.get(url)).status == 200
    assert len(hub.requests()) == 1
