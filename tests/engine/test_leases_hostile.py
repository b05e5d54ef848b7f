"""What a reader of one repo tries, to have the bytes of another's."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proxy_addon.answer.blobs import SAMPLE
from tests.conftest import Starter
from tests.engine.rig import LINK, Clock, drained, until
from tests.engine.test_leases import WEIGHTS, H, Place
from tests.hub import Repo, Synthetic, TestHub

X = f"{H}/mallory/points/resolve/main/x.bin"


@pytest.fixture
def hf(hub: TestHub) -> Place:
    return Place(hub, "hf", gated="auto")


def pointing(hub: TestHub, **kind: Any) -> Repo:
    """A repo that names the digest of another's file, as its hub has it."""
    return hub.add(Repo("mallory/points", files={"x.bin": WEIGHTS}, storage={"x.bin": "lfs"}, **kind))


@pytest.mark.parametrize("ranged", [{}, {"Range": "bytes=10-19"}])
async def test_who_names_a_digest_first_has_not_made_it_public(
    hub: TestHub, start: Starter, hf: Place, ranged: dict[str, str]
) -> None:
    own = pointing(hub)
    hub.knob(host="cdn-lfs*", path=f"/repos/{own.lfs_prefix}/*", status=404)
    r = await start()
    assert (await r.get(X, ranged)).status >= 400
    await r.idle()
    assert (await r.get(hf.url("w.bin"), hf.alice)).body == hf.data("w.bin")
    await r.idle()
    for _ in range(2):
        got = await r.get(X, ranged)
        assert got.status >= 400 and len(got.body) < 1000
    manifest = await r.parts.store.blobs.manifest(f"sha256:{WEIGHTS.sha256}")
    assert manifest is not None and manifest.sealed and not manifest.public


@pytest.mark.parametrize("kind", [{}, {"private": True, "readers": {"hf_other"}}])
async def test_a_fill_that_has_brought_nothing_yet_is_not_joined_by_who_has_other_bytes(
    hub: TestHub, start: Starter, hf: Place, kind: dict[str, Any]
) -> None:
    own = pointing(hub, **kind)
    r = await start()
    other = hub.knob(
        host="cdn-lfs*", path=f"/repos/{own.lfs_prefix}/*", range_ignored=True, status=200, body="z" * WEIGHTS.size
    )
    held = hub.knob(host="cdn-lfs*", path=f"/repos/{hf.repo.lfs_prefix}/*", hold="alice", hold_at=100_000)
    reader = asyncio.ensure_future(r.get(hf.url("w.bin"), hf.alice))
    await until(
        lambda: any(f.pieces.landing and f.pieces.landing[0].filled for f in r.parts.fills._all), "alice's bytes"
    )
    hub.clear()
    mallory = asyncio.ensure_future(r.get(X, hf.stranger))
    await asyncio.to_thread(hub.wait, 1, path=f"/repos/{own.lfs_prefix}/*")
    await until(lambda: True)
    hub.release("alice")
    hub.unknob(held)
    assert (await reader).body == hf.data("w.bin")
    got = await mallory
    assert hf.data("w.bin")[:1000] not in got.body
    assert got.status >= 400 or got.cut
    assert other


async def test_a_link_to_what_is_not_there_is_no_link_to_anothers_bytes(
    hub: TestHub, start: Starter, hf: Place
) -> None:
    own = pointing(hub, private=True, readers={"hf_other"})
    hub.knob(host="cdn-lfs*", path=f"/repos/{own.lfs_prefix}/*", status=404)
    r = await start()
    assert (await r.get(hf.url("w.bin"), hf.alice)).status == 200
    await r.idle()
    told = await r.get(X, hf.stranger | LINK)
    link = told.header("Location") or ""
    assert told.status == 302 and link
    for ranged in ({}, {"Range": "bytes=10-19"}):
        got = await r.get(link, ranged)
        assert got.status >= 400 and len(got.body) < 1000


async def test_a_card_that_opens_lets_nobody_in(hub: TestHub, start: Starter, hf: Place, clock: Clock) -> None:
    hf.repo.gated, hf.repo.private = False, True
    r = await start()
    for path in ("README.md", "w.bin"):
        assert (await r.get(hf.url(path), hf.alice)).status == 200
    await r.idle()
    hf.repo.gated, hf.repo.private = "auto", False
    clock.leap(400)
    assert (await r.get(hf.url("w.bin"), hf.stranger)).status == 403
    card = hf.repo.file("README.md")
    facts = {"X-Repo-Commit": hf.repo.head, "ETag": f'"{card.oid}"', "Content-Length": str(card.size)}
    hub.knob(path="/acme/shut/resolve/*/README.md", status=200, body="# shut\n", headers=facts)
    for path in ("README.md", "w.bin"):
        for rev in ("main", hf.repo.head):
            got = await r.get(hf.url(path, rev), hf.stranger)
            assert got.status == (200 if path == "README.md" else 403), (path, rev)


