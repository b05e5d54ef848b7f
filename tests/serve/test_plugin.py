"""As a script of an unmodified mitmdump."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from tests.hub import TestHub
from tests.processes import Answer, Process, ask, configuration

MITMDUMP = str(Path(sys.executable).with_name("mitmdump"))
URL = "https://huggingface.co/acme/tiny/resolve/main/"


def plugin(config: Path, confdir: Path) -> Process:
    options = {"hubgate_config": config, "confdir": confdir, "listen_host": "127.0.0.1", "listen_port": 0}
    settings = [word for name, value in options.items() for word in ("--set", f"{name}={value}")]
    return Process([MITMDUMP, "-s", "proxy_addon/addon.py", *settings])


def test_it_caches(hub: TestHub, tmp_path: Path) -> None:
    tiny = hub.repo("acme/tiny")
    with plugin(configuration(tmp_path, hub), tmp_path / "mitm") as mitmdump:
        port = int(mitmdump.wait_for("listening at").rpartition(":")[2].strip(" .\n"))

        def get(path: str) -> Answer:
            """Until there is an engine, all is refused."""
            while True:
                try:
                    return ask(port, tmp_path / "mitm/mitmproxy-ca-cert.pem", URL + path)
                except OSError as error:
                    if "hubgate is starting" not in str(error):
                        raise

        for path in ("config.json", "old.bin", "model.safetensors"):
            file = tiny.file(path)
            cold, warm = get(path), get(path)
            assert cold.body == warm.body == bytes(file.source.read(0, file.size))
            assert "hit" in (warm["Cache-Status"] or "")
            assert hub.bodies_of(file.digest) == 1.0
        hub.stop()
        assert get("old.bin").status == 200
        assert mitmdump.stop() == 0, mitmdump.told


def test_a_wrong_configuration_ends_it(tmp_path: Path) -> None:
    config = tmp_path / "hubgate.yaml"
    config.write_text("lisen: 127.0.0.1:1\n")
    with plugin(config, tmp_path / "mitm") as mitmdump:
        mitmdump.wait()
        assert f"{config}:1: lisen" in mitmdump.told and "Traceback" not in mitmdump.told


def test_it_has_rules_and_reads_them_again_when_told(hub: TestHub, tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    own = rules / "own.yaml"
    (rules / "none.yaml").write_text("version: 1\n")
    own.write_text('version: 1\nrules: [{id: no-acme, effect: deny, match: {repo: "acme/*"}}]\n')
    with plugin(configuration(tmp_path, hub), tmp_path / "mitm") as mitmdump:
        port = int(mitmdump.wait_for("listening at").rpartition(":")[2].strip(" .\n"))

        def status() -> int:
            try:
                return ask(port, tmp_path / "mitm/mitmproxy-ca-cert.pem", URL + "config.json").status
            except OSError as error:
                assert "hubgate is starting" in str(error)
                return 0

        while not (first := status()):
            pass
        assert first == 403
        own.unlink()
        mitmdump.wait_for("is gone; its rules stay in force")
        assert status() == 403
        mitmdump.signal(signal.SIGHUP)
        mitmdump.wait_for("all is in order again")
        assert status() == 200
        assert mitmdump.stop() == 0, mitmdump.told
