"""Files of gated and private repos: the bytes are shared, the permission to have them is not."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from proxy_addon.answer.blobs import SAMPLE
from proxy_addon.answer.permission import permission
from proxy_addon.catalogue import Catalogue
from proxy_addon.core.messages import Finished, Headers, Pass
from proxy_addon.core.status import Outcome
from proxy_addon.hub import resources
from proxy_addon.hub.targets import target
from proxy_addon.store.contract import Manifest
from proxy_addon.store.local import DiskStore
from tests.conftest import Starter
from tests.engine.rig import Clock, Got, Rig, drained, request_for, rig, settings_for, until
from tests.engine.test_hostile import _joining
from tests.hub import Repo, Synthetic, TestHub

H, M = "https://huggingface.co", "https://www.modelscope.cn"
WEIGHTS = Synthetic(1_500_000, 90)
FILES: dict[str, Any] = {"README.md": "# shut\n", "config.json": '{"a": 1}', "w.bin": WEIGHTS, "x.bin": b"x" * 5000}
STORAGE: dict[str, Any] = {"w.bin": "lfs", "x.bin": "xet"}
SHUT = resources.Repo("huggingface", "models", "acme/shut")
SMALL_AND_LARGE = ["config.json", "w.bin"]


class Place:
    """One hub as this test needs it: a closed repo, its two readers and a stranger, and where its files are."""

    def __init__(self, hub: TestHub, name: str, **kind: Any) -> None:
        self.test, self.ms = hub, name.startswith("ms")
        prefix = "ms" if self.ms else "hf"
        tokens = hub.modelscope_tokens if self.ms else hub.tokens
        self.test_tokens = tokens
        self.a, self.b = f"{prefix}_alice", f"{prefix}_bob"
        for token in (self.a, self.b):
            tokens[token] = token
        storage: dict[str, Any] = STORAGE if not self.ms else {"w.bin": "lfs", "x.bin": "lfs"}
        where: dict[str, Any] = {"hub": "modelscope"} if self.ms else {}
        self.repo = hub.add(Repo("acme/shut", files=FILES, storage=storage, readers={self.a, self.b}, **kind, **where))

    def who(self, token: str) -> dict[str, str]:
        if self.ms and token.endswith("alice"):  # old SDKs send the cookie, and beside it what changes each time
            return {"Cookie": f"acw_tc={id(object())}; m_session_id={token}; x=y"}
        return {"Authorization": f"Bearer {token}"}

    @property
    def alice(self) -> dict[str, str]:
        return self.who(self.a)

    @property
    def bob(self) -> dict[str, str]:
        return self.who(self.b)

    @property
    def stranger(self) -> dict[str, str]:
        return self.who("ms_other" if self.ms else "hf_other")

    def url(self, path: str, rev: str = "", id: str = "acme/shut") -> str:
        rev = rev or ("master" if self.ms else "main")
        return f"{M}/models/{id}/resolve/{rev}/{path}" if self.ms else f"{H}/{id}/resolve/{rev}/{path}"

    def data(self, path: str) -> bytes:
        source = self.repo.file(path).source
        return bytes(source.read(0, source.size))

    def refused(self, who: dict[str, str]) -> int:
        if self.ms:
            return 404 if self.repo.private else 403
        return 401 if not who else 404 if self.repo.private else 403


@pytest.fixture(params=["hf-gated", "hf-private", "ms-gated", "ms-private"])
def place(request: pytest.FixtureRequest, hub: TestHub) -> Place:
    kind: dict[str, Any] = {"gated": "auto"} if request.param.endswith("gated") else {"private": True}
    return Place(hub, request.param, **kind)


@pytest.fixture
def hf(hub: TestHub) -> Place:
    return Place(hub, "hf", gated="auto")


@pytest.fixture(params=["hf", "ms"])
def gated(request: pytest.FixtureRequest, hub: TestHub) -> Place:
    return Place(hub, request.param, gated="auto")


def unasked(got: Got) -> bool:
    """Nobody could be asked whether he may."""
    said = (got.header("X-Error-Message") or "").startswith("hubgate: the hub cannot be asked whether you may")
    return got.status == 503 and said and "detail=access" in got.cache


# -- who gets what --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SMALL_AND_LARGE)
async def test_the_second_reader_gets_the_bytes_that_the_first_has_brought(
    hub: TestHub, start: Starter, place: Place, path: str
) -> None:
    r, url = await start(), place.url(path)
    first = await r.get(url, place.alice)
    assert (first.status, first.body) == (200, place.data(path)) and "stored" in first.cache
    await r.idle()
    hub.clear()
    second = await r.get(url, place.bob)
    assert (second.status, second.body) == (200, place.data(path))
    assert hub.bytes_sent(blob=place.repo.file(path).digest) <= (1 if place.ms else 0)  # ModelScope is asked by a GET
    assert [q for q in hub.requests() if q.headers.get("authorization") == f"Bearer {place.b}"]
    for who in ({}, place.stranger):
        for method in ("GET", "HEAD"):
            got = await r.get(url, who, method)
            assert got.status == place.refused(who) and place.data(path) not in got.body
            assert "detail=access" in got.cache and (place.ms or got.header("X-Error-Code") or not who)


async def test_a_holder_has_what_is_at_a_commit_without_a_word_upstream(
    hub: TestHub, start: Starter, place: Place
) -> None:
    r, urls = await start(), {path: place.url(path, place.repo.head) for path in FILES}
    for path, url in urls.items():
        assert (await r.get(url, place.alice)).body == place.data(path)
    await r.idle()
    hub.clear()
    for path, url in urls.items():
        data = place.data(path)
        got = await r.get(url, place.alice)
        assert got.body == data and got.cache.startswith("hubgate; hit")
        head = await r.head(url, place.alice)
        assert (head.status, head.header("Content-Length"), head.body) == (200, str(len(data)), b"")
        part = await r.get(url, place.alice | {"Range": "bytes=2-4"})
        assert (part.status, part.body, part.header("Content-Range")) == (206, data[2:5], f"bytes 2-4/{len(data)}")
        tag = head.header("ETag") or ""
        assert (await r.get(url, place.alice | {"If-None-Match": tag})).status == 304
        for reply in (got, head, part):
            assert (reply.header("Cache-Control"), reply.header("Vary")) == ("private", "Authorization, Cookie")
        if not place.ms:
            assert (head.header("X-Repo-Commit"), tag) == (place.repo.head, f'"{place.repo.file(path).digest}"')
            assert (head.header("X-Linked-Size"), head.header("X-Linked-ETag")) == (str(len(data)), tag)
    assert hub.requests() == []


async def test_the_token_goes_to_the_host_that_was_addressed_and_to_no_other(hub: TestHub, start: Starter) -> None:
    place, other = Place(hub, "hf", gated="auto"), Place(hub, "ms", private=True)
    r = await start(hubs__huggingface={"mirrors": ["https://mirror.example"]})
    for path in FILES:
        assert (await r.get(place.url(path).replace(H, "https://hf.co"), place.alice)).body == place.data(path)
        url = other.url(path).replace("www.", "")
        assert (await r.get(url, other.who("ms_bob"))).body == other.data(path)
    await r.idle()
    told = {q.host for q in hub.requests() if {"authorization", "cookie"} & q.headers.keys()}
    assert told == {"hf.co", "modelscope.cn"}
    assert {"cdn-lfs-us-1.hf.co", "cdn-lfs-cn-1.modelscope.cn"} <= {q.host for q in hub.requests()}


async def test_what_names_the_holder_is_all_that_is_shown_for_him(hub: TestHub, start: Starter) -> None:
    place = Place(hub, "ms", private=True)
    r = await start()
    assert (await r.get(place.url("w.bin"), place.alice)).status == 200
    await r.idle()
    shown = {q.headers["cookie"] for q in hub.requests() if "cookie" in q.headers}
    assert shown == {"m_session_id=ms_alice"}
    junk = {"Cookie": "m_session_id=junk"}
    assert (await r.get(place.url("w.bin"), junk | {"Authorization": "Bearer ms_bob"})).status == 200
    assert (await r.get(place.url("w.bin"), junk)).status == 404
    assert (await r.get(place.url("w.bin"), {"Cookie": "m_session_id=; other=ms_alice"})).status == 404


async def test_tokens_that_look_alike_are_not_alike(hub: TestHub, start: Starter, hf: Place) -> None:
    r, url = await start(), hf.url("w.bin", hf.repo.head)
    assert (await r.get(url, hf.alice)).status == 200
    basic = base64.b64encode(b"user:hf_alice").decode()
    odd = ["Bearer HF_ALICE", "Bearer hf_alic", "Bearer hf_alice2", "Bearer ", "hf_alice", "", "Bearer hf_alice, x"]
    await r.idle()
    hub.clear()
    for shown in odd:
        assert (await r.get(url, {"Authorization": shown})).status in (401, 403), shown
    sent = {q.headers.get("authorization") for q in hub.requests()}
    assert sent >= {shown.strip() for shown in odd if shown} and "Bearer hf_alice" not in sent
    assert (await r.get(f"{url}?token=hf_alice&access_token=hf_alice")).status == 401
    assert (await r.get(url, {"Authorization": f"Basic {basic}"})).status in (200, 401)
    assert (await r.get(url, {"Cookie": "token=hf_alice"})).status == 401
    assert (await r.get(url, hf.stranger)).status == 403, "no lease was had by what another line has shown"


@pytest.mark.parametrize("lines", [("hf_alice", "hf_other"), ("hf_other", "hf_alice"), ("", "hf_alice")])
async def test_two_tokens_are_the_hubs_to_read_each_time(
    hub: TestHub, start: Starter, hf: Place, lines: tuple[str, str]
) -> None:
    """Which of them counts is not for us to say: they are nobody's lease, and the hub is asked with both."""
    r, url = await start(), hf.url("w.bin", hf.repo.head)
    assert (await r.get(url, hf.alice)).status == 200
    await r.idle()
    both = [("Authorization", f"Bearer {token}" if token else "") for token in lines]
    request = replace(request_for("GET", url), headers=Headers(both))
    engine = r.parts.engine
    assert permission(engine._means, request, SHUT) is None
    hub.clear()
    assert engine.quick(request) is None
    reply = await engine.handle(request)
    assert not isinstance(reply, Pass)
    assert (await drained(reply)).reply.outcome.detail == "access"
    assert hub.requests(host="huggingface.co"), "the hub was asked"
    one = replace(request, headers=Headers(both[1:]))
    assert permission(engine._means, one, SHUT) is not None


