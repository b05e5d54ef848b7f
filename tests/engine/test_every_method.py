"""What names a repo is judged, by whichever method it is asked and whatever stands behind the name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import product
from pathlib import Path

import pytest

from proxy_addon.core.messages import Pass
from tests.conftest import Starter
from tests.engine.rig import Rig, request_for
from tests.engine.test_enforcement import NONCOMMERCIAL, H, M, answered, is_denied
from tests.hub import TestHub

UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
METHODS = (*UNSAFE, "OPTIONS")
#: A licence is what only the hub tells: who is denied by it was asked about, as for a read.
NO_LICENCE = "version: 1\nrules:\n  - {id: lic, effect: deny, match: {license: {id: [mit, unknown]}}, reason: no}\n"
NO_CODE = 'version: 1\nrules:\n  - {id: no-code, effect: deny, match: {pickle_imports: "os.*"}, reason: no}\n'

type Ruled = Callable[..., Awaitable[Rig]]


@pytest.fixture
def ruled(start: Starter, tmp_path: Path) -> Ruled:
    async def begin(text: str, dir: str = "cache", **settings: object) -> Rig:
        path = tmp_path / f"{dir}.yaml"
        path.write_text(text)
        return await start(dir, rules=(path,), **settings)

    return begin


OF_HUGGINGFACE = [
    "/api/models/{}/scan",
    "/api/models/{}/jwt",
    "/api/models/{}/treesize/main/sub",
    "/api/models/{}/notebook/main/a.ipynb",
    "/api/models/{}/compare/main..dev",
    "/api/models/{}/what-no-client-has-called-yet/x",
    "/api/models/{}/parquet",
    "/api/datasets/{}/parquet",
    "/api/datasets/{}/parquet/default/train/0.parquet",
    "/api/datasets/{}/croissant",
    "/api/spaces/{}/runtime",
    "/api/buckets/{}/tree",
    "/api/resolve-cache/models/{}/main/x",
    "/{}/info/refs",
    "/{}.git/info/refs?service=git-upload-pack",
    "/{}.git/info/lfs/objects/" + "0" * 64,
    "/datasets/{}.git/info/refs",
    "/{}/ask-access",
    "/{}/user-access-report",
    "/v2/{}/tags/list",
    "/v2/{}/blobs/uploads/",
]
OF_MODELSCOPE = [
    "/api/v1/models/{}/archive/zip/master",
    "/api/v1/models/{}/commits",
    "/api/v1/models/{}/oss/tree",
    "/api/v1/models/{}/what-no-client-has-called-yet",
    "/api/v1/datasets/{}/oss?Path=x&Revision=master",
    "/api/v1/datasets/{}/ststoken",
    "/api/v1/repos/models/{}/info/lfs/objects/batch",
    "/openapi/v1/models/{}",
    "/openapi/v1/studios/{}/logs/run",
    "/openapi/v1/skills/{}",
    "/{}.git/info/refs",
    "/models/{}/file/view/master/README.md",
]
SITES = [(H, OF_HUGGINGFACE), (M, OF_MODELSCOPE)]


@pytest.mark.parametrize(("site", "paths"), SITES, ids=["hf", "ms"])
async def test_a_name_is_judged_whatever_stands_behind_it(
    hub: TestHub, ruled: Ruled, site: str, paths: list[str]
) -> None:
    """By facts of the hub, too: a call that is not known to write may give what GET gives."""
    r = await ruled("version: 1\nrules:\n  - {id: no-nc, effect: deny, match: {repo: acme/nc}, reason: no}\n")
    by_licence = await ruled(NO_LICENCE, "b")
    for path, method in product(paths, ("GET", *METHODS)):
        url, allowed = site + path.format("acme/nc"), site + path.format("acme/tiny")
        assert is_denied(await answered(r, method, url), "no-nc"), (method, path)
        asked = request_for(method, url, {"Content-Length": "50000000000"})
        assert r.parts.engine.takes(asked) or r.parts.engine.refuses(asked), (method, path)
        waits = request_for(method, allowed)
        assert by_licence.parts.engine.takes(waits), ("relayed before its facts are known", method, path)
    assert not hub.requests()


@pytest.mark.parametrize("method", METHODS)
async def test_by_what_the_hub_tells_of_it(hub: TestHub, ruled: Ruled, method: str) -> None:
    r = await ruled(NONCOMMERCIAL)
    for path in ("/api/models/{}/scan", "/{}/info/refs", "/{}.git/info/lfs/objects/batch"):
        url = H + path.format("acme/nc")
        body = b"{}" if method == "POST" else b""
        assert is_denied(await answered(r, method, url, None, body), "lic-nc"), path
    assert is_denied(await answered(r, "GET", f"{H}/acme/nc.git/git-receive-pack"), "lic-nc"), "no way to push"
    assert isinstance(await answered(r, method, f"{H}/api/models/acme/tiny/scan"), Pass)
    assert {q.method for q in hub.requests()} == {"GET"}


@pytest.mark.parametrize(
    ("method", "path", "denied"),
    [
        ("POST", "/api/models/acme/tiny/treesize/dev/sub", True),
        ("GET", "/api/models/acme/tiny/treesize/dev/sub", True),
        ("GET", "/api/models/acme/tiny/treesize/refs%2Fheads%2Fdev/", True),
        ("GET", "/api/models/acme/tiny/TREESIZE/main/sub", False),
        ("GET", "/api/models/acme/tiny/notebook/dev/a.ipynb", True),
        ("POST", "/api/models/acme/tiny/commit/dev", True),
        ("POST", "/api/models/acme/tiny/commit/main", False),
        ("DELETE", "/api/models/acme/tiny/branch/dev", True),
        ("POST", "/api/models/acme/tiny/super-squash/dev", True),
    ],
)
async def test_a_revision_that_the_path_names(hub: TestHub, ruled: Ruled, method: str, path: str, denied: bool) -> None:
    r = await ruled("version: 1\nrules:\n  - {id: no-dev, effect: deny, match: {revision: dev}, reason: no}\n")
    assert is_denied(await answered(r, method, H + path), "no-dev") is denied


async def test_an_archive_is_of_its_revision_and_not_known_to_be_clean(hub: TestHub, ruled: Ruled) -> None:
    url = M + "/api/v1/models/acme/tiny/archive/zip/"
    r = await ruled("version: 1\nrules:\n  - {id: no-dev, effect: deny, match: {revision: dev}, reason: no}\n")
    for rev in ("dev", "refs/heads/dev", "refs%2Fheads%2Fdev"):
        assert is_denied(await answered(r, "GET", url + rev), "no-dev"), rev
    assert not hub.requests()
    for method in ("GET", "POST"):
        hub.knob(path="/api/v1/models/acme/tiny/archive/*", status=200, body="PK")
        assert is_denied(await answered(await ruled(NO_CODE, method), method, url + "master"), "no-code")


BYTES = [
    "https://cdn-lfs.hf.co/repos/x",
    "https://cas-bridge.xethub.hf.co/x",
    "https://cas-server.xethub.hf.co/v1/what-no-client-has-called-yet",
    "https://transfer.xethub.hf.co/x",
    "https://cdn-lfs-cn-1.modelscope.cn/x",
]


async def test_bytes_that_nobody_can_place(hub: TestHub, ruled: Ruled) -> None:
    r = await ruled(NONCOMMERCIAL)
    for url, method in product(BYTES, ("GET", *METHODS)):
        assert is_denied(await answered(r, method, url), "unknown-origin"), (method, url)
    assert not hub.requests()


XORB = "default/" + "0" * 64


@pytest.mark.parametrize(
    "what",
    [f"xorbs/{XORB}", f"xorb-grants/{XORB}", f"xorb-commits/{XORB}/grant/1", "shards", f"xorb/{XORB}", f"shard/{XORB}"],
)
async def test_what_is_uploaded_to_the_cas_goes_by(hub: TestHub, ruled: Ruled, what: str) -> None:
    r = await ruled(NONCOMMERCIAL)
    for place in (f"v1/{what}", what):
        large = request_for("POST", f"https://cas-server.xethub.hf.co/{place}", {"Content-Length": "64000000"})
        assert not r.parts.engine.takes(large) and r.parts.engine.refuses(large) is None


@pytest.mark.parametrize(("site", "paths"), SITES, ids=["hf", "ms"])
async def test_a_proxy_that_only_reads_sends_none_of_it(
    hub: TestHub, start: Starter, site: str, paths: list[str]
) -> None:
    r = await start(uploads="deny")
    for path, method in product(paths, UNSAFE):
        reply = r.parts.engine.refuses(request_for(method, site + path.format("acme/tiny")))
        assert reply is not None and reply.status == 403, (method, path)
    assert not hub.requests()