async def test_a_card_that_stays_open_opens_no_file_that_was(
    hub: TestHub, start: Starter, hf: Place, clock: Clock
) -> None:
    hf.repo.gated = False
    r = await start()
    url = hf.url("w.bin", hf.repo.head)
    assert (await r.get(url)).status == 200
    await r.idle()
    hf.repo.gated = "auto"
    card = hf.repo.file("README.md")
    facts = {"X-Repo-Commit": hf.repo.head, "ETag": f'"{card.oid}"', "Content-Length": str(card.size)}
    hub.knob(path="/acme/shut/resolve/*/README.md", status=200, body="# shut\n", headers=facts)
    clock.leap(25 * 3600)
    assert (await r.get(url)).status == 401
    for _ in range(2):
        assert (await r.get(hf.url("README.md"))).status == 200
        for who in ({}, hf.stranger):
            assert (await r.get(url, who)).status in (401, 403)
        clock.leap(400)


async def test_a_token_whose_repo_is_hidden_midway_is_good_for_nothing_more(
    hub: TestHub, start: Starter, hf: Place
) -> None:
    hf.repo.gated, hf.repo.private = False, True
    r, url = await start(), hf.url("config.json", hf.repo.head)
    assert (await r.head(url, hf.alice)).status == 200
    hf.repo.admitted = frozenset()
    assert (await r.get(url, hf.alice)).status == 404
    hub.stop()
    assert (await r.head(url, hf.alice)).status == 503


async def test_who_is_refused_midway_leaves_the_others_their_download(hub: TestHub, start: Starter, hf: Place) -> None:
    big = hub.add(
        Repo("acme/big", files={"b.bin": Synthetic(9_000_000, 91)}, storage={"b.bin": "lfs"}, gated="auto",
             readers={hf.a, hf.b})
    )  # fmt: skip
    r, url = await start(), hf.url("b.bin", big.head, "acme/big")
    hub.knob(host="cdn-lfs*", hold="cdn", hold_at=5_000_000, times=1)
    first, second = await r.open("GET", url, hf.alice), await r.open("GET", url, hf.bob)
    big.admitted = frozenset({hf.b})
    hub.knob(host="cdn-lfs*", status=403, times=1)
    hub.release("cdn")
    a, b = await asyncio.gather(drained(first), drained(second))
    source = big.file("b.bin").source
    assert b.body == bytes(source.read(0, source.size))
    assert a.body


async def test_who_was_refused_cannot_choose_a_hub_that_is_away(
    hub: TestHub, start: Starter, hf: Place, clock: Clock
) -> None:
    r, url = await start(access__offline_grace=3600.0), hf.url("w.bin", hf.repo.head)
    other = url.replace(H, "https://hf.co")
    assert (await r.get(url, hf.alice)).status == 200
    await r.idle()
    hf.repo.admitted = frozenset()
    clock.leap(301)
    hub.knob(host="hf.co", status=503)
    assert (await r.get(other, hf.alice)).status == 503
    hub.clear()
    long = hf.alice | {"User-Agent": "x" * 5000}
    assert (await r.get(url, long)).status == 403
    asked = [q.headers["user-agent"] for q in hub.requests(host="huggingface.co") if "authorization" in q.headers]
    assert asked[0] == "hubgate", "what is asked on his behalf has a head that the hub takes"


async def test_a_link_of_another_place_is_compared_once_and_then_answered_from_here(
    hub: TestHub, start: Starter, hf: Place
) -> None:
    pointing(hub, private=True, readers={"hf_other"})
    r = await start()
    assert (await r.get(hf.url("w.bin"), hf.alice)).status == 200
    await r.idle()
    link = (await r.get(X, hf.stranger | LINK)).header("Location") or ""
    hub.clear()
    for _ in range(3):
        assert (await r.get(link)).body == hf.data("w.bin")
    assert 0 < hub.bytes_sent(blob=WEIGHTS.sha256) <= SAMPLE


