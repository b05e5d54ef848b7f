"""What is wrong at the start is told in one message, with exit status 2 and nothing half done."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.hub import TestHub
from tests.processes import Hubgate, configuration, free_port, hubgate


def test_the_port_is_taken_by_another_hubgate(start: Callable[..., Hubgate], hub: TestHub, tmp_path: Path) -> None:
    first = start()
    config = configuration(tmp_path / "second", hub, listen=f"127.0.0.1:{first.port}")
    done = hubgate("serve", "--config", str(config))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"port {first.port}" in line and f"pid {first.pid} (hubgate)" in line
    assert first.ask("https://huggingface.co/acme/tiny/resolve/main/config.json").status == 200


def test_the_admin_port_is_taken(hub: TestHub, tmp_path: Path) -> None:
    port = free_port()
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = f"127.0.0.1:{holder.getsockname()[1]}"
        config = configuration(tmp_path, hub, listen=f"127.0.0.1:{port}", admin={"listen": taken})
        done = hubgate("serve", "--config", str(config))
    assert done.returncode == 2
    assert "admin.listen" in done.stderr and "in use" in done.stderr and "Traceback" not in done.stderr
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # who holds the port for the test says so too
        again.bind(("127.0.0.1", port))


WRONG = {
    "value": ({"cache": {"size": "much"}}, "cache.size", "much"),
    "unknown key": ({"cach": {}}, "cach", "did you mean"),
    "type": ({"upstream": {"connections_per_file": 0}}, "upstream.connections_per_file", "1"),
    "open to all": ({"listen": "0.0.0.0:0"}, "listen", "clients"),
    "mirror": ({"hubs": {"huggingface": {"mirrors": ["http://mirror.example"]}}}, "hubs.huggingface.mirrors", "https"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_configuration(tmp_path: Path, name: str) -> None:
    keys, key, why = WRONG[name]
    base: dict[str, Any] = {"ca": {"dir": str(tmp_path / "ca")}, "cache": {"dir": str(tmp_path / "cache")}}
    file = tmp_path / "hubgate.yaml"
    file.write_text(json.dumps(base | keys, indent=1))
    done = hubgate("serve", "--config", str(file), HOME=str(tmp_path))
    assert done.returncode == 2 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert re.match(rf"hubgate: {re.escape(str(file))}:\d+: ", line), line
    assert key in line and why in line
    assert [*tmp_path.iterdir()] == [file]


def test_faults_are_told_all_at_once(tmp_path: Path) -> None:
    file = tmp_path / "hubgate.yaml"
    file.write_text("lisen: 127.0.0.1:1\ndrain: soon\nfreshness: {ref: -1s}\n")
    done = hubgate("serve", "--config", str(file), HOME=str(tmp_path))
    assert done.returncode == 2
    assert [line.split(": ")[1] for line in done.stderr.splitlines()] == [f"{file}:{n}" for n in (1, 2, 3)]


def test_places_that_cannot_be_written(hub: TestHub, tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("in the way")
    inside = str(tmp_path / "a file" / "x")
    for key, value in (("cache", {"dir": inside}), ("ca", {"dir": inside}), ("access_log", inside)):
        done = hubgate("serve", "--config", str(configuration(tmp_path / key, hub, **{key: value})))
        assert done.returncode == 2, key
        (line,) = done.stderr.splitlines()
        assert key in line and inside in line


def test_a_ca_that_is_none(hub: TestHub, tmp_path: Path) -> None:
    config = configuration(tmp_path, hub)
    folder = tmp_path / "ca"
    folder.mkdir(mode=0o700)
    (folder / "authority.pem").write_text("no key, no certificate\n")
    (folder / "authority.pem").chmod(0o600)
    done = hubgate("serve", "--config", str(config))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert str(folder / "authority.pem") in line and "hubgate ca renew" in line
    assert [file.name for file in folder.iterdir()] == ["authority.pem"]


def test_roots_for_upstream_that_are_none(hub: TestHub, tmp_path: Path) -> None:
    empty = tmp_path / "roots.pem"
    empty.write_text("nothing\n")
    done = hubgate("serve", "--config", str(configuration(tmp_path, None, upstream={"ca_file": str(empty)})))
    assert done.returncode == 2
    assert "upstream.ca_file" in done.stderr and "Traceback" not in done.stderr


def test_a_proxy_for_everybody_is_started_with_a_warning(start: Callable[..., Hubgate]) -> None:
    proxy = start(listen="0.0.0.0:0", clients=["10.0.0.0/8", "0.0.0.0/0"])
    assert proxy.stop() == 0
    (line,) = [line for line in proxy.told.splitlines() if "is everybody" in line]
    assert "WARNING" in line and "hubgate.yaml:" in line and ": clients: 0.0.0.0/0 is everybody who reaches" in line
