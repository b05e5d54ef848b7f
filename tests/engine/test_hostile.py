"""Hubs, links and clients that lie: nobody gets bytes he has no right to, or wrong ones, or waits for ever."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from proxy_addon.config.places import OtherHost
from proxy_addon.hub.resources import Secret
from proxy_addon.store.contract import LARGEST, PIECE, Manifest
from tests.conftest import Starter
from tests.engine.rig import LINK, Clock, drained, request_for, until
from tests.engine.test_links import gated
from tests.engine.test_modelscope import LISTING, M, content, url_of
from tests.hub import Repo, Scripted, Synthetic, TestHub
from tests.hub.ask import ask
from tests.hub.exchange import Answer, Exchange, redirect

H = "https://huggingface.co"
READER = {"Authorization": "Bearer hf_reader"}
MS_READER = {"Authorization": "Bearer ms_reader"}
PAGE = "<html>please sign in</html>"


def listing_of(path: str, digest: str, size: int, commit: str = "") -> str:
    node = {"Path": path, "Type": "blob", "Sha256": digest, "Size": size, "Revision": commit, "IsLFS": True}
    return json.dumps({"Code": 200, "Success": True, "Data": {"Files": [node]}})


# -- links ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", ["", "?Signature=guessed"])
async def test_a_page_with_status_200_makes_no_link_good(hub: TestHub, start: Starter, more: str) -> None:
    r, cold = await start(), await start(dir="cold")
    link, body = await gated(hub, r)
    await r.get(link)
    await r.idle()
    page = hub.knob(host="cdn-lfs*", status=200, body=PAGE, content_type="text/html")
    guessed = link.partition("?")[0] + more
    for each in (r, cold):
        got = await each.get(guessed)
        assert got.cut and got.body == b"", "other bytes than the link names"
    hub.unknob(page)
    told = await cold.get(f"{H}/acme/shut/resolve/main/b.bin", READER | LINK)
    part = await cold.get(told.header("Location") or "", {"Range": "bytes=5-9"})
    assert (part.status, part.body) == (206, body[5:10]), "the guess has spoilt nothing"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_page_in_place_of_what_has_no_digest_is_no_file(hub: TestHub, start: Starter, method: str) -> None:
    r = await start()
    hub.knob(host="us.aws.cdn.hf.co", status=200, body=PAGE, content_type="text/html")
    got = await r.get(f"https://us.aws.cdn.hf.co/xet-bridge-us/{'f' * 24}/{'e' * 64}?Signature=guessed", method=method)
    assert got.status == 502 and PAGE.encode() not in got.body


async def test_a_file_that_is_a_page_is_a_file(hub: TestHub, start: Starter) -> None:
    link = ask(hub, f"{H}/acme/tiny/resolve/main/model.safetensors").headers["Location"]
    hub.knob(host="us.aws.cdn.hf.co", headers={"Content-Type": "text/html"})
    got = await (await start()).get(link)
    assert (got.status, got.header("Content-Type")) == (200, "text/html")
    assert hashlib.sha256(got.body).hexdigest() == hub.repo("acme/tiny").file("model.safetensors").digest


@pytest.mark.parametrize("more", ["&Expires=99999999999", "&auth_key=99999999999-x", ""])
async def test_nobody_makes_his_link_last_longer(hub: TestHub, start: Starter, clock: Clock, more: str) -> None:
    r, data = await start(), content(hub, "old.bin", id="acme/private")
    hub.knob(path="/api/v1/models/acme/private/repo", url_ttl=600)
    told = await r.get(url_of("old.bin", id="acme/private"), MS_READER | LINK)
    link = (told.header("Location") or "") + more
    assert (await r.get(link)).body == data
    await r.idle()
    hub.stop()
    clock.leap(500)
    assert (await r.get(link)).body == data
    clock.leap(200)
    assert (await r.get(link)).status == 504


async def test_a_fill_that_a_link_has_just_begun_is_not_for_all(
    hub: TestHub, start: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who names the digest in a repo of his own, and comes between the look at the store and the fill."""
    r, source = await start(), Synthetic(3 * PIECE, 70)
    hub.add(Repo("acme/own", files={"b.bin": source}, storage={"b.bin": "lfs"}, private=True, readers={"hf_reader"}))
    told = await r.get(f"{H}/acme/own/resolve/main/b.bin", READER | LINK)
    pointing = hub.add(Repo("acme/points", files={"x.bin": source}, storage={"x.bin": "lfs"}))
    hub.knob(host="cdn-lfs*", path=f"/repos/{pointing.lfs_prefix}/*", status=404)
    url = f"{H}/acme/points/resolve/main/x.bin"
    assert (await r.head(url)).status == 200
    store, going, begun = r.parts.store.blobs, asyncio.Event(), asyncio.Event()
    create = store.create

    async def slowly(manifest: Manifest) -> Manifest:
        begun.set()
        await going.wait()
        return await create(manifest)

    monkeypatch.setattr(store, "create", slowly)
    holder = asyncio.ensure_future(r.get(told.header("Location") or ""))
    await begun.wait()
    other = asyncio.ensure_future(r.get(url))
    await until(lambda: _joining() == 2, "both wait for the same fill")
    going.set()
    assert (await holder).body == bytes(source.read(0, source.size))
    assert (await other).status == 502


