"""What each certificate says: root, bridge, intermediate, leaf (RFC 5280 §4.2). Pure but for the making of keys.

EC P-256 throughout. All end together, because a client that must trust a new root gains nothing from an old leaf.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from ipaddress import ip_network

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_LIFE = timedelta(days=365)
LEAF_LIFE = timedelta(days=396)
SKEW = timedelta(days=1)  # a client whose clock is behind must not see a certificate from the future

_EVERY_ADDRESS = [x509.IPAddress(ip_network("0.0.0.0/0")), x509.IPAddress(ip_network("::/0"))]
_SERVER_ONLY = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])


def new_key() -> EllipticCurvePrivateKey:
    return generate_private_key(SECP256R1())


def root(key: EllipticCurvePrivateKey, domains: Iterable[str], now: datetime) -> x509.Certificate:
    """Self-signed; permits `domains` and everything below each of them."""
    name = _name("hubgate CA", key)
    return _authority(name, name, key.public_key(), key, 2, domains, now, now + CA_LIFE).sign(key, hashes.SHA256())


def bridge(
    old: x509.Certificate, new: x509.Certificate, new_key: EllipticCurvePrivateKey, now: datetime
) -> x509.Certificate:
    """The old root's name and key, certified by the new root, for as long as the old one lasts, and for its domains.

    That addresses are excluded is said above and below it: Java 17 breaks on a chain that says so of both kinds twice.
    """
    subject_key = old.public_key()
    if not isinstance(subject_key, EllipticCurvePublicKey):
        raise ValueError("the old root's key is not EC")
    end = old.not_valid_after_utc
    builder = _authority(old.subject, new.subject, subject_key, new_key, 1, permitted(old), now, end, excluded=None)
    return builder.sign(new_key, hashes.SHA256())


def intermediate(
    key: EllipticCurvePrivateKey,
    issuer: x509.Certificate,
    issuer_key: EllipticCurvePrivateKey,
    domains: Iterable[str],
    now: datetime,
) -> x509.Certificate:
    end = issuer.not_valid_after_utc
    builder = _authority(
        _name("hubgate issuer", key), issuer.subject, key.public_key(), issuer_key, 0, domains, now, end
    )
    return builder.add_extension(_SERVER_ONLY, critical=False).sign(issuer_key, hashes.SHA256())


def leaf(
    key: EllipticCurvePrivateKey,
    issuer: x509.Certificate,
    issuer_key: EllipticCurvePrivateKey,
    names: Sequence[str],
    now: datetime,
) -> x509.Certificate:
    """For TLS servers called `names`; a wildcard stands for one label (RFC 6125 §6.4.3)."""
    end = min(now - SKEW + LEAF_LIFE, issuer.not_valid_after_utc)
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "hubgate")])
    usage = _usage(digital_signature=True)
    return (
        _common(subject, issuer.subject, key.public_key(), issuer_key, now, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(_SERVER_ONLY, critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


def permitted(certificate: x509.Certificate) -> frozenset[str]:
    """The DNS subtrees that a CA certificate may name; empty when it is not constrained at all."""
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(n.value for n in constraints.permitted_subtrees or () if isinstance(n, x509.DNSName))


def _authority(
    subject: x509.Name,
    issuer: x509.Name,
    key: EllipticCurvePublicKey,
    issuer_key: EllipticCurvePrivateKey,
    below: int,
    domains: Iterable[str],
    now: datetime,
    end: datetime,
    excluded: Sequence[x509.IPAddress] | None = _EVERY_ADDRESS,
) -> x509.CertificateBuilder:
    subtrees = [x509.DNSName(domain) for domain in sorted(domains)]
    constraints = x509.NameConstraints(permitted_subtrees=subtrees, excluded_subtrees=excluded)
    return (
        _common(subject, issuer, key, issuer_key, now, end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=below), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(constraints, critical=True)
    )


def _common(
    subject: x509.Name,
    issuer: x509.Name,
    key: EllipticCurvePublicKey,
    issuer_key: EllipticCurvePrivateKey,
    now: datetime,
    end: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )


def _name(what: str, key: EllipticCurvePrivateKey) -> x509.Name:
    """Names differ between CAs, so that two of them in one trust store can be told apart."""
    mark = x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest[:4].hex()
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "hubgate"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{what} {mark}"),
        ]
    )


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
