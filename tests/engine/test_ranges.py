"""Ranges and conditions on files: the same from a cold file as from a warm one, at the price of what was asked."""

from __future__ import annotations

import pytest

from proxy_addon.store.contract import PIECE
from tests.conftest import Starter
from tests.engine.rig import Rig
from tests.hub import Repo, Synthetic, TestHub

H = "https://huggingface.co"
URL = f"{H}/acme/tiny/resolve/main/old.bin"
SIZE = 1_500_000
MIB = 1 << 20


def old(hub: TestHub, start: int = 0, end: int = SIZE) -> bytes:
    return bytes(hub.repo("acme/tiny").file("old.bin").source.read(start, end - start))


async def prepared(hub: TestHub, start: Starter, warm: bool) -> Rig:
    r = await start()
    if warm:
        await r.get(URL)
        await r.idle()
        hub.clear()
    return r


warmth = pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])


@pytest.mark.fault("R23")
@warmth
@pytest.mark.parametrize(
    ("asked", "start_", "end"),
    [
        ("0-0", 0, 1),
        ("5-", 5, SIZE),
        ("-7", SIZE - 7, SIZE),
        ("0-", 0, SIZE),
        (f"100-{SIZE}", 100, SIZE),
        ("-99999999", 0, SIZE),
        ("1048570-1048590", 1048570, 1048591),
        (f"{SIZE - 1}-{SIZE - 1}", SIZE - 1, SIZE),
    ],
)
async def test_one_range(hub: TestHub, start: Starter, warm: bool, asked: str, start_: int, end: int) -> None:
    r = await prepared(hub, start, warm)
    got = await r.get(URL, {"Range": f"bytes={asked}"})
    assert (got.status, got.header("Content-Range")) == (206, f"bytes {start_}-{end - 1}/{SIZE}")
    assert got.body == old(hub, start_, end) and got.header("Content-Length") == str(end - start_)
    assert got.cache.startswith("hubgate; hit") == warm and bool(hub.requests()) != warm


@pytest.mark.fault("R23")
@warmth
async def test_past_the_end(hub: TestHub, start: Starter, warm: bool) -> None:
    r = await prepared(hub, start, warm)
    got = await r.get(URL, {"Range": f"bytes={SIZE}-"})
    assert (got.status, got.body, got.header("Content-Range")) == (416, b"", f"bytes */{SIZE}")
    assert not hub.requests(host="cdn*")


@pytest.mark.fault("R23")
@warmth
async def test_several_ranges(hub: TestHub, start: Starter, warm: bool) -> None:
    r = await prepared(hub, start, warm)
    got = await r.get(URL, {"Range": "bytes=0-4, 1000000-1000003, -2"})
    kind, _, mark = (got.header("Content-Type") or "").partition("; boundary=")
    assert (got.status, kind) == (206, "multipart/byteranges") and len(got.body) == int(
        got.header("Content-Length") or 0
    )
    parts = got.body.split(b"--" + mark.encode())[1:-1]
    heads = [part.partition(b"\r\n\r\n") for part in parts]
    spans = [(0, 5), (1_000_000, 1_000_004), (SIZE - 2, SIZE)]
    assert [data.removesuffix(b"\r\n") for _, _, data in heads] == [old(hub, a, b) for a, b in spans]
    for (head, _, _), (a, b) in zip(heads, spans, strict=True):
        assert f"Content-Range: bytes {a}-{b - 1}/{SIZE}".encode() in head
    assert got.body.endswith(b"--" + mark.encode() + b"--\r\n")


@warmth
async def test_if_range(hub: TestHub, start: Starter, warm: bool) -> None:
    r = await prepared(hub, start, warm)
    tag = f'"{hub.repo("acme/tiny").file("old.bin").digest}"'
    same = await r.get(URL, {"Range": "bytes=1-3", "If-Range": tag})
    assert (same.status, same.body) == (206, old(hub, 1, 4))
    other = await r.get(URL, {"Range": "bytes=1-3", "If-Range": '"other"'})
    assert (other.status, other.body) == (200, old(hub))


