"""The hosts that serve bytes: the classic LFS CDN and the Xet bridge. Both want a signed URL, and know no repo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .exchange import Answer, Exchange, Fields, text
from .repo import File, Repo
from .signed import disposition, refused, sign

if TYPE_CHECKING:
    from .server import TestHub

LFS_HOST = "cdn-lfs-us-1.hf.co"
BRIDGE_HOST = "us.aws.cdn.hf.co"
LAST_MODIFIED = "Wed, 01 Oct 2025 00:00:00 GMT"


def lfs_url(repo: Repo, file: File, ttl: int) -> str:
    url = f"https://{LFS_HOST}/repos/{repo.lfs_prefix}/{file.sha256}"
    return sign(url, ttl, {"response-content-disposition": disposition(file.path)})


def bridge_url(repo: Repo, file: File, ttl: int) -> str:
    extra = {
        "X-Xet-Cas-Uid": "public",
        "user_id": "public",
        "response-content-disposition": disposition(file.path),
    }
    return sign(f"https://{BRIDGE_HOST}/xet-bridge-us/{repo.object_id}/{file.xet}", ttl, extra)


def large_url(repo: Repo, file: File, ttl: int) -> str:
    return (bridge_url if file.xet else lfs_url)(repo, file, ttl)


async def lfs(hub: TestHub, ex: Exchange) -> Answer | None:
    parts = ex.segments()
    if no := refused(ex):
        return no
    found = [r for r in hub.repos.values() if "/".join(parts[1:4]) == r.lfs_prefix and parts[4] in r.blobs]
    if not found:
        return text(404, "no such object")
    file = found[0].blobs[parts[4]]
    head = [("ETag", f'"{file.digest[:32]}"'), ("Last-Modified", LAST_MODIFIED)]
    return _bytes(ex, found[0], file, head, ex.param("response-content-disposition"))


async def bridge(hub: TestHub, ex: Exchange) -> Answer | None:
    parts = ex.segments()
    if no := refused(ex):
        return no
    found = [r for r in hub.repos.values() if parts[1:2] == [r.object_id] and parts[2] in r.blobs]
    if not found:
        return text(404, "no such object")
    head = [("ETag", f'"{parts[2]}"'), ("Cache-Control", "public, max-age=31536000")]
    return _bytes(ex, found[0], found[0].blobs[parts[2]], head, "inline")


def _bytes(ex: Exchange, repo: Repo, file: File, head: Fields, named: str) -> Answer:
    if ex.method not in ("GET", "HEAD"):
        return text(405, "Method Not Allowed", ("Allow", "GET, HEAD"))
    fields = [("Content-Type", "application/octet-stream"), *head, ("Accept-Ranges", "bytes")]
    if named:
        fields.append(("Content-Disposition", named))
    return Answer(200, fields, file.source, True, True, file.digest, file.size, repo.id)
