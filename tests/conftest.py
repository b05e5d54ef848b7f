"""What most tests ask for: the test hub, one for the whole run and as new for each test, and engines in front of it.

Properties are tried on the same examples in each run, and may take their time over them: what chance finds is for the
longer runs to look for, and does not stop somebody else's change.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.engine.rig import Clock, Rig, rig, settings_for
from tests.hub import TestHub, modelscope, standard_hub

settings.register_profile("tests", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # of what a script runs beside itself; our processes inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_hub() -> Iterator[TestHub]:
    with standard_hub() as running:
        yield running


@pytest.fixture
def hub(shared_hub: TestHub) -> Iterator[TestHub]:
    """The standard hub: whatever a test does to it is undone."""
    repos, modelscope = dict(shared_hub.repos), dict(shared_hub.modelscope)
    renamed = dict(shared_hub.renamed)
    states = [
        (repo, {k: v.copy() if isinstance(v, dict) else v for k, v in vars(repo).items()})
        for repo in (*repos.values(), *modelscope.values())
    ]
    yield shared_hub
    shared_hub.start()
    shared_hub.reset()
    shared_hub.repos, shared_hub.modelscope, shared_hub.renamed = repos, modelscope, renamed
    for repo, state in states:
        vars(repo).update(state)


@pytest.fixture
def clock() -> Clock:
    """Time as the engines see it; it goes on by leaps, when a test says so."""
    return Clock()


@pytest.fixture
def tries(request: pytest.FixtureRequest) -> int:
    """How many faults this case is to inject: what its mark says, so that the table of faults cannot say another."""
    return next(int(mark.kwargs["tries"]) for mark in request.node.iter_markers("fault"))


type Starter = Callable[..., Awaitable[Rig]]
type Ruled = Callable[..., Awaitable[Rig]]


@pytest.fixture
async def start(hub: TestHub, tmp_path: Path, clock: Clock) -> AsyncIterator[Starter]:
    """Starts an engine: `await start(xet__key=value, dir="a")`. Engines with the same `dir` share a cache directory."""
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # as the proxy's own loop has it
    async with contextlib.AsyncExitStack() as stack:

        async def begin(dir: str = "cache", **changes: object) -> Rig:
            settings = settings_for(hub.port, hub.ca_pem, tmp_path / dir, **changes)
            return await stack.enter_async_context(rig(settings, clock))

        yield begin


@pytest.fixture
def mirror(hub: TestHub) -> Iterator[str]:
    """Of ModelScope: it answers as the hub does, at a host of its own."""
    before = hub.families
    hub.families = [("mirror.example", modelscope.answer), *before]
    yield "https://mirror.example"
    hub.families = before


@pytest.fixture
def ruled(start: Starter, tmp_path: Path) -> Ruled:
    """Starts an engine under rules: `await ruled("version: 1...")`, the first of a test by those in `rules-0.yaml`."""

    async def begin(text: str, dir: str = "cache", **changes: object) -> Rig:
        path = tmp_path / f"rules-{len(list(tmp_path.glob('rules-*')))}.yaml"
        path.write_text(text)
        return await start(dir, rules=(path,), **changes)

    return begin
