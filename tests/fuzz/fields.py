"""Header fields of both sides: what is understood of them, what is kept, what is decided by them."""

from __future__ import annotations

import ipaddress
import math
import re
import socket
import zlib
from contextlib import suppress
from itertools import pairwise
from urllib.parse import urlsplit

from hypothesis import strategies as st

from proxy_addon.answer.relay import end_to_end
from proxy_addon.core import conditions, dates, directives, invalidation, ranges, reuse, validators
from proxy_addon.core.errors import UpstreamFailed
from proxy_addon.core.fields import HOP_BY_HOP
from proxy_addon.core.messages import Headers, Request
from proxy_addon.core.storing import NotStorable, Terms, delta_bytes, storable, stored_from
from proxy_addon.core.validation import after_validation, freshen_from_head
from proxy_addon.edge.intake import authority
from proxy_addon.fetch.addresses import is_literal, is_public
from proxy_addon.fetch.pacing import LONGEST, pause_of
from proxy_addon.fetch.upstream import _CODINGS, location_of
from proxy_addon.hub import hf_listing
from proxy_addon.hub import huggingface as hf
from proxy_addon.hub import modelscope as ms

from .target import Target, joined, octets, row

NOW = 1_700_000_000.0
_STATUSES = (200, 206, 301, 302, 304, 404, 416, 429, 500, 503, 100, 204, 599)
_VALUES = (
    b"max-age=60", b"no-store", b"no-cache", b'private="set-cookie"', b"public", b"s-maxage=0", b"must-revalidate",
    b",",
    b"bytes=0-9", b"bytes=-5", b"bytes=0-0,5-,-1", b"bytes 0-9/100", b"bytes 0-9/*", b"bytes */100", b'"a"', b'W/"a"',
    b"*",
    b"Sun, 06 Nov 1994 08:49:37 GMT", b"Sunday, 06-Nov-94 08:49:37 GMT", b"Sun Nov  6 08:49:37 1994", b"0", b"60",
    b"-1",
    b"\xb2", b"9" * 5000, b"99999999999999999999", b"+5", b"accept-encoding", b"authorization", b"close", b"x-a",
    b'"', b"\\",
    b'"default";r=0;t=60', b"<https://huggingface.co/api/models/o/n/tree/m?cursor=x>; rel=\"next\"", b"gzip",
    b"chunked",
    b"http://hub.test/a", b"//[", b"/b", b"1a2b3c4d5e6f" + b"0" * 28, b"ab" * 32,
)  # fmt: skip
_NAMES = (
    b"Cache-Control", b"Pragma", b"Vary", b"Date", b"Expires", b"Age", b"ETag", b"Last-Modified", b"Content-Range",
    b"Content-Length", b"Content-Location", b"Location", b"Connection", b"Keep-Alive", b"Set-Cookie", b"Retry-After",
    b"RateLimit", b"Link", b"X-Repo-Commit", b"X-Linked-ETag", b"X-Linked-Size", b"X-Xet-Hash", b"Range", b"If-Range",
    b"If-Match", b"If-None-Match", b"If-Modified-Since", b"If-Unmodified-Since", b"Authorization", b"Accept-Encoding",
    b"X-A",
)  # fmt: skip
_BLOCK = st.lists(
    joined(st.sampled_from(_NAMES), st.just(b": "), row(_VALUES, 3, b", ")), max_size=6
).map(b"\n".join)  # fmt: skip


def _fields(block: str) -> Headers:
    pairs = [line.partition(":") for line in block.split("\n")]
    return Headers((name, value.strip(" \t")) for name, colon, value in pairs if colon and name)


