"""Whom a client calls in the clear: by whichever line, in whatever pieces, and as long as the tunnel lasts."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy_addon.edge.plaintext import KEPT, Plaintext
from proxy_addon.edge.prior import Called

HUB = "hub.example"
CALLING = [
    b"GET / HTTP/1.1\r\nHost: hub.example\r\n\r\n",
    b"GET / HTTP/1.1\r\nAccept: */*\r\nhOsT:hub.example:80\r\n\r\n",
    b"GET / HTTP/1.0\nHost:\thub.example\n\n",
    b"GET / HTTP/1.1\r\nHost : HUB.Example.\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost:\r\n hub.example\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: \r\n\t\r\n hub.example\r\n\r\n",
    b"GET / HTTP/1.1\r\n Host:\x0bhub.example\r\n\r\n",
    b"GET / HTTP/1.1\rHost: hub.example\r\r",
    b"GET / HTTP/1.1\r\nHost: user@hub.example\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.example\r\nHost: hub.example\r\n\r\n",
    b"\r\nGET http://hub.example/x HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"GET HTTPS://u:p@hub.example:8443 HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"FETCH  http://hub.example?x HTTP/1.1\r\n\r\n",
    b"CONNECT hub.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: hub.example\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00",
    b"PRI * HTTP/2.0\r\nHost: a.example\r\n\r\nSM\r\n\r\n",
    b"\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMA\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost:" + b" " * (KEPT + 20) + b"hub.example\r\n\r\n",
    b"GET http://" + b"u" * (KEPT + 20) + b"@hub.example/ HTTP/1.1\r\n\r\n",
]
OTHERS = [
    b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n" * 3,
    b"GET /hub.example HTTP/1.1\r\nHost: hub.example.org\r\nReferer: http://hub.example/\r\n\r\n",
    b"GET http://nohub.example/ HTTP/1.1\r\nHost: nohub.example\r\n\r\n",
    b"GET / HTTP/1.1\r\nX-Host: hub.example\r\nHost:\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: [::1]:80\r\nUpgrade: websocket\r\n\r\n\x81\x85host",
    b"SSH-2.0-OpenSSH_9.9\r\n" + bytes(range(256)) * 9,
    b"EHLO mail.example\r\nSee http://hub.example\r\nsee hub.example and host hub.example\r\n.\r\n",
    b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
    b" " * (3 * KEPT) + b"\n" + b"x" * (3 * KEPT) + b"Host: hub.example",
    b"Host:",
    b"CONNECT",
    b"PRI",
    b"PRI * of nothing\r\n",
    b"GET http://",
    b"",
]


def said(pieces: list[bytes]) -> tuple[bytes, bool]:
    """What the far end has heard, and whether the client was cut off."""
    clear, heard = Plaintext(lambda name: name == HUB), b""
    try:
        for piece in pieces:
            heard += clear.take(piece)
            assert len(clear._line) <= KEPT
        return heard + clear.rest(), False
    except Called:
        return heard, True


def cuts(data: bytes) -> list[list[bytes]]:
    """Whole, byte for byte, in two, and in pieces at random."""
    dice, places = random.Random(len(data)), range(1, len(data))
    some = [sorted(dice.sample(places, min(5, len(places)))) for _ in range(20)]
    at = [[], [*places], *([place] for place in dice.sample(places, min(100, len(places)))), *some]
    return [[data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)] for places in at]


@pytest.mark.parametrize("data", CALLING)
def test_who_calls_it_is_cut_off_before_its_name_is_out(data: bytes) -> None:
    for pieces in cuts(data):
        heard, cut = said(pieces)
        assert cut and data.startswith(heard)
        assert b"hub.example" not in heard.lower() and b"SM\r\n" not in heard


@pytest.mark.parametrize("data", OTHERS)
def test_whatever_else_is_said_comes_whole(data: bytes) -> None:
    for pieces in cuts(data):
        assert said(pieces) == (data, False)


@pytest.mark.parametrize(
    "line", [b"GET / HTTP/1.1\r\n", b"SSH-2.0-x\r\n", b"P", b"h", b"hos", b"GE", b"\x00", b"HELO x\n"]
)
def test_nothing_else_is_kept_waiting(line: bytes) -> None:
    """Its far end may have to answer before more comes."""
    assert Plaintext(lambda name: True).take(line) == line


LINES = st.lists(
    st.sampled_from(
        [b"GET ", b"http://", b"Host", b":", b" ", b"\r\n", b"\n", b"\t", b"hub.example", b"a.example", b"/", b"x"]
    ),
    max_size=12,
).map(b"".join)


@given(st.lists(LINES, max_size=6))
def test_pieces_change_nothing(pieces: list[bytes]) -> None:
    whole, cut = said([b"".join(pieces)])
    heard, cut_too = said(pieces)
    assert cut is cut_too and (cut or heard == whole == b"".join(pieces))
