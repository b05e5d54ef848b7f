"""Another method or another name for the same thing is no way around a rule, and no write is taken for a read."""

from __future__ import annotations

import pytest

from proxy_addon.core.messages import Pass
from proxy_addon.policy.facts import Facts
from tests.conftest import Ruled
from tests.engine.rig import request_for
from tests.engine.test_enforcement import EMBARGO, NONCOMMERCIAL, H, M, answered, is_denied
from tests.hub import TestHub

NO_DEV = "version: 1\nrules:\n  - {{id: no-dev, effect: deny, match: {{repo: acme/tiny, revision: {}}}, reason: no}}\n"
NO_CODE = 'version: 1\nrules:\n  - {id: no-code, effect: deny, match: {pickle_imports: "os.*"}, reason: no}\n'
NO_MS = "version: 1\nrules:\n  - {id: no-ms, effect: deny, match: {hub: modelscope, repo: acme/tiny}, reason: no}\n"
NO_DATA = "version: 1\nrules:\n  - {id: no-data, effect: deny, match: {repo: acme/tiny-ds}, reason: no}\n"

GIVEN = [
    "/acme/nc/resolve/main/README.md",
    "/acme/nc/resolve/{commit}/README.md",
    "/acme/nc/raw/main/README.md",
    "/acme/nc/resolve/main",
    "/api/resolve-cache/models/acme/nc/{commit}/README.md",
    "/api/models/acme/nc",
    "/api/models/acme/nc/revision/main",
    "/api/models/acme/nc/tree/main",
    "/api/models/acme/nc/refs",
    "/api/models/acme/nc/commits/main",
    "/acme/nc/blob/main/README.md",
    "/acme/nc/tree/main",
    "/v2/acme/nc/manifests/latest",
    "/v2/acme/nc/blobs/sha256:" + "0" * 64,
]


@pytest.mark.parametrize("path", GIVEN)
async def test_no_method_gives_what_get_is_denied(hub: TestHub, ruled: Ruled, path: str) -> None:
    r = await ruled(NONCOMMERCIAL)
    url = H + path.format(commit=hub.repo("acme/nc").head)
    allowed = H + path.replace("acme/nc", "acme/tiny").format(commit=hub.repo("acme/tiny").head)
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        for body in (b"", b"x"):
            assert is_denied(await answered(r, method, url, None, body), "lic-nc"), method
        assert not hub.requests(method=method)
        assert isinstance(await answered(r, method, allowed), Pass), method


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/models/acme/tiny"),
        ("POST", "/api/v1/models/acme/tiny/repo?Revision=master&FilePath=README.md"),
        ("POST", "/api/v1/models/acme/tiny/repo/files?Revision=master"),
        ("POST", "/models/acme/tiny/resolve/master/README.md"),
        ("PUT", "/models/acme/tiny/resolve/master/README.md"),
        ("DELETE", "/acme/tiny/resolve/master/README.md"),
        ("OPTIONS", "/api/v1/repos/models/acme/tiny/commit/master"),
        ("OPTIONS", "/api/v1/models/acme/tiny/repo?Revision=master&FilePath=README.md"),
    ],
)
async def test_the_same_on_the_other_hub(hub: TestHub, ruled: Ruled, method: str, path: str) -> None:
    r = await ruled(NO_MS)
    assert is_denied(await answered(r, method, M + path), "no-ms")
    assert not hub.requests()


@pytest.mark.parametrize("path", ["rows", "first-rows", "search", "filter", "info"])
async def test_nor_of_the_viewer(hub: TestHub, ruled: Ruled, path: str) -> None:
    r = await ruled(NO_DATA)
    url = "https://datasets-server.huggingface.co/{}?dataset=acme%2F{}&config=default&split=train"
    for method in ("GET", "POST", "PUT", "OPTIONS"):
        assert is_denied(await answered(r, method, url.format(path, "tiny-ds")), "no-data"), method
    assert isinstance(await answered(r, "POST", url.format(path, "other")), Pass)
    assert not hub.requests()


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_nor_of_the_way_to_bytes_that_nobody_can_place(hub: TestHub, ruled: Ruled, method: str) -> None:
    r = await ruled(NO_DATA)
    url = "https://cas-server.xethub.hf.co/v1/reconstructions/" + "0" * 64
    reply = await answered(r, method, url)
    assert not isinstance(reply, Pass) and reply.status == 403
    assert not hub.requests()


