"""What travels through hubgate: requests, replies, and what is kept of them.

All values are immutable, except that a `Reply` owns its `Body` until somebody closes it. Header names compare without
case (RFC 9110 §5.1); values are `str` holding latin-1 octets, exactly as they came.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from .status import Outcome

type Buffer = bytes | memoryview

PORTS = {"https": 443, "http": 80}
BODY_LIMIT = 1024 * 1024  #: bytes of a request body that the edge collects for the engine; more is answered 413
REDIRECTS = frozenset({301, 302, 303, 307, 308})  #: `Location` says where to ask (RFC 9110 §15.4)


class Headers:
    """Header fields in their order of arrival; a read-only multi-map."""

    __slots__ = ("_index", "fields")

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self.fields: tuple[tuple[str, str], ...] = tuple(fields)
        self._index: dict[str, list[str]] | None = None

    def _lines(self) -> dict[str, list[str]]:
        if self._index is None:
            index: dict[str, list[str]] = {}
            for name, value in self.fields:
                index.setdefault(name.lower(), []).append(value)
            self._index = index
        return self._index

    def get(self, name: str, default: str | None = None) -> str | None:
        """All lines of one field, joined by ", " (RFC 9110 §5.3)."""
        lines = self._lines().get(name.lower())
        return default if lines is None else lines[0] if len(lines) == 1 else ", ".join(lines)

    def get_all(self, name: str) -> list[str]:
        return list(self._lines().get(name.lower(), ()))

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._lines()

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self.fields == other.fields

    def __hash__(self) -> int:
        return hash(self.fields)

    def __repr__(self) -> str:
        return f"Headers({list(self.fields)!r})"

    def without(self, *names: str) -> Headers:
        drop = {n.lower() for n in names}
        return Headers(f for f in self.fields if f[0].lower() not in drop)

    def replace(self, *fields: tuple[str, str]) -> Headers:
        """A copy in which each named field has just the given value."""
        return Headers((*self.without(*(name for name, _ in fields)).fields, *fields))


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the proxy believes it: host and port come from the connection, never from `Host` alone."""

    method: str
    scheme: str
    host: str  # lower case, no trailing dot
    port: int
    path: str  # as sent, percent-encoding untouched
    query: str = field(default="", repr=False)  # without "?"
    headers: Headers = field(default_factory=Headers, repr=False)
    body: bytes = field(default=b"", repr=False)  # only for reads that travel in a POST
    client: str = ""  # peer address, without port
    user: str = ""  # who has shown a password to this proxy; empty when none was asked for

    @property
    def target(self) -> str:
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.host}" + ("" if self.port == PORTS.get(self.scheme) else f":{self.port}")

    @property
    def url(self) -> str:
        return self.origin + self.target


class Body(Protocol):
    """A reply body that is read piece by piece and never held whole."""

    length: int | None  #: bytes in all; None when not known beforehand

    async def read(self, limit: int) -> Buffer:
        """The next 1..`limit` bytes, or b"" at the end.

        The buffer is valid only until the next `read` or `close`. Raises `BodyLost` when the rest will not come:
        the connection must then be cut, so that nobody takes the part for the whole.
        """
        ...

    def close(self) -> None:
        """Give back what the body holds. May be called twice, and at any time."""
        ...


class BytesBody:
    """One that is here already."""

    def __init__(self, data: bytes) -> None:
        self.length: int | None = len(data)
        self._rest = memoryview(data)

    async def read(self, limit: int) -> Buffer:
        data, self._rest = self._rest[:limit], self._rest[limit:]
        return data

    def close(self) -> None:
        self._rest = self._rest[:0]


class Whole(Protocol):
    """The file that a reply is of, or of a part of."""

    blob: str
    size: int
    rest: bool  #: the reply has its last bytes, and its first come before them

    async def bring(self) -> bool:
        """Returns when all of it is in the store and proven; False if the disk does not take it. Raises `BodyLost`."""
        ...


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the rules said of a request, where they had something to say: for the log and the counters."""

    id: str  # of the request, as its user was shown it
    repo: str = ""  # "hf:org/name", "ms:datasets/org/name"
    rule: str = ""  # that denied, and whose words were shown
    also: tuple[str, ...] = ()  # others that denied
    audit: tuple[str, ...] = ()  # rules that would have denied
    by: tuple[str, ...] = ()  # exceptions, approvals and allow rules that let it pass


@dataclass(slots=True)
class Reply:
    """What the client gets. HEAD, 204 and 304 carry `b""`, whatever Content-Length says."""

    status: int
    headers: Headers
    body: bytes | Body = b""
    outcome: Outcome = field(default_factory=Outcome)
    reason: str = ""  # empty: the standard phrase
    hub: str = "-"  # huggingface | modelscope | other | -   (log field and metric label)
    kind: str = "-"  # resource kind (log field and metric label)
    ruling: Ruling | None = None
    whole: Whole | None = None  # None: of no file whose bytes are kept

    def close(self) -> None:
        """Close its body."""
        if not isinstance(self.body, bytes):
            self.body.close()


@dataclass(frozen=True, slots=True)
class Pass:
    """Not ours to answer: the edge relays the request upstream untouched."""

    hub: str = "-"
    kind: str = "-"
    ruling: Ruling | None = None
    told: tuple[tuple[str, str], ...] = ()  # fields that the reply gets besides its own


@dataclass(frozen=True, slots=True)
class Finished:
    """A request that is over: what the access log and the metrics are told, once for each."""

    request: Request
    status: int
    outcome: Outcome
    hub: str = "-"
    kind: str = "-"
    sent: int = 0  # body bytes handed to the client's connection
    seconds: float = 0.0
    aborted: bool = False
    first_byte: float | None = None  # seconds until the first was ready; None: all were at once, after `seconds`
    ruling: Ruling | None = None


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """The small, mutable half of the cache: a head, its times, and a pointer to immutable bytes."""

    status: int
    headers: Headers  # an allow-list; never Set-Cookie, never a signed Location
    request_time: float  # epoch seconds: when the request that brought it was sent (RFC 9111 §4.2.3)
    response_time: float  # epoch seconds: when its head arrived, or when a validation freshened it
    url: str = ""  # effective request URI, signatures dropped
    blob: str | None = None  # blob id, e.g. "sha256:<64 hex>", "git:<40 hex>", "body:<32 hex>"; None: no body
    size: int | None = None  # bytes of the whole representation
    vary: tuple[tuple[str, str | None], ...] = ()  # (lower-case field, request's normalised value) nominated by Vary
    authorized: bool = False  # the request that brought it carried a credential (RFC 9111 §3.5)
    kind: str = "-"
    facts: tuple[tuple[str, str], ...] = ()  # hub facts that are no header: commit, digest, repo id