def _joining() -> int:
    """How many tasks are waiting for a fill to begin."""
    names = []
    for task in asyncio.all_tasks():
        waits: Any = task.get_coro()
        while waits is not None:
            names.append(getattr(waits, "__qualname__", ""))
            waits = getattr(waits, "cr_await", None)
    return names.count("Fills.join")


@pytest.mark.parametrize("size", [900, 3 * PIECE], ids=["small", "large"])
async def test_to_have_other_bytes_under_a_digest_is_not_to_have_its_bytes(
    hub: TestHub, start: Starter, size: int
) -> None:
    """A hub that says of one's own file that it has somebody else's digest."""
    r, secret, own = await start(), Synthetic(size, 80), Synthetic(size, 81)
    hub.add(Repo("acme/own", files={"b.bin": secret}, storage={"b.bin": "lfs"}, private=True, readers={"hf_reader"}))
    told = await r.get(f"{H}/acme/own/resolve/main/b.bin", READER | LINK)
    assert len((await r.get(told.header("Location") or "")).body) == size
    await r.idle()
    liar = hub.add(Repo("acme/liar", files={"x.bin": own}, hub="modelscope"))
    said = listing_of("x.bin", secret.sha256, size, liar.head)
    hub.knob(path="/api/v1/models/acme/liar/repo/files", status=200, body=said)
    for headers in ({}, {"Range": "bytes=20-39"}, {"Cache-Control": "no-cache"}):
        got = await r.get(url_of("x.bin", id="acme/liar"), headers)
        assert got.refused and bytes(secret.read(20, 20)) not in got.body


@pytest.mark.parametrize("more", [3 * PIECE, -PIECE])
async def test_who_promises_another_size_does_not_wait_for_ever(hub: TestHub, start: Starter, more: int) -> None:
    r, source = await start(), Synthetic(3 * PIECE + 100, 71)
    hub.add(Repo("acme/own", files={"b.bin": source}, storage={"b.bin": "lfs"}))
    hub.add(Repo("acme/liar", files={"x.bin": "x"}, hub="modelscope"))
    path = "/api/v1/models/acme/liar/repo"
    hub.knob(path=f"{path}/files", status=200, body=listing_of("x.bin", source.sha256, source.size + more))
    named = f"https://cdn-lfs-cn-1.modelscope.cn/prod/lfs-objects/{source.sha256[:2]}/{source.sha256[2:4]}/"
    hub.knob(path=path, status=302, headers={"Location": named + source.sha256[4:]})
    assert (await r.head(url_of("x.bin", id="acme/liar"))).header("Content-Length") == str(source.size + more)
    hub.knob(host="cdn-lfs-us*", hold="rest", hold_at=1000)
    whole = await r.open("GET", f"{H}/acme/own/resolve/main/b.bin")
    lied = await asyncio.wait_for(r.get(url_of("x.bin", id="acme/liar")), 60)
    assert (lied.status, lied.refused) == (502, True)
    hub.release("rest")
    assert (await drained(whole)).body == bytes(source.read(0, source.size))


# -- wrong bytes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [PAGE, "z" * 200_000, "z" * 300_000], ids=["short", "as long", "longer"])
async def test_a_part_of_a_small_file_is_proven_before_it_is_given_out(
    hub: TestHub, start: Starter, words: str
) -> None:
    r, source = await start(), Synthetic(200_000, 5)
    hub.add(Repo("acme/m", files={"a.txt": source, "b.txt": "b"}, hub="modelscope"))
    assert (await r.get(url_of("b.txt", id="acme/m"))).body == b"b"
    page = hub.knob(path="/api/v1/models/acme/m/repo", status=200, body=words, chunked=True)
    got = await r.get(url_of("a.txt", id="acme/m"), {"Range": "bytes=100-199"})
    assert got.refused
    hub.unknob(page)
    assert (await r.get(url_of("a.txt", id="acme/m"))).body == bytes(source.read(0, source.size))
    await r.idle()
    got = await r.get(url_of("a.txt", id="acme/m"), {"Range": "bytes=100-199"})
    assert got.body == bytes(source.read(100, 100))