@warmth
async def test_if_none_match(hub: TestHub, start: Starter, warm: bool) -> None:
    r = await prepared(hub, start, warm)
    tag = f'"{hub.repo("acme/tiny").file("old.bin").digest}"'
    for method in ("GET", "HEAD"):
        same = await r.get(URL, {"If-None-Match": tag}, method)
        assert (same.status, same.body, same.header("ETag")) == (304, b"", tag)
    assert (await r.get(URL, {"If-None-Match": '"other"'})).body == old(hub)
    assert (await r.get(URL, {"If-Match": '"other"'})).status == 412


@warmth
async def test_a_range_of_a_head_and_ranges_that_mean_nothing(hub: TestHub, start: Starter, warm: bool) -> None:
    r = await prepared(hub, start, warm)
    head = await r.head(URL, {"Range": "bytes=0-0"})
    assert (head.status, head.header("Content-Length")) == (200, str(SIZE))
    for asked in ("bytes=5-2", "lines=0-1", "bytes=a-b", "bytes", "bytes=" + ",".join("0-0" for _ in range(10_001))):
        got = await r.get(URL, {"Range": asked})
        assert (got.status, len(got.body)) == (200, SIZE)


@pytest.mark.parametrize("at", [0, 20 * MIB + 3, 50_000_000 - 10])
async def test_a_small_range_of_a_large_cold_file_costs_one_piece(hub: TestHub, start: Starter, at: int) -> None:
    source = Synthetic(50_000_000, 4)
    hub.add(Repo("acme/wide", files={"w.bin": source}, storage={"w.bin": "lfs"}))
    r, url = await start(), f"{H}/acme/wide/resolve/main/w.bin"
    got = await r.get(url, {"Range": f"bytes={at}-{at + 9}"})
    assert got.body == bytes(source.read(at, 10))
    await r.idle()
    assert hub.bytes_sent(host="cdn*") <= PIECE
    again = await r.get(url, {"Range": f"bytes={at + 2}-{at + 8}"})
    assert again.body == bytes(source.read(at + 2, 7)) and len(hub.requests(host="cdn*")) == 1
    manifest = await r.parts.store.blobs.manifest(f"sha256:{source.sha256}")
    assert manifest is not None and not manifest.sealed


async def test_the_whole_file_after_a_range_costs_the_rest(hub: TestHub, start: Starter) -> None:
    source = Synthetic(20_000_000, 5)
    hub.add(Repo("acme/wide", files={"w.bin": source}, storage={"w.bin": "lfs"}))
    r, url = await start(), f"{H}/acme/wide/resolve/main/w.bin"
    for at in (9_000_000, 19_999_990):
        await r.get(url, {"Range": f"bytes={at}-{at + 9}"})
    await r.idle()
    assert (await r.get(url)).body == bytes(source.read(0, source.size))
    await r.idle()
    assert hub.bodies_of(source.sha256) == 1.0
    manifest = await r.parts.store.blobs.manifest(f"sha256:{source.sha256}")
    assert manifest is not None and manifest.sealed
    hub.stop()
    warm = await r.get(url, {"Range": "bytes=8388600-8388615"})
    assert warm.body == bytes(source.read(8_388_600, 16))


async def test_a_wrong_piece_behind_a_range_is_found_when_the_rest_comes(hub: TestHub, start: Starter) -> None:
    source = Synthetic(20_000_000, 6)
    hub.add(Repo("acme/wide", files={"w.bin": source}, storage={"w.bin": "lfs"}))
    r, url = await start(), f"{H}/acme/wide/resolve/main/w.bin"
    knob = hub.knob(host="cdn*", corrupt_at=9_000_000)
    await r.get(url, {"Range": "bytes=9000010-9000019"})
    hub.unknob(knob)
    assert (await r.get(url)).cut
    await r.idle()
    assert (await r.get(url)).body == bytes(source.read(0, source.size))
