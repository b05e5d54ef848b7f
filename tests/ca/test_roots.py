import os
import ssl

import pytest

from proxy_addon.ca import Authority, public_roots, write_atomically


def test_roots_are_listed_once(tmp_path):
    ours = Authority.open(tmp_path / "ca").public_pem()
    (tmp_path / "system.pem").write_bytes(b"# caf\xe9\n" + ours.replace(b"\n", b"\r\n"))
    alone = public_roots(system=())
    both = public_roots([ours, b"no certificate here"], system=[tmp_path / "system.pem", tmp_path / "missing.pem"])
    assert both.count(b"BEGIN CERTIFICATE") == alone.count(b"BEGIN CERTIFICATE") + 1
    assert alone.count(b"BEGIN CERTIFICATE") > 50


def test_the_environment_is_not_asked(tmp_path, monkeypatch):
    ours = Authority.open(tmp_path / "ca").public_pem()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca/ca.pem"))
    assert ours.split(b"\n")[5] not in public_roots()


def test_the_combined_bundle_holds_our_ca_and_loads(tmp_path):
    authority = Authority.open(tmp_path)
    extra = Authority.open(tmp_path / "other").public_pem()
    file = authority.combined_bundle([extra])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cafile=file)
    organizations = [c["issuer"] for c in context.get_ca_certs() if "hubgate" in str(c["issuer"])]
    assert len(organizations) == 2
    assert len(context.get_ca_certs()) > 50
    assert os.stat(file).st_mode & 0o777 == 0o644
    before = os.stat(file).st_ino
    assert os.stat(authority.combined_bundle([extra])).st_ino == before


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    file = tmp_path / "x.pem"
    write_atomically(file, b"old", 0o644)
    with pytest.raises(TypeError):
        write_atomically(file, "text", 0o644)
    assert file.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x.pem"]