async def test_who_reads_the_same_repo_waits_for_nothing(hub: TestHub, start: Starter, hf: Place) -> None:
    r = await start()
    hub.knob(host="cdn-lfs*", hold="alice", hold_at=300_000)
    first = asyncio.ensure_future(r.get(hf.url("w.bin"), hf.alice))
    await until(lambda: r.parts.fills.bringing(f"sha256:{WEIGHTS.sha256}"), "alice's fill")
    second = await asyncio.wait_for(r.open("GET", hf.url("w.bin"), hf.bob), 60)
    hub.unknob()
    hub.release("alice")
    assert (await drained(second)).body == (await first).body == hf.data("w.bin")
    assert hub.bodies_of(WEIGHTS.sha256) < 1.001


@pytest.mark.parametrize("kind", [{}, {"private": True, "readers": {"hf_other"}}])
async def test_what_comes_again_after_it_was_evicted_is_not_for_who_has_other_bytes(
    hub: TestHub, start: Starter, hf: Place, kind: dict[str, Any]
) -> None:
    own, blob = pointing(hub, **kind), f"sha256:{WEIGHTS.sha256}"
    r = await start()
    assert (await r.get(hf.url("w.bin"), hf.alice)).status == 200
    await r.idle()
    await asyncio.to_thread(r.parts.store.blobs._held.drop, blob)
    manifest = await r.parts.store.blobs.manifest(blob)
    assert manifest is not None and manifest.sealed and not await r.parts.store.blobs.present(blob)
    hub.knob(
        host="cdn-lfs*", path=f"/repos/{own.lfs_prefix}/*", range_ignored=True, status=200, body="z" * WEIGHTS.size
    )
    held = hub.knob(host="cdn-lfs*", path=f"/repos/{hf.repo.lfs_prefix}/*", hold="alice", hold_at=100_000)
    reader = asyncio.ensure_future(r.get(hf.url("w.bin"), hf.alice))
    await until(lambda: r.parts.fills.current(blob), "alice's fill")
    other = asyncio.ensure_future(r.get(X, hf.stranger))
    await asyncio.to_thread(hub.wait, 1, path=f"/repos/{own.lfs_prefix}/*")
    hub.unknob(held)
    hub.release("alice")
    assert (await reader).body == hf.data("w.bin")
    got = await other
    assert (got.status >= 400 or got.cut) and hf.data("w.bin")[:1000] not in got.body


async def test_what_was_evicted_and_comes_openly_is_for_all_from_then_on(
    hub: TestHub, start: Starter, hf: Place
) -> None:
    """Also without the hub: nothing is left to compare."""
    hub.add(Repo("open/same", files={"x.bin": WEIGHTS}, storage={"x.bin": "lfs"}))
    url, r = f"{H}/open/same/resolve/main/x.bin", await start()
    assert (await r.get(hf.url("w.bin"), hf.alice)).status == 200
    await r.idle()
    await asyncio.to_thread(r.parts.store.blobs._held.drop, f"sha256:{WEIGHTS.sha256}")
    assert (await r.get(url)).body == hf.data("w.bin")
    await r.idle()
    hub.stop()
    got = await r.get(url)
    assert (got.status, got.body) == (200, hf.data("w.bin"))


@pytest.mark.parametrize("kind", [{}, {"private": True, "readers": {"hf_other"}}])
async def test_who_is_compared_for_longer_than_the_fill_takes_has_it_all_the_same(
    hub: TestHub, start: Starter, hf: Place, kind: dict[str, Any]
) -> None:
    own, blob = pointing(hub, **kind), f"sha256:{WEIGHTS.sha256}"
    r, place = await start(), f"/repos/{own.lfs_prefix}/*"
    hub.knob(host="cdn-lfs*", path=place, skip=2, hold="compared")  # at first nothing is here to compare with
    hub.knob(host="cdn-lfs*", path=f"/repos/{hf.repo.lfs_prefix}/*", hold="alice", hold_at=100_000)
    reader = asyncio.ensure_future(r.get(hf.url("w.bin"), hf.alice))
    await until(lambda: r.parts.fills.current(blob), "alice's fill")
    other = asyncio.ensure_future(r.get(X, hf.stranger))
    await asyncio.to_thread(hub.wait, 2, path=place, ended=True)
    hub.release("alice")
    assert (await reader).body == hf.data("w.bin")
    await asyncio.to_thread(hub.wait, 3, path=place)
    await r.idle()
    hub.release("compared")
    got = await other
    assert (got.status, got.cut, got.body == hf.data("w.bin")) == (200, False, True)
