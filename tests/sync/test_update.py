"""One repo brought up to date, through the real engine from the test hub."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy_addon.config import Subscription
from proxy_addon.prefetch import Prefetch
from proxy_addon.store.contract import PIECE
from proxy_addon.sync import Journal, Result, Update, Updates
from tests.conftest import Starter
from tests.engine.rig import Clock, Rig
from tests.hub import Repo, TestHub
from tests.hub.content import Synthetic
from tests.prefetch.test_prefetch import Seen

CDN = "cdn-lfs*"


class Keeper:
    """Updates on an engine, whose waits leap the clock."""

    def __init__(self, rig: Rig, clock: Clock, journal: Journal) -> None:
        self.rig, self.clock, self.journal = rig, clock, journal

        async def pause(seconds: float) -> None:
            clock.leap(seconds)

        self.work = Prefetch(
            rig.parts.engine.handle,
            rig.parts.store,
            Seen(),
            agent="test",
            pause=pause,
            trouble=lambda: rig.parts.fills.trouble,
        )
        self.updates = Updates(self.work, journal, rig.parts.store.blobs, room=2_000_000_000, clock=clock)

    async def __call__(self, repo: str, **more: object) -> Update:
        self.journal.want(repo, self.clock(), listed=True)
        return await self.updates.once(Subscription.model_validate({"repo": repo, **more}))

    def lag(self, repo: str) -> float:
        found = self.journal.standing(repo)
        assert found is not None
        return found.lag(self.clock())

    def behind(self, repo: str) -> bool:
        found = self.journal.standing(repo)
        assert found is not None
        return found.behind

    @property
    def kept(self) -> frozenset[str]:
        return self.rig.parts.store.blobs.kept


@pytest.fixture
async def keeper(start: Starter, clock: Clock, tmp_path: Path) -> AsyncIterator[Keeper]:
    rig = await start()
    journal = Journal(tmp_path / "cache")
    yield Keeper(rig, clock, journal)
    journal.close()


def names(update: Update) -> list[list[str]]:
    assert update.run is not None
    told = update.run.changes
    return [[path for path, _ in tally.named] for tally in (told.added, told.changed, told.removed)]


@pytest.mark.parametrize(("prefix", "kind"), [("hf", "huggingface"), ("ms", "modelscope")])
async def test_what_changed_is_fetched_and_told(hub: TestHub, keeper: Keeper, prefix: str, kind: str) -> None:
    name = f"{prefix}:acme/tiny"
    repo = hub.repo("acme/tiny", hub=kind)
    first = await keeper(name)
    assert first.result is Result.CHANGED and first.run is not None
    assert (first.run.before, len(names(first)[0]), first.run.faults) == ("", 9, ())
    assert (
        first.run.fetched == first.run.changes.added.size == sum(f.size for f in repo.commits[repo.head].files.values())
    )

    hub.commit("acme/tiny", {"config.json": '{"new": 1}', "more.txt": "more", "vocab.txt": None}, hub=kind)
    hub.clear()
    second = await keeper(name)
    assert second.run is not None and second.run.before == first.run.after
    assert names(second) == [["more.txt"], ["config.json"], ["vocab.txt"]]
    assert second.run.fetched == 14 and hub.bytes_sent(host="cdn-lfs*") == 0
    assert [run.after for run in keeper.journal.runs()] == [first.run.after, second.run.after]
    assert keeper.lag(name) < 60 and not keeper.behind(name)


async def test_a_commit_is_what_the_log_names_on_hugging_face(hub: TestHub, keeper: Keeper) -> None:
    await keeper("hf:acme/tiny")
    before = hub.repo("acme/tiny").head
    after = hub.commit("acme/tiny", {"more.txt": "more"})
    told = await keeper("hf:acme/tiny")
    assert told.run is not None and (told.run.before, told.run.after) == (before, after)


@pytest.mark.parametrize(
    ("name", "path"),
    [("hf:acme/tiny", "/api/models/acme/tiny/revision/main"), ("ms:acme/tiny", "/api/v1/models/acme/tiny/repo/files")],
)
async def test_an_unchanged_repo_costs_one_question(hub: TestHub, keeper: Keeper, name: str, path: str) -> None:
    await keeper(name)
    hub.clear()
    keeper.clock.leap(100_000)
    assert keeper.lag(name) > 99_000
    assert await keeper(name) == Update(name, Result.UNCHANGED)
    assert [(r.method, r.path) for r in hub.requests()] == [("GET", path)]
    assert keeper.lag(name) < 60 and len(keeper.journal.runs()) == 1


async def test_what_went_missing_meanwhile_comes_again(hub: TestHub, keeper: Keeper) -> None:
    await keeper("hf:acme/tiny")
    await keeper.rig.parts.store.blobs.drop(f"sha256:{hub.digest('acme/tiny', 'old.bin')}")
    told = await keeper("hf:acme/tiny")
    assert told.run is not None and told.run.fetched == 1_500_000 and not told.run.changes
    assert (await keeper("hf:acme/tiny")).result is Result.UNCHANGED


async def test_a_repo_that_is_no_longer_whole_is_behind_until_it_is(hub: TestHub, keeper: Keeper) -> None:
    await keeper("hf:acme/tiny")
    await keeper.rig.parts.store.blobs.drop(f"sha256:{hub.digest('acme/tiny', 'old.bin')}")
    hub.knob(host=CDN, status=404)
    assert (await keeper("hf:acme/tiny")).result is Result.FAILED
    assert keeper.behind("hf:acme/tiny")
    hub.unknob()
    assert (await keeper("hf:acme/tiny")).result is Result.CHANGED and not keeper.behind("hf:acme/tiny")


@pytest.mark.parametrize("name", ["hf:acme/tiny", "ms:acme/tiny"])
async def test_bytes_without_their_name_are_not_what_clients_can_have(hub: TestHub, keeper: Keeper, name: str) -> None:
    """As `cache rm` leaves what is also a file of another repo."""
    await keeper(name)
    store = keeper.rig.parts.store
    await store.responses.invalidate("file:")
    hub.clear()
    assert (await keeper(name)).result is Result.CHANGED
    assert await store.responses.listing("file:", "", 1) and hub.bytes_sent(host=CDN) == 0


async def test_an_answer_that_tells_nothing_new_is_not_kept_once_more(hub: TestHub, keeper: Keeper) -> None:
    """ModelScope gives every answer an id of its own."""
    await keeper("ms:acme/tiny", pin=True)
    store = keeper.rig.parts.store
    before = {each.manifest.blob for each in await store.blobs.listing("", 1000)}
    for _ in range(3):
        keeper.clock.leap(100_000)
        assert (await keeper("ms:acme/tiny", pin=True)).result is Result.UNCHANGED
    assert {each.manifest.blob for each in await store.blobs.listing("", 1000)} == before
    listed = [row.blob for _, rows in await store.responses.listing("api:modelscope", "", 100) for row in rows]
    assert len(listed) >= 3 and set(listed) <= keeper.kept


async def test_globs_are_part_of_what_is_wanted(hub: TestHub, keeper: Keeper) -> None:
    assert names(await keeper("hf:acme/tiny", include=["*.json"], exclude=["token*"])) == [["config.json"], [], []]
    assert (await keeper("hf:acme/tiny", include=["*.json"], exclude=["token*"])).result is Result.UNCHANGED
    wider = await keeper("hf:acme/tiny", include=["*.json"])
    assert names(wider) == [["tokenizer.json", "tokenizer_config.json"], [], []]
    told = await keeper("hf:acme/tiny", include=["*.json", "*.nope"])
    assert told.result is Result.FAILED and told.run is not None
    assert told.run.faults == (("*.nope", "no file is called so"),)


@pytest.mark.parametrize("name", ["hf:acme/tiny", "ms:acme/tiny"])
async def test_a_hub_that_is_down_is_told_and_the_next_run_catches_up(hub: TestHub, keeper: Keeper, name: str) -> None:
    await keeper(name)
    kind = "huggingface" if name.startswith("hf") else "modelscope"
    hub.commit("acme/tiny", {"more.txt": "more"}, hub=kind)
    hub.stop()
    keeper.clock.leap(5000)
    told = await keeper(name)
    assert told.result is Result.FAILED and told.run is not None and told.run.faults[0][0] == name
    assert "cannot be asked" in told.run.faults[0][1] or "connect" in told.run.faults[0][1]
    assert keeper.lag(name) >= 5000
    keeper.clock.leap(5000)
    await keeper(name)
    assert keeper.lag(name) >= 10_000 and keeper.journal.runs()[-1].times == 2

    hub.start()
    keeper.clock.leap(60)  # a host that refused is left alone for a moment
    assert names(await keeper(name)) == [["more.txt"], [], []]
    assert keeper.lag(name) < 60
    found = keeper.journal.standing(name)
    assert found is not None and found.fault == "" and len(keeper.journal.runs()) == 3


async def test_what_fails_half_way_is_no_new_version(hub: TestHub, keeper: Keeper) -> None:
    first = await keeper("hf:acme/tiny")
    hub.commit("acme/tiny", {"a.txt": "a", "b.txt": "b"})
    hub.knob(path="/acme/tiny/resolve/*/b.txt", status=500)
    keeper.clock.leap(1000)
    told = await keeper("hf:acme/tiny")
    assert told.run is not None and first.run is not None
    assert told.run.before == first.run.after and [what for what, _ in told.run.faults] == ["b.txt"]
    assert told.run.fetched == 1 and keeper.lag("hf:acme/tiny") >= 1000 and keeper.behind("hf:acme/tiny")
    hub.unknob()
    assert names(await keeper("hf:acme/tiny")) == [["a.txt", "b.txt"], [], []]
    assert keeper.journal.runs()[-1].fetched == 1 and not keeper.behind("hf:acme/tiny")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("hf:acme/nope", "no such repo"),
        ("hf:acme/tiny@gone", "no such revision"),
        ("hf:acme/gated", "gated"),
        ("ms:acme/nope", "no such repo"),
        ("ms:acme/tiny@gone", "no such revision"),
    ],
)
async def test_what_cannot_be_had_is_told(keeper: Keeper, name: str, why: str) -> None:
    told = await keeper(name)
    assert told.result is Result.FAILED and told.run is not None and why in told.run.faults[0][1]
    assert keeper.behind(name)


async def test_pins_go_over_to_the_new_version_when_it_is_complete(hub: TestHub, keeper: Keeper) -> None:
    repo = hub.add(Repo("acme/p", files={"a": Synthetic(PIECE, 1), "same": Synthetic(PIECE, 2)}))
    old, same = (f"sha256:{repo.file(name).digest}" for name in ("a", "same"))
    await keeper("hf:acme/p", pin=True)
    assert {old, same} <= keeper.kept
    listings = keeper.kept - {old, same}

    repo.commit({"a": Synthetic(PIECE, 3)}, storage={"a": "lfs"})
    new = f"sha256:{repo.file('a').digest}"
    hub.knob(host=CDN, status=404)
    assert (await keeper("hf:acme/p", pin=True)).result is Result.FAILED
    assert {old, new, same} | listings <= keeper.kept, "the old one stays until the new one is here"
    hub.unknob()
    await keeper("hf:acme/p", pin=True)
    assert {new, same} <= keeper.kept and old not in keeper.kept
    assert (await keeper("hf:acme/p", pin=True)).result is Result.UNCHANGED

    await keeper("hf:acme/p", pin=False)
    assert keeper.kept == frozenset() and keeper.journal.pins("hf:acme/p") == set()


async def test_a_pin_that_somebody_took_is_set_again(hub: TestHub, keeper: Keeper) -> None:
    await keeper("hf:acme/tiny", pin=True)
    pinned = keeper.kept
    await keeper.rig.parts.store.blobs.keep_all(pinned, False)
    assert (await keeper("hf:acme/tiny", pin=True)).result is Result.UNCHANGED
    assert pinned and keeper.kept == pinned


async def test_what_another_repo_or_a_person_wants_stays_pinned(hub: TestHub, keeper: Keeper) -> None:
    shared, by_hand = Synthetic(PIECE, 1), Synthetic(PIECE, 2)
    one = hub.add(Repo("acme/one", files={"a": shared, "b": by_hand}))
    hub.add(Repo("acme/two", files={"a": shared}))
    blobs = [f"sha256:{one.file(name).digest}" for name in ("a", "b")]
    await keeper.rig.parts.store.blobs.keep_all((blobs[1],), True)
    await keeper("hf:acme/one", pin=True)
    await keeper("hf:acme/two", pin=True)
    hub.commit("acme/one", {"a": None, "b": None, "c": "c"})
    await keeper("hf:acme/one", pin=True)
    assert set(blobs) <= keeper.kept
    hub.commit("acme/two", {"a": None, "c": "c"})
    await keeper("hf:acme/two", pin=True)
    assert blobs[0] not in keeper.kept and blobs[1] in keeper.kept


async def test_a_pin_is_let_go_after_a_cut_in_between(hub: TestHub, keeper: Keeper) -> None:
    """The new version was complete, but what only the old one needed was not unpinned any more."""
    await keeper("hf:acme/tiny", pin=True)
    left = "sha256:" + "0" * 64
    keeper.journal.set_pins("hf:acme/tiny", keeper.journal.pins("hf:acme/tiny") | {left})
    await keeper.rig.parts.store.blobs.keep_all((left,), True)
    assert (await keeper("hf:acme/tiny", pin=True)).result is Result.UNCHANGED
    assert left not in keeper.kept and keeper.kept


async def test_what_the_listing_names_no_digest_of_is_pinned_too(hub: TestHub, keeper: Keeper) -> None:
    bare = [{"type": "file", "path": "old.bin", "size": 1_500_000}]
    hub.knob(path="/api/models/acme/tiny/tree/*", status=200, body=json.dumps(bare))
    await keeper("hf:acme/tiny", pin=True)
    assert f"sha256:{hub.digest('acme/tiny', 'old.bin')}" in keeper.kept


async def test_a_run_that_was_cut_off_is_on_record(keeper: Keeper) -> None:
    keeper.journal.want("hf:acme/tiny", 1.0, listed=True)
    keeper.journal.begin("hf:acme/tiny", 2.0)
    await keeper("hf:acme/tiny")
    cut, whole = keeper.journal.runs()
    assert cut.at == 2.0 and cut.faults == (("hf:acme/tiny", "it was interrupted"),) and not whole.faults


async def test_one_run_at_a_time(keeper: Keeper, tmp_path: Path, hub: TestHub) -> None:
    other = Journal(tmp_path / "cache")
    with other.alone("hf:acme/tiny") as alone:
        assert alone and await keeper("hf:acme/tiny") == Update("hf:acme/tiny", Result.BUSY)
    other.close()
    assert hub.requests() == []
    assert (await keeper("hf:acme/tiny")).result is Result.CHANGED


async def test_a_set_larger_than_the_cache_is_not_begun(hub: TestHub, keeper: Keeper) -> None:
    hub.add_synthetic("acme/large", "w.bin", 3_000_000_000)
    told = await keeper("hf:acme/large")
    assert told.run is not None and "cache.size" in told.run.faults[0][1]
    assert hub.requests(host=CDN) == []
