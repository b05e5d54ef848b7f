"""Fills: whoever reads, whatever is here already, however often the source is cut, the bytes are right and complete."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_addon.core.errors import IntegrityError, UpstreamFailed
from proxy_addon.core.messages import Buffer
from proxy_addon.fetch import pieces, transfer
from proxy_addon.fetch.bodies import BlobBody
from proxy_addon.fetch.fill import NEAR, TAIL, Fill
from proxy_addon.fetch.pieces import MOVED
from proxy_addon.store.contract import PIECE, UNIT, Manifest, PieceMissing
from tests.contracts.model import DictBlobs
from tests.engine.rig import until
from tests.fetch.scripted import Bench, Refusing, Script, content, cut_short, drain, exactly, name_of

DATA = content(12 * PIECE + 100)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_reader_gets_its_bytes(draw: st.DataObject) -> None:
    asyncio.run(some_readers(draw))


async def some_readers(draw: st.DataObject) -> None:
    size = draw.draw(st.sampled_from([1, TAIL, TAIL + 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 5 * PIECE + 7]))
    data = DATA[:size]
    place = st.integers(0, size - 1)
    spans = draw.draw(st.lists(st.tuples(place, st.integers(1, size)), min_size=1, max_size=4))
    cuts = draw.draw(st.lists(st.integers(1, 2 * PIECE), max_size=3))
    bench = Bench(connections=draw.draw(st.integers(1, 4)))
    name, pieces = name_of(data), range(-(-size // PIECE))
    await bench.blobs.create(Manifest(name, size))
    for index in draw.draw(st.sets(st.sampled_from(pieces))):
        await bench.blobs.write_piece(name, index, data[index * PIECE : (index + 1) * PIECE])
    source = Script(data, cuts, ranges=draw.draw(st.booleans()), chunk=draw.draw(st.sampled_from([1 << 16, 1 << 20])))
    ranges = [(start, min(size, start + length)) for start, length in spans]
    bodies = [await bench.body(source, *span) for span in ranges]
    got = await asyncio.gather(*(drain(body, 1 << 18) for body in bodies))
    assert [g == data[a:b] for g, (a, b) in zip(got, ranges, strict=True)] == [True] * len(ranges)
    await bench.idle()
    manifest = await bench.blobs.manifest(name)
    assert manifest is not None and manifest.sealed <= (await bench.blobs.present(name) == set(pieces))
    await until(lambda: not source.open_answers and not +bench.blobs.pins)


async def test_only_the_missing_pieces_are_fetched() -> None:
    bench, source = Bench(connections=1), Script(DATA)
    assert await bench.read(source, 3 * PIECE + 10, 3 * PIECE + 20) == DATA[3 * PIECE + 10 : 3 * PIECE + 20]
    assert source.asked == [(3 * PIECE, 4 * PIECE)]
    assert await bench.read(source) == DATA
    await bench.idle()
    fetched = sorted(source.asked[1:])
    assert sum(b - a for a, b in fetched) == len(DATA) - PIECE
    assert all(b <= 3 * PIECE or a >= 4 * PIECE for a, b in fetched)
    assert (await bench.blobs.manifest(name_of(DATA))).sealed  # type: ignore[union-attr]


async def test_what_has_come_is_given_out_though_nothing_follows_it() -> None:
    """The hub goes silent after two pieces of body that came right after each other, too small to tell of each."""
    bench, gate, came = Bench(connections=1), asyncio.Event(), 0
    body = await bench.body(Script(DATA, chunk=100_000, gate=gate, pause=200_000))
    async with asyncio.timeout(60):
        while came < 200_000:
            came += len(await body.read(1 << 20))
    gate.set()
    assert await drain(body) == DATA[200_000:]


async def test_need_decides_the_order() -> None:
    bench, source = Bench(connections=1), Script(DATA)
    whole = await bench.body(source)
    late = await bench.body(source, 10 * PIECE, 10 * PIECE + 1)
    assert await drain(late) == DATA[10 * PIECE : 10 * PIECE + 1]
    assert len(source.asked) < 12
    assert await drain(whole) == DATA


async def test_a_slow_connection_keeps_no_more_than_its_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "LONG", -1.0)
    bench, source = Bench(connections=1), Script(DATA)
    assert await bench.read(source) == DATA
    assert [start for start, _ in source.asked] == [*range(0, len(DATA), PIECE)]


async def test_one_that_brings_everything_goes_on_however_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "LONG", -1.0)
    bench, source = Bench(), Script(DATA)
    fill, _ = await bench.fills.join(Manifest(name_of(DATA), len(DATA)), source, stream=True)
    assert await drain(BlobBody(bench.blobs, fill.manifest, 0, len(DATA), fill=fill)) == DATA
    assert source.asked == [(0, len(DATA))]


async def test_when_places_are_scarce_each_fill_has_one() -> None:
    bench = Bench(connections=4, places=2)
    first, second, third = (Script(DATA[: -n - 1], gate=asyncio.Event()) for n in range(3))
    readers = [asyncio.create_task(bench.read(source)) for source in (first, second)]
    await until(lambda: first.open_answers + second.open_answers == 2, "a connection in each place")
    assert (first.open_answers, second.open_answers) == (1, 1)
    readers.append(asyncio.create_task(bench.read(third)))
    assert first.gate is not None and second.gate is not None and third.gate is not None
    first.gate.set()
    await until(lambda: third.open_answers == 1, "a connection of who came last")
    assert second.open_answers == 1
    second.gate.set()
    third.gate.set()
    assert await asyncio.gather(*readers) == [first.data, second.data, third.data]
    assert all(len(source.asked) > 1 for source in (first, second, third))


async def test_of_readers_who_are_equally_near_none_waits_for_the_end_of_another() -> None:
    bench, source, half = Bench(connections=4, places=1), Script(DATA), 6 * PIECE
    bodies = [await bench.body(source, start, start + half) for start in (0, half)]
    assert await asyncio.gather(*map(drain, bodies)) == [DATA[:half], DATA[half : 2 * half]]
    assert {start // half for start, _ in source.asked[:2]} == {0, 1}


async def test_the_tail_waits_for_the_proof() -> None:
    wrong = DATA[: 2 * PIECE] + b"!" + DATA[2 * PIECE + 1 : 3 * PIECE]
    bench, source = Bench(), Script(wrong)
    name = name_of(DATA[: 3 * PIECE])
    got = await cut_short(await bench.body(source, blob=name))
    assert got == wrong[: len(got)] and len(got) <= len(wrong) - TAIL
    await bench.idle()
    assert bench.blobs.manifests == {} and bench.blobs.pieces == {}


async def test_a_tail_that_is_asked_for_alone_waits_too_when_all_the_rest_is_here() -> None:
    wrong, name = DATA[:PIECE] + bytes(PIECE), name_of(DATA[: 2 * PIECE])
    bench, source = Bench(), Script(wrong)
    assert await bench.read(source, 0, PIECE, blob=name) == DATA[:PIECE]
    await bench.idle()
    assert await cut_short(await bench.body(source, 2 * PIECE - 10, 2 * PIECE, blob=name)) == b""


async def test_halves_that_make_a_whole_are_proven() -> None:
    data = DATA[: 4 * PIECE]
    bench, source = Bench(), Script(data)
    assert await bench.read(source, 0, 2 * PIECE) + await bench.read(source, 2 * PIECE) == data
    await bench.idle()
    assert (await bench.blobs.manifest(name_of(data))).sealed  # type: ignore[union-attr]


@pytest.mark.parametrize("algorithm", ["git", "body"])
async def test_other_names_of_blobs(algorithm: str) -> None:
    import hashlib

    data = DATA[: PIECE + 5]
    digest = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest() if algorithm == "git" else "0" * 32
    bench = Bench()
    assert await bench.read(Script(data), blob=f"{algorithm}:{digest}") == data
    await bench.idle()
    assert (await bench.blobs.manifest(f"{algorithm}:{digest}")).sealed  # type: ignore[union-attr]
    if algorithm == "git":
        await cut_short(await Bench().body(Script(data), blob=f"git:{'0' * 40}"))


async def test_pieces_of_a_blob_that_was_never_sealed_are_proven_first() -> None:
    data = DATA[: 2 * PIECE]
    for piece, right in ((data[:PIECE], True), (bytes(PIECE), False)):
        bench, name = Bench(), name_of(data)
        await bench.blobs.create(Manifest(name, len(data)))
        await bench.blobs.write_piece(name, 0, piece)
        await bench.blobs.write_piece(name, 1, data[PIECE:])
        source = Script(data)
        if right:
            assert await bench.read(source) == data
        else:
            await cut_short(await bench.body(source))
            assert await bench.read(source) == data
        await bench.idle()
        assert (await bench.blobs.manifest(name)).sealed  # type: ignore[union-attr]


async def test_a_wrong_piece_on_record_does_not_stay_for_ever() -> None:
    data = DATA[: 2 * PIECE]
    bench, name = Bench(), name_of(data)
    await bench.blobs.create(Manifest(name, len(data)))
    await bench.blobs.write_piece(name, 1, bytes(PIECE))
    fill, _ = await bench.fills.join(Manifest(name, len(data)), Script(data))
    fill.lost(1)  # evicted; the store knows its digest
    await cut_short(await bench.body(Script(data)))
    await bench.idle()
    assert bench.blobs.manifests == {}
    assert await bench.read(Script(data)) == data


async def test_a_piece_that_is_gone_is_fetched_again() -> None:
    data = DATA[: 4 * PIECE]
    bench, source = Bench(), Script(data)
    await bench.read(source)
    await bench.idle()
    source.asked.clear()
    body = await bench.body(source)
    del bench.blobs.pieces[name_of(data), 2]
    assert await drain(body) == data
    assert source.asked == [(2 * PIECE, 3 * PIECE)]
    await bench.idle()
    assert await bench.blobs.present(name_of(data)) == {0, 1, 2, 3}


async def test_of_a_piece_that_comes_again_slowly_what_agrees_with_the_record_is_given_out() -> None:
    data = DATA[: 2 * PIECE]
    bench, source = Bench(), Script(data)
    await bench.read(source)
    await bench.idle()
    del bench.blobs.pieces[name_of(data), 1]
    slow = Script(data, gate=asyncio.Event(), pause=3 * UNIT + 1000)
    body = await bench.body(slow, PIECE)
    assert slow.gate is not None
    assert await exactly(body, 3 * UNIT) == data[PIECE : PIECE + 3 * UNIT]
    slow.gate.set()
    assert await drain(body) == data[PIECE + 3 * UNIT :]


async def test_what_agrees_is_told_of_though_its_bytes_were_told_of_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are told of while they are compared, and then nothing follows them."""

    class Comparing(DictBlobs):
        fill: Fill

        async def agreeing(self, blob: str, index: int, start: int, data: Buffer) -> int:
            found, here = await super().agreeing(blob, index, start, data), self.fill.pieces
            await until(lambda: index in here._waiters, "the reader")
            here._tell(index, here.landing[index])
            await until(lambda: index in here._waiters, "the reader, who has found nothing")
            return found

    data, gate = DATA[: 2 * PIECE], asyncio.Event()
    bench = Bench(blobs := Comparing())
    await bench.read(Script(data))
    await bench.idle()
    manifest = blobs.manifests[name_of(data)]
    del blobs.pieces[manifest.blob, 1]
    monkeypatch.setattr(pieces, "PATIENCE", 1e9)
    blobs.fill, _ = await bench.fills.join(manifest, Script(data, gate=gate, chunk=UNIT, pause=UNIT))
    body = BlobBody(blobs, manifest, PIECE, len(data), fill=blobs.fill)
    assert await exactly(body, UNIT) == data[PIECE : PIECE + UNIT]
    body.close()


