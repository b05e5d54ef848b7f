"""A verdict that is remembered stands only as long as all that it went by: rules, facts, bytes, client, time."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from proxy_addon.answer.facts import FactFinder
from proxy_addon.answer.settled import Grounds, Settled
from proxy_addon.core.messages import Reply
from proxy_addon.hub.resources import Repo, Subject
from proxy_addon.policy.judge import Policy
from tests.conftest import Starter
from tests.engine.rig import Clock, Rig, request_for
from tests.hub import TestHub

H = "https://huggingface.co"
URL = f"{H}/acme/tiny/resolve/main/config.json"
LICENCE = "version: 1\nrules:\n  - {id: lic-nc, effect: deny, match: {license: {commercial_use: 'no'}}}\n"


def quick(r: Rig, url: str = URL, client: str = "127.0.0.1") -> Reply:
    found = r.parts.engine.quick(replace(request_for("GET", url), client=client))
    assert found is not None, "not from memory"
    return found


async def warmed(r: Rig, url: str = URL) -> None:
    """In memory, with a verdict that is remembered."""
    for _ in range(2):
        assert (await r.get(url)).status == 200
        await r.idle()
    for _ in range(2):
        assert quick(r, url).status == 200


@pytest.fixture
def book(tmp_path: Path) -> Path:
    return tmp_path / "rules.yaml"


async def test_other_rules_hold_at_once(hub: TestHub, start: Starter, book: Path) -> None:
    book.write_text(LICENCE)
    r = await start(rules=(book,))
    await warmed(r)
    book.write_text(LICENCE + "  - {id: tiny, effect: deny, match: {repo: acme/tiny}}\n")
    await asyncio.to_thread(r.parts.rulebook.open)
    assert quick(r).headers.get("X-Policy-Rule") == "tiny"
    book.write_text(LICENCE)
    await asyncio.to_thread(r.parts.rulebook.open)
    assert quick(r).status == 200


async def test_an_approval_ends_while_its_file_is_warm(hub: TestHub, start: Starter, book: Path, clock: Clock) -> None:
    last: date = datetime.now(UTC).date() + timedelta(days=2)
    book.write_text(
        "version: 1\nrules:\n  - {id: ask, effect: require_approval, match: {repo: acme/*}}\n"
        f"approvals:\n  - {{id: AP-1, match: {{repo: acme/tiny}}, approved_by: x, expires: {last}}}\n"
    )
    midnight = datetime.combine(last + timedelta(days=1), datetime.min.time(), UTC).timestamp()
    clock.leap(midnight - time.time() - 20)
    r = await start(rules=(book,))
    await warmed(r)
    clock.leap(21)
    assert quick(r).headers.get("X-Policy-Rule") == "ask"


async def test_a_card_that_says_otherwise_now(hub: TestHub, start: Starter, book: Path, clock: Clock) -> None:
    book.write_text("version: 1\n")
    r = await start(rules=(book,), freshness__ref=5.0, freshness__api=5.0)
    url = f"{H}/acme/nc/resolve/main/config.json"
    await warmed(r, url)
    book.write_text(LICENCE)
    await asyncio.to_thread(r.parts.rulebook.open)
    for _ in range(2):
        assert (await r.get(url)).header("X-Policy-Rule") == "lic-nc"
    assert quick(r, url).headers.get("X-Policy-Rule") == "lic-nc"
    hub.repo("acme/nc").commit({"README.md": "---\nlicense: mit\n---\n"})
    clock.leap(10)
    assert (await r.get(url)).status == 200
    assert quick(r, url).status == 200


async def test_bytes_that_are_others_now(hub: TestHub, start: Starter, book: Path, clock: Clock) -> None:
    repo, other = hub.repo("acme/tiny"), f"{H}/acme/tiny/resolve/main/other.json"
    repo.commit({"other.json": '{"bad": true}'})
    book.write_text("version: 1\n")
    r = await start(rules=(book,), freshness__ref=5.0)
    await warmed(r, other)
    bad = "git:" + ((await r.get(other)).header("ETag") or "").strip('"')
    book.write_text(f'version: 1\nrules:\n  - {{id: bad, effect: deny, match: {{digest: "{bad}"}}}}\n')
    await asyncio.to_thread(r.parts.rulebook.open)
    await warmed(r)
    repo.commit({"config.json": '{"bad": true}'})
    clock.leap(10)
    assert (await r.get(URL)).header("X-Policy-Rule") == "bad"
    assert quick(r).headers.get("X-Policy-Rule") == "bad"


async def test_another_client_is_judged_by_itself(hub: TestHub, start: Starter, book: Path) -> None:
    book.write_text("version: 1\nrules:\n  - {id: lab, effect: deny, match: {client: 10.0.0.0/8, repo: acme/*}}\n")
    r = await start(rules=(book,))
    await warmed(r)
    assert quick(r, client="10.0.0.1").headers.get("X-Policy-Rule") == "lab"
    assert quick(r).status == 200


def test_how_many_are_remembered_has_a_bound() -> None:
    settled = Settled(FactFinder.__new__(FactFinder), most=10)
    policy, request = Policy(), request_for("GET", URL)
    for number in range(100):
        subject = Subject(Repo("huggingface", "models", f"a/{number}"), "main", "x")
        settled.keep(policy, subject, request, (), Grounds({}), 0.0)
        assert settled.find(policy, subject, request, None, 1.0) == ()
        assert len(settled) <= 10
        assert settled.find(policy, subject, request, None, 60.0) is None
