"""Native Xet: ranges of xorbs are fetched once and shared, by the links that a hub issued and by nothing else."""

from __future__ import annotations

import asyncio
import errno
import json
from typing import Any

import pytest

from proxy_addon.answer.reconstructions import LARGEST
from proxy_addon.core.messages import StoredResponse
from tests.conftest import Starter
from tests.engine.rig import Clock, Rig, until
from tests.engine.xet_client import CAS, TRANSFER, H, XetClient, links, rebuilt
from tests.hub import Repo, Synthetic, TestHub
from tests.hub.ask import ask


def true(hub: TestHub, repo: str = "acme/tiny", path: str = "model.safetensors") -> tuple[str, bytes]:
    """The Xet hash of a file, and its bytes."""
    file = hub.repo(repo).file(path)
    assert file.xet
    return file.xet, bytes(file.source.read(0, file.size))


@pytest.mark.parametrize(
    "version", ["/v2/reconstructions/", "/v1/reconstructions/", "/reconstructions/", "/reconstruction/"]
)
async def test_ranges_are_fetched_once(hub: TestHub, start: Starter, version: str) -> None:
    r = await start(hubs__huggingface={"xet": "native"})
    xet, body = true(hub)
    assert await XetClient(r, version=version).download(xet) == body
    await r.idle()
    hub.clear()
    warm = XetClient(r, session="s2", version=version)
    told = await warm.told(xet, f"0-{len(body) - 1}")
    for got, asked in zip(await warm.fetch(told), links(told), strict=True):
        assert got.status == 206 and got.cache == "hubgate; hit"
        assert got.header("Content-Range") == f"bytes {asked.first}-{asked.last}/{asked.last + 1}"
        assert got.header("Content-Length") == str(len(got.body)) == str(asked.last + 1 - asked.first)
    assert rebuilt(told, warm.got) == body
    assert hub.bytes_sent(host=TRANSFER) == 0


@pytest.mark.parametrize("packing", ["none", "lz4", "bg4", "mixed"])
async def test_every_packing(hub: TestHub, start: Starter, packing: str) -> None:
    text = b"".join(b"%09d" % n for n in range(300_000))
    hub.add(Repo("acme/packed", files={"a.bin": text}, storage={"a.bin": "xet"}, packing=packing))  # type: ignore[arg-type]
    r = await start(hubs__huggingface={"xet": "native"})
    xet, body = true(hub, "acme/packed", "a.bin")
    client = XetClient(r, "acme/packed")
    assert (await client.head("a.bin")).header("X-Xet-Hash") == xet
    assert await client.download(xet) == body == text
    await r.idle()
    marks = [row.facts for row in await rows(r, hub, "acme/packed", "a.bin")]
    assert all(dict(facts)["proven"] for facts in marks) and len(marks) == 2
    hub.clear()
    assert await XetClient(r, "acme/packed", "s2").download(xet) == body
    assert hub.bytes_sent(host=TRANSFER) == 0


async def rows(r: Rig, hub: TestHub, repo: str, path: str) -> list[StoredResponse]:
    """What is kept beside the ranges of a file."""
    out: list[StoredResponse] = []
    for extent in hub.repo(repo).extents[hub.repo(repo).file(path).xet or ""]:
        out += await r.parts.store.responses.get(f"xorb:{extent.xorb.hash}:0-{extent.xorb.size}")
    return out


async def test_a_hundred_clients_one_body(hub: TestHub, start: Starter) -> None:
    r = await start()
    xet, body = true(hub)
    clients = [XetClient(r, session=f"s{n}") for n in range(100)]
    told = await asyncio.gather(*(client.told(xet) for client in clients))
    hub.knob(host=TRANSFER, hold="all", hold_at=100_000)
    getting = [asyncio.create_task(c.fetch(t)) for c, t in zip(clients, told, strict=True)]
    await asyncio.to_thread(hub.wait, 2, host=TRANSFER)
    hub.release("all")
    for client, each, got in zip(clients, told, await asyncio.gather(*getting), strict=True):
        assert [one.status for one in got] == [206, 206] and rebuilt(each, client.got) == body
    assert len(hub.requests(host=TRANSFER)) == 2


# -- whose links are good --------------------------------------------------------------------------------------------