async def test_of_a_piece_that_comes_again_wrong_nothing_goes_out_from_the_wrong_unit_on() -> None:
    data = DATA[: 2 * PIECE]
    bench = Bench()
    await bench.read(Script(data))
    await bench.idle()
    manifest = bench.blobs.manifests[name_of(data)]
    del bench.blobs.pieces[manifest.blob, 1]
    wrong = bytearray(data)
    wrong[PIECE + 2 * UNIT + 5] ^= 1
    slow = Script(bytes(wrong), gate=asyncio.Event(), pause=PIECE - Script.chunk)
    fill, _ = await bench.fills.join(manifest, slow)
    body = BlobBody(bench.blobs, manifest, PIECE, len(data), fill=fill)
    assert slow.gate is not None
    assert await exactly(body, 2 * UNIT) == data[PIECE : PIECE + 2 * UNIT]
    await until(lambda: fill.pieces.landing[1].filled >= PIECE - slow.chunk, "nearly all of it")
    slow.gate.set()
    assert await cut_short(body) == b""


async def test_a_piece_that_is_gone_while_a_fill_runs_is_fetched_again() -> None:
    data = DATA[: 6 * PIECE]
    bench, source = Bench(connections=1), Script(data, gate=asyncio.Event())
    name = name_of(data)
    await bench.blobs.create(Manifest(name, len(data)))
    for index in (0, 1):
        await bench.blobs.write_piece(name, index, data[index * PIECE : (index + 1) * PIECE])
    body = await bench.body(source)
    del bench.blobs.pieces[name, 1]
    assert source.gate is not None
    source.gate.set()
    assert await drain(body) == data
    await bench.idle()
    assert await bench.blobs.present(name) == set(range(6))


