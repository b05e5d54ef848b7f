"""Our leaves before the verifiers that clients use: Python's ssl and curl (OpenSSL)."""

import contextlib
import socket
import ssl
import subprocess
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from mitmproxy import connection, options, tls
from mitmproxy.addonmanager import Loader
from mitmproxy.addons.tlsconfig import TlsConfig
from mitmproxy.proxy import context as proxy_context
from mitmproxy.test import taddons
from OpenSSL import SSL

from proxy_addon.ca import Authority, Leaf, certificates
from proxy_addon.tls import Tls, upstream_roots


@pytest.fixture
def authority(tmp_path):
    return Authority.open(tmp_path / "ca", ["pypi.example"])


def stray_leaf(authority: Authority, name: str) -> Leaf:
    """What a thief of `authority.pem` would make."""
    issuer_key = load_pem_private_key((authority.directory / "authority.pem").read_bytes(), None)
    issuer, key = authority.leaf().issuer, certificates.new_key()
    return Leaf(key, certificates.leaf(key, issuer, issuer_key, [name], datetime.now(UTC)), issuer)


def server_connection(addon: Tls, sni: str | None, **client) -> SSL.Connection | None:
    peer = connection.Client(peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2), timestamp_start=0, sni=sni, **client)
    start = tls.TlsData(peer, proxy_context.Context(peer, options.Options()))
    addon.tls_start_client(start)
    return start.ssl_conn


def handshake(server: SSL.Connection, client: ssl.SSLContext, name: str) -> ssl.SSLObject:
    """Both ends in memory; raises what the client raises."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    end = client.wrap_bio(to_client, to_server, server_hostname=name)
    for _ in range(10):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            server.bio_write(to_server.read())
            with contextlib.suppress(SSL.WantReadError):
                server.do_handshake()
            to_client.write(server.bio_read(1 << 20))
        else:
            return end
    raise AssertionError("no end to the handshake")


def client_context(authority: Authority, *alpn: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=authority.public_pem().decode())
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


@pytest.mark.parametrize(
    "name",
    ["huggingface.co", "cas-server.xethub.hf.co", "us-east1.us.gcp.cdn.hf.co", "a.b.c.d.hf.co", "pypi.example",
     "www.modelscope.cn"],
)  # fmt: skip
def test_hub_names_are_accepted(authority, name):
    end = handshake(server_connection(Tls(authority), name), client_context(authority), name)
    assert end.version() == "TLSv1.3"


@pytest.mark.parametrize("name", ["bank.example", "huggingface.co.evil.example", "127.0.0.1"])
def test_other_names_are_refused(authority, name):
    with pytest.raises(ssl.SSLCertVerificationError, match=r"[Mm]ismatch|not valid for"):
        handshake(server_connection(Tls(authority), name), client_context(authority), name)


def test_the_constraint_holds_against_a_stolen_key(authority):
    stray = stray_leaf(authority, "bank.example")
    server = SSL.Connection(Tls(authority).context(stray, (b"http/1.1",)))
    server.set_accept_state()
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        handshake(server, client_context(authority), "bank.example")


@pytest.mark.parametrize(
    ("http2", "offered", "chosen"),
    [
        (True, ["h2", "http/1.1"], "h2"),
        (True, ["http/1.1", "h2"], "http/1.1"),
        (False, ["h2", "http/1.1"], "http/1.1"),
        (False, ["h2"], None),
        (True, [], None),
        (True, ["spdy/1"], None),
    ],
)
def test_alpn(authority, http2, offered, chosen):
    server = server_connection(Tls(authority, http2=http2), "hf.co")
    assert handshake(server, client_context(authority, *offered), "hf.co").selected_alpn_protocol() == chosen


def test_old_versions_are_refused(authority):
    client = client_context(authority)
    client.minimum_version = ssl.TLSVersion.TLSv1_2
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    assert handshake(server_connection(Tls(authority), "hf.co"), client, "hf.co").version() == "TLSv1.2"
    old = server_connection(Tls(authority), "hf.co")
    assert old.get_context() is not None
    client = SSL.Context(SSL.TLS_CLIENT_METHOD)
    client.set_cipher_list(b"ALL:@SECLEVEL=0")
    client.set_max_proto_version(SSL.TLS1_1_VERSION)
    hello = SSL.Connection(client)
    hello.set_connect_state()
    with pytest.raises(SSL.WantReadError):
        hello.do_handshake()
    old.bio_write(hello.bio_read(1 << 16))
    with pytest.raises(SSL.Error):
        old.do_handshake()


def test_connections_share_one_context(authority):
    addon = Tls(authority)
    one, two = (server_connection(addon, "hf.co") for _ in range(2))
    assert one.get_context() is two.get_context()


def test_what_already_has_a_connection_is_left_alone(authority):
    peer = connection.Client(peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2), timestamp_start=0)
    taken = SSL.Connection(SSL.Context(SSL.TLS_SERVER_METHOD))
    start = tls.TlsData(peer, proxy_context.Context(peer, options.Options()), taken)
    Tls(authority).tls_start_client(start)
    assert start.ssl_conn is taken


def test_as_an_addon_it_makes_no_other_ca_and_verifies_upstream(authority, tmp_path):
    roots = upstream_roots(tmp_path, authority.directory / "ca.pem")
    with taddons.context(loadcore=False) as tctx:
        tctx.options.update(confdir=str(tmp_path / "conf"))
        addon = Tls(authority, upstream_roots=roots)
        tctx.master.addons.add(addon)
        assert tctx.options.ssl_verify_upstream_trusted_ca == str(roots)
        peer = connection.Client(peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2), timestamp_start=0)
        start = tls.TlsData(
            connection.Server(address=("hf.co", 443), sni="hf.co"), proxy_context.Context(peer, tctx.options)
        )
        addon.tls_start_server(start)
        assert start.ssl_conn.get_context().get_verify_mode() == SSL.VERIFY_PEER
    assert not (tmp_path / "conf").exists()
    assert authority.public_pem().split(b"\n")[3] in roots.read_bytes()


def test_the_options_stand_beside_mitmproxys_own(authority, caplog):
    with taddons.context(loadcore=False) as tctx:
        loader = Loader(tctx.master)
        TlsConfig().load(loader)
        tctx.options.update(ssl_verify_upstream_trusted_ca="/chosen/by/the/operator")
        Tls(authority, upstream_roots=Path("/ours")).load(loader)
        assert tctx.options.ssl_verify_upstream_trusted_ca == "/chosen/by/the/operator"
    assert "Over-riding" not in caplog.text


@pytest.mark.parametrize(("name", "exit_code"), [("huggingface.co", 0), ("bank.example", 60)])
def test_curl_agrees(authority, tmp_path, name, exit_code):
    leaf = authority.leaf() if exit_code == 0 else stray_leaf(authority, name)
    (tmp_path / "leaf.pem").write_bytes(leaf.key_pem + leaf.chain_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "leaf.pem")

    def serve(listener: socket.socket) -> None:
        raw, _ = listener.accept()
        try:
            with context.wrap_socket(raw, server_side=True) as peer:
                peer.recv(4096)
                peer.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        except OSError:
            raw.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        port = listener.getsockname()[1]
        command = [
            "curl",
            "-sS",
            "-q",
            "--noproxy",
            "*",
            "--max-time",
            "10",
            "--cacert",
            authority.directory / "ca.pem",
        ]
        command += ["--connect-to", f"{name}:443:127.0.0.1:{port}", f"https://{name}/"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        thread.join(20)
    assert done.returncode == exit_code, done.stderr