def exchange(data: bytes) -> None:
    """A request's fields, an empty line, an answer's: nothing raises, and what is kept and given out has its rules."""
    status = _STATUSES[data[0] % len(_STATUSES)] if data else 200
    asked, _, told = octets(data[1:]).partition("\n\n")
    head, told_head = _fields(asked), _fields(told)
    request = Request("GET", "https", "hub.test", 443, "/a", "", head)
    assert 0.0 <= pause_of(status, told_head, NOW) <= LONGEST
    passed = end_to_end(told_head)
    named = {name.lower() for line in told_head.get_all("connection") for name in directives.split_list(line)}
    assert not {name.lower() for name, _ in passed} & (HOP_BY_HOP | named)
    for url in invalidation.targets(Request("POST", "https", "hub.test", 443, "/a"), 200, told_head):
        assert url.startswith("https://hub.test/")
    facts = hf.facts_of(status, told_head, told_head.get("location"))
    assert facts is None or facts.size is None or facts.size >= 0
    ms.linked(told_head)
    hf_listing.next_page(told_head.get("link"))
    with suppress(UpstreamFailed):  # where a redirect leads must then be readable by all who judge it
        target = location_of("https://huggingface.co/a/b", told_head)
        assert target is None or urlsplit(target).port is None or urlsplit(target).hostname is not None
    for terms in (Terms(), Terms(lifetime=60.0), Terms(lifetime=math.inf)):
        _kept(request, status, told_head, terms)


def _kept(request: Request, status: int, told: Headers, terms: Terms) -> None:
    plan = storable(request, status, told, NOW, terms)
    if isinstance(plan, NotStorable):
        assert plan.reason
        return
    names = {name.lower() for name, _ in plan.headers}
    assert not names & (HOP_BY_HOP | {"set-cookie", "set-cookie2"})
    said = directives.parse(told.get_all("cache-control"))
    if terms.lifetime is None:
        assert "no-store" not in directives.of_response(status, told)
        assert "authorization" not in request.headers or {"public", "must-revalidate", "s-maxage"} & set(said)
    stored = stored_from(request, plan, request_time=NOW, response_time=NOW, url=request.url, size=plan.size)
    verdict = reuse.decide(request, [stored], NOW + 1, terms)
    later = reuse.decide(request, [stored], NOW + 1e6, terms)
    assert not (isinstance(later, reuse.Reuse) and later.ttl is not None and later.ttl > 0 and later != verdict) or (
        isinstance(verdict, reuse.Reuse)
    )
    reuse.on_upstream_failure(request, [stored], NOW, terms)
    if stored.size is not None and isinstance(answer := ranges.answer_stored(request, stored), ranges.Partial):
        assert all(0 <= start < end <= stored.size for start, end in answer.parts)
        assert len(answer.parts) <= ranges.MAX_PARTS
    for fresh in (after_validation(stored, told, NOW, NOW), freshen_from_head(stored, status, told, NOW, NOW)):
        assert fresh is None or fresh.headers.get("content-length") == stored.headers.get("content-length")
    assert int(reuse.reply_headers(stored, NOW).get_all("age")[-1]) >= 0


def values(data: bytes) -> None:
    """One value to every reader of one."""
    text = octets(data)
    for size in (0, 1, 1000, 1 << 50):
        found = ranges.resolve(text, size)
        if isinstance(found, ranges.Partial):
            assert all(0 <= start < end <= size for start, end in found.parts) and found.parts
            apart = sorted(found.parts)
            assert all(one[1] < other[0] for one, other in pairwise(apart))
    span = ranges.parse_content_range(text)
    assert span is None or (0 <= span[0] < span[1] and (span[2] is None or span[1] <= span[2]))
    when = dates.parse_date(text)
    assert when is None or dates.parse_date(dates.format_date(when)) == when
    said = directives.parse([text])
    if '"' not in text:
        bare = {member.partition("=")[0].strip().lower() for member in text.split(",")} - {""}
        assert bare <= set(said) | {""}
    assert all((said.seconds(name) or 0) >= 0 for name in said)
    for tag in validators.split_tags(text):
        assert tag in text
    request = Request("GET", "https", "hub.test", 443, "/", "", Headers((("If-None-Match", text), ("If-Match", text))))
    conditions.evaluate(request, text, text)
    length = delta_bytes(text)
    assert length is None or (str(length) == text.lstrip("0") or not length)
    assert hf.bare(text).count('"') <= text.count('"')


_EVERYWHERE = tuple(map(ipaddress.ip_network, (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
    "192.0.2.0/24", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4", "::/96", "fc00::/7", "fe80::/10", "ff00::/8",
)))  # fmt: skip


