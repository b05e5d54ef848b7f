"""`modelscope.cn`, `www.modelscope.cn` and `www.modelscope.ai`: which route a path is.

The two sites `.cn` and `.ai` hold different repos (`Repo.sites`); an SDK that gets 404 from one asks the other. Every
answer sets the cookie of the site's firewall, a fresh one each time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from . import git_http, ms_api, ms_files
from .exchange import Answer, Exchange
from .ms_reply import TYPES, failed, files_denied, find, no_repo, request_id, said, token_of
from .repo import Repo

if TYPE_CHECKING:
    from .server import TestHub

type Method = Callable[[TestHub, Exchange, Repo], Answer]

EVERYWHERE: dict[str, Method] = {"": ms_api.info, "revisions": ms_api.revisions, "repo": ms_files.file}
METHODS: dict[str, dict[str, Method]] = {
    "models": {**EVERYWHERE, "repo/files": ms_api.files},
    "studios": {**EVERYWHERE, "repo/files": ms_api.files},
    "datasets": {**EVERYWHERE, "repo/tree": ms_api.tree},
}
NO_ACCELERATION = {"EnableInternalAcceleration": False, "InternalRegionQueryAddress": ""}


def _find(hub: TestHub, ex: Exchange, type: str, id: str) -> Repo | Answer:
    return find(hub, ex, type, id) or _log_in_first(ex) or no_repo(id)


def _denied(ex: Exchange, repo: Repo) -> Answer | None:
    denied = files_denied(ex, repo)
    return denied and (_log_in_first(ex) or denied)


def _log_in_first(ex: Exchange) -> Answer | None:
    """git gives its token only when it is told 401."""
    return None if token_of(ex) else failed(401, 401, "please log in")


GIT = git_http.Forge(TYPES, _find, _denied, lambda repo, file, ttl: ms_files.cdn_url(repo, repo.trunk, file, ttl))


async def answer(hub: TestHub, ex: Exchange) -> Answer | None:
    found = await git_http.answer(hub, ex, GIT) or _route(hub, ex) or failed(404, 404, "no such page")
    firewall = f"acw_tc={os.urandom(16).hex()}; Path=/; HttpOnly; Max-Age=1800"
    found.headers = [("X-Request-Id", request_id()), ("Set-Cookie", firewall), *found.headers]
    return found


def _route(hub: TestHub, ex: Exchange) -> Answer | None:
    match ex.segments():
        case ["api", "v1", "login"] if ex.method == "POST":
            return ms_api.login(hub, ex)
        case ["api", "v1", "repos", "internalAccelerationInfo"]:
            return said(NO_ACCELERATION)
        case ["openapi", "v1", "users", "me"]:
            return ms_api.me(hub, ex)
        case ["openapi", "v1", type, owner, name] if type in TYPES:
            return _in_repo(hub, ex, type, f"{owner}/{name}", ms_api.open_info)
        case ["api", "v1", type, number, *verb] if number.isdigit() and "/".join(verb) in METHODS.get(type, {}):
            return _in_repo(hub, ex, type, number, METHODS[type]["/".join(verb)])
        case ["api", "v1", type, owner, name, *verb] if "/".join(verb) in METHODS.get(type, {}):
            return _in_repo(hub, ex, type, f"{owner}/{name}", METHODS[type]["/".join(verb)])
        case [type, owner, name, "resolve", revision, *path] if type in TYPES and path:
            return _resolve(hub, ex, type, f"{owner}/{name}", revision, path)
        case [owner, name, "resolve", revision, *path] if path:
            return _resolve(hub, ex, "models", f"{owner}/{name}", revision, path)
    return None


def _resolve(hub: TestHub, ex: Exchange, type: str, id: str, revision: str, path: list[str]) -> Answer:
    return _in_repo(hub, ex, type, id, lambda h, x, repo: ms_files.resolve(h, x, repo, revision, "/".join(path)))


def _in_repo(hub: TestHub, ex: Exchange, type: str, id: str, then: Method) -> Answer:
    repo = find(hub, ex, type, id)
    return no_repo(id) if repo is None else then(hub, ex, repo)
