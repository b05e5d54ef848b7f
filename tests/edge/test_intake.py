"""What is refused, with which status, and that it goes nowhere."""

from __future__ import annotations

import ssl

from hypothesis import given, settings
from hypothesis import strategies as st
from mitmproxy.net.http import http1

from proxy_addon.core.messages import Reply, Request
from proxy_addon.edge import intake
from proxy_addon.edge.framing import frame
from proxy_addon.edge.intake import Place, Refusal
from proxy_addon.front import Front
from tests.edge.stand_in import HUB, StandIn, text

PLACE = Place("https", HUB, 443, HUB, "127.0.0.1")
HOST = f"Host: {HUB}\r\n"


BAD = [
    (f"GET / HTTP/1.1\r\n{HOST}{HOST}\r\n", 400),
    ("GET / HTTP/1.1\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: other.example\r\n\r\n", 421),
    (f"GET / HTTP/1.1\r\nHost: {HUB}:8443\r\n\r\n", 421),
    (f"GET / HTTP/1.1\r\nHost: user@{HUB}\r\n\r\n", 400),
    (f"GET https://{HUB}/ HTTP/1.1\r\n{HOST}\r\n", 400),
    (f"GET http://{HUB}/ HTTP/1.1\r\n{HOST}\r\n", 400),
    (f"TRACE / HTTP/1.1\r\n{HOST}\r\n", 405),
    (f"GET / HTTP/1.1\r\n{HOST}Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 400),
    (f"GET / HTTP/1.1\r\n{HOST}Expect: something\r\n\r\n", 417),
    (f"OPTIONS * HTTP/1.1\r\n{HOST}\r\n", 400),
    (f"GET /a#b HTTP/1.1\r\n{HOST}\r\n", 400),
    (f"GET /\xe9 HTTP/1.1\r\n{HOST}\r\n", 400),
    (f"GET /{'a' * 17000} HTTP/1.1\r\n{HOST}\r\n", 414),
    (f"GET / HTTP/1.1\r\n{HOST}X: a\x01b\r\n\r\n", 400),
    (f"GET / HTTP/1.1\r\n{HOST}X y: a\r\n\r\n", 400),
    (f"G(T / HTTP/1.1\r\n{HOST}\r\n", 400),
    # Smuggling: CL.TE, TE.CL, two lengths, an odd coding, bare LF, a folded line, space before the colon, NUL
    (f"POST / HTTP/1.1\r\n{HOST}Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG", 400),
    (f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\nGET", 400),
    (f"POST / HTTP/1.1\r\n{HOST}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 400),
    (f"POST / HTTP/1.1\r\n{HOST}Content-Length: 5, 5\r\n\r\nhello", 400),
    (f"POST / HTTP/1.1\r\n{HOST}Content-Length: +5\r\n\r\nhello", 400),
    (f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    (f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
    (f"POST / HTTP/1.0\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (f"GET / HTTP/1.1\n{HOST}\r\n", 400),
    (f"GET / HTTP/1.1\r\nHost: {HUB}\n\n", 400),
    (f"GET / HTTP/1.1\r\n{HOST}X: a\r\n b\r\n\r\n", 400),
    (f"GET / HTTP/1.1\r\n{HOST}Transfer-Encoding : chunked\r\n\r\n", 400),
    (f"GET / HTTP/1.1\r\n{HOST}X: a\rb\r\n\r\n", 400),
    (f"GET / HTTP/1.1\r\n{HOST}X: a\x00b\r\n\r\n", 400),
    (f"GET / HTTP/1.1\r\n{HOST}nonsense\r\n\r\n", 400),
    (f"GET  / HTTP/1.1\r\n{HOST}\r\n", 400),
    (f"GET / HTTP/2.0\r\n{HOST}\r\n", 505),
    (f"GET / HTTP/1.1\r\nX: {'a' * 70000}\r\n\r\n", 431),
    (f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", 400),
]


async def test_a_request_that_cannot_be_believed(engine: StandIn, hub) -> None:
    engine.quickly["/"] = text("a")
    for raw, status in BAD:
        engine.log.clear()
        client = await hub()
        client.send(raw + f"GET /next HTTP/1.1\r\n{HOST}\r\n")
        answers = await client.rest()
        assert answers.startswith(b"HTTP/1.1 %d " % status), raw
        assert answers.count(b"HTTP/1.1 ") == 1 and b"error" in answers and b"mitmproxy" not in answers, raw
        assert engine.seen == [] and engine.resolved == [], raw
        assert [record[1] for record in engine.log] in ([status], []), raw


async def test_sni_host_and_tunnel_agree(engine: StandIn, hub) -> None:
    engine.quickly["/a"] = text("a")
    client = await hub(target=f"{HUB}:80", sni=HUB)
    client.get("/a", host=f"{HUB}:80")
    assert (await client.reply())[0] == 200
    wrong = await hub(sni=None)
    wrong.get("/a")
    assert (await wrong.reply())[0] == 200


async def test_the_server_name_of_another_host_is_misdirected(engine: StandIn, serve) -> None:
    engine.quickly["/a"] = text("a")
    client = await (await serve())()
    await client.connect()
    context = ssl.create_default_context(cafile=str(client.ca))
    context.check_hostname = False
    await client.writer.start_tls(context, server_hostname="other.example")
    client.get("/a")
    assert (await client.reply())[0] == 421
    assert engine.seen == []


FIELDS = st.lists(
    st.tuples(
        st.sampled_from(["Accept", "X-A", "Range", "connection", "Content-Length", "Expect", "cookie", "TE", "Host"]),
        st.one_of(
            st.sampled_from(["keep-alive", "close", "0", "bytes=0-1", HUB, f"{HUB}:443", "other.example"]),
            st.text(st.characters(min_codepoint=0, max_codepoint=255), max_size=8),
        ),
    ),
    max_size=5,
)
TARGETS = st.one_of(
    st.sampled_from(["/", "/a?b=c", "/a?", "/a b", "/a#b", "/%2e", "//x", f"http://{HUB}/a", "*", ""]),
    st.text(st.characters(min_codepoint=0, max_codepoint=255), max_size=8).map(lambda tail: "/" + tail),
)


@given(st.sampled_from(["GET", "HEAD", "POST"]), TARGETS, FIELDS)
@settings(max_examples=100, deadline=None)
def test_what_the_front_takes_the_slow_road_reads_the_same(
    method: str, target: str, fields: list[tuple[str, str]]
) -> None:
    raw = f"{method} {target} HTTP/1.1\r\nHost: {HUB}\r\n" + "".join(f"{n}: {v}\r\n" for n, v in fields) + "\r\n"
    seen: list[Request] = []

    class Engine(StandIn):
        def quick(self, request: Request) -> Reply:
            seen.append(request)
            return text("a")

        def completed(self, finished: object) -> None:
            pass

    out, rest, _ = Front(Engine(), PLACE).answer(raw.encode("latin-1"))
    if seen:
        assert out.startswith(b"HTTP/1.1 200 OK\r\n") and rest == b""
        slow = intake.read(http1.read_request_head(raw.encode("latin-1").split(b"\r\n")[:-2]), PLACE)
        assert not isinstance(slow, Refusal) and seen == [slow]
    else:
        assert (out, rest) == (b"", raw.encode("latin-1"))


@given(st.integers(0, 200), st.binary(max_size=40))
@settings(max_examples=60, deadline=None)
def test_the_front_takes_whole_requests_and_leaves_the_rest(cut: int, tail: bytes) -> None:
    engine = StandIn(quickly={"/a": text("a")})
    engine.completed = lambda finished: None  # type: ignore[method-assign]
    one = f"GET /a HTTP/1.1\r\nHost: {HUB}\r\nAccept: */*\r\n\r\n".encode()
    data = (one * 3)[:cut] + tail
    out, rest, _ = Front(engine, PLACE).answer(data)
    whole = len(engine.seen)
    assert out.count(b"HTTP/1.1 200 OK\r\n") == whole and data == one * whole + rest


@given(
    st.sampled_from(["GET", "HEAD"]),
    st.sampled_from([200, 204, 206, 304, 404]),
    st.sampled_from(["HTTP/1.0", "HTTP/1.1", "HTTP/2.0"]),
    st.booleans(),
    st.sampled_from([None, 0, 7]),
)
@settings(max_examples=100, deadline=None)
def test_a_frame_says_where_a_body_ends_in_one_way(
    method: str, status: int, version: str, declared: bool, length: int | None
) -> None:
    from proxy_addon.core.messages import Headers
    from tests.edge.stand_in import Pattern

    fields = (("Connection", "x"), *((("content-length", str(length)),) if declared and length is not None else ()))
    body = Pattern(length) if length != 7 else b"sevenof"
    framed = frame(Reply(status, Headers(fields), body), method, version)
    ways = [framed.bodiless, framed.chunked, framed.until_close, bool(framed.length and not framed.bodiless)]
    assert sum(ways) == 1 or (version == "HTTP/2.0" and sum(ways) == 0)
    assert ("transfer-encoding" in framed.headers) == framed.chunked
    assert not (framed.chunked and "content-length" in framed.headers)
    assert "connection" not in framed.headers
    assert framed.bodiless == (method == "HEAD" or status in (204, 304) or length == 0)
