from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from proxy_addon.store.local import DiskStore

MIB = 1024 * 1024
Opener = Callable[..., Awaitable[DiskStore]]


class Clock:
    """Wall time that a test moves."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
async def opened(root: Path, clock: Clock) -> AsyncIterator[Opener]:
    """Opens the store in `root`, as often as wanted; each is closed in the end."""
    stores: list[DiskStore] = []

    async def open_(size: int = 256 * MIB, memory: int = 8 * MIB) -> DiskStore:
        store = DiskStore(root, size, memory, clock=clock)
        stores.append(store)
        await store.open()
        return store

    yield open_
    for store in stores:
        await store.close()
