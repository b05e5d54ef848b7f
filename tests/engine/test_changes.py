"""Requests that change something: what was kept of it before is not used again, and nothing goes in the clear."""

from __future__ import annotations

import pytest

from proxy_addon.config.places import OtherHost
from proxy_addon.core.messages import Finished
from proxy_addon.core.status import Outcome
from tests.conftest import Starter
from tests.engine.rig import Rig, request_for
from tests.hub import Scripted, TestHub

H = "https://huggingface.co"
P = "https://plain.example"


async def passed(r: Rig, method: str, url: str, hub: str, kind: str, status: int = 200) -> None:
    """As the edge tells it of a request that it has relayed by itself."""
    request = request_for(method, url, {"Content-Length": "20000000"})
    assert not r.parts.engine.takes(request)
    r.parts.engine.completed(Finished(request, status, Outcome(), hub, kind))
    await r.parts.engine.settle()


async def test_a_repo_that_was_changed_has_to_be_proven_public_again(hub: TestHub, start: Starter) -> None:
    r, repo = await start(), hub.repo("acme/tiny")
    urls = [f"{H}/acme/tiny/resolve/{repo.head}/config.json", f"{H}/api/models/acme/tiny/tree/{repo.head}"]
    for url in urls:
        await r.get(url)
    await r.idle()
    repo.private = True
    assert [(await r.get(url)).status for url in urls] == [200, 200]
    await passed(r, "PUT", f"{H}/api/models/acme/tiny/settings", "huggingface", "upload")
    assert [(await r.get(url)).status for url in urls] == [401, 401]


@pytest.mark.parametrize(("status", "again"), [(200, b"new"), (500, b"old")])
async def test_a_long_upload_elsewhere_makes_what_is_kept_of_it_wrong(
    hub: TestHub, start: Starter, status: int, again: bytes
) -> None:
    r = await start(hubs__others=(OtherHost("plain.example"),))
    fresh = {"Cache-Control": "max-age=600"}
    hub.script("/x", Scripted(200, fresh, "old"), Scripted(200, fresh, "new"))
    await r.get(f"{P}/x")
    await passed(r, "PUT", f"{P}/x", "other", "plain", status)
    assert (await r.get(f"{P}/x")).body == again


@pytest.mark.parametrize("path", ["/api/models/acme/tiny/commit/main", "/acme/tiny.git/git-receive-pack", "/x"])
@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_change_in_the_clear_is_sent_to_https(hub: TestHub, start: Starter, method: str, path: str) -> None:
    r, url = await start(), f"http://huggingface.co{path}"
    assert r.parts.engine.takes(request_for(method, url))
    got = await r.get(url, {"Authorization": "Bearer hf_reader"}, method)
    assert (got.status, got.header("Location")) == (308, f"{H}{path}")
    assert hub.requests() == []
