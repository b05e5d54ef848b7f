"""A set is fetched through the real engine from the test hub; then it is there for whoever asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from proxy_addon.core.messages import Reply
from proxy_addon.hub.targets import target
from proxy_addon.prefetch import Item, Plan, Prefetch, State
from proxy_addon.store.contract import PIECE
from tests.conftest import Starter
from tests.engine.rig import Clock, Rig
from tests.hub import Repo, TestHub
from tests.hub.content import Synthetic

CDN = "cdn-lfs*"
HUB = "https://huggingface.co"


class Seen:
    """What a watcher is told."""

    def __init__(self) -> None:
        self.read: dict[str, int] = {}
        self.over: list[str] = []
        self.lines: list[str] = []

    def planned(self, plan: Plan) -> None: ...

    def advanced(self, item: Item, size: int) -> None:
        self.read[item.file.path] = self.read.get(item.file.path, 0) + size

    def ended(self, item: Item) -> None:
        self.over.append(item.file.path)

    def said(self, text: str) -> None:
        self.lines.append(text)


class Work:
    """A prefetch on an engine, whose waits leap the clock."""

    def __init__(self, rig: Rig, clock: Clock, **more: object) -> None:
        self.seen, self.waits = Seen(), list[float]()

        async def pause(seconds: float) -> None:
            self.waits.append(seconds)
            clock.leap(seconds)

        ask = more.pop("ask", rig.parts.engine.handle)
        self.work = Prefetch(
            ask, rig.parts.store, self.seen, agent="test", pause=pause, trouble=lambda: rig.parts.fills.trouble, **more
        )

    async def __call__(self, *names: str, **globs: list[str]) -> Plan:
        plan = await self.work.plan([target(name) for name in names], **globs)
        await self.work.fetch(plan)
        return plan


@pytest.fixture
async def prefetch(start: Starter, clock: Clock) -> Callable[..., Awaitable[Work]]:
    async def begin(**settings: object) -> Work:
        return Work(await start(**settings), clock)

    return begin


def states(plan: Plan) -> dict[str, State]:
    return {item.file.path: item.state for item in plan.items}


async def test_all_that_clients_ask_for_is_then_here(hub: TestHub, start: Starter, clock: Clock) -> None:
    rig = await start(freshness__ref=1000.0, freshness__api=1000.0)
    plan = await Work(rig, clock)("hf:acme/tiny", "hf:datasets/acme/tiny-ds", "hf:spaces/acme/space")
    assert plan.whole and len(plan.items) == 14 and set(states(plan).values()) == {State.FETCHED}
    hub.clear()
    for kind, web, id in (("models", "", "acme/tiny"), ("datasets", "datasets/", "acme/tiny-ds")):
        repo = hub.repo(id, kind)
        for tail in ("", "/revision/main", f"/revision/{repo.head}"):
            assert (await rig.get(f"{HUB}/api/{kind}/{id}{tail}")).status == 200
        page = f"{HUB}/api/{kind}/{id}/tree/{repo.head}?recursive=True&expand=False"  # as requests and httpx spell it
        assert (await rig.get(page)).reply.outcome.hit
        for path, file in repo.commits[repo.head].files.items():
            for rev in ("main", repo.head):
                url = f"{HUB}/{web}{id}/resolve/{rev}/{path.replace(' ', '%20').replace('é', '%C3%A9')}"
                assert (await rig.head(url)).header("x-repo-commit") == repo.head
                assert len((await rig.get(url)).body) == file.size
    assert hub.requests() == []


async def test_what_is_here_is_not_fetched_again(hub: TestHub, prefetch: Callable[..., Awaitable[Work]]) -> None:
    work = await prefetch()
    await work("hf:acme/tiny@v1")
    hub.clear()
    plan = await work("hf:acme/tiny@v1", "hf:acme/tiny@v1")
    assert set(states(plan).values()) == {State.HERE} and len(plan.items) == 9
    assert hub.requests(path="/acme/tiny/resolve/*", method="GET") == []
    asked = {r.path for r in hub.requests(path="/api/*")}
    assert asked == {"/api/models/acme/tiny", "/api/models/acme/tiny/revision/v1"}, "only what can change"

    plan = await work("hf:acme/tiny")
    fetched = [path for path, state in states(plan).items() if state is State.FETCHED]
    assert fetched == ["README.md"], "the others are the same bytes at another commit"


async def test_pieces_that_went_are_all_that_is_fetched(hub: TestHub, start: Starter, clock: Clock) -> None:
    rig = await start()
    hub.add_synthetic("acme/large", "w.bin", 5 * PIECE + 9)
    work = Work(rig, clock)
    await work("hf:acme/large")
    blob = f"sha256:{hub.digest('acme/large', 'w.bin')}"
    await rig.parts.store._lanes.write_pieces(rig.parts.store._pieces.shed, blob, PIECE)
    hub.clear()
    plan = await work("hf:acme/large")
    assert [(item.state, item.lacks) for item in plan.items] == [(State.FETCHED, PIECE + 9)]
    assert hub.bytes_sent(host=CDN) == PIECE + 9
    assert await rig.parts.store.blobs.present(blob) == set(range(6))


async def test_each_fault_is_told_and_the_rest_goes_on(hub: TestHub, prefetch: Callable[..., Awaitable[Work]]) -> None:
    work = await prefetch()
    names = ("hf:acme/nope", "hf:acme/tiny@gone", "hf:acme/old-name", "hf:acme/gated", "hf:acme/private")
    plan = await work(*names, "hf:acme/disabled", "hf:acme/tiny", include=["*.json"])
    told = dict(plan.faults)
    assert "no such repo" in told["hf:acme/nope"] and "no such repo" in told["hf:acme/private"]
    assert told["hf:acme/tiny@gone"] == "there is no such revision"
    assert "hf:acme/tiny" in told["hf:acme/old-name"]
    assert "gated" in told["hf:acme/gated"]
    assert "hf:acme/disabled" in told and not plan.whole and work.waits == []
    assert states(plan) == dict.fromkeys(["config.json", "tokenizer.json", "tokenizer_config.json"], State.FETCHED)


async def test_globs_that_leave_nothing_are_told(hub: TestHub, prefetch: Callable[..., Awaitable[Work]]) -> None:
    work = await prefetch()
    plan = await work("hf:acme/tiny", "hf:datasets/acme/tiny-ds", include=["data/", "*.nope"], exclude=["*test*"])
    assert plan.faults == [("hf:acme/tiny", "--include and --exclude leave none of its 9 files")]
    assert states(plan) == {"data/train.csv": State.FETCHED}
    plan = await work("hf:datasets/acme/tiny-ds", include=["data/", "*.nope"])
    assert plan.faults == [("*.nope", "no file is called so")] and len(plan.items) == 2


async def test_a_plan_fetches_no_file(hub: TestHub, prefetch: Callable[..., Awaitable[Work]]) -> None:
    work = await prefetch()
    plan = await work.work.plan([target("hf:acme/tiny")])
    assert {item.file.path: item.lacks for item in plan.items} == {
        path: file.size for path, file in hub.repo("acme/tiny").commits[hub.repo("acme/tiny").head].files.items()
    }
    assert set(states(plan).values()) == {State.MISSING}
    assert hub.requests(method="GET", path="/acme/tiny/resolve/*") == [] == hub.requests(host=CDN)


async def test_a_hub_that_fails_for_a_while_is_asked_again(
    hub: TestHub, prefetch: Callable[..., Awaitable[Work]]
) -> None:
    work = await prefetch()
    hub.knob(path="/acme/tiny/resolve/*/config.json", status=503, times=2)
    hub.knob(path="/acme/tiny/resolve/*/vocab.txt", status=500)
    plan = await work("hf:acme/tiny")
    failed = [item for item in plan.items if item.state is State.FAILED]
    assert [item.file.path for item in failed] == ["vocab.txt"] and "500" in failed[0].fault
    assert sorted(work.waits) == [1.0, 1.0, 2.0, 2.0, 4.0] and len(work.seen.over) == 9
    hub.unknob()
    plan = await work("hf:acme/tiny")
    assert plan.whole and [item.file.path for item in plan.items if item.state is State.FETCHED] == ["vocab.txt"]


async def test_a_hub_that_asks_to_wait_is_obeyed(hub: TestHub, start: Starter, clock: Clock) -> None:
    work = Work(await start(), clock, jobs=1)
    hub.knob(path="/acme/tiny/resolve/*/config.json", status=429, retry_after=77, times=1)
    plan = await work("hf:acme/tiny")
    assert plan.whole
    assert work.waits and all(75 <= seconds <= 77 for seconds in work.waits)
    assert any("again in 77 s" in line for line in work.seen.lines)


async def test_wrong_bytes_are_not_kept(hub: TestHub, prefetch: Callable[..., Awaitable[Work]]) -> None:
    work = await prefetch()
    hub.knob(host=CDN, corrupt_at=1000)
    plan = await work("hf:acme/tiny", include=["old.bin"])
    assert states(plan) == {"old.bin": State.FAILED} and "digest" in plan.items[0].fault
    hub.unknob()
    plan = await work("hf:acme/tiny", include=["old.bin"])
    assert states(plan) == {"old.bin": State.FETCHED}


async def test_a_hub_that_is_gone_ends_the_run(hub: TestHub, start: Starter, clock: Clock) -> None:
    rig = await start()
    work = Work(rig, clock)
    hub.add(Repo("acme/many", files={f"{n:03}.txt": f"{n}" for n in range(60)}))
    plan = await work.work.plan([target("hf:acme/many")])
    hub.stop()
    await work.work.fetch(plan)
    assert set(states(plan).values()) == {State.FAILED} and len(work.seen.over) == 60
    assert sum(item.fault.startswith("not tried: ") for item in plan.items) >= 40
    assert all("connect" in item.fault for item in plan.items)
    assert len(work.waits) <= 8 * 3

    hub.start()
    assert (await Work(rig, clock)("hf:acme/many")).whole


async def test_without_the_hub_what_is_here_is_found_here(
    hub: TestHub, prefetch: Callable[..., Awaitable[Work]]
) -> None:
    work = await prefetch(freshness__ref=0.0, freshness__api=0.0)
    await work("hf:acme/tiny")
    hub.stop()
    plan = await work("hf:acme/tiny")
    assert plan.whole and set(states(plan).values()) == {State.HERE}
    assert any("cannot be asked" in line for line in work.seen.lines)


async def test_a_branch_that_moves_meanwhile_is_told(hub: TestHub, start: Starter, clock: Clock) -> None:
    rig = await start()
    moved = False

    async def ask(request: object) -> object:
        nonlocal moved
        reply = await rig.parts.engine.handle(request)
        assert isinstance(reply, Reply)
        if "/tree/" in request.path and not moved:
            moved = True
            hub.commit("acme/tiny", {"more.txt": "more"})
        return reply

    work = Work(rig, clock, ask=ask)
    plan = await work("hf:acme/tiny")
    assert plan.faults == [("hf:acme/tiny", f"main has moved to {hub.repo('acme/tiny').head} just now; run it again")]
    plan = await work("hf:acme/tiny")
    assert plan.whole and len(plan.items) == 10


async def test_what_is_pushed_out_meanwhile_is_not_called_here(hub: TestHub, start: Starter, clock: Clock) -> None:
    hub.add(Repo("acme/two", files={n: Synthetic(6 * PIECE, seed) for seed, n in enumerate("ab", 1)}))
    work = Work(await start(cache__size=40_000_000), clock, jobs=1)
    plan = await work("hf:acme/two")
    assert states(plan) == {"a": State.FAILED, "b": State.FETCHED}
    assert "pushed out" in plan.items[0].fault


async def test_a_cache_that_takes_nothing_ends_the_run(hub: TestHub, start: Starter, clock: Clock) -> None:
    hub.add(Repo("acme/three", files={n: Synthetic(6 * PIECE, seed) for seed, n in enumerate("abc", 1)}))
    rig = await start(cache__size=40_000_000)
    work = Work(rig, clock, jobs=1)
    plan = await work.work.plan([target("hf:acme/three")])
    assert plan.size == 18 * PIECE
    await rig.parts.store.blobs.keep_all(plan.blobs, True)
    await work.work.fetch(plan)
    assert states(plan) == {"a": State.FETCHED, "b": State.FAILED, "c": State.FAILED}
    assert "the cache cannot keep it" in plan.items[1].fault and plan.items[2].fault.startswith("not tried: ")


async def test_listings_that_lead_astray_are_not_followed(
    hub: TestHub, prefetch: Callable[..., Awaitable[Work]]
) -> None:
    work = await prefetch()
    hub.knob(path="/api/models/acme/tiny/tree/*", headers={"Link": '<https://huggingface.co/api/whoami>; rel="next"'})
    hub.knob(path="/api/datasets/acme/tiny-ds/revision/*", status=200, body="<html>")
    plan = await work("hf:acme/tiny", "hf:datasets/acme/tiny-ds")
    url = "https://huggingface.co/api/datasets/acme/tiny-ds/revision/main"
    assert dict(plan.faults) == {
        "hf:acme/tiny": "its listing leads astray",
        "hf:datasets/acme/tiny-ds": f"{url} answered 200, and not with JSON; nothing usable is cached",
    }
