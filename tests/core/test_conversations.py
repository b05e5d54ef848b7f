"""Whole conversations, each the shape of one group of the public HTTP cache conformance suite."""

from __future__ import annotations

import math

import pytest

from proxy_addon.core.storing import Terms

from .dialogue import Cache, Fields, at, get

CC = "Cache-Control"
DATE = ("Date", at(0))
LM = ("Last-Modified", at(-86_400))
TAG = ("ETag", '"abcd"')

# What the origin sends first; then three seconds pass; then the same request gets ...
SECOND_ANSWER: list[tuple[str, Fields, str]] = [
    ("nothing said", [], "miss"),
    ("max-age", [(CC, "max-age=3600")], "hit"),
    ("max-age quoted", [(CC, 'max-age="3600"')], "hit"),
    ("max-age single quoted", [(CC, "max-age='3600'")], "miss"),
    ("max-age in a quoted string", [(CC, 'extension="max-age=3600", max-age=1')], "miss"),
    ("max-age in a quoted string, later", [(CC, 'max-age=1, extension="max-age=3600"')], "miss"),
    ("space before =", [(CC, "max-age =3600")], "miss"),
    ("space after =", [(CC, "max-age= 3600")], "miss"),
    ("zero", [(CC, "max-age=0")], "miss"),
    ("leading zeros", [(CC, "max-age=003600")], "hit"),
    ("leading letter", [(CC, "max-age=a3600")], "miss"),
    ("trailing letter", [(CC, "max-age=3600a")], "miss"),
    ("negative", [(CC, "max-age=-3600")], "miss"),
    ("decimal", [(CC, "max-age=3600.0")], "miss"),
    ("2^31", [(CC, "max-age=2147483648")], "hit"),
    ("past 2^31", [(CC, "max-age=99999999999")], "hit"),
    ("first fresh, second stale", [(CC, "max-age=1800, max-age=1")], "miss"),
    ("first stale, second fresh, two lines", [(CC, "max-age=1"), (CC, "max-age=1800")], "miss"),
    ("odd case", [(CC, "MaX-aGe=3600")], "hit"),
    ("extension", [(CC, "foobar, max-age=3600")], "hit"),
    ("Age beyond max-age", [DATE, (CC, "max-age=3600"), ("Age", "7200")], "miss"),
    ("Age is no number", [DATE, (CC, "max-age=3600"), ("Age", "abc")], "hit"),
    ("Age negative", [DATE, (CC, "max-age=3600"), ("Age", "-7200")], "hit"),
    ("Age list, first counts", [DATE, (CC, "max-age=3600"), ("Age", "7200,0")], "miss"),
    ("Age lines, first counts", [DATE, (CC, "max-age=3600"), ("Age", "0"), ("Age", "7200")], "hit"),
    ("past Expires, max-age", [DATE, (CC, "max-age=3600"), ("Expires", at(-7200))], "hit"),
    ("invalid Expires, max-age", [DATE, (CC, "max-age=3600"), ("Expires", "0")], "hit"),
    ("future Expires, max-age=0", [DATE, (CC, "max-age=0"), ("Expires", at(7200))], "miss"),
    ("s-maxage longer", [(CC, "max-age=1, s-maxage=3600")], "hit"),
    ("s-maxage shorter", [(CC, "s-maxage=1, max-age=3600")], "miss"),
    ("s-maxage shorter, two lines", [(CC, "max-age=3600"), (CC, "s-maxage=1")], "miss"),
    ("Expires", [DATE, ("Expires", at(3600))], "hit"),
    ("Expires without Date", [("Expires", at(3600))], "hit"),
    ("Expires, Date invalid", [("Date", "foo"), ("Expires", at(10))], "hit"),
    ("Expires past", [DATE, ("Expires", at(-3600))], "miss"),
    ("Expires now", [DATE, ("Expires", at(0))], "miss"),
    ("Expires before a Date ahead", [("Date", at(400)), ("Expires", at(300))], "miss"),
    ("Expires 0", [DATE, ("Expires", "0")], "miss"),
    ("Expires weekday case", [DATE, ("Expires", "THU, 18 Aug 2050 02:01:18 GMT")], "hit"),
    ("Expires zone case", [DATE, ("Expires", "Thu, 18 AUG 2050 02:01:18 gMT")], "hit"),
    ("Expires UTC", [DATE, ("Expires", "Thu, 18 Aug 2050 02:01:18 UTC")], "miss"),
    ("Expires without comma", [DATE, ("Expires", "Thu 18 Aug 2050 02:01:18 GMT")], "miss"),
    ("Expires spaces", [DATE, ("Expires", "Thu, 18  Aug  2050 02:01:18 GMT")], "miss"),
    ("Expires periods", [DATE, ("Expires", "Thu, 18 Aug 2050 02.01.18 GMT")], "miss"),
    ("Expires twice", [DATE, ("Expires", at(3600)), ("Expires", at(3600))], "miss"),
    ("Age over Expires, slow Date", [("Date", at(-10)), ("Expires", at(10)), ("Age", "25")], "miss"),
    ("Age over Expires, fast Date", [("Date", at(10)), ("Expires", at(20)), ("Age", "15")], "miss"),
    ("heuristic", [DATE, LM], "hit"),
    ("heuristic, just modified", [DATE, ("Last-Modified", at(-5))], "validated"),
    ("no-store", [DATE, (CC, "max-age=10000, no-store"), ("Expires", at(10000))], "miss"),
    ("no-store, case", [(CC, "No-StOrE, max-age=9")], "miss"),
    ("private", [(CC, "private, max-age=3600")], "miss"),
    ("no-cache, no validator", [DATE, (CC, "max-age=10000, no-cache"), ("Expires", at(10000))], "miss"),
    ("no-cache", [(CC, "max-age=10000, No-CaChE"), TAG], "validated"),
    ("no-cache for a field", [(CC, 'no-cache="a", max-age=3600')], "hit"),
    ("private for a field", [(CC, 'private="a", max-age=3600')], "hit"),
    ("must-revalidate, fresh", [(CC, "max-age=10000, must-revalidate"), TAG], "hit"),
    ("must-revalidate, stale", [(CC, "max-age=2, must-revalidate"), TAG], "validated"),
    ("stale-while-revalidate", [(CC, "max-age=1, stale-while-revalidate=3600"), TAG], "hit"),
    ("past stale-while-revalidate", [(CC, "max-age=1, stale-while-revalidate=1"), TAG], "validated"),
    ("forbidden stale-while-revalidate", [(CC, "s-maxage=1, stale-while-revalidate=60"), TAG], "validated"),
    ("must-understand", [(CC, "max-age=3600, no-store, must-understand")], "hit"),
    ("quote never closed", [(CC, 'max-age=3600, x="no-store')], "miss"),
    ("Vary *", [(CC, "max-age=3600"), ("Vary", "*")], "miss"),
    ("Vary foo, *", [(CC, "max-age=3600"), ("Vary", "Foo, *")], "miss"),
    ("Vary empty, then *", [(CC, "max-age=3600"), ("Vary", ""), ("Vary", "*")], "miss"),
    ("Set-Cookie", [(CC, "max-age=3600"), ("Set-Cookie", "a=b")], "hit"),
    ("Pragma in a response", [(CC, "max-age=3600"), ("Pragma", "no-cache")], "hit"),
]


