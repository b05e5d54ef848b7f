"""Three generations of huggingface_hub: the same bytes cold and warm, and with the hub down."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from tests.clients.conftest import Site
from tests.clients.run import ENVS, Env
from tests.hub import TestHub

FILES = ("config.json", "sub/dir/notes é.txt", "old.bin", "model.safetensors")
SCRIPT = """
    import hashlib, json, os, sys
    from pathlib import Path
    from huggingface_hub import hf_hub_download, snapshot_download
    plan = json.loads(sys.argv[1])
    def digest(file):
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    def whole(folder):
        files = (p for p in Path(folder).rglob("*") if p.is_file())
        return {p.relative_to(folder).as_posix(): digest(p) for p in files}
    print(json.dumps({
        "files": [{p: digest(hf_hub_download("acme/tiny", p, revision=r)) for p in plan["files"]} for r in plan["revisions"]],
        "snapshots": [whole(snapshot_download(id, repo_type=type, revision=r)) for type, id, r in plan["repos"]],
    }))
"""


def plan_for(hub: TestHub, *, pinned: bool) -> dict[str, object]:
    """Files and whole repos at their branches, or at commits."""

    def at(id: str, type: str) -> str | None:
        return hub.repo(id, type).head if pinned else None

    kinds = (("model", "acme/tiny", "models"), ("dataset", "acme/tiny-ds", "datasets"), ("space", "acme/space", "spaces"))
    return {
        "files": FILES,
        "revisions": [at("acme/tiny", "models")],
        "repos": [(kind, id, at(id, type)) for kind, id, type in kinds],
    }


def true_bytes(hub: TestHub) -> dict[str, object]:
    tiny = hub.repo("acme/tiny")
    repos = (tiny, hub.repo("acme/tiny-ds", "datasets"), hub.repo("acme/space", "spaces"))
    return {
        "files": [{path: tiny.file(path).source.sha256 for path in FILES}],
        "snapshots": [{path: repo.file(path).source.sha256 for path in repo.commits[repo.head].files} for repo in repos],
    }


@pytest.mark.parametrize("env", ENVS)
def test_cold_warm_and_without_the_hub(opened: Callable[[], Site], env: Env) -> None:
    site = opened()
    hub, right = site.hub, true_bytes(site.hub)
    branches, commits = json.dumps(plan_for(hub, pinned=False)), json.dumps(plan_for(hub, pinned=True))

    assert site.python(env, SCRIPT, branches) == right
    assert site.python(env, SCRIPT, commits) == right
    for path in FILES:
        assert hub.bodies_of(hub.repo("acme/tiny").file(path).digest) == 1.0, path
    assert not hub.requests(host="*.xethub.hf.co"), "users of hf_xet get the plain file, which is cached"

    hub.clear()
    assert site.python(env, SCRIPT, commits) == right
    assert hub.requests() == [], "nothing at a commit can change"

    site.restart(freshness={"ref": "0s", "api": "0s", "not_found": "0s"})
    hub.clear()
    assert site.python(env, SCRIPT, branches) == right
    assert hub.requests(path="/acme/tiny/resolve/main/*"), "a branch is validated when its time is over"
    assert hub.bytes_sent() == 0, [*map(str, hub.requests())]

    hub.stop()
    assert site.python(env, SCRIPT, branches) == right
    assert site.python(env, SCRIPT, commits) == right