async def test_only_a_link_that_passed_here_is_answered_from_the_store(hub: TestHub, start: Starter) -> None:
    r = await start()
    client, (xet, _) = XetClient(r), true(hub)
    await client.download(xet)
    await r.idle()
    asked = links(await client.told(xet))[0]
    bare = asked.url.partition("&Expires")[0]
    assert (await r.get(bare, {"Range": asked.range})).status == 403
    assert (await r.get(asked.url.replace("FAKE", "FAKF"), {"Range": asked.range})).status == 403

    token = ask(hub, "/api/models/acme/tiny/xet-read-token/main").json["accessToken"]
    elsewhere = ask(hub, f"{CAS}/v2/reconstructions/{xet}", headers={"Authorization": f"Bearer {token}"}).json
    hub.clear()
    got = await r.get(links(elsewhere)[0].url, {"Range": asked.range})
    assert got.status == 206 and "fwd=uri-miss" in got.cache and "stored" not in got.cache
    assert hub.bytes_sent(host=TRANSFER) == len(got.body)


async def test_a_link_that_was_issued_for_something_else_is_for_the_hub(hub: TestHub, start: Starter) -> None:
    r = await start()
    client, (xet, _) = XetClient(r), true(hub)
    asked = links(await client.told(xet))[0]
    r.parts.engine._means.issued.note(asked.url, "xorb:" + "0" * 64 + ":0-9", 9)
    assert "stored" not in (await client.ask(asked)).cache
    assert not [blob async for blob in r.kept()]


async def test_a_link_is_good_until_it_expires(hub: TestHub, start: Starter, clock: Clock) -> None:
    r = await start()
    client, (xet, _) = XetClient(r), true(hub)
    await client.download(xet)
    await r.idle()
    asked = links(await client.told(xet))[0]
    hub.clear()
    clock.leap(3590)
    assert (await client.ask(asked)).cache == "hubgate; hit"
    clock.leap(20)
    assert "fwd=uri-miss" in (await client.ask(asked)).cache
    assert len(hub.requests(host=TRANSFER)) == 1, "whether it is good is for the hub to say"


@pytest.mark.parametrize("span", ["bytes=0-99", "bytes=0-", None, "bytes=0-99,200-299"])
async def test_another_range_than_the_signed_one_is_for_the_hub(hub: TestHub, start: Starter, span: str | None) -> None:
    r = await start()
    client, (xet, _) = XetClient(r), true(hub)
    asked = links(await client.told(xet))[0]
    assert (await r.get(asked.url, {"Range": span} if span else {})).status == 403


async def test_files_of_a_private_repo_stay_with_those_who_may_read_it(hub: TestHub, start: Starter) -> None:
    r = await start()
    xet, body = true(hub, "acme/private")
    reader = XetClient(r, "acme/private", credential="hf_reader")
    assert await reader.download(xet) == body
    await r.idle()
    other = XetClient(r, "acme/private", credential="hf_other")
    refused = await r.get(f"{H}/api/models/acme/private/xet-read-token/main", {"Authorization": "Bearer hf_other"})
    assert refused.status in (401, 403, 404)
    stranger = await r.get(f"{CAS}/v2/reconstructions/{xet}", {"Authorization": "Bearer xet_fake_none"})
    assert stranger.status == 401
    asked = links(await reader.told(xet))[0]
    hub.clear()
    assert (await r.get(asked.url.partition("&Expires")[0], {"Range": asked.range})).status == 403
    assert (await other.ask(asked)).cache == "hubgate; hit", "the link is the permission"
    assert hub.bytes_sent(host=TRANSFER, status=206) == 0


# -- what the hub says ------------------------------------------------------------------------------------------------


async def test_a_reconstruction_is_asked_for_every_time_and_passed_on_as_it_is(hub: TestHub, start: Starter) -> None:
    r = await start()
    client, (xet, _) = XetClient(r), true(hub)
    first, second = await client.tell(xet), await client.tell(xet)
    assert first.body != second.body, "each has links of its own"
    assert first.header("X-Request-Id") == "cas-fake" and first.cache == "hubgate; fwd=bypass; fwd-status=200"
    assert all(q.headers["accept-encoding"] == "identity" for q in hub.requests(host="cas-server*"))
    assert (await client.tell(xet, "256000000-767999999")).status == 416
    assert (await client.tell("0" * 64)).status == 404
    assert (await r.get(f"{CAS}/v2/reconstructions/{xet}")).status == 401
    hub.knob(cas_v2=False)
    assert (await client.tell(xet)).status == 404
    hub.unknob()
    hub.knob(host="cas-server*", status=503, body="busy")
    assert (await client.tell(xet)).status == 503
    hub.unknob()
    assert (await r.get(f"{CAS}/v2/reconstructions/{xet}", method="HEAD")).status == 401


