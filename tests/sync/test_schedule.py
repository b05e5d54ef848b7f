"""When repos are looked after: by a clock that leaps, with the real engine and the test hub."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from proxy_addon.config import Subscription
from proxy_addon.sync import Journal, Result, Schedule, Update
from proxy_addon.sync.schedule import RETRY
from tests.conftest import Starter
from tests.engine.rig import Clock, until
from tests.hub import TestHub
from tests.sync.test_update import Keeper

HOUR = 3600.0


class Days:
    """A schedule that runs until so many rests were taken, one of each repo at least; each leaps the clock."""

    def __init__(self, keeper: Keeper) -> None:
        self.keeper, self.told, self.rests = keeper, list[Update](), list[float]()

    async def pass_by(self, *repos: str, rests: int, listed: bool = True, pin: bool = False) -> None:
        left, over, self.rests = rests, asyncio.Event(), []

        async def rest(seconds: float) -> None:
            nonlocal left
            self.rests.append(seconds)
            left -= 1
            if left <= 0 and {update.repo for update in self.told} >= set(repos):
                over.set()
                await asyncio.Event().wait()
            self.keeper.clock.leap(seconds)

        schedule = Schedule(
            self.keeper.updates,
            self.keeper.journal,
            [Subscription.model_validate({"repo": repo, "every": HOUR, "pin": pin}) for repo in repos],
            listed=listed,
            told=self.told.append,
            clock=self.keeper.clock,
            timer=self.keeper.clock.timer,
            pause=rest,
        )
        task = asyncio.create_task(schedule.run())
        async with asyncio.timeout(60):
            await over.wait()
        task.cancel()
        await asyncio.wait([task])

    @property
    def results(self) -> list[str]:
        return [str(update.result) for update in self.told]


@pytest.fixture
async def days(start: Starter, clock: Clock, tmp_path: Path) -> AsyncIterator[Days]:
    journal = Journal(tmp_path / "cache")
    yield Days(Keeper(await start(), clock, journal))
    journal.close()


async def test_the_first_run_is_at_once_and_the_next_after_the_interval(hub: TestHub, days: Days) -> None:
    await days.pass_by("hf:acme/tiny", rests=3)
    assert days.results == ["changed", "unchanged", "unchanged"]
    assert all(HOUR - 60 < rest <= HOUR for rest in days.rests)
    assert days.keeper.lag("hf:acme/tiny") < 60 and not days.keeper.behind("hf:acme/tiny")


async def test_failures_back_off_up_to_the_interval_and_then_it_catches_up(hub: TestHub, days: Days) -> None:
    await days.pass_by("hf:acme/tiny", rests=1)
    hub.stop()
    await days.pass_by("hf:acme/tiny", rests=8)
    assert days.rests == [RETRY * 2**n for n in range(6)] + [HOUR, HOUR]
    assert days.keeper.lag("hf:acme/tiny") > 2 * HOUR
    hub.start()
    days.keeper.clock.leap(HOUR)
    await days.pass_by("hf:acme/tiny", rests=1)
    assert days.results == ["changed", *["failed"] * 8, "unchanged"]
    assert days.keeper.lag("hf:acme/tiny") < 60


async def test_one_repo_s_failure_is_its_own(hub: TestHub, days: Days) -> None:
    await days.pass_by("hf:acme/nope", "hf:acme/tiny", "ms:acme/tiny", rests=3)
    assert {update.repo: str(update.result) for update in reversed(days.told)} == {
        "hf:acme/nope": "failed",
        "hf:acme/tiny": "changed",
        "ms:acme/tiny": "changed",
    }


async def test_a_disk_that_fails_does_not_end_the_schedule(
    days: Days, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole: Callable[..., object] = days.keeper.journal.begin

    def full(*given: object) -> None:
        monkeypatch.setattr(days.keeper.journal, "begin", whole)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(days.keeper.journal, "begin", full)
    await days.pass_by("hf:acme/tiny", rests=2)
    assert days.results == ["failed", "changed"] and "No space left" in caplog.text


async def test_only_so_many_repos_at_once(hub: TestHub, days: Days) -> None:
    hub.knob(path="/api/models/acme/*/revision/*", hold="look")
    names = [f"hf:acme/{name}" for name in ("a", "b", "c", "d")]
    passing = asyncio.create_task(days.pass_by(*names, rests=4))
    await until(lambda: len(hub.requests(path="/api/models/*")) == 2)
    assert sum(at.began is not None for at in days.keeper.journal.standings()) == 2
    hub.release("look")
    hub.unknob()
    await passing
    assert len(days.told) == 4


async def test_what_is_listed_no_longer_is_let_go_when_the_new_one_is_complete(hub: TestHub, days: Days) -> None:
    keeper = days.keeper
    await days.pass_by("hf:acme/tiny@v1", "hf:datasets/acme/tiny-ds", rests=2, pin=True)
    v1 = f"git:{hub.repo('acme/tiny').file('README.md', 'v1').digest}"
    assert v1 in keeper.kept

    hub.knob(path="/acme/tiny/resolve/*", status=500)
    await days.pass_by("hf:acme/tiny@main", rests=1, pin=True)
    assert v1 in keeper.kept, "not before the new one is here"
    assert [at.repo for at in keeper.journal.standings()] == ["hf:acme/tiny@main", "hf:acme/tiny@v1"], (
        "no heir: at once"
    )
    hub.unknob()
    await days.pass_by("hf:acme/tiny@main", rests=1, pin=True)
    assert v1 not in keeper.kept and f"git:{hub.repo('acme/tiny').file('README.md').digest}" in keeper.kept
    assert [at.repo for at in keeper.journal.standings()] == ["hf:acme/tiny@main"]


async def test_two_servers_on_one_cache_let_each_other_s_repos_be(days: Days, tmp_path: Path) -> None:
    other = Journal(tmp_path / "cache")
    other.claims.stake(["hf:acme/tiny"])
    await days.pass_by("hf:acme/tiny", rests=1, pin=True)
    pinned = days.keeper.kept
    await days.pass_by("hf:datasets/acme/tiny-ds", rests=1)
    assert pinned and days.keeper.kept == pinned
    assert [at.repo for at in days.keeper.journal.standings()] == ["hf:acme/tiny", "hf:datasets/acme/tiny-ds"]
    other.close()
    await days.pass_by("hf:datasets/acme/tiny-ds", rests=1)
    assert days.keeper.kept == frozenset(), "the other one has ended"


async def test_a_journal_that_begins_anew_is_filled_again(hub: TestHub, days: Days, tmp_path: Path) -> None:
    look = "/api/models/acme/tiny/revision/main"
    hub.knob(path=look, skip=1, hold="second look")
    passing = asyncio.create_task(days.pass_by("hf:acme/tiny", rests=3))
    await until(lambda: len(hub.requests(path=look)) == 2)
    (tmp_path / "cache/sync/journal.db").unlink()
    hub.release("second look")
    await passing
    assert days.told[-1].result is Result.CHANGED and days.keeper.lag("hf:acme/tiny") < 60


async def test_what_the_command_line_watches_is_not_the_server_s_to_let_go(days: Days) -> None:
    await days.pass_by("hf:acme/tiny", rests=1, listed=False, pin=True)
    pinned = days.keeper.kept
    await days.pass_by("hf:datasets/acme/tiny-ds", rests=1)
    assert pinned and days.keeper.kept == pinned
    assert days.told[-1].result is Result.CHANGED
