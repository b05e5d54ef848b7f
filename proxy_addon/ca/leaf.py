"""The certificates that the proxy shows to clients: one for all usual names, others minted as they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cachetools import LRUCache
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ..hub import classify

MINTED = 256  # SNI comes from the client: what it can make us keep is bounded
HUB_DOMAINS = classify.DOMAINS
HUB_NAMES = (
    *HUB_DOMAINS,
    *(f"*.{domain}" for domain in HUB_DOMAINS),
    "*.cdn.hf.co",
    "*.aws.cdn.hf.co",
    "*.gcp.cdn.hf.co",
    "*.us.gcp.cdn.hf.co",
    "*.xethub.hf.co",
    "*.xethub-eu.hf.co",
)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Leaf:
    """`eq` is identity, so that a TLS context can be cached by it. `above`: what is sent after the issuer."""

    key: EllipticCurvePrivateKey
    certificate: x509.Certificate
    issuer: x509.Certificate
    above: tuple[x509.Certificate, ...] = ()

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """What stands between the leaf and a root, as it is sent."""
        return (self.issuer, *self.above)

    @property
    def chain_pem(self) -> bytes:
        return b"".join(each.public_bytes(Encoding.PEM) for each in (self.certificate, *self.chain))

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


class Leaves:
    """`choose` gives a leaf for a server name; what the CA may not name gets the usual leaf, which will not match."""

    def __init__(
        self, names: tuple[str, ...], domains: frozenset[str], mint: Callable[[tuple[str, ...]], Leaf]
    ) -> None:
        self._names, self._domains, self._mint = frozenset(names), domains, mint
        self._usual = mint(names)
        self._minted: LRUCache[str, Leaf] = LRUCache(MINTED)

    def choose(self, sni: str | None) -> Leaf:
        name = plain(sni)
        if named(name, self._names) or not within(name, self._domains):
            return self._usual
        found = self._minted.get(name)
        if found is None:
            found = self._minted[name] = self._mint((name,))
        return found


def plain(sni: str | None) -> str:
    return (sni or "").lower().rstrip(".")


def named(name: str, names: frozenset[str]) -> bool:
    """Whether a certificate with `names` is good for `name`; a wildcard stands for one label (RFC 6125 §6.4.3)."""
    return name in names or f"*.{name.partition('.')[2]}" in names


def within(name: str, domains: frozenset[str]) -> bool:
    """Whether `name` is one of `domains` or below one, label by label."""
    labels = name.split(".")
    return any(".".join(labels[n:]) in domains for n in range(len(labels)))