@pytest.mark.parametrize(("name", "headers", "second"), SECOND_ANSWER, ids=[row[0] for row in SECOND_ANSWER])
def test_second_request(name: str, headers: Fields, second: str) -> None:
    cache = Cache()
    assert cache.ask(get(), 200, headers) == "miss"
    cache.wait(3)
    assert cache.ask(get(), 200, headers) == second


FRESH = [DATE, (CC, "max-age=100000")]
STATUSES = [200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499, 500, 502, 503, 504, 599]


@pytest.mark.parametrize("status", STATUSES)
def test_status_with_explicit_freshness(status: int) -> None:
    cache = Cache()
    assert cache.ask(get(), status, FRESH) == "miss"
    assert cache.ask(get(), status, FRESH) == "hit"


@pytest.mark.parametrize("status", STATUSES)
def test_stale_status(status: int) -> None:
    cache, headers = Cache(), [DATE, ("Expires", at(-5000))]
    assert [cache.ask(get(), status, headers) for _ in range(2)] == ["miss", "miss"]


HEURISTIC = [(200, True), (201, False), (202, False), (203, True), (204, True), (302, False), (308, True), (403, False)]
HEURISTIC += [(404, True), (405, True), (410, True), (414, True), (501, True), (502, False), (503, False), (599, False)]


@pytest.mark.parametrize(("status", "reused"), HEURISTIC)
def test_heuristic_freshness_by_status(status: int, reused: bool) -> None:
    cache = Cache()
    assert cache.ask(get(), status, [DATE, LM]) == "miss"
    assert cache.ask(get(), status, [DATE, LM]) == ("hit" if reused else "miss")


@pytest.mark.parametrize("status", [201, 599])
def test_public_makes_any_status_heuristic(status: int) -> None:
    cache = Cache()
    assert cache.ask(get(), status, [DATE, LM, (CC, "public")]) == "miss"
    assert cache.ask(get(), status, []) == "hit"


