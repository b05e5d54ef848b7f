"""Any one operation of the store fails, or all of them from there on: it costs the cache, never the answer.

Each scene is played once on a whole disk, which tells the operations that it takes, and then anew for some of these, on
things that were never asked for before. While the fault lasts every answer is right, and what is closed or denied stays
so; once it is over the answers are right, and in the end they come from the cache as they do without a fault.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proxy_addon.config.places import OtherHost
from proxy_addon.core.messages import Pass
from proxy_addon.store.contract import PIECE
from tests.conftest import Starter
from tests.engine.rig import Got, Rig, drained, request_for, until
from tests.engine.xet_client import XetClient, links, rebuilt
from tests.faults.refusing import ERRORS, Fault, Refusing
from tests.hub import Repo, Scripted, Synthetic, TestHub
from tests.scan import made

STRIDE = 17  # of all faults that there are, each so many-th is tried; 1 takes ten minutes
H, M, P = "https://huggingface.co", "https://www.modelscope.cn", "https://plain.example"
READER, OTHER = {"Authorization": "Bearer hf_reader"}, {"Authorization": "Bearer hf_other"}
LFS = {"Accept": "application/vnd.git-lfs+json", "Content-Type": "application/vnd.git-lfs+json"}
ONE, TWO = 100_000, PIECE + 100_000  # bytes of a file of one piece, of two
PATIENCE = 60.0  # seconds
REFUSED = frozenset({401, 403, 404, 451})
RULES = f"""
version: 1
rules:
  - {{id: lic-nc, effect: deny, match: {{license: {{commercial_use: "no"}}}}, reason: "no.", owner: legal@example.org}}
scan:
  pickle: {{action: deny, allow_imports: {json.dumps(made.TORCH)}}}
