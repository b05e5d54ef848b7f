"""What lies in a file decides before the last of its bytes goes out, whichever way they are asked for."""

from __future__ import annotations

import asyncio
import logging
import struct
import sys
from pathlib import Path

import pytest

from proxy_addon.answer import gate
from proxy_addon.core.messages import Pass, Reply
from proxy_addon.fetch.fill import TAIL
from proxy_addon.scan import Data, Findings, Limits, Scanner, scanning
from proxy_addon.store.local import DiskStore
from tests.conftest import Ruled, Starter
from tests.engine.rig import Got, Rig, drained, request_for, until
from tests.hub import Repo, Synthetic, TestHub
from tests.hub.ask import ask as direct
from tests.hub.repo import Storage
from tests.scan import made

H = "https://huggingface.co"
M = "https://www.modelscope.cn"
ALLOWED = ", ".join(f'"{each}"' for each in (*made.TORCH, "numpy.dtype", "numpy.ndarray", "joblib.numpy_pickle.*"))
SCAN = f"version: 1\nscan:\n  pickle: {{action: deny, allow_imports: [{ALLOWED}]}}\n  gguf_template: {{action: deny}}\n"
PICKLE = SCAN.partition("  gguf_template")[0]  # else the other fact, which is unknown too, denies in its place
LAX = f"{SCAN}  on_error: allow\n"
BAD = made.torch_file(made.payload("posix", 2))
GOOD = made.torch_file(made.state_dict({"w": 12}))
BULKY = made.torch_file(made.state_dict({"w": 12}), [bytes(100_000)])  # bytes, in a file of its own
BIG = 20 << 20  # bytes, more than is fetched for a head


