"""What people are told and given: certificates, never a key.

`ca.pem` holds the roots that clients are to trust, the newest first (two while a rotation lasts); `bundle.pem` is the
public roots plus those. Both are rewritten whenever they no longer say what is true.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from .leaf import Leaf
from .roots import public_roots, write_atomically

SOON = timedelta(days=30)


class Handout(ABC):
    """`roots` are those that have not ended, the newest first; there is always one."""

    def __init__(self, directory: Path, roots: tuple[x509.Certificate, ...]) -> None:
        self.directory, self.roots = directory, roots

    @abstractmethod
    def leaf(self, sni: str | None = None) -> Leaf:
        """The certificate to show to a client that asked for `sni`."""

    @property
    @abstractmethod
    def expires(self) -> datetime:
        """When clients will refuse this proxy unless somebody does something before."""

    @property
    @abstractmethod
    def remedy(self) -> str:
        """What has to be done before that, as a command."""

    @property
    @abstractmethod
    def domains(self) -> frozenset[str]:
        """What may be named: domains with all that is below, or single hosts."""

    @property
    def root(self) -> x509.Certificate:
        return self.roots[0]

    def public_pem(self) -> bytes:
        """The roots' certificates: what clients are to trust."""
        return b"".join(root.public_bytes(Encoding.PEM) for root in self.roots)

    def fingerprint(self, root: x509.Certificate | None = None) -> str:
        """SHA-256 of the newest root, or of `root`, as `AB:CD:...`, to be compared by eye."""
        return (root or self.root).fingerprint(hashes.SHA256()).hex(":").upper()

    def announced(self, now: datetime | None = None) -> list[str]:
        """The fingerprints, and what is to be done soon; one line each."""
        lines = [f"CA, SHA-256: {self.fingerprint()}"]
        for old in self.roots[1:]:
            lines.append(f"until {old.not_valid_after_utc:%Y-%m-%d} also: {self.fingerprint(old)}")
        if self.expires - (now or datetime.now(UTC)) < SOON:
            lines.append(f"clients will refuse this proxy from {self.expires:%Y-%m-%d}: {self.remedy}")
        return lines

    def publish(self) -> None:
        """Write `ca.pem`. Raises OSError."""
        _renewed(self.directory / "ca.pem", self.public_pem())

    def combined_bundle(self, extra: Iterable[bytes] = ()) -> Path:
        """Write public roots, `extra` PEM texts and this CA to `bundle.pem`; clients replace their roots by it."""
        return _renewed(self.directory / "bundle.pem", public_roots((*extra, self.public_pem())))

    def bundle_pem(self) -> bytes:
        """The bundle as it was written last, or one with our CA and the public roots."""
        file = self.directory / "bundle.pem"
        return (file if file.exists() else self.combined_bundle()).read_bytes()


def _renewed(file: Path, data: bytes) -> Path:
    if not file.exists() or file.read_bytes() != data:
        write_atomically(file, data, 0o644)
    return file
