"""Repos that were open once and are closed now: neither what is still open of them nor a client opens what is here."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import pytest

from proxy_addon.answer.relay import failed_with
from proxy_addon.core.errors import UpstreamFailed
from proxy_addon.core.messages import Headers, StoredResponse
from proxy_addon.core.reuse import on_upstream_failure
from proxy_addon.core.storing import Terms
from tests.conftest import Starter
from tests.engine.rig import Clock, Rig, request_for, until
from tests.engine.test_leases import Place
from tests.hub import Repo, TestHub

HF, MS = "https://huggingface.co", "https://www.modelscope.cn"
DAY = 86400.0
WEIGHTS = b"weights" * 40_000
FILES: dict[str, bytes | str] = {"README.md": "# hi\n", "w.bin": WEIGHTS, "config.json": "{}"}
STORAGE: dict[str, Literal["lfs"]] = {"w.bin": "lfs"}
LONG = "x" * 9000  # as a field or in a query the hub does not take it
INFO, TEXT = f"{HF}/api/models/me/was-open", f"{HF}/me/was-open/raw/main/config.json"


async def warm(r: Rig, *urls: str) -> None:
    for url in urls:
        assert (await r.get(url)).status == 200
    await r.idle()


@pytest.fixture
def repo(hub: TestHub) -> Repo:
    return hub.add(Repo("me/was-open", files=FILES, storage=STORAGE))


async def test_that_it_has_moved_proves_nothing(hub: TestHub, start: Starter, clock: Clock, repo: Repo) -> None:
    r, url = await start(), f"{HF}/me/was-open/resolve/{repo.head}/w.bin"
    await warm(r, url)
    hub.add(Repo("me/moved", files=FILES, storage=STORAGE, private=True))
    hub.rename("me/was-open", "me/moved")
    clock.leap(DAY + 3600)
    assert (await r.get(f"{HF}/me/was-open/resolve/main/other.bin")).status == 307
    assert (await r.get(url)).status == 307


@pytest.mark.parametrize(
    ("path", "status", "body", "fields"),
    [("README.md", 200, "# hi\n", {}), ("none.json", 404, "Entry not found", {"X-Error-Code": "EntryNotFound"})],
)
async def test_an_open_text_of_a_gated_repo_proves_nothing(
    hub: TestHub, start: Starter, clock: Clock, repo: Repo, path: str, status: int, body: str, fields: dict[str, str]
) -> None:
    r, url = await start(), f"{HF}/me/was-open/resolve/{repo.head}/w.bin"
    await warm(r, url)
    repo.gated = "auto"
    hub.knob(path=f"/me/was-open/raw/*/{path}", status=status, body=body, headers=fields)
    clock.leap(DAY + 3600)
    assert (await r.get(f"{HF}/me/was-open/raw/main/{path}")).status == status
    assert (await r.get(url)).status == 401


async def test_nor_if_it_is_still_the_same(hub: TestHub, start: Starter, clock: Clock, repo: Repo) -> None:
    r, url, card = await start(), f"{HF}/me/was-open/resolve/{repo.head}/w.bin", f"{HF}/me/was-open/raw/main/README.md"
    await warm(r, url, card)
    repo.gated = "auto"
    hub.knob(path="/me/was-open/raw/*/README.md", status=304)
    clock.leap(DAY + 3600)
    assert "fwd-status=304" in (await r.get(card)).cache
    assert (await r.get(url)).status == 401


async def test_nor_does_a_page_that_wants_people_to_log_in(
    hub: TestHub, start: Starter, clock: Clock, repo: Repo
) -> None:
    r, url = await start(), f"{HF}/me/was-open/resolve/{repo.head}/w.bin"
    await warm(r, url)
    repo.private = True
    hub.knob(path="/me/was-open/raw/*", status=200, body="<html>", content_type="text/html; charset=utf-8")
    clock.leap(DAY + 3600)
    for _ in range(2):
        assert (await r.get(TEXT)).body == b"<html>"
    assert len(hub.requests(path="/me/was-open/raw/*")) == 2
    assert (await r.get(url)).status == 401


async def test_the_open_card_of_a_gated_repo_is_kept_like_any_text(
    hub: TestHub, start: Starter, clock: Clock, repo: Repo
) -> None:
    r, card = await start(), f"{HF}/me/was-open/raw/main/README.md"
    repo.gated = "auto"
    hub.knob(path="/me/was-open/raw/*/README.md", status=200, body="# hi\n", content_type="text/plain")
    await warm(r, card, card)
    assert r.parts.engine.quick(request_for("GET", card)) is not None
    await r.close()
    r = await start()
    hub.clear()
    assert (await r.get(card)).cache.startswith("hubgate; hit") and hub.requests() == []
    clock.leap(3600)
    hub.stop()
    assert "detail=offline" in (await r.get(card)).cache


async def test_the_card_of_a_gated_repo_of_modelscope_proves_nothing(
    hub: TestHub, start: Starter, clock: Clock
) -> None:
    repo = hub.add(Repo("me/was-open", files=FILES, storage=STORAGE, hub="modelscope"))
    r, base = await start(), f"{MS}/api/v1/models/me/was-open/repo?Revision=master&FilePath="
    await warm(r, f"{base}w.bin")
    repo.gated = "manual"
    card = hub.knob(path="/api/v1/models/me/was-open/repo", status=200, body="# hi\n", content_type="text/plain")
    clock.leap(DAY + 3600)
    assert (await r.get(f"{base}README.md")).status == 200
    clock.leap(1200)
    hub.clear()
    assert (await r.get(f"{base}README.md")).status == 200
    assert hub.requests(path="*/repo") == [], "that it may be shown was proven an hour ago"
    hub.unknob(card)
    assert (await r.get(f"{base}w.bin")).status == 403


async def test_nor_does_one_that_no_listing_names(hub: TestHub, start: Starter, clock: Clock) -> None:
    repo = hub.add(Repo("me/was-open", files=FILES, storage=STORAGE, hub="modelscope"))
    hub.knob(path="/api/v1/models/me/was-open/repo/files", status=500)
    r, base = await start(), f"{MS}/api/v1/models/me/was-open/repo?Revision=master&FilePath="
    await warm(r, f"{base}w.bin")
    digest = repo.file("w.bin").digest
    link = f"https://cdn-lfs-cn-1.modelscope.cn/prod/lfs-objects/{digest[:2]}/{digest[2:4]}/{digest[4:]}"
    told = {"X-Linked-ETag": f'"{digest}"', "X-Linked-Size": str(len(WEIGHTS))}
    hub.knob(path="/api/v1/models/me/was-open/repo", redirect=link, headers=told)
    clock.leap(DAY + 3600)
    assert (await r.head(f"{base}README.md")).status == 200
    hub.unknob()
    repo.gated = "manual"
    assert (await r.get(f"{base}w.bin")).status == 403


@pytest.fixture
def urls(repo: Repo) -> list[str]:
    """A file, a layer, the repo's info and a text."""
    layer = f"https://hf.co/v2/me/was-open/blobs/sha256:{repo.file('w.bin').sha256}?hubgate=bytes"
    return [f"{HF}/me/was-open/resolve/{repo.head}/w.bin", layer, INFO, TEXT]


