"""The two ways of asking a hub about a repo: openly, as anybody may, and with the client's own permission.

What the open road brings is a document like any other: stored, shared, and asked for by the URL that clients use. What
a client's permission brings is shared with nobody, and is not stored. Neither lets the client say how it is done: of
his fields only the agent goes along, and his credentials only to the host to which he sent them himself. A repo that
has moved is followed on the hub's own hosts.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urljoin, urlsplit

from ..access.public import listing, principal
from ..core.errors import UpstreamFailed
from ..core.messages import REDIRECTS, Headers, Reply, Request
from ..core.reuse import FAILURES
from ..core.status import Detail, Fwd, Outcome
from ..core.storing import Terms
from ..hub import modelscope as ms
from ..hub.classify import HOMES
from ..hub.resources import Document, Repo
from .documents import Documents
from .means import DAY, Means
from .told import LARGEST, Told, said

FOLLOWED = 3  # redirects
OWN_LASTS = 300.0  # seconds that are believed what a client's own permission has brought
STALE_LASTS = 10.0  # seconds that a stale answer is believed while the hub is out of reach
_WORDS = 1024 * 1024  # bytes of a refusal
_FROM_HUB = frozenset(
    ["content-type", "x-error-code", "x-error-message", "x-request-id", "www-authenticate", "retry-after"]
)


@dataclass(frozen=True, slots=True)
class Got:
    """An answer, and until when it is believed. `doc` is what was asked for in the end."""

    data: bytes
    link: str
    doc: Document
    repo: Repo
    until: float
    absent: bool = False  # the hub says that there is no such file


@dataclass(frozen=True, slots=True)
class Refusal:
    """The hub will not tell this client."""

    status: int
    headers: Headers
    body: bytes
    reason: str

    def reply(self, request: Request, hub: str) -> Reply:
        """As the hub said it, but that nobody may keep it; what it says with 200 is told as an error, too."""
        status = self.status if self.status >= 400 else 404
        fields = [(name, value) for name, value in self.headers if name.lower() in _FROM_HUB]
        fields += [("Cache-Control", "no-store"), ("Content-Length", str(len(self.body)))]
        outcome = Outcome(fwd=Fwd.BYPASS, fwd_status=self.status, detail=Detail.ACCESS)
        body = b"" if request.method == "HEAD" else self.body
        return Reply(status, Headers(fields), body, outcome, self.reason, hub, "api")


class Road(Protocol):
    principal: str  #: whose answers these are; empty for everybody's
    agent: str  #: by what name the hub is asked

    async def ask(self, url: str, *, pinned: bool) -> Got | Refusal | None:
        """None for what is no document of a repo. `pinned`: it cannot change. Raises `UpstreamFailed`."""
        ...


class OpenRoad:
    principal = ""

    def __init__(self, means: Means, documents: Documents, agent: str, *, hurry: bool = False) -> None:
        self._means, self._documents, self.agent, self._hurry = means, documents, agent, hurry

    async def ask(self, url: str, *, pinned: bool) -> Got | Refusal | None:
        life = DAY if pinned else self._means.rules.ref
        terms = Terms(lifetime=life, stale_if_error=self._means.rules.stale_if_error)
        for _ in range(1 + FOLLOWED):
            request = _request(url, self.agent)
            if (doc := _document(self._means, request)) is None or doc.repo is None:
                return None
            for gone in (False, True):
                got = await self._documents.current(request, doc, terms, gone=gone, hurry=self._hurry)
                assert got is not None, "nothing was said of only-if-cached"
                if isinstance(got, Told):
                    break
                data = got.data if got.data is not None else await self._documents.bytes_of(got.stored)
                if data is not None:
                    stale = got.outcome.detail in (Detail.OFFLINE, Detail.STALE_IF_ERROR)
                    until = self._means.clock() + STALE_LASTS if stale else got.stored.response_time + life
                    link = got.stored.headers.get("link") or ""
                    return Got(data, link, doc, doc.repo, until, got.stored.status != 200)
            if not isinstance(got, Told):
                raise UpstreamFailed("what was stored of the repo is gone")
            location = got.headers.get("location")
            if got.status not in REDIRECTS or location is None:
                return Refusal(got.status, got.headers, got.body, got.reason)
            url = _moved(url, location)
        raise UpstreamFailed(f"{urlsplit(url).hostname} redirects without end")


class DirectRoad:
    """Stores nothing, and gives the hub's own words, where documents may have been edited."""

    def __init__(
        self, means: Means, host: str, agent: str, permission: Headers | None = None, *, hurry: bool = False
    ) -> None:
        permission = permission or Headers()
        self._means, self._host, self.agent, self._hurry = means, host, agent, hurry
        asking = (("User-Agent", agent), ("Accept", "*/*"), ("Accept-Encoding", "gzip, deflate"))
        self._fields = (*asking, *_credentials(permission))
        self.principal = principal(permission)

    @classmethod
    def own(cls, means: Means, request: Request, repo: Repo, agent: str, *, hurry: bool) -> DirectRoad | None:
        """With the client's own permission; None if it has sent the hub none."""
        ours = request.host in HOMES[repo.hub, repo.site] and principal(request.headers)
        return cls(means, request.host, agent, request.headers, hurry=hurry) if ours else None

    async def ask(self, url: str, *, pinned: bool) -> Got | Refusal | None:
        key = f"facts:{self.principal}:{self._host}:{url}"
        got, _ = await self._means.flights.join(key, lambda: self._ask(url))
        return got

    async def _ask(self, url: str) -> Got | Refusal | None:
        at = urlsplit(url)
        url = at._replace(netloc=self._host).geturl()
        for _ in range(1 + FOLLOWED):
            doc = _document(self._means, _request(url, ""))
            if doc is None or doc.repo is None:
                return None
            open = self._means.upstream.open
            answer = await open("GET", url, self._fields, hub=doc.hub, principal=self.principal, hurry=self._hurry)
            if answer.status in FAILURES:
                answer.close()
                raise answer.failure()
            location = answer.headers.get("location")
            if answer.status in REDIRECTS and location is not None:
                answer.close()
                url = _moved(url, location)
                continue
            link, data = answer.headers.get("link") or "", await answer.whole(LARGEST)
            absent = answer.status == 404 and answer.headers.get("x-error-code") == "EntryNotFound"
            in_words = answer.status == 200 and doc.hub == ms.HUB and await said(data) is not None
            if (answer.status != 200 and not absent) or in_words:
                return Refusal(answer.status, answer.headers, data[:_WORDS], answer.reason)
            return Got(data, link, doc, doc.repo, self._means.clock() + OWN_LASTS, absent)
        raise UpstreamFailed(f"{at.hostname} redirects without end")


