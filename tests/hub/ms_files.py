"""ModelScope's files: small ones in the reply itself, large ones by a redirect to a CDN whose path is their SHA-256.

A small file has a quirk: a range with both ends gets its bytes and a Content-Range, but with status 200; a range
without an end is ignored. The CDN answers ranges properly. Its links are signed over the path alone, as Aliyun's are.
"""

from __future__ import annotations

import hashlib
import os
import time
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from .exchange import Answer, Exchange, text
from .ms_reply import NO_FILE, failed, files_denied
from .reply import span_of
from .repo import File, Repo
from .signed import disposition

if TYPE_CHECKING:
    from .server import TestHub

CDN_HOST = "cdn-lfs-cn-1.modelscope.cn"
ROUTE = "prod/lfs-objects"
_KEY = os.urandom(8).hex()


def no_such(what: str) -> Answer:
    """Said with HTTP 200."""
    return failed(200, NO_FILE, f"{what} does not exist")


def file(hub: TestHub, ex: Exchange, repo: Repo) -> Answer:
    """`/repo?Revision=&FilePath=`"""
    return _serve(ex, repo, ex.param("Revision", repo.trunk), ex.param("FilePath"))


def resolve(hub: TestHub, ex: Exchange, repo: Repo, revision: str, path: str) -> Answer:
    """`/resolve/{revision}/{path}`: the same for browsers, with a status they understand."""
    answer = _serve(ex, repo, revision, path)
    if answer.status == 200 and answer.blob is None:
        answer.status = 404
    return answer


def _serve(ex: Exchange, repo: Repo, revision: str, path: str) -> Answer:
    if ex.method not in ("GET", "HEAD"):
        return text(405, "Method Not Allowed", ("Allow", "GET, HEAD"))
    if denied := files_denied(ex, repo):
        return denied
    commit = repo.at(revision)
    if commit is None:
        return no_such(f"revision {revision}")
    if path not in commit.files:
        return no_such(f"{path} at {revision}")
    found = commit.files[path]
    return _small(ex, repo, found) if found.storage == "git" else _linked(ex, repo, revision, found)


def _small(ex: Exchange, repo: Repo, found: File) -> Answer:
    fields = [
        ("Content-Type", "application/octet-stream"),
        ("Content-Disposition", disposition(found.path).replace("inline", "attachment")),
    ]
    answer = Answer(200, fields, found.source, blob=found.oid, blob_size=found.size, repo=repo.id)
    span = span_of(ex.header("range"), found.size)
    if isinstance(span, tuple) and not ex.header("range").endswith("-") and not ex.effect.range_ignored:
        answer.put("Content-Range", f"bytes {span[0]}-{span[1] - 1}/{found.size}")
        answer.body = bytes(found.source.read(span[0], span[1] - span[0]))
    return answer


def _linked(ex: Exchange, repo: Repo, revision: str, found: File) -> Answer:
    facts = [("X-Linked-Etag", f'"{found.sha256}"'), ("X-Linked-Size", str(found.size))]
    return Answer(302, [*facts, ("Location", cdn_url(repo, revision, found, ex.effect.url_ttl))], repo=repo.id)


def cdn_url(repo: Repo, revision: str, found: File, ttl: int) -> str:
    """A link that is good for `ttl` seconds."""
    sha256 = found.sha256 or ""
    path = f"/{ROUTE}/{sha256[:2]}/{sha256[2:4]}/{sha256[4:]}"
    owner, _, name = repo.id.partition("/")
    about = {
        "filename": found.path.rpartition("/")[2],
        "namespace": owner,
        "repository": name,
        "revision": revision,
        "tag": repo.type,
    }
    key = _auth_key(path, int(time.time()) + ttl, os.urandom(16).hex())
    return f"https://{CDN_HOST}{path}?{urlencode(about, quote_via=quote)}&auth_key={key}"


def _auth_key(path: str, expires: int, salt: str) -> str:
    signature = hashlib.md5(f"{path}-{expires}-{salt}-0-{_KEY}".encode(), usedforsecurity=False).hexdigest()
    return f"{expires}-{salt}-0-{signature}"


async def cdn(hub: TestHub, ex: Exchange) -> Answer | None:
    if ex.method not in ("GET", "HEAD"):
        return text(405, "Method Not Allowed", ("Allow", "GET, HEAD"))
    expires, _, rest = ex.param("auth_key").partition("-")
    right = expires.isdigit() and ex.param("auth_key") == _auth_key(ex.path, int(expires), rest.partition("-")[0])
    if not right or int(expires) <= time.time():
        why = "auth_key expired" if right else "auth_key wrong"
        return text(403, f"<html><title>403 Forbidden</title><h1>denied by req auth: {why}</h1></html>")
    sha256 = "".join(ex.segments()[2:])
    repo = next((r for r in hub.modelscope.values() if sha256 in r.blobs), None)
    if repo is None:
        return text(404, "<Error><Code>NoSuchKey</Code></Error>")
    found = repo.blobs[sha256]
    fields = [
        ("Content-Type", "application/octet-stream"),
        ("ETag", f'"{sha256[:32].upper()}"'),
        ("X-Linked-Etag", f'"{sha256}"'),
        ("x-oss-request-id", os.urandom(12).hex().upper()),
        ("Accept-Ranges", "bytes"),
    ]
    return Answer(200, fields, found.source, True, True, found.digest, found.size, repo.id)
