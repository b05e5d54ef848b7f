"""R24: hostile clients. Refused each by the right status, nothing of theirs at the hub twice, and nothing left behind.

A real process, raw bytes through a real tunnel. What comes behind a request that is not believed is never a request.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import random
import select
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import hpack
import pytest

from tests.faults.asking import chance
from tests.faults.corpus import HOST, MODELSCOPE_PATHS, PATHS, REFUSED, SOUND
from tests.faults.raw import PATIENCE, Http2, connect, head_of, heard, opened, said, statuses, tunnel
from tests.faults.test_scrubber import until
from tests.hub import TestHub
from tests.processes import Hubgate, configuration

pytestmark = pytest.mark.fault("R24")

NEXT = b"GET /api/models/acme/smuggled HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
LIMITS = {"header_deadline": "3s", "body_rate": "10kB/s", "connections": 300}


@pytest.fixture(scope="module")
def standing(shared_hub: TestHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hubgate]:
    with Hubgate(configuration(tmp_path_factory.mktemp("hostile"), shared_hub, limits=LIMITS)) as proxy:
        yield proxy


@pytest.fixture
def proxy(standing: Hubgate, hub: TestHub) -> Hubgate:
    return standing


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_two_readings_has_none(proxy: Hubgate, hub: TestHub, name: str) -> None:
    for raw in REFUSED[name]:
        hub.clear()
        answers = said(proxy, raw + NEXT)
        told = statuses(answers)
        assert len(told) == 1 and 400 <= told[0] < 600, answers[:400]
        assert told[0] not in (500, 502, 503, 504), answers[:400]
        assert len(hub.requests()) <= 1 and not hub.requests(path="*smuggled*")
        assert not hub.requests(host="evil*")


@pytest.mark.parametrize("name", SOUND)
def test_what_has_one_reading_is_read_so(proxy: Hubgate, hub: TestHub, name: str) -> None:
    for raw in SOUND[name]:
        hub.clear()
        answers = said(proxy, raw + NEXT)
        assert len(statuses(answers)) == 2, answers[:600]
        assert len(hub.requests(path="/smuggled")) == 0 and len(hub.requests(path="*/smuggled")) == 1


@pytest.mark.parametrize(
    ("host", "path"), [*(("huggingface.co", p) for p in PATHS), *(("www.modelscope.cn", p) for p in MODELSCOPE_PATHS)]
)
def test_a_path_with_two_readings(proxy: Hubgate, hub: TestHub, host: str, path: str) -> None:
    for method in (b"GET", b"HEAD", b"POST"):
        raw = b"%b %b HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % (method, path.encode(), host.encode())
        assert statuses(said(proxy, raw, host)) == [400]
    assert hub.requests() == []


A, B = "huggingface.co", "cdn-lfs-us-1.hf.co"


@pytest.mark.parametrize(
    ("target", "sni", "host", "status"),
    [
        (A, A, B, 421),
        (A, B, A, 421),
        (B, A, A, 421),
        (A, B, B, 421),
        (B, B, A, 421),
        (B, A, B, 421),
        (A, None, B, 421),
        (A, A, "hf.co", 421),
        (A, "hf.co", A, 421),
        (A, A, f"{A}:80", 421),
        (A, A, f"{A}:8443", 421),
        (A, A, "www.modelscope.cn", 421),
        (A, "www.modelscope.cn", "www.modelscope.cn", 421),
        (A, A, "127.0.0.1", 421),
        (A, "xn--huggingfce-7qi.co", A, 421),
        (A, A, A, 200),
        (A, None, A, 200),
        (A, A, f"{A}:443", 200),
        (A, A, "HuggingFace.co.", 200),
        (A.upper(), A, A, 200),
    ],
)
def test_tunnel_server_name_and_host_agree(
    proxy: Hubgate, hub: TestHub, target: str, sni: str | None, host: str, status: int
) -> None:
    with tunnel(proxy, target, sni=sni) as stream:
        stream.sendall(f"GET /api/models/acme/tiny HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        assert statuses(heard(stream)) == [status]
    assert status == 200 or hub.requests() == []


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"CONNECT huggingface.co:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n", 421),
        (b"CONNECT huggingface.co:443 HTTP/1.1\r\nHost: huggingface.co\r\nHost: huggingface.co\r\n\r\n", 400),
        (b"CONNECT huggingface.co:443 HTTP/1.1\r\nHost: huggingface.co\r\nContent-Length: 5\r\n\r\nhello", 400),
        (
            b"CONNECT huggingface.co:443 HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (b"CONNECT http://huggingface.co:443/ HTTP/1.1\r\nHost: huggingface.co\r\n\r\n", 400),
        (b"GET http://plain.example/ HTTP/1.1\r\nHost: other.example\r\n\r\n", 421),
        (b"GET http://plain.example/ HTTP/1.1\r\nHost: plain.example:81\r\n\r\n", 421),
        (b"GET https://huggingface.co/ HTTP/1.1\r\nHost: huggingface.co\r\n\r\n", 400),
        (b"GET ftp://plain.example/ HTTP/1.1\r\nHost: plain.example\r\n\r\n", 400),
        (b"GET http://plain.example HTTP/1.0\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400),
        (b"GET /metrics\r\n\r\n", 400),
        (b"\x16\x03\x01\x00\x05hello" * 3, 0),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", 505),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", 400),
        (b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00\r\n\r\n", 400),
    ],
)
def test_outside_a_tunnel(proxy: Hubgate, hub: TestHub, raw: bytes, status: int) -> None:
    with opened(proxy) as plain:
        plain.sendall(raw)
        answer = plain.recv(13) if raw.startswith(b"CONNECT") else heard(plain)
        assert statuses(answer) == ([status] if status else [])
    assert hub.requests() == []


# -- HTTP/2 -----------------------------------------------------------------------------------------------------------

PLAIN = [(":method", "GET"), (":scheme", "https"), (":authority", A), (":path", "/api/models/acme/tiny")]


def changed(**new: str | None) -> list[tuple[str, str]]:
    fields = dict(PLAIN) | {f":{name}": value for name, value in new.items()}
    return [(name, value) for name, value in fields.items() if value is not None]


FIELDS: dict[str, list[tuple[str, str]]] = {
    "two paths": [*PLAIN, (":path", "/x")],
    "two authorities": [*PLAIN, (":authority", "evil.example")],
    "two methods": [*PLAIN, (":method", "POST")],
    "pseudo behind the rest": [*PLAIN[:3], ("accept", "*/*"), PLAIN[3]],
    "unknown pseudo": [*PLAIN[:3], (":x", "y"), PLAIN[3]],
    "status": [(":status", "200"), *PLAIN],
    "no path": changed(path=None),
    "no method": changed(method=None),
    "no scheme": changed(scheme=None),
    "empty path": changed(path=""),
    "relative path": changed(path="api/models/acme/tiny"),
    "absolute path": changed(path="https://huggingface.co/x"),
    "asterisk": changed(path="*"),
    "fragment": changed(path="/x#y"),
    "space in the path": changed(path="/a b"),
    "line break in the path": changed(path="/a\r\nHost: evil.example"),
    "NUL in the path": changed(path="/a\0b"),
    "request in the path": changed(path="/ HTTP/1.1\r\nHost: evil.example\r\n\r\nGET /x"),
    "no authority": changed(authority=None),
    "empty authority": changed(authority=""),
    "another authority": changed(authority="www.modelscope.cn"),
    "authority with a user": changed(authority="evil@huggingface.co"),
    "authority with a port": changed(authority="huggingface.co:8443"),
    "authority is a list": changed(authority="huggingface.co, evil.example"),
    "line break in the authority": changed(authority="huggingface.co\r\nX: y"),
    "Host differs": [*PLAIN, ("host", "evil.example")],
    "two Hosts": [*changed(authority=None), ("host", A), ("host", A)],
    "Host of another": [*changed(authority=None), ("host", "evil.example")],
    "method with a space": changed(method="GET /x"),
    "line break in the method": changed(method="GET / HTTP/1.1\r\nX: y\r\n\r\nGET"),
    "TRACE": changed(method="TRACE"),
    "CONNECT": [(":method", "CONNECT"), (":authority", "127.0.0.1:443")],
    "CONNECT to itself": [(":method", "CONNECT"), (":authority", f"{A}:443")],
    "websocket": [*changed(method="CONNECT"), (":protocol", "websocket")],
    "connection": [*PLAIN, ("connection", "close")],
    "keep-alive": [*PLAIN, ("keep-alive", "timeout=5")],
    "proxy-connection": [*PLAIN, ("proxy-connection", "keep-alive")],
    "transfer-encoding": [*PLAIN, ("transfer-encoding", "chunked")],
    "upgrade": [*PLAIN, ("upgrade", "h2c")],
    "te": [*PLAIN, ("te", "gzip")],
    "capitals": [*PLAIN, ("X-Upper", "y")],
    "empty name": [*PLAIN, ("", "y")],
    "colon in a name": [*PLAIN, ("x:y", "z")],
    "line break in a name": [*PLAIN, ("x\r\ny", "z")],
    "CR in a value": [*PLAIN, ("x", "a\rb")],
    "LF in a value": [*PLAIN, ("x", "a\nhost: evil.example")],
    "NUL in a value": [*PLAIN, ("x", "a\0b")],
    "two lengths": [*changed(method="POST"), ("content-length", "5"), ("content-length", "6")],
    "length is no number": [*changed(method="POST"), ("content-length", "+5")],
    "length without a body": [*changed(method="POST"), ("content-length", "5")],
    "expectation": [*PLAIN, ("expect", "200-ok")],
}
BODIES = {
    "longer than it says": ("2", b"hello"),
    "shorter than it says": ("9", b"hello"),
    "none was to come": ("0", b"hello"),
}


@pytest.mark.parametrize("name", FIELDS)
def test_http2_that_is_not_to_be_believed(proxy: Hubgate, hub: TestHub, name: str) -> None:
    with tunnel(proxy, A, alpn="h2") as stream:
        peer = Http2(stream)
        ident = peer.ask(FIELDS[name])
        peer.hear(ident)
        status = peer.status.get(ident)
        assert (status is None and (peer.gone or peer.over.get(ident) == "reset")) or 400 <= (status or 0) < 500
    assert hub.requests() == []


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("path", ["/api/models/acme/tiny/paths-info/main", "/api/repos/create"])
def test_an_http2_body_that_is_not_what_it_says(proxy: Hubgate, hub: TestHub, path: str, name: str) -> None:
    length, body = BODIES[name]
    with tunnel(proxy, A, alpn="h2") as stream:
        peer = Http2(stream)
        ident = peer.ask([*changed(method="POST", path=path), ("content-length", length)], body)
        peer.hear(ident)
        assert peer.gone or peer.over[ident] == "reset" or 400 <= peer.status[ident] < 600
    assert not any(record.body and record.status < 400 for record in hub.requests())


@pytest.mark.parametrize("path", ["/api/models/acme/tiny/paths-info/main", "/api/repos/create"])
def test_an_http2_body_of_no_said_length_is_no_second_request(proxy: Hubgate, hub: TestHub, path: str) -> None:
    inner = b"GET /smuggled HTTP/1.1\r\nHost: huggingface.co\r\n\r\n"
    with tunnel(proxy, A, alpn="h2") as stream:
        peer = Http2(stream)
        ident = peer.ask([*changed(method="POST", path=path), ("x-a", "b")], inner)
        peer.hear(ident)
    assert not hub.requests(path="/smuggled")
    assert [record.body for record in hub.requests(method="POST", path=path)] == [inner.decode()]


def test_after_what_was_refused_an_http2_connection_is_good(proxy: Hubgate, hub: TestHub) -> None:
    with tunnel(proxy, A, alpn="h2") as stream:
        peer = Http2(stream)
        first = peer.ask(changed(authority="evil.example"))
        second = peer.ask(PLAIN)
        peer.hear(first, second)
        assert (peer.status[first], peer.status[second]) == (421, 200)


# -- exhaustion -------------------------------------------------------------------------------------------------------

HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(20)
SETTINGS = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"


def frame(kind: int, flags: int, stream: int, payload: bytes, length: int | None = None) -> bytes:
    size = len(payload) if length is None else length
    return size.to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def tells(fields: list[tuple[str, str]]) -> bytes:
    return bytes(hpack.Encoder().encode(fields))


POST2 = tells(changed(method="POST", path="/api/repos/create"))
TAKEN2 = tells(changed(method="POST", path="/api/models/acme/tiny/paths-info/main"))
#: What is begun -> where it is said: outside, after CONNECT, inside TLS by HTTP/1.1 or HTTP/2.
BEGUN = {
    "nothing": ("out", b""),
    "half a line": ("out", b"GET http://huggi"),
    "half a header block": ("out", b"GET http://plain.example/ HTTP/1.1\r\nHost: plain"),
    "half a CONNECT": ("out", b"CONNECT huggingface.co:443 HTTP/1.1\r\nHost: "),
    "no hello": ("connected", b""),
    "half a hello": ("connected", HELLO),
    "half a hello outside": ("out", HELLO),
    "a header block inside": ("http/1.1", b"GET / HTTP/1.1\r\nHost:"),
    "half a preface": ("h2", b"PRI * HTT"),
    "half a SETTINGS frame": ("h2", SETTINGS[:-9] + frame(4, 0, 0, b"\0\3", 6)),
    "half a frame's head": ("h2", SETTINGS + b"\0\0\4"),
    "half a HEADERS frame": ("h2", SETTINGS + frame(1, 5, 1, TAKEN2[:4], len(TAKEN2))),
    "HEADERS without an end": ("h2", SETTINGS + frame(1, 1, 1, TAKEN2)),
    "CONTINUATION without an end": ("h2", SETTINGS + frame(1, 1, 1, TAKEN2[:4]) + frame(9, 0, 1, TAKEN2[4:])),
}
#: What begins a body; then it goes on by a byte now and then.
BODY = b"Content-Length: 900000\r\n\r\n"
SLOW = {
    "collected": ("http/1.1", b"POST /api/models/acme/tiny/paths-info/main HTTP/1.1\r\n" + HOST + BODY, b"x"),
    "relayed": ("http/1.1", b"POST /api/repos/create HTTP/1.1\r\n" + HOST + BODY, b"x"),
    "in chunks": (
        "http/1.1",
        b"POST /api/models/acme/tiny/paths-info/main HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n",
        b"1\r\nx\r\n",
    ),
    "a chunk line": (
        "http/1.1",
        b"POST /api/repos/create HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n",
        b"0",
    ),
    "refused": ("http/1.1", b"PUT /acme/tiny/resolve/main/..%2fx HTTP/1.1\r\n" + HOST + BODY, b"x"),
    "HTTP/2 collected": ("h2", SETTINGS + frame(1, 4, 1, TAKEN2), frame(0, 0, 1, b"x")),
    "HTTP/2 relayed": ("h2", SETTINGS + frame(1, 4, 1, POST2), frame(0, 0, 1, b"x")),
    "HTTP/2, half a frame": ("h2", SETTINGS + frame(1, 4, 1, TAKEN2) + frame(0, 0, 1, b"", 16000), b"x"),
    "HTTP/2, empty frames and pings": (
        "h2",
        SETTINGS + frame(1, 4, 1, TAKEN2),
        frame(0, 0, 1, b"") + frame(6, 0, 0, bytes(8)),
    ),
}


def placed(proxy: Hubgate, where: str, stack: contextlib.ExitStack) -> socket.socket:
    """A connection as far as `where`."""
    if where in ("http/1.1", "h2"):
        return stack.enter_context(tunnel(proxy, A, alpn=where))
    plain = stack.enter_context(opened(proxy))
    assert where != "connected" or connect(plain, b"huggingface.co:443") == 200
    return plain


def test_what_is_begun_has_to_be_finished(proxy: Hubgate, hub: TestHub) -> None:
    """One deadline for header blocks and handshakes, wherever they are."""
    with contextlib.ExitStack() as stack:
        begun = dict[str, socket.socket]()
        for name, (where, half) in BEGUN.items():
            begun[name] = placed(proxy, where, stack)
            begun[name].sendall(half)
        for name, stream in begun.items():
            assert statuses(heard(stream)) == [], name  # TimeoutError: it is still open
    assert hub.requests() == []


def test_who_has_finished_may_be_idle(proxy: Hubgate, hub: TestHub) -> None:
    with tunnel(proxy, A) as one, tunnel(proxy, A, alpn="h2") as two:
        peer = Http2(two)
        for _ in range(3):
            one.sendall(b"GET /api/models/acme/tiny HTTP/1.1\r\n" + HOST + b"\r\n")
            assert b" 200 " in head_of(one)
            ident = peer.ask(PLAIN)
            peer.hear(ident)
            assert peer.status[ident] == 200
            one.settimeout(2.0)  # twice: longer than the deadline
            with contextlib.suppress(TimeoutError):
                while one.recv(65536):
                    pass
            one.settimeout(PATIENCE)


def test_a_body_has_to_come_at_a_rate(proxy: Hubgate, hub: TestHub) -> None:
    with contextlib.ExitStack() as stack:
        slow = dict[str, tuple[socket.socket, bytes]]()
        for name, (where, begin, more) in SLOW.items():
            slow[name] = placed(proxy, where, stack), more
            slow[name][0].sendall(begin)
        since = time.monotonic()
        while slow and time.monotonic() - since < PATIENCE:
            for name, (stream, more) in list(slow.items()):
                stream.settimeout(0.02)
                try:
                    stream.sendall(more)
                    if not stream.recv(65536):
                        del slow[name]
                except TimeoutError:
                    continue
                except (ConnectionError, ssl.SSLError):
                    del slow[name]
        assert not slow, "still open"
    assert not any(200 <= record.status < 300 for record in hub.requests(method="POST"))


def test_a_body_at_that_rate_may_take_long(proxy: Hubgate, hub: TestHub) -> None:
    """15 kB each second, for twice the deadline."""
    body = json.dumps({"paths": ["old.bin"], "pad": "x" * 90_000}).encode()
    with tunnel(proxy, A) as stream:
        start = b"POST /api/models/acme/tiny/paths-info/main HTTP/1.1\r\n" + HOST
        stream.sendall(
            start + b"Connection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        for at in range(0, len(body), 3000):
            stream.sendall(body[at : at + 3000])
            time.sleep(0.2)
        assert statuses(heard(stream)) == [200]


def taken(stream: socket.socket, pieces: Iterator[bytes], most: int) -> int:
    """How many bytes the other side takes before it waits, or ends it."""
    count = 0
    stream.settimeout(2.0)
    with contextlib.suppress(TimeoutError, ConnectionError, ssl.SSLError):
        while count < most:
            piece = next(pieces)
            stream.sendall(piece)
            count += len(piece)
    stream.settimeout(PATIENCE)
    return count


MIB = 1 << 20
_RECORD = b"\x16\x03\x01\x40\x00"
#: What says that it is large, without end: where, how it begins, how it goes on.
ENDLESS = {
    "a hello": ("connected", _RECORD + b"\x01\xff\xff\xff\x03\x03" + bytes(16378), _RECORD + bytes(16384)),
    "a hello outside": ("out", _RECORD + b"\x01\xff\xff\xff\x03\x03" + bytes(16378), _RECORD + bytes(16384)),
    "a hello in records of one byte": ("connected", b"\x16\x03\x01\x00\x01\x01", b"\x16\x03\x01\x00\x01\xff" * 2000),
    "a line": ("http/1.1", b"GET /", b"a" * 16384),
    "header fields": ("http/1.1", b"GET / HTTP/1.1\r\n", b"X: y\r\n" * 2000),
    "a chunk line": ("http/1.1", SLOW["a chunk line"][1] + b"1;", b"a" * 16384),
    "zeros of a chunk size": ("http/1.1", SLOW["in chunks"][1], b"0" * 16384),
    "a trailer": ("http/1.1", SLOW["in chunks"][1] + b"0\r\n", b"X: y\r\n" * 2000),
    "a body": (
        "http/1.1",
        b"POST /api/models/acme/tiny/paths-info/main HTTP/1.1\r\n" + HOST + b"Content-Length: 900000000\r\n\r\n",
        bytes(16384),
    ),
    "a frame": ("h2", SETTINGS + frame(1, 5, 1, TAKEN2[:4], (1 << 24) - 1), bytes(16384)),
    "an unknown frame": ("h2", SETTINGS + frame(0xAB, 0, 0, b"", (1 << 24) - 1), bytes(16384)),
    "CONTINUATION": ("h2", SETTINGS + frame(1, 1, 1, TAKEN2), frame(9, 0, 1, bytes([0x40, 1, 120, 1, 121]) * 3000)),
    "empty CONTINUATION": ("h2", SETTINGS + frame(1, 1, 1, TAKEN2), frame(9, 0, 1, b"") * 1000),
}


def memory(proxy: Hubgate) -> int:
    """Bytes that are resident."""
    status = Path(f"/proc/{proxy.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def descriptors(proxy: Hubgate) -> int:
    return len(os.listdir(f"/proc/{proxy.pid}/fd"))


def threads(proxy: Hubgate) -> int:
    return len(os.listdir(f"/proc/{proxy.pid}/task"))


@pytest.mark.parametrize("name", ENDLESS)
def test_what_has_no_end_is_not_kept(proxy: Hubgate, hub: TestHub, name: str) -> None:
    where, begin, more = ENDLESS[name]
    before = memory(proxy)
    with contextlib.ExitStack() as stack:
        streams = [placed(proxy, where, stack) for _ in range(4)]
        for stream in streams:
            stream.sendall(begin)
            taken(stream, itertools.repeat(more), 12 * MIB)
        assert memory(proxy) - before < 12 * MIB
        for stream in streams:
            assert all(status >= 400 for status in statuses(heard(stream)))  # it is over, though we close nothing
    assert not any(200 <= record.status < 300 for record in hub.requests(method="POST"))


#: protocol -> a request, what its body goes on with. The window of HTTP/2 is not looked at.
BODIES_WITHOUT_END = {
    "http/1.1": (b"POST /api/repos/create HTTP/1.1\r\n" + HOST + b"Content-Length: 99000000\r\n\r\n", bytes(65536)),
    "h2": (SETTINGS + frame(1, 4, 1, POST2), frame(0, 0, 1, bytes(16384))),
}


@pytest.mark.parametrize("alpn", BODIES_WITHOUT_END)
def test_a_body_for_an_upstream_that_is_not_there_waits_with_the_client(
    proxy: Hubgate, hub: TestHub, alpn: str
) -> None:
    hub.stop(silent=True)
    begin, more = BODIES_WITHOUT_END[alpn]
    with tunnel(proxy, A, alpn=alpn) as stream:
        stream.sendall(begin)
        assert taken(stream, itertools.repeat(more), 64 * MIB) < 25 * MIB  # what the kernel holds, twice


def test_connections_of_one_client_are_counted(proxy: Hubgate, hub: TestHub) -> None:
    most = LIMITS["connections"]
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(opened(proxy)) for _ in range(int(most) + 20)]
        turned = 0
        for plain in held:
            plain.setblocking(False)
        end = time.monotonic() + PATIENCE
        while turned < 20 and time.monotonic() < end:
            readable, _, _ = select.select(held, [], [], 1)
            for plain in readable:
                assert plain.recv(1) == b""
                held.remove(plain)
                turned += 1
        assert turned >= 20
    until(lambda: can(proxy), "nobody gets in any more")


def can(proxy: Hubgate) -> bool:
    try:
        return proxy.ask(f"https://{A}/api/models/acme/tiny").status == 200
    except (OSError, http.client.HTTPException):
        return False


def mutated(rnd: random.Random) -> bytes:
    raw = bytearray(rnd.choice(rnd.choice([*REFUSED.values(), *SOUND.values()]))[:2000])
    for _ in range(rnd.randint(1, 3)):
        at, what = (
            rnd.randrange(len(raw) + 1),
            rnd.choice([b"\r", b"\n", b"\r\n", b" ", b"\t", b":", b";", b",", b"\0", b"0", b"5", b"\xff"]),
        )
        raw[at : at + rnd.randint(0, 2)] = what
    return bytes(raw)


def test_hostile_clients_leave_nothing_behind(proxy: Hubgate, hub: TestHub) -> None:
    """The corpus, and what chance makes of it, again and again: memory and descriptors stay where they were."""
    rnd = chance("hostile")

    def round_of() -> None:
        for raws in rnd.sample([*REFUSED.values()], 25):
            said(proxy, raws[0] + NEXT)
        for _ in range(35):
            hub.clear()
            raw = mutated(rnd)
            answers = said(proxy, raw + NEXT + b"\r\n")
            told = statuses(answers)
            assert len(told) <= 2 and len(hub.requests(path="*smuggled*")) <= 1, raw
            assert not hub.requests(host="evil*") and not hub.requests(path="/smuggled"), raw
            assert b"X-Hubgate-Error" not in answers, raw
        for name in rnd.sample([*FIELDS], 10):
            with tunnel(proxy, A, alpn="h2") as stream:
                peer = Http2(stream)
                peer.hear(peer.ask(FIELDS[name]))

    round_of()
    until(lambda: not mine(proxy), "connections are left over")
    files, tasks, size = descriptors(proxy), threads(proxy), memory(proxy)
    for _ in range(2):
        round_of()
    until(lambda: not mine(proxy), "connections are left over")
    until(lambda: descriptors(proxy) <= files + 8, f"{descriptors(proxy)} descriptors, {files} at first")
    assert threads(proxy) <= tasks + 8
    assert memory(proxy) - size < 32 * MIB
    assert "Traceback" not in proxy.told and "crashed" not in proxy.told, proxy.told[-3000:]


def mine(proxy: Hubgate) -> int:
    """Connections of clients that the process has."""
    port = f":{proxy.port:04X}"
    rows = [line.split() for line in Path(f"/proc/{proxy.pid}/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(port) and row[3] == "01" for row in rows)
