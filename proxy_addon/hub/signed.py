"""Signed links, read: until when one is good, and which of them a git-lfs batch answer hands out.

What cannot be understood is left out; nothing here says that a link is good, only until when it says so itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from .resources import SHA256

_DIGITS = re.compile(r"[0-9]{1,12}\Z")
_KEYED = re.compile(r"([0-9]{1,12})-")


@dataclass(frozen=True, slots=True)
class Link:
    url: str
    blob: str  # blob id
    size: int | None  # bytes
    expires: float | None  # epoch seconds; None: it does not say


def expiry(url: str) -> float | None:
    """The time at which a signed URL ends, as its query tells: CloudFront and Google (`Expires`), S3 (`X-Amz-Date` and
    `X-Amz-Expires`), Alibaba's CDN (`auth_key`); epoch seconds. Of several the earliest: a signature may not
    cover what somebody adds to the query."""
    query = [(name.lower(), value) for name, value in parse_qsl(url.partition("?")[2].partition("#")[0])]
    told = [float(value) for name, value in query if name == "expires" and _DIGITS.match(value)]
    told += [float(found[1]) for name, value in query if name == "auth_key" and (found := _KEYED.match(value))]
    lasts = [int(value) for name, value in query if name == "x-amz-expires" and _DIGITS.match(value)]
    signed = [at for name, value in query if name == "x-amz-date" and (at := _stamp(value)) is not None]
    told += [at + seconds for at in signed for seconds in lasts]
    return min(told, default=None)


def _stamp(text: str) -> float | None:
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def downloads(answer: Any, now: float) -> Iterator[Link]:
    """The objects of a batch answer that may be downloaded by their link alone: one that wants a header of its own is
    good only for who sends that too (git-lfs docs/api/batch.md)."""
    objects = answer.get("objects") if isinstance(answer, Mapping) else None
    for each in objects if isinstance(objects, list) else ():
        actions = each.get("actions") if isinstance(each, Mapping) else None
        action = actions.get("download") if isinstance(actions, Mapping) else None
        if not isinstance(action, Mapping) or action.get("header"):
            continue
        url, oid, size = action.get("href"), each.get("oid"), each.get("size")
        if isinstance(url, str) and isinstance(oid, str) and SHA256.match(oid) and type(size) is int and size > 0:
            yield Link(url, f"sha256:{oid}", size, _ends(action, url, now))


@dataclass(frozen=True, slots=True)
class Handed:
    """What a batch answer hands out for one object, good for anybody or not."""

    oid: str
    url: str
    token: str  # of the CAS; empty if there is none


def handed(answer: Any) -> Iterator[Handed]:
    objects = answer.get("objects") if isinstance(answer, Mapping) else None
    for each in objects if isinstance(objects, list) else ():
        actions = each.get("actions") if isinstance(each, Mapping) else None
        for action in actions.values() if isinstance(actions, Mapping) else ():
            url, oid = (action.get("href"), each.get("oid")) if isinstance(action, Mapping) else (None, None)
            if isinstance(url, str) and isinstance(oid, str) and SHA256.match(oid):
                fields = action.get("header")
                named = {str(k).lower(): v for k, v in fields.items()} if isinstance(fields, Mapping) else {}
                token = named.get("x-xet-access-token")
                yield Handed(oid, url, token if isinstance(token, str) else "")


def _ends(action: Mapping[str, Any], url: str, now: float) -> float | None:
    """The earliest of what the action and its link say."""
    told = [at for at in (expiry(url), _moment(action.get("expires_at"))) if at is not None]
    lasts = action.get("expires_in")
    if type(lasts) is int and abs(lasts) < 10**12:
        told.append(now + lasts)
    return min(told, default=None)


def _moment(text: Any) -> float | None:
    """RFC 3339; a zero time means that none was set."""
    try:
        at = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return at.timestamp() if at is not None and at.tzinfo is not None and at.year > 1 else None
