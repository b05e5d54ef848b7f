"""An intermediate with its key: what signs leaves, and how it lies in a file.

The file is the key, the intermediate, the root, and in a successor also the bridge: the root before it, as this root
certifies it. By that bridge a client which trusts the new root alone believes what the old intermediate signed, so
leaves of the old one are good for all while a rotation lasts. The old root's key is not needed for it, and is gone.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from ..core.errors import ConfigError
from . import certificates, permissions
from .leaf import Leaf

RENEW = "run `hubgate ca renew`, then have every client trust the new one"


@dataclass(frozen=True, slots=True)
class Issuer:
    key: EllipticCurvePrivateKey
    intermediate: x509.Certificate
    root: x509.Certificate
    bridge: x509.Certificate | None = None

    @classmethod
    def make(cls, domains: Iterable[str], now: datetime, before: Issuer | None = None) -> Self:
        """A new root and intermediate for `domains`, bridged to `before`. The root's key does not leave this call."""
        domains = frozenset(domains)
        root_key, key = certificates.new_key(), certificates.new_key()
        root = certificates.root(root_key, domains, now)
        bridge = certificates.bridge(before.root, root, root_key, now) if before else None
        return cls(key, certificates.intermediate(key, root, root_key, domains, now), root, bridge)

    @classmethod
    def read(cls, file: Path) -> Self:
        """Raises ConfigError when it is too open, damaged, or not constrained; OSError when it cannot be read."""
        permissions.check_key(file, "renew")
        data = file.read_bytes()
        try:
            key = load_pem_private_key(data, None)
            intermediate, root, *bridges = x509.load_pem_x509_certificates(data)
            if not isinstance(key, EllipticCurvePrivateKey):
                raise ValueError("the key is not EC")
            if key.public_key() != intermediate.public_key():
                raise ValueError("the key is not the intermediate's")
            intermediate.verify_directly_issued_by(root)
            root.verify_directly_issued_by(root)
            for bridge in bridges:
                bridge.verify_directly_issued_by(root)
        except Exception as error:  # whatever the parser thinks of a damaged file, the way out is the same
            raise ConfigError(f"{file}: this is not a CA that hubgate made ({error}); {RENEW}") from None
        domains = certificates.permitted(root)
        if not domains or domains != certificates.permitted(intermediate):
            raise ConfigError(f"{file}: this CA could sign for any name in the world; {RENEW}")
        return cls(key, intermediate, root, *bridges[:1])

    @property
    def domains(self) -> frozenset[str]:
        return certificates.permitted(self.root)

    @property
    def ends(self) -> datetime:
        return self.root.not_valid_after_utc

    def mint(self, names: tuple[str, ...], now: datetime, above: tuple[x509.Certificate, ...] = ()) -> Leaf:
        """A leaf with a key of its own."""
        key = certificates.new_key()
        leaf = certificates.leaf(key, self.intermediate, self.key, names, now)
        return Leaf(key, leaf, self.intermediate, above)

    def write(self, file: Path) -> None:
        """Comes to exist whole or not at all. Raises FileExistsError when another process was first."""
        parts = [self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())]
        certified = filter(None, (self.intermediate, self.root, self.bridge))
        parts += [certificate.public_bytes(Encoding.PEM) for certificate in certified]
        fd, name = tempfile.mkstemp(dir=file.parent, prefix=".authority.")  # mode 0600 from the start
        try:
            with os.fdopen(fd, "wb") as stream:
                stream.write(b"".join(parts))
                stream.flush()
                os.fsync(fd)
            os.link(name, file)
        finally:
            Path(name).unlink()