@pytest.mark.parametrize("body", ["not json", "[]", '{"terms": 1}', "[" * 100_000, "x" * (LARGEST + 1)])
async def test_what_is_no_reconstruction_goes_by(hub: TestHub, start: Starter, body: str) -> None:
    r = await start()
    xet, _ = true(hub)
    hub.knob(host="cas-server*", status=200, body=body)
    assert (await XetClient(r).tell(xet)).body == body.encode()


async def test_a_reconstruction_that_is_too_long_goes_by_unread(hub: TestHub, start: Starter) -> None:
    r = await start()
    client, (xet, _) = XetClient(r), true(hub)
    told = await XetClient(r, session="s0").tell(xet)
    body = told.body.replace(b"FAKE", b"FAKF").decode()
    asked = links(json.loads(body))[0]
    for padding, noted in ((LARGEST, False), (0, True)):
        knob = hub.knob(host="cas-server*", status=200, body=body + " " * padding)
        assert len((await client.tell(xet)).body) == len(body) + padding
        assert (r.parts.engine._means.issued.find(asked.url) is not None) is noted
        hub.unknob(knob)


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"hash": "0" * 64},
        {"first": 8},
        {"host": "https://attacker.example"},
        {"host": "http://transfer.xethub.hf.co"},
        {"host": "https://huggingface.co"},
    ],
)
async def test_a_link_that_leads_elsewhere_than_is_said_is_not_noted(
    hub: TestHub, start: Starter, elsewhere: dict[str, Any]
) -> None:
    r = await start()
    client, (xet, _) = XetClient(r), true(hub)
    told = await client.told(xet)
    told = json.loads(json.dumps(told).replace("FAKE", "FAKF"))
    term = told["terms"][0]
    (where,) = told["xorbs"][term["hash"]]
    if "hash" in elsewhere:
        told["xorbs"][elsewhere["hash"]] = [where]
    where["ranges"][0]["bytes"]["start"] = elsewhere.get("first", 0)
    where["url"] = where["url"].replace("https://transfer.xethub.hf.co", elsewhere.get("host", "https://" + TRANSFER))
    if "hash" in elsewhere:
        del told["xorbs"][term["hash"]]
    hub.knob(host="cas-server*", status=200, body=json.dumps(told))
    await client.tell(xet)
    assert r.parts.engine._means.issued.find(where["url"]) is None
    (other,) = told["xorbs"][told["terms"][1]["hash"]]
    assert r.parts.engine._means.issued.find(other["url"]) is not None


@pytest.mark.parametrize("status", [403, 404, 410, 503])
async def test_what_the_hub_says_instead_of_bytes_is_passed_on(hub: TestHub, start: Starter, status: int) -> None:
    r = await start()
    client, (xet, body) = XetClient(r), true(hub)
    told = await client.told(xet)
    knob = hub.knob(host=TRANSFER, status=status, body="<no/>", content_type="text/xml")
    got = await client.ask(links(told)[0])
    assert (got.status, got.body, got.header("Content-Type")) == (status, b"<no/>", "text/xml")
    hub.unknob(knob)
    assert await client.download(xet) == body


async def test_an_expired_link_is_refused_by_the_hub_and_another_one_is_good(hub: TestHub, start: Starter) -> None:
    r = await start()
    client, (xet, body) = XetClient(r), true(hub)
    hub.knob(host=TRANSFER, status=403, times=1)
    told = await client.told(xet)
    assert sorted(got.status for got in await client.fetch(told)) == [206, 403]
    assert await client.download(xet) == body
    assert await XetClient(r, session="s2").download(xet) == body


async def test_who_has_a_good_link_does_not_suffer_from_who_has_none(hub: TestHub, start: Starter) -> None:
    r = await start()
    xet, body = true(hub)
    late, good = XetClient(r, session="late"), XetClient(r, session="good")
    old, new = await late.told(xet), await good.told(xet)
    hub.knob(host=TRANSFER, hold="first", times=1, status=403)
    first = asyncio.create_task(late.ask(links(old)[0]))
    await asyncio.to_thread(hub.wait, 1, host=TRANSFER)
    second = asyncio.create_task(good.fetch(new))
    await until(lambda: len(hub.requests(host=TRANSFER)) > 1)
    hub.release("first")
    assert (await first).status == 403
    assert [got.status for got in await second] == [206, 206] and rebuilt(new, good.got) == body


async def test_a_range_that_comes_with_200(hub: TestHub, start: Starter) -> None:
    r = await start()
    xet, body = true(hub)
    hub.knob(xorb_200=True)
    assert await XetClient(r).download(xet) == body
    await r.idle()
    hub.clear()
    warm = XetClient(r, session="s2")
    told = await warm.told(xet)
    for got, asked in zip(await warm.fetch(told), links(told), strict=True):
        assert got.header("Content-Range") == f"bytes {asked.first}-{asked.last}/*"
    assert hub.bytes_sent(host=TRANSFER) == 0


