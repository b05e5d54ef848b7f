"""`huggingface.co` and `hf.co`: which route a path is, and the fields that every answer of theirs carries."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from . import cdn, git_http, hf_api, hf_files, ollama
from .exchange import Answer, Exchange, Fields, as_json, error, text
from .hf_access import AUTHENTICATE, BAD_TOKEN, TYPES, files_denied, find
from .repo import Repo

if TYPE_CHECKING:
    from .server import TestHub

QUOTA = 3000
HARNESSES = {"standardEnvVars": ["AI_AGENT", "AGENT"], "harnesses": {}}
WELL_KNOWN = {
    "lfsDomains": ["cdn-lfs-us-1.hf.co", "cdn-lfs-eu-1.hf.co", "cdn-lfs.hf.co"],
    "cdnDomains": ["us.aws.cdn.hf.co", "us.gcp.cdn.hf.co"],
}
FILE_ROUTES = {"resolve": hf_files.resolve, "raw": hf_files.raw}
GIT = git_http.Forge(TYPES, find, files_denied, cdn.large_url)
_asked = itertools.count(1)


async def answer(hub: TestHub, ex: Exchange) -> Answer | None:
    found = await git_http.answer(hub, ex, GIT) or _route(hub, ex)
    if found is not None:
        found.headers = [*_everywhere(), *found.headers]
    return found


def _everywhere() -> Fields:
    number = next(_asked)
    return [
        ("X-Powered-By", "huggingface-moon"),
        ("X-Request-Id", f"Root=1-{number:08x}-{number:024x}"),
        ("RateLimit", f'"resolvers";r={QUOTA - number % QUOTA};t=172'),
        ("RateLimit-Policy", f'"fixed window";"resolvers";q={QUOTA};w=300'),
        ("Access-Control-Expose-Headers", "X-Repo-Commit,X-Request-Id,X-Error-Code,X-Error-Message,X-Linked-Size,ETag"),
    ]


def _route(hub: TestHub, ex: Exchange) -> Answer | None:
    match ex.segments():
        case ["api", "agent-harnesses"]:
            return as_json(HARNESSES)
        case ["api", "telemetry", *_]:
            return text(200, "")
        case ["api", "whoami-v2"]:
            return _whoami(hub, ex)
        case [".well-known", "meta.json"]:
            return as_json(WELL_KNOWN)
        case ["api", "resolve-cache", type, *id, sha, entry] if type in TYPES and len(id) in (1, 2):
            return _in_repo(hub, ex, type, "/".join(id), lambda r: hf_files.resolve_cache(hub, ex, r, sha, entry))
        case ["api", type] if type in TYPES:
            return hf_api.search(hub, ex, type)
        case ["api", "buckets", owner, name, "tree", *path]:
            return _in_repo(hub, ex, "buckets", f"{owner}/{name}", lambda r: hf_api.tree(hub, ex, r, "main", *path))
        case ["api", type, name, verb, *rest] if type in TYPES and verb in hf_api.METHODS:
            return _in_repo(hub, ex, type, name, lambda r: hf_api.METHODS[verb](hub, ex, r, *rest))
        case ["api", type, owner, name, verb, *rest] if type in TYPES and verb in hf_api.METHODS:
            return _in_repo(hub, ex, type, f"{owner}/{name}", lambda r: hf_api.METHODS[verb](hub, ex, r, *rest))
        case ["api", type, *id] if type in TYPES and len(id) in (1, 2):
            return _in_repo(hub, ex, type, "/".join(id), lambda r: hf_api.info(hub, ex, r))
        case ["v2", *id, ("manifests" | "blobs") as what, name] if len(id) in (1, 2):
            return ollama.answer(hub, ex, "/".join(id), what, name)
        case ["buckets", owner, name, "resolve", *path]:
            return _in_repo(hub, ex, "buckets", f"{owner}/{name}", lambda r: _in_bucket(hub, ex, r, "/".join(path)))
        case [type, owner, name, verb, revision, *path] if type in TYPES and verb in FILE_ROUTES and path:
            return _file(hub, ex, type, f"{owner}/{name}", verb, revision, path)
        case [type, name, verb, revision, *path] if type in TYPES and verb in FILE_ROUTES and path:
            return _file(hub, ex, type, name, verb, revision, path)
        case [owner, name, verb, revision, *path] if verb in FILE_ROUTES and path:
            return _file(hub, ex, "models", f"{owner}/{name}", verb, revision, path)
        case [name, verb, revision, *path] if verb in FILE_ROUTES and path:
            return _file(hub, ex, "models", name, verb, revision, path)
    return None


def _file(hub: TestHub, ex: Exchange, type: str, id: str, verb: str, revision: str, path: list[str]) -> Answer:
    return _in_repo(hub, ex, type, id, lambda r: FILE_ROUTES[verb](hub, ex, r, revision, "/".join(path)))


def _in_bucket(hub: TestHub, ex: Exchange, repo: Repo, path: str) -> Answer:
    """A bucket has no revisions: what it says of a file may change, and names no commit."""
    found = hf_files.resolve(hub, ex, repo, "main", path)
    found.put("X-Repo-Commit", None)
    return found


def _in_repo(hub: TestHub, ex: Exchange, type: str, id: str, then: hf_api.Method) -> Answer:
    repo = find(hub, ex, type, id)
    return repo if isinstance(repo, Answer) else then(repo)


def _whoami(hub: TestHub, ex: Exchange) -> Answer:
    if ex.token not in hub.tokens:
        return error(401, BAD_TOKEN if ex.token else "Invalid username or password.", None, AUTHENTICATE)
    name = hub.tokens[ex.token or ""]
    token = {"type": "access_token", "accessToken": {"displayName": "test", "role": "read"}}
    return as_json({"type": "user", "id": "0" * 24, "name": name, "fullname": name, "orgs": [], "auth": token})
