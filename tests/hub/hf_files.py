"""/resolve, /api/resolve-cache and /raw: the facts ride on a redirect, the bytes are elsewhere.

A small file is redirected (307, relative) to a URL that names its commit and blob id and never changes; a large one
(302) to a signed URL on another host. Field for field as recorded from real clients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from . import cdn, xet
from .exchange import TEXT, Answer, Exchange, Fields, as_json, error, redirect, text
from .hf_access import files_denied
from .repo import Commit, File, Repo
from .signed import disposition

if TYPE_CHECKING:
    from .server import TestHub

FILE_INFO = "application/vnd.xet-fileinfo+json"
VARY = ("Vary", "Origin, Accept")
ENTRY_MISSING = "Entry not found"


def no_revision(revision: str) -> Answer:
    return error(404, f"Invalid rev id: {revision}", "RevisionNotFound")


def no_entry(commit: Commit, message: str = ENTRY_MISSING) -> Answer:
    facts = [VARY, ("X-Repo-Commit", commit.sha), ("X-Error-Code", "EntryNotFound"), ("X-Error-Message", message)]
    return text(404, message, *facts)


def resolve(hub: TestHub, ex: Exchange, repo: Repo, revision: str, path: str) -> Answer:
    if ex.method not in ("GET", "HEAD"):
        return error(405, "Method Not Allowed")
    found = _file(ex, repo, revision, path)
    if isinstance(found, Answer):
        return found
    commit, file = found
    facts = [VARY, ("X-Repo-Commit", commit.sha), ("Accept-Ranges", "bytes")]
    linked = [("X-Linked-Size", str(file.size)), ("X-Linked-ETag", f'"{file.digest}"')]
    conditional = f'"{file.digest}"' in ex.header("if-none-match")
    if conditional:
        return Answer(304, [*facts, *linked, ("ETag", f'"{file.digest}"')], repo=repo.id)
    if file.storage == "git":
        answer = redirect(307, _immutable_url(ex, repo, commit, file), *facts, *linked)
        answer.repo = repo.id
        return answer
    linked.append(("Cache-Control", "no-store"))
    if file.xet is None:
        answer = redirect(302, cdn.lfs_url(repo, file, ex.effect.url_ttl), *facts, *linked)
        answer.repo = repo.id
        return answer
    about = [] if ex.effect.strip_xet_headers else _xet_fields(repo, commit, file)
    if FILE_INFO in ex.header("accept") and about:
        answer = _file_info(repo, commit, file, [*facts, *linked, *about])
    else:
        answer = redirect(302, cdn.bridge_url(repo, file, ex.effect.url_ttl), *facts, *linked, *about)
    answer.repo = repo.id
    return answer


def resolve_cache(hub: TestHub, ex: Exchange, repo: Repo, sha: str, path: str) -> Answer:
    commit = repo.commits.get(sha)
    if commit is None:
        return no_revision(sha)
    found = _file(ex, repo, sha, path)
    if isinstance(found, Answer):
        return found
    file = found[1]
    if file.storage != "git":
        return no_entry(commit)
    fields = [
        ("ETag", f'"{file.oid}"'),
        ("X-Repo-Commit", sha),
        ("Content-Type", TEXT if _is_text(file) else "application/octet-stream"),
        ("Content-Disposition", disposition(path)),
        ("Cache-Control", "public, max-age=31536000, immutable"),
        ("X-Cache", "Hit from cloudfront"),
        ("Accept-Ranges", "bytes"),
    ]
    return Answer(200, fields, file.source, True, True, file.oid, file.size, repo.id)


def raw(hub: TestHub, ex: Exchange, repo: Repo, revision: str, path: str) -> Answer:
    """The blob as git has it: of a large file, the pointer. Never 304, never 206."""
    found = _file(ex, repo, revision, path)
    if isinstance(found, Answer):
        return found
    commit, file = found
    fields = [("X-Repo-Commit", commit.sha), ("Content-Type", TEXT), ("ETag", f'"{file.oid}"')]
    if file.storage != "git":
        return Answer(200, fields, file.pointer, blob=file.oid, blob_size=len(file.pointer), repo=repo.id)
    return Answer(200, fields, file.source, blob=file.oid, blob_size=file.size, repo=repo.id)


def _file(ex: Exchange, repo: Repo, revision: str, path: str) -> tuple[Commit, File] | Answer:
    if denied := files_denied(ex, repo):
        return denied
    commit = repo.at(revision)
    if commit is None:
        return no_revision(revision)
    if path not in commit.files:
        return no_entry(commit)
    return commit, commit.files[path]


def _immutable_url(ex: Exchange, repo: Repo, commit: Commit, file: File) -> str:
    etag = quote(f'"{file.oid}"', safe="")
    return (
        f"/api/resolve-cache/{repo.plural}/{repo.id}/{commit.sha}/{quote(file.path, safe='')}"
        f"?{quote(ex.path, safe='').replace('%25', '%')}=&etag={etag}"
    )


def _xet_fields(repo: Repo, commit: Commit, file: File) -> Fields:
    auth = f"https://huggingface.co/api/{repo.plural}/{repo.id}/xet-read-token/{commit.sha}"
    return [
        ("X-Xet-Hash", file.xet or ""),
        ("Link", f'<{auth}>; rel="xet-auth", <{_reconstruction(file)}>; rel="xet-reconstruction-info"'),
    ]


def _file_info(repo: Repo, commit: Commit, file: File, fields: Fields) -> Answer:
    facts = {
        "hash": file.xet,
        "refreshUrl": f"https://huggingface.co/api/{repo.plural}/{repo.id}/xet-read-token/{commit.sha}",
        "reconstructionUrl": _reconstruction(file),
        "etag": f'"{file.digest}"',
        "size": file.size,
    }
    answer = as_json(facts, *fields)
    answer.put("Content-Type", f"{FILE_INFO}; charset=utf-8")
    return answer


def _reconstruction(file: File) -> str:
    return f"{xet.CAS}/v1/reconstructions/{file.xet}"


def _is_text(file: File) -> bool:
    return b"\0" not in bytes(file.source.read(0, 8192))