@pytest.mark.parametrize("which", range(4))
@pytest.mark.parametrize("field", ["User-Agent", "Accept", "Content-Type"])
async def test_a_client_cannot_make_the_hub_seem_away(
    hub: TestHub, start: Starter, clock: Clock, repo: Repo, urls: list[str], which: int, field: str
) -> None:
    r, url = await start(), urls[which]
    await warm(r, url)
    repo.private = True
    clock.leap(2 * DAY)
    hub.clear()
    got = await r.get(url, {field: LONG})
    assert got.status >= 300 and "stale-if-error" not in got.cache and "offline" not in got.cache
    assert all(LONG not in asked.headers.values() for asked in hub.requests())


@pytest.mark.parametrize("url", [f"{TEXT}?{LONG}", f"{INFO}?{'&' * 9000}"])
async def test_nor_by_how_he_spells_a_url(hub: TestHub, start: Starter, clock: Clock, repo: Repo, url: str) -> None:
    r = await start()
    await warm(r, url.partition("?")[0])
    repo.private = True
    clock.leap(2 * DAY)
    assert (await r.get(url)).status == 401


@pytest.mark.parametrize(
    ("told", "heard"), [(400, 400), (413, 413), (431, 431), (408, None), (429, 429), (502, None), (504, None)]
)
def test_what_the_hub_says_of_the_request_is_no_failure_of_its_own(told: int, heard: int | None) -> None:
    assert failed_with(UpstreamFailed("said", told)) == heard
    row = StoredResponse(200, Headers(), 0.0, 0.0, blob="sha256:a", size=1)
    request = request_for("GET", TEXT)
    stands_in = on_upstream_failure(request, (row,), 2.0, Terms(lifetime=1.0, stale_if_error=60.0), heard)
    assert stands_in == (row if told in (408, 429, 502, 504) else None)