def refused_lately(means: Means, repo: Repo) -> bool:
    """Nobody may list it without permission, as was seen a short while ago."""
    return means.public.refused(listing(repo))


def _request(url: str, agent: str) -> Request:
    at = urlsplit(url)
    fields = Headers((("User-Agent", agent), ("Accept", "*/*")))
    return Request("GET", "https", at.hostname or "", 443, at.path, at.query, fields)


def _document(means: Means, request: Request) -> Document | None:
    found = means.classifier.classify("GET", "https", request.host, 443, request.path, request.query)
    return found if isinstance(found, Document) else None


def _moved(url: str, location: str) -> str:
    """Where a redirect of the hub leads. Raises `UpstreamFailed` where it leads away from the hub."""
    try:
        here, there = urlsplit(url), urlsplit(urljoin(url, location))
        same = any({here.hostname, there.hostname} <= hosts for hosts in HOMES.values()) and there.port in (None, 443)
    except ValueError:
        same = False
    if not same or there.scheme != "https":
        raise UpstreamFailed(f"{here.hostname} redirects away from itself")
    return there.geturl()


def _credentials(headers: Headers) -> Iterator[tuple[str, str]]:
    """git sends its token as a password, which the API knows as a Bearer token only."""
    for name, value in headers:
        match name.lower():
            case "authorization":
                yield "Authorization", _as_bearer(value)
            case "cookie":
                yield "Cookie", value


def _as_bearer(value: str) -> str:
    scheme, _, said = value.partition(" ")
    if scheme.lower() != "basic":
        return value
    try:
        token = base64.b64decode(said.strip()).decode("ascii").partition(":")[2]
    except (binascii.Error, ValueError):
        return value
    return f"Bearer {token}" if token and token.isprintable() and " " not in token else value
