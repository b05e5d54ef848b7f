"""One hub for the tests of a module, as new for each of them, and a proxy that leads every host to it untouched."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hub import Splice, TestHub, standard_hub


@pytest.fixture(scope="module")
def running() -> Iterator[TestHub]:
    with standard_hub() as hub:
        yield hub


@pytest.fixture
def hub(running: TestHub) -> Iterator[TestHub]:
    yield running
    running.reset()


@pytest.fixture(scope="module")
def splice(running: TestHub) -> Iterator[Splice]:
    with Splice(running.port) as splice:
        yield splice
