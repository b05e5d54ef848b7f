"""What the hub is asked on everybody's behalf is in nobody's hand: nothing that one client sends makes it fail."""

from __future__ import annotations

import json

import pytest

from proxy_addon.answer.agent import agent_of
from proxy_addon.core.messages import Headers
from tests.conftest import Starter
from tests.engine.rig import LINK
from tests.engine.test_facts import licence, of
from tests.engine.test_origins import whose
from tests.engine.test_xet import true
from tests.engine.xet_client import XetClient, links
from tests.hub import Repo, TestHub
from tests.hub.ms_reply import number

HF, MS = "https://huggingface.co", "https://www.modelscope.cn"
LONG = "x" * 9000  # as a field the hub does not take it
NAMED = {"User-Agent": LONG}


@pytest.mark.parametrize(
    ("said", "agent"),
    [
        (None, "hubgate"),
        ("", "hubgate"),
        ("hf_hub/1.0; python/3.13", "hf_hub/1.0; python/3.13"),
        ("x" * 512, "x" * 512),
        ("x" * 513, "hubgate"),
        ("a\tb", "hubgate"),
        ("caf\u00e9", "hubgate"),
        ("a\r\nb: c", "hubgate"),
    ],
)
def test_an_agent_is_short_and_plain(said: str | None, agent: str) -> None:
    assert agent_of(Headers(() if said is None else (("User-Agent", said),))) == agent


async def test_who_asks_with_a_head_that_no_hub_takes_decides_for_nobody(hub: TestHub, start: Starter) -> None:
    r = await start()
    for url in (f"{HF}/acme/tiny/resolve/main/old.bin", f"{HF}/acme/tiny/raw/main/config.json"):
        assert (await r.get(url, {"User-Agent": LONG})).status == 200
    assert {asked.headers["user-agent"] for asked in hub.requests()} == {"hubgate"}


@pytest.mark.parametrize(
    ("spelled", "path", "query"),
    [
        ("huggingface.co/acme/tiny/raw/main/sub%2Fdir/a.txt?x=1", "/acme/tiny/raw/main/sub/dir/a.txt", ""),
        ("hf.co/acme/tiny/raw/%6dain/config.json", "/acme/tiny/raw/main/config.json", ""),
        ("hf.co/api/models/acme/%74iny/?blobs=True&", "/api/models/acme/tiny", "blobs=true"),
    ],
)
async def test_the_hub_is_asked_for_what_is_meant_however_it_is_spelled(
    hub: TestHub, start: Starter, spelled: str, path: str, query: str
) -> None:
    hub.repo("acme/tiny").commit({"sub/dir/a.txt": "text"})
    r = await start()
    assert (await r.get(f"https://{spelled}", {"Accept": "text/html", "Content-Type": "text/html"})).status == 200
    (asked,) = hub.requests()
    assert (asked.host, asked.path, asked.query, asked.headers["accept"]) == ("huggingface.co", path, query, "*/*")
    assert "content-type" not in asked.headers


async def test_nor_of_a_link(hub: TestHub, start: Starter) -> None:
    r = await start()
    link = (await r.get(f"{HF}/acme/tiny/resolve/main/old.bin", LINK)).header("Location") or ""
    got = await r.get(link, NAMED)
    assert got.status == 200 and len(got.body) == hub.repo("acme/tiny").file("old.bin").size


async def test_nor_of_a_range_of_a_xorb(hub: TestHub, start: Starter) -> None:
    r = await start(hubs__huggingface={"xet": "native"})
    asked = links(await XetClient(r).told(true(hub)[0]))[0]
    assert (await r.get(asked.url, {"Range": asked.range, **NAMED})).status == 206


async def test_nor_of_a_manifest_whatever_he_takes(hub: TestHub, start: Starter) -> None:
    files, storage = {"q-Q4_K_M.gguf": b"GGUF" * 100}, {"q-Q4_K_M.gguf": "lfs"}
    hub.add(Repo("me/q-GGUF", files=files, storage=storage))  # type: ignore[arg-type]
    got = await (await start()).get("https://hf.co/v2/me/q-GGUF/manifests/Q4_K_M", {"Accept": LONG, **NAMED})
    assert got.status == 200 and json.loads(got.body)["layers"]


async def test_nor_of_a_question_whatever_he_calls_its_body(hub: TestHub, start: Starter) -> None:
    r, body = await start(), b'{"paths":["config.json"]}'
    got = await r.get(f"{HF}/api/models/acme/tiny/paths-info/main", {"Content-Type": LONG}, "POST", body)
    assert got.status == 200
    (asked,) = hub.requests()
    assert asked.headers.get("content-type") != LONG


async def test_nor_of_facts_and_of_numbers(hub: TestHub, start: Starter) -> None:
    r = await start()
    assert await licence(r, of("acme/private", "main"), {"Authorization": "Bearer hf_reader", **NAMED}) == "mit"
    shut = hub.add(Repo("me/ds", "dataset", {"a.txt": "a"}, hub="modelscope", private=True, readers={"ms_reader"}))
    url = f"{MS}/api/v1/datasets/{number(shut)}/repo?Revision=master&FilePath=a.txt"
    (found,) = await whose(r, url, {"Authorization": "Bearer ms_reader", **NAMED}) or ()
    assert found.repo.id == "me/ds"