@pytest.mark.parametrize("asked", [{}, {"Cache-Control": "stale-if-error=999999999"}])
async def test_a_proof_stands_in_no_longer_than_the_operator_says(
    hub: TestHub, start: Starter, clock: Clock, repo: Repo, urls: list[str], asked: dict[str, str]
) -> None:
    r, urls = await start(freshness__stale_if_error=3600.0), [f"{HF}/me/was-open/resolve/main/w.bin", *urls]
    await warm(r, *urls)
    repo.private = True
    clock.leap(300 * DAY)
    hub.knob(path="/api/models", status=429, retry_after=60, times=1)
    assert (await r.get(f"{HF}/api/models?search=x")).status == 429
    assert [(await r.get(url, asked)).status for url in urls] == [429] * 5


async def test_what_is_still_open_goes_on_for_that_long(
    hub: TestHub, start: Starter, clock: Clock, urls: list[str]
) -> None:
    r = await start(freshness__stale_if_error=2 * DAY)
    bodies = [(await r.get(url)).body for url in urls]
    await r.idle()
    hub.stop()
    clock.leap(2 * DAY - 600)
    for url, body in zip(urls, bodies, strict=True):
        got = await r.get(url)
        assert got.body == body and "detail=offline" in got.cache
    clock.leap(DAY + 600)
    assert [(await r.get(url)).status for url in urls] == [504] * 4


async def test_an_answer_from_before_a_refusal_opens_nothing_again(
    hub: TestHub, start: Starter, clock: Clock, repo: Repo
) -> None:
    r, url = await start(), f"{HF}/me/was-open/resolve/{repo.head}/w.bin"
    await warm(r, url, TEXT)
    clock.leap(DAY + 3600)
    hub.clear()
    hub.knob(path="/me/was-open/raw/*", hold="midway", hold_at=0)
    late = asyncio.create_task(r.get(TEXT, {"Cache-Control": "no-cache"}))
    await until(lambda: hub.requests(path="/me/was-open/raw/*", status=200), "an answer that is under way")
    clock.leap(1)
    repo.private = True
    assert (await r.get(url)).status == 401
    hub.release("midway")
    assert (await late).status == 200
    clock.leap(400)
    assert (await r.get(url)).status == 401
    hub.stop()
    assert (await r.get(url)).status >= 500


@pytest.mark.parametrize("on", ["huggingface", "modelscope"])
async def test_who_reads_other_files_each_day_has_the_card_when_the_hub_is_down(
    hub: TestHub, start: Starter, clock: Clock, on: Literal["huggingface", "modelscope"]
) -> None:
    made = hub.add(Repo("me/read", files=FILES, storage=STORAGE, hub=on))
    base = f"{HF}/me/read/resolve/{made.head}/" if on == "huggingface" else f"{MS}/models/me/read/resolve/{made.head}/"
    r, card = await start(), f"{base}README.md"
    await warm(r, card, f"{base}config.json")
    for _ in range(9):
        clock.leap(DAY + 60)
        assert (await r.get(f"{base}config.json")).status == 200
    hub.stop()
    for _ in range(2):
        assert (await r.get(card)).body == b"# hi\n"
        clock.leap(DAY + 60)


async def test_a_layer_that_is_to_be_validated_is_no_stale_one(
    hub: TestHub, start: Starter, clock: Clock, urls: list[str]
) -> None:
    r = await start()
    await warm(r, urls[1])
    hub.stop()
    clock.leap(DAY + 60)
    assert (await r.get(urls[1], {"Cache-Control": "no-cache"})).status == 504
    assert (await r.get(urls[1])).body == WEIGHTS


