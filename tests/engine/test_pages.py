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


async def test_raw_text_may_be_html(hub: TestHub, start: Starter) -> None:
    r = await start()
    hub.knob(path="/acme/tiny/raw/*", headers={"Content-Type": "text/html"})
    got = await r.get(f"{H}/acme/tiny/raw/main/config.json")
    assert got.status == 200 and "stored" in got.cache
