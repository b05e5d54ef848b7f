"""Who goes on where he was cut, and what is fetched again for a proven file: neither ends with wrong bytes."""

from __future__ import annotations

from pathlib import Path

from proxy_addon.store.contract import PIECE, UNIT
from tests.conftest import Starter
from tests.engine.rig import Rig
from tests.engine.test_fetching import BIG, CDN, big, data, sealed
from tests.hub import Synthetic, TestHub

SIZE = 2 * PIECE + 1_000_000


async def test_after_a_wrong_digest_nobody_goes_on_where_he_was_cut(hub: TestHub, start: Starter) -> None:
    source, r = big(hub, SIZE), await start()
    knob = hub.knob(host=CDN, corrupt_at=100)
    first = await r.get(BIG)
    assert first.cut and first.body != data(source, 0, len(first.body))
    await r.idle()
    hub.unknob(knob)
    go_on = {"Range": f"bytes={len(first.body)}-"}
    for _ in range(2):
        again = await r.get(BIG, go_on)
        assert again.refused and "start over" in (again.header("X-Error-Message") or "")
        assert again.cache == "hubgate; detail=integrity"
    assert (await r.get(BIG, {"Range": "bytes=0-9"})).body == data(source, 0, 10)
    assert (await r.get(BIG)).body == data(source)
    await r.idle()
    assert (await r.get(BIG, go_on)).body == data(source, len(first.body))


async def damaged(r: Rig, source: Synthetic, root: Path) -> None:
    """Bring the file, and spoil its second piece on disk."""
    assert (await r.get(BIG)).body == data(source)
    await r.idle()
    second = data(source, PIECE, 2 * PIECE)
    (file,) = [file for file in root.rglob("*.val") if file.stat().st_size == PIECE and file.read_bytes() == second]
    file.write_bytes(bytes(PIECE))


async def test_a_piece_fetched_again_is_compared_before_it_goes_out(
    hub: TestHub, start: Starter, tmp_path: Path
) -> None:
    source, r = big(hub, SIZE), await start()
    await damaged(r, source, tmp_path)
    knob = hub.knob(host=CDN, corrupt_at=PIECE + 2_000_000)
    got = await r.get(BIG)
    assert got.cut and got.body == data(source, 0, len(got.body))
    assert PIECE <= len(got.body) <= PIECE + 2_000_000 // UNIT * UNIT
    await r.idle()
    hub.unknob(knob)
    assert (await r.get(BIG)).body == data(source) and await sealed(r, source)


async def test_wrong_bytes_that_reached_nobody_forbid_nothing(hub: TestHub, start: Starter, tmp_path: Path) -> None:
    source, r = big(hub, SIZE), await start()
    await damaged(r, source, tmp_path)
    hub.knob(host=CDN, corrupt_at=PIECE + 2_000_000)
    assert (await r.get(BIG)).cut
    await r.idle()
    assert (await r.get(BIG, {"Range": f"bytes={2 * PIECE}-"})).body == data(source, 2 * PIECE)
