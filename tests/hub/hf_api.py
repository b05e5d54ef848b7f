"""The hub's JSON API on the download path: repo info, listings, refs, commits, and the Xet token."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from . import xet
from .card import front_matter, tags
from .exchange import Answer, Exchange, as_json, error, text
from .hf_access import files_denied
from .hf_files import VARY, no_entry, no_revision
from .repo import Commit, File, Repo

if TYPE_CHECKING:
    from .server import TestHub

PAGE = 3  #: entries on a page unless a knob says otherwise; the hub's own is 1000


def info(hub: TestHub, ex: Exchange, repo: Repo, revision: str = "main", *_: str) -> Answer:
    commit = repo.at(revision)
    if commit is None:
        return no_revision(revision)
    card = front_matter(commit)
    name = "modelId" if repo.type == "model" else "id"
    found: dict[str, Any] = {
        "_id": repo.object_id,
        "id": repo.id,
        name: repo.id,
        "author": repo.id.partition("/")[0],
        "sha": commit.sha,
        "createdAt": _date(min(c.when for c in repo.commits.values())),
        "lastModified": _date(commit.when),
        "private": repo.private,
        "gated": repo.gated,
        "disabled": repo.disabled,
        "downloads": 7,
        "likes": 1,
        "tags": tags(card),
        **({"cardData": card} if card else {}),
        "siblings": [{"rfilename": f.path, **(_sibling(f) if ex.flag("blobs") else {})} for f in commit.files.values()],
        **({"sdk": card.get("sdk", "static"), "subdomain": repo.id.replace("/", "-")} if repo.type == "space" else {}),
        **repo.info,
    }
    if ex.flag("securityStatus"):
        found["securityRepoStatus"] = {"scansDone": True, "filesWithIssues": repo.issues}
    if wanted := {value for key, value in ex.query() if key in ("expand", "expand[]")}:
        found = {k: v for k, v in found.items() if k in wanted or k in ("_id", "id", name)}
    return _listing(found, commit.sha, repo)


def tree(hub: TestHub, ex: Exchange, repo: Repo, revision: str = "main", *folder: str) -> Answer:
    commit = repo.at(revision)
    if commit is None:
        return no_revision(revision)
    under = "/".join(folder)
    if under not in commit.trees:
        return no_entry(commit, f"{under} does not exist on {revision}")
    entries = [_entry(ex, commit, path) for path in sorted({*commit.files, *commit.trees} - {""})]
    prefix = f"{under}/" if under else ""
    inside = [e for e in entries if e["path"].startswith(prefix)]
    if not ex.flag("recursive"):
        inside = [e for e in inside if "/" not in e["path"][len(prefix) :]]
    return _paged(ex, inside, lambda page: _listing(page, commit.sha, repo))


def paths_info(hub: TestHub, ex: Exchange, repo: Repo, revision: str = "main", *_: str) -> Answer:
    if ex.method != "POST":
        return error(405, "Method Not Allowed")
    commit = repo.at(revision)
    if commit is None:
        return no_revision(revision)
    form = ex.form()
    expand = form.get("expand", ["false"])[0].lower() == "true"
    known = {*commit.files, *commit.trees} - {""}
    wanted = [p for p in form.get("paths", []) if p in known]
    return _listing([_entry(ex, commit, path, expand) for path in wanted], commit.sha, repo)


def refs(hub: TestHub, ex: Exchange, repo: Repo, *_: str) -> Answer:
    def under(prefix: str) -> list[dict[str, str]]:
        return [
            {"name": ref.removeprefix(prefix), "ref": ref, "targetCommit": sha}
            for ref, sha in repo.refs.items()
            if ref.startswith(prefix)
        ]

    found = {"branches": under("refs/heads/"), "tags": under("refs/tags/"), "converts": under("refs/convert/")}
    if ex.flag("include_prs"):
        found["pullRequests"] = under("refs/pr/")
    return _listing(found, None, repo)


def commits(hub: TestHub, ex: Exchange, repo: Repo, revision: str = "main", *_: str) -> Answer:
    commit = repo.at(revision)
    if commit is None:
        return no_revision(revision)
    history = [
        {"id": c.sha, "title": c.title, "message": "", "authors": [{"user": "acme"}], "date": _date(c.when)}
        for c in repo.history(commit)
    ]

    def page(found: list[dict[str, Any]]) -> Answer:
        answer = _listing(found, commit.sha, repo)
        answer.put("X-Total-Count", str(len(history)))
        return answer

    return _paged(ex, history, page)


def xet_read_token(hub: TestHub, ex: Exchange, repo: Repo, revision: str = "main", *_: str) -> Answer:
    if denied := files_denied(ex, repo):
        return denied
    if repo.at(revision) is None:
        return no_revision(revision)
    token, expires = xet.token_for(repo), int(time.time()) + ex.effect.token_ttl
    fields = [("X-Xet-Cas-Url", xet.CAS), ("X-Xet-Access-Token", token), ("X-Xet-Token-Expiration", str(expires))]
    answer = as_json({"casUrl": xet.CAS, "exp": expires, "accessToken": token}, *fields, ("Cache-Control", "no-store"))
    answer.repo = repo.id
    return answer


def auth_check(hub: TestHub, ex: Exchange, repo: Repo, *_: str) -> Answer:
    return files_denied(ex, repo) or text(200, "")


def search(hub: TestHub, ex: Exchange, type: str) -> Answer:
    author, wanted = ex.param("author"), ex.param("search").lower()
    found = [
        {"_id": r.object_id, "id": r.id, "private": False, "gated": r.gated, "sha": r.head}
        for (kind, _), r in hub.repos.items()
        if kind == type and not r.private and wanted in r.id.lower() and r.id.startswith(author)
    ]
    return _paged(ex, found, as_json)


Method = Callable[..., Answer]
METHODS: dict[str, Method] = {
    "revision": info,
    "tree": tree,
    "paths-info": paths_info,
    "refs": refs,
    "commits": commits,
    "xet-read-token": xet_read_token,
    "auth-check": auth_check,
}


def _listing(value: Any, commit: str | None, repo: Repo) -> Answer:
    answer = as_json(value, *([("X-Repo-Commit", commit)] if commit else []), VARY)
    answer.put("ETag", f'W/"{hashlib.sha256(bytes(answer.source.read(0, 1 << 24))).hexdigest()[:20]}"')
    answer.conditional = True
    answer.repo = repo.id
    return answer


def _paged(ex: Exchange, entries: list[dict[str, Any]], page: Callable[[list[dict[str, Any]]], Answer]) -> Answer:
    """One page; `Link` names the next by an absolute URL (RFC 8288)."""
    at, limit = ex.param("cursor", "0"), ex.param("limit")
    if not at.isdigit() or (limit and not limit.isdigit()):
        return error(400, "Invalid cursor")
    size = ex.effect.page_size or PAGE
    end = int(at) + min(int(limit or size), size)
    answer = page(entries[int(at) : end])
    if end < len(entries):
        query = urlencode([*((k, v) for k, v in ex.query() if k != "cursor"), ("cursor", str(end))])
        answer.put("Link", f'<https://{ex.host}{ex.path}?{query}>; rel="next"')
    return answer


def _entry(ex: Exchange, commit: Commit, path: str, expand: bool | None = None) -> dict[str, Any]:
    last = {"id": commit.sha, "title": commit.title, "date": _date(commit.when)}
    more: dict[str, Any] = {"lastCommit": last} if (ex.flag("expand") if expand is None else expand) else {}
    file = commit.files.get(path)
    if file is None:
        return {"type": "directory", "oid": commit.trees[path], "size": 0, "path": path, **more}
    found: dict[str, Any] = {"type": "file", "oid": file.oid, "size": file.size, "path": path}
    if file.sha256:
        found["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": len(file.pointer)}
    if file.xet and not ex.effect.strip_xet_tree:
        found["xetHash"] = file.xet
    return found | more


def _sibling(file: File) -> dict[str, Any]:
    found: dict[str, Any] = {"size": file.size, "blobId": file.oid}
    if file.sha256:
        found["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": len(file.pointer)}
    return found


def _date(when: int) -> str:
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
