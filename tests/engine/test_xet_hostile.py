"""Native Xet among clients and repos that mean harm, and in odd order: no wrong file, no wait for ever, no leak."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from proxy_addon.answer.assembly import Assembly
from proxy_addon.answer.downloads import Downloads, Layout, Map
from proxy_addon.answer.reconstructions import AT_ONCE, LARGEST
from proxy_addon.core.errors import IntegrityError
from proxy_addon.hub.terms import Fetch, Segment, Told
from proxy_addon.store.contract import Manifest
from proxy_addon.xorb.frames import MOST, Frames
from tests.conftest import Starter
from tests.engine.rig import LINK, Rig, drained, request_for, until
from tests.engine.test_xet import true
from tests.engine.test_xet_proof import PATH, blob_of, knowing, native, settled
from tests.engine.xet_client import CAS, TRANSFER, H, XetClient, links, path_of, rebuilt
from tests.hub import Part, Repo, Spliced, Synthetic, TestHub
from tests.hub.xorbs import CHUNK

FALSE = "ab" * 32


def whole(client: XetClient, told: dict[str, Any]) -> bytes:
    return rebuilt(told, client.got)


# -- what a Xet hash stands for ---------------------------------------------------------------------------------------


async def claimed(hub: TestHub, r: Rig, xet: str, size: int, where: str) -> None:
    """A repo of somebody's own says that the hash stands for other bytes."""
    claim: dict[str, Any] = {"xetHash": xet, "size": size, "lfs": {"oid": FALSE, "size": size}}
    if where == "card":
        hub.add(Repo("evil/own", files={"a.txt": "x"}, info={"cardData": {"license": "mit", "list": [claim]}}))
        assert xet in (await r.get(f"{H}/api/models/evil/own")).body.decode()
    elif where == "listing":
        hub.add(Repo("evil/own", files={"a.txt": "x"}))
        told = [{"type": "file", "path": "a.txt", "oid": "0" * 40, **claim}]
        hub.knob(path="/api/models/evil/own/tree/*", status=200, body=json.dumps(told))
        assert (await r.get(f"{H}/api/models/evil/own/tree/main")).status == 200
    else:
        fields = {"X-Xet-Hash": xet, "X-Linked-Etag": f'"{FALSE}"', "X-Linked-Size": str(size)}
        hub.add(Repo("evil/own", files={"a.bin": Synthetic(size, 99)}, storage={"a.bin": "xet"}))
        hub.knob(path="/evil/own/resolve/*", headers=fields)
        assert (await r.head(f"{H}/evil/own/resolve/main/a.bin")).header("X-Xet-Hash") == xet
    await r.parts.engine._xet.identities.settle()


@pytest.mark.parametrize("where", ["card", "listing", "head"])
@pytest.mark.parametrize("first", [True, False])
async def test_what_a_repo_says_of_anothers_hash_breaks_no_file(
    hub: TestHub, start: Starter, where: str, first: bool
) -> None:
    r = await native(start)
    xet, body = true(hub)
    if first:
        await claimed(hub, r, xet, len(body), where)
    client = await knowing(r)
    if not first:
        await claimed(hub, r, xet, len(body), where)
    assert await client.download(xet) == body


async def test_a_card_does_not_make_a_file_unprovable(hub: TestHub, start: Starter) -> None:
    r = await native(start)
    client, (xet, body) = await knowing(r), true(hub)
    await claimed(hub, r, xet, len(body), "card")
    hub.knob(host=TRANSFER, corrupt_at=70_000)
    assert [got.cut for got in await client.fetch_in_turn(hub, await client.told(xet))] == [False, True]


async def test_what_was_told_is_not_forgotten_with_the_process(hub: TestHub, start: Starter) -> None:
    before, (xet, body) = await native(start), true(hub)
    await knowing(before)
    await before.close()
    r = await native(start)
    await claimed(hub, r, xet, len(body), "listing")
    assert await XetClient(r).download(xet) == body