async def test_a_page_of_unknown_length_is_no_part_of_a_file(hub: TestHub, start: Starter) -> None:
    r, source = await start(), Synthetic(3 * PIECE, 6)
    hub.add(Repo("acme/m", files={"a.txt": source, "b.txt": "b"}, hub="modelscope"))
    assert (await r.get(url_of("b.txt", id="acme/m"))).body == b"b"
    hub.knob(path="/api/v1/models/acme/m/repo", status=200, body="z" * (PIECE + 300), chunked=True)
    assert (await r.get(url_of("a.txt", id="acme/m"), {"Range": f"bytes={PIECE + 100}-{PIECE + 199}"})).refused


async def test_a_place_where_another_file_lies_now_gives_nothing(hub: TestHub, start: Starter) -> None:
    """Not even to who wants a part, and joins who wants the whole."""
    r, good, bad = await start(), Synthetic(3 * PIECE, 1), Synthetic(3 * PIECE, 2)
    hub.add(Repo("acme/two", files={"w.bin": good}, storage={"w.bin": "lfs"}))
    other = hub.add(Repo("acme/two", files={"w.bin": bad}, storage={"w.bin": "lfs"}, hub="modelscope"))
    told = listing_of("w.bin", good.sha256, good.size, other.head)
    hub.knob(path="/api/v1/models/acme/two/repo/files", status=200, body=told)
    url = f"{H}/acme/two/resolve/main/w.bin"
    for each in (url_of("w.bin", id="acme/two"), url):
        assert (await r.head(each)).status == 200
    hub.knob(host="cdn-lfs-us*", status=503)
    hub.knob(host="cdn-lfs-cn*", hold="rest", hold_at=2 * PIECE)
    whole, part = await asyncio.gather(r.get(url), r.get(url, {"Range": "bytes=10-20"}))
    hub.release("rest")
    assert whole.refused and part.refused
    assert hub.bytes_sent(host="cdn-lfs-cn*") == 0


# -- what is stored for others --------------------------------------------------------------------------------------


async def test_the_escapes_of_one_client_spoil_nothing_for_the_next(hub: TestHub, start: Starter) -> None:
    age = [("Cache-Control", "max-age=600")]

    def release(ex: Exchange) -> Answer:
        return redirect(302, f"https://objects.plain.example/bucket/77?a=1&Signature=s{ex.param('n')}")

    def bucket(ex: Exchange) -> Answer:
        return Answer(200, age, b"good") if ex.path == "/bucket/77" else Answer(404, age, b"gone")

    hub.on("/release", release)
    hub.on("/bucket*", bucket, "objects.plain.example")
    r = await start(hubs__others=(OtherHost("plain.example"), OtherHost("objects.plain.example")))
    links = [(await r.get(f"https://plain.example/release?n={n}")).header("Location") or "" for n in (1, 2)]
    odd = await r.get(links[0].replace("/bucket/77", "/bucket%2F77"))
    assert odd.status == 404 and odd.cache.endswith("stored")
    assert (await r.get(links[1])).body == b"good"


ACCELERATION = f"{M}/api/v1/repos/internalAccelerationInfo"


async def test_a_query_that_means_nothing_to_us_may_mean_something_to_the_hub(hub: TestHub, start: Starter) -> None:
    r = await start()
    for url in (f"{ACCELERATION}?region=x", ACCELERATION):
        assert (await r.get(url)).status == 200
    assert [q.query for q in hub.requests()] == ["region=x", ""]


TOKENS = ["token", "access_token", "__sign", "auth_key", "Signature", "API_KEY"]
NAMED = [
    f"{M}/api/v1/models/acme/tiny",
    f"{M}/openapi/v1/models/acme/tiny",
    LISTING.partition("?")[0],
    f"{H}/api/models/acme/tiny",
    f"{H}/api/models",
    "https://datasets-server.huggingface.co/info?dataset=acme/tiny-ds",
]


async def test_a_token_in_a_query_is_on_no_disk(hub: TestHub, start: Starter, tmp_path: Path) -> None:
    r = await start()
    for url in NAMED:
        for name in TOKENS:
            asked = f"{url}{'&' if '?' in url else '?'}{name}=CANARY"
            assert isinstance(r.parts.engine._resource(request_for("GET", asked)), Secret)
            assert "fwd=bypass" in (await r.get(asked)).cache
    await r.close()
    held = b"".join(file.read_bytes() for file in (tmp_path / "cache").rglob("*") if file.is_file())
    assert held and b"CANARY" not in held


# -- words ----------------------------------------------------------------------------------------------------------