@pytest.mark.parametrize("status", [304, 407, 412, 416, 428, 429, 431, 511])
def test_answers_to_one_request_only(status: int) -> None:
    cache = Cache()
    assert [cache.ask(get(), status, FRESH) for _ in range(2)] == ["miss", "miss"]


def test_must_understand_with_an_unknown_status() -> None:
    cache, headers = Cache(), [(CC, "max-age=3600, must-understand")]
    assert [cache.ask(get(), 599, headers) for _ in range(2)] == ["miss", "miss"]


# The origin allows 1500 s; the client asks again after `age` seconds with these fields.
REQUESTS: list[tuple[Fields, float, str]] = [
    ([(CC, "max-age=0")], 0, "validated"),
    ([(CC, "max-age=1")], 3, "validated"),
    ([(CC, "max-age=600")], 600, "hit"),
    ([(CC, "max-age=600")], 601, "validated"),
    ([(CC, "max-age=huge")], 3, "validated"),
    ([(CC, "max-stale=1000")], 2000, "hit"),
    ([(CC, "max-stale=100")], 2000, "validated"),
    ([(CC, "max-stale")], 20_000, "hit"),
    ([(CC, "max-stale=x")], 2000, "validated"),
    ([(CC, "min-fresh=2000")], 0, "validated"),
    ([(CC, "min-fresh=1000")], 1000, "validated"),
    ([(CC, "min-fresh=1000")], 400, "hit"),
    ([(CC, "no-cache")], 0, "validated"),
    ([("Pragma", "no-cache")], 0, "validated"),
    ([("Pragma", "no-cache"), (CC, "max-age=600")], 0, "hit"),
    ([("Pragma", "other")], 0, "hit"),
    ([(CC, "only-if-cached")], 0, "hit"),
    ([(CC, "only-if-cached")], 2000, "504"),
    ([(CC, "only-if-cached, max-stale")], 2000, "hit"),
    ([("Cookie", "a=b")], 0, "hit"),
    ([("If-Match", '"other"')], 0, "miss"),
]


@pytest.mark.parametrize(("asked", "age", "second"), REQUESTS)
def test_request_directives(asked: Fields, age: float, second: str) -> None:
    cache, headers = Cache(), [DATE, TAG, (CC, "max-age=1500")]
    assert cache.ask(get(), 200, headers) == "miss"
    cache.wait(age)
    assert cache.ask(get(asked), 200, headers) == second


def test_only_if_cached_with_nothing_stored() -> None:
    cache = Cache()
    assert cache.ask(get([(CC, "only-if-cached")])) == "504"
    assert cache.sent == []


def test_the_clients_no_store_keeps_the_answer_out() -> None:
    cache = Cache()
    assert [cache.ask(get([(CC, "no-store")]), 200, FRESH) for _ in range(2)] == ["miss", "miss"]


def test_immutable_is_not_disturbed_by_a_reload() -> None:
    cache, headers = Cache(), [TAG, (CC, "max-age=10, immutable")]
    cache.ask(get(), 200, headers)
    assert cache.ask(get([(CC, "max-age=0")]), 200, headers) == "hit"
    assert cache.ask(get([(CC, "no-cache")]), 200, headers) == "validated"
    cache.wait(11)
    assert cache.ask(get([(CC, "max-age=0")]), 200, headers) == "validated"


# While the origin is away, two seconds of freshness being over for three.
FAILING: list[tuple[str, float, Fields, int | None, str]] = [
    ("max-age=2", 60, [], None, "stale"),
    ("max-age=2", 60, [], 503, "stale"),
    ("max-age=2", 60, [], 429, "stale"),
    ("max-age=2", 60, [], 404, "miss"),
    ("max-age=2", 60, [], 403, "miss"),
    ("max-age=2", 60, [], 401, "miss"),
    ("max-age=2", 60, [], 501, "miss"),
    ("max-age=2", 1, [], None, "error"),
    ("max-age=2", 0, [], None, "error"),
    ("max-age=2, stale-if-error=60", 0, [], 500, "stale"),
    ("max-age=2, stale-if-error=1", 0, [], 500, "miss"),
    ("max-age=2", 0, [(CC, "stale-if-error=60")], None, "error"),
    ("max-age=2", 60, [(CC, "stale-if-error=99")], None, "stale"),
    ("max-age=2", 60, [(CC, "stale-if-error=1")], None, "error"),
    ("max-age=2, stale-if-error=60", 0, [(CC, "stale-if-error=1")], None, "error"),
    ("max-age=2", 60, [(CC, "no-cache")], None, "error"),
    ("max-age=9", 0, [(CC, "max-age=1")], None, "stale"),
    ("max-age=2, must-revalidate", 60, [], None, "error"),
    ("max-age=2, proxy-revalidate", 60, [], None, "error"),
    ("max-age=2, s-maxage=2", 60, [], None, "error"),
    ("max-age=2, no-cache", 60, [], None, "error"),
    ("max-age=2, no-cache, stale-if-error=60", 60, [], None, "error"),
]


