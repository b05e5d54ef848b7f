"""What a store that fails must not lead to: bytes that nobody compared, a proof that was refuted, work without end."""

from __future__ import annotations

from proxy_addon.config.places import OtherHost
from proxy_addon.core.messages import Finished
from proxy_addon.core.status import Outcome
from proxy_addon.fetch.fill import TRIES
from proxy_addon.store.contract import PIECE
from tests.conftest import Starter
from tests.engine.rig import LINK, Rig, request_for, until
from tests.faults.refusing import Fault, Refusing
from tests.hub import Repo, Scripted, Synthetic, TestHub

H, P = "https://huggingface.co", "https://plain.example"
READER = {"Authorization": "Bearer hf_reader"}
OPENED, LOOKED_UP = "open of VerifiedPieces.open", "value of Index._value < Index.manifest"
COMPARED = "value of Index._value < Index.digests < VerifiedPieces._on_record < VerifiedPieces.write"


def add(hub: TestHub, id: str, size: int = 100_000, seed: int = 5, **kind: object) -> tuple[str, bytes]:
    """(where its file is, the bytes)."""
    source = Synthetic(size, seed)
    hub.add(Repo(id, "model", files={"w.bin": source}, storage={"w.bin": "lfs"}, **kind))  # type: ignore[arg-type]
    return f"{H}/{id}/resolve/main/w.bin", bytes(source.read(0, size))


async def kept(r: Rig, url: str, headers: dict[str, str] | None = None) -> None:
    assert (await r.get(url, headers)).status == 200
    await r.idle()


async def test_bytes_that_others_brought_are_not_given_out_when_it_cannot_be_seen_that_they_are_here(
    hub: TestHub, start: Starter, refusing: Refusing
) -> None:
    r = await start()
    shut, body = add(hub, "acme/shut", gated="auto", readers={"hf_reader"})
    open, _ = add(hub, "acme/open")
    await kept(r, shut, READER)
    hub.clear()
    with refusing.armed(Fault(f"{LOOKED_UP}", "EMFILE")):
        got = await r.get(open)
        assert refusing.failed
    assert (got.status, got.body) == (200, body)
    assert hub.bytes_sent(host="cdn*") >= len(body), "its own repo has brought it"


async def test_what_cannot_be_read_to_compare_it_is_fetched(hub: TestHub, start: Starter, refusing: Refusing) -> None:
    r = await start()
    shut, body = add(hub, "acme/shut", gated="auto", readers={"hf_reader"})
    open, _ = add(hub, "acme/open")
    await kept(r, shut, READER)
    with refusing.armed(Fault(OPENED, "EMFILE")):
        got = await r.get(open)
        assert refusing.failed
    assert (got.status, got.body) == (200, body)


