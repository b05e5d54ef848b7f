"""How bytes come from upstream: at once for all, in parallel, resumed, verified; and what a bad upstream cannot do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import pairwise

import pytest

from proxy_addon.config.places import ConnectTo, OtherHost
from proxy_addon.store.contract import PIECE
from tests.conftest import Starter
from tests.engine.rig import Clock, Rig, drained, until
from tests.engine.test_xet import lose
from tests.hub import Repo, Synthetic, TestHub, huggingface
from tests.hub.exchange import Answer, Exchange

H = "https://huggingface.co"
BIG = f"{H}/acme/big/resolve/main/b.bin"
CDN = "cdn-lfs*"
MIB = 1 << 20


def big(hub: TestHub, size: int, *, seed: int = 7) -> Synthetic:
    """`acme/big`, with one LFS file of so many bytes."""
    source = Synthetic(size, seed)
    hub.add(Repo("acme/big", files={"b.bin": source}, storage={"b.bin": "lfs"}))
    return source


def data(source: Synthetic, start: int = 0, end: int | None = None) -> bytes:
    return bytes(source.read(start, (source.size if end is None else end) - start))


def spans(hub: TestHub, host: str = CDN) -> list[tuple[int, int]]:
    """What was asked for at a host, as half-open ranges, in order of arrival."""
    asked = [r.headers["range"].removeprefix("bytes=").split("-") for r in hub.requests(host=host, method="GET")]
    return [(int(first), int(last) + 1) for first, last in asked]


async def sealed(r: Rig, source: Synthetic) -> bool:
    manifest = await r.parts.store.blobs.manifest(f"sha256:{source.sha256}")
    return manifest is not None and manifest.sealed


# -- together and in parallel ---------------------------------------------------------------------------------------


async def test_twenty_cold_readers_cost_one_body(hub: TestHub, start: Starter) -> None:
    source, r = big(hub, 9 * MIB + 17), await start()
    got = await asyncio.gather(*(r.get(BIG) for _ in range(20)))
    assert all(g.body == data(source) for g in got)
    assert hub.bodies_of(source.sha256) == 1.0
    assert sum("collapsed" in g.cache for g in got) == 19
    assert len(hub.requests(method="HEAD")) == 1
    await r.idle()
    assert await sealed(r, source)


async def test_a_follower_reads_what_has_landed_before_the_rest_has_come(hub: TestHub, start: Starter) -> None:
    source, r = big(hub, 3 * MIB), await start()
    hub.knob(host=CDN, hold="rest", hold_at=MIB)
    leader, follower = await r.open("GET", BIG), await r.open("GET", BIG)
    for reply in (leader, follower):
        assert not isinstance(reply.body, bytes)
        async with asyncio.timeout(60):
            assert bytes(await reply.body.read(1000)) == data(source, 0, 1000)
    hub.release("rest")
    for reply in (leader, follower):
        assert (await drained(reply)).body == data(source, 1000)


async def test_a_large_file_comes_over_several_connections(hub: TestHub, start: Starter) -> None:
    source, r = big(hub, 6 * PIECE + 5), await start(upstream__connections_per_file=3)
    hub.knob(host=CDN, hold="all", hold_at=0)
    reader = asyncio.create_task(r.get(BIG))
    await asyncio.to_thread(hub.wait, 3, host=CDN)
    assert len({q.client_port for q in hub.requests(host=CDN)}) == 3
    hub.release("all")
    assert (await reader).body == data(source)
    asked = sorted(spans(hub))
    assert asked[0][0] == 0 and asked[-1][1] == source.size
    assert all(one[1] == other[0] for one, other in pairwise(asked))


@pytest.mark.fault("R9")
@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
async def test_a_cut_is_resumed_where_it_was(hub: TestHub, start: Starter, reset: bool) -> None:
    source, r = big(hub, 3 * PIECE), await start(upstream__connections_per_file=1)
    hub.knob(host=CDN, drop_after=MIB, drop_rst=reset, times=2)
    got = await r.get(BIG)
    assert got.body == data(source) and not got.cut
    resumed = sorted(spans(hub))
    assert (0, PIECE) in resumed and len(resumed) == 5
    if not reset:
        assert (MIB, PIECE) in resumed
        assert hub.bodies_of(source.sha256) == 1.0
    await r.idle()
    assert await sealed(r, source)


async def test_a_server_without_ranges_is_read_in_one_stream(hub: TestHub, start: Starter) -> None:
    source, r = big(hub, 3 * PIECE + 1), await start(upstream__connections_per_file=4)
    hub.knob(host=CDN, range_ignored=True)
    got = await asyncio.gather(r.get(BIG), r.get(BIG, {"Range": f"bytes={2 * PIECE}-"}))
    assert [g.body for g in got] == [data(source), data(source, 2 * PIECE)]
    await r.idle()
    assert await sealed(r, source)


@pytest.mark.fault("R10")
async def test_a_stall_is_ended_and_resumed(hub: TestHub, start: Starter) -> None:
    source, r = big(hub, 2 * MIB), await start(upstream__stall_timeout=1.5)
    hub.knob(host=CDN, stall_after=MIB, times=1)
    got = await r.get(BIG)
    assert got.body == data(source) and not got.cut
    assert hub.requests(host=CDN)[-1].headers["range"].startswith(f"bytes={MIB}-")


async def test_a_cdn_that_is_closed_for_a_while_is_not_asked_and_nothing_goes_on(hub: TestHub, start: Starter) -> None:
    big(hub, 9 * MIB)
    r = await start()
    hub.knob(host=CDN, status=429, retry_after=600)
    for _ in range(2):
        hub.clear()
        assert (await r.get(BIG)).status == 429
        await r.idle()
    assert hub.requests(host=CDN) == []


@pytest.mark.fault("R10")
async def test_what_was_evicted_and_comes_again_slowly_is_given_out_as_it_comes(hub: TestHub, start: Starter) -> None:
    source, r = big(hub, 2 * PIECE), await start()
    assert (await r.get(BIG)).body == data(source)
    await r.idle()
    await lose(r, f"sha256:{source.sha256}", 1)
    hub.knob(host=CDN, hold="slow", hold_at=3 * MIB)
    reply = await r.open("GET", BIG)
    assert not isinstance(reply.body, bytes)
    came = b""
    async with asyncio.timeout(60):
        while len(came) < PIECE + 2 * MIB:
            came += bytes(await reply.body.read(MIB))
    hub.release("slow")
    rest = await drained(reply)
    assert came + rest.body == data(source) and not rest.cut


# -- verified -------------------------------------------------------------------------------------------------------


@pytest.mark.fault("R11")
@pytest.mark.parametrize("at", [0, 5 * MIB, 9 * MIB])
async def test_wrong_bytes_reach_nobody_as_a_whole(hub: TestHub, start: Starter, at: int) -> None:
    source, r = big(hub, 9 * MIB + 17), await start()
    knob = hub.knob(host=CDN, corrupt_at=at)
    got = await asyncio.gather(*(r.get(BIG) for _ in range(3)))
    assert all(g.cut and len(g.body) < source.size for g in got)
    await r.idle()
    assert [blob async for blob in r.kept()] == []
    hub.unknob(knob)
    assert (await r.get(BIG)).body == data(source)
    await r.idle()
    assert await sealed(r, source)


@pytest.mark.fault("R11")
async def test_a_small_file_with_wrong_bytes_is_not_given_out_at_all(hub: TestHub, start: Starter) -> None:
    r, url = await start(), f"{H}/acme/tiny/resolve/main/config.json"
    knob = hub.knob(path="/api/resolve-cache/*", corrupt_at=3)
    got = await r.get(url)
    assert got.refused
    hub.unknob(knob)
    file = hub.repo("acme/tiny").file("config.json")
    assert (await r.get(url)).body == bytes(file.source.read(0, file.size))


@pytest.mark.fault("R9")
@pytest.mark.parametrize("lie", [-5, 5])
async def test_a_length_that_lies(hub: TestHub, start: Starter, lie: int) -> None:
    source, r = big(hub, MIB), await start()
    knob = hub.knob(host=CDN, length_lie=lie)
    got = await r.get(BIG)
    assert got.refused
    await r.idle()
    assert not await sealed(r, source)
    hub.unknob(knob)
    assert (await r.get(BIG)).body == data(source)


async def test_a_size_that_changes_under_a_known_digest(hub: TestHub, start: Starter) -> None:
    source, r = big(hub, MIB), await start()
    await r.get(BIG)
    await r.idle()
    hub.add(Repo("other/liar", files={"b.bin": source}, storage={"b.bin": "lfs"}))
    hub.knob(path="/other/liar/*", headers={"X-Linked-Size": "77"})
    got = await r.get(f"{H}/other/liar/resolve/main/b.bin")
    assert got.status == 502 and (await r.get(BIG)).body == data(source)
    assert len(r.parts.fills) == 0


@pytest.mark.fault("R11")
async def test_a_representation_that_changes_midway_is_discarded(hub: TestHub, start: Starter) -> None:
    source, r = big(hub, 3 * PIECE), await start(upstream__connections_per_file=1)
    knob = hub.knob(host=CDN, etag="another", skip=1)
    got = await r.get(BIG)
    assert got.cut and len(got.body) <= PIECE
    await r.idle()
    assert [blob async for blob in r.kept()] == []
    hub.unknob(knob)
    assert (await r.get(BIG)).body == data(source)


@pytest.mark.fault("R11")
async def test_a_page_in_place_of_a_file_is_no_file(hub: TestHub, start: Starter) -> None:
    source, r = big(hub, MIB), await start()
    knob = hub.knob(host=CDN, status=200, body="<html>sign in</html>", content_type="text/html")
    got = await r.get(BIG)
    assert got.refused
    hub.unknob(knob)
    assert (await r.get(BIG)).body == data(source)


@pytest.mark.parametrize(("at", "coding"), [(PIECE + 5, "identity"), (PIECE, "gzip")], ids=["another range", "coded"])
async def test_an_answer_about_other_bytes_is_not_used(hub: TestHub, start: Starter, at: int, coding: str) -> None:
    source, r = big(hub, 3 * PIECE), await start()
    before, asked = hub.families, {"Range": f"bytes={PIECE}-{PIECE + 9}"}

    async def liar(hub: TestHub, ex: Exchange) -> Answer:
        span = f"bytes {at}-{at + PIECE - 1}/{source.size}"
        return Answer(206, [("Content-Range", span), ("Content-Encoding", coding)], data(source, at, at + PIECE))

    hub.families = [(CDN, liar), *before]
    got = await r.get(BIG, asked)
    hub.families = before
    assert got.refused
    assert (await r.get(BIG, asked)).body == data(source, PIECE, PIECE + 10)


# -- signed locations -----------------------------------------------------------------------------------------------


async def test_an_expired_location_is_asked_for_again(hub: TestHub, start: Starter) -> None:
    source, r = big(hub, MIB), await start()
    hub.knob(method="HEAD", url_ttl=-10)
    assert (await r.get(BIG)).body == data(source)
    assert [q.status for q in hub.requests(method="GET")] == [403, 302, 200]


async def test_a_location_is_used_for_as_long_as_it_is_good(hub: TestHub, start: Starter) -> None:
    source, r = big(hub, 3 * PIECE), await start(upstream__connections_per_file=1)
    assert (await r.get(BIG)).body == data(source)
    assert [q.method for q in hub.requests(host="huggingface.co")] == ["HEAD"]


async def test_a_missing_object_ends_at_once(hub: TestHub, start: Starter) -> None:
    big(hub, MIB)
    r = await start()
    hub.knob(host=CDN, status=404)
    got = await r.get(BIG)
    assert got.refused
    assert len(hub.requests(host=CDN)) == 2
    await r.idle()


# -- where a redirect may lead --------------------------------------------------------------------------------------


@pytest.mark.fault("R12")
@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/b.bin",
        "https://127.0.0.1/b.bin",
        "https://169.254.169.254/latest/meta-data",
        "http://cdn-lfs.hf.co/b.bin",
        "https://hf.co.evil.example/b.bin",
        "https://evilhf.co/b.bin",
    ],
)
async def test_a_redirect_away_from_the_hub_is_not_followed(hub: TestHub, start: Starter, target: str) -> None:
    big(hub, MIB)
    r = await start()
    hub.knob(path="/acme/big/*", headers={"Location": target})
    got = await r.get(BIG)
    assert got.refused
    assert {q.host for q in hub.requests()} == {"huggingface.co"}
    assert len(hub.requests()) == 2


@pytest.mark.fault("R12")
async def test_a_redirect_loop_ends(hub: TestHub, start: Starter) -> None:
    big(hub, MIB)
    r = await start()
    hub.knob(host=CDN, redirect="self")
    got = await r.get(BIG)
    assert got.refused
    assert len(hub.requests(host=CDN)) <= 12


PRIVATE = ["127.0.0.1", "localhost", "[::1]", "10.0.0.1", "169.254.169.254", "[64:ff9b::7f00:1]"]


@pytest.mark.parametrize("host", PRIVATE)
async def test_only_public_addresses_are_dialled(hub: TestHub, start: Starter, host: str) -> None:
    r = await start(upstream__connect_to=ConnectTo(), hubs__others=(OtherHost(host),))
    got = await r.get(f"https://{host}:{hub.port}/x")
    assert got.status in (403, 504) and "private address" in (got.header("X-Error-Message") or "")
    assert hub.requests() == []


@pytest.mark.fault("R12")
async def test_an_answer_of_a_private_address_to_a_hubs_name_is_refused(hub: TestHub, start: Starter) -> None:
    r = await start(upstream__connect_to=ConnectTo(), hubs__others=(OtherHost("localhost.localdomain"),))
    got = await r.get(f"https://localhost.localdomain:{hub.port}/x")
    assert got.status >= 500 and hub.requests() == []


# -- mirrors --------------------------------------------------------------------------------------------------------


@pytest.fixture
def mirror(hub: TestHub) -> Iterator[str]:
    """A mirror that answers as the hub does, at a host of its own."""
    before = hub.families
    hub.families = [("mirror.example", huggingface.answer), *before]
    yield "https://mirror.example"
    hub.families = before


async def test_a_mirror_is_tried_first(hub: TestHub, start: Starter, mirror: str) -> None:
    source, r = big(hub, MIB), await start(hubs__huggingface={"mirrors": (mirror,)})
    assert (await r.get(BIG)).body == data(source)
    assert {q.host for q in hub.requests(method="HEAD")} == {"mirror.example"}
    assert not hub.requests(host="huggingface.co")


async def test_a_mirrors_links_lead_to_the_hub(hub: TestHub, start: Starter, mirror: str) -> None:
    r, url = await start(hubs__huggingface={"mirrors": (mirror,)}), f"{H}/api/models/acme/tiny/tree/main"
    for _ in range(2):
        assert (await r.get(url)).header("Link") == f'<{url}?cursor=3>; rel="next"'
    assert {q.host for q in hub.requests()} == {"mirror.example"}


@pytest.mark.parametrize("path", ["config.json", "old.bin", "absent"])
async def test_a_mirror_that_only_points_at_the_hub_is_passed_over(
    hub: TestHub, start: Starter, mirror: str, path: str
) -> None:
    r, url = await start(hubs__huggingface={"mirrors": (mirror,)}), f"/acme/tiny/resolve/main/{path}"
    hub.knob(host="mirror.example", redirect=f"{H}{url}")
    got = await r.get(H + url)
    assert (got.status, got.header("Location")) == (404 if path == "absent" else 200, None)


@pytest.mark.parametrize("status", [404, 403, 500, 429])
async def test_what_a_mirror_will_not_give_the_hub_gives(
    hub: TestHub, start: Starter, mirror: str, status: int
) -> None:
    source, r = big(hub, MIB), await start(hubs__huggingface={"mirrors": (mirror,)})
    hub.knob(host="mirror.example", status=status)
    got = await r.get(BIG)
    assert got.body == data(source) and not got.cut
    assert (await r.get(f"{H}/api/models/acme/big")).status == 200


async def test_a_mirror_that_lags_behind_does_not_hide_a_file(hub: TestHub, start: Starter, mirror: str) -> None:
    source, r = big(hub, MIB), await start(hubs__huggingface={"mirrors": (mirror,)})
    gone = {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": hub.repo("acme/big").head}
    hub.knob(host="mirror.example", status=404, headers=gone)
    assert (await r.get(BIG)).body == data(source)


async def test_a_mirror_that_has_other_bytes_is_passed_over(hub: TestHub, start: Starter, mirror: str) -> None:
    source, r = big(hub, MIB), await start(hubs__huggingface={"mirrors": (mirror,)})
    hub.knob(host="mirror.example", method="HEAD", url_ttl=-10)
    hub.knob(host="mirror.example", method="GET", status=200, body="short")
    got = await r.get(BIG)
    assert got.body == data(source) and not got.cut


async def test_the_hubs_refusal_counts_though_a_mirror_failed(
    hub: TestHub, start: Starter, mirror: str, clock: Clock
) -> None:
    source, r = big(hub, MIB), await start(hubs__huggingface={"mirrors": (mirror,)})
    await r.get(BIG)
    await r.idle()
    clock.leap(25 * 3600)
    hub.knob(host="mirror.example", status=500)
    hub.repo("acme/big").private = True
    assert (await r.get(BIG)).status == 401
    hub.stop()
    assert (await r.get(BIG)).status == 503 and source.size


async def test_a_mirrors_refusal_is_no_word_of_the_hub(hub: TestHub, start: Starter, mirror: str, clock: Clock) -> None:
    source, r = big(hub, MIB), await start(hubs__huggingface={"mirrors": (mirror,)})
    await r.get(BIG)
    await r.idle()
    clock.leap(301)
    hub.knob(host="mirror.example", status=403)
    hub.knob(host="huggingface.co", status=503)
    got = await r.get(BIG)
    assert got.body == data(source) and "hit" in got.cache


# -- clients that leave, disks that are full ------------------------------------------------------------------------


@pytest.mark.fault("R18")
async def test_a_leader_that_leaves_takes_nobody_along(hub: TestHub, start: Starter) -> None:
    source, r = big(hub, 9 * MIB), await start()
    hub.knob(host=CDN, hold="rest", hold_at=MIB)
    leader, follower = await r.open("GET", BIG), await r.open("GET", BIG)
    assert not isinstance(leader.body, bytes)
    await leader.body.read(1000)
    leader.body.close()
    hub.release("rest")
    assert (await drained(follower)).body == data(source)
    assert hub.bodies_of(source.sha256) == 1.0


@pytest.mark.fault("R18")
async def test_a_leader_that_is_cancelled_while_it_asks_takes_nobody_along(hub: TestHub, start: Starter) -> None:
    source, r = big(hub, MIB), await start()
    hub.knob(method="HEAD", hold="head")
    leader, follower = asyncio.create_task(r.get(BIG)), asyncio.create_task(r.get(BIG))
    await asyncio.to_thread(hub.wait, 1)
    leader.cancel()
    hub.release("head")
    assert (await follower).body == data(source)
    assert len(hub.requests(method="HEAD")) == 1


@pytest.mark.fault("R18")
async def test_a_big_file_that_nobody_wants_any_more_stops(hub: TestHub, start: Starter) -> None:
    source, r = big(hub, 40 * PIECE), await start(upstream__connections_per_file=2)
    hub.knob(host=CDN, hold="rest", hold_at=MIB)
    reply = await r.open("GET", BIG)
    assert not isinstance(reply.body, bytes)
    await reply.body.read(1000)
    reply.body.close()
    hub.release("rest")
    await r.idle()
    assert not await sealed(r, source)
    assert len(hub.requests(host=CDN)) == 2 and hub.bodies_of(source.sha256) < 0.5
    assert (await r.get(BIG, {"Range": f"bytes={PIECE}-{PIECE + 9}"})).body == data(source, PIECE, PIECE + 10)


async def test_a_file_that_is_nearly_here_is_finished(hub: TestHub, start: Starter) -> None:
    source, r = big(hub, 3 * PIECE), await start()
    reply = await r.open("GET", BIG)
    assert not isinstance(reply.body, bytes)
    await reply.body.read(1000)
    reply.body.close()
    await r.idle()
    assert await sealed(r, source) and hub.bodies_of(source.sha256) == 1.0


async def test_conditions_that_hold_start_no_download(hub: TestHub, start: Starter) -> None:
    source, r = big(hub, MIB), await start()
    for fields in ({"If-None-Match": f'"{source.sha256}"'}, {"If-Match": '"x"'}, {"Range": f"bytes={MIB}-"}):
        assert (await r.get(BIG, fields)).status in (304, 412, 416)
    assert len(r.parts.fills) == 0 and not hub.requests(host=CDN)


@pytest.mark.fault("R7")
@pytest.mark.parametrize("corrupt", [False, True])
async def test_a_full_disk_costs_the_cache_and_not_the_download(hub: TestHub, start: Starter, corrupt: bool) -> None:
    source = big(hub, 60_000_000)
    r = await start(cache__size=34_000_000, upstream__connections_per_file=2)
    if corrupt:
        hub.knob(host=CDN, corrupt_at=50_000_000)
    async with asyncio.timeout(60):
        got = await r.get(BIG)
    assert got.cut == corrupt
    assert got.body == data(source) if not corrupt else len(got.body) < source.size
    await r.idle()
    assert not await sealed(r, source)


async def test_closing_cuts_the_readers_and_leaves_no_task(hub: TestHub, start: Starter) -> None:
    source, r = big(hub, 3 * PIECE), await start()
    before = len(asyncio.all_tasks())
    hub.knob(host=CDN, hold="rest", hold_at=MIB)
    reply = await r.open("GET", BIG)
    reader = asyncio.create_task(drained(reply))
    await r.parts.fills.close()
    got = await reader
    assert got.cut and len(got.body) < source.size
    await r.idle()
    hub.release("rest")
    await until(lambda: len(asyncio.all_tasks()) <= before, "the end of all tasks")