"""
ANY = None

type Play = Callable[[], Awaitable[list[Got]]]
"""Asks what the scene is about, and raises AssertionError for any wrong answer."""


@dataclass
class Stage:
    hub: TestHub
    rig: Rig
    disk: Refusing
    number: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def repo(self, **kind: object) -> tuple[str, Repo]:
        seed = next(self.number)
        files = {"config.json": f'{{"n": {seed}}}', "w.bin": Synthetic(ONE, seed), "x.bin": Synthetic(TWO, seed)}
        stored = {"w.bin": "lfs", "x.bin": "lfs"}
        repo = self.hub.add(Repo(f"acme/made{seed}", "model", **{"files": files, "storage": stored} | kind))  # type: ignore[arg-type]
        return repo.id, repo

    async def ask(self, url: str, headers: dict[str, str] | None = None, method: str = "GET", body: bytes = b"") -> Got:
        """As the edge goes about it."""
        request, engine = request_for(method, url, headers, body), self.rig.parts.engine
        async with asyncio.timeout(PATIENCE):
            reply = engine.quick(request) or await engine.glance(request) or await engine.handle(request)
            assert not isinstance(reply, Pass)
            return await drained(reply)

    async def right(
        self, url: str, body: bytes | None, status: int = 200, headers: dict[str, str] | None = None
    ) -> Got:
        got = await self.ask(url, headers)
        assert (got.status, got.cut) == (status, False), (url, got.status, got.body[:200])
        assert body is ANY or got.body == body, (url, len(got.body))
        return got

    async def refused(self, url: str, headers: dict[str, str] | None = None) -> Got:
        got = await self.ask(url, headers)
        assert got.status in REFUSED and len(got.body) < 5000, (url, got.status)
        return got

    async def settled(self) -> None:
        await self._idle()
        await until(lambda: not len(self.rig.parts.engine._xet.proofs), "the end of all assemblies")
        await self._idle()

    async def _idle(self) -> None:
        fills = self.rig.parts.fills

        def none() -> bool:
            for fill in [*fills._all]:
                fill.give_up()  # as happens by itself after a while, if nobody has joined it
            return not len(fills)

        await until(none, "the end of all fills", PATIENCE)


def data(repo: Repo, path: str) -> bytes:
    source = repo.file(path).source
    return bytes(source.read(0, source.size))


# -- the scenes: nothing that they ask for was asked for before ------------------------------------------------------


def file_(s: Stage) -> Play:
    id, repo = s.repo()
    return lambda: gathered(s.right(f"{H}/{id}/resolve/main/w.bin", data(repo, "w.bin")))


def two_pieces(s: Stage) -> Play:
    id, repo = s.repo()
    return lambda: gathered(s.right(f"{H}/{id}/resolve/main/x.bin", data(repo, "x.bin")))


def small(s: Stage) -> Play:
    id, repo = s.repo()
    return lambda: gathered(s.right(f"{H}/{id}/resolve/main/config.json", data(repo, "config.json")))


def ranges(s: Stage) -> Play:
    id, repo = s.repo()
    url, body, at = f"{H}/{id}/resolve/main/x.bin", data(repo, "x.bin"), PIECE - 9
    return lambda: gathered(
        s.right(url, body[at : at + 18], 206, {"Range": f"bytes={at}-{at + 17}"}),
        s.right(url, body[:9], 206, {"Range": "bytes=0-8"}),
    )


def document(s: Stage) -> Play:
    id, repo = s.repo()
    return lambda: gathered(s.right(f"{H}/{id}/raw/main/config.json", data(repo, "config.json")))


def listing(s: Stage) -> Play:
    id, _ = s.repo()
    return lambda: gathered(s.right(f"{H}/api/models/{id}/tree/main", ANY))


def absent(s: Stage) -> Play:
    id, _ = s.repo()
    return lambda: gathered(s.right(f"{H}/{id}/resolve/main/nothing.json", ANY, 404))


def closed(s: Stage) -> Play:
    id, repo = s.repo(gated="auto", readers={"hf_reader"})
    url = f"{H}/{id}/resolve/main/"
    return lambda: gathered(
        *(
            ask
            for path in ("w.bin", "config.json")
            for ask in (
                s.refused(url + path),
                s.right(url + path, data(repo, path), headers=READER),
                s.refused(url + path, OTHER),
            )
        )
    )


def link(s: Stage) -> Play:
    id, repo = s.repo(private=True, readers={"hf_reader"})
    oid, body = repo.file("w.bin").digest, data(repo, "w.bin")
    asked = {"operation": "download", "transfers": ["basic"], "objects": [{"oid": oid, "size": ONE}]}

    async def play() -> list[Got]:
        told = await s.ask(f"{H}/{id}.git/info/lfs/objects/batch", LFS | READER, "POST", json.dumps(asked).encode())
        href = json.loads(told.body)["objects"][0]["actions"]["download"]["href"]
        return [await s.right(href, body), await s.refused(href.partition("?")[0])]

    return play


def plain(s: Stage) -> Play:
    name = f"/{next(s.number)}"
    body = name.encode() * 20_000
    s.hub.script(name, Scripted(200, {"Cache-Control": "max-age=600", "ETag": f'"{name}"'}, body, ranges=True))
    return lambda: gathered(s.right(P + name, body))


def without_length(s: Stage) -> Play:
    name = f"/{next(s.number)}"
    s.hub.knob(path=name, chunked=True)
    s.hub.script(name, Scripted(200, {"Cache-Control": "max-age=600"}, name * 20_000))
    return lambda: gathered(s.right(P + name, name.encode() * 20_000))


def modelscope(s: Stage) -> Play:
    id, repo = s.repo(hub="modelscope")
    url = f"{M}/models/{id}/resolve/master/"
    return lambda: gathered(*(s.right(url + path, data(repo, path)) for path in ("w.bin", "config.json")))


def xet(s: Stage) -> Play:
    id, repo = s.repo(files={"w.bin": Synthetic(ONE, next(s.number))}, storage={"w.bin": "xet"})
    name, sessions = repo.file("w.bin").xet or "", itertools.count()

    async def play() -> list[Got]:
        client = XetClient(s.rig, id, f"{id} {next(sessions)}")
        assert (await client.head("w.bin")).header("X-Xet-Hash") == name
        told = await client.told(name)
        got = [await client.ask(each) for each in links(told)]
        assert [(each.status, each.cut) for each in got] == [(206, False)] * len(got), [each.body for each in got]
        assert rebuilt(told, client.got) == data(repo, "w.bin")
        return got

    return play


def denied(s: Stage) -> Play:
    """By its licence, whatever it is that is asked for."""
    card = "---\nlicense: cc-by-nc-4.0\n---\n"
    id, _ = s.repo(files={"README.md": card, "w.bin": Synthetic(ONE, next(s.number))}, storage={"w.bin": "lfs"})
    return lambda: gathered(s.refused(f"{H}/{id}/resolve/main/w.bin"), s.refused(f"{H}/api/models/{id}/tree/main"))


def scanned(s: Stage) -> Play:
    """What cannot be looked into is not given out, but what is given out is right."""
    number = next(s.number)
    good, bad = (
        made.torch_file(made.state_dict({"w": number})),
        made.torch_file(made.payload("posix", 2), [b"%d" % number]),
    )
    files = {"README.md": b"---\nlicense: mit\n---\n", "good.bin": good, "bad.bin": bad}
    id, _ = s.repo(files=files, storage=dict.fromkeys(["good.bin", "bad.bin"], "lfs"))
    url = f"{H}/{id}/resolve/main/"

    async def play() -> list[Got]:
        first = await s.ask(f"{url}good.bin")
        if s.disk.failed:
            assert first.status in {*REFUSED, 503} or first.body == good[: len(first.body)], first.status
        else:
            assert (first.status, first.cut, first.body) == (200, False, good), first.body[:300]
        return [first, await s.refused(f"{url}bad.bin")]

    return play


async def gathered(*asks: Awaitable[Got]) -> list[Got]:
    """One after the other."""
    return [await ask for ask in asks]


OPEN = [file_, two_pieces, small, ranges, document, listing, absent, closed, link, plain, without_length, modelscope]


async def trial(
    s: Stage, scene: Callable[[Stage], Play], warm: bool, fault: Fault | None
) -> tuple[list[str], list[str], bool]:
    """(the operations that it took, how the answers came about in the end, whether anything failed)."""
    play = scene(s)
    if warm:
        for _ in range(2):
            await play()
            await s.settled()
    with s.disk.armed(fault):
        await play()
        await s.settled()
        seen, reached = [*s.disk.seen], s.disk.failed > 0
    s.disk.failed = 0
    await s.rig.parts.store.refresh()  # as happens by itself within a second
    s.rig.parts.engine.contents._failed.clear()  # as happens by itself after ten minutes
    for _ in range(2):
        await play()
        await s.settled()
    return seen, [re.sub("ttl=[0-9]+", "", got.cache) for got in await play()], reached


async def tried(s: Stage, scenes: Sequence[Callable[[Stage], Play]], stride: int = STRIDE) -> int:
    """How many faults."""
    errors, faults = itertools.cycle(ERRORS), 0
    number = itertools.count()
    for scene, warm in itertools.product(scenes, (False, True)):
        seen, labels, _ = await trial(s, scene, warm, None)
        for at, lasting in itertools.product(seen, ("", "kind", "all")):
            if next(number) % stride:
                continue
            fault = Fault(at, next(errors), lasting)
            try:
                _, now, reached = await trial(s, scene, warm, fault)
                assert now == labels
            except BaseException as wrong:
                wrong.add_note(f"{scene.__name__}, warm: {warm}, {fault}")
                raise
            faults += reached
    return faults


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No traceback in the log, be it of a task that nobody awaits."""
    yield
    gc.collect()
    assert not [(record.getMessage(), record.exc_info) for record in caplog.records if record.exc_info]


@pytest.mark.usefixtures("quiet")
@pytest.mark.fault("R7", "R8", tries=40)
async def test_no_operation_matters(hub: TestHub, start: Starter, refusing: Refusing, tries: int) -> None:
    s = Stage(hub, await start(hubs__others=(OtherHost("plain.example"),)), refusing)
    assert await tried(s, OPEN) >= tries


@pytest.mark.usefixtures("quiet")
@pytest.mark.fault("R7", "R8", tries=10)
async def test_no_operation_matters_to_native_xet(hub: TestHub, start: Starter, refusing: Refusing, tries: int) -> None:
    s = Stage(hub, await start(hubs__huggingface={"xet": "native"}), refusing)
    assert await tried(s, [xet], 7) >= tries


@pytest.mark.usefixtures("quiet")
@pytest.mark.fault("R7", "R8", "R22", tries=10)
async def test_no_operation_lets_through_what_rules_deny(
    hub: TestHub, start: Starter, refusing: Refusing, tmp_path: Path, tries: int
) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    s = Stage(hub, await start(rules=(tmp_path / "rules.yaml",)), refusing)
    assert await tried(s, [denied, scanned], 7) >= tries
