import os
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from proxy_addon.ca import HUB_DOMAINS, Authority, certificates
from proxy_addon.core.errors import ConfigError

NOW = datetime.now(UTC)


def extension(certificate, kind):
    return certificate.extensions.get_extension_for_class(kind)


def test_first_start_makes_a_constrained_ca(tmp_path):
    authority = Authority.open(tmp_path / "ca", ["pypi.example", "*.wheels.example"])
    assert os.stat(tmp_path / "ca").st_mode & 0o777 == 0o700
    assert os.stat(tmp_path / "ca/authority.pem").st_mode & 0o777 == 0o600
    assert sorted(os.listdir(tmp_path / "ca")) == ["authority.pem", "ca.pem"]
    assert b"PRIVATE" not in (tmp_path / "ca/ca.pem").read_bytes()
    root, intermediate = authority.root, authority.leaf().issuer
    for certificate, below in ((root, 2), (intermediate, 0)):
        constraints = extension(certificate, x509.NameConstraints)
        assert constraints.critical
        assert {n.value for n in constraints.value.permitted_subtrees} == {
            *HUB_DOMAINS, "pypi.example", "wheels.example",
        }  # fmt: skip
        assert {str(n.value) for n in constraints.value.excluded_subtrees} == {"0.0.0.0/0", "::/0"}
        basic = extension(certificate, x509.BasicConstraints)
        assert basic.critical and basic.value.ca and basic.value.path_length == below
        usage = extension(certificate, x509.KeyUsage)
        assert usage.critical and usage.value.key_cert_sign and usage.value.crl_sign
        assert not usage.value.digital_signature
        assert certificate.not_valid_after_utc - NOW < timedelta(days=366)
    key_id = extension(root, x509.SubjectKeyIdentifier).value.digest
    assert extension(intermediate, x509.AuthorityKeyIdentifier).value.key_identifier == key_id


def test_the_roots_key_is_nowhere_on_disk(tmp_path):
    root = Authority.open(tmp_path).root
    data = (tmp_path / "authority.pem").read_bytes()
    assert data.count(b"PRIVATE KEY-----") == 2
    assert load_pem_private_key(data, None).public_key() != root.public_key()


def test_later_starts_use_the_same_ca(tmp_path):
    first, again = Authority.open(tmp_path), Authority.open(tmp_path)
    assert first.fingerprint() == again.fingerprint()
    assert first.public_pem() == again.public_pem() == (tmp_path / "ca.pem").read_bytes()