async def test_a_lease_is_for_the_repo_by_its_name_and_type(hub: TestHub, start: Starter, hf: Place) -> None:
    hub.add(Repo("acme/shut", "dataset", files=FILES, gated="auto", readers={hf.b}))
    hub.add(Repo("acme/shut2", files=FILES, gated="auto", readers={hf.b}))
    hub.rename("acme/was-shut", "acme/shut")
    r = await start()
    assert (await r.get(hf.url("config.json"), hf.alice)).status == 200
    assert (await r.get(hf.url("config.json", id="acme/shut2"), hf.alice)).status == 403
    assert (await r.get(f"{H}/datasets/acme/shut/resolve/main/config.json", hf.alice)).status == 403
    for name in ("acme/was-shut", "ACME/Shut"):
        for who in (hf.alice, hf.stranger):
            moved = await r.get(hf.url("config.json", id=name), who)
            assert moved.status == 307 and "/acme/shut/resolve/main/config.json" in (moved.header("Location") or "")
    assert (await r.get(hf.url("config.json"), hf.alice)).status == 200


async def test_a_file_of_a_closed_repo_that_is_open_to_all_lets_nobody_in(
    hub: TestHub, start: Starter, hf: Place
) -> None:
    r = await start()
    assert (await r.get(hf.url("w.bin"), hf.alice)).status == 200
    await r.idle()
    card = hf.repo.file("README.md")
    facts = {"X-Repo-Commit": hf.repo.head, "ETag": f'"{card.oid}"', "Content-Length": str(card.size)}
    hub.knob(path="/acme/shut/resolve/*/README.md", status=200, body="# shut\n", headers=facts)
    for path in ("README.md", "w.bin", "README.md", "w.bin"):
        for rev in ("main", hf.repo.head):
            got = await r.get(hf.url(path, rev), hf.stranger)
            assert got.status == (200 if path == "README.md" else 403), (path, rev)
    hub.unknob()


