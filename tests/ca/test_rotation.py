"""From one CA to the next: nobody is refused before the old one has ended."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from proxy_addon.ca import HUB_DOMAINS, Authority, certificates
from proxy_addon.ca.issuer import Issuer
from proxy_addon.core.errors import ConfigError
from tests.ca.verifiers import VERIFIERS, shown, signed_again

NOW = datetime.now(UTC)
HALF = NOW - timedelta(days=182)


def at(days: float):
    return lambda: NOW + timedelta(days=days)


@pytest.fixture
def rotated(tmp_path: Path) -> tuple[x509.Certificate, Authority]:
    """The old root, of a CA half a year old, and the authority in its rotation."""
    old = Authority.open(tmp_path / "ca", clock=lambda: HALF).root
    return old, Authority.rotate(tmp_path / "ca")


@pytest.mark.parametrize("trusts", ["old", "new", "both"])
@pytest.mark.parametrize("client", VERIFIERS)
def test_whoever_trusts_either_root_is_served(tmp_path: Path, rotated, client: str, trusts: str) -> None:
    old, authority = rotated
    roots = {"old": [old], "new": [authority.root], "both": [authority.root, old]}[trusts]
    ca = tmp_path / "trusted.pem"
    ca.write_bytes(b"".join(root.public_bytes(Encoding.PEM) for root in roots))
    with shown(authority.leaf("hf.co"), tmp_path / "server") as port:
        assert VERIFIERS[client]("hf.co", port, ca) == ""


@pytest.mark.parametrize("trusts", ["old", "new"])
def test_a_directory_of_before_there_were_rotations_can_be_rotated(tmp_path: Path, trusts: str) -> None:
    """Its root says that only one CA may stand below it."""
    root_key, key = certificates.new_key(), certificates.new_key()
    shallow = x509.BasicConstraints(ca=True, path_length=1)
    root = signed_again(
        certificates.root(root_key, HUB_DOMAINS, HALF),
        root_key,
        lambda told: shallow if isinstance(told, x509.BasicConstraints) else told,
    )
    folder = tmp_path / "ca"
    folder.mkdir(mode=0o700)
    intermediate = certificates.intermediate(key, root, root_key, HUB_DOMAINS, HALF)
    Issuer(key, intermediate, root).write(folder / "authority.pem")
    before = (folder / "authority.pem").read_bytes()
    authority = Authority.rotate(folder)
    assert (folder / "authority.pem").read_bytes() == before
    ca = tmp_path / "trusted.pem"
    ca.write_bytes({"old": root, "new": authority.root}[trusts].public_bytes(Encoding.PEM))
    with shown(authority.leaf("hf.co"), tmp_path / "server") as port:
        assert [verify("hf.co", port, ca) for verify in VERIFIERS.values()] == [""] * len(VERIFIERS)


def test_both_roots_are_handed_out_and_announced_the_new_one_first(tmp_path: Path, rotated) -> None:
    old, authority = rotated
    both = [authority.root, old]
    assert x509.load_pem_x509_certificates((tmp_path / "ca/ca.pem").read_bytes()) == both
    bundle = authority.combined_bundle().read_bytes()
    assert 0 < bundle.index(both[0].public_bytes(Encoding.PEM)) < bundle.index(both[1].public_bytes(Encoding.PEM))
    lines = authority.announced()
    assert authority.fingerprint() in lines[0]
    assert authority.fingerprint(old) in lines[1] and f"{old.not_valid_after_utc:%Y-%m-%d}" in lines[1]


def test_when_the_old_one_ends_its_successor_takes_over(tmp_path: Path, rotated) -> None:
    old, running = rotated
    days = (old.not_valid_after_utc - NOW) / timedelta(days=1)
    late = Authority.open(tmp_path / "ca", clock=at(days - 0.01))
    assert late.leaf().chain[0] == running.leaf().chain[0]
    assert len(late.leaf().chain) == 2
    after = Authority.open(tmp_path / "ca", clock=at(days + 0.01))
    assert after.roots == (running.root,)
    assert after.leaf().issuer == running.issuers[1].intermediate and len(after.leaf().chain) == 1
    names = sorted(os.listdir(tmp_path / "ca"))
    assert names == ["authority.pem", "ca.pem"]
    assert os.stat(tmp_path / "ca/authority.pem").st_mode & 0o777 == 0o600
    assert x509.load_pem_x509_certificates((tmp_path / "ca/ca.pem").read_bytes()) == [running.root]


def test_a_process_that_runs_on_past_the_end_shows_the_successors_leaf(tmp_path: Path) -> None:
    times = [NOW]
    Authority.open(tmp_path, clock=lambda: HALF)
    running = Authority.rotate(tmp_path, clock=lambda: times[-1])
    before = running.leaf("hf.co")
    times.append(running.roots[1].not_valid_after_utc)
    assert before.issuer == running.issuers[0].intermediate
    assert running.leaf("hf.co").issuer == running.issuers[1].intermediate


def test_hosts_that_only_the_new_one_may_name_are_signed_by_it_alone(tmp_path: Path) -> None:
    Authority.open(tmp_path, ["a.example"])
    with pytest.raises(ConfigError, match=r"does not cover b\.example; run `hubgate ca rotate`"):
        Authority.open(tmp_path, ["a.example", "b.example"])
    authority = Authority.rotate(tmp_path, ["a.example", "b.example"])
    old, new = (issuer.intermediate for issuer in authority.issuers)
    assert [authority.leaf(name).issuer for name in ("a.example", "hf.co", None)] == [old] * 3
    assert authority.leaf("b.example").issuer == new
    usual = authority.leaf().certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert "b.example" not in usual.value.get_values_for_type(x509.DNSName)
    with pytest.raises(ConfigError, match=r"does not cover c\.example; run `hubgate ca renew`"):
        Authority.open(tmp_path, ["c.example"])


def test_one_rotation_at_a_time(tmp_path: Path, rotated) -> None:
    with pytest.raises(ConfigError, match=r"under way until .*--finish"):
        Authority.rotate(tmp_path / "ca")
    done = Authority.finish(tmp_path / "ca")
    assert done.roots == (rotated[1].root,)
    with pytest.raises(ConfigError, match="no rotation is under way"):
        Authority.finish(tmp_path / "ca")
    again = Authority.rotate(tmp_path / "ca")
    assert again.roots[1] == done.root


def test_a_renewal_ends_a_rotation_too(tmp_path: Path, rotated) -> None:
    renewed = Authority.renew(tmp_path / "ca")
    assert renewed.root not in rotated[1].roots
    assert len(renewed.roots) == len(renewed.leaf().chain) == 1


def test_an_old_one_that_is_lost_is_followed_by_the_new_one(tmp_path: Path, rotated) -> None:
    (tmp_path / "ca/authority.pem").unlink()
    assert Authority.open(tmp_path / "ca").roots == (rotated[1].root,)


def test_the_successor_is_checked_as_the_present_one_is(tmp_path: Path, rotated) -> None:
    successor = tmp_path / "ca/authority.next.pem"
    successor.chmod(0o640)
    with pytest.raises(ConfigError, match=r"authority\.next\.pem.*chmod 600"):
        Authority.open(tmp_path / "ca")
    successor.unlink()
    stranger = Issuer.make(["hf.co"], NOW)
    Issuer.make(rotated[1].domains, NOW, stranger).write(successor)
    with pytest.raises(ConfigError, match=r"not the successor of authority\.pem"):
        Authority.open(tmp_path / "ca")


def test_there_is_nothing_to_rotate(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="hubgate ca init"):
        Authority.rotate(tmp_path / "ca")
    Authority.open(tmp_path / "old", clock=at(-400))
    with pytest.raises(ConfigError, match=r"ended on .*hubgate ca renew"):
        Authority.rotate(tmp_path / "old")


def test_the_bridge_is_no_wider_and_lasts_no_longer_than_the_old_root(rotated) -> None:
    old, authority = rotated
    _, bridge = authority.leaf().chain
    assert bridge.subject == old.subject and bridge.public_key() == old.public_key()
    assert bridge.not_valid_after_utc == old.not_valid_after_utc

    told = bridge.extensions.get_extension_for_class(x509.NameConstraints)
    assert told.critical and {each.value for each in told.value.permitted_subtrees or ()} == set(HUB_DOMAINS)
    assert told.value.excluded_subtrees is None, "Java 17 breaks where two below the root it trusts say IPv4 and IPv6"


def test_what_must_be_done_is_announced_a_month_before(tmp_path: Path) -> None:
    authority = Authority.open(tmp_path)
    days = (authority.expires - NOW) / timedelta(days=1)
    assert len(authority.announced(at(days - 31)())) == 1
    assert "hubgate ca rotate" in authority.announced(at(days - 29)())[1]
