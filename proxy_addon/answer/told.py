"""What a hub's answer to a question about a repo amounts to: something to keep, or something to tell.

An answer is had whole, edited if it would send clients to Xet, and kept as a blob under its own digest; one that tells
nothing new is the one that is here. Who asked, openly or with a permission of his own, where the row is kept, and who
may see it, is for others to say (`documents`, `confided`).
"""

from __future__ import annotations

import hashlib
import json
from asyncio import to_thread
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..core.errors import BodyLost
from ..core.messages import BytesBody, Headers, Reply, Request, StoredResponse
from ..core.status import Outcome
from ..core.storing import Terms
from ..fetch.bodies import BlobBody
from ..fetch.upstream import Answer
from ..hub import modelscope as ms
from ..hub import xet
from ..hub.resources import Document
from . import blobs
from .means import Means, Rules
from .mirrored import is_page
from .permission import refuses
from .replies import SMALL, of_stored

LARGEST = 32 * 1024 * 1024  # bytes, inflated
_KEPT = frozenset(
    [
        "content-type",
        "etag",
        "last-modified",
        "link",
        "x-repo-commit",
        "x-revision",  # of the viewer: `datasets` believes no answer without it
        "x-total-count",
        "content-disposition",
        "docker-content-digest",
        "date",
        "x-error-code",
        "x-error-message",
    ]
)
_TOLD = _KEPT | frozenset(
    [
        "x-request-id",
        "retry-after",
        "ratelimit",
        "ratelimit-policy",
        "www-authenticate",
        "location",
    ]
)


@dataclass(frozen=True, slots=True)
class Told:
    """An answer that is not kept."""

    status: int
    headers: Headers
    body: bytes
    reason: str
    outcome: Outcome
    closed: bool = False  # it is the repo that is refused
    refused: bool = False  # whoever asked, be it with a permission: what he was told before is his no longer


@dataclass(frozen=True, slots=True)
class Kept:
    stored: StoredResponse
    outcome: Outcome
    data: bytes | None = None  # None: in the store


def terms_of(rules: Rules, doc: Document, rows: Sequence[StoredResponse]) -> Terms:
    return rules.document(rows[0].status if rows else 200, pinned=doc.pinned, what=doc.what)


def may_be_page(doc: Document, old: StoredResponse | None) -> bool:
    """Raw text may be HTML, and so may a page where people log in: it is told, not kept, and takes no text's place."""
    return doc.what == "static" or (doc.what == "raw" and (old is None or old.status != 200))


async def said(data: bytes) -> int | None:
    """The code of the failure that a body speaks of, if it does."""
    return await to_thread(ms.failure_of, data) if len(data) > SMALL else ms.failure_of(data)


async def told(doc: Document, answer: Answer, data: bytes) -> Told | None:
    """None for what may be kept: a success, and that a repo has no such file."""
    code = answer.headers.get("x-error-code") or ""
    failed = await said(data) if doc.hub == ms.HUB else None
    absent = doc.repo is not None and answer.status == 404 and code == "EntryNotFound"
    page = doc.what == "raw" and is_page(answer.headers)
    if absent or (answer.status == 200 and failed is None and not page):
        return None
    headers = Headers((k, v) for k, v in answer.headers.fields if k.lower() in _TOLD)
    return Told(
        answer.status,
        headers.replace(("Content-Length", str(len(data)))),
        data,
        answer.reason,
        Outcome(fwd_status=answer.status),
        closed=answer.status in (401, 403) or failed == ms.NO_REPO,
        refused=failed != ms.NO_SUCH
        and (refuses(answer.status, code) or (answer.status == 200 and failed is not None)),
    )


async def tells_the_same(doc: Document, answer: Answer, old: StoredResponse, held: bytes | None, data: bytes) -> bool:
    """Of ModelScope, which sends no validator."""
    known = doc.hub == ms.HUB and old.status == answer.status and held is not None
    return known and await to_thread(ms.same_answer, held or b"", data)


def renewed(answer: Answer, old: StoredResponse) -> StoredResponse:
    date = answer.headers.get("date")  # the age is counted from it (RFC 9111, 3.2 and 4.2.3)
    headers = old.headers.replace(("Date", date)) if date else old.headers.without("date")
    return replace(old, headers=headers, request_time=answer.request_time, response_time=answer.response_time)


async def kept(rules: Rules, doc: Document, answer: Answer, data: bytes) -> tuple[StoredResponse, bytes]:
    """The row, and the bytes as clients get them."""
    edited = doc.edit and rules.xet != "native"
    body = await to_thread(_edited, rules, data) if edited and b'"xetHash"' in data else data
    digest = await to_thread(lambda: hashlib.sha256(body).hexdigest())
    fields = [(k, v) for k, v in answer.headers.fields if k.lower() in _KEPT]
    tag = answer.headers.get("etag")
    if body is not data and tag is not None:
        fields = [(k, v) for k, v in fields if k.lower() != "etag"] + [("ETag", f'W/"{digest[:32]}"')]
    stored = StoredResponse(
        status=answer.status,
        headers=Headers(fields),
        request_time=answer.request_time,
        response_time=answer.response_time,
        url=answer.url.partition("?")[0],
        blob=f"sha256:{digest}",
        size=len(body),
        kind="api",
        facts=(("etag", tag),) if tag else (),
    )
    return stored, body


def _edited(rules: Rules, data: bytes) -> bytes:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return data
    return json.dumps(xet.without_xet(document, rules.keep_xet), separators=(",", ":")).encode()


async def bytes_of(means: Means, stored: StoredResponse) -> bytes | None:
    """The document from the store; None if a piece of it is gone."""
    if not stored.size or stored.blob is None:
        return b""
    store = means.store.blobs
    manifest = await store.manifest(stored.blob)
    if manifest is None or not manifest.sealed:
        return None
    try:
        return await blobs.whole(BlobBody(store, manifest, 0, manifest.size))
    except BodyLost:
        return None


def whole(means: Means, request: Request, stored: StoredResponse, data: bytes, outcome: Outcome) -> Reply:
    reply = of_stored(request, stored, lambda a, b: data[a:b], outcome, means.clock(), means.boundary)
    if isinstance(reply.body, bytes) and len(reply.body) > 1024 * 1024:
        reply.body = BytesBody(reply.body)
    return reply
