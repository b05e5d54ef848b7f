"""A leaf that was issued on another machine: whoever breaks in here gets no CA, and nothing past the leaf's end.

`cert` holds the leaf, what stands between it and a root, and the roots that clients trust (`hubgate ca issue` writes
it so; a company's own CA may do as much). One leaf serves every name, so it must name all that this proxy answers for.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ..core.errors import ConfigError
from . import permissions
from .handout import Handout
from .leaf import HUB_DOMAINS, Leaf, named

_ISSUE = "run `hubgate ca issue` on the machine that has the CA, and put what it wrote here"


class Offline(Handout):
    """Use `open`."""

    def __init__(self, directory: Path, roots: tuple[x509.Certificate, ...], leaf: Leaf) -> None:
        super().__init__(directory, roots)
        self._leaf = leaf

    @classmethod
    def open(
        cls, directory: Path, cert: Path, key: Path, hosts: Iterable[str] = (), *, now: datetime | None = None
    ) -> Self:
        """`directory` gets what clients are to trust. Raises ConfigError when the leaf cannot serve `hosts`."""
        now = now or datetime.now(UTC)
        try:
            permissions.check_key(key, "issue another")
            leaf, roots = _read(cert, key, now)
            if now >= (end := leaf.certificate.not_valid_after_utc):
                raise ConfigError(f"{cert}: this leaf ended on {end:%Y-%m-%d}; {_ISSUE}")
            names = _names(leaf)
            if missing := [host for host in (*HUB_DOMAINS, *hosts) if not named(host, names)]:
                raise ConfigError(f"{cert}: this leaf does not name {', '.join(missing)}; {_ISSUE}")
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            permissions.check_directory(directory, 0o755)
            for file in directory.glob("authority*.pem*"):
                raise ConfigError(f"{file}: a CA's key, where `ca.mode` says offline; move it to the machine it is for")
            found = cls(directory, roots, leaf)
            found.publish()
        except OSError as error:
            own = error.filename is not None and Path(error.filename) in (cert, key)
            fix = _ISSUE if own else "name a file or directory of this user"
            raise ConfigError(f"{error.filename}: {error.strerror}; {fix}") from None
        return found

    @property
    def expires(self) -> datetime:
        return self._leaf.certificate.not_valid_after_utc

    @property
    def remedy(self) -> str:
        return _ISSUE

    @property
    def domains(self) -> frozenset[str]:
        return _names(self._leaf)

    def leaf(self, sni: str | None = None) -> Leaf:
        return self._leaf


def _read(cert: Path, key: Path, now: datetime) -> tuple[Leaf, tuple[x509.Certificate, ...]]:
    pem, secret = cert.read_bytes(), key.read_bytes()
    try:
        leaf, *others = x509.load_pem_x509_certificates(pem)
        found = load_pem_private_key(secret, None)
        if not isinstance(found, EllipticCurvePrivateKey):
            raise ValueError("the key is not EC")
        if found.public_key() != leaf.public_key():
            raise ValueError(f"{key.name} is not its key")
        roots = tuple(each for each in others if each.subject == each.issuer)
        chain = tuple(each for each in others if each.subject != each.issuer)
        alive = tuple(root for root in roots if now < root.not_valid_after_utc)
        if not chain or not alive:
            raise ValueError("the leaf, its issuer and a root that has not ended are needed, in this order")
        for each in (leaf, *chain):
            if not any(_issued(each, by) for by in others):
                raise ValueError(f"nothing here has issued {each.subject.rfc4514_string()}")
    except Exception as error:  # whatever the parser thinks of a damaged file, the way out is the same
        raise ConfigError(f"{cert}: this is not a leaf with its chain ({error}); {_ISSUE}") from None
    return Leaf(found, leaf, chain[0], chain[1:]), alive


def _issued(each: x509.Certificate, by: x509.Certificate) -> bool:
    try:
        each.verify_directly_issued_by(by)
    except Exception:  # of another name, of another kind of key, or a signature that does not hold
        return False
    return True


def _names(leaf: Leaf) -> frozenset[str]:
    try:
        names = leaf.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(names.get_values_for_type(x509.DNSName))