async def test_what_the_disk_takes_and_does_not_give_back_is_not_fetched_without_end(
    hub: TestHub, start: Starter, refusing: Refusing
) -> None:
    r = await start()
    url, body = add(hub, "acme/new", 2 * PIECE)
    await kept(r, url)
    hub.clear()
    with refusing.armed(Fault(OPENED, "EMFILE", "kind")):
        reply, got = await r.open("GET", url), b""
        assert not isinstance(reply.body, bytes)
        while data := await reply.body.read(PIECE // 16):
            got += data
            await until(lambda: not any(fill._transfers for fill in r.parts.fills._all), "what is on its way")
        reply.body.close()
        await r.idle()
    assert got == body
    assert hub.bytes_sent(host="cdn*") <= (TRIES + 2) * len(body)
    assert (await r.get(url)).cache == "hubgate; hit"


async def lacking_a_piece(hub: TestHub, start: Starter) -> tuple[Rig, str, bytes]:
    """A file that is here but for its end, its URL, and its bytes."""
    r = await start()
    url, body = add(hub, "acme/new", 2 * PIECE)
    await kept(r, url)
    ((blob,),) = [[blob async for blob in r.kept()]]
    await r.parts.store._lanes.write_pieces(r.parts.store._pieces.shed, blob, PIECE)
    return r, url, body


async def test_a_piece_that_comes_again_and_cannot_be_compared_is_not_believed(
    hub: TestHub, start: Starter, refusing: Refusing
) -> None:
    r, url, body = await lacking_a_piece(hub, start)
    knob = hub.knob(host="cdn*", corrupt_at=PIECE + 1000)
    with refusing.armed(Fault(COMPARED, "EIO", "here")):
        got = await r.get(url)
        assert refusing.failed
    assert got.cut and body.startswith(got.body)
    hub.unknob(knob)
    assert (await r.get(url)).body == body


async def test_a_lookup_that_fails_while_a_piece_comes_again_costs_nothing(
    hub: TestHub, start: Starter, refusing: Refusing
) -> None:
    r, url, body = await lacking_a_piece(hub, start)
    with refusing.armed(Fault(COMPARED, "EIO")):
        got = await r.get(url)
        assert refusing.failed
    assert (got.body, got.cut) == (body, False)


async def test_all_of_an_upload_is_heard_of_though_the_disk_refuses_a_part(
    hub: TestHub, start: Starter, refusing: Refusing
) -> None:
    r = await start()
    url, _ = add(hub, "acme/new")
    await kept(r, url)
    hub.repo("acme/new").commit({"w.bin": b"new"}, storage={"w.bin": "lfs"})
    upload = request_for("POST", f"{H}/api/models/acme/new/commit/main", body=b"{}")
    with refusing.armed(Fault("begin of Index._change < Index.drop_responses", "EROFS")):
        r.parts.engine.completed(Finished(upload, 200, Outcome()))
        await r.parts.engine._promised.settle()
        assert refusing.failed
    assert (await r.get(url)).body == b"new"


async def test_a_file_of_a_further_host_that_cannot_be_read_is_fetched(
    hub: TestHub, start: Starter, refusing: Refusing
) -> None:
    r = await start(hubs__others=(OtherHost("plain.example"),))
    hub.script("/x", Scripted(200, {"Cache-Control": "max-age=600"}, "x" * 100_000))
    await kept(r, f"{P}/x")
    with refusing.armed(Fault(OPENED, "EMFILE", "all")):
        got = await r.get(f"{P}/x")
        assert refusing.failed
    assert (got.status, got.body) == (200, b"x" * 100_000)


async def test_a_piece_of_it_that_is_lost_in_the_middle_is_had_again_by_its_validator(
    hub: TestHub, start: Starter
) -> None:
    r = await start(hubs__others=(OtherHost("plain.example"),))
    body = bytes(Synthetic(3 * PIECE, 4).read(0, 3 * PIECE))
    hub.script("/x", Scripted(200, {"Cache-Control": "max-age=600", "ETag": '"x"'}, body, ranges=True))
    await kept(r, f"{P}/x")
    ((blob,),) = [[blob async for blob in r.kept()]]
    reply = await r.open("GET", f"{P}/x")
    assert not isinstance(reply.body, bytes)
    got = bytes(await reply.body.read(1 << 20))
    await r.parts.store._lanes.write_pieces(r.parts.store._pieces.shed, blob, PIECE)
    while data := await reply.body.read(1 << 20):
        got += data
    reply.body.close()
    assert got == body
    assert hub.bytes_sent(host="plain.example") <= len(body) + PIECE + 10_000


async def test_a_public_link_whose_bytes_cannot_be_read_is_for_the_hub(
    hub: TestHub, start: Starter, refusing: Refusing
) -> None:
    r = await start()
    url, body = add(hub, "acme/new")
    link = (await r.get(url, LINK)).header("Location") or ""
    await kept(r, url)
    r.parts.engine._means.issued.forget(link)
    with refusing.armed(Fault(OPENED, "EMFILE")):
        got = await r.get(link)
        assert refusing.failed
    assert (got.status, got.body) == (200, body)
