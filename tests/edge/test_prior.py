"""Whom a client calls by HTTP/2 in the clear: by whichever field, coded and framed as may be. gRPC goes by."""

from __future__ import annotations

import h2.config
import h2.connection
import pytest
from hpack import Encoder
from hyperframe.frame import ContinuationFrame, DataFrame, Frame, HeadersFrame, PushPromiseFrame, SettingsFrame

from proxy_addon.edge.plaintext import Plaintext
from proxy_addon.edge.prior import LONGEST, PREFACE
from tests.edge.test_plaintext import HUB, cuts, said

MESSAGE = b"\0\0\0\0\2\n\0 GET http://hub.example/\r\nHost: hub.example\r\n\r\n"  # no line of HTTP/1

type Fields = list[tuple[str, str]]


def asking(authority: str = "a.example:50051", *more: tuple[str, str]) -> Fields:
    called = [(":authority", authority)] if authority else []
    asked = [(":method", "POST"), (":scheme", "http"), (":path", "/m.M/Get"), *called]
    return [*asked, ("content-type", "application/grpc"), ("te", "trailers"), *more]


def spoken(*requests: Fields) -> bytes:
    """As a real client begins, with a message of each request."""
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, validate_outbound_headers=False))
    client.initiate_connection()
    for fields in requests:
        stream = client.get_next_available_stream_id()
        client.send_headers(stream, fields)
        client.send_data(stream, MESSAGE, end_stream=True)
    return client.data_to_send()


def framed(*frames: Frame) -> bytes:
    return PREFACE + SettingsFrame(0).serialize() + b"".join(frame.serialize() for frame in frames)


def block(fields: Fields, huffman: bool = True) -> bytes:
    return Encoder().encode(fields, huffman=huffman)


def headers(data: bytes, *flags: str, **more: int) -> HeadersFrame:
    return HeadersFrame(1, data, flags=flags, **more)


def last_block(data: bytes) -> int:
    """Where the last frame begins that a block of fields begins with."""
    at, found = len(PREFACE), 0
    while at < len(data):
        found = at if data[at + 3] == HeadersFrame.type else found
        at += 9 + int.from_bytes(data[at : at + 3])
    return found


TO_HUB = block(asking(HUB))
CALLING = {
    "authority": spoken(asking("hub.example")),
    "with a port": spoken(asking("HUB.Example.:80")),
    "of somebody": spoken(asking("user@hub.example")),
    "host": spoken(asking("a.example", ("host", "hub.example"))),
    "host alone": spoken(asking("", ("host", "hub.example"))),
    "a later one": spoken(asking(), asking(), asking("hub.example")),
    "tunnel": spoken([(":method", "CONNECT"), (":authority", "hub.example:443")]),
    "not packed": framed(headers(block(asking(HUB), huffman=False), "END_HEADERS")),
    "with blanks": framed(headers(block(asking(" hub.example ")), "END_HEADERS")),
    "in capitals": framed(headers(block(asking("a.example", ("Host", "hub.example"))), "END_HEADERS")),
    "padded": framed(headers(TO_HUB, "END_HEADERS", "PADDED", pad_length=9)),
    "with a priority": framed(headers(TO_HUB, "END_HEADERS", "PRIORITY", "PADDED", depends_on=0, pad_length=3)),
    "in two": framed(headers(TO_HUB[:9]), ContinuationFrame(1, TO_HUB[9:], flags=["END_HEADERS"])),
    "in three": framed(
        headers(b""), ContinuationFrame(1, TO_HUB[:30]), ContinuationFrame(1, TO_HUB[30:], flags=["END_HEADERS"])
    ),
}
UNREAD = {
    "no code": framed(headers(b"\xff\xff\xff\xff\xff\xff", "END_HEADERS")),
    "half a code": framed(headers(TO_HUB[:-1], "END_HEADERS")),
    "too long": framed(headers(block(asking("a.example", ("x", "\x00" * LONGEST))), "END_HEADERS")),
    "too long without an end": framed(headers(b""), *(ContinuationFrame(1) for _ in range(LONGEST // 9))),
    "too much for its length": framed(headers((b"\x40\x01x\x7f\xb9\x16" + b"y" * 3000) + b"\xbe" * 60, "END_HEADERS")),
    "a table beyond all": framed(headers(b"\x3f\xe1\xff\xff\x7f" + block(asking()), "END_HEADERS")),
    "broken off": framed(headers(b""), DataFrame(1, b"x")),
    "continued from nothing": framed(ContinuationFrame(1, TO_HUB, flags=["END_HEADERS"])),
    "promised": framed(PushPromiseFrame(1, 2, TO_HUB, flags=["END_HEADERS"])),
    "more padding than there is": PREFACE + b"\0\0\1\1\x0c\0\0\0\1\x09",
    "padding that is not there": PREFACE + b"\0\0\0\1\x0c\0\0\0\1",
}
OTHERS = {
    "nothing": PREFACE,
    "gRPC": spoken(*(asking("a.example", ("x-id", str(n)), ("x-for", "hub.example")) for n in range(9))),
    "padded": framed(headers(block(asking()), "END_HEADERS", "PRIORITY", "PADDED", depends_on=0, pad_length=3)),
    "a name like it": spoken(asking("hub.example.org"), asking("nohub.example")),
    "not whole": framed(DataFrame(1, b"x" * 99), headers(block(asking()), "END_HEADERS"))[:-1],
    "large, in many": framed(
        headers(block(asking())),
        *(ContinuationFrame(1, Encoder().encode([(f"x-{n}", "v" * 200)], huffman=False)) for n in range(20)),
        ContinuationFrame(1, flags=["END_HEADERS"]),
        DataFrame(1, bytes(range(256)) * 9),
    ),
}


@pytest.mark.parametrize("calls", CALLING)
def test_who_calls_it_is_cut_off_before_its_name_is_out(calls: str) -> None:
    data = CALLING[calls]
    for pieces in cuts(data):
        heard, cut = said(pieces)
        assert cut and data.startswith(heard) and len(heard) <= last_block(data)


@pytest.mark.parametrize("way", UNREAD)
def test_what_cannot_be_read_is_cut_off(way: str) -> None:
    data = UNREAD[way]
    for pieces in ([data], [data[:40], data[40:]], [data[:25], *(data[n : n + 99] for n in range(25, len(data), 99))]):
        assert said(pieces)[1]


@pytest.mark.parametrize("what", OTHERS)
def test_whatever_else_is_said_comes_whole(what: str) -> None:
    data = OTHERS[what]
    for pieces in cuts(data):
        heard, cut = said(pieces)
        assert not cut
        assert heard == data[: last_block(data) if what == "not whole" else len(data)]


def test_nothing_waits_but_a_block() -> None:
    """The far end answers the preface and the settings before a request comes."""
    begun = spoken()
    for size in (*range(len(PREFACE) + 1), len(begun)):
        assert Plaintext(lambda name: True).take(begun[:size]) == begun[:size]
    assert spoken(asking()).startswith(begun)
