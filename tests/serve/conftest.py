"""The test hub, and hubgate before it in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.hub import TestHub, standard_hub
from tests.processes import Hubgate, configuration


@pytest.fixture(scope="session")
def running_hub() -> Iterator[TestHub]:
    with standard_hub() as hub:
        yield hub


@pytest.fixture
def hub(running_hub: TestHub) -> Iterator[TestHub]:
    running_hub.start()
    running_hub.reset()
    yield running_hub
    running_hub.start()
    running_hub.reset()


@pytest.fixture
def start(hub: TestHub, tmp_path: Path) -> Iterator[Callable[..., Hubgate]]:
    """Starts hubgate with configuration keys; the same folder has the same cache and CA."""
    with ExitStack() as running:

        def begin(folder: str = "hubgate", **keys: Any) -> Hubgate:
            return running.enter_context(Hubgate(configuration(tmp_path / folder, hub, **keys)))

        yield begin


@pytest.fixture(scope="module")
def standing(running_hub: TestHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hubgate]:
    """One process for all tests of a module that do it no harm."""
    with Hubgate(configuration(tmp_path_factory.mktemp("standing"), running_hub)) as proxy:
        yield proxy


@pytest.fixture
def proxy(standing: Hubgate, hub: TestHub) -> Hubgate:
    return standing