async def test_a_head_that_is_kept_tells_it_again(hub: TestHub, start: Starter) -> None:
    r = await native(start)
    client, (xet, _) = await knowing(r), true(hub)
    known = r.parts.engine._xet.identities
    engine, request = r.parts.engine, request_for("HEAD", f"{H}/acme/tiny/resolve/main/{PATH}")
    await known.settle()
    assert await engine.glance(request) is not None
    right = known._known.pop(xet)
    assert engine.quick(request) is not None and known._known.pop(xet) == right
    assert await engine.glance(request) is not None and known._known.get(xet) == right
    hub.knob(host=TRANSFER, corrupt_at=70_000)
    assert [got.cut for got in await client.fetch_in_turn(hub, await client.told(xet))] == [False, True]


async def test_another_hub_has_no_say(hub: TestHub, start: Starter) -> None:
    r = await native(start)
    client, (xet, body) = await knowing(r), true(hub)
    fields = {"X-Xet-Hash": xet, "X-Linked-Etag": f'"{FALSE}"', "X-Linked-Size": str(len(body))}
    hub.knob(host="*modelscope*", headers=fields)
    url = "https://www.modelscope.cn/models/acme/private/resolve/master/old.bin"
    assert (await r.get(url, {"Authorization": "Bearer ms_reader"} | LINK)).header("X-Xet-Hash") == xet
    hub.unknob()
    hub.knob(host=TRANSFER, corrupt_at=70_000)
    assert [got.cut for got in await client.fetch_in_turn(hub, await client.told(xet))] == [False, True]


# -- where a reconstruction is said to begin --------------------------------------------------------------------------


@pytest.mark.parametrize("more", [{}, {"Connection": "range"}, {"If-Range": "never"}])
@pytest.mark.parametrize("later", [False, True])
async def test_nobody_shifts_the_parts_of_a_file(
    hub: TestHub, start: Starter, more: dict[str, str], later: bool
) -> None:
    """All of the file in answer to a part of it: then it does not begin where that does."""
    r = await native(start)
    client, (xet, body) = XetClient(r), true(hub)
    told = await client.told(xet)
    if not later:
        await client.head(PATH)
    await mistold(hub, r, xet, {"Range": f"bytes={told['terms'][0]['unpacked_length']}-", **more}, told)
    await client.head(PATH)
    first, last = links(told)
    hub.knob(host=TRANSFER, path=path_of(first), hold="first", hold_at=100_000)
    other = await XetClient(r, session="s9").open(links(await XetClient(r, session="s9").told(xet))[0])
    reply = await client.open(last)  # the pass over the file has begun
    await mistold(hub, r, xet, {"Range": f"bytes={told['terms'][0]['unpacked_length']}-", **more}, told)
    hub.release("first")
    assert not (await drained(reply)).cut and not (await drained(other)).cut
    assert await XetClient(r, session="s2").download(xet) == body


async def test_of_several_ranges_nobody_knows_which_was_answered(hub: TestHub, start: Starter) -> None:
    source = Synthetic(40 * CHUNK, 6)
    parts = [Part(source, low * CHUNK, high * CHUNK) for low, high in ((0, 8), (10, 12), (24, 32))]
    hub.add(Repo("acme/parts", files={"b.bin": Spliced(*parts)}, storage={"b.bin": "xet"}))
    r = await native(start)
    client, (xet, body) = await knowing(r, "acme/parts", "b.bin"), true(hub, "acme/parts", "b.bin")
    first, *_, last = links(await client.told(xet))
    part = await client.told(xet, f"0-{8 * CHUNK - 1}")
    hub.knob(host=TRANSFER, path=path_of(first), hold="first")
    reply = await client.open(last)
    await mistold(hub, r, xet, {"Range": f"bytes={8 * CHUNK}-, 0-{8 * CHUNK - 1}"}, part)
    hub.release("first")
    assert not (await drained(reply)).cut
    assert await XetClient(r, "acme/parts", "s2").download(xet) == body


