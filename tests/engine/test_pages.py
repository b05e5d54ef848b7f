"""A page where a document is due: a hotel's login, a hub under repair. It is nobody's answer, and proves nothing."""

from __future__ import annotations

import json

import pytest

from tests.conftest import Starter
from tests.engine.rig import Clock
from tests.hub import TestHub

H, M = "https://huggingface.co", "https://www.modelscope.cn"
PAGE = "<html>Please log in</html>"
DOCUMENTS = (
    f"{H}/api/models/acme/tiny",
    f"{H}/api/models/acme/tiny/tree/main",
    f"{H}/api/models/acme/tiny/refs",
    f"{M}/api/v1/models/acme/tiny/repo/files?Revision=master",
)


def logged_out(hub: TestHub) -> int:
    return hub.knob(path="/api/*", status=200, body=PAGE, content_type="text/html; charset=utf-8")


@pytest.mark.parametrize("url", DOCUMENTS)
async def test_it_is_not_kept(hub: TestHub, start: Starter, url: str) -> None:
    r = await start()
    knob = logged_out(hub)
    for _ in range(2):
        got = await r.get(url)
        assert got.status == 502 and PAGE.encode() not in got.body and b"a page where a document was due" in got.body
    hub.unknob(knob)
    right = await r.get(url)
    assert right.status == 200 and json.loads(right.body) and "stored" in right.cache


@pytest.mark.parametrize("url", DOCUMENTS)
async def test_what_is_stored_stands_in(hub: TestHub, start: Starter, clock: Clock, url: str) -> None:
    r = await start()
    right = await r.get(url)
    clock.leap(61)
    logged_out(hub)
    got = await r.get(url)
    assert (got.status, got.body) == (200, right.body) and "detail=stale-if-error" in got.cache


async def test_a_page_does_not_make_a_repo_public(hub: TestHub, start: Starter) -> None:
    r, url = await start(), f"{H}/api/models/acme/private"
    knob = logged_out(hub)
    assert (await r.get(url)).status == 502
    hub.unknob(knob)
    told = await r.get(url, {"Authorization": "Bearer hf_reader"})
    assert told.status == 200 and told.header("Cache-Control") == "private"
    assert (await r.get(url)).status == 401


RAW = f"{H}/acme/tiny/raw"


@pytest.mark.parametrize("rev", ["main", "commit"])
async def test_one_in_place_of_a_text_is_told_and_not_kept(hub: TestHub, start: Starter, rev: str) -> None:
    repo = hub.repo("acme/tiny")
    r, url = await start(), f"{RAW}/{repo.head if rev == 'commit' else rev}/config.json"
    assert (await r.get(f"{H}/acme/tiny/resolve/main/config.json")).status == 200  # the repo is open
    knob = hub.knob(path="/acme/tiny/raw/*", status=200, body=PAGE, content_type="text/html; charset=utf-8")
    for _ in range(2):
        got = await r.get(url)
        assert (got.status, got.body) == (200, PAGE.encode()) and "stored" not in got.cache and "hit" not in got.cache
    hub.unknob(knob)
    right = await r.get(url)
    source = repo.file("config.json").source
    assert right.body == source.read(0, source.size) and "stored" in right.cache


@pytest.mark.parametrize("who", [{}, {"Authorization": "Bearer hf_reader"}])
async def test_that_there_was_no_such_text_is_none(
    hub: TestHub, start: Starter, clock: Clock, who: dict[str, str]
) -> None:
    repo = hub.repo("acme/private" if who else "acme/tiny")
    r, url = await start(), f"{H}/{repo.id}/raw/main/new.html"
    assert (await r.get(url, who)).status == 404
    clock.leap(200)
    repo.commit({"new.html": PAGE})
    hub.knob(path="*/raw/*", headers={"Content-Type": "text/html"})
    got = await r.get(url, who)
    assert (got.status, got.body) == (200, PAGE.encode())


@pytest.mark.parametrize("who", [{}, {"Authorization": "Bearer hf_reader"}])
async def test_nor_does_it_take_the_place_of_one(
    hub: TestHub, start: Starter, clock: Clock, who: dict[str, str]
) -> None:
    url = f"{H}/acme/private/raw/main/config.json" if who else f"{RAW}/main/config.json"
    r = await start(freshness__ref=60.0)
    right = await r.get(url, who)
    assert right.status == 200
    clock.leap(200)
    hub.knob(path="*/raw/*", status=200, body=PAGE, content_type="text/html")
    for _ in range(2):
        got = await r.get(url, who)
        assert got.body == right.body and "detail=stale-if-error" in got.cache
