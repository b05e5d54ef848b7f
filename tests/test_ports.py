import errno
import os
import socket
import subprocess
import sys

import pytest

from proxy_addon.ports import explain_bind, who_listens

linux = sys.platform == "linux"


@pytest.mark.parametrize(
    ("bound", "asked"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "0.0.0.0"), ("::1", "::1"), ("::", "::1")],
)
def test_the_process_that_listens_is_named(bound, asked):
    family = socket.AF_INET6 if ":" in bound else socket.AF_INET
    with socket.create_server((bound, 0), family=family) as listener:
        owner = who_listens(asked, listener.getsockname()[1])
    assert (f"pid {os.getpid()} (" in owner) if linux else owner is None


def test_another_address_is_another_listener():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert who_listens("127.0.0.2", listener.getsockname()[1]) is None


def test_a_connected_socket_does_not_listen(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as peer:
        assert who_listens("127.0.0.1", peer.getsockname()[1]) is None


def test_where_there_is_no_proc_only_the_port_is_said(tmp_path):
    assert who_listens("127.0.0.1", 1, tmp_path) is None


def test_a_refused_bind_is_explained():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(OSError) as refused:
            socket.create_server(("127.0.0.1", port)).close()
        told = explain_bind(refused.value, "127.0.0.1", port)
    owner = f"pid {os.getpid()} (" if linux else "another process"
    assert f"port {port} on 127.0.0.1 is in use by {owner}" in told and "stop it" in told


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.EACCES, "1024"), (errno.EADDRNOTAVAIL, "no address"), (errno.EMFILE, "cannot listen")],
)
def test_other_refusals(number, words):
    assert words in explain_bind(OSError(number, os.strerror(number)), "192.0.2.1", 80)


def test_a_script_is_called_by_its_own_name_and_no_argument_is_shown(tmp_path):
    script = tmp_path / "hubgate"
    script.write_text(
        "import socket, sys\n"
        "with socket.create_server(('127.0.0.1', 0)) as listener:\n"
        "    print(listener.getsockname()[1], flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = [sys.executable, "-O", script, "--password=canary"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        owner = who_listens("127.0.0.1", int(process.stdout.readline()))
        process.stdin.close()
    assert owner == (f"pid {process.pid} (hubgate)" if linux else None)
