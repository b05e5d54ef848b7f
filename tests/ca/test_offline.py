"""A server that has a leaf and no CA."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from proxy_addon.ca import HUB_DOMAINS, Authority, Offline, opened
from proxy_addon.core.errors import ConfigError
from tests.ca.verifiers import VERIFIERS, shown

NOW = datetime.now(UTC)


class Issued:
    """Files as `hubgate ca issue` writes them, and where the server keeps what it hands out."""

    def __init__(self, folder: Path, *hosts: str) -> None:
        self.authority = Authority.open(folder / "elsewhere", hosts)
        self.cert, self.key, self.ca = folder / "leaf.pem", folder / "leaf.key", folder / "ca"
        self.write(self.authority)

    def write(self, authority: Authority, newest: bool = False) -> None:
        leaf = authority.issue(newest=newest)
        self.cert.write_bytes(leaf.chain_pem + authority.public_pem())
        self.key.write_bytes(leaf.key_pem)
        self.key.chmod(0o600)

    def open(self, *hosts: str, **more) -> Offline:
        return Offline.open(self.ca, self.cert, self.key, hosts, **more)


@pytest.fixture
def issued(tmp_path: Path) -> Issued:
    return Issued(tmp_path, "pypi.example", "*.wheels.example")


@pytest.mark.parametrize("client", VERIFIERS)
def test_clients_of_the_ca_accept_its_leaf(tmp_path: Path, issued: Issued, client: str) -> None:
    server = issued.open("pypi.example", "*.wheels.example")
    for name in ("huggingface.co", "us-east1.us.gcp.cdn.hf.co", "pypi.example"):
        with shown(server.leaf(name), tmp_path / name) as port:
            assert VERIFIERS[client](name, port, issued.ca / "ca.pem") == ""


def test_the_server_has_no_key_of_the_ca(issued: Issued) -> None:
    server = issued.open()
    server.combined_bundle()
    assert sorted(os.listdir(issued.ca)) == ["bundle.pem", "ca.pem"]
    assert all(b"PRIVATE" not in file.read_bytes() for file in issued.ca.iterdir())
    assert server.leaf("a.b.c.hf.co") is server.leaf()
    assert server.fingerprint() == issued.authority.fingerprint()
    assert server.public_pem() == issued.authority.public_pem()


def test_which_it_is_follows_from_what_is_named(tmp_path: Path, issued: Issued) -> None:
    assert isinstance(opened(issued.ca, [], issued.cert, issued.key), Offline)
    assert isinstance(opened(tmp_path / "own", [], None, None), Authority)


def test_in_a_rotation_a_leaf_serves_both_sides(tmp_path: Path) -> None:
    Authority.open(tmp_path / "elsewhere", clock=lambda: NOW - timedelta(days=180))
    rotated = Authority.rotate(tmp_path / "elsewhere")
    issued = Issued(tmp_path)
    server = issued.open()
    assert server.roots == rotated.roots and len(server.roots) == 2
    for n, root in enumerate(rotated.roots):
        ca = tmp_path / f"{n}.pem"
        ca.write_bytes(root.public_bytes(Encoding.PEM))
        with shown(server.leaf(), tmp_path / "server") as port:
            assert [verify("hf.co", port, ca) for verify in VERIFIERS.values()] == [""] * len(VERIFIERS)
    issued.write(rotated, newest=True)
    assert issued.open().expires > server.expires


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_key_that_others_may_read_is_refused(issued: Issued, mode: int) -> None:
    issued.key.chmod(mode)
    with pytest.raises(ConfigError, match=r"chmod 600 .*leaf\.key"):
        issued.open()


def test_a_directory_that_others_may_write_is_refused(issued: Issued) -> None:
    issued.ca.mkdir()
    issued.ca.chmod(0o775)
    with pytest.raises(ConfigError, match="chmod 755"):
        issued.open()


def test_a_ca_left_on_the_server_is_refused(issued: Issued) -> None:
    Authority.open(issued.ca)
    issued.ca.chmod(0o700)
    with pytest.raises(ConfigError, match=r"authority\.pem: a CA's key"):
        issued.open()


def test_a_leaf_that_has_ended_or_names_too_little_is_refused(issued: Issued) -> None:
    with pytest.raises(ConfigError, match=r"does not name a\.example, \*\.b\.example; .*hubgate ca issue"):
        issued.open("a.example", "pypi.example", "*.b.example", "x.wheels.example")
    with pytest.raises(ConfigError, match=r"not a leaf with its chain.*has not ended"):
        issued.open(now=issued.authority.expires)
    pem, root = issued.cert.read_bytes(), issued.authority.public_pem()
    issued.cert.write_bytes(pem.replace(root, Authority.open(issued.ca.parent / "stranger").public_pem()))
    with pytest.raises(ConfigError, match="nothing here has issued CN=hubgate issuer"):
        issued.open()


def test_a_leaf_ends_before_the_root_that_outlives_it(tmp_path: Path) -> None:
    Authority.open(tmp_path / "elsewhere", clock=lambda: NOW - timedelta(days=180))
    issued = Issued(tmp_path)
    issued.write(Authority.rotate(tmp_path / "elsewhere"))
    server = issued.open()
    with pytest.raises(ConfigError, match=r"this leaf ended on .*hubgate ca issue"):
        issued.open(now=server.expires)
    assert "hubgate ca issue" in server.announced(server.expires - timedelta(days=3))[-1]


def test_files_that_do_not_belong_together_are_refused(issued: Issued) -> None:
    whole, key = issued.cert.read_bytes(), issued.key.read_bytes()
    other = rsa.generate_private_key(65537, 2048)
    rsa_key = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for pem, secret, why in (
        (whole, issued.authority.leaf().key_pem, "leaf.key is not its key"),
        (whole, rsa_key, "the key is not EC"),
        (whole, b"", "not a leaf with its chain"),
        (b"", key, "not a leaf with its chain"),
        (issued.authority.issue().chain_pem, key, "not a leaf with its chain"),
        (whole.partition(b"-----END CERTIFICATE-----\n")[0] + b"-----END CERTIFICATE-----\n", key, "are needed"),
    ):
        issued.cert.write_bytes(pem)
        issued.key.write_bytes(secret)
        with pytest.raises(ConfigError, match=why) as told:
            issued.open()
        assert "PRIVATE" not in str(told.value)
    assert not issued.ca.exists()


def test_files_that_are_not_there_are_named(issued: Issued) -> None:
    issued.key.unlink()
    with pytest.raises(ConfigError, match=r"leaf\.key: No such file.*hubgate ca issue"):
        issued.open()


def test_a_leaf_is_issued_only_for_what_the_ca_may_name(tmp_path: Path) -> None:
    authority = Authority.open(tmp_path)
    with pytest.raises(ConfigError, match=r"does not cover bank\.example; name them in `hubs\.others`"):
        authority.issue(["bank.example", "x.hf.co"])
    newer = Authority.rotate(tmp_path, ["bank.example"])
    with pytest.raises(ConfigError, match=r"does not cover bank\.example; take --new"):
        newer.issue()
    assert newer.issue(newest=True).issuer == newer.issuers[1].intermediate


def test_without_a_ca_nothing_is_issued(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="hubgate ca init"):
        Authority.open(tmp_path / "none", make=False)
    assert set(HUB_DOMAINS) <= Authority.open(tmp_path / "none").domains