def test_the_fingerprint_is_the_one_that_openssl_prints(tmp_path):
    authority = Authority.open(tmp_path)
    shown = subprocess.run(
        ["openssl", "x509", "-in", tmp_path / "ca.pem", "-noout", "-fingerprint", "-sha256"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert shown.stdout.strip().partition("=")[2] == authority.fingerprint()


def test_a_lost_public_file_comes_back(tmp_path):
    authority = Authority.open(tmp_path)
    (tmp_path / "ca.pem").unlink()
    Authority.open(tmp_path)
    assert (tmp_path / "ca.pem").read_bytes() == authority.public_pem()


def test_the_usual_leaf_names_every_hub_host(tmp_path):
    leaf = Authority.open(tmp_path, ["pypi.example"]).leaf()
    names = extension(leaf.certificate, x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    assert {"huggingface.co", "*.huggingface.co", "*.us.gcp.cdn.hf.co", "*.xethub.hf.co", "pypi.example"} <= set(names)
    assert list(extension(leaf.certificate, x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert not extension(leaf.certificate, x509.BasicConstraints).value.ca
    life = leaf.certificate.not_valid_after_utc - leaf.certificate.not_valid_before_utc
    assert life <= timedelta(days=397)
    assert leaf.certificate.not_valid_after_utc <= leaf.issuer.not_valid_after_utc
    assert load_pem_private_key(leaf.key_pem, None).public_key() == leaf.certificate.public_key()
    assert leaf.chain_pem.count(b"BEGIN CERTIFICATE") == 2


def test_a_leaf_is_minted_once_for_a_deeper_hub_name(tmp_path):
    authority = Authority.open(tmp_path)
    usual = authority.leaf()
    for name in ("huggingface.co", "cdn-lfs.hf.co", "us-east1.us.gcp.cdn.hf.co", "HF.co."):
        assert authority.leaf(name) is usual
    deep = authority.leaf("a.b.c.hf.co")
    assert deep is not usual and deep is authority.leaf("A.B.C.hf.co")
    assert "a.b.c.hf.co" in str(extension(deep.certificate, x509.SubjectAlternativeName).value)


@pytest.mark.parametrize("name", ["evil.example", "nothf.co", "hf.co.evil.example", "127.0.0.1", "", None])
def test_nothing_is_minted_beyond_the_constraints(tmp_path, name):
    authority = Authority.open(tmp_path)
    assert authority.leaf(name) is authority.leaf()


def test_what_clients_can_make_us_keep_is_bounded(tmp_path):
    authority = Authority.open(tmp_path)
    first = authority.leaf("x.0.hf.co")
    for n in range(300):
        authority.leaf(f"x.{n}.hf.co")
    assert authority.leaf("x.0.hf.co") is not first


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_that_others_may_read_is_refused(tmp_path, mode):
    Authority.open(tmp_path)
    (tmp_path / "authority.pem").chmod(mode)
    with pytest.raises(ConfigError, match="chmod 600"):
        Authority.open(tmp_path)


def test_a_directory_that_others_may_write_is_refused(tmp_path):
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigError, match="chmod 700"):
        Authority.open(tmp_path)
    tmp_path.chmod(0o700)


def test_an_expired_ca_is_refused_and_renewal_makes_another(tmp_path):
    old = Authority.open(tmp_path)
    with pytest.raises(ConfigError, match=r"ended on .*hubgate ca renew"):
        Authority.open(tmp_path, clock=lambda: NOW + timedelta(days=366))
    new = Authority.renew(tmp_path)
    assert new.fingerprint() != old.fingerprint()
    assert (tmp_path / "ca.pem").read_bytes() == new.public_pem()
    assert os.stat(tmp_path / "authority.pem.old").st_mode & 0o077 == 0


def test_a_ca_that_does_not_cover_a_configured_host_is_refused(tmp_path):
    Authority.open(tmp_path, ["a.example"])
    Authority.open(tmp_path, ["b.a.example", "*.a.example"])
    with pytest.raises(ConfigError, match=r"does not cover \*\.b\.example, xa\.example; run"):
        Authority.open(tmp_path, ["a.example", "*.b.example", "xa.example"])


@pytest.mark.parametrize("damage", [b"", b"junk", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_damaged_file_is_refused(tmp_path, damage):
    Authority.open(tmp_path)
    (tmp_path / "authority.pem").write_bytes(damage)
    with pytest.raises(ConfigError, match=r"not a CA that hubgate made.*renew"):
        Authority.open(tmp_path)


def test_an_unconstrained_ca_is_refused(tmp_path):
    Authority.open(tmp_path)
    file = tmp_path / "authority.pem"
    root_key, key = certificates.new_key(), certificates.new_key()
    root = certificates.root(root_key, ["hf.co"], NOW)
    wide = certificates.intermediate(key, root, root_key, ["hf.co", "example"], NOW)
    file.write_bytes(_pem(key, wide, root))
    with pytest.raises(ConfigError, match="any name in the world"):
        Authority.open(tmp_path)


def test_a_key_of_another_ca_is_refused(tmp_path):
    authority = Authority.open(tmp_path)
    (tmp_path / "authority.pem").write_bytes(_pem(certificates.new_key(), authority.leaf().issuer, authority.root))
    with pytest.raises(ConfigError, match="not the intermediate's"):
        Authority.open(tmp_path)


def test_a_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "plain").write_text("")
    with pytest.raises(ConfigError, match=r"ca\.dir"):
        Authority.open(tmp_path / "plain/ca")


def _pem(key, *certificates_):
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem + b"".join(c.public_bytes(Encoding.PEM) for c in certificates_)
