"""The file is followed: nothing worse than what was good comes into force, and nothing half-written."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from pathlib import Path

import pytest

from proxy_addon.auth import Unfit, Users, htpasswd, schemes, users
from proxy_addon.auth.users import AGAIN, read

KEPT = schemes.made(b"right")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "users"
    made.write_text(f"alice:{KEPT}\n")
    made.chmod(0o600)
    return made


def opened(file: Path) -> Users:
    found = Users(file)
    found.open()
    return found


def looks(book: Users, count: int = 2) -> None:
    for _ in range(count):
        book.look()


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o640, 0o440, 0o700])
def test_modes_that_keep_others_out(file, mode):
    file.chmod(mode)
    assert read(file) == {"alice": KEPT}


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o601, 0o620, 0o660, 0o666])
def test_modes_that_do_not(file, mode):
    file.chmod(mode)
    with pytest.raises(Unfit, match=f"is open to others .mode {mode:04o}.; chmod 600 {file}"):
        read(file)


def test_what_is_no_file_is_told_at_once_and_leaves_nothing_open(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)
    before = os.listdir("/proc/self/fd")
    for name, why in (("pipe", "is not a file"), (".", "is not a file"), ("gone", "cannot be read: No such file")):
        with pytest.raises(Unfit, match=why):
            read(tmp_path / name)
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_no_more_is_read_than_a_file_of_users_has(file):
    file.write_bytes(b"#" * (htpasswd.LARGEST + 1))
    with pytest.raises(Unfit, match="is longer than"):
        read(file)


def test_a_change_is_taken_up_when_it_is_finished(file):
    book = opened(file)
    file.write_text("")  # as an editor has it half-way
    looks(book, 1)
    file.write_text(f"alice:{KEPT}\nbob:{KEPT}\n")
    looks(book, 1)
    assert book.current == {"alice": KEPT}
    looks(book, 1)
    assert book.current == {"alice": KEPT, "bob": KEPT} and book.reloads == 1
    looks(book, 5)
    assert book.reloads == 1


def test_who_is_removed_is_out_also_when_nobody_is_left(file):
    book = opened(file)
    file.write_text("")
    looks(book)
    assert book.current == {} and "names nobody" in book.reasons[0]


@pytest.mark.parametrize("wrong", ["bad line\n", "gone", "mode"])
def test_what_is_wrong_is_told_once_and_the_last_good_stay(file, wrong, caplog):
    book = opened(file)
    if wrong == "gone":
        file.unlink()
    elif wrong == "mode":
        file.chmod(0o666)
    else:
        file.write_text(wrong)
    looks(book, 3 * AGAIN)
    assert book.current == {"alice": KEPT} and book.failures == 1
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1
    assert str(file) in book.reasons[0] and book.reasons[0].endswith("the users that were good last are in force")
    file.write_text(f"bob:{KEPT}\n")
    file.chmod(0o600)
    looks(book)
    assert book.current == {"bob": KEPT} and book.reasons == ()


def test_whoever_reads_the_log_finds_it_so(file: Path) -> None:
    book, found = opened(file), list[tuple[str, ...]]()

    class Reader(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(book.reasons)

    reader = Reader()
    users.log.addHandler(reader)
    file.write_text("alice\n")
    looks(book)
    users.log.removeHandler(reader)
    assert book.reasons and found == [book.reasons]


def test_what_the_clock_of_the_disk_does_not_show_is_found(file, monkeypatch):
    book = opened(file)
    state = book._state()
    monkeypatch.setattr(book, "_state", lambda: state)
    file.write_text(f"bob:{KEPT}\n")
    looks(book, AGAIN)
    assert book.current == {"bob": KEPT}


async def test_it_is_watched_off_the_loop_and_survives_a_fault_of_ours(file, monkeypatch, caplog):
    monkeypatch.setattr(users, "EVERY", 0.0)
    book, where, ended = opened(file), [], threading.Event()

    def look() -> None:
        where.append(threading.current_thread())
        if len(where) == 3:
            ended.set()
        raise RuntimeError("a mistake")

    monkeypatch.setattr(book, "look", look)
    task = asyncio.create_task(book.watch())
    assert await asyncio.to_thread(ended.wait, 10)
    task.cancel()
    await asyncio.wait([task])
    assert threading.main_thread() not in where and "cannot be looked at" in caplog.text


def test_a_file_that_names_nobody_is_told_at_once(tmp_path, caplog):
    """Nobody can use the proxy then, and whoever started it does not look at its health."""
    (tmp_path / "users").touch(0o600)
    book = opened(tmp_path / "users")
    said = f"auth: {tmp_path / 'users'} names nobody: nobody can use the proxy; hubgate auth add USER"
    assert [each.getMessage() for each in caplog.records if each.levelname == "WARNING"] == [said]
    assert book.reasons == (said,)


def test_so_is_one_that_no_longer_names_anybody(file, caplog):
    book = opened(file)
    assert not caplog.records
    file.write_text("# nobody\n")
    looks(book)
    assert [each.levelname for each in caplog.records if "names nobody" in each.getMessage()] == ["WARNING"]
