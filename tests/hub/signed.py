"""Signed URLs as a CDN hands them out: short-lived, in the query, and different every time."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time
from urllib.parse import parse_qsl, quote, urlencode

from .exchange import Answer, Exchange

_KEY = os.urandom(16)


def sign(url: str, ttl: int, extra: dict[str, str] | None = None) -> str:
    """`url` with `extra` parameters, an expiry `ttl` seconds from now and a signature."""
    expires = int(time.time()) + ttl
    policy = {"Statement": [{"Resource": f"{url}*", "Condition": {"DateLessThan": {"AWS:EpochTime": expires}}}]}
    encoded = base64.b64encode(json.dumps(policy, separators=(",", ":")).encode()).decode()
    query = {
        **(extra or {}),
        "Expires": str(expires),
        "Policy": encoded.translate(str.maketrans("+/=", "-~_")),
        "Signature": _signature(url.partition("://")[2], expires, os.urandom(4).hex(), extra or {}),
        "Key-Pair-Id": "K1FAKE",
    }
    return f"{url}?{urlencode(query, safe='*')}"


def refused(ex: Exchange) -> Answer | None:
    """403 as CloudFront says it, when the signature is missing, wrong, or too old."""
    query = dict(parse_qsl(ex.record.query, keep_blank_values=True))
    given, expires = query.get("Signature", ""), query.get("Expires", "0")
    extra = {k: v for k, v in query.items() if k not in ("Expires", "Policy", "Signature", "Key-Pair-Id")}
    right = expires.isdigit() and given == _signature(ex.host + ex.path, int(expires), given[4:12], extra)
    if right and int(expires) > time.time():
        return None
    message = "Access denied" if right else "Missing Key-Pair-Id query parameter or cookie value"
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>AccessDenied</Code><Message>{message}</Message></Error>'
    return Answer(403, [("Content-Type", "text/xml")], body.encode())


def disposition(path: str) -> str:
    name = path.rpartition("/")[2]
    plain = name.encode("ascii", "replace").decode().replace('"', "'")
    return f"inline; filename*=UTF-8''{quote(name)}; filename=\"{plain}\";"


def _signature(what: str, expires: int, salt: str, extra: dict[str, str]) -> str:
    signed = f"{what}:{expires}:{salt}:{urlencode(sorted(extra.items()))}"
    return f"FAKE{salt}{hmac.new(_KEY, signed.encode(), hashlib.sha256).hexdigest()[:16]}"