NAMES = {
    "emb": EMBARGO,
    "by-name": "version: 1\nrules:\n  - {id: by-name, effect: deny, match: {repo: acme/*}, reason: no}\n",
    "defaults.decision": "version: 1\ndefaults: {decision: deny}\nrules:\n"
    "  - {id: ours, effect: allow, match: {repo: ours/*}}\n",
}
WRITES = [
    ("GET", f"{H}/acme/nc.git/info/refs?service=git-receive-pack"),
    ("POST", f"{H}/acme/nc.git/info/lfs/locks"),
    ("POST", f"{H}/acme/nc.git/info/lfs/locks/1/unlock"),
    ("POST", f"{H}/acme/nc.git/info/lfs/objects/verify"),
    ("POST", f"{H}/api/models/acme/nc/super-squash/main"),
    ("POST", f"{H}/api/buckets/acme/nc"),
    ("DELETE", f"{H}/api/buckets/acme/nc"),
    ("POST", f"{H}/api/buckets/acme/nc/batch"),
    ("DELETE", f"{H}/api/spaces/acme/nc/secrets"),
    ("POST", f"{M}/openapi/v1/studios/acme/tiny/deploy"),
    ("PATCH", f"{M}/openapi/v1/studios/acme/tiny/settings"),
    ("PUT", f"{M}/openapi/v1/studios/acme/tiny/secrets"),
    ("POST", f"{H}/api/models/acme/nc/commit/main"),
    ("POST", f"{H}/api/models/acme/nc/preupload/main"),
    ("PUT", f"{H}/api/models/acme/nc/settings"),
    ("POST", f"{H}/api/models/acme/nc/branch/dev"),
    ("DELETE", f"{H}/api/models/acme/nc/tag/v1"),
    ("POST", f"{H}/api/models/acme/nc/discussions"),
    ("POST", f"{H}/acme/nc.git/git-receive-pack"),
    ("POST", f"{M}/api/v1/repos/models/acme/tiny/commit/master"),
    ("DELETE", f"{M}/api/v1/models/acme/tiny/repo?FilePath=README.md&Revision=master"),
    ("DELETE", f"{M}/api/v1/models/acme/tiny"),
    ("PUT", f"{M}/api/v1/models/acme/tiny"),
    ("POST", f"{M}/api/v1/models/acme/tiny/repo/tag"),
]


@pytest.mark.parametrize(("method", "url"), WRITES)
async def test_what_writes_is_denied_by_what_it_says_itself(hub: TestHub, ruled: Ruled, method: str, url: str) -> None:
    """And relayed without a question to the hub where rules ask for more: a repo that is yet to be has no licence."""
    r = await ruled(NONCOMMERCIAL)
    head = request_for(method, url, {"Content-Length": "50000000000"})
    assert r.parts.engine.takes(head) is (method == "GET"), "a body goes by as it comes"
    assert r.parts.engine.refuses(head) is None
    assert isinstance(await answered(r, method, url, None, b"x"), Pass)
    for rule, text in NAMES.items():
        r = await ruled(text, rule)
        assert r.parts.engine.refuses(head) is not None, "before its body comes"
        assert is_denied(await answered(r, method, url, None, b"x"), rule)
    assert not hub.requests()


@pytest.mark.parametrize("method", ["POST", "OPTIONS"])
async def test_bytes_that_nobody_looks_into_are_not_known_to_be_clean(hub: TestHub, ruled: Ruled, method: str) -> None:
    r = await ruled(NO_CODE)
    for path in ("/acme/tiny/resolve/main/old.bin", "/acme/tiny/raw/main/old.bin"):
        assert is_denied(await answered(r, method, H + path), "no-code")
    assert isinstance(await answered(r, method, f"{H}/acme/tiny/resolve/main/config.json"), Pass)


@pytest.mark.parametrize("rule", ["dev", "refs/heads/dev", "[other, 'd*']", "['refs/heads/d*']"])
async def test_a_branch_has_one_name(hub: TestHub, ruled: Ruled, rule: str) -> None:
    r = await ruled(NO_DEV.format(rule))
    for rev in ("dev", "refs%2Fheads%2Fdev", "refs%2fheads%2fdev", "%72efs%2Fheads%2Fdev"):
        for path in (
            "/acme/tiny/resolve/{}/config.json",
            "/acme/tiny/raw/{}/config.json",
            "/api/models/acme/tiny/tree/{}",
        ):
            assert is_denied(await answered(r, "GET", H + path.format(rev)), "no-dev"), rev
    assert not hub.requests()
    assert (await r.get(f"{H}/acme/tiny/resolve/refs%2Fheads%2Fmain/config.json")).status == 200


async def test_so_has_a_tag_and_a_branch_of_the_other_hub(hub: TestHub, ruled: Ruled) -> None:
    r = await ruled(NO_DEV.format("[v1, dev]"))
    assert is_denied(await answered(r, "GET", f"{H}/acme/tiny/resolve/refs%2Ftags%2Fv1/config.json"), "no-dev")
    url = f"{M}/api/v1/models/acme/tiny/repo?Revision=refs%2Fheads%2Fdev&FilePath=README.md"
    assert is_denied(await answered(r, "GET", url), "no-dev")
    assert not hub.requests()


def test_a_branch_that_is_called_like_a_commit_is_none() -> None:
    """Else a rule or an exception for the commit would be for the branch."""
    usual = {"hub": "huggingface", "type": "model", "repo": "acme/tiny"}
    asked = Facts.of_request(**usual, revision="refs/heads/" + "0" * 40).values
    assert "commit" not in asked and asked["revision"] == "refs/heads/" + "0" * 40
    assert Facts.of_request(**usual, revision="0" * 40).values["commit"] == "0" * 40