async def test_a_piece_that_the_proof_finds_gone_is_fetched_again() -> None:
    data = DATA[: 4 * PIECE]
    bench, source, name = Bench(), Script(data), name_of(data)
    await bench.blobs.create(Manifest(name, len(data)))
    for index in range(4):
        await bench.blobs.write_piece(name, index, data[index * PIECE : (index + 1) * PIECE])
    body = await bench.body(source)
    del bench.blobs.pieces[name, 2]
    await until(lambda: name in bench.blobs.manifests and bench.blobs.manifests[name].sealed, "the proof")
    assert source.asked == [(2 * PIECE, 3 * PIECE)]
    assert await drain(body) == data


async def test_a_fill_that_has_all_keeps_no_buffers_for_a_slow_reader() -> None:
    data = DATA[: 6 * PIECE]
    bench, source = Bench(), Script(data)
    fill, _ = await bench.fills.join(Manifest(name_of(data), len(data)), source)
    body = await bench.body(source)
    await until(lambda: fill.manifest.sealed, "the proof")
    await until(lambda: not fill.pieces._spare and not fill.pieces.landing, "the end of the buffers", 5)
    assert len(bench.fills) == 1 and await drain(body) == data


async def test_a_server_without_ranges_is_asked_for_everything_once() -> None:
    bench, source = Bench(connections=3), Script(DATA, ranges=False)
    assert await bench.read(source) == DATA
    assert len(source.asked) <= 4 and source.asked[-1] == (0, len(DATA))


