from __future__ import annotations

import math

import pytest

from proxy_addon.core.directives import Directives
from proxy_addon.core.fields import storable_fields
from proxy_addon.core.messages import Headers, StoredResponse
from proxy_addon.core.storing import NotStorable, StoreAs, Terms, replace_variant, storable, stored_from

from .dialogue import START, Fields, at, get, kept

CC = "Cache-Control"
DATE, FRESH = ("Date", at(0)), (CC, "max-age=9")

REFUSED: list[tuple[str, Fields, int, Fields, str]] = [
    # method, request, status, response, reason
    ("POST", [], 200, [FRESH], "method"),
    ("HEAD", [], 200, [FRESH], "head"),
    ("GET", [], 103, [FRESH], "status"),
    ("GET", [], 206, [FRESH, ("Content-Range", "bytes 0-9/10")], "status"),
    ("GET", [], 304, [FRESH], "status"),
    ("GET", [], 416, [FRESH], "status"),
    ("GET", [], 302, [DATE], "status"),
    ("GET", [(CC, "no-store")], 200, [FRESH], "request no-store"),
    *(
        ("GET", [(name, "x")], 200, [FRESH], "authorization")
        for name in (
            *("Authorization", "Cookie", "PRIVATE-TOKEN", "Job-Token", "X-Api-Key", "apikey", "X-JFrog-Art-Api"),
            *("X-Access-Key", "Ocp-Apim-Subscription-Key"),
            *("X-Auth", "X-Amz-Security-Token", "X-Goog-Signature", "X-Session-Id"),
        )
    ),
    ("GET", [], 200, [FRESH, (CC, "no-store")], "no-store"),
    ("GET", [], 200, [FRESH, (CC, "private")], "private"),
    ("GET", [], 200, [FRESH, (CC, 'private=""')], "private"),
    ("GET", [], 200, [FRESH, ("Vary", "*")], "vary *"),
    ("GET", [("Cookie", "a=b")], 200, [(CC, "public, max-age=9"), ("Vary", "Cookie")], "vary on a secret"),
    ("GET", [("X-Token", "x")], 200, [(CC, "public, max-age=9"), ("Vary", "X-Token")], "vary on a secret"),
    ("GET", [("Authorization", "x")], 200, [(CC, "public, max-age=9"), ("Vary", "Authorization")], "vary on a secret"),
    ("GET", [], 200, [DATE], "nothing to reuse or validate"),
    ("GET", [], 200, [(CC, "max-age=0")], "nothing to reuse or validate"),
    ("GET", [], 200, [(CC, "no-cache, max-age=9")], "nothing to reuse or validate"),
]


@pytest.mark.parametrize(("method", "asked", "status", "headers", "reason"), REFUSED)
def test_refused(method: str, asked: Fields, status: int, headers: Fields, reason: str) -> None:
    assert storable(get(asked, method=method), status, Headers(headers), START, Terms()) == NotStorable(reason)


@pytest.mark.parametrize(
    ("cookie", "kept"),
    [
        ("__cf_bm=x", True),
        ("AWSALB=a; AWSALBCORS=b;acw_tc=c", True),
        ("_cfuvid=x; session=alice", False),
        ("AWSALBum=x", False),
        ("my__cf_bm=x", False),
        ("", False),
    ],
)
def test_a_cookie_of_a_load_balancer_names_nobody(cookie: str, kept: bool) -> None:
    plan = storable(get([("Cookie", cookie)]), 200, Headers([FRESH]), START, Terms())
    assert isinstance(plan, StoreAs) == kept


@pytest.mark.parametrize(("said", "kind"), [
    ("private", NotStorable),
    ("s-maxage=9", StoreAs),
    ("max-age=9", StoreAs),
    ("x", NotStorable),
])  # fmt: skip
def test_what_counts_as_explicit(said: str, kind: type) -> None:
    headers = Headers([DATE, (CC, said), ("Last-Modified", at(-99))])
    assert isinstance(storable(get(), 302, headers, START, Terms()), kind)


def plan(headers: Fields, status: int = 200, asked: Fields | None = None, terms: Terms | None = None) -> StoreAs:
    result = storable(get(asked), status, Headers(headers), START, terms or Terms())
    assert isinstance(result, StoreAs)
    return result


