"""A tunnel to a host that is no hub is no way to a hub: what a server would take for a hello is read as one, or cut."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxy_addon.edge.relay import _server_name
from tests.hub import Scripted, TestHub
from tests.processes import Hubgate, configuration, to_hub

RECORD = b"\x16\x03\x01"
EMPTY = b"\x00\x00"
DENIES = """
version: 1
rules:
  - {id: no-nc, effect: deny, match: {repo: acme/nc}, reason: "not for us", owner: legal@example.org}
"""

type Change = Callable[[bytes], bytes]


def cut_into(size: int) -> Change:
    """The same hello in records of so many bytes."""

    def change(sent: bytes) -> bytes:
        parts = [sent[at : at + size] for at in range(5, len(sent), size)]
        return b"".join(RECORD + len(part).to_bytes(2, "big") + part for part in parts)

    return change


#: Each is a handshake that a TLS server of today takes.
OPENINGS: dict[str, Change] = {
    "as usual": lambda sent: sent,
    "in pieces": cut_into(20),
    "in bytes": cut_into(1),
    "version 3.4": lambda sent: b"\x16\x03\x04" + sent[3:],
    "version 3.9": lambda sent: b"\x16\x03\x09" + sent[3:],
    "an empty record first": lambda sent: RECORD + EMPTY + sent,
    "an empty record of another kind first": lambda sent: b"\x14\x03\x01" + EMPTY + sent,
    "an empty record within": lambda sent: RECORD + b"\x00\x05" + sent[5:10] + RECORD + EMPTY + cut_into(600)(sent[5:]),
}


@pytest.fixture(scope="module")
def everywhere(running_hub: TestHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hubgate]:
    """Every host and port is the test hub's, as a mirror of the hub's or its second address would be."""
    folder = tmp_path_factory.mktemp("everywhere")
    (folder / "rules.yaml").write_text(DENIES)
    upstream = to_hub(running_hub) | {"connect_to": {"*:*": f"127.0.0.1:{running_hub.port}"}}
    with Hubgate(configuration(folder, running_hub, upstream=upstream, rules=[str(folder / "rules.yaml")])) as proxy:
        yield proxy


def said_through(to: int, target: str, name: str, roots: Path, opening: Change) -> bytes:
    """What the far end of a tunnel answers; empty if the tunnel was cut before it could."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(roots)
    came, left = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(came, left, server_hostname=name)
    with socket.create_connection(("127.0.0.1", to), 30) as wire:
        wire.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        assert wire.recv(4096).startswith(b"HTTP/1.1 200")

        change = opening  # of what is sent first

        def done[T](step: Callable[[], T]) -> T:
            nonlocal change
            while True:
                try:
                    result = step()
                    wire.sendall(left.read())
                    return result
                except ssl.SSLWantReadError:
                    wire.sendall(change(left.read()))
                    change = OPENINGS["as usual"]
                    if not (data := wire.recv(65536)):
                        raise ConnectionResetError from None
                    came.write(data)

        try:
            done(tls.do_handshake)
            request = f"GET /acme/nc/raw/main/README.md HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"
            done(lambda: tls.write(request.encode()))
            return done(lambda: tls.read(65536))
        except (ConnectionError, ssl.SSLError):
            return b""


@pytest.mark.parametrize("opening", OPENINGS)
def test_a_hubs_name_in_a_hello_that_a_server_would_take(everywhere: Hubgate, hub: TestHub, opening: str) -> None:
    said = said_through(everywhere.port, "plain.example:443", "huggingface.co", hub.ca_pem, OPENINGS[opening])
    assert said == b"" and hub.requests() == []


@pytest.mark.parametrize("target", ["huggingface.co:8443", "plain.example:8443", "cdn-lfs.hf.co:444"])
@pytest.mark.parametrize("name", ["huggingface.co", "HuggingFace.co", "us.aws.cdn.hf.co", "www.modelscope.cn"])
def test_a_hubs_name_on_another_port(everywhere: Hubgate, hub: TestHub, target: str, name: str) -> None:
    said = said_through(everywhere.port, target, name, hub.ca_pem, OPENINGS["as usual"])
    assert said == b"" and hub.requests() == []


@pytest.mark.parametrize("opening", ["as usual", "in pieces", "in bytes"])
@pytest.mark.parametrize("port", [443, 8443])
def test_another_name_is_relayed_untouched(everywhere: Hubgate, hub: TestHub, opening: str, port: int) -> None:
    hub.script("/acme/nc/raw/main/README.md", Scripted(200, {}, "no card"))
    target = f"plain.example:{port}"
    said = said_through(everywhere.port, target, "plain.example", hub.ca_pem, OPENINGS[opening])
    assert said.startswith(b"HTTP/1.1 200") and b"Cache-Status" not in said


def hello(name: str | None) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = name is not None
    left = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), left, server_hostname=name).do_handshake()
    return left.read()


def test_a_name_is_told_once_all_of_the_hello_is_here() -> None:
    whole = hello("a.example")
    assert {_server_name(whole[:end]) for end in range(1, len(whole))} == {None}
    assert _server_name(whole) == _server_name(whole + b"more") == "a.example"
    assert _server_name(hello(None)) == ""


def with_names(*listed: bytes) -> bytes:
    """A hello with these as its server names; the rest of what it offers comes behind."""
    named = hello("a.example")
    old = b"\x00\x00\x00\x0e\x00\x0c\x00\x00\x09a.example"
    assert named.count(old) == 1
    new = b"".join(b"\x00\x00" + len(each).to_bytes(2, "big") + each for each in listed)
    more = len(new) - len(old)
    at = named.index(old) - 2
    out = named[:at] + (int.from_bytes(named[at : at + 2], "big") + more).to_bytes(2, "big") + new
    out += named[at + 2 + len(old) :]
    length = int.from_bytes(named[3:5], "big") + more
    return named[:3] + length.to_bytes(2, "big") + b"\x01" + (length - 4).to_bytes(3, "big") + out[9:]


def entry(name: bytes) -> bytes:
    return b"\x00" + len(name).to_bytes(2, "big") + name


def names(*each: bytes) -> bytes:
    inside = b"".join(map(entry, each))
    return len(inside).to_bytes(2, "big") + inside


@pytest.mark.parametrize(
    "first",
    [
        with_names(names(b"a.example", b"huggingface.co")),
        with_names(names(b"a.example"), names(b"huggingface.co")),
        with_names(names(b"huggingface.co\x00")),
        with_names(b""),
        b"\x16\x03\x01\x00\x04\x01\x00\x00\x00",
        b"\x16\x02\x00\x00\x04",
        b"\x14\x03\x01\x00\x00",
        b"\x15\x03\x03\x00\x02\x01\x5a",
        b"\x17\x03\x03\x00\x00",
    ],
)
def test_what_begins_as_tls_and_cannot_be_read_is_none(first: bytes) -> None:
    with pytest.raises(ValueError):
        _server_name(first)


@pytest.mark.parametrize("first", [b"SSH-2.0-x", b"GET / HTTP/1.1\r\n", b"\x00", b"\x14\x02", b"\x80\x2e\x01"])
def test_what_is_no_tls_has_no_name(first: bytes) -> None:
    assert _server_name(first) == ""


def test_the_helper_makes_a_hello() -> None:
    assert _server_name(with_names(names(b"b.example"))) == "b.example"
