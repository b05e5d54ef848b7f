"""The open API of ModelScope tells of a closed repo whoever may see it, by which field ever he shows who he is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Starter
from tests.engine.rig import Clock, Got, request_for
from tests.engine.test_enforcement import answered, is_denied
from tests.hub import Repo, TestHub

M = "https://www.modelscope.cn"
GRACE = 3600.0
WAYS = {
    "token": lambda token: {"Authorization": f"Bearer {token}"},
    "cookie": lambda token: {"Cookie": f"m_session_id={token}"},
    "cookies": lambda token: {"Cookie": f"m_session_id={token}; modelscope_session={token}"},
    "the other cookie": lambda token: {"Cookie": f"acw_tc=1; modelscope_session={token}"},
    "all": lambda token: {
        "Authorization": f"Bearer {token}",
        "Cookie": f"acw_tc=x; m_session_id={token}; modelscope_session={token}",
    },
}
NO_MIT = "version: 1\nrules:\n  - {id: no-mit, effect: deny, match: {license: {id: mit}}, reason: no}\n"
NO_NC = NO_MIT.replace("mit", "cc-by-nc-4.0")


def hit(got: Got) -> bool:
    return got.status == 200 and got.cache.startswith("hubgate; hit")


@pytest.fixture
def shut(hub: TestHub) -> str:
    files, readers = {"README.md": "---\nlicense: mit\n---\n"}, {"ms_reader"}
    for kind in ("model", "dataset", "studio"):
        hub.add(Repo("acme/shut", kind, files=files, private=True, readers=readers, hub="modelscope"))
    return f"{M}/openapi/v1/models/acme/shut"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["models", "studios"])
async def test_told_again_to_him_and_to_nobody_else(
    hub: TestHub, start: Starter, clock: Clock, shut: str, kind: str, way: str
) -> None:
    shut = shut.replace("/models/", f"/{kind}/")
    r, his, others = await start(access__offline_grace=GRACE), WAYS[way]("ms_reader"), WAYS[way]("ms_other")
    cold = await r.get(shut, his)
    assert cold.status == 200 and "acme/shut" in cold.body.decode() and cold.header("Cache-Control") == "private"
    hub.clear()
    assert hit(again := await r.get(shut, his)) and again.body == cold.body and not hub.requests()
    for who in ({}, others, {"Cookie": "acw_tc=1"}):
        assert (await r.get(shut, who)).status in (401, 404), who
        assert r.parts.engine.quick(request_for("GET", shut, who)) is None
    hub.clear()
    clock.leap(301)
    assert (await r.get(shut, his)).status == 200 and hub.requests(), "after a lease the hub is asked again"
    shown = " ".join(hub.requests()[-1].headers.get(name, "") for name in ("authorization", "cookie"))
    assert "ms_reader" in shown and "acw_tc" not in shown, "what names him, and nothing else"
    clock.leap(301)
    hub.stop()
    assert (await r.get(shut, his)).status == 200, "within the grace"
    assert (await r.get(shut, others)).status >= 500


@pytest.mark.parametrize("way", WAYS)
async def test_a_refusal_ends_it(hub: TestHub, start: Starter, shut: str, way: str) -> None:
    r, his = await start(access__offline_grace=GRACE), WAYS[way]("ms_reader")
    assert (await r.get(shut, his)).status == 200
    hub.repo("acme/shut", hub="modelscope").admitted = frozenset()
    assert (await r.get(shut, his | {"Cache-Control": "no-cache"})).status in (401, 404)
    hub.stop()
    assert (await r.get(shut, his)).status >= 500


@pytest.mark.parametrize("way", WAYS)
async def test_what_all_may_see_is_shared_and_costs_no_credential(hub: TestHub, start: Starter, way: str) -> None:
    r, url = await start(), f"{M}/openapi/v1/models/acme/tiny"
    cold = await r.get(url, WAYS[way]("ms_reader"))
    warm = await r.get(url)
    assert cold.status == 200 and hit(warm) and warm.body == cold.body
    assert hit(await r.get(url, WAYS[way]("ms_other")))
    (asked,) = hub.requests()
    assert not {"authorization", "cookie"} & asked.headers.keys()


@pytest.mark.parametrize("way", ["token", "cookie", "cookies", "all"])
async def test_rules_ask_with_what_he_shows(hub: TestHub, start: Starter, tmp_path: Path, shut: str, way: str) -> None:
    his = WAYS[way]("ms_reader")
    for name, text in (("no-mit", NO_MIT), ("no-nc", NO_NC)):
        (tmp_path / name).with_suffix(".yaml").write_text(text)
    open_to_him = await start("one", rules=(tmp_path / "no-nc.yaml",))
    assert (await open_to_him.get(shut, his)).status == 200
    assert (await open_to_him.get(shut)).status in (401, 404)
    closed = await start("two", rules=(tmp_path / "no-mit.yaml",))
    assert is_denied(await answered(closed, "GET", shut, his), "no-mit")


async def test_one_session_by_two_names_is_one_holder(hub: TestHub, start: Starter) -> None:
    """What he is told by the open API ends with a refusal that he hears elsewhere; two sessions are two."""
    hub.add(Repo("acme/shut", files={"a": "a"}, private=True, readers={"ms_reader", "ms_other"}, hub="modelscope"))
    r, url = await start(access__offline_grace=GRACE), f"{M}/openapi/v1/models/acme/shut"
    one, both = WAYS["cookie"]("ms_reader"), WAYS["cookies"]("ms_reader")
    mixed = {"Cookie": "m_session_id=ms_reader; modelscope_session=ms_other"}
    assert [(await r.get(url, who)).status for who in (both, mixed)] == [200, 200]
    hub.clear()
    assert hit(await r.get(url, one)) and hit(await r.get(url, both)) and not hub.requests()
    hub.repo("acme/shut", hub="modelscope").admitted = frozenset({"ms_other"})
    assert (await r.get(f"{M}/api/v1/models/acme/shut", one)).status == 404
    hub.stop()
    assert (await r.get(url, both)).status >= 500
    assert hit(await r.get(url, mixed)), "of another holder nothing was said"
