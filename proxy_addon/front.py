"""Plain GET and HEAD requests, answered from memory before mitmproxy's HTTP layers see them.

Takes a request only when there is one way to read it: a complete header block that fits one strict pattern, no body and
no header that changes framing or the connection, exactly one Host, equal to where the connection goes. Everything
else, and whatever the engine does not have in memory, is handed on untouched, in order. The caller guarantees that
nothing is being served on the connection and nothing of an earlier request is buffered.
"""

from __future__ import annotations

import logging
import re
import time
from typing import NamedTuple

from proxy_addon.auth import Door, Login
from proxy_addon.core.messages import Finished, Headers, Reply, Request
from proxy_addon.edge import framing
from proxy_addon.edge.chunks import TOKEN
from proxy_addon.edge.contract import Engine
from proxy_addon.edge.intake import Place, authority, normal

logger = logging.getLogger(__name__)


class Known(NamedTuple):
    """A header block; `shown`: the lines of Proxy-Authorization, which are not among the headers."""

    headers: Headers
    host: str
    shown: tuple[str, ...] = ()


_HEAD = re.compile(
    rb"(GET|HEAD) (?:http://([A-Za-z0-9.:_-]{1,255}))?(/[!-\"$->@-~]*+)(?:\?([!-\"$-~]*+))? HTTP/1\.1\r\n"
    rb"((?>" + TOKEN + rb":[^\x00-\x08\x0a-\x1f\x7f]*+\r\n)+)\r\n"
)
_NOT_HERE = frozenset(
    ("content-length", "transfer-encoding", "upgrade", "expect", "te", "trailer", "proxy-connection", "http2-settings")
)
#: Header blocks that were understood, by their bytes: clients repeat themselves. None with a password of ours.
_KNOWN: dict[bytes, Known | None] = {}
_KNOWN_LIMIT = 512
_KNOWN_BLOCK = 2048


def _read(block: bytes) -> Known | None:
    """None when it is not for this road."""
    fields, shown = [], []
    host = None
    for line in block[:-2].decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        value = value.strip(" \t")
        low = name.lower()
        if low == "proxy-authorization":
            shown.append(value)
            continue
        fields.append((name, value))
        if low == "host":
            if host is not None:
                return None
            host = value
        elif low in _NOT_HERE or (low == "connection" and value.lower() != "keep-alive"):
            return None
    return None if host is None else Known(Headers(fields), host, tuple(shown))


def _block(block: bytes) -> Known | None:
    try:
        return _KNOWN[block]
    except KeyError:
        known = _read(block)
        if len(block) <= _KNOWN_BLOCK and not (known and known.shown):
            if len(_KNOWN) >= _KNOWN_LIMIT:
                _KNOWN.clear()
            _KNOWN[block] = known
        return known


class Asked(NamedTuple):
    """A request that could be read in one way only; `size` is what it takes of the bytes it came in."""

    request: Request
    size: int
    at: float


class Front:
    def __init__(self, engine: Engine, place: Place, door: Door | None = None, login: Login | None = None) -> None:
        """`door`: who is not known to it goes the slow road. `login`: of who opened the tunnel."""
        self.engine, self.place, self._door, self._login = engine, place, door, login
        self._agreed: set[str] = set()

    def answer(self, data: bytes) -> tuple[bytes, bytes, Asked | None]:
        """What to send at once, what is left, and the request that it begins with if that was understood."""
        out: list[bytes] = []
        at, asked = 0, None
        while at < len(data):
            found = _HEAD.match(data, at)
            if found is None or (request := self._request(*found.groups())) is None:
                break
            asked = Asked(request, found.end() - at, time.perf_counter())
            try:
                reply = self.engine.quick(request)
                if reply is None:
                    break
                out.append(self.reply(asked, reply))
            except Exception:
                # The slow road meets the same fault and answers 503 with an id.
                logger.debug("left to the slow road", exc_info=True)
                break
            at, asked = found.end(), None
        if not at:
            return b"", data, asked
        return out[0] if len(out) == 1 else b"".join(out), data[at:], asked

    def reply(self, asked: Asked, reply: Reply) -> bytes:
        """The whole reply as it goes out; the request is on record then."""
        data, sent = _assembled(reply, asked.request.method)
        seconds = time.perf_counter() - asked.at
        try:
            self.engine.completed(
                Finished(
                    asked.request,
                    reply.status,
                    reply.outcome,
                    reply.hub,
                    reply.kind,
                    sent,
                    seconds,
                    ruling=reply.ruling,
                )
            )
        except Exception:
            logger.exception("the access log failed")
        return data

    def _request(
        self, method: bytes, absolute: bytes | None, path: bytes, query: bytes | None, block: bytes
    ) -> Request | None:
        known = _block(block)
        if known is None:
            return None
        headers, host, shown = known
        place = self.place
        named: tuple[str, int] | None
        if place.host is None:
            if absolute is None:
                return None
            named = authority(absolute.decode("ascii"), "http")
            if named is None or authority(host, "http") != named:
                return None
        else:
            if absolute is not None or (host not in self._agreed and not self._agree(host)):
                return None
            named = (place.host, place.port)
        user = ""
        if self._door is not None:
            login = self._door.known(shown) if place.host is None else self._login
            if login is None or not self._door.stands(login):
                return None
            user = login.user
        return Request(
            method.decode("ascii"),
            place.scheme,
            named[0],
            named[1],
            path.decode("ascii"),
            "" if query is None else query.decode("ascii"),
            headers,
            b"",
            place.client,
            user,
        )

    def _agree(self, host: str) -> bool:
        place = self.place
        agrees = authority(host, place.scheme) == (place.host, place.port) and (
            place.sni is None or normal(place.sni) == place.host
        )
        if agrees:
            self._agreed.add(host)
        return agrees


def _assembled(reply: Reply, method: str) -> tuple[bytes, int]:
    """The bytes of the whole reply, and how many of them are body."""
    if not isinstance(body := reply.body, bytes):
        reply.close()
        raise TypeError("a quick reply has its body in memory")
    frame = framing.frame(reply, method, "HTTP/1.1")
    head = framing.head(reply.status, framing.phrase(reply), frame.headers)
    return (head, 0) if frame.bodiless else (head + body, len(body))
