"""Each bad input: told with its place and the way out; the last good set in force; without one, nothing allowed."""

import os
import socket
import threading

import pytest

from proxy_addon.policy.reading import MAX_FILES, MAX_TOTAL, Disk, states
from proxy_addon.policy.rulebook import UNUSABLE
from tests.policy.shelf import Shelf, denied, deny, reason, settle

RULE = "version: 1\nrules:\n"
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path)


def in_time(work):
    """What would wait for ever fails."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive(), "it waits for something"


def kept_out(shelf, make, *words):
    """`make` puts something bad into the directory: seen while running, at a restart, and at a first start."""
    shelf.write(deny("a"), "good.yaml")
    book = shelf.book()
    make()
    in_time(lambda: settle(book))
    again = []
    in_time(lambda: again.append(shelf.book()))
    for each in (book, *again):
        assert denied(each, "a", "b") == {"a"}
        told, *_ = [fault for fault in each.faults if all(word in fault for word in words)]
        assert "; " in told, "the way out"
        assert any(told in reason for reason in each.reasons)
    (shelf.keep / "last-good").unlink()
    (shelf.rules / "good.yaml").unlink()
    first = shelf.book()
    assert denied(first, "a", "b") == {"a", "b"} and reason(first).rule == UNUSABLE
    assert all(word in first.faults[0] for word in words)


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        pytest.param("version: 1\nrules:\n  - {id: x", 3, "not valid YAML", id="syntax"),
        pytest.param("version: 1\n\tmode: audit", 2, "not valid YAML", id="tab"),
        pytest.param(deny("x", "y", "x"), 5, "'x' is here for the second time (first at ", id="id twice in a file"),
        pytest.param("version: 1\nruels: []", 2, "did you mean `rules`?", id="unknown key"),
        pytest.param(
            RULE + "  - {id: x, effect: deny, match: {reop: x/y}}",
            3,
            "did you mean `rules.match.repo`?",
            id="unknown key below",
        ),
        pytest.param("version: 1\n" + BOMB, 2, "anchor; write the value out", id="alias bomb"),
        pytest.param("version: 1\n#" + "x" * 10_000_000, 1, "over 1048576 bytes", id="10 MB"),
        pytest.param("version: 1\n# caf\xe9\n".encode("latin-1"), 2, "not UTF-8; save the file as UTF-8", id="Latin-1"),
        pytest.param("version: 1\n".encode("utf-16"), 1, "not UTF-8", id="UTF-16"),
        pytest.param(b"version: 1\n#\0\n", 2, "YAML forbids", id="zero byte"),
        pytest.param("", 1, "empty; write `version: 1`", id="empty"),
        pytest.param("# nothing but this\n", 1, "empty; write `version: 1`", id="comments only"),
        pytest.param("- version: 1", 1, "not a mapping", id="a list"),
        pytest.param("[" * 100_000, 1, "nested too deeply", id="deep"),
        pytest.param(RULE + "  - {id: x, effect: deny, match: {}}", 3, "hold for everything", id="matches all"),
        pytest.param(RULE + '  - {id: x, effect: deny, match: {repo: "a**"}}', 3, "whole segments", id="no glob"),
        pytest.param("version: 1\nlists: {l: {file: l.txt}}", 2, "No such file", id="a list that is not there"),
        pytest.param("version: 1\nlists: {l: {file: 'l\\0'}}", 2, "", id="a list that has no name"),
        pytest.param("version: 1\nlists: {l: {file: /dev/zero}}", 2, "no plain file; put one", id="a list without end"),
    ],
)
def test_a_file_that_is_wrong(shelf, text, line, word):
    kept_out(shelf, lambda: shelf.write(text, "bad.yaml"), f"{shelf.rules}/bad.yaml:{line}: ", word)


def test_an_id_in_two_files(shelf):
    shelf.write(deny("a"), "good.yaml")
    book = shelf.book()
    shelf.write(deny("a"), "more.yaml")
    settle(book)
    assert denied(book, "a", "b") == {"a"}
    good, more = shelf.rules / "good.yaml", shelf.rules / "more.yaml"
    what = "id 'a' is here for the second time"
    assert book.faults == (f"{more}:3: rules[0].id: {what} (first at {good}:3); rename one",)


def test_all_faults_of_all_files_are_told_at_once(shelf):
    shelf.write("version: 1\nruels: []\nmoed: audit\n", "a.yaml")
    shelf.write("version: 3\n", "b.yaml")
    told = [fault.split(": ")[0] for fault in shelf.book().faults]
    assert told == [f"{shelf.rules}/a.yaml:2", f"{shelf.rules}/a.yaml:3", f"{shelf.rules}/b.yaml:1"]


@pytest.mark.parametrize(
    ("more", "word"),
    [
        (
            "rules: [{id: x, effect: deny, match: {license: [no-such-licence]}}]",
            "not in the table; see hubgate rules lic",
        ),
        ('rules: [{id: x, effect: allow, match: {repo: "https://huggingface.co/a/b"}}]', "never match: no repo"),
        (
            "exceptions: [{id: x, match: {repo: a/b}, overrides: a, owner: y, expires: 2026-01-02}]",
            "expired on 2026-01-02; remove it",
        ),
    ],
)
def test_what_has_no_effect_opens_nothing_and_is_told(shelf, caplog, more, word):
    shelf.write(deny("a"), "good.yaml")
    book = shelf.book()
    file = shelf.write(f"version: 1\n{more}\n", "more.yaml")
    settle(book)
    assert denied(book, "a") == {"a"} and book.faults == () and book.loaded.warnings[0].startswith(f"{file}:2: ")
    (told,) = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert told.startswith(f"rules: {file}:2: ") and word in told


@pytest.mark.parametrize("kind", ["pipe", "directory", "socket", "device", "loop", "dangling"])
def test_what_is_no_file(shelf, kind, tmp_path):
    bad = shelf.rules / "bad.yaml"
    words = {"loop": "Too many levels", "dangling": "No such file"}.get(kind, "no plain file; put one in its place")

    def make():
        match kind:
            case "pipe":
                os.mkfifo(bad)
            case "directory":
                bad.mkdir()
            case "socket":
                with socket.socket(socket.AF_UNIX) as made:
                    made.bind(os.path.relpath(bad))
            case "device":
                bad.symlink_to("/dev/zero")
            case "loop":
                bad.symlink_to("bad.yaml")
            case "dangling":
                bad.symlink_to("not there")

    kept_out(shelf, make, f"{bad}: ", words)


def test_too_many_files(shelf):
    def make():
        for n in range(10_000):
            (shelf.rules / f"{n}.yaml").touch()

    kept_out(shelf, make, f"{shelf.rules}: there are over {MAX_FILES} rule files; put rules together in fewer")


def test_files_that_are_too_much_together(shelf):
    def make():
        for n in range(MAX_TOTAL // 2**20):
            (shelf.rules / f"{n:02}.txt").write_text(f"a{n}\n#" + "x" * (2**20 - 10))
        lists = "".join(f"  l{n}: {{file: {n:02}.txt}}\n" for n in range(MAX_TOTAL // 2**20))
        shelf.write(f"version: 1\nlists:\n{lists}  more: {{file: more.txt}}\n", "bad.yaml")
        shelf.write("x\n" * 1000, "more.txt")

    kept_out(shelf, make, f"{shelf.rules}/bad.yaml:", f"over {MAX_TOTAL} bytes together; leave out")


def test_a_directory_that_cannot_be_read(shelf, tmp_path):
    """It lies below what has become a plain file: not even root can read it."""
    above = tmp_path / "mount"
    rules = above / "rules"
    rules.mkdir(parents=True)
    (rules / "own.yaml").write_text(deny("a"))
    book = shelf.book(rules, optional=True)
    above.rename(tmp_path / "aside")
    above.touch()
    settle(book)
    for each in (book, shelf.book(rules, optional=True)):
        assert denied(each, "a", "b") == {"a"}
        assert each.faults[0].startswith(f"{rules}: cannot be read: Not a directory; name rule files")
    assert reason(shelf.book(above / "elsewhere", optional=True)).rule == UNUSABLE
    above.unlink()
    (tmp_path / "aside").rename(above)
    settle(book)
    assert book.faults == ()


def test_a_file_that_is_deleted_while_it_is_in_force(shelf):
    """Named itself, it is a fault; found in a directory, it is missed."""
    own, other = shelf.write(deny("a")), shelf.write(deny("b"), "other.yaml")
    named, found = shelf.book(own, other), Shelf.book(shelf, shelf.rules)
    other.unlink()
    for book in (named, found):
        settle(book)
        assert denied(book, "a", "b") == {"a", "b"}
    assert named.faults[0].startswith(f"{other}: cannot be read: No such file or directory; name rule files")
    assert found.faults[0].startswith(f"{other}: is gone; its rules stay in force; put it back")


def test_what_changes_while_it_is_read_is_seen_as_changed(shelf):
    file = shelf.write(deny("a"))
    reader = Disk()
    reader.files(shelf.rules)
    shelf.write(deny("b"))
    assert reader.text(file) == file.read_bytes()
    assert states([shelf.rules], reader.states, optional=False) != reader.states