async def test_a_path_that_is_not_there_is_told_to_holders_only_and_proves_nothing(
    hub: TestHub, start: Starter, hf: Place
) -> None:
    r, url = await start(), hf.url("no.json", hf.repo.head)
    assert (await r.get(hf.url("config.json"), hf.alice)).status == 200
    for _ in range(2):
        got = await r.get(url, hf.alice)
        assert (got.status, got.header("X-Error-Code")) == (404, "EntryNotFound")
    assert got.cache.startswith("hubgate; hit")
    url = hf.url("none.json", hf.repo.head)
    assert (await r.get(url)).status == 401
    told = {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": hf.repo.head}
    absent = hub.knob(path="*/none.json", status=404, headers=told)
    assert (await r.get(url, hf.stranger)).status == 404
    hub.unknob(absent)
    hf.repo.commit({"other.txt": "x"})
    hub.knob(path="*/none.json", status=403)
    assert (await r.get(url, hf.alice)).status == 403, "what a stranger was told is not what a holder is told"
    hub.unknob()
    assert (await r.get(url, hf.stranger)).status == 403
    assert (await r.get(hf.url("config.json"), hf.stranger)).status == 403


# -- what is refused ------------------------------------------------------------------------------------------------


async def test_a_refusal_is_shared_with_nobody_not_even_in_flight(hub: TestHub, start: Starter, place: Place) -> None:
    r, url = await start(), place.url("w.bin")
    assert (await r.get(url)).status == place.refused({})
    hub.knob(host="www.modelscope.cn" if place.ms else "huggingface.co", hold="all", hold_at=-1)
    asking = [asyncio.ensure_future(r.get(url, who)) for who in (place.stranger, place.alice, {}, place.stranger)]
    await asyncio.to_thread(hub.wait, 3, host="www.modelscope.cn" if place.ms else "huggingface.co")
    hub.unknob()
    hub.release("all")
    refused, had, anonymous, again = await asyncio.gather(*asking)
    assert [g.status for g in (refused, anonymous, again)] == [
        place.refused(who) for who in (place.stranger, {}, place.stranger)
    ]
    assert had.body == place.data("w.bin")
    await r.idle()
    assert (await r.get(url, place.bob)).body == place.data("w.bin")


async def test_who_was_refused_and_then_let_in_is_let_in_at_once(hub: TestHub, start: Starter, place: Place) -> None:
    r, url, readers = await start(), place.url("w.bin"), place.repo.admitted
    place.repo.admitted = frozenset()
    assert (await r.get(url, place.alice)).status == place.refused(place.alice)
    place.repo.admitted = readers
    assert (await r.get(url, place.alice)).body == place.data("w.bin")


async def test_a_token_that_was_taken_back_is_good_for_no_longer_than_the_lease(
    hub: TestHub, start: Starter, clock: Clock, place: Place
) -> None:
    r, url = await start(), place.url("w.bin", place.repo.head)
    for who in (place.alice, place.bob):
        assert (await r.get(url, who)).status == 200
    await r.idle()
    place.repo.admitted = frozenset({place.b})
    clock.leap(295)
    assert (await r.get(url, place.alice)).status == 200
    clock.leap(6)
    hub.clear()
    assert (await r.get(url, place.alice)).status == place.refused(place.alice)
    hub.clear()
    assert (await r.get(url, place.bob)).body == place.data("w.bin")
    proofs = [q for q in hub.requests() if place.b in str(q.headers)]
    assert len(proofs) == (2 if place.ms else 1) and sum(q.sent for q in proofs if q.blob) <= 1


async def test_a_refusal_ends_the_lease_for_all_of_the_repo(hub: TestHub, start: Starter, place: Place) -> None:
    r, url = await start(), place.url("w.bin", place.repo.head)
    assert (await r.get(url, place.alice)).status == 200
    assert (await r.get(url, place.bob)).status == 200
    await r.idle()
    del place.test_tokens[place.a]
    place.repo.admitted = frozenset({place.b})
    assert (await r.get(url, place.alice)).status == 200
    fresh = place.alice | {"Cache-Control": "no-store"}
    assert (await r.get(place.url("config.json"), fresh)).status in (401, 403, 404)
    assert (await r.get(url, place.alice)).status in (401, 403, 404)
    assert (await r.get(url, place.bob)).status == 200


async def test_where_the_bytes_are_refused_the_lease_ends(hub: TestHub, start: Starter, hf: Place) -> None:
    r = await start()
    assert (await r.head(hf.url("config.json"), hf.alice)).status == 200
    hub.knob(path="/api/resolve-cache/*", status=403)
    hub.knob(path="/acme/shut/resolve/*", method="GET", status=403, body="no")
    got = await r.get(hf.url("config.json"), hf.alice)
    assert (got.status, got.body) == (403, b"no")
    hub.stop()
    assert unasked(await r.get(hf.url("config.json", hf.repo.head), hf.alice))


async def test_that_a_file_is_gone_ends_no_lease(hub: TestHub, start: Starter, hf: Place) -> None:
    r, here, gone = await start(), hf.url("config.json", hf.repo.head), hf.url("w.bin", hf.repo.head)
    assert (await r.get(here, hf.alice)).status == 200 == (await r.head(gone, hf.alice)).status
    await r.idle()
    hub.knob(host="cdn-lfs*", status=403)
    hub.knob(path="*/w.bin", method="GET", status=404, body="gone", headers={"X-Error-Code": "EntryNotFound"})
    assert (await r.get(gone, hf.alice)).status == 404
    hub.stop()
    assert (await r.get(here, hf.alice)).status == 200


# -- without the hub ------------------------------------------------------------------------------------------------

DOWN: dict[str, Any] = {
    "refused": lambda hub: hub.stop(),
    "500": lambda hub: hub.knob(host="*", status=500),
    "503": lambda hub: hub.knob(host="*", status=503),
    "429": lambda hub: hub.knob(host="*", status=429, retry_after=30),
    "silent": lambda hub: hub.stop(silent=True),
}


@pytest.mark.parametrize(
    ("name", "fails"), [*(("hf", fails) for fails in DOWN), ("ms", "refused"), ("ms", "503"), ("ms", "429")]
)
async def test_while_the_hub_is_down_a_lease_is_good_to_its_end(
    hub: TestHub, start: Starter, clock: Clock, name: str, fails: str
) -> None:
    gated = Place(hub, name, gated="auto")
    r, public = await start(upstream__connect_timeout=4.0), gated.url("old.bin", id="acme/tiny")
    pinned, branch = gated.url("w.bin", gated.repo.head), gated.url("w.bin")
    for url, who in ((pinned, gated.alice), (branch, gated.alice), (public, {})):
        assert (await r.get(url, who)).status == 200
    await r.idle()
    clock.leap(290)
    DOWN[fails](hub)
    for url in (pinned, branch):
        assert (await r.get(url, gated.alice)).body == gated.data("w.bin")
        refused = await r.get(url, gated.stranger)
        assert unasked(refused) if fails != "429" else refused.status == 429
        assert (await r.get(url)).status == {"500": 500, "429": 429}.get(fails, 503)
    clock.leap(30 if fails != "429" else 11)
    assert (await r.get(public, {})).status == 200
    for url in (pinned, branch):
        late = await r.get(url, gated.alice)
        assert unasked(late) if fails != "429" else late.status == 429
        assert late.header("Retry-After")


async def test_past_its_end_a_lease_stands_in_as_long_as_the_operator_says(
    hub: TestHub, start: Starter, clock: Clock, gated: Place
) -> None:
    r, url = await start(access__offline_grace=3600.0), gated.url("w.bin", gated.repo.head)
    for asked in (url, gated.url("w.bin")):
        assert (await r.get(asked, gated.alice)).status == 200
    await r.idle()
    hub.stop()
    clock.leap(3000)
    for asked in (url, gated.url("w.bin")):
        got = await r.get(asked, gated.alice)
        assert got.body == gated.data("w.bin") and "detail=offline" in got.cache
        assert (await r.get(asked, gated.stranger)).status == 503
    clock.leap(1000)
    assert unasked(await r.get(url, gated.alice))
    hub.start()
    clock.leap(20)
    gated.repo.admitted = frozenset()
    assert (await r.get(url, gated.alice)).status == 403
    hub.stop()
    assert unasked(await r.get(url, gated.alice))


async def test_grace_is_for_a_hub_that_is_down_and_not_for_one_that_refuses(
    hub: TestHub, start: Starter, clock: Clock, gated: Place
) -> None:
    r, url = await start(access__offline_grace=3600.0), gated.url("w.bin", gated.repo.head)
    assert (await r.get(url, gated.alice)).status == 200
    await r.idle()
    gated.repo.admitted = frozenset()
    clock.leap(301)
    assert (await r.get(url, gated.alice)).status == 403
    hub.stop()
    assert unasked(await r.get(url, gated.alice)), "it was refused since"


async def test_no_lease_outlives_the_process(hub: TestHub, start: Starter, place: Place) -> None:
    r, url = await start(access__offline_grace=3600.0), place.url("w.bin", place.repo.head)
    assert (await r.get(url, place.alice)).status == 200
    await r.idle()
    await r.close()
    hub.stop()
    again = await start(access__offline_grace=3600.0)
    for who in (place.alice, place.stranger):
        assert unasked(await again.get(url, who))
    assert (await again.get(url)).status == 504
    hub.start()
    await again.close()
    once_more = await start()
    got = await once_more.get(url, place.alice)
    assert got.body == place.data("w.bin") and hub.bodies_of(place.repo.file("w.bin").digest) < 1.001


async def test_a_wall_clock_prolongs_no_lease(hub: TestHub, hf: Place, tmp_path: Path) -> None:
    class Set(Clock):
        back = 0.0

        def __call__(self) -> float:
            return super().__call__() - self.back

    clock = Set()
    async with rig(settings_for(hub.port, hub.ca_pem, tmp_path / "cache"), clock) as r:
        url = hf.url("w.bin", hf.repo.head)
        assert (await r.get(url, hf.alice)).status == 200
        await r.idle()
        hub.stop()
        clock.back = 290.0
        clock.leap(301)
        assert unasked(await r.get(url, hf.alice))


# -- from memory ----------------------------------------------------------------------------------------------------


async def test_nothing_is_had_from_memory_without_a_lease(
    hub: TestHub, start: Starter, clock: Clock, place: Place
) -> None:
    r = await start()
    engine, urls = r.parts.engine, [place.url(path, place.repo.head) for path in ("w.bin", "config.json")]
    for url in urls:
        for method in ("HEAD", "GET"):
            await r.get(url, place.alice, method)
    await r.idle()
    for url in urls:
        for method in ("HEAD", "GET"):
            for who in ({}, place.stranger, place.bob):
                assert engine.quick(request_for(method, url, who)) is None
                assert await engine.glance(request_for(method, url, who)) is None
        head = engine.quick(request_for("HEAD", url, place.alice))
        assert head is not None and head.headers.get("Cache-Control") == "private"
        assert await engine.glance(request_for("HEAD", url, place.alice)) is None, "leases are of the event loop's"
    clock.leap(301)
    assert [engine.quick(request_for("HEAD", url, place.alice)) for url in urls] == [None, None]


# -- one blob -------------------------------------------------------------------------------------------------------


async def test_bytes_of_a_closed_repo_and_of_an_open_one_are_one_blob(
    hub: TestHub, start: Starter, place: Place
) -> None:
    r, digest = await start(), WEIGHTS.sha256
    where = {"hub": "modelscope"} if place.ms else {}
    hub.add(Repo("acme/opened", files={"w.bin": WEIGHTS}, storage={"w.bin": "lfs"}, **where))  # type: ignore[arg-type]
    assert (await r.get(place.url("w.bin"), place.alice)).status == 200
    await r.idle()
    assert [blob async for blob in r.kept() if blob == f"sha256:{digest}"]
    hub.clear()
    assert (await r.get(place.url("w.bin", id="acme/opened"))).body == place.data("w.bin")
    assert hub.bytes_sent(blob=digest) <= SAMPLE + 1, "a few bytes show that it has them"
    hub.clear()
    assert (await r.get(place.url("w.bin"), place.bob)).body == place.data("w.bin")
    assert hub.bytes_sent(blob=digest) <= 1
    assert (await r.get(place.url("w.bin"))).status == place.refused({})


@pytest.mark.parametrize("ranged", [{}, {"Range": "bytes=10-19"}])
async def test_a_repo_of_ones_own_that_names_a_digest_gets_no_byte_of_it(
    hub: TestHub, start: Starter, hf: Place, ranged: dict[str, str]
) -> None:
    own = hub.add(
        Repo("mallory/points", files={"x.bin": WEIGHTS}, storage={"x.bin": "lfs"}, private=True, readers={"hf_other"})
    )
    absent = hub.knob(host="cdn-lfs*", path=f"/repos/{own.lfs_prefix}/*", status=404)
    r, url = await start(), hf.url("x.bin", id="mallory/points")
    assert (await r.get(url, hf.stranger | ranged)).status >= 400, "before anybody has them"
    assert (await r.get(hf.url("w.bin"), hf.alice)).status == 200
    await r.idle()
    for _ in range(2):
        got = await r.get(url, hf.stranger | ranged)
        assert got.status >= 400 and hf.data("w.bin")[10:20] not in got.body
    hub.unknob(absent)
    hub.clear()
    assert (await r.get(url, hf.stranger | ranged)).status in (200, 206)
    assert 0 < hub.bytes_sent(blob=WEIGHTS.sha256) <= SAMPLE
    hub.clear()
    assert (await r.get(url, hf.stranger | ranged)).status in (200, 206)
    assert hub.bytes_sent(blob=WEIGHTS.sha256) == 0


async def test_a_fill_of_another_repos_is_not_joined_without_its_bytes(
    hub: TestHub, start: Starter, hf: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = hub.add(
        Repo("mallory/points", files={"x.bin": WEIGHTS}, storage={"x.bin": "lfs"}, private=True, readers={"hf_other"})
    )
    hub.knob(host="cdn-lfs*", path=f"/repos/{own.lfs_prefix}/*", status=404)
    r = await start()
    store, going, begun = r.parts.store.blobs, asyncio.Event(), asyncio.Event()
    create = store.create

    async def slowly(manifest: Manifest) -> Manifest:
        begun.set()
        await going.wait()
        return await create(manifest)

    monkeypatch.setattr(store, "create", slowly)
    reader = asyncio.ensure_future(r.get(hf.url("w.bin"), hf.alice))
    await begun.wait()
    other = asyncio.ensure_future(r.get(hf.url("x.bin", id="mallory/points"), hf.stranger))
    await until(lambda: _joining() == 2, "both wait for the same fill")
    going.set()
    assert (await reader).body == hf.data("w.bin")
    got = await other
    assert got.status >= 400 and len(got.body) < 1000


@pytest.mark.parametrize("path", SMALL_AND_LARGE)
async def test_a_wrong_byte_is_kept_by_nobody(hub: TestHub, start: Starter, place: Place, path: str) -> None:
    r = await start()
    assert (await r.head(place.url(path), place.alice)).status == 200
    knob = hub.knob(method="GET", corrupt_at=3, range_ignored=True)
    got = await r.get(place.url(path), place.alice)
    assert got.refused or (got.cut and len(got.body) < len(place.data(path)))
    await r.idle()
    hub.unknob(knob)
    assert (await r.get(place.url(path), place.alice)).body == place.data(path)


# -- what changes ---------------------------------------------------------------------------------------------------


async def test_a_repo_that_opens_is_for_all_and_one_that_closes_is_not(
    hub: TestHub, start: Starter, clock: Clock, place: Place
) -> None:
    r, url, gated, private = await start(), place.url("w.bin"), place.repo.gated, place.repo.private
    assert (await r.get(url, place.alice)).status == 200
    await r.idle()
    place.repo.gated = place.repo.private = False
    clock.leap(301)
    for who in ({}, place.stranger, place.alice):
        assert (await r.get(url, who)).body == place.data("w.bin")
    place.repo.gated, place.repo.private = gated, private
    clock.leap(25 * 3600)
    assert (await r.get(url)).status == place.refused({})
    assert (await r.get(url, place.stranger)).status == place.refused(place.stranger)
    assert (await r.get(url, place.alice)).body == place.data("w.bin")
    assert hub.bodies_of(place.repo.file("w.bin").digest) < 1.01


async def test_a_branch_that_moves_on_is_seen_and_an_upload_at_once(
    hub: TestHub, start: Starter, clock: Clock, gated: Place
) -> None:
    r, url = await start(), gated.url("config.json")
    assert (await r.get(url, gated.alice)).body == gated.data("config.json")
    gated.repo.commit({"config.json": '{"a": 2}'})
    assert (await r.get(url, gated.alice)).body == b'{"a": 1}'
    clock.leap(301)
    assert (await r.get(url, gated.alice)).body == b'{"a": 2}'
    gated.repo.commit({"config.json": '{"a": 3}'})
    path = "/api/v1/repos/models/acme/shut/commit/master" if gated.ms else "/api/models/acme/shut/commit/main"
    pushed = request_for("POST", f"{M if gated.ms else H}{path}", gated.alice)
    r.parts.engine.completed(Finished(pushed, 200, Outcome(), gated.repo.hub, "upload", 1))
    await r.parts.engine.settle()
    assert (await r.get(url, gated.alice | {"Cache-Control": "no-cache"})).body == b'{"a": 3}'


async def test_rules_are_asked_before_a_lease(hub: TestHub, start: Starter, hf: Place, tmp_path: Path) -> None:
    rule = "version: 1\nrules:\n  - {id: no-shut, effect: deny, match: {repo: acme/shut, path: w.bin}, reason: no}\n"
    r = await start()
    for path in ("w.bin", "config.json"):
        assert (await r.get(hf.url(path, hf.repo.head), hf.alice)).status == 200
    await r.idle()
    await r.close()
    (tmp_path / "rules.yaml").write_text(rule)
    ruled = await start(rules=(tmp_path / "rules.yaml",))
    for _ in range(2):
        assert (await ruled.get(hf.url("config.json", hf.repo.head), hf.alice)).status == 200
        denied = await ruled.get(hf.url("w.bin", hf.repo.head), hf.alice)
        assert denied.status in (403, 451) and denied.header("X-Policy-Rule") == "no-shut"
        assert ruled.parts.engine.quick(request_for("GET", hf.url("w.bin", hf.repo.head), hf.alice)) is None


async def test_what_a_lease_brought_is_nowhere_for_all(hub: TestHub, start: Starter, place: Place) -> None:
    r: Rig = await start()
    for path in FILES:
        assert (await r.get(place.url(path), place.alice)).status == 200
    await r.idle()
    for prefix in ("file:", "public:", "places:"):
        keys = [key for key, _ in await r.parts.store.responses.listing(prefix)]
        assert not [key for key in keys if "acme/shut" in key and "listing:" not in key], keys
    kept = [await r.parts.store.blobs.manifest(f"sha256:{WEIGHTS.sha256}")]
    assert [manifest is not None and manifest.public for manifest in kept] == [False]
    bare = next(q for q in hub.requests(host="cdn-lfs*"))
    assert (await r.get(f"https://{bare.host}{bare.path}")).status == 403


# -- what the catalogue knows ----------------------------------------------------------------------------------------


async def test_what_is_removed_is_forgotten_for_holders_too(hub: TestHub, start: Starter, place: Place) -> None:
    r, url, named = await start(), place.url("w.bin"), target(f"{'ms' if place.ms else 'hf'}:acme/shut")
    assert (await r.get(url, place.alice)).body == place.data("w.bin")
    await r.idle()
    store = r.parts.store
    assert isinstance(store, DiskStore)
    (entry,) = await Catalogue(store).of(named)
    assert [file.path for file in entry.files] == ["w.bin"]
    assert await Catalogue(store).remove(named) == ([entry], [])
    assert list(await store.responses.listing("leased:", "", 10)) == []
    hub.clear()
    assert (await r.get(url, place.alice)).body == place.data("w.bin")
    assert hub.bytes_sent(blob=entry.blob.removeprefix("sha256:")) >= entry.size


async def test_bytes_that_holders_read_elsewhere_stay(hub: TestHub, start: Starter, hf: Place) -> None:
    hub.add(Repo("acme/copy", files={"c.bin": WEIGHTS}, storage={"c.bin": "lfs"}))
    r = await start()
    for url, who in ((hf.url("w.bin"), hf.alice), (f"{H}/acme/copy/resolve/main/c.bin", {})):
        assert (await r.get(url, who)).body == hf.data("w.bin")
        await r.idle()
    store = r.parts.store
    assert isinstance(store, DiskStore)
    gone, stay = await Catalogue(store).remove(target("hf:acme/copy"))
    assert gone == [] and [file.path for entry in stay for file in entry.files] == ["c.bin"]
