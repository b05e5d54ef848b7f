import contextlib
import io
import json
import signal
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from proxy_addon.ca import Authority
from proxy_addon.cli.main import run


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "hubgate.yaml"
    file.write_text("ca: {dir: my ca}\ncache: {dir: cache}\nlisten: 127.0.0.1:0\nadmin: {listen: null}\n")
    return file


def test_a_bad_configuration_is_told_whole_and_exits_2(tmp_path, capsys):
    file = tmp_path / "bad.yaml"
    file.write_text("lisen: 1\ncache: {size: 5}\n")
    for command in ("serve", "env", "doctor"):
        assert run([command, "--config", str(file)]) == 2
        told = capsys.readouterr()
        assert told.out == ""
        assert [line.split(": ")[1] for line in told.err.splitlines()] == [f"{file}:1", f"{file}:2"]


def test_serve_finds_an_unwritable_cache_before_it_starts(config, tmp_path, capsys):
    (tmp_path / "cache").write_text("a file")
    Authority.open(tmp_path / "my ca")
    assert run(["serve", "--config", str(config)]) == 2
    assert "cache.dir" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["nope"], ["env", "--nope"], ["env", "--format", "fish"], ["ca", "nope"]])
def test_wrong_use_exits_2_without_a_traceback(arguments, capsys):
    assert run(arguments) == 2
    told = capsys.readouterr().err
    assert "Traceback" not in told and arguments[-1] in told


def test_env_writes_the_bundle_that_it_names(config, tmp_path, capsys):
    Authority.open(tmp_path / "my ca")
    assert run(["env", "--config", str(config), "--listen", "0.0.0.0:3128"]) == 2  # no clients
    capsys.readouterr()
    assert run(["env", "--config", str(config), "--listen", "127.0.0.1:3128"]) == 0
    out = capsys.readouterr().out
    bundle = tmp_path / "my ca/bundle.pem"
    assert f"export SSL_CERT_FILE='{bundle}'" in out
    assert "export HTTPS_PROXY=http://127.0.0.1:3128" in out
    assert Authority.open(tmp_path / "my ca").public_pem() in bundle.read_bytes()


def test_env_for_another_machine(config, tmp_path, capsys):
    Authority.open(tmp_path / "my ca")
    arguments = ["env", "--config", str(config), "--proxy-url", "http://cache.lan:8080/", "--bundle", "/etc/x.pem"]
    assert run([*arguments, "--format", "github"]) == 0
    told = capsys.readouterr()
    assert "HTTPS_PROXY=http://cache.lan:8080\n" in told.out and "SSL_CERT_FILE=/etc/x.pem\n" in told.out
    assert "GITHUB_ENV" in told.err and "#" not in told.out


def test_env_cannot_know_a_port_that_is_chosen_at_start(config, capsys):
    assert run(["env", "--config", str(config)]) == 2
    assert "--proxy-url" in capsys.readouterr().err


def test_ca_commands(config, tmp_path, capsys):
    def said(*arguments):
        assert run(["ca", *arguments, "--config", str(config)]) == 0
        return capsys.readouterr().out

    directory = tmp_path / "my ca"
    said("init")
    assert said("path") == f"{directory / 'ca.pem'}\n"
    pem = (directory / "ca.pem").read_text()
    assert said("export") == pem
    assert said("export", "-o", str(tmp_path / "out.pem")) == ""
    assert (tmp_path / "out.pem").read_text() == pem
    assert Authority.open(directory).fingerprint() in said("show")
    assert said("path", "--bundle") == f"{directory / 'bundle.pem'}\n"
    said("renew", "--yes")
    assert said("export") != pem
    assert said("export").encode() in (directory / "bundle.pem").read_bytes()


def test_renewal_is_asked_about(config, monkeypatch, capsys):
    before = Authority.open(config.parent / "my ca").fingerprint()
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert run(["ca", "renew", "--config", str(config)]) == 130
    assert Authority.open(config.parent / "my ca").fingerprint() == before


