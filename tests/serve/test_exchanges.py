"""What the whole process makes of requests: logged without secrets, refused when malformed, tunnelled when not ours."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hub import Scripted, TestHub
from tests.processes import Hubgate, everything, open_tunnel

HUB = "https://huggingface.co"


def test_one_json_line_a_request(hub: TestHub, start: Callable[..., Hubgate]) -> None:
    proxy = start()
    size = hub.repo("acme/tiny").file("old.bin").size
    connection = open_tunnel(proxy.port, proxy.ca / "ca.pem", "huggingface.co")
    for path in ("old.bin?a=b", "old.bin", "absent"):
        connection.request("GET", f"/acme/tiny/resolve/main/{path}")
        connection.getresponse().read()
    connection.close()
    proxy.said(b"GET / HTTP/1.1\r\n\r\n")
    assert proxy.stop() == 0
    lines = proxy.logged()
    shown = [(line["method"], line["url"], line["status"], line["outcome"], line["bytes"]) for line in lines]
    url = f"{HUB}/acme/tiny/resolve/main/"
    assert shown[:2] == [("GET", f"{url}old.bin?", 200, "uri-miss", size), ("GET", f"{url}old.bin", 200, "hit", size)]
    assert shown[2][:3] == ("GET", f"{url}absent", 404)
    assert shown[3][2:4] == (400, "malformed")
    assert {line["hub"] for line in lines[:3]} == {"huggingface"} and len({line["id"] for line in lines}) == 4
    assert all(line["client"] == "127.0.0.1" and 0 <= line["seconds"] < 60 for line in lines)


MALFORMED = {
    "not a proxy request": b"GET / HTTP/1.1\r\nHost: huggingface.co\r\n\r\n",
    "no host": b"GET http://huggingface.co/ HTTP/1.1\r\n\r\n",
    "two hosts": b"GET http://huggingface.co/ HTTP/1.1\r\nHost: huggingface.co\r\nHost: evil.example\r\n\r\n",
    "two lengths": b"POST http://huggingface.co/ HTTP/1.1\r\nHost: huggingface.co\r\nContent-Length: 1\r\n"
    b"Content-Length: 2\r\n\r\nab",
    "length and chunks": b"POST http://huggingface.co/ HTTP/1.1\r\nHost: huggingface.co\r\nContent-Length: 3\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "space before colon": b"GET http://huggingface.co/ HTTP/1.1\r\nHost : huggingface.co\r\n\r\n",
    "folded": b"GET http://huggingface.co/ HTTP/1.1\r\nHost: huggingface.co\r\nA: b\r\n c\r\n\r\n",
    "control character": b"GET http://huggingface.co/ HTTP/1.1\r\nHost: huggingface.co\r\nA: \x01\r\n\r\n",
    "not http": b"nonsense\r\n\r\n",
    "no port": b"CONNECT huggingface.co HTTP/1.1\r\nHost: huggingface.co\r\n\r\n",
}


@pytest.mark.fault("R24")
@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_malformed_is_refused_with_a_reason(proxy: Hubgate, hub: TestHub, name: str) -> None:
    said = proxy.said(MALFORMED[name])
    head, _, body = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 "), said
    assert json.loads(body)["error"]
    assert hub.requests() == []


@pytest.mark.parametrize(
    ("path", "host", "status"),
    [("/acme/tiny/resolve/main/config.json", "cdn-lfs.hf.co", 421), ("/a b", "huggingface.co", 400)],
)
def test_inside_a_tunnel(proxy: Hubgate, hub: TestHub, path: str, host: str, status: int) -> None:
    connection = open_tunnel(proxy.port, proxy.ca / "ca.pem", "huggingface.co")
    connection.connect()
    connection.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    said = everything(connection.sock)
    connection.close()
    assert int(said[9:12]) == status, said
    assert hub.requests() == []


def handshake(proxy: Hubgate, target: str, sni: str, roots: Path) -> ssl.SSLSocket:
    """TLS with the name `sni` inside a tunnel to `target`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(roots)
    connection = open_tunnel(proxy.port, roots, target)
    plain = connection._create_connection(("127.0.0.1", proxy.port), 60)  # type: ignore[attr-defined]
    plain.sendall(f"CONNECT {target}:443 HTTP/1.1\r\nHost: {target}:443\r\n\r\n".encode())
    while not plain.recv(1, 2) or b"\r\n\r\n" not in plain.recv(4096, 2):
        pass
    assert plain.recv(4096).startswith(b"HTTP/1.1 200")
    return context.wrap_socket(plain, server_hostname=sni)


def test_another_name_in_the_hello_is_misdirected(proxy: Hubgate, hub: TestHub) -> None:
    with handshake(proxy, "huggingface.co", "cdn-lfs.hf.co", proxy.ca / "ca.pem") as stream:
        stream.sendall(b"GET / HTTP/1.1\r\nHost: huggingface.co\r\nConnection: close\r\n\r\n")
        assert everything(stream).startswith(b"HTTP/1.1 421")
    assert hub.requests() == []


def test_another_host_is_tunnelled_untouched(proxy: Hubgate, hub: TestHub) -> None:
    hub.script("/x", Scripted(200, {"Cache-Control": "max-age=60"}, "body"))
    for _ in range(2):
        with handshake(proxy, "plain.example", "plain.example", hub.ca_pem) as stream:
            stream.sendall(b"GET /x HTTP/1.1\r\nHost: plain.example\r\nConnection: close\r\n\r\n")
            said = everything(stream)
        assert said.endswith(b"\r\n\r\nbody") and b"hubgate" not in said
    assert len(hub.requests(path="/x")) == 2


def test_a_hubs_name_in_the_tunnel_to_another_host_is_turned_away(proxy: Hubgate, hub: TestHub) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(proxy, "plain.example", "huggingface.co", hub.ca_pem)
    assert hub.requests() == []


def test_tunnels_may_be_denied(hub: TestHub, start: Callable[..., Hubgate]) -> None:
    proxy = start(tunnel="deny")
    said = proxy.said(b"CONNECT plain.example:443 HTTP/1.1\r\nHost: plain.example:443\r\nConnection: close\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 403 ") and b"tunnel: deny" in said
    assert proxy.ask(f"{HUB}/acme/tiny/resolve/main/config.json").status == 200


@pytest.mark.parametrize("place", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "[::1]", "[fd00::1]", "192.168.1.1"])
def test_no_tunnel_to_a_private_address(proxy: Hubgate, place: str) -> None:
    said = proxy.said(f"CONNECT {place}:22 HTTP/1.1\r\nHost: {place}:22\r\nConnection: close\r\n\r\n".encode())
    assert said.startswith(b"HTTP/1.1 403 "), said