def addresses(data: bytes) -> None:
    """A host that is an address: what is called public is so by a table of our own, IPv4 within IPv6 unwrapped."""
    text = octets(data)
    named = authority(text, "https")
    assert named is None or (
        named[0] == named[0].lower() and 0 < named[1] < 65536 and not re.search(r"[\s/@#?\\]", named[0])
    )
    host = named[0] if named is not None else text
    if not is_literal(host):
        return
    bare = host.strip("[]").partition("%")[0]
    public = is_public(host.strip("[]"))
    try:
        raw = socket.inet_pton(socket.AF_INET6 if ":" in bare else socket.AF_INET, bare)
    except (OSError, ValueError):
        assert not public, host
        return
    inner = [raw[12:]] if raw[:12] in (b"\0" * 10 + b"\xff\xff", bytes.fromhex("0064ff9b") + b"\0" * 8) else []
    inner += [raw[2:6]] if raw[:2] == b"\x20\x02" else []
    for each in (raw, *inner) if len(raw) == 16 and not inner else inner or (raw,):
        ip = ipaddress.ip_address(each)
        assert not (public and any(ip in network for network in _EVERYWHERE if network.version == ip.version)), host


def codings(data: bytes) -> None:
    """No more comes out of a content coding than there is room for, and one byte."""
    for step in (1, 7, len(data) or 1):
        decoder, out = _CODINGS["gzip"](), 0
        with suppress(zlib.error):
            for at in range(0, len(data), step):
                piece = decoder.undo(data[at : at + step], 4097 - out)
                assert len(piece) <= 4097 - out or step == 0
                if (out := out + len(piece)) > 4096:
                    break


_GZIP = zlib.compressobj(wbits=31)
_ZIPPED = _GZIP.compress(b"a text " * 90) + _GZIP.flush()
_ADDRESSES = (
    b"127.0.0.1", b"[::1]", b"[::ffff:10.0.0.1]:443", b"64:ff9b::7f00:1", b"2002:7f00:1::", b"fe80::1%eth0", b"8.8.8.8",
    b"[2606:4700::1111]", b"2130706433", b"0x7f.1", b"127.1", b"169.254.169.254", b"::127.0.0.1",
    b"[::ffff:8.8.8.8]:80",
    b"2001:0:4136:e378:8000:63bf:3fff:fdd2",
)  # fmt: skip
_PARTS = (
    b"0",
    b"1",
    b"127",
    b"10",
    b"255",
    b".",
    b":",
    b"::",
    b"ffff",
    b"64:ff9b",
    b"2002",
    b"fe80",
    b"[",
    b"]",
    b"%",
    b"0x7f",
)
TARGETS = (
    Target(
        "exchange", exchange,
        (
            b"2Range: bytes=0-1\n\nETag: \"a\"\nContent-Length: 10\nCache-Control: max-age=60\nVary: Accept",
            b"\xa4\n\nRetry-After: 60\nRateLimit: \"a\";r=0;t=9\nLocation: /b",
            b"\0Connection: x-a\nX-A: 1\n\nConnection: close, X-A\nX-A: 1\nKeep-Alive: 5\nCache-Control: max-age=9",
            *(b"\x07\n\nRetry-After: " + each for each in (b"\xb2", b"1e9", b"Mon, 01 Jan 0001 00:00:00 GMT",
            b"9" * 5000)),
            b"\0\n\nX-Repo-Commit: " + b"a" * 40 + b"\nETag: \"" + b"b" * 40 + b"\"\nX-Linked-Size: " + b"9" * 5000,
            b"3\n\nContent-Range: bytes 0-9/100\nETag: \"a\"\nCache-Control: public",
        ),
        joined(st.binary(min_size=1, max_size=1), _BLOCK, st.just(b"\n\n"), _BLOCK), (*_NAMES, *_VALUES, b"\n", b": "),
    ),
    Target("values", values, _VALUES, row(_VALUES, 5, b","), (*_VALUES, b"=", b"-", b"W/", b"GMT")),
    Target("addresses", addresses, _ADDRESSES, row(_PARTS, 9), _PARTS),
    Target("codings", codings, (_ZIPPED, zlib.compress(bytes(90_000)), _ZIPPED * 2)),
)  # fmt: skip
