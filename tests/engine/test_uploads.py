"""`uploads: deny`: whatever writes to a hub is refused here and never heard of there; whatever reads goes on."""

from __future__ import annotations

import json

import pytest

from proxy_addon.config.places import OtherHost
from proxy_addon.core.messages import Pass
from tests.conftest import Starter
from tests.engine.rig import request_for
from tests.hub import Scripted, TestHub

H, TOKEN = "https://huggingface.co", {"Authorization": "Bearer hf_reader"}
LONG = {"Content-Length": "50000000000"}
WRITES = [
    ("GET", f"{H}/acme/tiny/info/refs?service=git-receive-pack"),
    ("GET", f"{H}/datasets/acme/tiny-ds.git/info/refs?service=git-receive-pack"),
    ("POST", f"{H}/acme/tiny.git/git-receive-pack"),
    ("POST", f"{H}/acme/tiny.git/info/lfs/locks"),
    ("POST", f"{H}/acme/tiny.git/info/lfs/locks/1/unlock"),
    ("POST", f"{H}/acme/tiny.git/info/lfs/objects"),
    ("POST", f"{H}/acme/tiny.git/info/lfs/objects/verify"),
    ("PUT", f"{H}/acme/tiny.git/info/lfs/x"),
    ("DELETE", f"{H}/acme/tiny.git/git-upload-pack"),
    ("POST", f"{H}/api/models/acme/tiny/preupload/main"),
    ("POST", f"{H}/api/models/acme/tiny/commit/main"),
    ("POST", f"{H}/api/repos/create"),
    ("DELETE", f"{H}/api/repos/delete"),
    ("PUT", f"{H}/api/models/acme/tiny/settings"),
    ("POST", f"{H}/acme/tiny/resolve/main/x"),
    ("PATCH", f"{H}/x"),
    ("POST", "https://hf.co/v2/acme/tiny/blobs/uploads"),
    ("PUT", f"https://cdn-lfs.hf.co/{'a' * 64}"),
    ("POST", "https://cas-server.xethub.hf.co/v1/xorbs/default/x"),
    ("POST", "https://cas-server.xethub.hf.co/shards"),
]
READS = [
    ("GET", f"{H}/acme/tiny/info/refs?service=git-upload-pack"),
    ("POST", f"{H}/acme/tiny.git/git-upload-pack"),
    ("POST", f"{H}/acme/tiny.git/info/lfs/locks/verify"),
    ("POST", f"{H}/oauth/token"),
    ("POST", "https://router.huggingface.co/v1/chat/completions"),
    ("OPTIONS", f"{H}/api/models/acme/tiny"),
    ("OPTIONS", f"{H}/acme/tiny/resolve/main/x"),
    ("OPTIONS", f"{H}/acme/tiny.git/git-receive-pack"),
    ("OPTIONS", "https://www.modelscope.cn/api/v1/repos/models/acme/tiny/commit/master"),
]


def batch(operation: object) -> bytes:
    return json.dumps({"operation": operation, "transfers": ["basic"], "objects": []}).encode()


@pytest.mark.parametrize(("method", "url"), WRITES)
async def test_what_writes_is_refused_here(hub: TestHub, start: Starter, method: str, url: str) -> None:
    r = await start(uploads="deny")
    asked = request_for(method, url, TOKEN | LONG)
    assert r.parts.engine.takes(asked)
    refused = r.parts.engine.refuses(asked)
    got = await r.get(url, TOKEN, method)
    for reply in (refused, got.reply):
        assert reply is not None and reply.status == 403 and b"uploads: deny" in bytes(reply.body)  # type: ignore[arg-type]
        assert "read-only" in (reply.headers.get("X-Error-Message") or "")
        assert reply.headers.get("Cache-Status") == "hubgate; detail=denied"
        assert reply.headers.get("Content-Length") == str(len(bytes(reply.body)))  # type: ignore[arg-type]
    assert hub.requests() == []


@pytest.mark.parametrize(("method", "url"), WRITES)
async def test_by_default_it_is_relayed(hub: TestHub, start: Starter, method: str, url: str) -> None:
    engine = (await start()).parts.engine
    asked = request_for(method, url, TOKEN | LONG)
    assert (engine.takes(asked), engine.refuses(asked)) == (False, None)
    assert isinstance(await engine.handle(asked), Pass)


@pytest.mark.parametrize(("method", "url"), READS)
async def test_what_reads_is_relayed_all_the_same(hub: TestHub, start: Starter, method: str, url: str) -> None:
    engine = (await start(uploads="deny")).parts.engine
    asked = request_for(method, url, LONG)
    assert (engine.takes(asked), engine.refuses(asked)) == (False, None)


async def test_what_is_answered_here_is_answered_all_the_same(hub: TestHub, start: Starter) -> None:
    r = await start(uploads="deny", hubs__others=(OtherHost("plain.example"),))
    assert (await r.get(f"{H}/acme/tiny/resolve/main/config.json")).status == 200
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    paths = await r.get(f"{H}/api/models/acme/tiny/paths-info/main", form, "POST", b"paths=config.json")
    assert paths.status == 200 and json.loads(paths.body)[0]["path"] == "config.json"
    assert (await r.get(f"{H}/api/telemetry/x", method="POST")).status == 200
    hub.script("/x", Scripted(200, {}, "done"))
    assert (await r.get("https://plain.example/x", method="POST", body=b"x")).body == b"done"
    assert (await r.get("http://huggingface.co/x", method="PUT")).status == 308


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (batch("download"), 200),
        (batch("upload"), 403),
        (batch("verify"), 403),
        (batch(None), 403),
        (b"{}", 403),
        (b"[]", 403),
        (b"\x1f\x8b", 403),
        (b'{"operation":"download","operation":"upload"}', 403),
        (b'{"operation":"upload","operation":"download"}', 403),
        (b'{"operation":"download","Operation":"upload"}', 403),
        ('{"operation":"download"}'.encode("utf-16"), 403),
        (b'[["operation","download"]]', 403),
        (b"[" * 100_000, 403),
    ],
)
async def test_a_batch_is_for_downloads_beyond_doubt(hub: TestHub, start: Starter, body: bytes, status: int) -> None:
    r = await start(uploads="deny")
    got = await r.get(f"{H}/acme/tiny.git/info/lfs/objects/batch", TOKEN, "POST", body)
    assert (got.status, len(hub.requests())) == (status, int(status == 200))
    assert ("uploads: deny" in json.loads(got.body).get("message", "")) == (status == 403)


async def test_git_gets_text_and_the_others_json(hub: TestHub, start: Starter) -> None:
    r = await start(uploads="deny")
    types = [(await r.get(url, method=method)).header("Content-Type") for method, url in WRITES[:6]]
    assert types == ["text/plain"] * 3 + ["application/json"] * 3
