"""What rules cost: a decision on what lies in memory, and small warm replies of a server that has many rules."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from itertools import count, islice, repeat
from pathlib import Path
from statistics import median

from proxy_addon.core.messages import Request
from proxy_addon.engine import Engine
from tests.engine.rig import request_for, settings_for
from tests.engine.rig import rig as engine_of

from .figures import Figure, Goal, On, Row, in_turn
from .rig import HOST, Rig
from .ruleset import ALLOWED, COUNT, DENIED, text
from .small import CONNECTIONS, Load, load, more

SIZE = 2048
CALLS = 20  # in a row, before the other side has its turn
TURNS = 10  # of either side, in one try


def rows(rig: Rig) -> Iterator[Row]:
    body = ("hubgate " * SIZE)[:SIZE]
    for repo, licence in ((ALLOWED, "mit"), (DENIED, "cc-by-nc-4.0")):
        card = f"---\nlicense: {licence}\n---\n"
        rig.hub.commit(repo, {**dict.fromkeys(_names(rig), "few words"), "0.txt": body, "README.md": card})
    rules = text()
    for what, (ours, peer) in asyncio.run(_decisions(rig, rules)).items():
        yield Row(
            f"warm hit from memory, {COUNT:,} rules, {what}", "CPU-us", Figure(tuple(ours), 1), Figure(tuple(peer), 1),
            "without rules", _GOALS.get(what), f"the rules cost {median(ours) - median(peer):.1f} us",
        )  # fmt: skip
    book = rig.folder / "many-rules.yaml"
    book.write_text(rules)
    with rig.proxy(cache="ruled", rules=book) as ruled, rig.proxy(cache="free") as free:
        path = f"/{ALLOWED}/resolve/main/0.txt"
        sides = (partial(load, side, path, rig.scale.seconds, "GET", body) for side in (ruled, free))
        with_rules, without = in_turn(rig.scale.tries, *sides)
    yield Row(
        f"warm 2 KB, memory tier, {COUNT:,} rules, {CONNECTIONS} connections", "requests/s",
        _rates(with_rules), _rates(without), "without rules", None,
        f"{more(with_rules)}; without rules {more(without)}",
    )  # fmt: skip


async def _decisions(rig: Rig, rules: str) -> dict[str, tuple[list[float], list[float]]]:
    """Microseconds of CPU a request: under the rules, and without. Both sides have the same files in memory."""
    found: dict[str, tuple[list[float], list[float]]] = {}
    urls = [_url(repo, name) for repo in (ALLOWED, DENIED) for name in _names(rig)]
    async with AsyncExitStack() as stack:
        engines = []
        for side in ("ruled", "free"):
            book = rig.folder / f"{side}.yaml"
            book.write_text("version: 1\n")
            settings = settings_for(rig.hub.port, Path(rig.hub.ca_pem), rig.folder / f"decisions-{side}", rules=(book,))
            made = await stack.enter_async_context(engine_of(settings))
            for url in urls:
                await made.get(url)
            if side == "ruled":
                book.write_text(rules)
                await asyncio.to_thread(made.parts.rulebook.open)
                for repo in (ALLOWED, DENIED):  # and what the rules ask for is in memory
                    await made.get(_url(repo, "0.txt"))
            engines.append(made.parts.engine)
        for what, repo, status, varied in _CASES:
            requests = [list(islice(varied(repo), (rig.scale.tries + 1) * TURNS * CALLS)) for _ in engines]
            sides = (partial(_calls, *each) for each in zip(engines, map(iter, requests), (status, 200), strict=True))
            found[what] = _by_turns(rig.scale.tries, *sides)
    return found


def _names(rig: Rig) -> Iterator[str]:
    return (f"{number}.txt" for number in range((rig.scale.tries + 1) * TURNS * CALLS))


def _url(repo: str, name: str) -> str:
    return f"https://{HOST}/{repo}/resolve/main/{name}"


def _again(repo: str) -> Iterator[Request]:
    return repeat(request_for("GET", _url(repo, "0.txt")))


def _other_files(repo: str) -> Iterator[Request]:
    return (request_for("GET", _url(repo, f"{number}.txt")) for number in count())


def _other_clients(repo: str) -> Iterator[Request]:
    (request,) = islice(_again(repo), 1)
    return (replace(request, client=f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}") for n in count())


#: What is asked for, the status under the rules, and how one request differs from the next.
_CASES = (
    ("allowed, again", ALLOWED, 200, _again),
    ("allowed, each a file not asked for before", ALLOWED, 200, _other_files),
    ("allowed, each a client not seen before", ALLOWED, 200, _other_clients),
    ("denied, again", DENIED, 403, _again),
    ("denied, each a file not asked for before", DENIED, 403, _other_files),
)
_GOAL = Goal(On.MORE, False, 50)
_GOALS = dict.fromkeys([what for what, *_ in _CASES if "client" not in what], _GOAL)


def _by_turns(tries: int, *sides: Callable[[], float]) -> tuple[list[float], list[float]]:
    """Each try is the median of many short turns, so that what else the machine does meets both sides alike."""
    gc.collect()
    gc.freeze()  # as the server has it
    try:
        waits = [in_turn(TURNS, *sides) for _ in range(tries + 1)][1:]  # the first is to warm up
    finally:
        gc.unfreeze()
    ours, peer = zip(*waits, strict=True)
    return [median(each) for each in ours], [median(each) for each in peer]


def _calls(engine: Engine, requests: Iterator[Request], status: int) -> float:
    asked = list(islice(requests, CALLS))
    started = time.thread_time()
    replies = [engine.quick(request) for request in asked]
    seconds = time.thread_time() - started
    if any(reply is None or reply.status != status for reply in replies):
        raise RuntimeError(f"not {status} from memory: {replies[0]}")
    return seconds / CALLS * 1e6


def _rates(loads: list[Load]) -> Figure:
    return Figure(tuple(one.rate for one in loads), 0)
