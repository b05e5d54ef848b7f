"""The CA of a running server: the key's mode before the port, the leaf alone, and a rotation under its clients."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from proxy_addon.ca import Authority
from tests.hub import TestHub
from tests.processes import Hubgate, ask, configuration, hubgate

URL = "https://huggingface.co/acme/tiny/resolve/main/config.json"


def test_nothing_but_pem_is_left_behind(start: Callable[..., Hubgate]) -> None:
    proxy = start()
    assert proxy.ask(URL).status == 200
    assert proxy.stop() == 0
    names = ["authority.pem", "bundle.pem", "ca.pem", "upstream.pem"]
    assert sorted(os.listdir(proxy.ca)) == names
    assert [name for name in names if b"PRIVATE" in (proxy.ca / name).read_bytes()] == ["authority.pem"]
    assert "PRIVATE" not in proxy.told
    assert Authority.open(proxy.ca).fingerprint() in proxy.told


@pytest.mark.parametrize(("place", "mode", "way"), [("authority.pem", 0o640, "600"), (".", 0o755, "700")])
def test_too_wide_a_mode_is_refused_before_any_port_is_open(
    hub: TestHub, tmp_path: Path, place: str, mode: int, way: str
) -> None:
    config = configuration(tmp_path, hub)
    Authority.open(tmp_path / "ca")
    (tmp_path / "ca" / place).chmod(mode)
    done = hubgate("serve", "--config", str(config))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"run `chmod {way} " in line and "listens" not in line


def test_a_server_with_a_leaf_and_no_ca(start: Callable[..., Hubgate], tmp_path: Path) -> None:
    elsewhere, cert, key = (tmp_path / name for name in ("elsewhere", "leaf.pem", "leaf.key"))
    for command in (("init",), ("issue", "--cert", str(cert), "--key", str(key))):
        done = hubgate("ca", *command, "--ca-dir", str(elsewhere))
        assert done.returncode == 0, done.stderr
    server = tmp_path / "server"
    proxy = start(ca={"dir": str(server), "mode": "offline", "cert": str(cert), "key": str(key)})
    assert proxy.ask(URL).status == 200
    assert proxy.ask("https://www.modelscope.cn/api/v1/models/acme/tiny").status == 200
    assert ask(proxy.port, elsewhere / "ca.pem", URL).status == 200
    with pytest.raises(ssl.SSLCertVerificationError, match=r"not valid for|mismatch"):
        proxy.ask("https://a.b.c.hf.co/")  # nothing here could sign for a name that the leaf does not have
    assert Authority.open(elsewhere).fingerprint() in proxy.told
    assert proxy.asked_admin("/ca.pem").body == (elsewhere / "ca.pem").read_bytes()
    assert (elsewhere / "ca.pem").read_bytes() in proxy.asked_admin("/bundle.pem").body
    assert proxy.stop() == 0
    assert all(b"PRIVATE" not in file.read_bytes() for file in server.iterdir())
    assert "PRIVATE" not in proxy.told
    key.chmod(0o644)
    done = hubgate("serve", "--config", str(proxy.config))
    assert done.returncode == 2 and f"chmod 600 {key}" in done.stderr


def test_a_rotation_under_clients_of_the_old_and_of_the_new(start: Callable[..., Hubgate], tmp_path: Path) -> None:
    proxy = start()
    old = Path(tmp_path / "old.pem")
    old.write_bytes((proxy.ca / "ca.pem").read_bytes())
    done = hubgate("ca", "rotate", "--config", str(proxy.config))
    assert done.returncode == 0, done.stderr
    assert ask(proxy.port, old, URL).status == 200, "until it is restarted it is as it was"
    assert proxy.stop() == 0
    proxy = start()
    new = tmp_path / "new.pem"
    new.write_bytes(Authority.open(proxy.ca).root.public_bytes(Encoding.PEM))
    assert [ask(proxy.port, ca, URL).status for ca in (old, new, proxy.bundle)] == [200] * 3
    for root in Authority.open(proxy.ca).roots:
        assert Authority.open(proxy.ca).fingerprint(root) in proxy.told
    assert proxy.asked_admin("/ca.pem").body == new.read_bytes() + old.read_bytes()
    done = hubgate("ca", "rotate", "--finish", "--yes", "--config", str(proxy.config))
    assert done.returncode == 0, done.stderr
    assert proxy.stop() == 0
    proxy = start()
    assert ask(proxy.port, new, URL).status == 200
    with pytest.raises(ssl.SSLCertVerificationError):
        ask(proxy.port, old, URL)
