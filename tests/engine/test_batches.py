"""A git-lfs batch: asked each time with the client's own rights, told as it is, and its links are answered here."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from proxy_addon.answer.batches import LARGEST
from tests.conftest import Starter
from tests.engine.rig import Got, Rig, drained
from tests.engine.test_secrets import CANARIES
from tests.hub import Repo, Synthetic, TestHub

H = "https://huggingface.co"
LFS = {"Content-Type": "application/vnd.git-lfs+json", "Accept": "application/vnd.git-lfs+json"}
READER, OTHER = ({"Authorization": f"Bearer {token}"} for token in ("hf_reader", "hf_other"))
WEIGHTS = [Synthetic(300_000 + n, 60 + n) for n in range(3)]


@pytest.fixture
def repo(hub: TestHub) -> Repo:
    files = {f"{n}.bin": source for n, source in enumerate(WEIGHTS)}
    storage = {"0.bin": "lfs", "1.bin": "xet", "2.bin": "lfs"}
    return hub.add(Repo("acme/lfs", files=files, storage=storage, private=True, readers={"hf_reader"}))  # type: ignore[arg-type]


async def batch(r: Rig, oids: Sequence[str], headers: dict[str, str], operation: str = "download") -> Got:
    asked = {"operation": operation, "transfers": ["basic"], "objects": [{"oid": oid, "size": 1} for oid in oids]}
    return await r.get(f"{H}/acme/lfs.git/info/lfs/objects/batch", LFS | headers, "POST", json.dumps(asked).encode())


def links(got: Got) -> list[str]:
    return [each["actions"]["download"]["href"] for each in json.loads(got.body)["objects"]]


async def test_the_links_of_a_batch_are_answered_from_the_store(hub: TestHub, start: Starter, repo: Repo) -> None:
    r = await start()
    oids = [source.sha256 for source in WEIGHTS]
    for bodies in (1.0, 0.0):
        hub.clear()
        told = await batch(r, oids, READER)
        assert told.header("Content-Type") == "application/vnd.git-lfs+json; charset=utf-8"
        for link, oid in zip(links(told), oids, strict=True):
            assert hashlib.sha256((await r.get(link)).body).hexdigest() == oid
        await r.idle()
        assert [hub.bodies_of(oid) for oid in oids] == [bodies] * 3
        assert len(hub.requests(path="*/batch")) == 1
    hub.stop()
    for link in links(told):
        assert (await r.get(link, {"Range": "bytes=1-2"})).status == 206
    assert (await batch(r, oids, READER)).status == 504


async def test_a_batch_is_for_the_hub_to_decide(hub: TestHub, start: Starter, repo: Repo) -> None:
    r, oid = await start(), WEIGHTS[0].sha256
    link = links(await batch(r, [oid], READER))[0]
    assert (await r.get(link)).status == 200
    await r.idle()
    assert [(await batch(r, [oid], headers)).status for headers in (OTHER, {})] == [404, 401]
    assert (await r.get(link.partition("?")[0])).status == 403
    assert (await batch(r, [oid], READER, "upload")).status == 403
    assert json.loads((await batch(r, ["0" * 64], READER)).body)["objects"][0]["error"]["code"] == 404


async def test_an_answer_goes_by_as_it_is_whatever_is_in_it(hub: TestHub, start: Starter, repo: Repo) -> None:
    r = await start()
    for body in ("", "no JSON", "[" * 100_000, "x" * (LARGEST + 100_000)):
        knob = hub.knob(path="*/batch", status=200, body=body)
        assert (await batch(r, [WEIGHTS[0].sha256], READER)).body == body.encode()
        hub.unknob(knob)


async def test_of_a_long_answer_only_the_beginning_is_held(hub: TestHub, start: Starter, repo: Repo) -> None:
    r, size = await start(), LARGEST + 3_000_000
    hub.knob(path="*/batch", status=200, body="x" * size, hold="rest", hold_at=LARGEST + 2_000_000)
    async with asyncio.timeout(60):
        reply = await r.open("POST", f"{H}/acme/lfs.git/info/lfs/objects/batch", LFS | READER, b"{}")
    hub.release("rest")
    assert len((await drained(reply)).body) == size


async def test_a_link_to_elsewhere_is_not_noted(hub: TestHub, start: Starter, repo: Repo) -> None:
    r, oid = await start(), WEIGHTS[0].sha256
    urls = [
        f"https://plain.example/{oid}",
        f"http://cdn-lfs.hf.co/{oid}",
        f"{H}/acme/tiny",
        f"https://cdn-lfs.hf.co/{'0' * 64}",
        f"https://a@cdn-lfs.hf.co/{oid}",
        f"https://cdn-lfs.hf.co:x/{oid}",
        "https://[/",
    ]
    objects: list[Any] = [{"oid": oid, "size": 9, "actions": {"download": {"href": url}}} for url in urls]
    hub.knob(path="*/batch", status=200, body=json.dumps({"objects": objects}))
    told = await batch(r, [oid], READER)
    assert links(told) == urls
    assert [url for url in urls if r.parts.engine._means.issued.find(url) is not None] == []


async def test_nothing_of_it_is_on_disk(hub: TestHub, start: Starter, repo: Repo, tmp_path: Path) -> None:
    r = await start()
    for link in links(await batch(r, [WEIGHTS[0].sha256], READER)):
        await r.get(link)
        signature = link.partition("Signature=")[2].partition("&")[0]
    await r.idle()
    await r.close()
    rest = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert rest and not [file for file in rest if signature.encode() in file.read_bytes()]
    assert CANARIES.below(tmp_path) == {}


async def test_a_compressed_question_is_the_hubs_to_read(hub: TestHub, start: Starter, repo: Repo) -> None:
    r = await start()
    body = gzip.compress(b'{"operation":"download","objects":[]}')
    url = f"{H}/acme/lfs.git/info/lfs/objects/batch"
    await r.get(url, LFS | READER | {"Content-Encoding": "gzip"}, "POST", body)
    assert hub.requests(path="*/batch")[0].headers["content-encoding"] == "gzip"
