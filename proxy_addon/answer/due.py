"""Whether a success is what was due: where a hub's API speaks JSON, what breaks off is none.

A page for browsers is turned down before, by its head (`mirrored`). ModelScope's answers say themselves whether they
are a success (`hub.modelscope.failure_of`).
"""

from __future__ import annotations

import json
from asyncio import to_thread

from ..core.errors import UpstreamFailed
from ..fetch.upstream import Answer
from ..hub import huggingface as hf
from ..hub.resources import Document
from .replies import SMALL


async def whole_of(doc: Document, answer: Answer, limit: int) -> bytes:
    """The body of an answer; raises `UpstreamFailed` if it is not what was due, or more than `limit` bytes inflated."""
    data = await answer.whole(limit)
    if answer.status == 200 and _speaks_json(doc, answer):
        sound = await to_thread(_parses, data) if len(data) > SMALL else _parses(data)
        if not sound:
            raise UpstreamFailed(f"{answer.url.split('?')[0]} answered 200, and not with JSON")
    return data


def _speaks_json(doc: Document, answer: Answer) -> bool:
    if doc.hub != hf.HUB:
        return False
    told = (answer.headers.get("content-type") or "").lower()
    return doc.edit or doc.what == "manifest" or (doc.what == "list" and "json" in told)


def _parses(data: bytes) -> bool:
    try:
        json.loads(data)
    except RecursionError:  # deeper than we look
        return True
    except ValueError:
        return False
    return True
