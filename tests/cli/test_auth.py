"""`hubgate auth add`, and what `env` and `doctor` make of a proxy with a password."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import stat
import subprocess
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from proxy_addon.auth import htpasswd, schemes
from proxy_addon.auth.users import read
from proxy_addon.ca import Authority
from proxy_addon.cli.auth import _write
from proxy_addon.cli.main import run
from proxy_addon.cli.proxies import login, masked, with_login
from tests.processes import COMMAND, ROOT, configuration, exported, hubgate

PROMPT = re.compile(rb"(?:Password|Repeat) for [^\n]*: ")
SECRET = "canary:@/ß %41"


def added(file: Path, user: str, password: str, *more: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, "auth", "add", user, "--file", str(file), "--stdin", *more]
    return subprocess.run(command, cwd=ROOT, input=password + "\nmore\n", capture_output=True, text=True, timeout=60)


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_a_password_from_standard_input(tmp_path: Path) -> None:
    file = tmp_path / "users"
    done = added(file, "alice", SECRET)
    assert done.returncode == 0 and done.stdout == f"alice is in {file}\n" and done.stderr == ""
    assert mode(file) == 0o600 and [*tmp_path.iterdir()] == [file]
    assert schemes.matches(read(file)["alice"], SECRET.encode())
    file.write_text(file.read_text() + "# who left\nbob:$apr1$x$y\n")
    file.chmod(0o646)
    done = added(file, "alice", "another")
    assert done.returncode == 0 and "bob: the password is kept as MD5" in done.stderr and mode(file) == 0o600
    assert added(file, "bob", "third").stderr == ""
    found = read(file)
    assert schemes.matches(found["alice"], b"another") and schemes.matches(found["bob"], b"third")
    assert "# who left\n" in file.read_text()


def test_a_group_that_may_read_may_go_on_reading_and_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    file, link = tmp_path / "there/users", tmp_path / "users"
    file.touch(0o640)
    file.chmod(0o660)
    link.symlink_to(file)
    assert added(link, "alice", "x").returncode == 0
    assert link.is_symlink() and mode(file) == 0o640 and set(read(file)) == {"alice"}


@pytest.mark.parametrize(
    ("user", "password", "why"),
    [
        ("a:b", "x", "a colon or a control character"),
        ("", "x", "is empty"),
        ("alice", "", "is empty, has a control character or more than 1024 bytes"),
        ("alice", "a\x07b", "is empty, has a control character or more than 1024 bytes"),
        ("alice", "x" * 1025, "is empty, has a control character or more than 1024 bytes"),
    ],
)
def test_what_could_not_be_sent_is_not_written(tmp_path, user, password, why) -> None:
    done = added(tmp_path / "users", user, password)
    assert done.returncode == 2 and why in done.stderr and not (tmp_path / "users").exists()


def test_it_says_what_it_needs(tmp_path, capsys) -> None:
    config = configuration(tmp_path)
    assert run(["auth", "add", "alice", "--config", str(config)]) == 2
    assert "there is no `auth` in the configuration" in capsys.readouterr().err
    done = hubgate("auth", "add", "alice", "--config", str(configuration(tmp_path, auth="users")))
    assert done.returncode == 2 and "no terminal" in done.stderr
    assert "cannot be written" in added(tmp_path / "no/users", "alice", "x").stderr


def test_what_another_writer_does_before_it_is_our_turn_stays(tmp_path: Path, monkeypatch) -> None:
    file, real = tmp_path / "users", fcntl.flock

    def after_another(fd: int, operation: int) -> None:
        file.write_bytes(htpasswd.with_user(b"", "bob", schemes.made(b"x")))
        file.chmod(0o600)
        real(fd, operation)

    monkeypatch.setattr(fcntl, "flock", after_another)
    _write(file, "alice", schemes.made(b"x"))
    assert set(read(file)) == {"alice", "bob"}


def test_many_writers_lose_nobody(tmp_path: Path) -> None:
    file, names = tmp_path / "users", [f"user{n}" for n in range(6)]
    threads = [threading.Thread(target=added, args=(file, name, "x")) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(read(file)) == set(names)


def typed(command: list[str], *answers: str) -> tuple[int, str, str]:
    """Exit status, what a terminal showed, standard output. Each answer is typed when it is asked for."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, start_new_session=True, text=True
    )
    os.close(theirs)
    shown = b""
    try:
        for answer in answers:
            asked = len(PROMPT.findall(shown))
            while len(PROMPT.findall(shown)) <= asked:
                shown += os.read(ours, 4096)
            os.write(ours, answer.encode() + b"\n")
        out, _ = process.communicate(timeout=60)
        while part := os.read(ours, 4096):
            shown += part
    except OSError:  # the other end is closed
        out, _ = process.communicate(timeout=60)
    finally:
        os.close(ours)
    return process.returncode, shown.decode(), out


