"""@huggingface/hub on Node: listings, infos, files, parts of files and snapshots, with and without Xet."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from tests.clients.conftest import Site
from tests.clients.run import node_project
from tests.hub import Repo, TestHub

type Told = list[dict[str, Any]]

PART = slice(3, 100_003)
FILES = {
    "acme/tiny": ("config.json", "old.bin", "model.safetensors", "sub/dir/notes é.txt"),
    "acme/tiny-ds": ("data/train.csv",),
    "acme/space": ("index.html",),
}


def repos_of(hub: TestHub) -> list[Repo]:
    return [hub.repo("acme/tiny"), hub.repo("acme/tiny-ds", "datasets"), hub.repo("acme/space", "spaces")]


def plan_for(hub: TestHub) -> str:
    return json.dumps(
        [{"type": repo.type, "id": repo.id, "revision": "main", "files": FILES[repo.id]} for repo in repos_of(hub)]
    )


def truth(hub: TestHub, *, xet: bool) -> Told:
    return [_of(repo, xet) for repo in repos_of(hub)]


def _of(repo: Repo, xet: bool) -> dict[str, Any]:
    whole = repo.commits[repo.head].files
    asked = {path: whole[path] for path in FILES[repo.id]}
    return {
        "listed": {path: file.size for path, file in whole.items()},
        "infos": {
            path: {"size": file.size, "etag": f'"{file.digest}"', "xet": xet and file.storage == "xet"}
            for path, file in asked.items()
        },
        "files": {path: file.source.sha256 for path, file in asked.items()},
        "parts": {
            path: hashlib.sha256(file.source.read(0, file.size)[PART]).hexdigest() for path, file in asked.items()
        },
        "snapshot": {path: file.source.sha256 for path, file in whole.items()},
        "commit": repo.head,
        "absent": None,
    }


def told(site: Site, plan: str) -> Told:
    folder = node_project(site.home())
    found: Told = json.loads(site.said("node", "--import", "./proxy.mjs", "client.mjs", plan, home=folder))
    return found


def test_cold_warm_and_without_the_hub(opened: Callable[[], Site]) -> None:
    site = opened()
    hub = site.hub
    site.restart(freshness={"ref": "1h", "api": "1h", "not_found": "1h"})
    assert told(site, plan_for(hub)) == truth(hub, xet=False)
    for repo in repos_of(hub):
        for path in FILES[repo.id]:
            assert hub.bodies_of(repo.file(path).digest) == 1.0, path
    assert not hub.requests(host="*.xethub.hf.co"), "asked for the Xet facts, it takes the plain file instead"

    hub.clear()
    assert told(site, plan_for(hub)) == truth(hub, xet=False)
    assert hub.requests() == []

    site.restart(freshness={"ref": "0s", "api": "0s", "not_found": "0s"})
    hub.stop()
    assert told(site, plan_for(hub)) == truth(hub, xet=False)


def test_native_xet_is_left_to_the_client_who_wants_it(opened: Callable[[], Site]) -> None:
    site = opened()
    site.restart(hubs={"huggingface": {"xet": "native"}})
    hub = site.hub
    for ranges in (3, 0):  # the two that the file is made of, and the smaller one of a part of it; then none
        hub.clear()
        assert told(site, plan_for(hub)) == truth(hub, xet=True)
        assert hub.requests(host="cas-server.*"), "where the bytes lie is asked anew each time"
        assert len(hub.requests(host="transfer.*")) == ranges
        assert not hub.requests(host="*.cdn.hf.co")
