"""Sets from ModelScope, and the same bytes from both hubs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import urlencode

import pytest

from proxy_addon.hub.targets import target
from proxy_addon.prefetch import Plan, State
from tests.conftest import Starter
from tests.engine.rig import Clock
from tests.hub import Repo, TestHub
from tests.prefetch.test_prefetch import Work, states

MS = "https://modelscope.cn"
CDN = "cdn-lfs-cn-1.modelscope.cn"


@pytest.fixture
async def prefetch(start: Starter, clock: Clock) -> Callable[..., Awaitable[Work]]:
    async def begin(**settings: object) -> Work:
        return Work(await start(**settings), clock)

    return begin


async def test_all_that_the_sdk_asks_for_is_then_here(hub: TestHub, start: Starter, clock: Clock) -> None:
    rig = await start(freshness__ref=1000.0, freshness__api=1000.0)
    plan = await Work(rig, clock)("ms:acme/tiny", "ms:datasets/acme/tiny-ds", "ms:studios/acme/studio@master")
    assert plan.whole and len(plan.items) == 14 and set(states(plan).values()) == {State.FETCHED}
    assert len(hub.requests(path="*/repo/files")) + len(hub.requests(path="*/repo/tree")) == 3, "each listing once"
    hub.clear()
    listings = {"models/acme/tiny": "files", "studios/acme/studio": "files", "datasets/acme/tiny-ds": "tree"}
    for id, how in listings.items():
        pages = {"PageNumber": 1, "PageSize": 200} if how == "tree" else {}
        listing = f"repo/{how}?{urlencode({'Revision': 'master', 'Recursive': 'True', **pages})}"
        for tail in ("", "/revisions", f"/{listing}"):
            assert (await rig.get(f"{MS}/api/v1/{id}{tail}")).reply.outcome.hit, tail
        assert (await rig.get(f"{MS}/openapi/v1/{id}")).reply.outcome.hit
        kind, _, name = id.partition("/")
        repo = hub.repo(name, kind, hub="modelscope")
        for path, file in repo.commits[repo.head].files.items():
            query = urlencode({"Revision": "master", "FilePath": path})
            got = await rig.get(f"{MS}/api/v1/{id}/repo?{query}", {"Accept-Encoding": "identity"})
            assert got.body == file.source.read(0, file.size)
    assert hub.requests() == []


async def test_the_same_bytes_on_both_hubs_are_fetched_once(
    hub: TestHub, prefetch: Callable[..., Awaitable[Work]]
) -> None:
    work = await prefetch()
    await work("hf:acme/tiny")
    plan = await work("ms:acme/tiny")
    large = {"old.bin", "model.safetensors"}
    assert plan.whole and {p for p, state in states(plan).items() if state is State.HERE} >= large
    assert hub.bytes_sent(host=CDN) == 0
    assert hub.bodies_of(hub.digest("acme/tiny", "old.bin")) == 1.0

    hub.clear()
    assert (await work("ms:acme/tiny")).whole
    assert hub.requests(method="GET", path="/api/v1/models/acme/tiny/repo") == []


async def test_only_what_changed_is_fetched(hub: TestHub, prefetch: Callable[..., Awaitable[Work]]) -> None:
    work = await prefetch()
    head = hub.repo("acme/tiny", hub="modelscope").head
    assert (await work("ms:acme/tiny", "ms:acme/tiny@v1.0.0", f"ms:acme/tiny@{head}")).whole
    hub.commit("acme/tiny", {"config.json": '{"new": 1}', "more.bin": "m" * 9}, hub="modelscope")
    hub.clear()
    plan = await work("ms:acme/tiny")
    assert plan.whole and {p for p, s in states(plan).items() if s is State.FETCHED} == {"config.json", "more.bin"}
    assert plan.fetched == 19 and hub.bytes_sent(host=CDN) == 0
    assert set(states(await work(f"ms:acme/tiny@{head}")).values()) == {State.HERE}


async def test_each_fault_is_told_and_the_rest_goes_on(hub: TestHub, prefetch: Callable[..., Awaitable[Work]]) -> None:
    hub.knob(path="/api/v1/datasets/acme/tiny-ds/*", status=500)
    work = await prefetch()
    names = ("ms:acme/nope", "ms:acme/tiny@gone", "ms:acme/gated", "ms:acme/private", "ms:acme/abroad")
    plan = await work(*names, "ms:datasets/acme/tiny-ds", "ms.ai:acme/abroad", "ms:acme/tiny", include=["*.json"])
    told = dict(plan.faults)
    for name in ("ms:acme/nope", "ms:acme/private", "ms:acme/abroad"):
        assert "no such repo" in told[name]
    assert told["ms:acme/tiny@gone"].startswith("there is no such revision")
    assert "gated" in told["ms:acme/gated"] and "500" in told["ms:datasets/acme/tiny-ds"]
    assert not plan.whole
    fetched = {(str(item.target), item.file.path) for item in plan.items if item.state is State.FETCHED}
    assert fetched == {
        ("ms.ai:acme/abroad", "config.json"),
        *(("ms:acme/tiny", f"{name}.json") for name in ("config", "tokenizer", "tokenizer_config")),
    }


async def test_a_file_that_fails_is_told_by_name(hub: TestHub, prefetch: Callable[..., Awaitable[Work]]) -> None:
    hub.knob(host=CDN, path="*", corrupt_at=1000)
    work = await prefetch()
    plan = await work("ms:acme/tiny", include=["old.bin", "*.json"])
    assert [(i.file.path, i.state) for i in plan.items if i.file.path == "old.bin"] == [("old.bin", State.FAILED)]
    assert sum(item.state is State.FETCHED for item in plan.items) == 3
    hub.unknob()
    plan = await work("ms:acme/tiny", include=["old.bin", "*.json"])
    assert plan.whole and plan.fetched == 1_500_000


async def listed(work: Work, name: str) -> Plan:
    return await work.work.plan([target(name)])


async def test_listings_in_pages_are_read_to_the_end(hub: TestHub, prefetch: Callable[..., Awaitable[Work]]) -> None:
    hub.add(Repo("acme/many", "dataset", {f"{n:03}.csv": f"{n}" for n in range(450)}, hub="modelscope"))
    work = await prefetch()
    assert len((await listed(work, "ms:datasets/acme/many")).items) == 450
    hub.knob(path="/api/v1/datasets/*", page_size=150)  # smaller than what was asked for
    assert len((await listed(await prefetch(dir="other"), "ms:datasets/acme/many")).items) == 450


async def test_a_listing_that_is_cut_short_is_walked(hub: TestHub, prefetch: Callable[..., Awaitable[Work]]) -> None:
    files = {f"{top}/{sub}/{n:04}": f"{n % 7}" for top in "ab" for sub in "xy" for n in range(800)} | {"README.md": "-"}
    hub.add(Repo("acme/wide", files=files, hub="modelscope"))
    work = await prefetch()
    plan = await listed(work, "ms:acme/wide")
    assert {item.file.path for item in plan.items} == set(files)
    roots = [r.query for r in hub.requests(path="*/repo/files")]
    assert len(roots) == 4, "all of it, its top, a and b"


async def test_a_folder_that_cannot_be_listed_whole_is_a_fault(
    hub: TestHub, prefetch: Callable[..., Awaitable[Work]]
) -> None:
    hub.add(Repo("acme/flat", files={f"all/{n:04}": f"{n % 7}" for n in range(3005)}, hub="modelscope"))
    plan = await listed(await prefetch(), "ms:acme/flat")
    assert plan.items == [] and "all has 3000 entries or more side by side" in dict(plan.faults)["ms:acme/flat"]


async def test_without_the_hub_what_is_here_is_found_here(
    hub: TestHub, prefetch: Callable[..., Awaitable[Work]]
) -> None:
    work = await prefetch(freshness__ref=0.0, freshness__api=0.0)
    await work("ms:acme/tiny")
    hub.stop()
    plan = await work("ms:acme/tiny")
    assert plan.whole and set(states(plan).values()) == {State.HERE}
    assert any("cannot be asked" in line for line in work.seen.lines)


async def test_what_is_no_listing_is_told(hub: TestHub, prefetch: Callable[..., Awaitable[Work]]) -> None:
    hub.knob(path="/api/v1/models/acme/tiny/repo/files", status=200, body='{"Code": 200, "Data": 5, "Success": true}')
    hub.knob(path="/api/v1/studios/*", status=200, body='{"Code": 5, "Message": "tired", "Success": false}')
    hub.knob(path="/api/v1/datasets/*", status=200, body="<html>")
    plan = await (await prefetch())("ms:acme/tiny", "ms:datasets/acme/tiny-ds", "ms:studios/acme/studio")
    assert dict(plan.faults) == {
        "ms:acme/tiny": "what the hub sent is no listing",
        "ms:datasets/acme/tiny-ds": "what the hub sent is no JSON",
        "ms:studios/acme/studio": "the hub refuses: tired",
    }


async def test_a_file_that_changes_meanwhile_is_told(hub: TestHub, start: Starter, clock: Clock) -> None:
    work = Work(await start(), clock)
    plan = await listed(work, "ms:acme/tiny")
    hub.commit("acme/tiny", {"config.json": "{}"}, hub="modelscope")
    clock.leap(1000)
    await work.work.fetch(plan)
    assert [(i.file.path, i.fault) for i in plan.items if i.state is State.FAILED] == [
        ("config.json", "it has changed just now; run it again")
    ]
    assert (await work("ms:acme/tiny")).whole