@pytest.mark.parametrize(("said", "window", "asked", "status", "second"), FAILING)
def test_origin_fails(said: str, window: float, asked: Fields, status: int | None, second: str) -> None:
    cache = Cache(Terms(stale_if_error=window))
    cache.ask(get(), 200, [TAG, (CC, said)])
    cache.wait(5)
    assert cache.ask(get(asked), status) == second


def test_an_error_never_stands_in_for_an_error() -> None:
    cache = Cache(Terms(stale_if_error=60))
    cache.ask(get(), 503, [(CC, "max-age=1")])
    cache.wait(5)
    assert cache.ask(get(), None) == "error"


AUTHORIZED = [("max-age=9", "miss"), ("max-age=9, public", "hit"), ("s-maxage=9", "hit")]
AUTHORIZED += [("max-age=9, must-revalidate", "hit"), ("max-age=9, proxy-revalidate", "miss")]


@pytest.mark.parametrize(("said", "second"), AUTHORIZED)
def test_authorization(said: str, second: str) -> None:
    cache = Cache()
    cache.ask(get([("Authorization", "x")]), 200, [(CC, said)])
    assert cache.ask(get(), 200) == second


def test_what_authorization_unlocked_is_shut_again_by_a_validation() -> None:
    cache = Cache()
    cache.ask(get([("Authorization", "x")]), 200, [TAG, (CC, "max-age=1, public")])
    cache.wait(2)
    assert cache.ask(get(), 200, [TAG, (CC, "max-age=9")]) == "validated"
    assert cache.ask(get(), 200, [TAG]) == "miss"


def test_what_a_validation_makes_private_is_not_shared() -> None:
    cache = Cache()
    cache.ask(get(), 200, [TAG, (CC, "max-age=1")])
    cache.wait(2)
    assert cache.ask(get(), 200, [TAG, (CC, "private, max-age=9")]) == "validated"
    assert cache.ask(get(), 200, [TAG]) == "miss"


VARY: list[tuple[str, Fields, Fields, str]] = [
    ("Foo", [("Foo", "1")], [("Foo", "1")], "hit"),
    ("Foo", [("Foo", "1")], [("Foo", "2")], "miss"),
    ("Foo", [("Foo", "1")], [], "miss"),
    ("Foo", [], [("Foo", "1")], "miss"),
    ("Foo", [("Foo", "1"), ("Other", "2")], [("foo", "1"), ("Other", "3")], "hit"),
    ("Foo, Bar", [("Foo", "1"), ("Bar", "a")], [("Bar", "a"), ("Foo", "1")], "hit"),
    ("Foo, Bar", [("Foo", "1"), ("Bar", "a")], [("Foo", "1")], "miss"),
    ("Foo, Bar, Baz", [("Foo", "1"), ("Baz", "7")], [("Foo", "1"), ("Baz", "7")], "hit"),
    ("Foo", [("Foo", "1, 2")], [("Foo", "1"), ("Foo", "2")], "hit"),
    ("Foo", [("Foo", "1,2")], [("Foo", " 1, 2 ")], "hit"),
    ("Foo", [("Foo", "1, 2")], [("Foo", "2, 1")], "miss"),
    ("Foo", [("Foo", "a")], [("Foo", "A")], "miss"),
    ("Accept-Language", [("Accept-Language", "en, de")], [("Accept-Language", "De ,  eN")], "hit"),
    ("Accept-Language", [("Accept-Language", "en; q=0.5")], [("Accept-Language", "en;q=0.5")], "hit"),
    ("Accept-Encoding", [("Accept-Encoding", "gzip, br;q=1")], [("Accept-Encoding", "br, gzip")], "hit"),
    ("Cookie", [], [], "hit"),
    ("Cookie", [("Cookie", "a=b")], [("Cookie", "a=b")], "miss"),
]


@pytest.mark.parametrize(("vary", "first", "second", "outcome"), VARY)
def test_vary(vary: str, first: Fields, second: Fields, outcome: str) -> None:
    cache, headers = Cache(), [(CC, "max-age=5000"), ("Vary", vary)]
    cache.ask(get(first), 200, headers)
    assert cache.ask(get(second), 200, headers) == outcome


