"""Three generations of huggingface_hub: the same bytes cold and warm, and with the hub down."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.clients.conftest import Site
from tests.clients.run import ENVS, Env
from tests.hub import Repo, TestHub

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
    def files(revision):
        return {p: digest(hf_hub_download("acme/tiny", p, revision=revision)) for p in plan["files"]}
    print(json.dumps({
        "files": [files(r) for r in plan["revisions"]],
        "snapshots": [whole(snapshot_download(id, repo_type=type, revision=r)) for type, id, r in plan["repos"]],
    }))
"""


def repos_of(hub: TestHub) -> list[Repo]:
    return [hub.repo("acme/tiny"), hub.repo("acme/tiny-ds", "datasets"), hub.repo("acme/space", "spaces")]


def plan_for(hub: TestHub, *kinds: str) -> str:
    """Files and whole repos, at their branches and at commits, as wanted."""
    at = {"branches": lambda repo: None, "commits": lambda repo: repo.head}
    return json.dumps(
        {
            "files": FILES,
            "revisions": [at[kind](hub.repo("acme/tiny")) for kind in kinds],
            "repos": [(repo.type, repo.id, at[kind](repo)) for kind in kinds for repo in repos_of(hub)],
        }
    )


def true_bytes(hub: TestHub, times: int = 1) -> dict[str, object]:
    tiny = hub.repo("acme/tiny")
    whole = [{p: file.source.sha256 for p, file in repo.commits[repo.head].files.items()} for repo in repos_of(hub)]
    return {"files": [{path: tiny.file(path).source.sha256 for path in FILES}] * times, "snapshots": whole * times}


@pytest.mark.parametrize("env", ENVS)
def test_cold_warm_and_without_the_hub(opened: Callable[[], Site], env: Env) -> None:
    site = opened()
    hub = site.hub
    everything = plan_for(hub, "branches", "commits")

    assert site.python(env, SCRIPT, everything) == true_bytes(hub, 2)
    for path in FILES:
        assert hub.bodies_of(hub.repo("acme/tiny").file(path).digest) == 1.0, path
    assert not hub.requests(host="*.xethub.hf.co"), "users of hf_xet get the plain file, which is cached"

    hub.clear()
    assert site.python(env, SCRIPT, plan_for(hub, "commits")) == true_bytes(hub)
    assert hub.requests() == [], "nothing at a commit can change"

    site.restart(freshness={"ref": "0s", "api": "0s", "not_found": "0s"})
    assert site.python(env, SCRIPT, plan_for(hub, "branches")) == true_bytes(hub)
    assert hub.requests(path="/acme/tiny/resolve/main/*"), "a branch is validated when its time is over"
    assert hub.bytes_sent() == 0, [*map(str, hub.requests())]

    hub.stop()
    assert site.python(env, SCRIPT, everything) == true_bytes(hub, 2)