async def test_who_has_a_token_gets_his_own_when_the_refusal_is_in_words(hub: TestHub, start: Starter) -> None:
    r = await start()
    words = '{"Code":10010205002,"Message":"sign in","Success":false}'
    hub.knob(path="/api/v1/models/acme/private", status=200, body=words, times=1)
    got = await r.get(f"{M}/api/v1/models/acme/private", MS_READER)
    assert json.loads(got.body)["Success"] is True and got.header("Cache-Control") == "private"


@pytest.mark.parametrize("words", ['{"Code":10010205001,"Message":"no","Success":false}', PAGE])
async def test_a_mirror_that_refuses_in_words_is_passed_over(
    hub: TestHub, start: Starter, mirror: str, words: str
) -> None:
    r = await start(hubs__modelscope={"mirrors": (mirror,)})
    hub.knob(host="mirror.example", status=200, body=words)
    for url in (LISTING, f"{M}/api/v1/models/acme/tiny"):
        assert json.loads((await r.get(url)).body)["Success"] is True
    got = await r.get(url_of("config.json"))
    assert got.body == content(hub, "config.json") and "access" not in got.cache


# -- numbers and shapes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [LARGEST + 1, 10**30])
async def test_a_size_beyond_belief_costs_nothing(hub: TestHub, start: Starter, size: int) -> None:
    r, digest = await start(hubs__others=(OtherHost("plain.example"),)), "a" * 64
    hub.knob(path="/api/v1/models/acme/tiny/repo/files", status=200, body=listing_of("x.bin", digest, size))
    place = f"https://cdn-lfs-cn-1.modelscope.cn/prod/lfs-objects/aa/aa/{digest[4:]}"
    hub.knob(path="/api/v1/models/acme/tiny/repo", status=302, headers={"Location": place})
    assert (await r.get(url_of("x.bin"))).refused
    hub.script("/x", Scripted(200, {"Content-Length": str(min(size, 10**17)), "Cache-Control": "max-age=60"}, "abc"))
    reply = await r.open("GET", "https://plain.example/x")
    got = await drained(reply)
    assert (got.status, got.cut) == (200, True) and "stored" not in got.cache
    assert not [blob async for blob in r.kept() if blob == f"sha256:{digest}" or blob.startswith("body:")]


@pytest.mark.parametrize("location", ["https://[x/", "https://cdn-lfs-cn-1.modelscope.cn:99999/x"])
async def test_a_redirect_to_what_is_no_url_is_the_hubs_fault(hub: TestHub, start: Starter, location: str) -> None:
    r, told = await start(), {"Location": location, "X-Linked-Size": "55"}
    await r.get(LISTING)
    hub.knob(path="/api/v1/models/acme/tiny/repo", status=302, headers=told | {"X-Linked-Etag": "a" * 64})
    hub.knob(path="/acme/tiny/resolve/*", status=302, headers=told | {"X-Repo-Commit": "b" * 40, "ETag": "a" * 64})
    for url in (url_of("old.bin"), f"{H}/acme/tiny/resolve/main/q.bin"):
        assert (await r.get(url)).refused
    assert (await r.get(f"{M}/models/acme/private/resolve/master/x", MS_READER)).status == 404
    hub.knob(path="/models/acme/private/resolve/*", status=302, headers=told | {"X-Linked-Etag": "a" * 64})
    assert (await r.get(f"{M}/models/acme/private/resolve/master/x", MS_READER)).header("Location") == location


async def test_json_without_end_in_depth(hub: TestHub, start: Starter) -> None:
    r, deep = await start(), '{"xetHash":1,"a":' + "[" * 200_000 + "]" * 200_000 + "}"
    hub.knob(path="/api/*", status=200, body=deep)
    for url in (f"{H}/api/models/acme/tiny", f"{M}/api/v1/models/acme/tiny", LISTING):
        assert (await r.get(url)).body == deep.encode()


async def test_stored_pages_are_read_up_to_the_last(hub: TestHub, start: Starter) -> None:
    r = await start()
    hub.add(Repo("acme/sheets", "dataset", files={f"d/{n:03}.txt": f"{n}" for n in range(201)}, hub="modelscope"))
    page = f"{M}/api/v1/datasets/acme/sheets/repo/tree?Revision=master&Recursive=True&PageNumber={{}}&PageSize=200"
    for number in range(1, 8):
        assert (await r.get(page.format(number))).status == 200
    seen: list[str] = []
    get = r.parts.store.responses.get

    async def noting(key: str) -> object:
        seen.append(key)
        return await get(key)

    r.parts.store.responses.get = noting  # type: ignore[method-assign, assignment]
    assert (await r.get(url_of("d/none.txt", id="acme/sheets", type="datasets"))).status in (200, 404)
    assert not [key for key in seen if "PageNumber=5" in key]
