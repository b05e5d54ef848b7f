"""Whose a link, a token or a hash is: what is kept of it, and that no claim pushes out another."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import pytest

from proxy_addon.access.provenance import LASTS, LONGEST, MOST, Provenance
from proxy_addon.core.messages import StoredResponse
from proxy_addon.hub.resources import Repo, Subject
from tests.contracts.model import DictResponses

HASH = "sha256:" + "a" * 64
COMMITS = ["1" * 40, "2" * 40]


class Hands:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Counting(DictResponses):
    """Counts what is written; a disk that is `broken` refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.writes, self.broken = 0, False

    async def get(self, key: str) -> Sequence[StoredResponse]:
        if self.broken:
            raise OSError(5, "broken")
        return await super().get(key)

    async def put(self, key: str, variants: Sequence[StoredResponse]) -> None:
        if self.broken:
            raise OSError(28, "full")
        self.writes += 1
        await super().put(key, variants)


def repo(name: str, type: str = "models") -> Repo:
    return Repo("huggingface", type, name)


def at(name: str, path: str | None = "w.bin", rev: str | None = COMMITS[0]) -> Subject:
    return Subject(repo(name), rev, path)


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def rows() -> Counting:
    return Counting()


@pytest.fixture
def known(rows: Counting, clock: Hands) -> Provenance:
    return Provenance(rows, clock, clock)


async def fresh(rows: Counting, name: str = HASH) -> tuple[Subject, ...]:
    """What a process that starts now finds."""
    return await Provenance(rows, Hands(), Hands()).find(name)


def test_a_link_is_known_whole_however_it_is_escaped_and_for_a_day(known: Provenance, clock: Hands) -> None:
    url = "https://cdn-lfs.hf.co/repos/x?name=a%3Bb&Signature=FAKE"
    known.link(url, at("o/a"), at("o/b"))
    assert known.of_link(url) == known.of_link(url.replace("%3B", "%3b")) == (at("o/a"), at("o/b"))
    assert known.of_link(url.replace("FAKE", "FAKF")) == known.of_link(url.partition("?")[0]) == ()
    known.link(url, at("o/c"))
    clock.now += LASTS - 1
    assert known.of_link(url) == (at("o/c"),)
    clock.now += 2
    assert known.of_link(url) == ()


def test_a_token_is_known_whole_and_for_a_day(known: Provenance, clock: Hands) -> None:
    known.token("xet_1", Subject(repo("o/a"), "main"))
    assert known.of_token("xet_1") == Subject(repo("o/a"), "main")
    assert known.of_token("xet_2") is None and known.of_token("") is None
    clock.now += LASTS + 1
    assert known.of_token("xet_1") is None


async def test_what_was_learned_outlives_the_process(known: Provenance, rows: Counting) -> None:
    site = Subject(Repo("modelscope", "datasets", "o/d", "ai"), "master", "é ü/\ud800.bin")
    await known.learn(HASH, at("o/a"), site, at("o/w", None))
    whole = Subject(repo("o/w"), COMMITS[0], None, HASH)
    assert await known.find(HASH) == await fresh(rows) == (at("o/a"), site, whole)
    await known.learn("id:" + "b" * 24, Subject(repo("o/a")))
    assert await fresh(rows, "id:" + "b" * 24) == (Subject(repo("o/a")),)
    assert await fresh(rows, "sha256:" + "c" * 64) == ()


async def test_memory_alone_does_not_know_what_only_the_disk_does(known: Provenance, rows: Counting) -> None:
    await known.learn(HASH, at("o/a"))
    other = Provenance(rows, Hands(), Hands())
    with pytest.raises(LookupError):
        other.seen(HASH)
    assert not other.knows(HASH, at("o/a"))
    await other.find(HASH)
    assert other.seen(HASH) == (at("o/a"),) and other.knows(HASH, at("o/a"))


async def test_only_news_are_written(known: Provenance, rows: Counting, clock: Hands) -> None:
    for _ in range(3):
        await known.learn(HASH, at("o/a"), at("O/A"))
    assert rows.writes == 1
    for rev in (*COMMITS, *COMMITS):  # two who ask for two commits in turn
        await known.learn(HASH, at("o/a", rev=rev))
    assert rows.writes == 1 and await known.find(HASH) == (at("o/a", rev=COMMITS[1]),)
    clock.now += 3601
    await known.learn(HASH, at("o/a", rev=COMMITS[0]))
    assert rows.writes == 2 and await fresh(rows) == (at("o/a", rev=COMMITS[0]),)
    await known.learn(HASH, at("o/a", rev=None))
    assert rows.writes == 2 and await known.find(HASH) == (at("o/a"),)


async def test_a_restart_writes_nothing_that_is_there(known: Provenance, rows: Counting, clock: Hands) -> None:
    await known.learn(HASH, at("o/a"))
    await Provenance(rows, clock, clock).learn(HASH, at("o/a"))
    assert rows.writes == 1


async def test_no_claim_pushes_out_another(known: Provenance, rows: Counting) -> None:
    first = [at(f"o/{n}") for n in range(MOST)]
    await known.learn(HASH, *first)
    for n in range(20):
        await known.learn(HASH, at(f"evil/{n}"))
    assert await known.find(HASH) == await fresh(rows) == tuple(first)
    assert known.knows(HASH, at("evil/3")) and rows.writes == 1