# -- giving up ------------------------------------------------------------------------------------------------------


async def test_attempts_without_a_byte_have_an_end() -> None:
    bench, source = Bench(connections=1), Script(DATA[:PIECE], fault=UpstreamFailed("gone", 404))
    assert await cut_short(await bench.body(source)) == b""
    assert len(source.asked) == 1
    await bench.idle()


@pytest.mark.parametrize("status", [403, 429])
async def test_a_source_that_fails_at_once_is_not_asked_without_end(status: int) -> None:
    bench, source = Bench(connections=4), Script(DATA, fault=UpstreamFailed("not now", status))
    assert await cut_short(await bench.body(source)) == b""
    await bench.idle()
    assert len(source.asked) <= 4


async def test_cuts_that_bring_bytes_never_exhaust_the_attempts() -> None:
    data = DATA[: 2 * PIECE]
    bench, source = Bench(connections=1), Script(data, cuts=[PIECE // 8] * 7)
    assert await bench.read(source) == data
    assert len(source.asked) == 9 and [a for a, _ in source.asked[:3]] == [0, PIECE // 8, PIECE // 4]


async def test_another_representation_ends_the_fill_and_what_came_of_it() -> None:
    data = DATA[: 3 * PIECE]
    bench, source = Bench(connections=1), Script(data)
    assert await bench.read(source, 0, 10) == data[:10]
    await bench.idle()
    source.fault = IntegrityError("another")
    await cut_short(await bench.body(source))
    await bench.idle()
    assert bench.blobs.manifests == {}


@pytest.mark.parametrize("lie", ["bytes", "representation"])
async def test_what_another_process_has_proven_meanwhile_stays(lie: str) -> None:
    data = DATA[: 2 * PIECE + 100]
    wrong = data[:-1] + bytes([data[-1] ^ 1]) if lie == "bytes" else data
    bench, source, name = Bench(), Script(wrong, gate=asyncio.Event()), name_of(data)
    assert source.gate is not None
    reader = asyncio.create_task(cut_short(await bench.body(source, blob=name)))
    await until(lambda: source.open_answers, "a fill that waits for its upstream")
    other = bench.blobs
    for index in range(3):
        await other.write_piece(name, index, data[index * PIECE : (index + 1) * PIECE])
    await other.seal(name, public=True)
    if lie == "representation":
        source.cuts, source.fault = [], IntegrityError("another representation")
        source.data = b""
    source.gate.set()
    await reader
    await bench.idle()
    assert other.manifests[name].sealed and await other.present(name) == {0, 1, 2}
    assert await bench.read(Script(data)) == data


async def test_who_leaves_early_stops_what_nobody_wants() -> None:
    data = content(24 * PIECE)
    bench, source = Bench(connections=2), Script(data, gate=asyncio.Event())
    body = await bench.body(source)
    await until(lambda: len(source.asked) == 2)
    body.close()
    assert source.gate is not None
    source.gate.set()
    await bench.idle()
    await until(lambda: not source.open_answers and not +bench.blobs.pins)
    assert len(source.asked) == 2 and len(await bench.blobs.present(name_of(data))) <= 2


async def test_who_leaves_late_leaves_a_whole_blob() -> None:
    data = content(24 * PIECE)
    bench, source = Bench(connections=2), Script(data)
    body = await bench.body(source)
    read = 0
    while read < 15 * PIECE:
        read += len(await body.read(1 << 20))
    body.close()
    await bench.idle()
    assert (await bench.blobs.manifest(name_of(data))).sealed  # type: ignore[union-attr]


async def test_a_reader_of_a_part_never_makes_the_whole_come() -> None:
    bench, source = Bench(connections=2), Script(DATA)
    assert await bench.read(source, 5 * PIECE - 1, 5 * PIECE + 1) == DATA[5 * PIECE - 1 : 5 * PIECE + 1]
    await bench.idle()
    assert await bench.blobs.present(name_of(DATA)) == {4, 5}


async def test_a_fill_that_nobody_joins_is_given_up() -> None:
    bench, source = Bench(), Script(DATA[:PIECE])
    fill, joined = await bench.fills.join(Manifest(name_of(source.data), PIECE), source)
    assert not joined and bench.blobs.pins.total() == 1
    fill.give_up()
    assert +bench.blobs.pins == {} and len(bench.fills) == 0
    assert await bench.read(source) == source.data


# -- without a disk -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [0, 1, 5, 12])
async def test_a_disk_that_refuses_from_some_piece_on(first: int) -> None:
    bench, source = Bench(Refusing(lambda index: index >= first)), Script(DATA)
    body = await bench.body(source)
    assert await drain(body) == DATA
    await bench.idle()
    manifest = await bench.blobs.manifest(name_of(DATA))
    assert manifest is not None and not manifest.sealed
    assert +bench.blobs.pins == {}


@pytest.mark.parametrize("first", [0, 5])
async def test_without_a_disk_the_tail_still_waits_for_the_proof(first: int) -> None:
    wrong = b"!" + DATA[1:]
    bench = Bench(Refusing(lambda index: index >= first))
    got = await cut_short(await bench.body(Script(wrong), blob=name_of(DATA)))
    assert len(got) <= len(DATA) - TAIL


async def test_without_a_disk_memory_is_bounded_by_the_readers() -> None:
    data = content(40 * PIECE)
    bench, source = Bench(Refusing()), Script(data)
    fill, _ = await bench.fills.join(Manifest(name_of(data), len(data)), source)
    body = await bench.body(source)
    most, read = 0, 0
    async with asyncio.timeout(60):
        while piece := await body.read(1 << 20):
            read += len(piece)
            most = max(most, len(fill.pieces.landing))
    body.close()
    assert read == len(data) and most <= 4 * NEAR


@pytest.mark.parametrize("disk", [DictBlobs(), Refusing()], ids=["disk", "none"])
async def test_a_fill_that_is_over_keeps_no_buffers(disk: DictBlobs) -> None:
    bench, source = Bench(disk), Script(DATA)
    fill, _ = await bench.fills.join(Manifest(name_of(DATA), len(DATA)), source)
    body = await bench.body(source)
    await exactly(body, 2 * PIECE)
    assert fill.pieces.landing or fill.pieces._spare
    body.close()
    fill.cancel(UpstreamFailed("on purpose"))
    await bench.idle()
    assert not fill.pieces.landing and not fill.pieces._spare


async def test_nor_the_one_that_a_reader_lets_go_of_after_its_end() -> None:
    bench, source = Bench(), Script(DATA)
    fill, _ = await bench.fills.join(Manifest(name_of(DATA), len(DATA)), source)
    body = await bench.body(source)
    await body.read(10)
    held = body._holding
    await until(lambda: held is not None and held.done, "the piece in the store")
    fill.cancel(UpstreamFailed("on purpose"))
    await bench.idle()
    body.close()
    assert not fill.pieces._spare


async def test_without_a_disk_a_part_is_not_kept_behind_its_reader() -> None:
    data = content(40 * PIECE)
    bench, source = Bench(Refusing()), Script(data)
    fill, _ = await bench.fills.join(Manifest(name_of(data), len(data)), source)
    body = await bench.body(source, 0, 39 * PIECE)
    most = 0
    async with asyncio.timeout(60):
        while await body.read(1 << 20):
            most = max(most, len(fill.pieces.landing))
    body.close()
    assert most <= 4 * NEAR


@pytest.mark.parametrize("end", [40, 39], ids=["whole", "part"])
async def test_without_a_disk_a_reader_that_pauses_goes_on(end: int) -> None:
    data = content(40 * PIECE)
    bench, source = Bench(Refusing()), Script(data)
    fill, _ = await bench.fills.join(Manifest(name_of(data), len(data)), source)
    body = await bench.body(source, 0, end * PIECE)
    proven = len(source.asked)
    await until(lambda: fill.diskless and not fill._transfers and not fill._kick.is_set(), "the end of the window")
    await until(lambda: end < 40 or fill.proof.done >= len(fill.pieces.landing), "the proof")
    assert proven < 2 * NEAR
    assert await drain(body) == data[: end * PIECE]


async def test_a_disk_that_refuses_the_last_piece_when_all_is_proven() -> None:
    gate = asyncio.Event()

    class Late(Refusing):
        async def write_piece(self, blob: str, index: int, data: Buffer) -> None:
            if index == 2:
                await gate.wait()
            await super().write_piece(blob, index, data)

    data = DATA[: 3 * PIECE]
    bench, source = Bench(Late(lambda index: index == 2)), Script(data)
    fill, _ = await bench.fills.join(Manifest(name_of(data), len(data)), source)
    body = await bench.body(source)
    await until(lambda: fill.proof.done == 3, "the proof")
    gate.set()
    assert await drain(body) == data


async def test_who_comes_when_the_disk_is_full_makes_a_fill_of_his_own() -> None:
    data = DATA[: 3 * PIECE]
    bench, source = Bench(Refusing()), Script(data)
    first = await bench.body(source)
    await first.read(10)
    await until(lambda: bench.fills.current(name_of(data)) is None, "a refused piece")
    second = Script(data)
    assert await bench.read(second) == data and second.asked
    assert len(await drain(first)) == len(data) - 10
    await bench.idle()


@pytest.mark.parametrize("fault", [OSError("no space left"), PieceMissing("blob", 0)])
async def test_a_seal_that_is_refused_costs_the_cache_only(fault: Exception) -> None:
    class Unsealing(DictBlobs):
        async def seal(self, blob: str, *, public: bool) -> None:
            raise fault

    bench, source = Bench(Unsealing()), Script(DATA)
    for _ in range(2):
        assert await bench.read(source) == DATA
        await bench.idle()
    manifest = await bench.blobs.manifest(name_of(DATA))
    assert manifest is not None and not manifest.sealed


@pytest.mark.parametrize("blob", ["", "body:" + "0" * 32], ids=["digest", "none"])
async def test_without_a_disk_one_stream_waits_for_its_reader(blob: str) -> None:
    data = content(40 * PIECE)
    bench, source = Bench(Refusing()), Script(data)
    fill, _ = await bench.fills.join(Manifest(blob or name_of(data), len(data)), source, stream=True)
    body = BlobBody(bench.blobs, fill.manifest, 0, len(data), fill=fill)
    first = bytes(await body.read(1000))
    await until(lambda: MOVED in fill.pieces._waiters or not source.open_answers, "the end of the window")
    assert len(fill.pieces.landing) <= 2 * NEAR
    assert first + await drain(body) == data
    assert source.asked == [(0, len(data))]


async def test_without_a_disk_one_stream_goes_past_what_nobody_wants() -> None:
    bench, source = Bench(Refusing()), Script(DATA, ranges=False)
    assert await bench.read(source, 9 * PIECE, 10 * PIECE) == DATA[9 * PIECE : 10 * PIECE]


async def test_without_a_disk_one_stream_does_not_wait_for_who_has_missed_it() -> None:
    data = content(40 * PIECE)
    bench, source = Bench(Refusing()), Script(data)
    fill, _ = await bench.fills.join(Manifest(name_of(data), len(data)), source, stream=True)
    late = BlobBody(bench.blobs, fill.manifest, 20 * PIECE, 39 * PIECE, fill=fill)
    assert bytes(await late.read(1000)) == data[20 * PIECE : 20 * PIECE + 1000]
    early = BlobBody(bench.blobs, fill.manifest, 0, 39 * PIECE, fill=fill)
    got = asyncio.create_task(drain(early))
    late.close()
    assert await got == data[: 39 * PIECE]


async def test_a_store_that_makes_no_blob_costs_the_cache_only() -> None:
    class Readonly(DictBlobs):
        async def create(self, manifest: Manifest) -> Manifest:
            raise OSError("read-only")

    bench, source = Bench(Readonly()), Script(DATA)
    assert await bench.read(source) == DATA
    await bench.idle()
    assert bench.fills.trouble and bench.blobs.pieces == {}
