"""What clients believe of a leaf that a thief of the key makes: hub names alone, by either constraint alone."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from proxy_addon.ca import HUB_DOMAINS, Leaf, certificates
from tests.ca.verifiers import VERIFIERS, shown, signed_again

NOW = datetime.now(UTC)


def without(certificate: x509.Certificate, signer: EllipticCurvePrivateKey) -> x509.Certificate:
    """The same certificate, signed again, but free to name anything."""
    return signed_again(certificate, signer, lambda told: None if isinstance(told, x509.NameConstraints) else told)


def of_an_address(certificate: x509.Certificate, signer: EllipticCurvePrivateKey, address: str) -> x509.Certificate:
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
    return signed_again(
        certificate, signer, lambda told: names if isinstance(told, x509.SubjectAlternativeName) else told
    )


def made(constrained: str, name: str) -> tuple[x509.Certificate, Leaf]:
    """A root and a leaf for `name`; `constrained` says which of root and intermediate are."""
    root_key, key, leaf_key = (certificates.new_key() for _ in range(3))
    root = certificates.root(root_key, HUB_DOMAINS, NOW)
    intermediate = certificates.intermediate(key, root, root_key, HUB_DOMAINS, NOW)
    root = root if "root" in constrained else without(root, root_key)
    intermediate = intermediate if "intermediate" in constrained else without(intermediate, root_key)
    leaf = certificates.leaf(leaf_key, intermediate, key, [name], NOW)
    leaf = of_an_address(leaf, key, name) if name == "127.0.0.1" else leaf
    return root, Leaf(leaf_key, leaf, intermediate)


def verdict(client: str, constrained: str, name: str, folder: Path) -> str:
    root, leaf = made(constrained, name)
    ca = folder / "root.pem"
    ca.write_bytes(root.public_bytes(Encoding.PEM))
    with shown(leaf, folder) as port:
        return VERIFIERS[client](name, port, ca)


@pytest.mark.parametrize("client", VERIFIERS)
def test_a_hub_name_is_accepted(tmp_path: Path, client: str) -> None:
    assert verdict(client, "root and intermediate", "cdn-lfs.huggingface.co", tmp_path) == ""


@pytest.mark.parametrize("constrained", ["root", "intermediate", "root and intermediate"])
@pytest.mark.parametrize(
    ("name", "why"),
    [("bank.example", "permitted subtree violation"), ("127.0.0.1", "excluded subtree violation")],
)
@pytest.mark.parametrize("client", VERIFIERS)
def test_another_name_and_an_address_are_refused(
    tmp_path: Path, client: str, constrained: str, name: str, why: str
) -> None:
    told = verdict(client, constrained, name, tmp_path)
    assert any(words in told for words in (why, "server certificate verification failed"))  # GnuTLS, in git, says less


@pytest.mark.parametrize("name", ["bank.example", "127.0.0.1"])
@pytest.mark.parametrize("client", VERIFIERS)
def test_it_is_the_constraints_that_refuse(tmp_path: Path, client: str, name: str) -> None:
    """The same leaf below a CA of the usual kind is believed."""
    assert verdict(client, "neither", name, tmp_path) == ""
