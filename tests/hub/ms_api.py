"""ModelScope's JSON: what a repo is, its revisions, its files with their SHA-256, and who the caller is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .card import front_matter
from .exchange import Answer, Exchange, as_json
from .ms_files import no_such
from .ms_reply import BAD_TOKEN, SESSION, failed, number, request_id, said, token_of
from .repo import Commit, File, Repo

if TYPE_CHECKING:
    from .server import TestHub

SPELT = {"apache-2.0": "Apache License 2.0", "mit": "MIT License"}  #: as the old API shows them
PUBLIC, PRIVATE = 5, 1
BY_APPROVAL = {False: 0, "auto": 1, "manual": 2}
PAGE = 100  #: entries on a page when the request does not say


def info(hub: TestHub, ex: Exchange, repo: Repo) -> Answer:
    commit = repo.commits[repo.head]
    card = front_matter(commit)
    owner, _, name = repo.id.partition("/")
    licence = str(card.get("license", ""))
    common: dict[str, Any] = {
        "Id": number(repo),
        "License": SPELT.get(licence, licence),
        "Visibility": PRIVATE if repo.private else PUBLIC,
        "Private": int(repo.private),
        "ApprovalMode": BY_APPROVAL[repo.gated],
        "ProtectedMode": 2,
        "Tags": card.get("tags", []),
        "Downloads": 7,
        "Status": 1,
        "CreatedTime": min(c.when for c in repo.commits.values()),
        "LastUpdatedTime": commit.when,
        "ReadMeContent": _text(commit.files.get("README.md")),
    }
    names: dict[str, Any] = {"Path": owner, "Name": name, "Revision": repo.trunk, "Tasks": [], "Libraries": []}
    if repo.type == "dataset":
        names = {"Namespace": owner, "Name": name, "Type": 1}
    return _of(repo, said({**common, **names, **repo.info}))


def open_info(hub: TestHub, ex: Exchange, repo: Repo) -> Answer:
    """`/openapi/v1/{type}/{id}`"""
    card = front_matter(repo.commits[repo.head])
    data = {
        "id": repo.id,
        "display_name": repo.id.partition("/")[2],
        "license": str(card.get("license", "")),
        "visibility": "private" if repo.private else "public",
        "private": repo.private,
        "gated": bool(repo.gated),
        "login_required": bool(repo.gated),
        "tags": card.get("tags", []),
        "tasks": [],
        "downloads": 7,
        "last_modified": repo.commits[repo.head].when,
    }
    return _of(repo, as_json({"success": True, "request_id": request_id(), "data": data}))


def revisions(hub: TestHub, ex: Exchange, repo: Repo) -> Answer:
    """Branches and tags; with `EndTime` only what is not younger (seconds since 1970)."""
    end = ex.param("EndTime")

    def under(prefix: str) -> list[dict[str, Any]]:
        found = {ref: repo.commits[sha] for ref, sha in repo.refs.items() if ref.startswith(prefix)}
        return [
            {"Revision": ref.removeprefix(prefix), "CommitId": commit.sha, "CreatedAt": commit.when}
            for ref, commit in found.items()
            if not end.isdigit() or commit.when <= int(end)
        ]

    branches, tags = under("refs/heads/"), under("refs/tags/")
    total = len(branches) + len(tags)
    return _of(repo, said({"RevisionMap": {"Branches": branches, "Tags": tags}, "Total": total}))


def files(hub: TestHub, ex: Exchange, repo: Repo) -> Answer:
    """The listing of models and studios: no pages; what is over the cap is left out without a word."""
    entries = _entries(ex, repo)
    return entries if isinstance(entries, Answer) else _of(repo, said({"Files": entries[: ex.effect.listing_cap]}))


def tree(hub: TestHub, ex: Exchange, repo: Repo) -> Answer:
    """The listing of datasets, in pages."""
    entries = _entries(ex, repo)
    if isinstance(entries, Answer):
        return entries
    page, size = ex.param("PageNumber", "1"), ex.param("PageSize", str(PAGE))
    if not (page.isdigit() and size.isdigit() and int(page) and int(size)):
        return failed(400, 400, "PageNumber and PageSize count from 1")
    many = min(int(size), ex.effect.page_size or int(size))
    shown = entries[(int(page) - 1) * many : int(page) * many]
    beside = {"PageNumber": int(page), "PageSize": many, "TotalCount": len(entries)}
    return _of(repo, said({"Files": shown}, **beside))


def login(hub: TestHub, ex: Exchange) -> Answer:
    """A token for a session cookie and a token for git; here all three are the same."""
    try:
        token = json.loads(ex.raw_body or b"{}").get("AccessToken")
    except (ValueError, AttributeError):
        token = None
    if token not in hub.modelscope_tokens:
        return failed(400, BAD_TOKEN, "the access token is invalid or expired")
    name = hub.modelscope_tokens[token]
    answer = said({"AccessToken": token, "Username": name, "Email": f"{name}@plain.example"})
    session = f"{SESSION}={token}; Path=/; Max-Age=2592000; Secure; HttpOnly"
    answer.headers.append(("Set-Cookie", session))
    return answer


def me(hub: TestHub, ex: Exchange) -> Answer:
    name = hub.modelscope_tokens.get(token_of(ex) or "")
    if name is None:
        body = {"success": False, "code": "Unauthorized", "message": "please log in", "request_id": request_id()}
        return as_json(body, status=401)
    return as_json({"success": True, "request_id": request_id(), "data": {"username": name, "nickname": name}})


def _entries(ex: Exchange, repo: Repo) -> list[dict[str, Any]] | Answer:
    revision = ex.param("Revision", repo.trunk)
    commit = repo.at(revision)
    if commit is None:
        return no_such(f"revision {revision}")
    root = ex.param("Root").strip("/")
    if root not in commit.trees:
        return no_such(f"{root} at {revision}")
    prefix = f"{root}/" if root else ""
    inside = [p for p in sorted({*commit.files, *commit.trees} - {""}) if p.startswith(prefix)]
    if not ex.flag("Recursive"):
        inside = [p for p in inside if "/" not in p[len(prefix) :]]
    history = repo.history(commit)
    return [_entry(history, path) for path in inside]


def _entry(history: list[Commit], path: str) -> dict[str, Any]:
    found = history[0].files.get(path)
    last = _last_change(history, path)
    return {
        "CommitMessage": last.title,
        "CommittedDate": last.when,
        "CommitterName": "acme",
        "Id": found.oid if found else history[0].trees[path],
        "InCheck": False,
        "IsLFS": bool(found and found.sha256),
        "Mode": "33188" if found else "16384",
        "Name": path.rpartition("/")[2],
        "Path": path,
        "Revision": last.sha,
        "Sha256": found.source.sha256 if found else "",
        "Size": found.size if found else 0,
        "Type": "blob" if found else "tree",
    }


def _last_change(history: list[Commit], path: str) -> Commit:
    def id_at(commit: Commit) -> str | None:
        found = commit.files.get(path)
        return found.oid if found else commit.trees.get(path)

    last = history[0]
    for older in history[1:]:
        if id_at(older) != id_at(last):
            break
        last = older
    return last


def _text(found: File | None) -> str:
    return bytes(found.source.read(0, found.size)).decode("utf-8", "replace") if found else ""


def _of(repo: Repo, answer: Answer) -> Answer:
    answer.repo = repo.id
    return answer
