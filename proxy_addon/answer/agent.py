"""By what name a hub is asked, and in what form, on everybody's behalf.

One answer is for all who ask at the same time, and a failure lets stand in what is stale. So of what a client sends
only that goes along by which hubs make different answers, in a form that no hub refuses: nobody can choose that his
question fails.
"""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import urlsplit

from ..core.messages import Headers, Request
from ..hub.resources import Document

_PLAIN = re.compile(r"[ -~]{1,512}")  # hubs take a head of 8 KiB


def agent_of(headers: Headers) -> str:
    """The client's own name, if it is short and plain."""
    return _plain(headers.get("user-agent")) or "hubgate"


def asking(agent: str) -> tuple[tuple[str, str], ...]:
    """The fields to ask for bytes with, as they are."""
    return (("User-Agent", agent), ("Accept", "*/*"), ("Accept-Encoding", "identity"))


def form_of(headers: Headers) -> str:
    """What the client takes, where that is a part of the key."""
    return _plain(headers.get("accept")) or "*/*"


def asking_for(request: Request, doc: Document) -> list[tuple[str, str]]:
    """The fields to ask for a document with. What the client takes counts for manifests only, and what his body is
    where he sends one: these are parts of the key."""
    accept = form_of(request.headers) if doc.what == "manifest" else "*/*"
    fields = [("User-Agent", agent_of(request.headers)), ("Accept", accept), ("Accept-Encoding", "gzip, deflate")]
    kind = _plain(request.headers.get("content-type")) if request.body else ""
    return [*fields, ("Content-Type", kind)] if kind else fields


def plainly(request: Request, doc: Document) -> Request:
    """By the one URL that is meant, however it was spelled."""
    at = urlsplit(doc.url)
    return replace(request, host=at.hostname, path=at.path, query=at.query) if at.hostname else request


def _plain(value: str | None) -> str:
    return value if value is not None and _PLAIN.fullmatch(value) else ""