async def mistold(hub: TestHub, r: Rig, xet: str, fields: dict[str, str], told: dict[str, Any]) -> None:
    """A CAS that understands the range otherwise than we do, or never sees it."""
    knob = hub.knob(host="cas-server*", status=200, body=json.dumps(told))
    token = json.loads((await r.get(f"{H}/api/models/acme/tiny/xet-read-token/main")).body)["accessToken"]
    fields = {"Authorization": f"Bearer {token}", "x-xet-session-id": "s9", **fields}
    assert (await r.get(f"{CAS}/v2/reconstructions/{xet}", fields)).status == 200
    hub.unknob(knob)


# -- segments that overlap --------------------------------------------------------------------------------------------


def segment(at: int, size: int, blob: str = "xorb:" + "0" * 64 + ":0-9") -> Segment:
    return Segment(at, size, blob, 0, 1)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (1, 0, 2)])
def test_a_short_segment_hides_no_longer_one(order: tuple[int, ...]) -> None:
    layouts = [
        Layout((segment(0, 100), segment(100, 100))),
        Layout((segment(90, 20), segment(120, 10), segment(130, 5))),
        Layout((segment(90, 110, ""),)),
    ]
    found = Map(layouts[n] for n in order)
    at = [found.covering(n) for n in range(200)]
    assert all(each is not None and each.at <= n < each.end and each.blob for n, each in enumerate(at))
    assert found.reaches(200) and not found.reaches(201)