def test_a_terminal_is_asked_twice_and_shows_nothing(tmp_path: Path) -> None:
    file = tmp_path / "users"
    status, shown, out = typed([*COMMAND, "auth", "add", "alice", "--file", str(file)], SECRET, SECRET)
    assert status == 0 and "alice is in" in out and "canary" not in shown + out
    assert shown.count("Password for alice") == 1 and "Repeat" in shown
    assert schemes.matches(read(file)["alice"], SECRET.encode())
    status, shown, _ = typed([*COMMAND, "auth", "add", "alice", "--file", str(file)], "one", "other", "third", "third")
    assert status == 0 and "do not match" in shown and schemes.matches(read(file)["alice"], b"third")


@pytest.mark.parametrize(
    ("url", "shown", "said"),
    [
        ("http://h:1", "http://h:1", None),
        ("http://alice:pw@h:1", "http://alice:***@h:1", ("alice", b"pw")),
        ("http://alice:p%40w@h:1/", "http://alice:***@h:1/", ("alice", b"p@w")),
        ("http://alice:p@w@h:1", "http://alice:***@h:1", ("alice", b"p@w")),
        ("http://alice:p://w@h:1", "http://alice:***@h:1", ("alice", b"p://w")),
        ("alice:pw@h:1", "alice:***@h:1", ("alice", b"pw")),
        ("http://alice@h:1", "http://alice@h:1", ("alice", b"")),
        ("", "", None),
    ],
)
def test_a_proxys_url_is_shown_without_its_password(url, shown, said) -> None:
    assert masked(url) == shown and login(url) == said


def test_a_login_goes_into_a_url_and_comes_out_again() -> None:
    url = with_login("http://old:pw@h:1", "größe", SECRET)
    assert login(url) == ("größe", SECRET.encode()) and urlsplit(url).hostname == "h" and "@/" not in url


def test_env_with_a_user(tmp_path: Path) -> None:
    config = configuration(tmp_path, auth="users", listen="127.0.0.1:3128")
    Authority.open(tmp_path / "ca")
    told = hubgate("env", "--config", str(config))
    assert "add --user USER" in told.stderr and "127.0.0.1:3128" in told.stdout
    url = with_login("http://cache.lan:3128", "alice", SECRET)
    told = hubgate("env", "--config", str(config), "--proxy-url", url)
    assert exported(told.stdout)["HTTPS_PROXY"] == url and told.stderr == ""
    assert "the image will hold" in hubgate("env", "-c", str(config), "-f", "dockerfile", "--proxy-url", url).stderr
    for bad in ("http://alice:canary@x@h:1", "http://alice:canary/x@h:1", "http://alice:canary%zz@h:1"):
        told = hubgate("env", "--config", str(config), "--proxy-url", bad)
        assert told.returncode == 2 and "canary" not in told.stderr and "percent-encoded" in told.stderr
    status, shown, out = typed([*COMMAND, "env", "--config", str(config), "--user", "alice"], SECRET)
    assert status == 0 and "canary" not in shown
    assert login(exported(out)["HTTPS_PROXY"]) == ("alice", SECRET.encode())
    status, shown, _ = typed([*COMMAND, "env", "-c", str(config), "-f", "github", "--user", "alice"], SECRET)
    assert status == 0 and "http://alice:***@127.0.0.1:3128 is this machine's" in shown and "canary" not in shown


def test_doctor_tells_whether_the_password_is_right_and_never_what_it_is(tmp_path: Path) -> None:
    config = configuration(
        tmp_path, auth="users", hubs={each: {"enabled": False} for each in ("huggingface", "modelscope")}
    )
    assert "users: cannot be read" in hubgate("doctor", "--config", str(config)).stdout
    added(tmp_path / "users", "alice", SECRET)
    at = "http://127.0.0.1:1"
    for url, words in (
        (with_login(at, "alice", SECRET), "ok    auth: the password in HTTPS_PROXY is right"),
        (with_login(at, "alice", "canary"), "FAIL  auth: the password in HTTPS_PROXY is wrong, or there is"),
        (with_login(at, "mallory", SECRET), "FAIL  auth: the password in HTTPS_PROXY is wrong, or there is"),
        (at, "FAIL  auth: HTTPS_PROXY has no user and password"),
    ):
        told = hubgate("doctor", "--config", str(config), HTTPS_PROXY=url)
        assert words in told.stdout and f"auth: 1 user in {tmp_path}/users" in told.stdout
        assert f"HTTPS_PROXY is {masked(url)}" in told.stdout and "canary" not in told.stdout + told.stderr