def test_two_variants_live_side_by_side() -> None:
    cache = Cache()
    for value in ("1", "2"):
        cache.ask(get([("Foo", value)]), 200, [(CC, "max-age=5000"), ("Vary", "Foo"), ("A", value)])
    for value in ("1", "2"):
        assert cache.ask(get([("Foo", value)])) == "hit"
        assert cache.got.get("a") == value


def test_a_variant_that_names_its_fields_goes_before_one_that_does_not() -> None:
    cache = Cache()
    cache.ask(get([("Foo", "1")]), 200, [(CC, "max-age=5000"), ("Vary", "Foo"), ("A", "1")])
    cache.ask(get([("Foo", "2")]), 200, [(CC, "max-age=5000"), ("A", "plain")])
    assert cache.ask(get([("Foo", "1")])) == "hit"
    assert cache.got.get("a") == "1"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH"])
@pytest.mark.parametrize(("status", "after"), [(200, "miss"), (204, "miss"), (303, "miss"), (404, "hit"), (500, "hit")])
def test_invalidation(method: str, status: int, after: str) -> None:
    cache = Cache()
    cache.ask(get(), 200, FRESH)
    assert cache.ask(get(method=method), status) == "miss"
    assert cache.ask(get(), 200, FRESH) == after


@pytest.mark.parametrize("field", ["Location", "Content-Location"])
def test_invalidation_of_what_the_answer_names(field: str) -> None:
    cache = Cache()
    cache.ask(get(path="/x/target"), 200, FRESH)
    cache.ask(get(method="POST", path="/x/a"), 201, [(field, "target")])
    assert cache.ask(get(path="/x/target"), 200, FRESH) == "miss"


HEADS: list[tuple[int, Fields, str]] = [
    (200, [(CC, "max-age=1000"), ("A", "2")], "hit"),
    (200, [(CC, "max-age=1000"), TAG, ("Content-Length", "10"), ("A", "2")], "hit"),
    (200, [(CC, "max-age=1000"), ("ETag", '"other"')], "miss"),
    (200, [(CC, "max-age=1000"), ("Content-Length", "11")], "miss"),
    (410, [(CC, "max-age=1000"), ("A", "2")], "validated"),
]


@pytest.mark.parametrize(("status", "head", "after"), HEADS)
def test_head_updates_what_get_has_stored(status: int, head: Fields, after: str) -> None:
    cache = Cache()
    cache.ask(get(), 200, [DATE, TAG, (CC, "max-age=2"), ("A", "1")])
    cache.wait(3)
    assert cache.ask(get(method="HEAD"), status, [("Date", at(3)), *head]) in ("miss", "validated")
    assert cache.ask(get(), 200, [TAG]) == after
    if after == "hit":
        assert cache.got.get("a") == "2"


def test_hit_sends_age_and_leaves_date() -> None:
    cache = Cache()
    cache.ask(get(), 200, [DATE, (CC, "max-age=3600"), ("Age", "30"), ("Connection", "x"), ("X", "1"), ("Y", "2")])
    cache.wait(3.7)
    assert cache.ask(get()) == "hit"
    assert list(cache.got) == [DATE, (CC, "max-age=3600"), ("Y", "2"), ("Age", "33")]


def test_known_resources_follow_their_terms_and_not_the_hub() -> None:
    cache = Cache(Terms(lifetime=300, stale_if_error=600))
    said = [DATE, TAG, (CC, "private, no-store, max-age=0"), ("Vary", "*"), ("Age", "99999"), ("Expires", "0")]
    assert cache.ask(get(), 200, said) == "miss"
    cache.wait(299)
    assert cache.ask(get(), 200, said) == "hit"
    assert cache.ask(get([(CC, "no-cache")]), 200, said) == "validated"
    cache.wait(301)
    assert cache.ask(get(), None) == "stale"
    assert cache.ask(get(), 404, said) == "miss"
    cache.wait(1000)
    assert cache.ask(get(), None) == "error"


def test_what_never_changes_needs_no_contact() -> None:
    cache = Cache(Terms(lifetime=math.inf))
    cache.ask(get(), 200, [DATE, TAG, (CC, "no-store")])
    cache.wait(10 * 365 * 86_400)
    assert cache.ask(get(), None) == "hit"


def test_known_resources_still_guard_authorization() -> None:
    asked = get([("Authorization", "x")])
    cache = Cache(Terms(lifetime=60))
    cache.ask(asked, 200, [(CC, "public")])
    assert cache.ask(asked, 200) == "miss"
