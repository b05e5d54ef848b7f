"""R15: the wall clock jumps, back and forth, under a process that runs (libfaketime) and between two runs.

Timeouts go by a timer that only goes forward. No proof, no exception and no freshness lasts longer because a clock was
set back; and whatever a clock says, nothing wrong is served.
"""

from __future__ import annotations

import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from proxy_addon.access.public import PublicRepos
from proxy_addon.steady import Steady
from tests.conftest import Starter
from tests.engine.rig import Clock
from tests.faults.invariants import asked_once, download, served_without, settled
from tests.faults.test_scrubber import until
from tests.hub import Synthetic, TestHub
from tests.processes import Hubgate, configuration, to_hub

DAY, SIZE = 86400, 5_000_000
H = "https://huggingface.co"
TINY = f"{H}/acme/tiny/resolve/main/config.json"
JUMPS = (-30 * DAY, 2 * DAY, -1, 3 * DAY, -2 * DAY, 0)
RULES = """version: 1
rules:
  - {id: no-acme, effect: deny, match: {repo: "acme/*"}, reason: "no", owner: me}
exceptions:
  - {id: for-a-day, match: {repo: "acme/*"}, overrides: no-acme, owner: me, expires: %s}
"""


class Set:
    """The clock of a process, which a file sets; seconds ahead."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        told = subprocess.run(["faketime", "-f", "+0", "env"], capture_output=True, text=True, check=True).stdout
        preload = re.search(r"^LD_PRELOAD=(.+)$", told, re.MULTILINE)
        assert preload is not None
        self.environment = {
            "LD_PRELOAD": preload[1].replace("libfaketime.so", "libfaketimeMT.so"),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_RESET": "1",
        }
        self.ahead(0)

    def ahead(self, seconds: int) -> None:
        aside = self._file.with_suffix(".new")
        aside.write_text(f"{seconds:+d}\n")
        aside.replace(self._file)


class Wall(Clock):
    """Only the wall clock leaps."""

    def timer(self) -> float:
        return time.monotonic()


@pytest.fixture
def clock() -> Clock:
    return Wall()


def put(hub: TestHub, seed: int) -> tuple[str, Synthetic]:
    hub.add_synthetic(f"acme/clock-{seed}", "big.bin", SIZE, seed=seed)
    return f"{H}/acme/clock-{seed}/resolve/main/big.bin", Synthetic(SIZE, seed)


@pytest.mark.fault("R15", tries=6)
def test_downloads_while_the_clock_jumps(hub: TestHub, tmp_path: Path, tries: int) -> None:
    clock, files = Set(tmp_path), dict[str, Synthetic]()
    with Hubgate(configuration(tmp_path / "h", hub), **clock.environment) as proxy, ThreadPoolExecutor(1) as pool:
        for n, jump in enumerate(JUMPS[:tries]):
            url, source = put(hub, 5000 + n)
            hub.knob(host="cdn-lfs*", hold=url, hold_at=1_000_000)
            came = list[int]()
            going = pool.submit(download, proxy, url, source, seen=came.append)
            until(partial(bool, came), "nothing comes")
            clock.ahead(jump)
            hub.release(url)
            assert going.result().whole
            hub.unknob()
            files[url] = source
            asked_once(hub, source)
        served_without(hub, proxy, files)
        assert proxy.told.count("the clock was set back by") >= 2
        assert proxy.stop() == 0 and "Traceback" not in proxy.told
    settled(proxy.cache)


@pytest.mark.fault("R15", tries=2)
def test_timeouts_are_not_put_off(hub: TestHub, tmp_path: Path) -> None:
    clock, upstream = Set(tmp_path), to_hub(hub, stall_timeout="2s")
    with Hubgate(configuration(tmp_path / "h", hub, upstream=upstream), **clock.environment) as proxy:
        url, source = put(hub, 5100)
        hub.knob(host="cdn-lfs*", stall_after=1_000_000, times=2)
        came = list[int]()
        with ThreadPoolExecutor(1) as pool:
            going = pool.submit(download, proxy, url, source, seen=came.append)
            until(partial(bool, came), "nothing comes")
            clock.ahead(-DAY)
            assert going.result(60).whole, "what stalls is given up and asked for again, though it is yesterday"
        assert hub.requests(host="cdn-lfs*", method="GET", blob=source.sha256)[-1].headers["range"] > "bytes=0-"
        hub.unknob()
        clock.ahead(DAY)
        assert download(proxy, *put(hub, 5101)).whole


@pytest.mark.fault("R15", tries=3)
def test_an_exception_that_has_ended_stays_so(hub: TestHub, tmp_path: Path) -> None:
    clock, rules = Set(tmp_path), tmp_path / "h/rules"
    rules.mkdir(parents=True)
    (rules / "own.yaml").write_text(RULES % f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}")
    with Hubgate(configuration(tmp_path / "h", hub), **clock.environment) as proxy:
        assert proxy.ask(TINY).status == 200
        clock.ahead(3 * DAY)
        assert proxy.ask(TINY)["X-Policy-Rule"] == "no-acme"
        for ahead in (0, -3 * DAY):
            clock.ahead(ahead)
            assert proxy.ask(TINY)["X-Policy-Rule"] == "no-acme"


@pytest.mark.fault("R15")
@pytest.mark.parametrize("back", [3600.0, 23 * 3600.0, 300 * 86400.0])
async def test_a_proof_from_a_time_to_come_is_none(hub: TestHub, start: Starter, clock: Clock, back: float) -> None:
    one = await start()
    got = await one.get(TINY)
    await one.close()
    clock.leap(-back)
    hub.clear()
    other = await start()
    again = await other.get(TINY)
    assert again.body == got.body
    assert len(hub.requests(host="huggingface.co")) > 0, "asked, whether it is still public, and still the same"
    hub.clear()
    assert (await other.get(TINY)).body == got.body and hub.requests() == [], "and known from then on"


@pytest.mark.fault("R15")
async def test_with_the_hub_gone_what_came_later_is_served(hub: TestHub, start: Starter, clock: Clock) -> None:
    one = await start()
    got = await one.get(TINY)
    await one.close()
    clock.leap(-10 * DAY)
    hub.stop()
    assert (await (await start()).get(TINY)).body == got.body


@pytest.mark.fault("R15")
@pytest.mark.parametrize("back", [120.0, 3600.0, 23 * 3600.0, 30 * 86400.0])
async def test_a_clock_that_is_set_back_prolongs_no_proof(start: Starter, clock: Clock, back: float) -> None:
    public = PublicRepos((await start()).parts.store.responses, clock, stale_if_error=DAY)
    await public.note_success("hf:acme/tiny", clock())
    clock.leap(-30.0)
    assert await public.proven("hf:acme/tiny"), "another machine's clock may be a bit ahead"
    clock.leap(30.0 - back)
    assert not await public.proven("hf:acme/tiny")
    assert await public.known("hf:acme/tiny"), "enough while nobody can be asked"
    await public.note_success("hf:acme/tiny", clock())
    assert await public.proven("hf:acme/tiny")


def test_steady_time() -> None:
    wall, timer = [1000.0], [5.0]

    def at(w: float, t: float) -> float:
        wall[0], timer[0] = w, t
        return steady()

    steady = Steady(lambda: wall[0], lambda: timer[0])
    assert at(1001, 6) == 1001
    assert at(901, 7) == 1002, "set back by 101 s: counted on"
    assert at(902, 8) == 1003
    assert at(2000, 9) == 2000, "set forward: followed"
    assert at(1900, 9) == 2000 and at(1900, 10) == 2001
    assert at(1999.5, 11) == 2002


def test_it_is_told_once_that_a_clock_was_set_back(caplog: pytest.LogCaptureFixture) -> None:
    wall = iter([1000.0, 900.0, 900.0, 2000.0, 1000.0, 1.0])
    steady = Steady(lambda: next(wall), lambda: 0.0)
    for _ in range(5):
        steady()
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "the clock was set back by 100 s",
        "the clock was set back by 1000 s",
    ]
