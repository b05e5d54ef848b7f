from __future__ import annotations

import json
from pathlib import Path

import pytest

from proxy_addon.core.errors import ConfigError
from proxy_addon.store.contract import PIECE, UNIT
from proxy_addon.store.layout import FORMAT

from ..contracts.samples import MIB, fill, read_all
from .conftest import Opener

OURS = {"hubgate": FORMAT, "piece": PIECE, "unit": UNIT}


def snapshot(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.fault("R19")
@pytest.mark.parametrize(
    "mark",
    [
        json.dumps(OURS | {"hubgate": FORMAT + 1}),
        json.dumps(OURS | {"hubgate": FORMAT - 1}),
        json.dumps(OURS | {"unit": 2 * UNIT}),
        "[]",
        "",
        None,
    ],
)
async def test_another_format_is_refused_and_left_as_it_is(opened: Opener, root: Path, mark: str | None) -> None:
    store = await opened()
    await fill(store.blobs, "b", b"x" * PIECE)
    await store.close()
    if mark is None:
        (root / "FORMAT").unlink()
    else:
        (root / "FORMAT").write_text(mark)
    before = snapshot(root)
    with pytest.raises(ConfigError, match="format"):
        await opened()
    assert snapshot(root) == before
    (root / "FORMAT").write_text(json.dumps(OURS))
    store = await opened()
    manifest = await store.blobs.manifest("b")
    assert manifest is not None
    assert await read_all(store.blobs, manifest) == b"x" * PIECE


async def test_a_directory_that_cannot_be_made_is_one_clear_message(opened: Opener, root: Path) -> None:
    root.write_text("a file, not a directory")
    with pytest.raises(ConfigError, match=r"cache\.dir: .* cannot be written .*; name another directory"):
        await opened()
    assert root.read_text() == "a file, not a directory"


async def test_a_directory_in_the_way_of_the_index_is_one_clear_message(opened: Opener, root: Path) -> None:
    (root / "index" / "cache.db" / "x").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"cache\.dir"):
        await opened()


async def test_too_small_a_size_is_refused_before_anything_is_made(opened: Opener, root: Path) -> None:
    with pytest.raises(ConfigError, match=r"cache\.size: .*at least 32MB"):
        await opened(32 * MIB - 1)
    assert not root.exists()


async def test_a_store_can_be_closed_twice_and_leaves_no_log_behind(opened: Opener, root: Path) -> None:
    store = await opened()
    await fill(store.blobs, "b", b"x")
    await store.close()
    await store.close()
    assert sorted(path.name for path in root.rglob("*") if path.is_file()) == [
        "FORMAT",
        "cache.db",
        "cache.db",
        "reserve",
    ]
