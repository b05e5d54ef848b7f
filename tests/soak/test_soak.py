"""A short run among faults, and that the judge and the ledger can say no."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from proxy_addon.store.contract import PIECE
from tests.soak import report
from tests.soak.crowd import Client, Got, Manner
from tests.soak.judge import Reading, Verdict, Want
from tests.soak.ledger import KINDS, Ledger
from tests.soak.stage import Order, drawn, run
from tests.soak.wire import Head
from tests.soak.world import Version

DATA = random.Random(1).randbytes(200_000)
OLD, NEW = Version(DATA, "old", "a" * 40), Version(DATA[::-1], "new", "b" * 40)
FILE = Want("file", "https://huggingface.co/x/y/resolve/main/z", versions=lambda since, until: [OLD, NEW], etag=True)
HEAD = {"content-length": str(len(DATA)), "etag": '"new"', "x-repo-commit": "b" * 40, "cache-status": "hubgate; hit"}


@pytest.mark.timeout(400)
def test_a_short_run_among_all_sorts_of_faults(capsys: pytest.CaptureFixture[str]) -> None:
    order = Order(seconds=12, seed=1, clients=12)
    print(report.begins(order))
    outcome = run(order, lambda ledger, keeper: None, 60)
    print("\n".join([*report.table(outcome), *report.faults(outcome)]))
    assert outcome.good, outcome.ledger.faults
    ledger = outcome.ledger
    assert len(ledger.troubles) >= 5 and all(trouble.end < time.monotonic() for trouble in ledger.troubles)
    assert sum(count for (_, what), count in ledger.requests.items() if what.startswith("right")) > 50
    assert ledger.requests["without the hub", "right"] == outcome.reckoning.complete > 0
    assert outcome.keeper.running == [None, None] and outcome.kept is None
    assert not outcome.keeper.folder.exists()
    assert f"seed {order.seed}" in capsys.readouterr().out


def judged(want: Want, status: int, head: dict[str, str], body: bytes, whole: bool = True) -> Verdict:
    reading = Reading(want, since=10.0)
    reading.head(status, head, 11.0)
    for at in range(0, len(body), 65536):
        reading.chunk(body[at : at + 65536])
    return reading.over(whole)


def test_a_right_reply_is_right_and_a_cut_one_is_a_prefix() -> None:
    assert judged(FILE, 200, HEAD, NEW.data) == Verdict("right", served=True)
    assert judged(FILE, 200, HEAD, NEW.data[:70_000], whole=False) == Verdict("cut, a prefix")
    part = replace(FILE, range=(-100, None))
    spoken = HEAD | {"content-length": "100", "content-range": f"bytes {len(DATA) - 100}-{len(DATA) - 1}/{len(DATA)}"}
    assert judged(part, 206, spoken, NEW.data[-100:]) == Verdict("right", served=True)
    assert judged(FILE, 200, HEAD | {"cache-status": "hubgate; hit; detail=offline"}, NEW.data).served


@pytest.mark.parametrize(("size", "kind"), [(PIECE + 9, "wrong part"), (PIECE, "wrong bytes")])
def test_a_wrong_part_is_another_thing_where_it_could_not_be_proven(size: int, kind: str) -> None:
    right = Version(bytes(size), "new", "b" * 40)
    part = replace(FILE, range=(0, 99), versions=lambda since, until: [right])
    head = HEAD | {"content-length": "100", "content-range": f"bytes 0-99/{size}"}
    assert [told for told, _ in judged(part, 206, head, b"x" * 100).faults] == [kind]
    whole = replace(part, range=None)
    wrong = judged(whole, 200, HEAD | {"content-length": str(size)}, b"x" + bytes(size - 1))
    assert [told for told, _ in wrong.faults] == ["wrong bytes"]


@pytest.mark.parametrize(
    ("head", "body", "whole"),
    [
        ({}, NEW.data[:-1] + b"\0", True),
        ({}, NEW.data[:70_000] + b"\0", False),
        ({}, NEW.data[:-5], True),
        ({"content-length": "62"}, b"", False),
        ({"content-length": str(len(DATA) - 5)}, NEW.data[:-5], True),
        ({}, OLD.data, True),
        ({"etag": '"old"'}, NEW.data, True),
        ({"x-repo-commit": "c" * 40}, NEW.data, True),
    ],
    ids=[
        "a byte",
        "a byte, then cut",
        "short",
        "another length, then cut",
        "short and said so",
        "of a commit",
        "ETag",
        "commit",
    ],
)
def test_wrong_bytes_are_told(head: dict[str, str], body: bytes, whole: bool) -> None:
    verdict = judged(FILE, 200, HEAD | head, body, whole)
    told = "wrong bytes" if whole else "wrong bytes, then cut"
    assert [kind for kind, _ in verdict.faults] == [told] and not verdict.served


@pytest.mark.parametrize(
    "span", ["bytes 0-99/200000", "bytes 10-110/200000", "bytes 10-109/200001", "", "bytes */200000"]
)
def test_another_range_than_was_asked_is_told(span: str) -> None:
    want = replace(FILE, range=(10, 109))
    head = HEAD | {"content-length": "100", "content-range": span}
    assert judged(
        want, 206, HEAD | {"content-length": "100", "content-range": "bytes 10-109/200000"}, NEW.data[10:110]
    ).served
    assert [kind for kind, _ in judged(want, 206, head, NEW.data[10:110]).faults] == ["wrong bytes"]


def test_a_revision_that_was_not_current_is_told_unless_it_is_marked() -> None:
    want = replace(FILE, versions=lambda since, until: [NEW] if since > 0 else [OLD, NEW], stale=5.0)
    head = HEAD | {"etag": '"old"', "x-repo-commit": "a" * 40}
    assert [kind for kind, _ in judged(want, 200, head, OLD.data).faults] == ["wrong bytes"]
    for how in ("hit; detail=stale-if-error", "fwd=uri-miss; fwd-status=302; detail=offline"):
        marked = head | {"cache-status": f"hubgate; {how}"}
        assert judged(want, 200, marked, OLD.data).outcome == "right, marked stale"


@pytest.mark.parametrize(
    ("to", "kind"), [("closed", "given to a wrong token"), ("denied", "denied by a rule, but given")]
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_is_closed_and_was_given_is_told(to: str, kind: str, method: str) -> None:
    want = replace(FILE, to=to, method=method)  # type: ignore[arg-type]
    assert [told for told, _ in judged(want, 200, HEAD, NEW.data).faults] == [kind]
    assert [told for told, _ in judged(want, 206, HEAD, NEW.data[:5], whole=False).faults] == [kind]
    for status in (401, 403, 404):
        assert judged(want, status, {}, b"no").served


def test_a_document_that_is_wrong_is_told() -> None:
    want = Want("document", FILE.url, check=lambda body, since, until: None if body == b"{}" else "another")
    assert judged(want, 200, {}, b"{}").served
    assert [kind for kind, _ in judged(want, 200, {}, b"[]").faults] == ["wrong bytes"]
    page = {"content-type": "text/html", "cache-status": "hubgate; fwd=bypass"}
    assert judged(want, 200, page, b"<html>").outcome == "the hub's own page"
    kept = page | {"cache-status": "hubgate; hit; ttl=59"}
    assert [kind for kind, _ in judged(want, 200, kept, b"<html>").faults] == ["wrong bytes"]


class Asker(Client):
    """Gets this for whatever it asks."""

    def __init__(self, ledger: Ledger, got: Got) -> None:
        super().__init__(1, None, ledger, None, random.Random(1), away=0.0)  # type: ignore[arg-type]
        self.got = got

    async def asked(self, *_: object, **__: object) -> Got:
        return self.got


async def fault_of(ledger: Ledger, want: Want, outcome: str) -> list[str]:
    await Asker(ledger, Got(Verdict(outcome))).served(want)
    return [fault.kind for fault in ledger.faults]


class Led(Client):
    """Is led there by whatever it asks first."""

    def __init__(self, location: str) -> None:
        super().__init__(1, None, Ledger(), None, random.Random(1))  # type: ignore[arg-type]
        self.location, self.hosts = location, list[str]()

    async def _exchange(self, want: Want, manner: Manner, which: int, since: float) -> Got:
        self.hosts.append(urlsplit(want.url).hostname or "")
        status = 302 if len(self.hosts) == 1 else 200
        return Got(Verdict(f"status {status}"), head=Head(status, {"location": self.location}))


@pytest.mark.parametrize(("location", "outcome", "hosts"), [
    ("https://us.aws.cdn.hf.co/x", "status 200", ["huggingface.co", "us.aws.cdn.hf.co"]),
    ("/x", "status 200", ["huggingface.co", "huggingface.co"]),
    ("https://127.0.0.1:1/x", "status 302", ["huggingface.co"]),
    ("https://[::1]/x", "status 302", ["huggingface.co"]),
])  # fmt: skip
async def test_a_client_is_led_to_names_alone(location: str, outcome: str, hosts: list[str]) -> None:
    client = Led(location)
    assert (await client.asked(FILE, Manner(), door=0)).verdict.outcome == outcome
    assert client.hosts == hosts


async def test_who_is_not_served_is_told_unless_a_trouble_excuses_it() -> None:
    assert await fault_of(Ledger(), FILE, "status 502") == ["not served"]
    for outcome in ("status 502", "cut, a prefix"):
        ledger = Ledger()
        with ledger.trouble("hub cuts", "hub"):
            assert await fault_of(ledger, FILE, outcome) == []
        assert await fault_of(ledger, FILE, outcome) == [], "it has just ended"
        ledger.troubles[0].end -= 60
        assert await fault_of(ledger, FILE, outcome) == ["not served"]


async def test_no_word_at_all_is_excused_by_what_happens_to_the_proxy_alone() -> None:
    ledger = Ledger()
    with ledger.trouble("hub cuts", "hub"), ledger.trouble("disk full", "local"):
        assert await fault_of(ledger, FILE, "no proxy") == ["not served"]
    with ledger.trouble("kill -9", "proxy"):
        assert len(await fault_of(ledger, FILE, "no proxy")) == 1


async def test_a_cut_reply_may_begin_with_a_lie_of_the_hub_and_a_whole_one_may_not() -> None:
    for kind, excused in (("wrong bytes, then cut", True), ("wrong part", True), ("wrong bytes", False)):
        ledger, got = Ledger(), Got(Verdict("cut", ((kind, "x"),)))
        await Asker(ledger, got).served(FILE)
        assert ledger.counts == {kind: 1}
        with ledger.trouble("wrong bytes", "hub"):
            await Asker(ledger, got).served(FILE)
        assert ledger.of(kind) == (1 if excused else 2)


async def test_a_disk_excuses_nothing() -> None:
    ledger = Ledger()
    with ledger.trouble("disk full", "local"):
        assert await fault_of(ledger, FILE, "status 500") == ["not served"]


async def test_a_pinned_file_that_is_not_served_is_a_lost_blob() -> None:
    pinned = replace(FILE, kept=True)
    ledger = Ledger()
    ledger.kept(True)
    with ledger.trouble("hub is gone", "hub"):
        assert await fault_of(ledger, pinned, "status 504") == ["lost blob"]
    ledger.kept(False)
    with ledger.trouble("hub is gone", "hub"):
        assert await fault_of(ledger, pinned, "status 504") == ["lost blob"], "not known to be here: excused"
    ledger.kept(False)
    assert ledger.doubts == 2, "who had them fetched between the two must do it again"


async def test_what_the_judge_says_reaches_the_table() -> None:
    ledger = Ledger()
    with ledger.trouble("wrong bytes", "hub"), ledger.trouble("kill -9", "proxy"):
        await Asker(ledger, Got(Verdict("given", (("given to a wrong token", "x"),)))).served(FILE)
        await Asker(ledger, Got(Verdict("wrong", (("wrong bytes", "x"),)))).served(FILE)
    assert [fault.kind for fault in ledger.faults] == ["given to a wrong token", "wrong bytes"], "nothing excuses these"
    assert {"given to a wrong token", "wrong bytes", "lost blob"} < set(KINDS)


def test_the_plan_is_the_seeds() -> None:
    names = ["a", "b", "c", "d"]
    once, again = (drawn(names, random.Random("1/x")) for _ in range(2))
    first = [next(once) for _ in range(12)]
    assert first == [next(again) for _ in range(12)]
    assert all(sorted(first[at : at + 4]) == names for at in (0, 4, 8)), "a short run meets all of them"
