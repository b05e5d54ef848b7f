"""Native Xet: no client comes to the end of a file whose bytes are not what the hub says they are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from proxy_addon.fetch.fill import TAIL
from tests.conftest import Starter
from tests.engine.rig import Rig, drained, until
from tests.engine.test_xet import lose, true
from tests.engine.xet_client import TRANSFER, Asked, H, XetClient, links, path_of, rebuilt
from tests.hub import Part, Repo, Spliced, Synthetic, TestHub
from tests.hub.xorbs import CHUNK

PATH = "model.safetensors"


def blob_of(asked: Asked) -> str:
    return f"xorb:{asked.url.partition('?')[0].rpartition('/')[2]}:{asked.first}-{asked.last + 1}"


async def knowing(r: Rig, repo: str = "acme/tiny", path: str = PATH, **more: Any) -> XetClient:
    """A client that has asked for the head of the file: so the proxy knows its SHA-256."""
    client = XetClient(r, repo, **more)
    assert (await client.head(path)).header("X-Xet-Hash")
    return client


async def settled(r: Rig) -> None:
    await r.idle()
    await until(lambda: not len(r.parts.engine._xet.proofs), "the end of all assemblies")
    await r.idle()


async def native(start: Starter, **more: Any) -> Rig:
    return await start(hubs__huggingface={"xet": "native"}, **more)


# -- the hold-back -----------------------------------------------------------------------------------------------------


async def test_the_end_of_the_last_range_waits_for_the_whole_file(hub: TestHub, start: Starter) -> None:
    r = await native(start)
    client, (xet, _) = await knowing(r), true(hub)
    told = await client.told(xet)
    first, last = links(told)
    hub.knob(host=TRANSFER, path=path_of(first), hold="first")
    reply = await client.open(last)
    got, length = b"", last.last + 1 - last.first
    while len(got) < length - TAIL:
        got += bytes(await reply.body.read(1 << 20))
    assert len(got) == length - TAIL
    rest = asyncio.create_task(drained(reply))
    await asyncio.to_thread(hub.wait, 1, host=TRANSFER, path=path_of(first))  # which no client has asked for
    assert not rest.done()
    hub.release("first")
    assert len((await rest).body) == TAIL and not rest.result().cut
    await settled(r)
    hub.clear()
    assert (await client.ask(first)).cache == "hubgate; hit"


async def test_what_is_not_last_does_not_wait(hub: TestHub, start: Starter) -> None:
    r = await native(start)
    client, (xet, _) = await knowing(r), true(hub)
    first, last = links(await client.told(xet))
    hub.knob(host=TRANSFER, path=path_of(last), hold="last")
    assert not (await client.ask(first)).cut
    hub.release("last")


async def test_a_file_whose_digest_nobody_told_is_not_waited_for(hub: TestHub, start: Starter) -> None:
    r = await native(start)
    client, (xet, _) = XetClient(r), true(hub)
    first, last = links(await client.told(xet))
    got = await client.ask(last)
    assert len(got.body) == last.last + 1 - last.first and not got.cut
    assert not hub.requests(host=TRANSFER, path=path_of(first))


async def test_a_part_of_a_file_is_not_waited_for(hub: TestHub, start: Starter) -> None:
    r = await native(start)
    client, (xet, body) = await knowing(r), true(hub)
    assert await client.download(xet, f"2000000-{len(body) - 1}") == body[2_000_000:]
    assert len(hub.requests(host=TRANSFER)) == 1


async def test_a_proven_file_is_not_held_back_even_by_another_process(hub: TestHub, start: Starter) -> None:
    r = await native(start)
    client, (xet, body) = await knowing(r), true(hub)
    assert await client.download(xet) == body
    await settled(r)
    await r.close()
    again = await native(start)
    warm = XetClient(again, session="s2")
    told = await warm.told(xet)
    first, last = links(told)
    await lose(again, blob_of(first), 0)
    hub.knob(host=TRANSFER, status=503)
    got = await warm.ask(last)
    assert not got.cut and got.body == client.got[next(u for u in client.got if u.startswith(last.url[:120]))]


async def test_blocks_are_put_together(hub: TestHub, start: Starter) -> None:
    hub.add(Repo("acme/blocks", files={"b.bin": Synthetic(9_000_000, 4)}, storage={"b.bin": "xet"}))
    r = await native(start)
    client, (xet, body) = await knowing(r, "acme/blocks", "b.bin"), true(hub, "acme/blocks", "b.bin")
    spans = ["0-3999999", "4000000-7999999", "8000000-11999999"]
    told = [await client.told(xet, span) for span in spans]
    assert (await client.tell(xet, "12000000-15999999")).status == 416
    hub.knob(host=TRANSFER, path=path_of(links(told[0])[0]), corrupt_at=1000, times=1)
    assert all(not got.cut for got in [*await client.fetch(told[0]), *await client.fetch(told[1])])
    *_, last = await client.fetch(told[2])
    assert last.cut
    fresh = XetClient(r, "acme/blocks", "s2")
    told = [await fresh.told(xet, span) for span in spans]
    for each in told:
        assert not any(got.cut for got in await fresh.fetch(each))
    ends = (4_000_000, 4_000_000, 1_000_000)
    assert b"".join(rebuilt(each, fresh.got)[:end] for each, end in zip(told, ends, strict=True)) == body


async def test_nobody_left_nothing_goes_on(hub: TestHub, start: Starter) -> None:
    r = await native(start)
    client, (xet, _) = await knowing(r), true(hub)
    r.parts.engine._xet.proofs.linger = 0.0
    first, _ = links(await client.told(xet))
    hub.knob(host=TRANSFER, hold="all", hold_at=100_000)
    reply = await client.open(first)
    await asyncio.to_thread(hub.wait, 2, host=TRANSFER)
    assert len(r.parts.engine._xet.proofs) == 1
    reply.body.close()
    await until(lambda: not len(r.parts.engine._xet.proofs))
    await until(lambda: not any("_judged" in repr(task.get_coro()) for task in asyncio.all_tasks()))
    hub.release("all")
    await r.idle()


# -- wrong bytes -------------------------------------------------------------------------------------------------------


async def listing(client: XetClient) -> None:
    await client.rig.get(f"{H}/api/models/{client.repo}/tree/main?recursive=true")


async def own_listing(client: XetClient) -> None:
    fields = {"Authorization": "Bearer hf_reader", "Accept-Encoding": "gzip"}
    assert (await client.rig.get(f"{H}/api/models/{client.repo}/tree/main", fields)).status == 200


async def paths(client: XetClient) -> None:
    body, form = b"paths=model.safetensors&expand=true", {"Content-Type": "application/x-www-form-urlencoded"}
    url = f"{H}/api/models/{client.repo}/paths-info/main"
    assert (await client.rig.get(url, form, method="POST", body=body)).status == 200


async def head(client: XetClient) -> None:
    assert (await client.head(PATH)).status in (200, 302)


@pytest.mark.parametrize(
    ("repo", "learn"),
    [
        ("acme/tiny", head),
        ("acme/tiny", listing),
        ("acme/tiny", paths),
        ("acme/private", head),
        ("acme/private", own_listing),
    ],
)
async def test_one_flipped_byte_and_nobody_has_a_wrong_file(
    hub: TestHub, start: Starter, repo: str, learn: Callable[[XetClient], Any]
) -> None:
    r = await native(start)
    credential = "hf_reader" if repo == "acme/private" else None
    client, (xet, body) = XetClient(r, repo, credential=credential), true(hub, repo)
    hub.knob(page_size=100)
    await learn(client)
    hub.knob(host=TRANSFER, corrupt_at=70_000)
    told = await client.told(xet)
    got = await client.fetch_in_turn(hub, told)
    assert [each.cut for each in got] == [False, True]
    await settled(r)
    assert not [blob async for blob in r.kept() if blob.startswith("xorb:")]
    hub.unknob()
    fresh = XetClient(r, repo, "s2", credential)
    assert await fresh.download(xet) == body


async def test_a_client_goes_on_if_what_it_has_was_right(hub: TestHub, start: Starter) -> None:
    r = await native(start)
    client, (xet, body) = await knowing(r), true(hub)
    told = await client.told(xet)
    _, last = links(told)
    hub.knob(host=TRANSFER, path=path_of(last), corrupt_at=70_000, times=1)
    assert [got.cut for got in await client.fetch_in_turn(hub, told)] == [False, True]
    again = await client.ask(last)
    assert (again.status, again.cut) == (206, False) and rebuilt(told, client.got) == body


async def test_a_client_that_has_wrong_bytes_never_comes_to_its_end(hub: TestHub, start: Starter) -> None:
    r = await native(start)
    client, (xet, body) = await knowing(r), true(hub)
    told = await client.told(xet)
    first, last = links(told)
    hub.knob(host=TRANSFER, path=path_of(first), corrupt_at=70_000, times=1)
    assert [got.cut for got in await client.fetch_in_turn(hub, told)] == [False, True]
    got = await client.ask(last)  # what is here now is not what this client took
    assert got.status == 404 and "start" in (got.header("X-Error-Message") or "")
    assert (await client.ask(last)).status == 404
    assert await client.download(xet) == body, "asked for anew, it is a download of its own"


async def test_a_new_link_does_not_help_who_has_wrong_bytes(hub: TestHub, start: Starter) -> None:
    r = await native(start)
    client, (xet, _) = await knowing(r), true(hub)
    told = await client.told(xet)
    first, _ = links(told)
    hub.knob(host=TRANSFER, path=path_of(first), corrupt_at=70_000, times=1)
    await client.fetch_in_turn(hub, told)
    newer = links(await client.told(xet))[1]
    assert (await client.ask(newer)).status == 404


async def test_a_hub_that_stays_wrong_is_given_up(hub: TestHub, start: Starter) -> None:
    r = await native(start)
    client, (xet, _) = await knowing(r), true(hub)
    hub.knob(host=TRANSFER, corrupt_at=70_000)
    told = await client.told(xet)
    await client.fetch_in_turn(hub, told)
    assert (await client.ask(links(told)[1])).status == 404


async def test_two_clients_of_a_wrong_file(hub: TestHub, start: Starter) -> None:
    r = await native(start)
    one, (xet, body) = await knowing(r), true(hub)
    two = XetClient(r, session="s2")
    hub.knob(host=TRANSFER, corrupt_at=70_000, times=2)
    told, other = await one.told(xet), await two.told(xet)
    for got in await asyncio.gather(one.fetch(told), two.fetch(other)):
        assert got[-1].cut
    assert await XetClient(r, session="s3").download(xet) == body


async def test_a_range_that_was_forgotten_is_not_proven_any_more(hub: TestHub, start: Starter) -> None:
    r = await native(start)
    client, (xet, body) = await knowing(r), true(hub)
    assert await client.download(xet) == body
    await settled(r)
    first, _ = links(await client.told(xet))
    await r.parts.store.blobs.drop(blob_of(first))
    hub.knob(host=TRANSFER, corrupt_at=70_000)
    later = XetClient(r, session="s2")
    assert [got.cut for got in await later.fetch_in_turn(hub, await later.told(xet))] == [False, True]
    hub.unknob()
    assert await XetClient(r, session="s3").download(xet) == body


# -- files that share a xorb -------------------------------------------------------------------------------------------


def sharing(hub: TestHub) -> None:
    """b.bin begins with chunks of a.bin, has its whole second xorb, and ends with bytes of its own."""
    a, own = Synthetic(16 * CHUNK, 6), Synthetic(3 * CHUNK + 500, 7)
    b = Spliced(Part(a, 2 * CHUNK, 5 * CHUNK), Part(a, 8 * CHUNK, 16 * CHUNK), Part(own, 0, own.size))
    c = Spliced(Part(a, 8 * CHUNK, 16 * CHUNK), Part(a, 0, 8 * CHUNK))
    files = {"a.bin": a, "b.bin": b, "c.bin": c}
    hub.add(Repo("acme/shared", files=files, storage=dict.fromkeys(files, "xet"), packing="lz4"))


async def test_a_shared_range_is_fetched_once(hub: TestHub, start: Starter) -> None:
    sharing(hub)
    r = await native(start)
    for path, ranges in (("a.bin", 2), ("b.bin", 3), ("c.bin", 0)):
        hub.clear()
        client, (xet, body) = await knowing(r, "acme/shared", path), true(hub, "acme/shared", path)
        assert await client.download(xet) == body
        assert len(hub.requests(host=TRANSFER)) == ranges, path


async def test_what_another_file_has_proven_is_not_dropped(hub: TestHub, start: Starter) -> None:
    sharing(hub)
    r = await native(start)
    client, (xet, body) = await knowing(r, "acme/shared", "a.bin"), true(hub, "acme/shared", "a.bin")
    assert await client.download(xet) == body
    await settled(r)
    proven = {blob async for blob in r.kept() if blob.startswith("xorb:")}
    hub.knob(host=TRANSFER, corrupt_at=70_000)
    other, (xet, body) = await knowing(r, "acme/shared", "b.bin", session="s2"), true(hub, "acme/shared", "b.bin")
    got = await other.fetch(await other.told(xet))
    assert any(each.cut or each.refused for each in got)
    await settled(r)
    assert {blob async for blob in r.kept() if blob.startswith("xorb:")} == proven
    hub.unknob()
    assert await XetClient(r, "acme/shared", "s3").download(xet) == body


# -- broken ranges -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [0, 1, 3, 4, 5, 7, 9])
async def test_a_broken_range_is_dropped(hub: TestHub, start: Starter, at: int) -> None:
    text = b"".join(b"%09d" % n for n in range(100_000))
    hub.add(Repo("acme/packed", files={"a.bin": text}, storage={"a.bin": "xet"}, packing="lz4"))
    r = await native(start)
    client, (xet, body) = XetClient(r, "acme/packed"), true(hub, "acme/packed", "a.bin")
    told = await client.told(xet)
    hub.knob(host=TRANSFER, corrupt_at=at)
    got = await client.fetch(told)
    assert all(each.cut or each.refused for each in got)
    await r.idle()
    assert not [blob async for blob in r.kept() if blob.startswith("xorb:")]
    hub.unknob()
    assert [not each.cut for each in await client.fetch(told)] == [True, True] and rebuilt(told, client.got) == body


async def test_a_range_that_ends_within_a_chunk_is_dropped(hub: TestHub, start: Starter) -> None:
    hub.add(Repo("acme/even", files={"a.bin": Synthetic(4 * CHUNK)}, storage={"a.bin": "xet"}))
    r = await native(start)
    client, (xet, _) = XetClient(r, "acme/even"), true(hub, "acme/even", "a.bin")
    asked = links(await client.told(xet))[0]
    hub.knob(host=TRANSFER, corrupt_at=8 + CHUNK + 1)  # the last chunk is said to be a byte longer than the range is
    got = await client.ask(asked)
    assert got.cut or got.refused
    await r.idle()
    assert not [blob async for blob in r.kept()]


async def test_what_cannot_be_read_here_goes_by_in_the_end(hub: TestHub, start: Starter) -> None:
    r = await native(start)
    client, (xet, _) = await knowing(r), true(hub)
    told = await client.told(xet)
    hub.knob(host=TRANSFER, corrupt_at=4)  # a scheme that nobody knows
    asked = links(told)[0]
    for _ in range(3):
        got = await client.ask(asked)
        assert got.cut or got.refused
        await r.idle()
    got = await client.ask(asked)
    assert got.status == 206 and not got.cut and "stored" not in got.cache


async def test_the_hub_is_not_believed_about_what_its_terms_say(hub: TestHub, start: Starter) -> None:
    r = await native(start)
    client, (xet, _) = await knowing(r), true(hub)
    told = await XetClient(r, session="s0").told(xet)
    told["terms"][0]["unpacked_length"] -= 1
    told["terms"][1]["unpacked_length"] += 1
    hub.knob(host="cas-server*", status=200, body=json.dumps(told))
    got = await client.fetch_in_turn(hub, await client.told(xet))
    assert [each.cut for each in got] == [False, True]