async def test_a_repo_with_many_copies_leaves_room_for_others(known: Provenance, rows: Counting) -> None:
    await known.learn(HASH, *(at("many/x", f"{n}.bin") for n in range(MOST)))
    assert [each.path for each in await known.find(HASH)] == [f"{n}.bin" for n in range(MOST)]
    await known.learn(HASH, at("o/a"))
    whole = Subject(repo("many/x"), COMMITS[0], None, HASH)
    assert await known.find(HASH) == (whole, at("o/a"))
    await known.learn(HASH, at("MANY/x", "9.bin"), at("o/b"), at("o/c"), at("o/a", "second.bin"))
    assert {(each.repo.id, each.path) for each in await fresh(rows)} == {
        ("many/x", None),
        ("o/b", "w.bin"),
        ("o/c", "w.bin"),
        ("o/a", None),
    }


async def test_a_repo_that_has_the_bytes_somewhere_is_one_subject(known: Provenance) -> None:
    await known.learn(HASH, at("o/a", "x.bin"), at("o/a", "y.bin"), at("o/a", None, COMMITS[1]))
    whole = Subject(repo("o/a"), COMMITS[1], None, HASH)
    assert await known.find(HASH) == (whole,)
    await known.learn(HASH, at("o/a", "x.bin", COMMITS[1]))
    assert await known.find(HASH) == (whole,)


async def test_a_path_that_is_no_path_is_not_believed(known: Provenance, rows: Counting) -> None:
    await known.learn(HASH, at("o/a", "x" * (LONGEST + 1)))
    assert await known.find(HASH) == () and rows.writes == 0


async def test_a_disk_that_refuses_costs_memory_nothing(known: Provenance, rows: Counting) -> None:
    rows.broken = True
    await known.learn(HASH, at("o/a"))
    await known.learn(HASH, at("o/b"))
    assert await known.find(HASH) == (at("o/a"), at("o/b"))
    assert await known.find("sha256:" + "d" * 64) == ()


async def test_two_who_learn_at_once_both_reach_the_disk(clock: Hands) -> None:
    class Slow(Counting):
        """The first write ends last."""

        def __init__(self) -> None:
            super().__init__()
            self.second = asyncio.Event()

        async def put(self, key: str, variants: Sequence[StoredResponse]) -> None:
            begun = self.writes = self.writes + 1
            if begun == 1:
                await self.second.wait()
            await DictResponses.put(self, key, variants)
            self.second.set()

    slow = Slow()
    known = Provenance(slow, clock, clock)
    await asyncio.gather(known.learn(HASH, at("o/a")), known.learn(HASH, at("o/b")))
    assert await fresh(slow) == (at("o/a"), at("o/b"))


async def test_rows_hold_names_and_nothing_else(known: Provenance, rows: Counting) -> None:
    known.link("https://cdn-lfs.hf.co/x?Signature=sesame", at("o/a"))
    known.token("xet_sesame", at("o/a"))
    assert rows.rows == {}
    await known.learn(HASH, at("o/a"))
    ((key, (row,)),) = rows.rows.items()
    assert key == f"origin:{HASH}" and not row.url and not row.headers.fields
    assert [json.loads(text) for _, text in row.facts] == [["huggingface", "models", "o/a", "", COMMITS[0], "w.bin"]]


async def test_what_was_heard_is_known_before_the_disk_was_read(clock: Hands) -> None:
    reading, go = asyncio.Event(), asyncio.Event()

    class Slow(DictResponses):
        async def get(self, key: str) -> Sequence[StoredResponse]:
            reading.set()
            await go.wait()
            return await super().get(key)

    rows = Slow()
    known = Provenance(rows, clock, clock)
    learning = known.learn(HASH, at("o/a"))
    asked = [asyncio.create_task(known.find(HASH))]
    await asyncio.wait_for(reading.wait(), 60)
    learned = asyncio.create_task(learning)
    asked.append(asyncio.create_task(known.find(HASH)))
    go.set()
    for each in asked:
        assert await asyncio.wait_for(each, 60) == (at("o/a"),)
    await asyncio.wait_for(learned, 60)
    learning = known.learn(HASH, at("o/b"))
    assert known.seen(HASH) == (at("o/a"), at("o/b")), "and beside what is in memory"
    await learning
    assert known.seen(HASH) == (at("o/a"), at("o/b"))
    assert known._coming == {}


async def test_what_cannot_be_looked_up_is_not_written_over(rows: Counting, clock: Hands) -> None:
    await Provenance(rows, clock, clock).learn(HASH, at("o/a"))

    class Failing(DictResponses):
        fails = True

        async def read(self, key: str) -> Sequence[StoredResponse]:
            if self.fails:
                raise OSError("no descriptors left")
            return await super().read(key)

    failing = Failing()
    failing.rows = rows.rows
    known = Provenance(failing, clock, clock)
    await known.learn(HASH, at("o/b"))
    assert await known.find(HASH) == (at("o/b"),) and known._coming == {}
    assert await fresh(rows) == (at("o/a"),)
    failing.fails = False
    assert await known.find(HASH) == (at("o/a"), at("o/b"))
    await known.learn(HASH, at("o/c"))
    assert await fresh(rows) == (at("o/a"), at("o/b"), at("o/c"))
