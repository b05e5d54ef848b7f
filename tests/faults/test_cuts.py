"""R9: a hub that cuts a body, lies about how long it is, or never ends it.

Whatever can be mended is: the client gets the whole file, and the hub is asked for the rest only. Whatever cannot is
told before the body, or shows as a reply without its proper end. No short body ever ends as if it were whole.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path

import pytest

from tests.bench.process import memory
from tests.faults.asking import Ask, Placed, Took, chance, crowd, curl, many, placed, settled, take, together
from tests.faults.invariants import served_without
from tests.hub import Repo, Synthetic, TestHub
from tests.hub.exchange import Answer, Exchange
from tests.hub.repo import Hub, Storage
from tests.processes import Hubgate

type Fault = Callable[[random.Random, int], dict[str, object]]

PLACES: dict[str, tuple[Hub, Storage, int]] = {  # hub, where it keeps the file, bytes
    "lfs": ("huggingface", "lfs", 9_500_000),
    "xet bridge": ("huggingface", "xet", 5_000_000),
    "git": ("huggingface", "git", 40_000),
    "modelscope": ("modelscope", "lfs", 5_000_000),
}
MENDED: dict[str, Fault] = {
    "cut": lambda rnd, size: {"drop_after": rnd.randrange(min(size, 4_000_000)), "times": rnd.randint(1, 4)},
    "reset": lambda rnd, size: {"drop_after": rnd.randrange(min(size, 4_000_000)), "drop_rst": True, "times": 2},
    "cut before the body": lambda rnd, size: {"drop_after": 0, "times": rnd.randint(1, 3)},
    "cut again and again": lambda rnd, size: {"drop_after": rnd.randint(size // 6, size // 2)},
    "chunked and cut": lambda rnd, size: {"chunked": True, "drop_after": rnd.randrange(size // 3), "times": 2},
    "chunked without end": lambda rnd, size: {"chunked": True, "stall_after": rnd.randrange(size // 3), "times": 1},
    "shorter than the range": lambda rnd, size: {"length_lie": -rnd.randint(1, 800_000), "skip": 1, "times": 1},
    "no ranges, and cut": lambda rnd, size: {"range_ignored": True, "drop_after": rnd.randrange(size), "times": 2},
}
BROKEN: dict[str, Fault] = {
    "cut at once, always": lambda rnd, size: {"drop_after": 0},
    "shorter than it is": lambda rnd, size: {"length_lie": -rnd.randint(1, size)},
    "longer than it is": lambda rnd, size: {"length_lie": rnd.randint(1, size)},
    "a coding that it has not": lambda rnd, size: {"headers": {"Content-Encoding": rnd.choice(["gzip", "br", "x"])}},
}


def made(hub: TestHub, place: str, name: str, rnd: random.Random) -> Placed:
    """A file that nobody has asked for."""
    site, storage, size = PLACES[place]
    source = Synthetic(size + rnd.randrange(1000), rnd.randrange(1 << 30))
    return placed(hub, Repo(f"cuts/{name}", files={"b.bin": source}, storage={"b.bin": storage}, hub=site), "b.bin")


def tried(
    hub: TestHub, proxy: Hubgate, folder: Path, name: str, faults: dict[str, Fault]
) -> list[tuple[str, Placed, Took]]:
    """Each fault at each place, all at the same time, each met by one client or another."""
    rnd, files, asks = chance(name), list[tuple[str, Placed]](), list[Callable[[], Took]]()
    for place, fault, _ in product(PLACES, faults, range(many(1))):
        file = made(hub, place, f"{name}-{len(files)}", rnd)
        if not (effect := faults[fault](rnd, file.source.size)):
            continue  # of so small a file there is no such fault
        hub.knob(host=file.host, path=file.path, method="GET", **effect)
        how = rnd.choice(["plain", "--http1.1", "--http2"])
        plain = partial(take, proxy, file.url)
        asks.append(plain if how == "plain" else partial(curl, proxy, folder / str(len(files)), file.url, how))
        files.append((f"{fault} at {place}, {how}", file))
    got = together(asks)
    for what, file in files:
        assert hub.requests(method="GET", host=file.host, path=file.path), f"{what}: it was not tried"
    return [(what, file, took) for (what, file), took in zip(files, got, strict=True)]


@pytest.mark.fault("R9", tries=32)
def test_what_is_cut_is_mended(hub: TestHub, hasty: Hubgate, tmp_path: Path) -> None:
    found = tried(hub, hasty, tmp_path, "mended", MENDED)
    for what, file, got in found:
        assert got.right(file.source), f"{what}: {got}"
    assert len([r for r in hub.requests(method="GET") if r.cut]) > len(found)
    settled(hasty)
    served_without(hub, hasty, {file.url: file.source for _, file, _ in found})


@pytest.mark.fault("R9", tries=16)
def test_what_cannot_be_mended_does_not_end_well(hub: TestHub, hasty: Hubgate, tmp_path: Path) -> None:
    found = tried(hub, hasty, tmp_path, "broken", BROKEN)
    for what, file, got in found:
        assert got.cut or got.refused or got.right(file.source), f"{what}: {got}"
    assert len([got for _, _, got in found if got.cut or got.refused]) > len(found) / 2
    hub.unknob()
    for what, file, _ in found:
        assert (again := take(hasty, file.url)).right(file.source), f"{what}: {again}"
    settled(hasty)
    served_without(hub, hasty, {file.url: file.source for _, file, _ in found})


PLAIN = "https://plain.example"
STRONG = {"ETag": '"one"', "Cache-Control": "max-age=60"}
LARGE = Synthetic(6_000_000, 11)
SMALL = Synthetic(50_000, 12)


@pytest.mark.fault("R9", tries=2)
@pytest.mark.parametrize("how", ["--http1.1", "--http2"])
def test_a_plain_body_goes_on_where_it_was_cut_if_it_is_still_the_same(
    hub: TestHub, hasty: Hubgate, tmp_path: Path, how: str
) -> None:
    rnd = chance(f"plain {how}")
    hub.on("/*", lambda ex: Answer(200, [*STRONG.items()], LARGE, ranges=True))
    hub.knob(host="plain.example", drop_after=rnd.randrange(1, 2_000_000), times=2)
    got = curl(hasty, tmp_path / "curl", f"{PLAIN}/resumed{how}", how)
    assert got.right(LARGE), got
    assert [q.headers.get("if-range") for q in hub.requests(host="plain.example")] == [None, '"one"', '"one"']


ENDS: dict[str, tuple[Synthetic, dict[str, str], dict[str, object]]] = {
    "cut, and nothing says what it was": (LARGE, {}, {"drop_after": 1_000_000}),
    "cut, and then it is another": (LARGE, STRONG, {"drop_after": 1_000_000}),
    "chunked, short and cut": (SMALL, {}, {"drop_after": 20_000, "chunked": True}),
    "chunked, long and cut": (LARGE, {}, {"drop_after": 5_000_000, "chunked": True}),
    "chunked without end": (SMALL, {}, {"stall_after": 20_000, "chunked": True}),
    "chunked without end, long": (LARGE, {}, {"stall_after": 5_000_000, "chunked": True}),
    "longer than it is": (SMALL, {}, {"length_lie": 10}),
}


@pytest.mark.fault("R9", tries=2)
@pytest.mark.parametrize("name", ENDS)
def test_a_plain_body_that_does_not_end_well_is_not_ended_well(
    hub: TestHub, hasty: Hubgate, tmp_path: Path, name: str
) -> None:
    source, fields, effect = ENDS[name]
    asked: dict[str, int] = {}

    def answer(ex: Exchange) -> Answer:
        asked[ex.path] = asked.get(ex.path, 0) + 1
        named = {**fields, "ETag": f'"{asked[ex.path]}"'} if fields else {}
        return Answer(200, [("Cache-Control", "max-age=60"), *named.items()], source, ranges=True)

    hub.on("/*", answer)
    hub.knob(host="plain.example", **effect)
    url = f"{PLAIN}/{name.replace(' ', '-')}"
    got = together([partial(curl, hasty, tmp_path / how, f"{url}{how}", how) for how in ("--http1.1", "--http2")])
    assert [took for took in got if not took.cut and not took.refused] == []
    hub.unknob()
    assert take(hasty, f"{url}--http2").right(source)


DOCUMENTS = (
    "https://huggingface.co/api/models/acme/tiny",
    "https://huggingface.co/api/models/acme/tiny/tree/main?recursive=true",
    "https://www.modelscope.cn/api/v1/models/acme/tiny/revisions",
)
MS_LISTING = "https://www.modelscope.cn/api/v1/models/acme/tiny/repo/files?Revision=master&Recursive=true"
JSON_FAULTS: dict[str, dict[str, object]] = {
    "cut": {"drop_after": 20},
    "chunked and cut": {"drop_after": 20, "chunked": True},
    "chunked without end": {"stall_after": 20, "chunked": True},
    "longer than it is": {"length_lie": 3},
    "a coding that it has not": {"headers": {"Content-Encoding": "gzip"}},
}


@pytest.mark.fault("R9", tries=3)
@pytest.mark.parametrize("name", JSON_FAULTS)
def test_a_document_is_whole_or_is_none(hub: TestHub, hasty: Hubgate, name: str) -> None:
    urls = [f"{url}{'&' if '?' in url else '?'}n={len(name)}" for url in DOCUMENTS]
    hub.knob(path="/api/*", **JSON_FAULTS[name])
    for got in crowd(hasty, [Ask(url) for url in urls]):
        assert got.cut or got.refused, got
    hub.unknob()
    assert all(json.loads(take(hasty, url).body) for url in urls)


@pytest.mark.fault("R9")
def test_a_document_that_breaks_off_in_the_hubs_own_words_is_not_kept(hub: TestHub, hasty: Hubgate) -> None:
    """ModelScope says by the body how it went: one that says nothing is told as it is."""
    hub.knob(path="/api/*", length_lie=-3)
    assert (got := take(hasty, MS_LISTING)).whole and got.body[-1:] != b"}"
    hub.unknob()
    hub.clear()
    assert json.loads(take(hasty, MS_LISTING).body)
    assert "if-none-match" not in hub.requests(path="/api/v1/*")[0].headers


@pytest.mark.fault("R9")
def test_a_document_that_never_ends_is_refused_and_takes_no_memory(hub: TestHub, hasty: Hubgate) -> None:
    before, families = memory(hasty.pid, "VmHWM"), hub.families
    endless = Synthetic(1 << 30, 3)

    async def answer(hub: TestHub, ex: Exchange) -> Answer:
        return Answer(200, [("Content-Type", "application/json")], endless)

    hub.families = [("huggingface.co", answer), *families]
    hub.knob(chunked=True)
    got = take(hasty, "https://huggingface.co/api/models/acme/tiny?endless=1")
    hub.families = families
    assert got.refused and b"more than" in got.body, got
    assert hub.bytes_sent() < 200_000_000 and memory(hasty.pid, "VmHWM") - before < 200_000_000


@pytest.mark.fault("R9", tries=2)
@pytest.mark.parametrize("effect", [{"drop_after": 9}, {"chunked": True, "drop_after": 9}, {"length_lie": 9}])
def test_what_is_only_passed_on_ends_as_it_came(
    hub: TestHub, hasty: Hubgate, tmp_path: Path, effect: dict[str, object]
) -> None:
    """A private text: nothing of it is kept, and nothing can be resumed."""
    token = "Authorization: Bearer hf_reader"
    hub.knob(path="/acme/private/raw/*", **effect)
    url = "https://huggingface.co/acme/private/raw/main/config.json"
    for how in ("--http1.1", "--http2"):
        got = curl(hasty, tmp_path / "curl", url, how, "-L", "-H", token, "-H", "Cache-Control: no-store")
        assert got.cut and got.size > 0, got


@pytest.mark.fault("R9", tries=2)
def test_json_that_breaks_off_where_its_framing_ends_is_no_document(hub: TestHub, hasty: Hubgate) -> None:
    hub.knob(path="/api/*", length_lie=-3)
    for url in DOCUMENTS[:2]:
        assert (got := take(hasty, url)).refused and b"not with JSON" in got.body, got
    hub.unknob()
    assert all(json.loads(take(hasty, url).body) for url in DOCUMENTS[:2])