async def test_more_or_less_than_the_range_is_not_taken(hub: TestHub, start: Starter) -> None:
    r = await start()
    client, (xet, _) = XetClient(r), true(hub)
    told = await client.told(xet)
    hub.knob(host=TRANSFER, status=206, body="x" * 9, headers={"Content-Range": "bytes 1-9/10"})
    assert (await client.ask(links(told)[0])).refused
    hub.unknob()
    hub.knob(host=TRANSFER, status=200, body="short")
    assert (await client.ask(links(told)[0])).refused
    assert not [blob async for blob in r.kept() if (await r.parts.store.blobs.manifest(blob)).sealed]  # type: ignore[union-attr]


async def test_a_cut_is_not_seen_by_the_client(hub: TestHub, start: Starter) -> None:
    r = await start()
    xet, body = true(hub)
    hub.knob(host=TRANSFER, drop_after=700_000, times=2)
    assert await XetClient(r).download(xet) == body


async def test_a_piece_that_is_gone_comes_again(hub: TestHub, start: Starter) -> None:
    r = await start()
    source = Synthetic(40 << 20, 5)
    hub.add(Repo("acme/two", files={"b.bin": source}, storage={"b.bin": "xet"}))
    xet, body = true(hub, "acme/two", "b.bin")
    client = XetClient(r, "acme/two")
    await client.head("b.bin")
    assert await client.download(xet) == body
    await r.idle()
    first = links(await client.told(xet))[0]
    blob = f"xorb:{first.url.partition('?')[0].rpartition('/')[2]}:{first.first}-{first.last + 1}"
    await lose(r, blob, 3)
    hub.knob(host=TRANSFER, status=403, times=1)
    assert (await client.ask(first)).status == 403, "told before the head, so that the client asks for a new link"
    hub.clear()
    again = await client.ask(first)
    assert "fwd=partial" in again.cache and again.body == client.got[first.url]
    await r.idle()
    hub.clear()
    assert (await client.ask(first)).cache == "hubgate; hit"


async def lose(r: Rig, blob: str, number: int) -> None:
    """As eviction takes a piece."""
    store: Any = r.parts.store
    found = store._pieces.locate(blob, number)
    assert store._pieces.discard(blob, number, found.name)


async def test_without_a_disk_ranges_go_by(hub: TestHub, start: Starter) -> None:
    r = await start()
    xet, body = true(hub)
    r.parts.store.blobs.create = _full  # type: ignore[method-assign]
    client = XetClient(r)
    await client.head("model.safetensors")
    assert await client.download(xet) == body


async def _full(manifest: object) -> Any:
    raise OSError(errno.ENOSPC, "no space left")


# -- how clients are led to Xet, or away from it ----------------------------------------------------------------------


async def test_native_leaves_the_hashes_where_they_are(hub: TestHub, start: Starter) -> None:
    r = await start(hubs__huggingface={"xet": "native"})
    xet, _ = true(hub)
    hub.knob(page_size=100)
    for _ in ("cold", "warm"):
        head = await r.head(f"{H}/acme/tiny/resolve/main/model.safetensors")
        assert head.header("X-Xet-Hash") == xet and "xet-auth" in (head.header("Link") or "")
        assert xet.encode() in (await r.get(f"{H}/api/models/acme/tiny/tree/main")).body
    told = await r.get(
        f"{H}/acme/tiny/resolve/main/model.safetensors", {"Accept": "application/vnd.xet-fileinfo+json, */*"}
    )
    assert told.header("Content-Type") == "application/vnd.xet-fileinfo+json; charset=utf-8"
    assert json.loads(told.body)["hash"] == xet


class Huge(Synthetic):
    """Too large to be hashed for a test."""

    sha256 = "5" * 64  # type: ignore[assignment]


async def test_auto_leaves_those_of_files_above_fifty_gigabytes(hub: TestHub, start: Starter) -> None:
    files = {"big": Huge(50_000_000_001), "less": Synthetic(1_000_000)}
    hub.add(Repo("acme/huge", files=files, storage={"big": "xet", "less": "xet"}))
    r = await start()
    for path, native in (("big", True), ("less", False)):
        head = await r.head(f"{H}/acme/huge/resolve/main/{path}")
        assert ("X-Xet-Hash" in head.reply.headers, "Link" in head.reply.headers) == (native, native)
        xet = hub.repo("acme/huge").file(path).xet or ""
        assert (xet.encode() in (await r.get(f"{H}/api/models/acme/huge/tree/main")).body) is native
