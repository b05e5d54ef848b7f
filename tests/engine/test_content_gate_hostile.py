"""Who tries to have all of a file that the rules do not let pass for what lies in it, or to have others wait."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from proxy_addon.answer import gate
from proxy_addon.answer.remembered import Learned
from proxy_addon.core.messages import Request
from proxy_addon.fetch.fill import TAIL
from proxy_addon.hub.resources import Subject
from proxy_addon.scan import Limits, Scanner
from proxy_addon.store.contract import Manifest
from tests.conftest import Ruled
from tests.engine.rig import LINK, Rig, drained, until
from tests.engine.test_content_gate import BAD, GOOD, SCAN, H, M, add, denied, got, large, opened, scans
from tests.engine.test_ollama import OLLAMA, followed, manifest
from tests.engine.test_xet import lose
from tests.hub import Repo, TestHub
from tests.scan import made

SET = (Path(__file__).parents[2] / "rules/sets/no-unsafe-pickles.yaml").read_text()
STRICT = SET.replace("  gguf_template: {action: deny}\n", "")  # of pickles alone
EVIL = large(made.payload("posix", 2))
OWN = {"Authorization": "Bearer hf_reader"}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "OF_LARGE", 0.1)
    monkeypatch.setattr(gate, "PATIENCE", 0.1)
    monkeypatch.setattr(gate, "OF_PARTS", 0.1)


def gguf(template: bytes = b"") -> bytes:
    head = b"GGUF" + (3).to_bytes(4, "little") + bytes(8)
    if not template:
        return head + bytes(8)
    name, text = b"tokenizer.chat_template", (8).to_bytes(4, "little")
    field = len(name).to_bytes(8, "little") + name + text + len(template).to_bytes(8, "little") + template
    return head + (1).to_bytes(8, "little") + field


# -- parts -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
async def test_the_end_of_a_file_of_which_the_rest_was_evicted_waits_too(hub: TestHub, ruled: Ruled) -> None:
    url, free = add(hub, big__bin=EVIL), await ruled("version: 1\n")
    await got(free, f"{url}/big.bin")
    await free.idle()
    await free.close()
    r = await ruled(SCAN)
    await lose(r, "sha256:" + hub.digest("acme/scanned", "big.bin"), 1)
    hub.knob(host="cdn-lfs*", hold="cdn", hold_at=1000)
    reply = await opened(r, f"{url}/big.bin", {"Range": f"bytes=-{TAIL}"})
    assert reply.status == 206 and not isinstance(reply.body, bytes)
    hub.unknob()
    hub.release("cdn")
    end = await drained(reply)
    assert end.cut and end.body == b""


@pytest.mark.usefixtures("impatient")
async def test_parts_put_together_are_never_the_whole(hub: TestHub, ruled: Ruled) -> None:
    url, r, size = add(hub, big__bin=EVIL), await ruled(SET), len(EVIL)
    hub.knob(host="cdn-lfs*", bandwidth=8 << 20)
    have = bytearray(size)

    async def ask(asked: str, at: int, **more: str) -> None:
        reply = await got(r, f"{url}/big.bin", {"Range": f"bytes={asked}", **more})
        if reply.status in (200, 206):
            at = at if reply.status == 206 else 0
            have[at : at + len(reply.body)] = b"\1" * len(reply.body)

    for _ in range(2):
        parts = [ask(f"{at}-{at + (2 << 20)}", at) for at in range(0, size, 2 << 20)]
        ends = [ask("0-", 0), ask("-100", size - 100), ask(f"{size - 70_000}-", size - 70_000)]
        await asyncio.gather(*parts, *ends, ask("5-", 5, **{"If-Range": '"x"'}))
    assert have.count(0) == TAIL and have.rfind(1) == size - TAIL - 1


# -- other ways, other names -----------------------------------------------------------------------------------------


async def test_no_name_makes_a_pickle_anything_else(hub: TestHub, ruled: Ruled) -> None:
    names = ["weights.bin.txt", "WEIGHTS.PT", "weights", "weights.bin.", "w" * 200 + ".safetensors", "a b.json"]
    bytes_ = {
        "zip": BAD, "text": made.payload("os", 0), "pickle": made.payload("os"), "png": b"\x89PNG\r\n\x1a\n" + BAD,
        "gguf": gguf() + BAD, "nested": made.torch_zip([("notes.txt", BAD)]), "named": made.torch_zip([("a.png", BAD)]),
    }  # fmt: skip
    files = {f"{kind}/{name}": data for kind, data in bytes_.items() for name in names}
    hub.add(Repo("acme/names", "model", files=dict(files), storage=dict.fromkeys(files, "lfs")))
    r = await ruled(SET)
    for path in files:
        for more in ("", "?download=true"):
            reply = await got(r, f"{H}/acme/names/resolve/main/{quote(path)}{more}")
            assert reply.status == 403, (path, more)


@pytest.mark.parametrize("first", ["version: 1\n", SET])
async def test_a_lease_is_no_way_around(hub: TestHub, ruled: Ruled, first: str) -> None:
    files = {"a.bin": BAD, "big.bin": EVIL, "ok.bin": GOOD, "noise": b"x" * 100, "config.json": b"{}"}
    storage = {"a.bin": "lfs", "big.bin": "lfs", "ok.bin": "xet"}
    hub.add(Repo("acme/mine", "model", files=dict(files), storage=storage, private=True, readers={"hf_reader"}))  # type: ignore[arg-type]
    before = await ruled(first)
    for name in files:
        await got(before, f"{H}/acme/mine/resolve/main/{name}", OWN)
    await before.idle()
    await before.close()
    r = await ruled(SET)
    for name, data in files.items():
        url = f"{H}/acme/mine/resolve/main/{name}"
        for more in ({}, {"Range": "bytes=0-1"}, {"Range": "bytes=-1"}, {}):
            reply = await got(r, url, OWN | more)
            if data in (BAD, EVIL):
                denied(reply)
            else:
                assert (reply.status, reply.body in (data, data[:2], data[-1:])) == (206 if more else 200, True), name
    for name in ("a.bin", "big.bin"):
        reply = await got(r, f"{H}/acme/mine/resolve/main/{name}", OWN | LINK)
        assert EVIL[:100] not in reply.body and BAD not in reply.body


@pytest.mark.parametrize("rules", [STRICT, STRICT.replace("on_error: deny", "on_error: allow")])
async def test_what_was_found_counts_also_against_bytes_that_go_by_unseen(
    hub: TestHub, ruled: Ruled, rules: str
) -> None:
    """Where the rules let pass what nobody can look into, a client could ask for just that."""
    url, r = add(hub, a__bin=BAD, b__bin=GOOD), await ruled(rules)
    bad, good = [(await got(r, f"{url}/{name}.bin", LINK)).header("Location") or "" for name in "ab"]
    assert "posix.system" in denied(await got(r, bad)) and (await got(r, good)).body == GOOD
    assert "posix.system" in denied(await got(r, bad, LINK))
    unseen = await got(r, good, LINK)  # that good bytes have this digest says only the link
    assert unseen.status == (403 if rules == STRICT else 200) and (unseen.body == GOOD) is (rules != STRICT)


async def test_modelscope_by_trunk_by_tag_and_by_path(hub: TestHub, ruled: Ruled) -> None:
    repo = hub.add(Repo("acme/ms", "model", hub="modelscope", files={"a.bin": BAD, "b": BAD}, storage={"a.bin": "lfs"}))
    repo.tag("v9")
    r = await ruled(SET)
    for name in ("a.bin", "b"):
        for rev in ("master", "v9", repo.head):
            for url in (
                f"{M}/api/v1/models/acme/ms/repo?Revision={rev}&FilePath={name}",
                f"{M}/api/v1/models/acme/ms/repo?FilePath={name}&Revision={rev}&View=true",
                f"{M}/models/acme/ms/resolve/{rev}/{name}",
                f"{M}/acme/ms/resolve/{rev}/{name}",
            ):
                reply = await got(r, url)
                while link := reply.header("Location"):
                    reply = await got(r, link)
                assert reply.status >= 400 and BAD not in reply.body, url


async def test_what_a_registry_makes_up_is_looked_into_without_a_name(hub: TestHub, ruled: Ruled) -> None:
    for id, data in (("acme/g-GGUF", gguf()), ("acme/b-GGUF", gguf(b"{{ ''.__class__ }}"))):
        name = f"{id[5]}-Q4_K_M.gguf"
        hub.add(Repo(id, files={name: data}, storage={name: "lfs"}))
    r = await ruled(SET)
    for id in ("acme/g-GGUF", "acme/b-GGUF"):
        told = json.loads((await got(r, manifest(id), OLLAMA)).body)
        for layer in (told["config"], *told["layers"]):
            reply = await followed(r, f"https://hf.co/v2/{id}/blobs/{layer['digest']}", OLLAMA)
            evil = id == "acme/b-GGUF" and layer["mediaType"].endswith("image.model")
            assert reply.status == (403 if evil else 200), (id, layer)
    assert scans(r) == 2 + 3  # models, and what is the same for both


async def test_what_is_asked_of_the_hubs_own_name_for_a_repo_is_asked_in_memory_too(
    hub: TestHub, ruled: Ruled, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(hub, a__bin=BAD)
    url, free = f"{H}/acme/scanned/resolve/{hub.repo('acme/scanned').head}", await ruled("version: 1\n")
    assert (await got(free, f"{url}/a.bin")).status == 200
    await free.close()
    r = await ruled(
        "version: 1\nrules:\n  - {id: tagged, effect: deny, match: {tags: ['x-*']}}\n"
        "  - {id: no-posix, effect: deny, match: {repo: 'evil/*', pickle_imports: ['posix.*']}}\n"
    )
    facts = r.parts.engine.facts
    find, seen = facts.find, facts.seen

    async def found(subject: Subject, need: frozenset[str], request: Request) -> object:
        learned = await find(subject, need, request)
        assert isinstance(learned, Learned)
        return replace(learned, name="evil/name")

    def known(subject: Subject, need: frozenset[str], request: Request) -> object:
        learned = seen(subject, need, request)
        return learned and replace(learned, name="evil/name")

    monkeypatch.setattr(facts, "find", found)
    monkeypatch.setattr(facts, "seen", known)
    for _ in range(2):
        denied(await got(r, f"{url}/a.bin"), "no-posix")


# -- those who wait --------------------------------------------------------------------------------------------------


def slow(r: Rig) -> None:
    """Every scan takes its time from now on."""
    script = "import sys, time; sys.stdin.readline(); time.sleep(60)"
    scanner = Scanner(limits=Limits(), seconds=1.5, workers=1, command=(sys.executable, "-c", script))
    object.__setattr__(r.parts.engine.contents._means, "scanner", scanner)


@pytest.mark.usefixtures("impatient")
async def test_nobody_waits_long_for_his_turn_at_the_scanner(hub: TestHub, ruled: Ruled) -> None:
    url, free = add(hub, a__bin=BAD, big__bin=EVIL), await ruled("version: 1\n")
    for name in ("a.bin", "big.bin"):
        await got(free, f"{url}/{name}")
    await free.idle()
    await free.close()
    r = await ruled(SCAN)
    slow(r)
    for name in ("a.bin", "big.bin"):
        assert (await got(r, f"{url}/{name}", method="HEAD")).status == 200
        part = await got(r, f"{url}/{name}", {"Range": "bytes=0-9"})
        assert part.status == 503 and part.header("Retry-After")
    whole = await got(r, f"{url}/a.bin")
    assert whole.status == 200 and whole.body == b"" and whole.cut


async def test_a_look_that_had_begun_too_early_is_not_the_last(
    hub: TestHub, ruled: Ruled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finds that not all is here, while all comes."""
    url, r = add(hub, a__bin=GOOD), await ruled(SET)
    contents, blobs = r.parts.engine.contents, r.parts.store.blobs
    looked, scanned = asyncio.Event(), contents._scanned

    async def early(whole: object, path: str) -> object:
        if looked.is_set():
            return await scanned(whole, path)  # type: ignore[arg-type]
        looked.set()
        missing: Manifest | None = await blobs.manifest("sha256:" + hub.digest("acme/scanned", "a.bin"))
        assert missing is None or missing.sealed
        return None

    monkeypatch.setattr(contents, "_scanned", early)
    assert (await got(r, f"{url}/a.bin")).body == GOOD


async def test_many_at_once_are_answered_and_few_are_looked_into(hub: TestHub, ruled: Ruled) -> None:
    files = {f"{n}.bin": GOOD + bytes([n]) * 0 if n else GOOD for n in range(4)}
    files |= {"README.md": b"# x", "config.json": b"{}", "tokenizer.json": b'{"a": 1}', "vocab.txt": b"a\nb\n"}
    hub.add(Repo("acme/many", "model", files=dict(files), storage={f"{n}.bin": "lfs" for n in range(4)}))
    r = await ruled(SET)
    asked = [(name, method) for name in files for method in ("HEAD", "GET") for _ in range(7)]
    replies = await asyncio.gather(*(got(r, f"{H}/acme/many/resolve/main/{n}", method=m) for n, m in asked))
    for (name, method), reply in zip(asked, replies, strict=True):
        assert (reply.status, reply.body) == (200, files[name] if method == "GET" else b""), name
    assert scans(r) <= len(files)
    await until(lambda: not len(r.parts.fills), "the end of all fills")
