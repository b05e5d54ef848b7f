"""Heads of requests on the wire: three readers of ours and one of others' (h11) must read one and the same request.

`front` answers from memory what it is sure of, `edge.h1` refuses what could be read in two ways, `edge.intake` says
what the rest means. What the first takes the other two must take, and read alike; and what h11 reads must be the same.
"""

from __future__ import annotations

from dataclasses import replace

import h11
from h11._receivebuffer import ReceiveBuffer
from hypothesis import strategies as st
from mitmproxy.net.http import http1

from proxy_addon.core.messages import Reply, Request
from proxy_addon.edge import h1, intake
from proxy_addon.edge.intake import Place, Refusal
from proxy_addon.front import Front
from tests.edge.stand_in import HUB, StandIn, text

from .target import Target, joined

_TUNNEL = Place("https", HUB, 443, HUB, "127.0.0.1")
_DIRECT = Place("http", None, 0, None, "127.0.0.1")
_H = HUB.encode()


class _Engine(StandIn):
    def quick(self, request: Request) -> Reply:
        self.seen.append(request)
        return text("a")

    def completed(self, finished: object) -> None:
        pass


def heads(data: bytes) -> None:
    for place in (_TUNNEL, _DIRECT):
        engine = _Engine()
        out, rest, _ = Front(engine, place).answer(data)
        assert data.endswith(rest) and out.count(b"HTTP/1.1 200 OK\r\n") == len(engine.seen)
        taken = data[: len(data) - len(rest)]
        for request in engine.seen:
            head, mark, taken = taken.partition(b"\r\n\r\n")
            assert mark and _strictly(head + mark) == b""
            slow = intake.read(http1.read_request_head(head.split(b"\r\n")), place)
            assert not isinstance(slow, Refusal) and "content-length" not in slow.headers, head
            assert request == replace(slow, headers=slow.headers.without("proxy-authorization")), head
            _as_others(head + mark, request)
        assert not taken
        _slowly(data, place)


def _strictly(data: bytes) -> bytes | None:
    """What is left behind the first head; None if it is refused, or not whole."""
    server = h1.StrictHttp1Server.__new__(h1.StrictHttp1Server)
    server.buf = ReceiveBuffer()
    server.buf += data
    if server._fault() is not None:
        return None
    lines = server.buf.maybe_extract_lines()
    return bytes(server.buf) if lines else None


def _slowly(data: bytes, place: Place) -> None:
    """Whatever the strict reader lets through has one reading, by the slow road and by others."""
    rest = _strictly(data)
    if rest is None:
        return
    head = data[: len(data) - len(rest)].lstrip(b"\r\n")
    assert head.endswith(b"\r\n\r\n") and b"\n" not in head.replace(b"\r\n", b"") and b"\0" not in head
    try:
        message = http1.read_request_head(head[:-4].split(b"\r\n"))
        intake.validate_headers(message)
        http1.expected_http_body_size(message)
    except ValueError:
        return
    request = intake.read(message, place)
    if isinstance(request, Refusal):
        assert 400 <= request.status < 600 and "\n" not in request.reason and "\0" not in request.reason
        return
    assert request.path.startswith("/") and not set(request.target) & set(" \r\n\t#\0")
    assert request.host == request.host.lower() and len(request.headers.get_all("host")) == 1
    _as_others(head, request)


def _as_others(head: bytes, request: Request) -> None:
    """h11 refuses more than we do; what it takes it must read the same."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(head)
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError:
        return
    assert isinstance(event, h11.Request), head
    target = event.target.decode()
    if target.startswith("http://"):
        target = "/" + target.split("/", 3)[3] if target.count("/") > 2 else "/"
    assert (event.method.decode(), target) == (
        request.method,
        request.path + ("?" if head_has_mark(head) else "") + request.query,
    )
    theirs = [(name.decode().lower(), value.decode("latin-1")) for name, value in event.headers]
    ours = [
        (name.lower(), value.strip(" \t")) for name, value in request.headers if name.lower() != "proxy-authorization"
    ]
    assert [each for each in theirs if each[0] != "proxy-authorization"] == ours


def head_has_mark(head: bytes) -> bool:
    return b"?" in head.split(b" ", 2)[1]


_LINES = (
    b"Host: " + _H, b"Host: other.example", b"host:" + _H + b":443", b"Accept: */*", b"Range: bytes=0-1", b"X-A:",
    b"X-A:\t b ",
    b"Connection: keep-alive", b"Connection: close", b"Content-Length: 0", b"Content-Length: 5",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding : chunked", b" folded", b"X y: z", b"X: a\x01", b"X: \xe9", b"X: a\0b", b": v",
    b"Expect: 100-continue",
    b"Upgrade: h2c", b"Proxy-Authorization: Basic YTpi", b"TE: trailers", b"Content-Length: +0",
    b"Content-Length: 0, 0",
)  # fmt: skip
_STARTS = (
    b"GET / HTTP/1.1", b"GET /a?b=c HTTP/1.1", b"HEAD /a? HTTP/1.1", b"GET http://" + _H + b"/a HTTP/1.1",
    b"GET http://" + _H + b":80/a?b HTTP/1.1", b"GET http://" + _H + b" HTTP/1.1", b"POST /a HTTP/1.1",
    b"GET /a HTTP/1.0",
    b"GET  /a HTTP/1.1", b"GET /a b HTTP/1.1", b"GET /a#b HTTP/1.1", b"get /a HTTP/1.1", b"GET //a HTTP/1.1",
    b"OPTIONS * HTTP/1.1",
    b"GET /\xe9 HTTP/1.1", b"GET /a HTTP/1.1 ", b"GET http://u@" + _H + b"/a HTTP/1.1",
    b"CONNECT " + _H + b":443 HTTP/1.1",
)  # fmt: skip
_ENDS = st.sampled_from((b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\r\n "))
_HEAD = joined(
    st.sampled_from((b"", b"", b"\r\n")), st.sampled_from(_STARTS), _ENDS, st.just(b"Host: " + _H + b"\r\n"),
    st.lists(joined(st.sampled_from(_LINES), _ENDS), max_size=5).map(b"".join), st.just(b"\r\n"),
)  # fmt: skip
TARGETS = (
    Target(
        "heads", heads,
        (
            *(b"%s\r\nHost: %s\r\nAccept: */*\r\n\r\n" % (start, _H) * 2 for start in _STARTS[:6]),
            *(b"GET /a HTTP/1.1\r\nHost: %s\r\n%s\r\n\r\n" % (_H, line) for line in _LINES),
        ),
        joined(_HEAD, st.sampled_from((b"", b"GET / HTTP/1.1\r\nHost: " + _H + b"\r\n\r\n"))),
        (*_LINES, *_STARTS, b"\r\n", b"\n", b"\r", b"\0", b":", b" ", b"\t", b"%00"),
    ),
)  # fmt: skip