@pytest.mark.parametrize("on", ["huggingface", "modelscope"])
@pytest.mark.parametrize("closed", [{"gated": "auto"}, {"private": True}])
@pytest.mark.parametrize("path", ["w.bin", "config.json"])
async def test_bytes_that_strangers_are_refused_now_are_had_by_who_may(
    hub: TestHub, start: Starter, clock: Clock, on: str, closed: dict[str, Any], path: str
) -> None:
    place = Place(hub, "ms" if on == "modelscope" else "hf")
    r, url, here = await start(), place.url(path, place.repo.head), place.url("x.bin", place.repo.head)
    await warm(r, here)
    assert (await r.head(url)).status == 200
    vars(place.repo).update(closed)
    clock.leap(3600)
    readers = [(place.alice, True), ({}, False), (place.bob, True), (place.stranger, False)]
    for _ in range(2):
        for got, (who, may) in zip(
            await asyncio.gather(*(r.get(url, who) for who, _ in readers)), readers, strict=True
        ):
            assert (got.status, got.body == place.data(path)) == ((200, True) if may else (place.refused(who), False))
    assert (await r.get(here)).status == place.refused({}), "so much is known of the other files, too"


async def test_and_so_is_a_layer(hub: TestHub, start: Starter, clock: Clock, repo: Repo, urls: list[str]) -> None:
    r = await start()
    assert (await r.head(urls[1])).status == 200
    repo.private = True
    clock.leap(3600)
    got = await r.get(urls[1])
    assert (got.status, got.reply.outcome.detail) == (307, "access"), "the hub's own answer"
    assert (await r.get(got.header("Location") or "")).status == 401


async def test_what_a_mirror_refuses_says_nothing(hub: TestHub, start: Starter, clock: Clock, repo: Repo) -> None:
    r = await start(hubs__huggingface={"mirrors": ["https://mirror.example"]})
    hub.knob(host="mirror.example", status=403)
    url = f"{HF}/me/was-open/resolve/{repo.head}/config.json"
    assert (await r.head(url)).status == 200
    clock.leap(400)  # where the bytes are is to be asked for again
    await warm(r, url)
    assert hub.requests(host="mirror.example", method="GET", status=403)
    hub.clear()
    assert (await r.get(url)).cache.startswith("hubgate; hit") and hub.requests() == []


async def test_nor_does_that_something_else_of_it_is_gone(
    hub: TestHub, start: Starter, clock: Clock, repo: Repo
) -> None:
    """It was told of in a head, and went with its commit before anybody had the bytes."""
    r, here = await start(), f"{HF}/me/was-open/resolve/{repo.head}/config.json"
    gone = f"{HF}/me/was-open/resolve/{repo.head}/w.bin"
    await warm(r, here)
    assert (await r.head(gone)).status == 200
    hub.knob(host="cdn-lfs*", status=403)
    hub.knob(path="*/w.bin", status=404, body="gone", headers={"X-Error-Code": "RevisionNotFound"})
    for _ in range(2):
        assert (await r.get(gone)).status == 404
    hub.clear()
    assert (await r.get(here)).cache.startswith("hubgate; hit") and hub.requests() == []


async def test_nor_a_refusal_where_the_hub_gives_the_file_after_all(hub: TestHub, start: Starter) -> None:
    """Of a place that it has named before, or of the commit that a listing names."""
    head = hub.add(Repo("me/was-open", files=FILES)).head
    hub.add(Repo("me/was-open", files=FILES, hub="modelscope"))
    bases = [f"{HF}/me/was-open/resolve/{head}", f"{MS}/models/me/was-open/resolve/master"]
    r = await start()
    await warm(r, *(f"{base}/README.md" for base in bases))
    for base in bases:
        assert (await r.head(f"{base}/config.json")).status == 200
    for path in ("/api/resolve-cache/*", "/api/v1/models/me/was-open/repo"):
        hub.knob(path=path, method="GET", status=404, body="no", times=1)
    await warm(r, *(f"{base}/config.json" for base in bases))
    assert len(hub.requests(method="GET", status=404)) == 2
    hub.clear()
    for base in bases:
        assert (await r.get(f"{base}/config.json")).cache.startswith("hubgate; hit")
    assert hub.requests() == []


async def test_a_hub_that_is_away_is_not_asked_once_more_in_the_clients_name(
    hub: TestHub, start: Starter, clock: Clock, urls: list[str]
) -> None:
    r = await start()
    for url in urls[:2]:
        assert (await r.head(url)).status == 200
    clock.leap(DAY + 60)
    hub.knob(host="*", status=503)
    got = await asyncio.gather(*(r.get(url) for url in urls[:2]))
    assert [(each.status, each.reply.outcome.detail) for each in got] == [(503, "upstream-failed")] * 2
