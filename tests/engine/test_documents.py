"""API answers and other small documents: kept for a while, validated, stood in for, and never somebody else's."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.conftest import Starter
from tests.engine.rig import Clock
from tests.hub import TestHub

H = "https://huggingface.co"
INFO = f"{H}/api/models/acme/tiny"
TREE = f"{INFO}/tree/main?recursive=true&expand=false"
READER, OTHER = {"Authorization": "Bearer hf_reader"}, {"Authorization": "Bearer hf_other"}


async def test_fresh_for_its_lifetime(hub: TestHub, start: Starter, clock: Clock) -> None:
    r = await start()
    cold = await r.get(INFO)
    assert cold.cache == "hubgate; fwd=uri-miss; fwd-status=200; stored"
    assert json.loads(cold.body)["sha"] == hub.repo("acme/tiny").head
    clock.leap(58)
    warm = await r.get(INFO)
    assert warm.body == cold.body and warm.cache.startswith("hubgate; hit; ttl=")
    head = await r.head(INFO)
    assert (head.body, head.header("Content-Length")) == (b"", str(len(cold.body)))
    assert len(hub.requests()) == 1


async def test_then_validated_with_the_stored_etag(hub: TestHub, start: Starter, clock: Clock) -> None:
    r = await start()
    cold = await r.get(INFO)
    clock.leap(61)
    same = await r.get(INFO)
    assert same.body == cold.body and same.cache == "hubgate; fwd=stale; fwd-status=304; stored"
    assert hub.requests()[1].headers["if-none-match"] == cold.header("ETag")
    assert (await r.get(INFO)).cache.startswith("hubgate; hit")
    hub.repo("acme/tiny").commit({"x": "y"})
    clock.leap(61)
    changed = await r.get(INFO)
    assert json.loads(changed.body)["sha"] == hub.repo("acme/tiny").head
    assert changed.cache == "hubgate; fwd=stale; fwd-status=200; stored"


async def test_at_a_commit_for_a_day(hub: TestHub, start: Starter, clock: Clock) -> None:
    r, sha = await start(), hub.repo("acme/tiny").head
    for url in (f"{INFO}/revision/{sha}", f"{INFO}/tree/{sha}?recursive=true", f"{H}/acme/tiny/raw/{sha}/config.json"):
        await r.get(url)
        clock.leap(6 * 3600)
        hub.clear()
        assert (await r.get(url)).status == 200
        assert hub.requests() == []


async def test_spelling_of_the_query_does_not_matter(hub: TestHub, start: Starter) -> None:
    r = await start()
    first = await r.get(TREE)
    second = await r.get(f"{INFO}/tree/main?expand=False&recursive=True")
    assert first.body == second.body and len(hub.requests()) == 1


async def test_pages_and_their_links(hub: TestHub, start: Starter) -> None:
    r, url, seen, links = await start(), TREE, [], []
    for _ in range(2):
        url = TREE
        while url:
            got = await r.get(url)
            seen += [entry["path"] for entry in json.loads(got.body)]
            links.append(got.header("Link"))
            url = (got.header("Link") or "").partition("<")[2].partition(">")[0]
    assert seen[: len(seen) // 2] == seen[len(seen) // 2 :] and {"config.json", "model.safetensors"} <= set(seen)
    assert len(hub.requests()) == len(links) // 2 > 1


@pytest.mark.parametrize("xet", ["bridge", "auto", "native"])
async def test_listings_name_xet_only_where_clients_shall_use_it(hub: TestHub, start: Starter, xet: str) -> None:
    r = await start(hubs__huggingface={"xet": xet})
    hub.knob(page_size=100)
    listing = await r.get(TREE)
    named = [e["path"] for e in json.loads(listing.body) if "xetHash" in e]
    assert named == (["model.safetensors"] if xet == "native" else [])
    weights = next(e for e in json.loads(listing.body) if e["path"] == "model.safetensors")
    assert weights["lfs"]["oid"] == hub.repo("acme/tiny").file("model.safetensors").sha256
    theirs = await r.get(f"{H}/api/whoami-v2", READER)  # not a listing: untouched
    assert theirs.status == 200
    assert listing.header("Content-Length") == str(len(listing.body))


async def test_an_edited_answer_has_an_etag_of_its_own(hub: TestHub, start: Starter, clock: Clock) -> None:
    hub.knob(page_size=100)
    native, bridge = await start("a", hubs__huggingface={"xet": "native"}), await start("b")
    theirs, ours = (await native.get(TREE)).header("ETag"), (await bridge.get(TREE)).header("ETag")
    assert theirs and ours and theirs != ours
    assert (await bridge.get(TREE, {"If-None-Match": ours})).status == 304
    assert (await bridge.get(TREE, {"If-None-Match": theirs})).status == 200
    clock.leap(61)
    assert (await bridge.get(TREE)).cache == "hubgate; fwd=stale; fwd-status=304; stored"
    assert hub.requests()[-1].headers["if-none-match"] == theirs


async def test_two_ways_to_treat_xet_do_not_share_listings(hub: TestHub, start: Starter) -> None:
    hub.knob(page_size=100)
    first = await start(hubs__huggingface={"xet": "native"})
    await first.get(TREE)
    await first.close()
    assert b"xetHash" not in (await (await start()).get(TREE)).body


async def test_paths_info_is_kept_by_its_body(hub: TestHub, start: Starter) -> None:
    r, url = await start(), f"{INFO}/paths-info/main"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    bodies = (b"paths=config.json&expand=False", b"paths=model.safetensors&expand=False")
    for body in (*bodies, *bodies):
        got = await r.get(url, form, "POST", body)
        assert [e["path"] for e in json.loads(got.body)] == [body.decode().partition("=")[2].partition("&")[0]]
        assert b"xetHash" not in got.body
    assert [q.body for q in hub.requests()] == [body.decode() for body in bodies]


async def test_a_body_is_read_as_its_type_says(hub: TestHub, start: Starter) -> None:
    r, url, body = await start(), f"{INFO}/paths-info/main", b'{"paths":["config.json"]}'
    for kind, paths in (("application/x-www-form-urlencoded", []), ("application/json", ["config.json"])) * 2:
        got = await r.get(url, {"Content-Type": kind}, "POST", body)
        assert [entry["path"] for entry in json.loads(got.body)] == paths
    assert len(hub.requests()) == 2
    assert (await r.get(url, {"Content-Type": "application/json"}, "GET", body)).status == 405


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_a_hub_in_trouble_is_stood_in_for(hub: TestHub, start: Starter, clock: Clock, status: int) -> None:
    r = await start()
    cold = await r.get(INFO)
    clock.leap(61)
    hub.knob(status=status)
    got = await r.get(INFO)
    assert got.body == cold.body and "hit" in got.cache and "detail=" in got.cache
    assert (await r.get(f"{H}/api/models/acme/nc")).status == status


async def test_with_the_hub_gone(hub: TestHub, start: Starter, clock: Clock) -> None:
    r = await start()
    cold = await r.get(INFO)
    hub.stop()
    clock.leap(3600)
    got = await r.get(INFO)
    assert (got.body, got.cache) == (cold.body, "hubgate; hit; detail=offline")
    assert (await r.get(f"{INFO}/refs")).status == 504


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_decision_of_the_hub_is_passed_on(hub: TestHub, start: Starter, clock: Clock, status: int) -> None:
    r = await start()
    await r.get(INFO)
    clock.leap(61)
    knob = hub.knob(status=status, headers={"X-Error-Message": "no", "Set-Cookie": "a=b"})
    got = await r.get(INFO)
    assert (got.status, got.header("X-Error-Message"), "stored" in got.cache) == (status, "no", False)
    hub.unknob(knob)
    if status != 404:
        hub.stop()  # what the hub has refused is not brought back by its absence
        assert (await r.get(INFO)).status == 504


async def test_a_refusal_counts_for_all_of_a_repos_documents(hub: TestHub, start: Starter, clock: Clock) -> None:
    r, repo = await start(), hub.repo("acme/tiny")
    pinned = f"{INFO}/tree/{repo.head}"
    for url in (INFO, pinned):
        await r.get(url)
    clock.leap(61)
    repo.private = True
    assert (await r.get(pinned)).status == 200  # nobody has asked yet
    assert (await r.get(INFO)).status == 401
    assert (await r.get(pinned)).status == 401
    assert (await r.get(pinned, OTHER)).status == 404


async def test_a_private_listing_is_nobody_elses(hub: TestHub, start: Starter) -> None:
    r, url = await start(), f"{H}/api/models/acme/private"
    assert (await r.get(url)).status == 401
    for _ in range(2):
        mine = await r.get(url, READER)
        assert json.loads(mine.body)["id"] == "acme/private" and mine.header("Cache-Control") == "private"
    assert (await r.get(url, OTHER)).status == 404
    assert (await r.get(url)).status == 401
    hub.stop()
    for who in ({}, OTHER):
        assert (await r.get(url, who)).status == 504


async def test_a_gated_repos_listing_is_public_and_its_files_are_not(hub: TestHub, start: Starter) -> None:
    r = await start()
    assert (await r.get(f"{H}/api/models/acme/gated", READER)).status == 200
    assert (await r.get(f"{H}/api/models/acme/gated")).cache.startswith("hubgate; hit")
    assert (await r.get(f"{H}/acme/gated/resolve/main/config.json")).status == 401
    assert (await r.get(f"{H}/acme/gated/raw/main/config.json")).status == 401
    assert (await r.get(f"{H}/api/models/acme/gated")).status == 200


async def test_raw_text_is_shown_on_the_proof_of_the_files_alone(hub: TestHub, start: Starter, clock: Clock) -> None:
    r, repo = await start(), hub.repo("acme/tiny")
    raw, other = (f"{H}/acme/tiny/raw/{repo.head}/{path}" for path in ("config.json", "README.md"))
    assert (await r.get(raw)).status == 200
    repo.gated = "auto"
    assert (await r.get(other)).status == 401
    assert (await r.get(f"{INFO}/tree/main")).status == 200
    assert (await r.get(raw)).status == 401
    hub.stop()
    clock.leap(301)
    assert (await r.get(raw)).status == 504


async def test_no_repos_name_is_the_name_of_a_listings_proof(hub: TestHub, start: Starter) -> None:
    r, url = await start(), f"{INFO}/tree/main"
    cold = await r.get(url)
    for name in ("acme/tiny%23listing", "listing:huggingface/models/acme/tiny"):
        for path in (f"/{name}/resolve/main/x", f"/{name}/raw/main/x", f"/api/models/{name}"):
            assert (await r.get(H + path)).status in (401, 404)
    hub.stop()
    assert (await r.get(url)).body == cold.body


async def test_a_renamed_repos_answer_says_where_it_is_now(hub: TestHub, start: Starter) -> None:
    got = await (await start()).get(f"{H}/api/models/acme/old-name")
    assert (got.status, got.header("Location")) == (307, "/api/models/acme/tiny")


@pytest.mark.parametrize("path", ["/api/whoami-v2", "/api/models/acme/tiny/xet-read-token/main"])
async def test_what_is_one_persons_is_never_kept(hub: TestHub, start: Starter, path: str) -> None:
    r = await start()
    for who in (READER, READER, OTHER):
        got = await r.get(H + path, who)
        assert got.status == 200 and got.cache == "hubgate; fwd=bypass; fwd-status=200"
    assert [q.headers["authorization"] for q in hub.requests()] == [w["Authorization"] for w in (READER, READER, OTHER)]


async def test_a_search_with_a_token_is_ones_own(hub: TestHub, start: Starter) -> None:
    r, url = await start(), f"{H}/api/models?search=tiny&limit=5"
    assert (await r.get(url)).status == 200
    assert (await r.get(url)).cache.startswith("hubgate; hit")
    assert "bypass" in (await r.get(url, READER)).cache


async def test_compressed_answers_are_kept_plain(hub: TestHub, start: Starter) -> None:
    import gzip

    from tests.hub import Scripted

    packed = gzip.compress(b'{"a": 1}')
    hub.families.insert(0, ("datasets-server.huggingface.co", hub.families[-1][1]))
    try:
        hub.script("/info", Scripted(200, {"Content-Encoding": "gzip"}, packed), host="datasets-server.huggingface.co")
        r = await start()
        for _ in range(2):
            got = await r.get("https://datasets-server.huggingface.co/info?dataset=acme/tiny-ds")
            assert (got.body, got.header("Content-Encoding")) == (b'{"a": 1}', None)
    finally:
        del hub.families[0]


async def test_many_at_once_are_one(hub: TestHub, start: Starter) -> None:
    r = await start()
    hub.knob(hold="info")
    readers = [asyncio.create_task(r.get(INFO)) for _ in range(8)]
    await asyncio.to_thread(hub.wait, 1)
    hub.release("info")
    got = await asyncio.gather(*readers)
    assert len({g.body for g in got}) == 1 and len(hub.requests()) == 1
    assert sum("collapsed" in g.cache for g in got) == 7


async def test_telemetry_goes_nowhere(hub: TestHub, start: Starter) -> None:
    got = await (await start()).head(f"{H}/api/telemetry/transformers")
    assert (got.status, hub.requests()) == (200, [])


async def test_the_clients_first_question_is_kept_for_a_day(hub: TestHub, start: Starter, clock: Clock) -> None:
    r = await start()
    for _ in range(2):
        assert isinstance(json.loads((await r.get(f"{H}/api/agent-harnesses")).body), dict)
        clock.leap(12 * 3600)
    assert len(hub.requests()) == 1


async def test_too_long_an_answer_is_refused(hub: TestHub, start: Starter) -> None:
    r = await start()
    hub.knob(status=200, body="[" + " " * (33 << 20) + "]")
    got = await r.get(INFO)
    assert got.status == 502 and "more than" in (got.header("X-Error-Message") or "")
    assert not [blob async for blob in r.kept()]


async def test_an_upload_makes_branches_and_listings_new(hub: TestHub, start: Starter, clock: Clock) -> None:
    from proxy_addon.core.messages import Finished, Request
    from proxy_addon.core.status import Outcome

    r = await start()
    await r.get(INFO)
    await r.get(f"{H}/acme/tiny/resolve/main/config.json")
    new = hub.repo("acme/tiny").commit({"config.json": "{}"})
    request = Request("POST", "https", "huggingface.co", 443, "/api/models/acme/tiny/commit/main")
    r.parts.engine.completed(Finished(request, 200, Outcome(), "huggingface", "upload"))
    await r.parts.engine.settle()
    assert json.loads((await r.get(INFO)).body)["sha"] == new
    assert (await r.get(f"{H}/acme/tiny/resolve/main/config.json")).body == b"{}"


LISTING = "https://www.modelscope.cn/api/v1/models/acme/tiny/repo/files?Revision=master&Recursive=True"


@pytest.mark.parametrize(("url", "status"), [(INFO, 304), (LISTING, 200)])
async def test_age_begins_anew_when_the_hub_has_said_the_same(
    hub: TestHub, start: Starter, clock: Clock, url: str, status: int
) -> None:
    r = await start()
    cold = await r.get(url)
    clock.leap(100_000)
    hub.knob(headers={"Date": "Wed, 01 Jan 2020 00:00:00 GMT"})
    same = await r.get(url)
    assert same.body == cold.body and f"fwd-status={status}" in (same.cache or "")
    assert (await r.get(url)).header("Date") == "Wed, 01 Jan 2020 00:00:00 GMT" and len(hub.requests()) == 2


async def test_a_listing_that_tells_something_new_is_kept(hub: TestHub, start: Starter, clock: Clock) -> None:
    r = await start()
    await r.get(LISTING)
    hub.commit("acme/tiny", {"more.txt": "more"}, hub="modelscope")
    clock.leap(100_000)
    assert b"more.txt" in (await r.get(LISTING)).body and b"more.txt" in (await r.get(LISTING)).body
