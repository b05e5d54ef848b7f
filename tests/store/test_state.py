"""Any sequence of calls leaves the disk store and the dict model alike, restarts included."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from proxy_addon.core.errors import IntegrityError
from proxy_addon.store.contract import PIECE, Manifest, PieceMissing, Store
from proxy_addon.store.local import DiskStore

from ..contracts.model import DictStore
from ..contracts.samples import MIB, content, read_all, response

KEYS = st.sampled_from(["a", "a/b", "a/b/c", "b", "a\xff"])
BLOBS = st.sampled_from(["sha256:1", "sha256:2", "git:1"])
SIZES = st.sampled_from([1, 700, 32 * 1024, 32 * 1024 + 1, PIECE + 3])
SEEDS = st.sampled_from(["x", "y"])


class StoreIsItsModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="store-"))
        self.runner = asyncio.Runner()
        self.model = DictStore()
        self.store = DiskStore(self.root, 256 * MIB, 100_000)
        self.runner.run(self.store.open())

    def teardown(self) -> None:
        self.runner.run(self.store.close())
        self.runner.close()
        shutil.rmtree(self.root)

    def both(self, call: Callable[[Store], Awaitable[object]]) -> None:
        """The same result, or the same exception."""

        async def outcome(store: Store) -> object:
            try:
                return await call(store)
            except (IntegrityError, PieceMissing, FileNotFoundError, ValueError) as error:
                return type(error)

        assert self.runner.run(outcome(self.store)) == self.runner.run(outcome(self.model))

    @rule(key=KEYS, urls=st.lists(SEEDS, max_size=2))
    def put(self, key: str, urls: list[str]) -> None:
        self.both(lambda store: store.responses.put(key, [response(url) for url in urls]))

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        async def get(store: Store) -> tuple[object, ...]:
            found = tuple(await store.responses.get(key))
            assert tuple(store.responses.peek(key) or ()) == found
            return found

        self.both(get)

    @rule(prefix=st.sampled_from(["a", "a/", "a/b", "c"]))
    def invalidate(self, prefix: str) -> None:
        self.both(lambda store: store.responses.invalidate(prefix))

    @rule(blob=BLOBS, size=SIZES, validator=SEEDS)
    def create(self, blob: str, size: int, validator: str) -> None:
        self.both(lambda store: store.blobs.create(Manifest(blob, size, validator=validator)))

    @rule(blob=BLOBS, size=SIZES, seed=SEEDS, index=st.integers(0, 1))
    def write(self, blob: str, size: int, seed: str, index: int) -> None:
        data = content(seed, size)[index * PIECE : (index + 1) * PIECE]
        self.both(lambda store: store.blobs.write_piece(blob, index, data))

    @rule(blob=BLOBS, size=SIZES, seed=SEEDS)
    def write_whole(self, blob: str, size: int, seed: str) -> None:
        self.create(blob, size, "x")
        for index in range(-(-size // PIECE)):
            self.write(blob, size, seed, index)
        self.seal(blob, True)

    @rule(blob=BLOBS, public=st.booleans())
    def seal(self, blob: str, public: bool) -> None:
        self.both(lambda store: store.blobs.seal(blob, public=public))

    @rule(blob=BLOBS, public=st.booleans())
    def set_public(self, blob: str, public: bool) -> None:
        self.both(lambda store: store.blobs.set_public(blob, public))

    @rule(blob=BLOBS)
    def drop(self, blob: str) -> None:
        self.both(lambda store: store.blobs.drop(blob))

    @rule(blob=BLOBS, start=st.integers(0, PIECE + 2))
    def read(self, blob: str, start: int) -> None:
        async def read(store: Store) -> object:
            manifest = await store.blobs.manifest(blob)
            if manifest is None or start >= manifest.size:
                return None
            return await read_all(store.blobs, manifest, start, min(manifest.size, start + 2 * MIB))

        self.both(read)

    @rule()
    def restart(self) -> None:
        self.runner.run(self.store.close())
        self.store = DiskStore(self.root, 256 * MIB, 100_000)
        self.runner.run(self.store.open())

    @invariant()
    def the_same_is_there(self) -> None:
        for blob in ("sha256:1", "sha256:2", "git:1"):
            self.both(lambda store, blob=blob: store.blobs.manifest(blob))
            self.both(lambda store, blob=blob: store.blobs.present(blob))
            kept = self.store.blobs.peek(blob)
            assert kept is None or kept == self.model.blobs.peek(blob)
        ours, theirs = self.runner.run(self.store.stats()), self.runner.run(self.model.stats())
        assert (ours["responses"], ours["blobs"]) == (theirs["responses"], theirs["blobs"])


TestStoreIsItsModel = StoreIsItsModel.TestCase
TestStoreIsItsModel.settings = settings(max_examples=10, stateful_step_count=12, deadline=None)
