"""What clients send in large bodies goes by as it comes, whatever rules there are that do not mean it."""

from __future__ import annotations

import pytest

from proxy_addon.core.messages import Pass
from proxy_addon.hub.subjects import subject_of
from tests.conftest import Ruled
from tests.engine.rig import Rig, request_for
from tests.engine.test_enforcement import NONCOMMERCIAL, H, M, answered, is_denied
from tests.hub import TestHub

LARGE = {"Content-Length": "5000000000"}
ONE = "version: 1\nrules:\n  - {{id: one, effect: deny, match: {}, reason: no}}\n"
OTHERS = {
    "another's name": ONE.format("{repo: other/*}"),
    "a licence": NONCOMMERCIAL,
    "what is in bytes": ONE.format('{pickle_imports: "os.*"}'),
    "paths": ONE.format('{path: "**/*.bin"}'),
    "another branch": ONE.format("{revision: dev}"),
}
ACME = ONE.format("{repo: acme/*}")
OURS = "version: 1\ndefaults: {decision: deny}\nrules:\n  - {id: ours, effect: allow, match: {repo: ours/*}}\n"

LFS = "https://lfs.modelscope.{}/api/v1/{}"
BLOB = f"blobs/{'0' * 64}/5000000000"
OF_ACME = [
    ("PUT", LFS.format("cn", f"repos/models/acme/tiny/{BLOB}")),
    ("PUT", LFS.format("ai", f"repos/datasets/acme/tiny/{BLOB}")),
    ("PUT", f"{M}/api/v1/repos/datasets/acme/tiny/{BLOB}"),
    ("POST", f"{M}/api/v1/repos/models/acme/tiny/commit/master"),
    ("POST", f"{H}/api/models/acme/tiny/commit/main"),
    ("POST", f"{H}/acme/tiny.git/git-receive-pack"),
]
OF_NOBODY = [
    ("PUT", LFS.format("cn", "models/aigc/weights")),
    ("POST", f"{M}/api/v1/models/aigc/repo/tag"),
    ("POST", f"{H}/uploads"),
    ("POST", "https://cas-server.xethub.hf.co/v1/shards"),
    ("POST", "https://router.huggingface.co/v1/chat/completions"),
]
COMPUTED = [
    "https://router.huggingface.co/hf-inference/models/acme/tiny",
    "https://api-inference.huggingface.co/pipeline/feature-extraction/acme/tiny",
]


def goes_by(r: Rig, method: str, url: str) -> bool:
    asked = request_for(method, url, LARGE)
    return not r.parts.engine.takes(asked) and r.parts.engine.refuses(asked) is None


@pytest.mark.parametrize("rules", OTHERS)
async def test_what_is_uploaded(hub: TestHub, ruled: Ruled, rules: str) -> None:
    r = await ruled(OTHERS[rules])
    for method, url in (*OF_ACME, *OF_NOBODY):
        assert goes_by(r, method, url), (method, url)
    assert not hub.requests()


@pytest.mark.parametrize("rules", [ACME, OURS], ids=["one", "defaults.decision"])
async def test_whose_repo_is_denied_hears_it_before_the_body_comes(hub: TestHub, ruled: Ruled, rules: str) -> None:
    r = await ruled(rules)
    for method, url in OF_ACME:
        refusal = r.parts.engine.refuses(request_for(method, url, LARGE))
        assert refusal is not None and refusal.headers.get("X-Policy-Rule") in ("one", "defaults.decision"), url
    for method, url in OF_NOBODY:
        assert goes_by(r, method, url), (method, url)
    assert not hub.requests()


async def test_a_commit_is_to_its_branch(ruled: Ruled) -> None:
    r = await ruled(ONE.format("{revision: feature/x}"))
    for branch in ("feature/x", "feature%2Fx", "refs/heads/feature/x"):
        assert is_denied(await answered(r, "POST", f"{M}/api/v1/repos/models/acme/tiny/commit/{branch}"), "one"), branch
    assert goes_by(r, "POST", f"{M}/api/v1/repos/models/acme/tiny/commit/feature")


@pytest.mark.parametrize("url", COMPUTED)
async def test_what_is_to_be_computed(hub: TestHub, ruled: Ruled, url: str) -> None:
    for name, text in OTHERS.items():
        if name != "a licence":
            assert goes_by(await ruled(text, name.replace(" ", "-")), "POST", url), name
    assert is_denied(await answered(await ruled(ACME, "acme"), "POST", url), "one")
    assert not hub.requests()
    by_licence = await ruled(NONCOMMERCIAL, "licence")
    assert not goes_by(by_licence, "POST", url), "the hub is asked first"
    assert isinstance(await answered(by_licence, "POST", url), Pass)
    assert goes_by(by_licence, "POST", url), "and then it is known"
    assert is_denied(await answered(by_licence, "POST", url.replace("tiny", "nc")), "lic-nc")


@pytest.mark.parametrize("url", ["https://lfs.modelscope.cn/o/n/resolve/master/x", f"{M}/api/v1/repos/models/o/n/x"])
async def test_what_is_no_upload_stays_a_read(ruled: Ruled, url: str) -> None:
    r = await ruled(NONCOMMERCIAL)
    assert not goes_by(r, "PUT", url)
    assert subject_of(r.parts.engine._resource(request_for("PUT", url))) is not None
