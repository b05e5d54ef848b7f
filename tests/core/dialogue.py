"""Conversations between a client, the decision core and a scripted origin.

`Cache.ask` does with the core's verdicts what any caller must do, and nothing more, so a test is a list of what was
asked, what the origin would have said, and what the client got: `hit`, `miss` (the origin's own answer), `validated`
(a 304 was needed), `stale` (in place of an error), `error` (the origin's failure) or `504`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from proxy_addon.core import invalidation, reuse, storing, validation
from proxy_addon.core.dates import format_date
from proxy_addon.core.messages import Headers, Request, StoredResponse

START = 1_767_225_600.0

type Fields = list[tuple[str, str]]


def at(seconds: float) -> str:
    """An HTTP-date `seconds` after the start."""
    return format_date(START + seconds)


def get(headers: Fields | None = None, method: str = "GET", path: str = "/a", **other: str) -> Request:
    return Request(method, "https", "example.org", 443, path, headers=Headers(headers or []), **other)


def kept(
    headers: Fields,
    status: int = 200,
    *,
    age: float = 0.0,
    size: int | None = 10,
    vary: tuple[tuple[str, str | None], ...] = (),
    authorized: bool = False,
) -> StoredResponse:
    """A stored response that arrived `age` seconds before START."""
    then = START - age
    return StoredResponse(status, Headers(headers), then, then, size=size, vary=vary, authorized=authorized)


@dataclass
class Cache:
    terms: storing.Terms = field(default_factory=storing.Terms)
    now: float = START
    variants: dict[str, tuple[StoredResponse, ...]] = field(default_factory=dict)
    sent: list[Request] = field(default_factory=list)
    got: Headers = field(default_factory=Headers)

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def ask(self, request: Request, status: int | None = 200, headers: Fields | None = None) -> str:
        """The client asks; the origin, if reached, answers `status` with `headers` (None: it cannot be reached).

        An origin that says 200 turns it into a 304 when a condition of the request names the validator it sends.
        """
        here = self.variants.get(request.url, ())
        match reuse.decide(request, here, self.now, self.terms):
            case reuse.Reuse(stored):
                self.got = reuse.reply_headers(stored, self.now)
                return "hit"
            case reuse.Unavailable():
                return "504"
            case reuse.Validate(stored, conditions):
                return self._upstream(request, conditions, status, Headers(headers or []), stored)
            case reuse.Forward():
                return self._upstream(request, Headers(), status, Headers(headers or []), None)

    def _upstream(
        self,
        request: Request,
        conditions: Headers,
        status: int | None,
        headers: Headers,
        asked_about: StoredResponse | None,
    ) -> str:
        here = self.variants.get(request.url, ())
        self.sent.append(get(list(conditions)))
        if status is None or status in reuse.FAILURES:
            stale = reuse.on_upstream_failure(request, here, self.now, self.terms, status)
            if stale is not None:
                self.got = reuse.reply_headers(stale, self.now)
                return "stale"
            if status is None:
                return "error"
        assert status is not None
        tag, modified = conditions.get("if-none-match"), conditions.get("if-modified-since")
        unchanged = tag == headers.get("etag") if tag else modified == headers.get("last-modified")
        if asked_about is not None and status == 200 and unchanged:
            fresh = validation.after_validation(asked_about, headers, self.now, self.now)
            assert fresh is not None
            self.variants[request.url] = tuple(fresh if v is asked_about else v for v in here)
            self.got = reuse.reply_headers(fresh, self.now)
            return "validated"
        self._keep(request, status, headers)
        self.got = headers
        return "miss"

    def _keep(self, request: Request, status: int, headers: Headers) -> None:
        for url in invalidation.targets(request, status, headers):
            self.variants.pop(url, None)
        here = self.variants.get(request.url, ())
        if request.method == "HEAD":
            after = (validation.freshen_from_head(v, status, headers, self.now, self.now) for v in here)
            self.variants[request.url] = tuple(v for v in after if v is not None)
            return
        plan = storing.storable(request, status, headers, self.now, self.terms)
        if isinstance(plan, storing.StoreAs):
            new = storing.stored_from(
                request, plan, request_time=self.now, response_time=self.now, url=request.url, blob="body:0", size=10
            )
            self.variants[request.url] = storing.replace_variant(here, new)
