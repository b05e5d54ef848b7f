"""Links noticed on their way to a client: what a hub hands out in a redirect, or in a batch answer.

Only a link that a later request would be known by is noted, and only under the digest that the link itself does not
contradict. Nothing is noted of what the client gets: that goes by unchanged.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from ..core.errors import UpstreamFailed
from ..core.messages import REDIRECTS
from ..core.ranges import parse_content_range
from ..core.storing import delta_bytes
from ..fetch.upstream import Answer
from ..hub import huggingface as hf
from ..hub import modelscope as ms
from ..hub.resources import SHA256, Blob
from ..hub.signed import Link, expiry
from .means import Means

_SPEAKS = {host: hub.HUB for hub in (hf, ms) for host in hub.HOME_HOSTS}  # who may say what a link is


def notice(means: Means, link: Link, hub: str) -> bool:
    """Whether the link was noted. `hub` told of it: one hub cannot give what is another's."""
    try:
        at = urlsplit(link.url)
        host, port = (at.hostname or "").rstrip("."), at.port or 443
    except ValueError:
        return False
    if at.scheme != "https" or at.username is not None or not link.url.isascii():
        return False
    found = means.classifier.classify("GET", "https", host, port, at.path, at.query)
    if (
        not isinstance(found, Blob)
        or found.hub != hub
        or (found.digest.startswith("sha256:") and found.digest != link.blob)
    ):
        return False
    means.issued.note(link.url.partition("#")[0], link.blob, link.size, link.expires)
    return True


def notice_redirect(means: Means, answer: Answer, blob: str = "") -> None:
    """A redirect to where the bytes of a file are; `blob` is what was asked for, if that is known."""
    digest = hf.bare(answer.headers.get("x-linked-etag"))
    blob = blob or (f"sha256:{digest}" if SHA256.match(digest) else "")
    hub = _SPEAKS.get(urlsplit(answer.url).hostname or "")
    if not blob or hub is None or answer.status not in REDIRECTS:
        return
    try:
        target = answer.location
    except UpstreamFailed:
        return
    if target is not None:
        notice(means, Link(target, blob, delta_bytes(answer.headers.get("x-linked-size")), expiry(target)), hub)


def size_told(answer: Answer) -> int | None:
    """The size of the whole representation of which this answer is a part, or all; bytes."""
    if answer.headers.get("content-encoding", "identity") != "identity":
        return None
    if answer.status == 206:
        span = parse_content_range(answer.headers.get("content-range"))
        return None if span is None else span[2]
    return delta_bytes(answer.headers.get("content-length")) if answer.status == 200 else None