def large(data_pkl: bytes, size: int = BIG) -> bytes:
    return made.torch_file(data_pkl, [bytes(size)])


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is large is passed on as it comes, as if it came slowly."""
    monkeypatch.setattr(gate, "OF_LARGE", 0.0)


async def opened(r: Rig, url: str, headers: dict[str, str] | None = None, method: str = "GET") -> Reply:
    """As the edge goes about it."""
    request, engine = request_for(method, url, headers), r.parts.engine
    reply = engine.quick(request) or await engine.glance(request) or await engine.handle(request)
    assert not isinstance(reply, Pass)
    return reply


async def got(r: Rig, url: str, headers: dict[str, str] | None = None, method: str = "GET") -> Got:
    return await drained(await opened(r, url, headers, method))


def add(hub: TestHub, id: str = "acme/scanned", storage: Storage = "lfs", **files: bytes | Synthetic) -> str:
    """A repo with these files, dots written as two underscores; where they are resolved."""
    named = {name.replace("__", "."): data for name, data in files.items()}
    hub.add(Repo(id, "model", files=dict(named), storage=dict.fromkeys(named, storage)))
    return f"{H}/{id}/resolve/main"


def denied(reply: Got, rule: str = "scan.pickle") -> str:
    """Its words."""
    assert reply.status in (403, 451) and reply.header("X-Policy-Rule") == rule, (reply.status, reply.body[:300])
    assert reply.reply.ruling is not None and reply.reply.ruling.rule == rule
    return reply.header("X-Error-Message") or reply.body.decode()


def scans(r: Rig) -> int:
    return r.parts.engine.contents.scans


# -- each family, each container -------------------------------------------------------------------------------------


async def test_the_first_who_asks_gets_no_malicious_pickle_and_is_told_why(hub: TestHub, ruled: Ruled) -> None:
    files, told = {}, {}
    for number, family in enumerate(made.FAMILIES):
        for name, data in made.containers(family).items():
            files[f"{number}/{name}"], told[f"{number}/{name}"] = data, made.told(family)
    hub.add(Repo("acme/bad", "model", files=dict(files), storage=dict.fromkeys(files, "lfs")))
    r = await ruled(SCAN)
    for path, what in told.items():
        words = denied(await got(r, f"{H}/acme/bad/resolve/main/{path}"))
        assert f"{path} would import " in words and what in words, words
    assert scans(r) == len(files) > 14 * 4


@pytest.mark.usefixtures("at_once")
async def test_what_is_harmless_passes_byte_for_byte(hub: TestHub, ruled: Ruled) -> None:
    files = {
        "pytorch_model.bin": GOOD, "old.pt": made.legacy(made.state_dict({"w": 12})), "README.md": b"# hello",
        "model.joblib": made.joblib(b"\x80\x04]" + b"."), "numbers.npy": made.npy(b"").replace(b"'|O'", b"'<f8'", 1),
        "config.json": b"{}", "empty.bin": b"", "photo.png": b"\x89PNG\r\n\x1a\n",
        "big.bin": large(made.state_dict({"w": 12})),
    }  # fmt: skip
    hub.add(Repo("acme/good", "model", files=dict(files), storage={name: "lfs" for name in files if files[name]}))
    r = await ruled(SCAN)
    for _ in range(2):
        for name, data in files.items():
            reply = await got(r, f"{H}/acme/good/resolve/main/{name}")
            assert (reply.status, reply.body, reply.cut) == (200, data, False), name
    assert scans(r) == len(files) - 1  # an empty one needs none
    assert r.parts.engine.contents.verdicts == {"clean": len(files) - 1, "found": 0, "unknown": 0}


@pytest.mark.parametrize("storage", ["git", "lfs", "xet"])
async def test_it_does_not_matter_how_the_hub_keeps_it(hub: TestHub, ruled: Ruled, storage: Storage) -> None:
    url, r = add(hub, storage=storage, weights=BAD, weights__bin=BAD), await ruled(SCAN)
    for name in ("weights", "weights.bin"):
        for method in ("HEAD", "GET"):
            denied(await got(r, f"{url}/{name}", method=method))


async def test_modelscope_says_so_in_its_own_way(hub: TestHub, ruled: Ruled) -> None:
    hub.add(Repo("acme/ms", "model", hub="modelscope", files={"a.bin": BAD, "b.bin": BAD}, storage={"a.bin": "lfs"}))
    r = await ruled(SCAN)
    for name in ("a.bin", "b.bin"):
        reply = await got(r, f"{M}/api/v1/models/acme/ms/repo?Revision=master&FilePath={name}")
        assert reply.status == 451 and b"posix.system" in reply.body


# -- a file that is not here -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("at_once")
async def test_of_a_large_file_all_but_the_end_goes_out_and_who_asks_again_is_told(
    hub: TestHub, ruled: Ruled, caplog: pytest.LogCaptureFixture
) -> None:
    data = large(made.payload("posix", 2))
    url, r = add(hub, model__bin=data), await ruled(SCAN)
    head = await got(r, f"{url}/model.bin", method="HEAD")
    assert head.status == 200 and scans(r) == 0  # nothing goes out with it, and nothing is fetched for it
    with caplog.at_level(logging.WARNING):
        first = await got(r, f"{url}/model.bin", {"Authorization": "Bearer hf_canary"})
    assert first.cut and 0 < len(first.body) <= len(data) - TAIL and data.startswith(first.body)
    assert first.reply.ruling is not None and first.reply.ruling.rule == "scan.pickle"
    assert first.reply.outcome.label == "denied"
    lines = [line for line in caplog.messages if "model.bin" in line and "posix.system" in line]
    assert len(lines) == 1 and "hf_canary" not in caplog.text
    for method, headers in (("GET", None), ("HEAD", None), ("GET", {"Range": f"bytes={len(first.body)}-"})):
        words = denied(await got(r, f"{url}/model.bin", headers, method))
        assert "model.bin would import posix.system when it is loaded" in words
    assert scans(r) == 1 and r.parts.engine.contents.verdicts["found"] == 1


async def test_a_large_file_that_comes_soon_is_refused_to_the_first_who_asks(hub: TestHub, ruled: Ruled) -> None:
    url, r = add(hub, model__bin=large(made.payload("posix", 2))), await ruled(SCAN)
    assert "posix.system" in denied(await got(r, f"{url}/model.bin"))


async def test_only_what_is_beyond_the_allow_list_is_named(hub: TestHub, ruled: Ruled) -> None:
    state = made.state_dict({"w": 12}).removesuffix(b".") + made.payload("posix", 2)[2:]
    url, r = add(hub, model__bin=made.torch_file(state)), await ruled(SCAN)
    words = denied(await got(r, f"{url}/model.bin"))
    assert "posix.system" in words and "torch" not in words and "OrderedDict" not in words


@pytest.mark.parametrize("part", ["bytes=0-99", "bytes=100-200", "bytes=0-9, 90-99", "bytes=90000-90099"])
async def test_a_part_of_a_file_that_is_not_here_is_of_no_more_use(hub: TestHub, ruled: Ruled, part: str) -> None:
    small, big = made.legacy(made.payload("os", 2), bytes(90_000)), large(made.payload("os", 2))
    url, r = add(hub, small__pt=small, big__bin=big), await ruled(SCAN)
    denied(await got(r, f"{url}/small.pt", {"Range": part}))
    reply = await got(r, f"{url}/big.bin", {"Range": part})
    denied(reply)


@pytest.mark.parametrize("at", [5, BIG - 70_000])
@pytest.mark.usefixtures("at_once")
async def test_the_rest_of_a_file_is_sent_as_the_whole_is(hub: TestHub, ruled: Ruled, at: int) -> None:
    data = large(made.payload("os", 2))
    url, r = add(hub, big__bin=data), await ruled(SCAN)
    reply = await got(r, f"{url}/big.bin", {"Range": f"bytes={at}-"})
    assert reply.status == 206 and reply.cut and len(reply.body) <= len(data) - at - TAIL
    denied(await got(r, f"{url}/big.bin", {"Range": f"bytes={at}-"}))


async def test_a_part_is_not_waited_for_without_end(
    hub: TestHub, ruled: Ruled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "OF_PARTS", 0.2)
    url, r = add(hub, model__bin=large(made.state_dict({"w": 12}))), await ruled(SCAN)
    hub.knob(host="cdn-lfs*", hold="cdn", hold_at=1_000_000)
    reply = await got(r, f"{url}/model.bin", {"Range": "bytes=0-99"})
    assert reply.status == 503 and reply.header("Retry-After") and not reply.cut
    assert "ask again" in (reply.header("X-Error-Message") or "")
    hub.unknob()
    hub.release("cdn")
    monkeypatch.setattr(gate, "OF_PARTS", 600.0)
    reply = await got(r, f"{url}/model.bin", {"Range": "bytes=0-99"})
    assert reply.status == 206 and len(reply.body) == 100


@pytest.mark.parametrize("size", [BIG, 9_000_000])
async def test_a_part_is_waited_for_until_its_whole_is_known_and_a_whole_is_not(
    hub: TestHub, ruled: Ruled, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """An error is where those stop who load parts side by side; the bytes of a whole come meanwhile."""
    monkeypatch.setattr(gate, "PATIENCE", 0.1)
    monkeypatch.setattr(gate, "OF_LARGE", 0.1)
    data = large(made.state_dict({"w": 12}), size)
    url, r = add(hub, model__bin=data), await ruled(SCAN)
    hub.knob(host="cdn-lfs*", hold="cdn", hold_at=1_000_000)
    spans = [(0, 1), (0, 1_000_000), (5_000_000, 6_000_000)]
    parts = [asyncio.ensure_future(got(r, f"{url}/model.bin", {"Range": f"bytes={a}-{b - 1}"})) for a, b in spans]
    await until(lambda: hub.bytes_sent(host="cdn-lfs*") > 0, "the first bytes")
    whole = await opened(r, f"{url}/model.bin")
    assert whole.status == 200 and not any(part.done() for part in parts)
    hub.release("cdn")
    assert (await drained(whole)).body == data
    for part, (a, b) in zip(await asyncio.gather(*parts), spans, strict=True):
        assert (part.status, part.body) == (206, data[a:b])
    assert scans(r) == 1 and hub.bodies_of(hub.digest("acme/scanned", "model.bin")) == 1.0


async def test_who_no_longer_waits_for_a_part_takes_his_download_along(hub: TestHub, ruled: Ruled) -> None:
    url, r = add(hub, model__bin=Synthetic(300 << 20, 8)), await ruled(SCAN)
    hub.knob(host="cdn-lfs*", bandwidth=5 << 20)
    part = asyncio.ensure_future(got(r, f"{url}/model.bin", {"Range": "bytes=0-99"}))
    await until(lambda: hub.bytes_sent(host="cdn-lfs*") > 16 << 20, "more than the part")
    part.cancel()
    await asyncio.gather(part, return_exceptions=True)
    await until(lambda: not len(r.parts.fills), "the end of the fill")
    assert hub.bytes_sent(host="cdn-lfs*") < 200 << 20 and scans(r) == 0


async def test_a_part_whose_whole_does_not_come_is_an_error_in_words(hub: TestHub, ruled: Ruled) -> None:
    url, r = add(hub, model__bin=large(made.state_dict({"w": 12}))), await ruled(SCAN)
    hub.knob(host="cdn-lfs*", status=500, skip=2)
    hub.knob(host="cdn-lfs*", drop_after=1_000_000, times=2)
    reply = await got(r, f"{url}/model.bin", {"Range": "bytes=100-199"})
    assert reply.status >= 500 and "answered 500" in (reply.header("X-Error-Message") or "")


async def test_a_small_one_that_comes_slowly_is_sent_as_a_large_one(
    hub: TestHub, ruled: Ruled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "PATIENCE", 0.1)
    data = made.legacy(made.payload("os", 2), bytes(9_000_000))
    url, r = add(hub, model__pt=data), await ruled(SCAN)
    hub.knob(host="cdn-lfs*", hold="cdn", hold_at=1_000_000)
    head = await got(r, f"{url}/model.pt", method="HEAD")
    assert head.status == 200
    reply = await opened(r, f"{url}/model.pt")
    assert reply.status == 200
    hub.unknob()
    hub.release("cdn")
    first = await drained(reply)
    assert first.cut and len(first.body) <= len(data) - TAIL
    denied(await got(r, f"{url}/model.pt"))


@pytest.mark.usefixtures("at_once")
async def test_two_at_once_are_answered_by_one_scan(hub: TestHub, ruled: Ruled) -> None:
    good, bad = large(made.state_dict({"w": 12})), large(made.payload("os", 2))
    url, r = add(hub, good__bin=good, bad__bin=bad, small__bin=BAD), await ruled(SCAN)
    for reply in await asyncio.gather(*(got(r, f"{url}/good.bin") for _ in range(2))):
        assert (reply.status, reply.body, reply.cut) == (200, good, False)
    assert scans(r) == 1 and hub.bodies_of(hub.digest("acme/scanned", "good.bin")) == 1.0
    assert all(reply.cut for reply in await asyncio.gather(*(got(r, f"{url}/bad.bin") for _ in range(2))))
    for reply in await asyncio.gather(*(got(r, f"{url}/small.bin") for _ in range(3))):
        denied(reply)
    assert scans(r) == 3


@pytest.mark.usefixtures("at_once")
async def test_who_leaves_takes_his_download_along(hub: TestHub, ruled: Ruled) -> None:
    """A file that nobody waits for is not fetched for the sake of a scan."""
    url, r = add(hub, model__bin=Synthetic(300 << 20, 7)), await ruled(SCAN)
    hub.knob(host="cdn-lfs*", bandwidth=20 << 20)
    reply = await opened(r, f"{url}/model.bin")
    assert not isinstance(reply.body, bytes)
    await reply.body.read(1000)
    reply.body.close()
    await until(lambda: not len(r.parts.fills), "the end of the fill")
    assert hub.bytes_sent(host="cdn-lfs*") < 200 << 20 and scans(r) == 0


# -- other ways to the same bytes ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("at_once")
async def test_links_lead_to_no_more(hub: TestHub, ruled: Ruled) -> None:
    big = large(made.payload("os", 2))
    url, r = add(hub, small__bin=BAD, big__bin=big), await ruled(SCAN)
    for name, cut in (("small.bin", False), ("big.bin", True)):
        link = direct(hub, f"/acme/scanned/resolve/main/{name}", "HEAD").location
        await got(r, f"{H}/api/models/acme/scanned/tree/main")  # who belongs to the repo is known by its listing
        await got(r, f"{url}/{name}", method="HEAD")
        reply = await got(r, link)
        assert reply.cut is cut
        denied(await got(r, link))


async def test_native_xet_goes_by_unseen_and_is_refused(hub: TestHub, ruled: Ruled) -> None:
    header = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    url = add(hub, storage="xet", model__bin=GOOD, model__safetensors=struct.pack("<Q", len(header)) + header + b"abcd")
    r = await ruled(SCAN, hubs__huggingface={"xet": "native"})
    for name, refused in (("model.bin", True), ("model.safetensors", False)):
        head = await got(r, f"{url}/{name}", method="HEAD")
        xet = head.header("X-Xet-Hash")
        token = await got(r, f"{H}/api/models/acme/scanned/xet-read-token/main")
        access = token.header("X-Xet-Access-Token") or ""
        reply = await got(
            r, f"https://cas-server.xethub.hf.co/v1/reconstructions/{xet}", {"Authorization": f"Bearer {access}"}
        )
        words = reply.header("X-Error-Message") or ""
        assert (reply.status, "could not be scanned" in words) == ((403, True) if refused else (200, False))


async def test_files_that_only_some_may_have_are_looked_into_too(hub: TestHub, ruled: Ruled) -> None:
    files, reader = {"a.bin": GOOD, "b.bin": BAD, "noise": b"x"}, {"Authorization": "Bearer hf_reader"}
    hub.add(Repo("acme/mine", "model", files=dict(files), private=True, readers={"hf_reader"}))
    r, url = await ruled(SCAN), f"{H}/acme/mine/resolve/main"
    for _ in range(2):  # first as the hub gives it, then from here
        assert "posix.system" in denied(await got(r, f"{url}/b.bin", reader))
        for name in ("a.bin", "noise"):
            reply = await got(r, f"{url}/{name}", reader)
            assert (reply.status, reply.body) == (200, files[name]), name
        assert (await got(r, f"{url}/b.bin")).status == 401
        await r.idle()
    assert scans(r) == 3


@pytest.mark.parametrize(("rules", "status"), [(SCAN, 403), (LAX, 200)])
async def test_bytes_that_are_relayed_are_not_looked_into(hub: TestHub, ruled: Ruled, rules: str, status: int) -> None:
    """As those of a closed repo by a URL that no lease is for."""
    hub.add(
        Repo("acme/mine", "model", files={"a.bin": GOOD, "config.json": b"{}"}, private=True, readers={"hf_reader"})
    )
    r = await ruled(rules)
    for name, due in (("a.bin", status), ("config.json", 200)):
        reply = await got(r, f"{H}/acme/mine/raw/main/{name}", {"Authorization": "Bearer hf_reader"})
        assert reply.status == due, name
        words = reply.header("X-Error-Message") or ""
        assert (f"{name} could not be scanned" in words) == (due == 403)


async def test_the_raw_text_of_a_pickle_is_no_way_around(hub: TestHub, ruled: Ruled) -> None:
    add(hub, storage="git", a__pkl=BAD)
    denied(await got(await ruled(SCAN), f"{H}/acme/scanned/raw/main/a.pkl"), "scan.on_error")


# -- what is here already --------------------------------------------------------------------------------------------


async def test_what_was_cached_before_the_rule_is_looked_into_before_it_goes_out(hub: TestHub, ruled: Ruled) -> None:
    big = large(made.payload("os", 2))
    url = add(hub, small__bin=BAD, big__bin=big, good__bin=GOOD)
    free = await ruled("version: 1\n")
    for name in ("small.bin", "big.bin", "good.bin"):
        assert (await got(free, f"{url}/{name}")).status == 200
    await free.idle()
    assert scans(free) == 0
    await free.close()
    r = await ruled(SCAN)
    hub.clear()
    for name in ("small.bin", "big.bin"):
        denied(await got(r, f"{url}/{name}", {"Range": "bytes=0-9"}))
        denied(await got(r, f"{url}/{name}", method="HEAD"))
    assert (await got(r, f"{url}/good.bin")).body == GOOD
    assert scans(r) == 3 and hub.bytes_sent(host="cdn*") == 0


async def test_findings_outlive_a_restart_and_are_judged_anew_by_other_rules(hub: TestHub, ruled: Ruled) -> None:
    url, first = add(hub, a__bin=BAD, b__bin=GOOD), await ruled(SCAN)
    denied(await got(first, f"{url}/a.bin"))
    assert (await got(first, f"{url}/b.bin")).status == 200
    await first.close()
    r = await ruled(SCAN)
    denied(await got(r, f"{url}/a.bin"))
    assert (await got(r, f"{url}/b.bin")).body == GOOD
    await r.close()
    other = await ruled('version: 1\nscan:\n  pickle: {allow_imports: ["posix.*"]}\n')
    assert (await got(other, f"{url}/a.bin")).body == BAD
    assert "collections.OrderedDict" in denied(await got(other, f"{url}/b.bin"))
    assert scans(r) == scans(other) == 0


async def test_a_rule_that_is_edited_holds_at_once_without_another_scan(
    hub: TestHub, start: Starter, tmp_path: Path
) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(LAX)
    url, r = add(hub, a__bin=BAD), await start(rules=(rules,))
    denied(await got(r, f"{url}/a.bin"))
    rules.write_text(LAX.replace("numpy.dtype", "posix.*"))
    before = r.parts.rulebook.policy
    r.parts.rulebook.hup()
    await until(lambda: r.parts.rulebook.policy is not before, "the new rules")
    assert (await got(r, f"{url}/a.bin")).body == BAD
    assert scans(r) == 1


async def test_another_engine_looks_again(hub: TestHub, ruled: Ruled, monkeypatch: pytest.MonkeyPatch) -> None:
    url, r = add(hub, a__bin=BAD), await ruled(SCAN)
    denied(await got(r, f"{url}/a.bin"))
    monkeypatch.setattr(scanning, "ENGINE", "another")
    denied(await got(r, f"{url}/a.bin"))
    await r.close()
    r = await ruled(SCAN)
    denied(await got(r, f"{url}/a.bin"))
    assert scans(r) == 0
    await r.close()
    r = await ruled(SCAN, scan={"commands": [[sys.executable, "-c", "", "{file}"]]})
    denied(await got(r, f"{url}/a.bin"))
    assert scans(r) == 1


async def test_the_same_bytes_under_another_name_are_looked_into_by_that(hub: TestHub, ruled: Ruled) -> None:
    evil = b"{{ ''.__class__ }}"
    url, r = add(hub, notes__txt=evil, chat__jinja=evil), await ruled(SCAN)
    assert (await got(r, f"{url}/notes.txt")).status == 200
    denied(await got(r, f"{url}/chat.jinja"), "scan.gguf_template")
    assert scans(r) == 2


async def test_bytes_stay_while_they_are_looked_into(
    hub: TestHub, ruled: Ruled, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, free = add(hub, a__bin=BULKY), await ruled("version: 1\n")
    await got(free, f"{url}/a.bin")
    await free.idle()
    await free.close()
    r = await ruled(SCAN)
    pins, looked, pinned = r.parts.store._pins, r.parts.scanner.findings, list[bool]()

    async def findings(data: Data, name: str) -> Findings:
        pinned.append("sha256:" + hub.digest("acme/scanned", "a.bin") in pins)
        return await looked(data, name)

    monkeypatch.setattr(r.parts.scanner, "findings", findings)
    assert (await got(r, f"{url}/a.bin", method="HEAD")).status == 200
    assert pinned == [True] and not pins.counted


@pytest.mark.parametrize(("status", "rule", "told"), [(1, "scan.pickle", "mine/found"), (3, "scan.on_error", "a.bin")])
async def test_another_scanner_may_make_it_worse(hub: TestHub, ruled: Ruled, status: int, rule: str, told: str) -> None:
    script = f"import sys; sys.exit({status} if len(open(sys.argv[1], 'rb').read()) == {len(GOOD)} else 0)"
    command = {"name": "mine", "argv": [sys.executable, "-c", script, "{file}"]}
    url, r = add(hub, a__bin=GOOD, b__bin=BULKY), await ruled(SCAN, scan={"commands": [command]})
    assert told in denied(await got(r, f"{url}/a.bin"), rule)
    assert (await got(r, f"{url}/b.bin")).status == 200
    assert [*(r.parts.store._directory / "scan").iterdir()] == []


# -- a scanner that fails --------------------------------------------------------------------------------------------

_WORKERS = {
    "ends": "import sys; sys.stdin.readline()",
    "hangs": "import sys, time; sys.stdin.readline(); time.sleep(60)",
    "prints rubbish": "import sys; sys.stdin.readline(); print('{}', flush=True); sys.stdin.readline()",
    "says clean of another": (
        'import sys; sys.stdin.readline(); print(\'{"id": 7, "findings": '
        '{"kind": "none", "imports": [], "template": null, "problems": []}}\', flush=True); sys.stdin.readline()'
    ),
    "does not start": None,
}


def failing(r: Rig, script: str | None) -> None:
    """What scans from now on."""
    command = ("/nonexistent",) if script is None else (sys.executable, "-c", script)
    broken = Scanner(limits=Limits(), seconds=1.0, command=command)
    object.__setattr__(r.parts.engine.contents._means, "scanner", broken)


@pytest.mark.parametrize("how", _WORKERS)
async def test_a_scanner_that_fails_leaves_it_to_the_rule(hub: TestHub, ruled: Ruled, how: str) -> None:
    url = add(hub, a__bin=BAD, b__safetensors=b"")
    strict, lax = await ruled(PICKLE), await ruled(LAX, dir="lax")
    for r in (strict, lax):
        failing(r, _WORKERS[how])
    assert "a.bin could not be scanned" in denied(await got(strict, f"{url}/a.bin"), "scan.on_error")
    reply = await got(lax, f"{url}/a.bin")
    assert (reply.status, reply.body) == (200, BAD)
    assert strict.parts.engine.contents.verdicts == {"clean": 0, "found": 0, "unknown": 1}


async def test_what_a_broken_scanner_said_is_not_kept(hub: TestHub, ruled: Ruled, clock: object) -> None:
    url, r = add(hub, a__bin=GOOD), await ruled(SCAN)
    works = r.parts.scanner
    failing(r, "")
    denied(await got(r, f"{url}/a.bin"), "scan.on_error")
    object.__setattr__(r.parts.engine.contents._means, "scanner", works)
    denied(await got(r, f"{url}/a.bin"), "scan.on_error")
    assert scans(r) == 1  # not at once for each that asks
    clock.leap(700)  # type: ignore[attr-defined]
    assert (await got(r, f"{url}/a.bin")).body == GOOD
    await r.close()
    r = await ruled(SCAN)
    assert (await got(r, f"{url}/a.bin")).body == GOOD and scans(r) == 0


async def test_a_pickle_of_which_not_all_is_known_is_denied_for_what_is_known(hub: TestHub, ruled: Ruled) -> None:
    """Whatever the rule says of errors; and what is allowed of it does not let the rest pass."""
    url = add(hub, bad__pkl=made.payload("os")[:-1], odd__pkl=made.named("torch", "FloatStorage") + b"\xff\xff")
    strict, lax = await ruled(PICKLE), await ruled(LAX, dir="lax")
    for r in (strict, lax):
        assert "os.system" in denied(await got(r, f"{url}/bad.pkl"))
    denied(await got(strict, f"{url}/odd.pkl"), "scan.on_error")
    assert (await got(lax, f"{url}/odd.pkl")).status == 200


async def test_a_rule_by_imports_waits_for_the_scan(hub: TestHub, ruled: Ruled) -> None:
    match = "{pickle_imports: ['os.*']}"
    what = f"match: {match}, reason: '{{path}}: {{pickle_imports}}.'"
    rule = f"version: 1\nrules:\n  - {{id: no-os, effect: deny, {what}}}"
    url, r = add(hub, a__bin=made.torch_file(made.payload("os", 2)), b__bin=BAD), await ruled(rule)
    assert "a.bin: os.system." in denied(await got(r, f"{url}/a.bin"), "no-os")
    assert (await got(r, f"{url}/b.bin")).status == 200


async def test_in_audit_mode_it_is_told_and_passes(hub: TestHub, ruled: Ruled) -> None:
    url, r = add(hub, a__bin=BAD), await ruled(SCAN.replace("version: 1", "version: 1\nmode: audit"))
    reply = await got(r, f"{url}/a.bin")
    assert reply.body == BAD and "scan.pickle" in (reply.header("X-Policy-Audit") or "")
    assert r.parts.engine.contents.verdicts["found"] == 1


@pytest.mark.parametrize(("rules", "passes"), [(SCAN, False), (LAX, True)])
@pytest.mark.usefixtures("at_once")
async def test_a_disk_that_does_not_take_it_leaves_it_to_the_rule(
    hub: TestHub, ruled: Ruled, monkeypatch: pytest.MonkeyPatch, rules: str, passes: bool
) -> None:
    data = large(made.state_dict({"w": 12}))
    url, r = add(hub, a__bin=BULKY, b__bin=data), await ruled(rules)
    store = r.parts.store
    assert isinstance(store, DiskStore)

    async def full(blob: str, index: int, data: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.blobs, "write_piece", full)
    small, big = await got(r, f"{url}/a.bin"), await got(r, f"{url}/b.bin")
    assert (small.body == BULKY, big.body == data) == (passes, passes)
    assert small.header("X-Policy-Rule") == (None if passes else "scan.on_error")
    assert (big.cut or big.header("X-Policy-Rule") == "scan.on_error") == (not passes)
    assert passes or len(big.body) <= len(data) - TAIL
    assert hub.bodies_of(hub.digest("acme/scanned", "b.bin")) == 1.0
