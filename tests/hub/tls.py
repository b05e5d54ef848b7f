"""The hub's own CA, and a certificate for whatever name a client asks for (SNI)."""

from __future__ import annotations

import ssl
import tempfile
from functools import cached_property
from pathlib import Path

import trustme

PLAIN_NAMES = ("localhost", "127.0.0.1")


class Authority:
    def __init__(self, folder: Path | None = None) -> None:
        self._temp = None if folder else tempfile.TemporaryDirectory(prefix="hub-ca-")
        self.folder = folder or Path(self._temp.name if self._temp else "")
        self._ca = trustme.CA()
        self.ca_pem = self.folder / "hub-ca.pem"
        self._ca.cert_pem.write_to_path(self.ca_pem)
        self._contexts: dict[str, ssl.SSLContext] = {}

    @property
    def pem(self) -> bytes:
        return self._ca.cert_pem.bytes()

    def server_context(self) -> ssl.SSLContext:
        context = self._context(PLAIN_NAMES)
        context.sni_callback = self._choose
        return context

    @cached_property
    def _client_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nothing else, and so is quickly made
        self._ca.configure_trust(context)
        return context

    def client_context(self) -> ssl.SSLContext:
        return self._client_context

    def _choose(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        if name:
            host = name.lower()
            if host not in self._contexts:
                self._contexts[host] = self._context((host,))
            connection.context = self._contexts[host]

    def _context(self, names: tuple[str, ...]) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.set_alpn_protocols(["http/1.1"])
        self._ca.issue_cert(*names).configure_cert(context)
        return context
