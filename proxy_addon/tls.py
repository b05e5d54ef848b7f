"""TLS to clients with our own leaves; TLS to upstream as mitmproxy does it.

mitmproxy's own `TlsConfig` builds a context for every connection and keeps an unconstrained ten-year CA in its confdir.
Here one `SSL.Context` per leaf serves all connections (so sessions resume, RFC 8446 §2.2), and no other CA comes to be:
of `TlsConfig` only the options and the upstream half are used. Under `mitmdump` none of this is there: mitmproxy's own
TLS and CA serve the clients.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from mitmproxy import addonmanager, tls
from mitmproxy.addons.tlsconfig import TlsConfig
from mitmproxy.connection import Client
from mitmproxy.proxy.layers import modes
from OpenSSL import SSL

from .ca import Handout, Leaf, public_roots, write_atomically

_HTTP1 = (b"http/1.1", b"http/1.0")
_CIPHERS = b":".join(  # TLS 1.2 only, where the leaf's key must be EC; 1.3 has its own list
    (b"ECDHE-ECDSA-AES128-GCM-SHA256", b"ECDHE-ECDSA-AES256-GCM-SHA384", b"ECDHE-ECDSA-CHACHA20-POLY1305")
)
_OPTIONS = SSL.OP_CIPHER_SERVER_PREFERENCE | SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION
_PRIORITIZE_CHACHA = 1 << 21  # a client that puts ChaCha20 first has no AES instructions


class Tls:
    """A mitmproxy addon. `upstream_roots` is a PEM file that replaces mitmproxy's choice of roots."""

    def __init__(self, authority: Handout, *, http2: bool = True, upstream_roots: Path | None = None) -> None:
        self._authority, self._roots = authority, upstream_roots
        self._alpn = (b"h2", *_HTTP1) if http2 else _HTTP1
        self._contexts: dict[tuple[bytes, ...], WeakKeyDictionary[Leaf, SSL.Context]] = {}
        self._upstream = TlsConfig()

    def load(self, loader: addonmanager.Loader) -> None:
        self._upstream.load(loader)
        options = loader.master.options
        if self._roots is not None and options.ssl_verify_upstream_trusted_ca is None:
            options.update(ssl_verify_upstream_trusted_ca=str(self._roots))

    def tls_start_client(self, start: tls.TlsData) -> None:
        if start.ssl_conn is not None or start.is_dtls or not isinstance(start.conn, Client):
            return
        layers = start.context.layers
        to_proxy = len(layers) == 2 and isinstance(layers[0], modes.HttpProxy)  # CONNECT itself comes inside TLS
        context = self.context(self._authority.leaf(start.conn.sni), _HTTP1 if to_proxy else self._alpn)
        start.ssl_conn = SSL.Connection(context)
        start.ssl_conn.set_accept_state()

    def tls_start_server(self, start: tls.TlsData) -> None:
        self._upstream.tls_start_server(start)

    def context(self, leaf: Leaf, alpn: tuple[bytes, ...]) -> SSL.Context:
        cached = self._contexts.setdefault(alpn, WeakKeyDictionary())
        if (found := cached.get(leaf)) is None:
            found = cached[leaf] = _context(leaf, alpn)
        return found


def upstream_roots(directory: Path, ca_file: Path | None) -> Path:
    """Write the roots for upstream TLS to `directory`: public ones, the system's and `ca_file`. Raises OSError."""
    file = directory / "upstream.pem"
    write_atomically(file, public_roots([ca_file.read_bytes()] if ca_file else ()), 0o644)
    return file


def _context(leaf: Leaf, alpn: tuple[bytes, ...]) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(_OPTIONS | _PRIORITIZE_CHACHA)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_cipher_list(_CIPHERS)
    context.use_certificate(leaf.certificate)
    for above in leaf.chain:
        context.add_extra_chain_cert(above)
    context.use_privatekey(leaf.key)

    def select(_: SSL.Connection, offered: list[bytes]) -> Any:
        return next((name for name in offered if name in alpn), SSL.NO_OVERLAPPING_PROTOCOLS)

    context.set_alpn_select_callback(select)
    return context
