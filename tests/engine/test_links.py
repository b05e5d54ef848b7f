"""Signed links to bytes: a permission that the hub gave to whoever holds it, and to nobody else."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_addon.answer.attested import Attested
from proxy_addon.answer.blobs import SAMPLE
from proxy_addon.config.places import OtherHost
from proxy_addon.core.errors import BodyLost
from proxy_addon.fetch.fill import TAIL
from proxy_addon.store.contract import PIECE
from tests.conftest import Starter
from tests.engine.rig import LINK, Clock, Rig, request_for
from tests.hub import Repo, Scripted, Synthetic, TestHub

H = "https://huggingface.co"
SIZE = PIECE + 100


async def linked(hub: TestHub, r: Rig) -> tuple[str, str, bytes]:
    """A good link to a file of two pieces, the same without its signature, and the bytes."""
    source = Synthetic(SIZE, 8)
    hub.add(Repo("acme/big", files={"b.bin": source}, storage={"b.bin": "lfs"}))
    hub.knob(host="huggingface.co", path="/acme/big/*", drop_headers=("X-Repo-Commit",), times=1)
    told = await r.get(f"{H}/acme/big/resolve/main/b.bin")
    link = next(q for q in hub.requests() if q.status == 302) and told.header("Location")
    assert link is not None
    return link, link.partition("?")[0], bytes(source.read(0, SIZE))


async def gated(hub: TestHub, r: Rig, url_ttl: int = 3600) -> tuple[str, bytes]:
    """A link to a file of two pieces in a gated repo, as its reader gets it."""
    source = Synthetic(SIZE, 9)
    hub.add(Repo("acme/shut", files={"b.bin": source}, storage={"b.bin": "lfs"}, gated="auto", readers={"hf_reader"}))
    hub.knob(path="/acme/shut/*", url_ttl=url_ttl)
    told = await r.get(f"{H}/acme/shut/resolve/main/b.bin", {"Authorization": "Bearer hf_reader"} | LINK)
    assert told.status == 302 and told.header("Location")
    return told.header("Location") or "", bytes(source.read(0, SIZE))


async def test_a_link_that_a_client_was_sent_to_is_answered_and_no_other(hub: TestHub, start: Starter) -> None:
    r = await start()
    link, body = await gated(hub, r)
    bare, _, query = link.partition("?")
    for _ in range(2):
        assert (await r.get(link)).body == body
        await r.idle()
    assert hub.bodies_of(f"{bare[-64:]}") == 1.0
    part = await r.get(link, {"Range": "bytes=5-9"})
    assert (part.status, part.body, part.cache) == (206, body[5:10], "hubgate; hit")
    forged = query.replace("Signature=FAKE", "Signature=FAKF")
    assert forged != query
    hub.clear()
    for url in (bare, f"{bare}?{forged}"):
        for headers in ({}, {"Range": "bytes=0-9"}):
            got = await r.get(url, headers)
            assert got.status == 403 and body[:10] not in got.body
        assert (await r.head(url)).status == 403
    assert hub.requests(status=403) == hub.requests()
    hub.stop()
    assert (await r.get(link, {"Authorization": "Bearer x"})).body == body
    assert (await r.get(bare)).status == 504


async def test_a_link_is_good_as_long_as_it_says(hub: TestHub, start: Starter, clock: Clock) -> None:
    r = await start()
    link, body = await gated(hub, r, url_ttl=600)
    assert (await r.get(link)).body == body
    await r.idle()
    hub.stop()
    clock.leap(500)
    assert (await r.get(link)).body == body
    clock.leap(200)
    assert (await r.get(link)).status == 504


async def test_a_link_that_the_hub_takes_back_is_no_longer_answered_by_a_fill(hub: TestHub, start: Starter) -> None:
    r = await start()
    link, body = await gated(hub, r)
    refusing = hub.knob(host="cdn-lfs*", status=403, body="no more")
    got = await r.get(link)
    assert (got.status, got.body) == (403, b"no more")
    assert r.parts.engine._means.issued.find(link) is None
    hub.unknob(refusing)
    assert (await r.get(link)).body == body


async def test_a_link_may_be_written_with_other_escapes(hub: TestHub, start: Starter) -> None:
    r = await start()
    link, body = await gated(hub, r)
    assert (await r.get(link)).body == body
    await r.idle()
    hub.stop()
    other = link.replace("%3B", "%3b").replace("Signature=F", "Signature=%46")
    assert other != link and (await r.get(other)).body == body


async def test_who_wants_nothing_kept_has_nothing_kept(hub: TestHub, start: Starter) -> None:
    r = await start()
    link, body = await gated(hub, r)
    assert (await r.get(link, {"Cache-Control": "no-store"})).body == body
    assert not [blob async for blob in r.kept()]


async def test_a_link_from_elsewhere_is_learned_from_one_byte(hub: TestHub, start: Starter) -> None:
    r, other = await start(), await start(dir="other")
    link, bare, body = await linked(hub, other)
    hub.clear()
    spans = [(at, min(at + SIZE // 16, SIZE) - 1) for at in range(0, SIZE, SIZE // 16)]
    parts = await asyncio.gather(*(r.get(link, {"Range": f"bytes={a}-{b}"}) for a, b in spans))
    assert [part.status for part in parts] == [206] * len(spans)
    assert b"".join(part.body for part in parts) == body
    assert [q.headers["range"] for q in hub.requests()].count("bytes=0-0") == 1
    await r.idle()
    assert hub.bodies_of(bare[-64:]) < 1.001
    assert (await r.get(bare)).status == 403  # what a link brought is for who has a link
    hub.stop()
    assert (await r.get(link)).body == body


async def test_a_wrong_byte_behind_a_link_is_kept_by_nobody(hub: TestHub, start: Starter) -> None:
    r = await start()
    link, body = await gated(hub, r)
    wrong = hub.knob(host="cdn-lfs*", corrupt_at=PIECE + 7)
    got = await r.get(link)
    assert got.cut and len(got.body) < SIZE
    await r.idle()
    assert not [blob async for blob in r.kept()]
    assert (await r.get(link, {"Range": f"bytes={len(got.body)}-"})).refused
    hub.unknob(wrong)
    assert (await r.get(link)).body == body


@pytest.mark.fault("R11", tries=2)
@pytest.mark.parametrize("length", [40, SIZE])
async def test_other_bytes_in_place_of_a_relayed_file_never_arrive_whole(
    hub: TestHub, start: Starter, length: int
) -> None:
    """A network that wants people to log in answers any link with 200."""
    r, other = await start(), await start(dir="other")
    link, body = await gated(hub, other)
    knob = hub.knob(host="cdn-lfs*", status=200, body="x" * length, content_type="text/html")
    for headers in ({}, LINK):
        got = await r.get(link, headers)
        assert got.cut and len(got.body) == max(0, length - TAIL)
    hub.unknob(knob)
    got = await r.get(link, LINK)
    assert (got.status, got.body, got.cut) == (200, body, False)


@settings(max_examples=30, deadline=None)
@given(
    size=st.integers(0, 3 * TAIL),
    pieces=st.integers(999, 2 * TAIL),
    limit=st.integers(999, 2 * TAIL),
    right=st.booleans(),
)
def test_what_is_attested_comes_whole_or_is_cut(size: int, pieces: int, limit: int, right: bool) -> None:
    data = bytes(Synthetic(size, 3).read(0, size))

    class Given:
        length, at = size, 0

        async def read(self, limit: int) -> bytes:
            begin = self.at
            self.at += min(limit, pieces)
            return data[begin : self.at]

        def close(self) -> None:
            self.at = size

    async def all_of(body: Attested) -> tuple[bytes, bool]:
        out = b""
        try:
            while part := bytes(await body.read(limit)):
                assert len(part) <= limit
                out += part
        except BodyLost:
            return out, True
        return out, False

    digest = hashlib.sha256(data if right else data + b"!").hexdigest()
    out, cut = asyncio.run(all_of(Attested(Given(), digest)))
    assert (out, cut) == ((data, False) if right else (data[: len(out)], True))
    assert right or len(out) <= max(0, size - TAIL)


@pytest.mark.parametrize("size", [900, SIZE])
async def test_to_name_a_digest_is_not_to_have_its_bytes(hub: TestHub, start: Starter, size: int) -> None:
    r = await start()
    source = Synthetic(size, 70)
    hub.add(Repo("acme/own", files={"b.bin": source}, storage={"b.bin": "lfs"}, private=True, readers={"hf_reader"}))
    told = await r.get(f"{H}/acme/own/resolve/main/b.bin", {"Authorization": "Bearer hf_reader"} | LINK)
    for _ in range(2):
        assert len((await r.get(told.header("Location") or "")).body) == size
        await r.idle()
    pointing = hub.add(Repo("acme/points", files={"x.bin": source}, storage={"x.bin": "lfs"}))
    absent = hub.knob(host="cdn-lfs*", path=f"/repos/{pointing.lfs_prefix}/*", status=404)
    url = f"{H}/acme/points/resolve/main/x.bin"
    for headers in ({}, {"Range": "bytes=1-2"}):
        got = await r.get(url, headers)
        assert got.status == 502 and len(got.body) < 500
        assert await r.parts.engine.glance(request_for("GET", url, headers)) is None
    hub.unknob(absent)
    before = hub.bodies_of(source.sha256)
    assert (await r.get(url)).body == bytes(source.read(0, size))
    assert 0 < (hub.bodies_of(source.sha256) - before) * size < SAMPLE + 1
    hub.stop()
    assert (await r.get(url)).cache.startswith("hubgate; hit")
    await r.parts.store.blobs.set_public(f"sha256:{source.sha256}", False)
    assert (await r.get(url)).status == 504


async def test_only_a_hub_says_what_its_own_links_are(hub: TestHub, start: Starter) -> None:
    r = await start(hubs__others=(OtherHost("plain.example"),))
    link, body = await gated(hub, r)
    bare, _, _ = link.partition("?")
    assert (await r.get(link)).body == body
    await r.idle()
    forged = [f"{bare}?by=modelscope", f"{bare}?by=other", f"https://us.aws.cdn.hf.co/xet-bridge-us/a/{'e' * 64}?by=x"]
    linked = {"X-Linked-ETag": f'"{bare[-64:]}"', "X-Linked-Size": str(SIZE)}
    hub.knob(host="www.modelscope.cn", status=302, headers={"Location": forged[0], **linked})
    hub.script("/x", *(Scripted(302, {"Location": url, **linked}, "") for url in forged[1:]))
    action = {"oid": bare[-64:], "size": SIZE, "actions": {"download": {"href": forged[0]}}}
    hub.knob(path="*/batch", status=200, body=json.dumps({"objects": [action]}))
    credentials = {"Cookie": "m_session_id=x"}
    await r.get("https://www.modelscope.cn/models/acme/tiny/resolve/master/old.bin", credentials)
    await r.get("https://www.modelscope.cn/acme/tiny.git/info/lfs/objects/batch", method="POST", body=b"{}")
    for _ in forged[1:]:
        assert (await r.get("https://plain.example/x", credentials, "POST")).status == 302
    assert [(await r.get(url)).status for url in forged] == [403, 403, 403]


async def test_a_link_to_nothing(hub: TestHub, start: Starter) -> None:
    r, other = await start(), await start(dir="other")
    link, *_ = await linked(hub, other)
    hub.repo("acme/big").blobs.clear()
    assert (await r.get(link)).status == 404
    assert not [blob async for blob in r.kept()]


async def test_a_link_to_public_bytes_that_are_here_is_answered(hub: TestHub, start: Starter) -> None:
    r = await start()
    link, bare, body = await linked(hub, r)
    await r.get(f"{H}/acme/big/resolve/main/b.bin")
    await r.idle()
    hub.stop()
    for url in (link, bare):
        got = await r.get(url, {"Range": f"bytes={PIECE - 5}-{PIECE + 4}"})
        assert got.body == body[PIECE - 5 : PIECE + 5] and got.cache == "hubgate; hit"
    assert (await r.head(link)).header("Content-Length") == str(SIZE)


async def test_a_link_to_bytes_that_are_not_public_is_asked(hub: TestHub, start: Starter) -> None:
    r = await start()
    link, bare, body = await linked(hub, r)
    await r.get(f"{H}/acme/big/resolve/main/b.bin")
    await r.idle()
    (blob,) = [blob async for blob in r.kept()]
    await r.parts.store.blobs.set_public(blob, False)
    assert (await r.get(bare)).status == 403
    assert (await r.get(link)).body == body


async def test_a_link_to_bytes_that_are_partly_here_brings_the_rest(
    hub: TestHub, start: Starter, tmp_path: Path
) -> None:
    r = await start()
    link, bare, body = await linked(hub, r)
    await r.get(f"{H}/acme/big/resolve/main/b.bin", {"Range": "bytes=0-9"})
    await r.idle()
    assert (await r.get(bare)).status == 403
    await r.get(f"{H}/acme/big/resolve/main/b.bin")
    await r.idle()
    (first,) = [file for file in tmp_path.rglob("*.val") if file.stat().st_size == PIECE]
    first.write_bytes(bytes(PIECE))
    (blob,) = [blob async for blob in r.kept()]
    assert [found.piece for found in await r.parts.store.blobs.examine(blob, "verify")] == [0]
    assert (await r.get(bare)).status == 403
    before = hub.bodies_of(bare[-64:])
    assert (await r.get(link)).body == body
    assert 0 < hub.bodies_of(bare[-64:]) - before < 1


async def test_a_link_without_its_signature_is_good_while_its_repo_is_proven(
    hub: TestHub, start: Starter, clock: Clock
) -> None:
    r = await start()
    link, bare, body = await linked(hub, r)
    url = f"{H}/acme/big/resolve/main/b.bin"
    await r.get(url)
    await r.idle()
    assert (await r.get(bare)).body == body
    clock.leap(25 * 3600)
    assert (await r.get(bare)).status == 403
    assert (await r.get(url)).status == 200
    assert (await r.get(bare)).body == body
    hub.repo("acme/big").private = True
    clock.leap(25 * 3600)
    assert (await r.get(url)).status == 401
    assert (await r.get(bare)).status == 403
    assert (await r.get(link)).body == body
