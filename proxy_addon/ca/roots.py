"""The public roots: what certifi ships, what the system trusts, and what the operator adds.

The environment is not asked: a proxy started from a shell that uses the proxy has SSL_CERT_FILE set to the proxy's own
bundle, and would come to trust itself as an upstream.
"""

from __future__ import annotations

import os
import re
import ssl
import tempfile
from collections.abc import Iterable
from pathlib import Path

import certifi

_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----\s.+?-----END CERTIFICATE-----", re.DOTALL)
_SYSTEM = (
    Path(ssl.get_default_verify_paths().openssl_cafile),
    Path("/etc/ssl/certs/ca-certificates.crt"),
    Path("/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"),
    Path("/etc/ssl/ca-bundle.pem"),
    Path("/etc/ssl/cert.pem"),
)


def public_roots(extra: Iterable[bytes] = (), system: Iterable[Path] = _SYSTEM) -> bytes:
    """One PEM bundle without repetitions; `extra` are PEM texts. System files that are not there are left out."""
    texts = [Path(certifi.where()).read_bytes()]
    for file in system:
        try:
            texts.append(file.read_bytes())
        except OSError:
            continue
    blocks: dict[bytes, bytes] = {}
    for text in (*texts, *extra):
        for block in _BLOCK.findall(text):
            blocks.setdefault(b"".join(block.split()), block)
    return b"\n".join(blocks.values()) + b"\n"


def write_atomically(file: Path, data: bytes, mode: int) -> None:
    """Readers see the old file or the new one, whole. Raises OSError."""
    fd, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(fd, "wb") as stream:
            os.fchmod(fd, mode)
            stream.write(data)
            stream.flush()
            os.fsync(fd)
        os.replace(name, file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