def test_doctor_sees_hubs_through_connect_to(config, tmp_path, monkeypatch, capsys):
    hub = Authority.open(tmp_path / "hub")
    leaf = tmp_path / "leaf.pem"
    leaf.write_bytes(hub.leaf().key_pem + hub.leaf().chain_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(leaf)
    ours = Authority.open(tmp_path / "my ca")
    monkeypatch.setenv("SSL_CERT_FILE", str(ours.combined_bundle()))

    def serve(listener):
        for _ in range(2):
            with (
                listener.accept()[0] as raw,
                contextlib.suppress(OSError),  # the doctor hangs up after the handshake
                context.wrap_socket(raw, server_side=True) as peer,
            ):
                peer.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_server(("127.0.0.1", 0)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        listener.settimeout(20)
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        port = listener.getsockname()[1]
        with config.open("a") as file:
            file.write(f"upstream: {{ca_file: hub/ca.pem, connect_to: {{'*:443': '127.0.0.1:{port}'}}}}\n")
        assert run(["doctor", "--config", str(config)]) == 0
        thread.join(20)
    out = capsys.readouterr().out
    assert "FAIL" not in out
    assert out.startswith(f"ok    configuration: {config}\n")
    for name in ("huggingface.co", "modelscope.cn"):
        assert f"{name} at 127.0.0.1:{port}: TLSv1.3" in out


def test_doctor_says_what_is_wrong(config, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    monkeypatch.delenv("https_proxy", raising=False)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    (tmp_path / "cache").write_text("a file")
    Authority.open(tmp_path / "my ca")
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        text = config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{taken.getsockname()[1]}")
        config.write_text(text + f"upstream: {{connect_to: {{'*:*': '127.0.0.1:{closed.getsockname()[1]}'}}}}\n")
        assert run(["doctor", "--config", str(config)]) == 1
    failed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAIL")]
    for word in ("cache.dir", "in use", "HTTPS_PROXY", "does not trust", "huggingface.co at", "modelscope.cn at"):
        assert sum(word in line for line in failed) == 1, (word, failed)


def test_doctor_asks_whether_the_proxy_answers(tmp_path, monkeypatch, capsys):
    config = tmp_path / "hubgate.yaml"
    config.write_text(
        "hubs: {huggingface: {enabled: false}, modelscope: {enabled: false}}\nca: {dir: ca}\ncache: {dir: c}\n"
    )
    with socket.socket() as closed, socket.create_server(("127.0.0.1", 0)) as open:
        closed.bind(("127.0.0.1", 0))
        for at, port in (("closed", closed.getsockname()[1]), ("open", open.getsockname()[1]), ("odd", "port")):
            monkeypatch.setenv("HTTPS_PROXY", f"http://alice:hush@127.0.0.1:{port}")
            run(["doctor", "--config", str(config), "--json"])
            told = capsys.readouterr().out
            assert "hush" not in told
            (found,) = [
                each for each in json.loads(told) if each["what"].startswith("HTTPS_PROXY is http://alice:***@")
            ]
            assert (found["ok"], "nothing answers" in found["what"]) == (at == "open", at == "closed")


def test_ca_show_for_programs(config, tmp_path, capsys):
    Authority.open(tmp_path / "my ca")
    ours = Authority.rotate(tmp_path / "my ca")
    assert run(["ca", "show", "--config", str(config), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ends"] == ours.expires.isoformat() and "huggingface.co" in told["names"]
    assert [each["sha256"] for each in told["certificates"]] == [ours.fingerprint(root) for root in ours.roots]
    assert len(ours.roots) == 2 and Path(told["file"]).read_bytes() == ours.public_pem()


def test_an_interrupt_is_130(tmp_path):
    """^C while the command waits for an answer."""
    config = tmp_path / "hubgate.yaml"
    config.write_text("ca: {dir: ca}")
    code = "import sys; from proxy_addon.cli.main import main; main(sys.argv[1:])"
    with subprocess.Popen(
        [sys.executable, "-c", code, "ca", "renew", "--config", str(config)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout.read(7) == b"Clients"  # the question is there
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"Traceback" not in errors
    assert not (tmp_path / "ca").exists()


def test_a_reader_that_leaves_early_is_no_error(config):
    Authority.open(config.parent / "my ca")
    code = "import sys; from proxy_addon.cli.main import main; main(sys.argv[1:])"
    script = '"$@" | head -c 1 >/dev/null; exit "${PIPESTATUS[0]}"'
    command = [sys.executable, "-c", code, "ca", "export", "--config", str(config)]
    done = subprocess.run(["bash", "-c", script, "bash", *command], capture_output=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, b"")
