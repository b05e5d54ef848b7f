"""Signed links to bytes: a permission that somebody else gave, which is asked for unless the bytes are public."""

from __future__ import annotations

from pathlib import Path

from proxy_addon.store.contract import PIECE
from tests.conftest import Starter
from tests.engine.rig import Clock, Rig
from tests.hub import Repo, Synthetic, TestHub

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


async def test_a_link_to_what_is_not_here_is_asked(hub: TestHub, start: Starter) -> None:
    r = await start()
    link, bare, body = await linked(hub, r)
    for _ in range(2):
        got = await r.get(link)
        assert got.body == body and "fwd=uri-miss" in got.cache
    assert (await r.get(bare)).status == 403
    part = await r.get(link, {"Range": "bytes=5-9"})
    assert (part.status, part.body) == (206, body[5:10])
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


async def test_a_link_to_bytes_that_are_partly_here_is_asked(hub: TestHub, start: Starter, tmp_path: Path) -> None:
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
    assert await r.parts.store.blobs.verify(blob) == [0]
    assert (await r.get(bare)).status == 403
    got = await r.get(link)
    assert got.body == body and "fwd=partial" in got.cache


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
