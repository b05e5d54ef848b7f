"""Rules in force follow what is on disk, and never become fewer by accident."""

import asyncio
import logging
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from proxy_addon.policy import kept
from proxy_addon.policy.index import Tier
from proxy_addon.policy.kept import Kept
from proxy_addon.policy.reading import states
from proxy_addon.policy.rulebook import AGAIN, UNQUIET, UNUSABLE, Rulebook
from tests.engine.rig import until
from tests.policy.drawn import NOW
from tests.policy.shelf import Shelf, denied, deny, reason, settle

ALL = ("a", "b", "c")


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path)


@pytest.fixture
def logged(caplog):
    caplog.set_level(logging.INFO, "proxy_addon.policy.rulebook")
    return lambda level: [each.getMessage() for each in caplog.records if each.levelno == level]


def test_the_digest_of_the_same_rules_is_the_same_in_every_process(shelf):
    """What a server logs can be compared with what `hubgate explain` prints, and with the next server."""
    names = ", ".join(f"torch.x{n}" for n in range(20))
    written = shelf.write(
        f"version: 1\nscan: {{pickle: {{action: deny, allow_imports: [{names}]}}}}\nlists: {{some: [{names}]}}\n"
    )
    code = "import sys; from pathlib import Path; from proxy_addon.policy.load import load;"
    code += " print(load([Path(sys.argv[1])], now=0.0).policy.digest)"
    found = {
        subprocess.run(
            [sys.executable, "-c", code, written],
            env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(found) == 1 and found != {""}


# Edits


def test_an_edit_comes_into_force_when_it_is_finished(shelf, logged):
    shelf.write(deny("a"))
    book = shelf.book()
    first = book.policy
    assert denied(book, *ALL) == {"a"} and book.since == NOW
    shelf.write(deny("a")[:-5])  # an editor that writes in two steps
    book.look()
    shelf.write(deny("a", "b"))
    book.look()
    assert book.policy is first, "a change that goes on is waited for"
    book.look()
    assert denied(book, *ALL) == {"a", "b"} and book.faults == () and book.reloads == 2
    assert (
        f"2 rules in force, digest {book.policy.digest}; before it 1, digest {first.digest}" in logged(logging.INFO)[-1]
    )
    for _ in range(2 * AGAIN):
        book.look()
    assert book.reloads == 2, "without a change nothing is loaded"


def test_a_file_that_never_rests_is_read_all_the_same(shelf):
    shelf.write(deny("a"))
    book = shelf.book()
    for _ in range(UNQUIET + 1):
        shelf.write(deny("a", "b"))
        book.look()
    assert denied(book, *ALL) == {"a", "b"}


def test_files_come_and_change_in_any_way(shelf):
    shelf.write(deny("a"))
    book = shelf.book()
    shelf.write(deny("b"), "more.yml")
    settle(book)
    assert denied(book, *ALL) == {"a", "b"}
    (shelf.rules / "new").write_text(deny("a", "c"))
    (shelf.rules / "new").replace(shelf.rules / "own.yaml")
    settle(book)
    assert denied(book, *ALL) == {"a", "b", "c"}
    more = shelf.rules / "more.yml"
    text, stood = more.read_text().replace("b/*", "x/*"), more.stat()
    while more.stat().st_ctime_ns == stood.st_ctime_ns:  # the clock of a disk ticks slowly
        more.write_text(text)
        os.utime(more, ns=(stood.st_atime_ns, stood.st_mtime_ns))
    settle(book)
    assert denied(book, "b", "x") == {"x"}, "neither size nor mtime changed, ctime did"


def test_a_list_in_a_file_of_its_own_is_followed_too(shelf):
    shelf.write(
        "version: 1\nlists: {bad: {file: bad.txt}}\nrules:\n  - {id: x, effect: deny, match: {namespace_in: bad}}\n"
    )
    shelf.write("a\n", "bad.txt")
    book = shelf.book()
    assert denied(book, *ALL) == {"a"}
    shelf.write("a\nb\n", "bad.txt")
    settle(book)
    assert denied(book, *ALL) == {"a", "b"}
    for text in ("", "# nobody\n", b"\xff\n"):
        shelf.write(text, "bad.txt")
        settle(book)
        assert denied(book, *ALL) == {"a", "b"}
        assert f"own.yaml:2: lists.bad.file: {shelf.rules}/bad.txt: " in book.faults[0] and ";" in book.faults[0]
    (shelf.rules / "bad.txt").unlink()
    settle(book)
    assert denied(book, *ALL) == {"a", "b"} and "No such file" in book.faults[0]
    shelf.write("c\n", "bad.txt")
    settle(book)
    assert denied(book, *ALL) == {"c"} and book.faults == ()


def test_what_its_state_does_not_tell_is_found_by_reading(shelf):
    """As on a disk whose clock is slow: the state is the same, the text is not."""
    file = shelf.write(deny("a"))
    book = shelf.book()
    file.write_bytes(file.read_bytes().replace(b"a/", b"b/"))
    book._settled = states([shelf.rules], [], optional=False)
    for _ in range(AGAIN):
        book.look()
    assert denied(book, *ALL) == {"b"}


# Faults


@pytest.mark.fault("R21")
def test_a_fault_keeps_what_was_good_until_it_is_mended(shelf, logged):
    file = shelf.write(deny("a"))
    book = shelf.book()
    good = book.policy
    file.write_text(deny("a", "b") + "ruels: []\nrulez: []\n")
    settle(book)
    assert book.policy is good and book.failures == 1
    assert [fault.split(": ")[0] for fault in book.faults] == [f"{file}:6", f"{file}:7"]
    (told,) = logged(logging.ERROR)
    assert f"{file}:6: ruels: no such key; did you mean `rules`? (and 1 more); the last good set of 2026-" in told
    assert book.reasons[0].startswith(f"rules: {file}:6: ruels") and book.reasons[0].endswith("UTC is in force")
    for _ in range(AGAIN):
        book.look()
    assert len(logged(logging.ERROR)) == 1, "told once"
    file.write_text(deny("a", "b"))
    settle(book)
    assert denied(book, *ALL) == {"a", "b"} and book.faults == book.reasons == ()
    assert "in order again; 2 rules" in logged(logging.INFO)[-1]


@pytest.mark.fault("R21")
def test_a_restart_with_a_fault_has_the_last_good_set(shelf):
    file = shelf.write(deny("a"))
    first = shelf.book()
    file.write_text("version: 1\nrules: [")
    book = shelf.book()
    assert book.policy.digest == first.policy.digest and denied(book, *ALL) == {"a"}
    assert book.faults[0].startswith(f"{file}:2: not valid YAML")
    answer = reason(book, "a/b")
    assert answer.place == f"{file}:3", "the line that it was on"
    file.write_text(deny("c"))
    settle(book)
    assert denied(book, *ALL) == {"c"} and book.faults == ()


@pytest.mark.fault("R21")
def test_without_any_good_set_everything_is_denied_and_says_why(shelf, logged):
    file = shelf.write("version: 1\nrules:\n  - {id: x, effect: deny, match: {repo: a/b}, reason: '{repos}'}\n")
    book = shelf.book()
    answer = reason(book)
    assert answer.rule == UNUSABLE and answer.place == f"{file}:3"
    assert ": own.yaml:3: rules[0].reason: (repos) is no fact" in answer.reason
    assert str(file) in book.reasons[0] and str(file) in logged(logging.ERROR)[0] and str(file) not in answer.reason
    assert answer.contact == "the operator of this proxy" and answer.tier is Tier.EMBARGO, "no upload passes either"
    assert book.reasons[0].endswith("everything is denied until that is mended")
    assert logged(logging.ERROR)[0].endswith("everything is denied until that is mended")
    assert not (shelf.keep / kept.NAME).exists()
    file.write_text(deny("a"))
    settle(book)
    assert denied(book, *ALL) == {"a"} and book.faults == ()


def test_what_could_not_be_read_for_once_is_read_again(shelf, logged):
    file = shelf.write(deny("a"))
    book = shelf.book(file)
    file.write_text(deny("a", "b"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        for _ in range(2 * AGAIN):
            book.look()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert denied(book, *ALL) == {"a"} and "Too many open files" in book.faults[0]
    assert len(logged(logging.ERROR)) == 1 == book.failures, "told once"
    for _ in range(AGAIN):
        book.look()
    assert denied(book, *ALL) == {"a", "b"} and book.faults == ()


def test_faults_are_few_short_lines(shelf):
    shelf.write("version: 1\n" + "".join(f'"k{n}\\n\\x1b[2J": {"x" * 3000}\n' for n in range(300)))
    book = shelf.book()
    assert len(book.faults) == 300 and all(fault.isprintable() and len(fault) <= 600 for fault in book.faults)
    assert len(book.reasons) == 21 and book.reasons[-1] == "rules: 280 more faults; hubgate rules lint tells all"


def test_warnings_come_into_force_and_are_told(shelf, logged):
    file = shelf.write(deny("a"))
    book = shelf.book()
    file.write_text(deny("a") + "  - {id: never, effect: allow, match: {path: /x}}\n")
    settle(book)
    assert denied(book, *ALL) == {"a"} and book.policy.size == 2 and book.faults == ()
    assert [told for told in logged(logging.WARNING) if f"{file}:5: rules[1].match.path: never can never match" in told]


# What is gone


@pytest.mark.parametrize("restarted", [False, True])
def test_a_file_that_is_gone_stays_in_force_until_somebody_confirms(shelf, logged, restarted):
    own, other = shelf.write(deny("a")), shelf.write(deny("b"), "other.yaml")
    book = shelf.book()
    other.unlink()
    own.write_text(deny("a", "c"))
    if restarted:
        book = shelf.book()
    settle(book)
    assert denied(book, *ALL) == {"a", "b"}
    (told,) = book.faults
    assert told.startswith(f"{other}: is gone; its rules stay in force") and f"kill -HUP {os.getpid()}" in told
    assert logged(logging.ERROR)[-1].startswith(f"rules: {other}: is gone")
    assert denied(shelf.book(), *ALL) == {"a", "b"}, "a restart does not confirm"
    book.look(confirmed=True)
    assert denied(book, *ALL) == {"a", "c"} and book.faults == ()
    assert shelf.book().faults == (), "what was confirmed is"


def test_a_file_that_is_back_needs_no_confirmation(shelf):
    file = shelf.write(deny("a"))
    shelf.write(deny("b"), "other.yaml")
    book = shelf.book()
    file.rename(shelf.rules / "own.yaml.off")
    settle(book)
    assert len(book.faults) == 1
    (shelf.rules / "own.yaml.off").rename(file)
    settle(book)
    assert book.faults == () and denied(book, *ALL) == {"a", "b"}


def test_a_file_renamed_split_or_emptied_of_what_is_said_elsewhere_is_an_edit(shelf):
    file = shelf.write(deny("a", "b", more="mode: enforce\nlists: {x: [y]}\n"))
    book = shelf.book()
    file = file.rename(shelf.rules / "renamed.yaml")
    settle(book)
    assert book.faults == () and denied(book, *ALL) == {"a", "b"}
    file.unlink()
    shelf.write(deny("a", more="mode: enforce\n"), "one.yaml")
    shelf.write(deny("b", more="lists: {x: [y]}\n"), "two.yaml")
    settle(book)
    assert book.faults == () and denied(book, *ALL) == {"a", "b"}
    shelf.write("version: 1\n# nothing yet\n", "empty.yaml")
    settle(book)
    (shelf.rules / "empty.yaml").unlink()
    settle(book)
    assert book.faults == ()


@pytest.mark.parametrize(
    "setting", ["defaults: {decision: deny}", "lists: {x: [y]}", "scan: {pickle: {}}", "mode: audit"]
)
def test_settings_that_are_gone_are_missed_too(shelf, setting):
    shelf.write(deny("a"))
    shelf.write(f"version: 1\n{setting}\n", "settings.yaml")
    book = shelf.book()
    (shelf.rules / "settings.yaml").unlink()
    settle(book)
    assert "settings.yaml: is gone" in book.faults[0]


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("optional", [False, True])
def test_a_directory_that_is_gone_or_empty_opens_nothing(shelf, restarted, optional):
    shelf.write(deny("a"))
    book = shelf.book(optional=optional)
    aside = shelf.rules.rename(shelf.rules.with_name("aside"))
    for there in (False, True):
        if there:
            shelf.rules.mkdir()
        if restarted:
            book = shelf.book(optional=optional)
        settle(book)
        assert denied(book, *ALL) == {"a"} and len(book.faults) == 1, there
    shelf.rules.rmdir()
    aside.rename(shelf.rules)
    settle(book)
    assert book.faults == () and denied(book, *ALL) == {"a"}


@pytest.mark.parametrize("optional", [False, True])
def test_that_nothing_is_left_cannot_be_confirmed(shelf, optional):
    file = shelf.write(deny("a"))
    book = shelf.book(optional=optional)
    file.unlink()
    for confirmed in (False, True):
        book.look(confirmed=confirmed)
        settle(book)
        assert denied(book, "a") == {"a"} and "no rule file" in book.faults[0]
    shelf.write("version: 1\n")
    book.look(confirmed=True)
    assert book.policy.open and book.faults == ()


def test_an_empty_directory_that_is_named_denies_everything(shelf):
    shelf.write(deny("a")).unlink()
    book = shelf.book()
    assert "no rule file" in reason(book).reason, "perhaps not mounted"
    book.look(confirmed=True)
    assert "no rule file" in reason(book).reason


def test_only_rules_that_are_named_must_be_there(shelf, tmp_path):
    away = tmp_path / "away"
    assert shelf.book(away, optional=True).policy.open
    assert not shelf.keep.exists(), "what was never there is nothing to keep"
    book = shelf.book(away)
    assert reason(book).rule == UNUSABLE and book.faults[0].startswith(f"{away}: cannot be read: No such file")
    away.mkdir()
    (away / "x.yaml").write_text(deny("a"))
    settle(book)
    assert denied(book, *ALL) == {"a"}
    later = shelf.book(tmp_path / "later", optional=True)
    later_file = tmp_path / "later"
    later_file.mkdir()
    (later_file / "x.yaml").write_text(deny("b"))
    settle(later)
    assert denied(later, *ALL) == {"b"}, "made while it runs"
    (tmp_path / "nowhere").symlink_to("no such target")
    assert reason(shelf.book(tmp_path / "nowhere", optional=True)).rule == UNUSABLE, "a link is something"


def test_a_configuration_with_other_paths_confirms_by_itself(shelf, tmp_path):
    own, other = shelf.write(deny("a")), shelf.write(deny("b"), "other.yaml")
    shelf.book(own, other)
    book = shelf.book(own)
    assert denied(book, *ALL) == {"a"} and book.faults == ()
    own.write_text("version: 2\n")
    assert reason(shelf.book(own, other)).rule == UNUSABLE, "what was kept for other paths stands in for none"
    assert denied(shelf.book(own), *ALL) == {"a"}


def test_what_was_kept_before_another_configuration_is_forgotten(shelf, tmp_path):
    shelf.write(deny("a"))
    other = shelf.write(deny("b"), "other.yaml")
    shelf.book()
    shelf.book(tmp_path / "nowhere", optional=True)
    other.unlink()
    book = shelf.book()
    assert denied(book, *ALL) == {"a"} and book.faults == ()


def test_a_file_by_two_names_is_one_and_hidden_ones_are_none(shelf, tmp_path):
    file = shelf.write(deny("a"))
    (tmp_path / "link.yaml").symlink_to(file)
    (shelf.rules / ".#own.yaml").symlink_to("somebody@is-editing")
    book = shelf.book(shelf.rules, tmp_path / "link.yaml")
    assert book.faults == () and book.policy.size == 1
    file.write_text("version: 2\n")
    assert denied(shelf.book(shelf.rules, tmp_path / "link.yaml"), *ALL) == {"a"}


# What is kept


def test_what_is_kept_is_private_and_whole(shelf):
    shelf.write("version: 1\nlists: {bad: {file: bäd.txt}}\n" + deny("a").removeprefix("version: 1\n"))
    shelf.write("b\n", "bäd.txt")
    shelf.write(deny("c"), os.fsdecode(b"\xff.yaml"))
    book = shelf.book()
    file = shelf.keep / kept.NAME
    assert file.stat().st_mode & 0o777 == 0o600 and shelf.keep.stat().st_mode & 0o777 == 0o700
    found = kept.read(shelf.keep)
    assert found.texts == {path: path.read_bytes() for path in shelf.rules.iterdir()} and set(found.files) == set(
        book.loaded.files
    )
    written = file.stat().st_ino
    shelf.book()
    assert file.stat().st_ino == written, "the same is not written again"


@pytest.mark.parametrize("harm", ["cut", "flipped", "empty", "other version", "not JSON", "a pipe", "a directory"])
def test_what_is_kept_and_damaged_is_none(shelf, harm):
    own = shelf.write(deny("a"))
    shelf.book()
    file = shelf.keep / kept.NAME
    data = file.read_bytes()
    file.unlink()
    match harm:
        case "a pipe":
            os.mkfifo(file)
        case "a directory":
            file.mkdir()
        case _:
            at = data.index(b"effect: deny")
            file.write_bytes(
                {
                    "cut": data[:-1],
                    "flipped": data[:at] + b"effect: Deny" + data[at + 12 :],
                    "empty": b"",
                    "other version": data.replace(b"rules 1", b"rules 2", 1),
                    "not JSON": b"hubgate rules 1 " + b"0" * 64 + b"\n",
                }[harm]
            )
    assert kept.read(shelf.keep) is None
    own.write_text("version: 2\n")
    assert reason(shelf.book()).rule == UNUSABLE


def test_a_disk_that_does_not_keep_them_is_told_and_they_are_in_force(shelf, logged):
    shelf.write(deny("a"))
    shelf.keep.write_text("in the way")
    book = shelf.book()
    assert denied(book, *ALL) == {"a"} and book.faults == ()
    assert f"cannot be kept in {shelf.keep}" in book.trouble and book.reasons == (f"rules: {book.trouble}",)
    assert len(logged(logging.WARNING)) == 1
    shelf.keep.unlink()
    for _ in range(AGAIN):
        book.look()
    assert book.trouble == "" and kept.read(shelf.keep) is not None and book.reloads == 1


def test_a_process_beside_the_server_follows_and_keeps_nothing(shelf):
    shelf.write(deny("a"))
    other = shelf.write(deny("b"), "other.yaml")
    beside = shelf.book(keeps=False)
    assert denied(beside, *ALL) == {"a", "b"} and not shelf.keep.exists()
    server = shelf.book()
    beside = shelf.book(keeps=False)
    other.unlink()
    settle(server)
    settle(beside)
    assert denied(beside, *ALL) == {"a", "b"} and "SIGHUP to the server" in beside.faults[0]
    server.look(confirmed=True)
    settle(beside)
    assert denied(beside, *ALL) == {"a"} and beside.faults == (), "it was confirmed to the server"
    stood = (shelf.keep / kept.NAME).stat()
    shelf.write(deny("a", "c"))
    settle(beside)
    assert denied(beside, *ALL) == {"a", "c"} and (shelf.keep / kept.NAME).stat() == stood
    shelf.write("version: 2\n")
    assert denied(shelf.book(keeps=False), *ALL) == {"a"}, "the last good set is for all"


KILLED = """
import os, signal, sys
from pathlib import Path
from proxy_addon.policy import kept
from proxy_addon.policy.index import Tier
from proxy_addon.policy.kept import Kept

folder, file, last = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
new = Kept(frozenset([file]), (file,), {file: file.read_bytes()}, 2.0)
seen = 0

def watched(event, arguments):
    global seen
    if event in ("open", "os.rename", "os.mkdir", "os.scandir", "os.remove"):
        seen += 1
        if seen == last:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(watched)
kept.write(folder, new)
"""


@pytest.mark.fault("R3", tries=3)
def test_whoever_is_killed_while_it_is_written_leaves_the_old_or_the_new(shelf):
    file = shelf.write(deny("a"))
    old = Kept(frozenset([file]), (file,), {file: file.read_bytes()}, 1.0)
    file.write_text(deny("b"))
    new, found = Kept(frozenset([file]), (file,), {file: file.read_bytes()}, 2.0), []
    for last in range(1, 30):
        kept.write(shelf.keep, old)
        done = subprocess.run(
            [sys.executable, "-c", KILLED, shelf.keep, file, str(last)], cwd=Path(__file__).parents[2]
        )
        found.append(kept.read(shelf.keep))
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
    assert done.returncode == 0 and len(found) > 3
    assert found == sorted(found, key=lambda each: each.at) and {each.at for each in found[:-1]} == {1.0, 2.0}
    assert all(each == (old if each.at == 1.0 else new) for each in found)


def test_what_was_left_half_written_long_ago_is_removed(shelf):
    shelf.write(deny("a"))
    shelf.keep.mkdir()
    for name, age in (("last-good.old", 7200), ("last-good.now", 0)):
        (shelf.keep / name).touch()
        os.utime(shelf.keep / name, (os.stat(shelf.keep).st_mtime - age,) * 2)
    shelf.book()
    assert {each.name for each in shelf.keep.iterdir()} == {"last-good", "last-good.now"}


# Watching


async def test_it_is_watched_and_told_by_a_signal(shelf):
    file, other = shelf.write(deny("a")), shelf.write(deny("b"), "other.yaml")
    book = shelf.book()
    task = asyncio.create_task(book.watch())
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, book.hup)
    try:
        file.write_text(deny("a", "c"))
        await until(lambda: denied(book, *ALL) == {"a", "b", "c"})
        other.unlink()
        await until(lambda: book.faults)
        os.kill(os.getpid(), signal.SIGUSR1)
        await until(lambda: denied(book, *ALL) == {"a", "c"})
        assert book.faults == ()
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGUSR1)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_signal_before_it_is_watched_is_not_lost(shelf):
    shelf.write(deny("a"))
    other = shelf.write(deny("b"), "other.yaml")
    book = shelf.book()
    other.unlink()
    book.hup()
    task = asyncio.create_task(book.watch())
    await until(lambda: denied(book, *ALL) == {"a"})
    task.cancel()


def test_a_mistake_of_ours_at_the_start_leaves_the_last_good_set(shelf):
    shelf.write(deny("a"))
    shelf.book()
    lift = "exceptions: [{id: e, match: {repo: x/y}, overrides: a, owner: x, expires: 2026-12-01}]\n"
    shelf.write(deny("a", "b", more=lift))
    book = Rulebook((shelf.rules,), shelf.keep, clock=lambda: "no time")
    book.open()
    assert book.faults[0].startswith("cannot be looked at: TypeError") and denied(book, *ALL) == {"a"}


async def test_a_mistake_of_ours_is_seen_and_ends_nothing(shelf, logged):
    shelf.write(deny("a"))
    now = [NOW]
    book = Rulebook((shelf.rules,), shelf.keep, clock=lambda: now[0], optional=False)
    book.open()
    now[0] = "no time"
    task = asyncio.create_task(book.watch())
    shelf.write(
        deny("a", "b") + "exceptions:\n  - {id: e, match: {repo: x/y}, overrides: a, owner: x, expires: 2026-12-01}\n"
    )
    await until(lambda: book.faults)
    assert book.faults[0].startswith("cannot be looked at: TypeError") and denied(book, *ALL) == {"a"}
    assert len(logged(logging.ERROR)) == 1
    now[0] = NOW
    await until(lambda: denied(book, *ALL) == {"a", "b"})
    assert book.faults == ()
    task.cancel()


def test_clients_are_not_told_where_files_lie(shelf, tmp_path):
    """Neither the file at fault, whatever its directory is called, nor another that it is about."""
    own = tmp_path / "our own rules"
    own.mkdir()
    (own / "own.yaml").write_text(deny("a"))
    shelf.write(deny("a"), "two.yaml")
    for paths in ((shelf.rules, own), (own, shelf.rules)):  # the latter is at fault
        book = shelf.book(*paths)
        assert str(own) in book.faults[0] and str(shelf.rules) in book.faults[0], "the log is told"
        answer = reason(book)
        assert str(tmp_path) not in answer.reason
        assert f" before: {answer.place.rpartition('/')[2]}: " in answer.reason


def test_nor_where_there_is_none(shelf, tmp_path):
    said = reason(shelf.book(tmp_path / "gone" / "rules")).reason
    assert ": rules: cannot be read: No such file" in said and str(tmp_path) not in said