@pytest.mark.parametrize("said", [(CC, "max-age=9"), (CC, "s-maxage=9"), ("Expires", at(9))])
def test_an_explicit_lifetime_makes_any_status_storable(said: tuple[str, str]) -> None:
    assert plan([DATE, said], 302).status == 302


def test_what_is_kept() -> None:
    said: Fields = [
        DATE,
        (CC, 'max-age=9, private="P", no-cache="n"'),
        ("Connection", "close, X-Hop"),
        ("connection", "x-other"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Authenticate", "Basic"),
        ("Proxy-Authentication-Info", "x"),
        ("Proxy-Connection", "close"),
        ("TE", "trailers"),
        ("Trailer", "x"),
        ("Transfer-Encoding", "chunked"),
        ("Upgrade", "h2c"),
        ("Set-Cookie", "a=b"),
        ("set-cookie", "c=d"),
        ("Set-Cookie2", "a=b"),
        ("X-Hop", "1"),
        ("X-Other", "1"),
        ("p", "1"),
        ("N", "1"),
        ("X-Kept", "1"),
        ("X-Kept", "2"),
        ("ETag", '"a"'),
    ]
    assert [name for name, _ in plan(said).headers] == ["Date", CC, "X-Kept", "X-Kept", "ETag"]


def test_date_is_added_when_it_is_missing_and_left_when_it_is_odd() -> None:
    assert plan([FRESH]).headers.get("date") == at(0)
    assert plan([FRESH, ("Date", "foo")]).headers.get("date") == "foo"


@pytest.mark.parametrize(("length", "size"), [("12", 12), ("", None), ("5, 5", None), ("-1", None), ("٣", None)])
def test_size(length: str, size: int | None) -> None:
    assert plan([FRESH, ("Content-Length", length)]).size == size


def test_known_resources() -> None:
    terms = Terms(lifetime=math.inf)
    said: Fields = [DATE, (CC, 'no-store, private="date"'), ("Vary", "Origin, *"), ("Set-Cookie", "a=b")]
    assert plan(said, terms=terms) == StoreAs(Headers(said[:3]), (), 200)
    assert plan([DATE], 307, terms=terms).status == 307
    assert isinstance(storable(get(method="HEAD"), 200, Headers(said), START, terms), StoreAs)
    for status in (500, 503, 403, 401, 429):
        assert storable(get(), status, Headers(said), START, terms) == NotStorable("status")
    reads_by_post = Terms(lifetime=60, methods=frozenset({"POST"}))
    assert isinstance(storable(get(method="POST"), 200, Headers(said), START, reads_by_post), StoreAs)


def test_stored_from() -> None:
    request = get([("Authorization", "secret"), ("Foo", "1")], query="sig=secret")
    said: Fields = [DATE, (CC, "public, max-age=9"), ("Vary", "foo"), ("Content-Length", "5")]
    head = plan(said, asked=list(request.headers))
    stored = stored_from(request, head, request_time=1, response_time=2, url="https://example.org/a", blob="body:1")
    assert stored == StoredResponse(
        200, head.headers, 1, 2, "https://example.org/a", "body:1", 5, (("foo", "1"),), True
    )
    assert "secret" not in repr(stored)
    assert stored_from(request, head, request_time=1, response_time=2, url="", size=7).size == 7


def test_replace_variant() -> None:
    ones = kept([], age=3, vary=(("foo", "1"),))
    twos = kept([], age=2, vary=(("foo", "2"),))
    again = kept([], age=1, vary=(("foo", "1"),))
    assert replace_variant((ones, twos), again) == (again, twos)
    assert replace_variant((), ones) == (ones,)
    assert replace_variant((ones, twos), kept([]), limit=2) == (kept([]), twos)


@pytest.mark.parametrize(
    "name",
    ["Set-Cookie", "X-Xet-Access-Token", "X-Amz-Security-Token", "X-Api-Key", "X-CSRF", "Authorization", "X-Session"],
)
def test_a_field_that_carries_a_credential_is_not_kept(name: str) -> None:
    kept = storable_fields(Headers([DATE, (name, "x"), ("ETag", '"a"')]), Directives({}))
    assert kept.fields == (DATE, ("ETag", '"a"'))