async def test_a_part_that_somebody_asks_for_does_not_stop_the_pass(hub: TestHub, start: Starter) -> None:
    """It begins where one block ends within another."""
    hub.add(Repo("acme/blocks", files={"b.bin": Synthetic(9_000_000, 4)}, storage={"b.bin": "xet"}))
    r = await native(start)
    client, (xet, body) = await knowing(r, "acme/blocks", "b.bin"), true(hub, "acme/blocks", "b.bin")
    blocks = [await client.told(xet, span) for span in ("0-3999999", "4000000-8999999")]
    end = -(-4_000_000 // CHUNK) * CHUNK
    other = XetClient(r, "acme/blocks", "s2")
    part = links(await other.told(xet, f"{end}-{end + 10}"))[0]
    hub.knob(host=TRANSFER, path=path_of(part), hold="part")
    holding = asyncio.create_task(other.ask(part))
    getting = asyncio.create_task(client.fetch(blocks[0]))
    hub.release("part")
    await asyncio.wait_for(asyncio.gather(holding, getting), 60)
    got = await asyncio.wait_for(client.fetch(blocks[1]), 60)
    assert not any(each.cut for each in got)
    assert whole(client, blocks[0])[:4_000_000] + whole(client, blocks[1]) == body


# -- bytes that were taken and are no longer here ---------------------------------------------------------------------


async def test_a_crowd_does_not_open_the_way_for_wrong_bytes(hub: TestHub, start: Starter) -> None:
    """Many readers of one fill that was cut: the range came once, and it was not broken."""
    r = await native(start)
    await knowing(r)
    xet, _ = true(hub)
    clients = [XetClient(r, session=f"s{n}") for n in range(5)]
    hub.knob(host=TRANSFER, corrupt_at=70_000)
    told = [await client.told(xet) for client in clients]
    await asyncio.gather(*(client.fetch(each) for client, each in zip(clients, told, strict=True)))
    await settled(r)
    later = XetClient(r, session="later")
    assert [got.cut for got in await later.fetch_in_turn(hub, await later.told(xet))] == [False, True]


async def test_a_range_that_was_taken_twice_was_wrong_once(hub: TestHub, start: Starter) -> None:
    r = await native(start)
    client, (xet, _) = await knowing(r), true(hub)
    told = await client.told(xet)
    first, last = links(told)
    hub.knob(host=TRANSFER, path=path_of(first), corrupt_at=70_000, times=1)
    assert [got.cut for got in await client.fetch_in_turn(hub, told)] == [False, True]
    assert not (await client.ask(first)).cut  # for the next place where the file has it
    assert (await client.ask(last)).status == 404


async def test_a_range_on_its_way_counts_as_taken(hub: TestHub, start: Starter) -> None:
    r = await native(start)
    client, (xet, _) = await knowing(r), true(hub)
    first, last = links(await client.told(xet))
    hub.knob(host=TRANSFER, path=path_of(first), corrupt_at=70_000, times=1)
    slow = await client.open(first)
    while await slow.body.read(1 << 20):
        pass
    assert (await client.ask(last)).cut
    assert (await client.ask(last)).status == 404
    slow.body.close()


async def test_a_crowd_before_a_broken_range_is_one_failure(hub: TestHub, start: Starter) -> None:
    r = await native(start)
    client, (xet, _) = XetClient(r), true(hub)
    asked = links(await client.told(xet))[0]
    hub.knob(host=TRANSFER, hold="all", hold_at=100_000, corrupt_at=20 * (CHUNK + 8) + 4)
    getting = [asyncio.create_task(client.ask(asked)) for _ in range(5)]
    await asyncio.to_thread(hub.wait, 1, host=TRANSFER)
    hub.release("all")
    assert len({id(got) for got in await asyncio.gather(*getting) if got.cut}) == 5
    await r.idle()
    hub.unknob()
    assert "stored" in (await client.ask(asked)).cache


async def test_what_is_dropped_for_its_file_is_not_broken_of_itself(hub: TestHub, start: Starter) -> None:
    r = await native(start)
    client, (xet, _) = XetClient(r), true(hub)
    asked = links(await client.told(xet))[0]
    for turn in range(3):
        knob = hub.knob(host=TRANSFER, hold=f"turn {turn}", hold_at=100_000)
        reply = await client.open(asked)
        await r.parts.engine._xet._xorbs._ranges.purge([blob_of(asked)], "it is part of a wrong file")
        hub.release(f"turn {turn}")
        assert (await drained(reply)).cut
        hub.unknob(knob)
        await r.idle()
    assert "stored" in (await client.ask(asked)).cache


async def test_a_range_that_is_dropped_under_the_pass_is_had_again(
    hub: TestHub, start: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    r = await native(start)
    client, (xet, _) = await knowing(r), true(hub)
    take, times = Assembly._take, iter((True, True))

    async def dropped(self: Assembly, manifest: Manifest, taking: Any) -> None:
        if next(times, False):
            await r.parts.store.blobs.drop(manifest.blob)
        await take(self, manifest, taking)

    monkeypatch.setattr(Assembly, "_take", dropped)
    told = await client.told(xet)
    hub.knob(host=TRANSFER, path=path_of(links(told)[1]), corrupt_at=70_000)
    assert [got.cut for got in await client.fetch_in_turn(hub, told)] == [False, True]


async def test_no_range_is_sent_half_of_one_birth_and_half_of_another(hub: TestHub, start: Starter) -> None:
    r = await native(start)
    hub.add(Repo("acme/long", files={"b.bin": Synthetic(20_000_000, 5)}, storage={"b.bin": "xet"}))
    client, (xet, _) = XetClient(r, "acme/long"), true(hub, "acme/long", "b.bin")
    asked = links(await client.told(xet))[0]
    hub.knob(host=TRANSFER, corrupt_at=70_000, times=1)
    assert not (await client.ask(asked)).cut
    await r.idle()
    slow = await client.open(asked)
    assert len(await slow.body.read(1000)) == 1000
    await r.parts.store.blobs.drop(blob_of(asked))
    assert (await drained(slow)).cut


async def test_what_a_client_has_is_not_fetched_again_to_prove_it(hub: TestHub, start: Starter) -> None:
    r = await native(start)
    client, (xet, _) = await knowing(r), true(hub)
    told = await client.told(xet)
    first, last = links(told)
    assert not (await client.ask(first)).cut
    await settled(r)
    reply = await client.open(last)
    await settled(r)
    await r.parts.store.blobs.drop(blob_of(first))
    hub.clear()
    assert not (await drained(reply)).cut
    assert not hub.requests(host=TRANSFER, path=path_of(first))


# -- clients that leave -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["told_total", "opened"])
async def test_who_leaves_before_the_head_leaves_nothing_behind(
    hub: TestHub, start: Starter, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    r = await native(start)
    client, (xet, _) = await knowing(r), true(hub)
    first, last = links(await client.told(xet))
    engine, reached = r.parts.engine, asyncio.Event()
    engine._xet.proofs.linger = 0.0

    async def never(*args: object) -> str:
        reached.set()
        await asyncio.get_running_loop().create_future()
        return ""

    if where == "told_total":
        monkeypatch.setattr(engine._xet._xorbs._ranges, "told_total", never)
    else:
        engine._xet._xorbs._downloads.of(first.url).download.identity = None  # type: ignore[union-attr]
        monkeypatch.setattr(engine._xet.identities, "find", never)
    for asked in (first, last):
        reached.clear()
        going = asyncio.create_task(engine.handle(request_for("GET", asked.url, {"Range": asked.range})))
        await reached.wait()
        going.cancel()
        await asyncio.wait([going])
    await r.idle()
    await until(lambda: not engine._xet.proofs._files, "the end of what is known of the file")


# -- memory -----------------------------------------------------------------------------------------------------------


async def test_what_links_lead_to_is_forgotten_with_their_download() -> None:
    downloads = Downloads()
    for n in range(60):
        segments = tuple(segment(at, 1) for at in range(n, n + 10_000))
        url = f"https://transfer.xethub.hf.co/xorbs/default/{n}"
        await downloads.told("f" * 64, f"c{n}", Told((Fetch(url, "0" * 64, (0, 1), 0, 9),), segments), None)
    held = {id(link.download): link.download for link in downloads._links.values()}
    assert sum(download.weight() for download in held.values()) < 400_000


async def test_who_reads_long_reconstructions_slowly_holds_little(hub: TestHub, start: Starter) -> None:
    r = await native(start)
    client, (xet, _) = XetClient(r), true(hub)
    told = await client.told(xet)
    hub.knob(host="cas-server*", status=200, body=json.dumps(told) + " " * (LARGEST - 10_000))
    replies = []
    token = json.loads((await r.get(f"{H}/api/models/acme/tiny/xet-read-token/main")).body)["accessToken"]
    fields = {"Authorization": f"Bearer {token}"}
    for _ in range(8):
        replies.append(await r.open("GET", f"{CAS}/v2/reconstructions/{xet}", fields))
    held = r.parts.engine._xet._reconstructions
    assert held._held < AT_ONCE + LARGEST
    hub.unknob()
    short = links(await XetClient(r, session="s2").told(xet))[0]
    assert "stored" in (await client.ask(short)).cache
    for reply in replies:
        reply.body.close()  # type: ignore[union-attr]
        reply.body.close()  # type: ignore[union-attr]
    assert held._held == 0


async def test_many_links_at_once_let_others_have_their_turn() -> None:
    downloads, turns = Downloads(), 0
    fetches = tuple(Fetch(f"https://t/{n}", "0" * 64, (0, 1), 0, 9) for n in range(20_000))
    telling = asyncio.create_task(downloads.told("f" * 64, "c", Told(fetches, ()), None))
    while not telling.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 50


def test_a_range_of_tiny_chunks_is_not_unpacked() -> None:
    chunk = b"\0\1\0\0\0\1\0\0x"
    frames = Frames()
    for _ in range(MOST // 64):
        assert len(frames.feed(chunk * 64)) == 64
    with pytest.raises(IntegrityError):
        frames.copy().feed(chunk)
    with pytest.raises(IntegrityError):
        Frames().feed(chunk * (MOST + 1))
