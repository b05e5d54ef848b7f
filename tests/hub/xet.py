"""The Xet services: the CAS, which says in which xorbs a file's bytes lie, and the transfer host, which sends them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .exchange import Answer, Exchange, as_json, text
from .reply import span_of
from .repo import File, Repo
from .signed import refused, sign
from .xorbs import CHUNK, Xorb

if TYPE_CHECKING:
    from .server import TestHub

CAS = "https://cas-server.xethub.hf.co"
TRANSFER = "https://transfer.xethub.hf.co"
REQUEST_ID = ("X-Request-Id", "cas-fake")
SPELLINGS = {
    ("v2", "reconstructions"): 2,
    ("v1", "reconstructions"): 1,
    ("reconstructions",): 1,
    ("reconstruction",): 1,
}


def token_for(repo: Repo) -> str:
    return f"xet_fake_{repo.object_id}"


async def cas(hub: TestHub, ex: Exchange) -> Answer | None:
    parts = ex.segments()
    if parts == ["v1", "telemetry"]:
        return text(200, "")
    version = SPELLINGS.get(tuple(parts[:-1]))
    if version is None or (version == 2 and not ex.effect.cas_v2):
        return text(404, "Not Found", REQUEST_ID)
    repo = next((r for r in hub.repos.values() if ex.token == token_for(r)), None)
    if repo is None:
        return text(401, "Unauthorized", REQUEST_ID)
    file = repo.blobs.get(parts[-1])
    if file is None or file.xet != parts[-1]:
        return text(404, "Not Found", REQUEST_ID)
    span = span_of(ex.header("range") or "bytes=0-", file.size)
    if span is False:
        return text(416, "Range Not Satisfiable", REQUEST_ID)
    start, end = span if isinstance(span, tuple) else (0, file.size)
    return as_json(_reconstruction(ex, repo, file, start, end, version), REQUEST_ID)


async def transfer(hub: TestHub, ex: Exchange) -> Answer | None:
    parts = ex.segments()
    found = [r.xorbs[parts[-1]] for r in hub.repos.values() if parts[-1] in r.xorbs]
    if parts[:-1] != ["xorbs", "default"] or not found:
        return text(404, "no such xorb")
    if no := refused(ex):
        return no
    if ex.header("range") != ex.param("X-Xet-Signed-Range"):
        return text(403, "the range is not the signed one")
    return _xorb(hub, ex, found[0])


def _xorb(hub: TestHub, ex: Exchange, xorb: Xorb) -> Answer:
    file = next((r.blobs[xorb.file_hash] for r in hub.repos.values() if xorb.file_hash in r.blobs), None)
    digest, size = (file.digest, file.size) if file else (xorb.hash, xorb.size)
    head = [("Content-Type", "application/octet-stream"), ("ETag", f'"{xorb.hash}"'), ("Accept-Ranges", "bytes")]
    if not ex.effect.xorb_200:
        return Answer(200, head, xorb, True, False, digest, size)
    span = span_of(ex.header("range"), xorb.size)
    start, end = span if isinstance(span, tuple) else (0, xorb.size)
    return Answer(200, head, xorb.read(start, end - start), False, False, digest, size)


def _reconstruction(ex: Exchange, repo: Repo, file: File, start: int, end: int, version: int) -> dict[str, Any]:
    low, high, at = start // CHUNK, -(-end // CHUNK), 0
    terms: list[dict[str, Any]] = []
    where: dict[str, list[dict[str, Any]]] = {}
    for extent in repo.extents[file.xet or ""]:
        xorb, before = extent.xorb, extent.first - at  # chunks in the file -> chunks of the xorb's own file
        at += extent.last - extent.first
        first, last = max(low + before, extent.first), min(high + before, extent.last)
        if first >= last:
            continue
        chunks = {"start": first - xorb.first, "end": last - xorb.first}
        byte_start, byte_end = xorb.span(first, last)
        span = {"start": byte_start, "end": byte_end - 1}
        signed = {"X-Xet-Signed-Range": f"bytes={span['start']}-{span['end']}"}
        url = sign(f"{TRANSFER}/xorbs/default/{xorb.hash}", ex.effect.url_ttl, signed)
        terms.append({"hash": xorb.hash, "unpacked_length": xorb.unpacked(first, last), "range": chunks})
        if version == 2:
            where.setdefault(xorb.hash, []).append({"url": url, "ranges": [{"chunks": chunks, "bytes": span}]})
        else:
            where.setdefault(xorb.hash, []).append({"range": chunks, "url": url, "url_range": span})
    key = "xorbs" if version == 2 else "fetch_info"
    return {"offset_into_first_range": start - low * CHUNK, "terms": terms, key: where}
