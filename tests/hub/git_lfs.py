"""The git-lfs batch API: links to the CDN for who may read, links to upload by for who may write.

An upload is checked against the SHA-256 that its URL names. It becomes part of a repo when a push brings its pointer.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from .content import Memory
from .exchange import Answer, Exchange, text
from .repo import Repo
from .signed import refused, sign

if TYPE_CHECKING:
    from .git_http import Forge
    from .server import TestHub

MEDIA = "application/vnd.git-lfs+json"
UPLOAD_HOST = "hf-hub-lfs-us-east-1.s3-accelerate.amazonaws.com"


def said(value: Any, status: int = 200) -> Answer:
    return Answer(status, [("Content-Type", f"{MEDIA}; charset=utf-8")], json.dumps(value).encode())


def batch(hub: TestHub, ex: Exchange, forge: Forge, repo: Repo, writes: bool) -> Answer:
    """`POST /{id}.git/info/lfs/objects/batch`"""
    try:
        asked = json.loads(ex.raw_body)
        objects = [(str(o["oid"]), int(o["size"])) for o in asked["objects"]]
    except (ValueError, KeyError, TypeError):
        return said({"message": "not a batch request"}, 422)
    if asked.get("operation") == "upload" and not writes:
        return said({"message": "You have read access but not this required permission: write"}, 403)
    one = _to_upload if asked.get("operation") == "upload" else _to_download
    answer = said({"transfer": "basic", "objects": [one(hub, ex, forge, repo, oid, size) for oid, size in objects]})
    answer.repo = repo.id
    return answer


def verify(hub: TestHub, ex: Exchange, repo: Repo) -> Answer:
    """`POST /{id}.git/info/lfs/objects/verify`, after an upload"""
    oid = json.loads(ex.raw_body or b"{}").get("oid", "")
    return said({}) if _here(hub, repo, oid) else said({"message": "Object does not exist"}, 404)


async def upload(hub: TestHub, ex: Exchange) -> Answer | None:
    """`PUT` of an object, by a signed URL."""
    if no := refused(ex):
        return no
    if ex.method != "PUT":
        return text(405, "Method Not Allowed", ("Allow", "PUT"))
    sha256 = ex.segments()[-1]
    if await asyncio.to_thread(lambda: hashlib.sha256(ex.raw_body).hexdigest()) != sha256:
        return text(400, "the bytes are not those of this SHA-256")
    hub.git.keep_upload(sha256, Memory(ex.raw_body))
    return text(200, "")


def _to_download(hub: TestHub, ex: Exchange, forge: Forge, repo: Repo, oid: str, size: int) -> dict[str, Any]:
    file = repo.blobs.get(oid)
    if file is None or file.sha256 != oid:
        return {"oid": oid, "size": size, "error": {"code": 404, "message": "Object does not exist"}}
    action = {"href": forge.link(repo, file, ex.effect.url_ttl), "expires_at": _expiry(ex)}
    return {"oid": oid, "size": file.size, "authenticated": True, "actions": {"download": action}}


def _to_upload(hub: TestHub, ex: Exchange, forge: Forge, repo: Repo, oid: str, size: int) -> dict[str, Any]:
    found: dict[str, Any] = {"oid": oid, "size": size, "authenticated": True}
    if _here(hub, repo, oid):
        return found
    href = sign(f"https://{UPLOAD_HOST}/repos/{repo.lfs_prefix}/{oid}", ex.effect.url_ttl)
    check = {"href": f"https://{ex.host}/{repo.web}.git/info/lfs/objects/verify"}
    if given := ex.header("authorization"):
        check |= {"header": {"Authorization": given}}
    return found | {"actions": {"upload": {"href": href, "expires_at": _expiry(ex)}, "verify": check}}


def _here(hub: TestHub, repo: Repo, oid: str) -> bool:
    return oid in repo.blobs or hub.git.uploaded(oid) is not None


def _expiry(ex: Exchange) -> str:
    return (datetime.now(UTC) + timedelta(seconds=ex.effect.url_ttl)).strftime("%Y-%m-%dT%H:%M:%SZ")
