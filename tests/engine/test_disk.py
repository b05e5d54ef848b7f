"""A disk that refuses rows, and one that has lost bytes: it costs the cache, never the answer."""

from __future__ import annotations

import errno
from collections.abc import Sequence

import pytest

from proxy_addon.config.places import OtherHost
from proxy_addon.core.messages import StoredResponse
from tests.conftest import Starter
from tests.engine.rig import Clock, Rig
from tests.hub import Scripted, TestHub

H = "https://huggingface.co"
P = "https://plain.example"
INFO = f"{H}/api/models/acme/tiny"
WAYS = {
    "file": f"{H}/acme/tiny/resolve/main/old.bin",
    "small file": f"{H}/acme/tiny/resolve/main/config.json",
    "document": INFO,
    "raw text": f"{H}/acme/tiny/raw/main/README.md",
    "plain": f"{P}/x",
    "plain, no length": f"{P}/y",
    "rename": f"{H}/acme/old-name/resolve/main/config.json",
}


def refuse_rows(r: Rig) -> None:
    """From now on the disk is full."""

    async def put(key: str, variants: Sequence[StoredResponse]) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    r.parts.store.responses.put = put  # type: ignore[method-assign]


@pytest.mark.parametrize("url", WAYS.values(), ids=WAYS)
async def test_a_disk_that_refuses_rows_costs_no_answer(hub: TestHub, start: Starter, url: str) -> None:
    fresh = {"Cache-Control": "max-age=60"}
    hub.script("/x", Scripted(200, fresh, "x" * 100_000))
    hub.script("/y", Scripted(200, fresh, "y" * 100_000))
    hub.knob(path="/y", chunked=True)
    well, full = [await start(dir, hubs__others=(OtherHost("plain.example"),)) for dir in ("well", "full")]
    right = await well.get(url)
    refuse_rows(full)
    for _ in range(2):
        got = await full.get(url)
        assert (got.status, got.body, got.cut) == (right.status, right.body, False)
    assert full.parts.fills.trouble


@pytest.mark.parametrize("path", ["/acme/tiny/resolve/main/config.json", "/acme/tiny/raw/main/config.json"])
async def test_a_refusal_counts_though_the_disk_cannot_take_the_proof_back(
    hub: TestHub, start: Starter, clock: Clock, path: str
) -> None:
    r = await start()
    assert (await r.get(H + path)).status == 200
    await r.idle()
    hub.repo("acme/tiny").gated = "auto"
    clock.leap(301)
    refuse_rows(r)
    for _ in range(2):
        got = await r.get(H + path)
        assert (got.status, got.header("X-Error-Code")) == (401, "GatedRepo")


@pytest.mark.parametrize("later", [0, 61], ids=["fresh", "stale"])
async def test_a_document_whose_bytes_are_gone_is_fetched_anew(
    hub: TestHub, start: Starter, clock: Clock, later: float
) -> None:
    r = await start()
    cold = await r.get(INFO)
    for blob in [blob async for blob in r.kept()]:
        await r.parts.store.blobs.drop(blob)
    clock.leap(later)
    got = await r.get(INFO)
    assert (got.status, got.body) == (200, cold.body)
    assert "if-none-match" not in hub.requests()[-1].headers
    assert (await r.get(INFO)).cache.startswith("hubgate; hit")
