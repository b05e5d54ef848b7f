"""Sync as people run it: a server with `sync:`, `hubgate prefetch --watch` and `hubgate cache log`, each a process."""

from __future__ import annotations

import json
import os
import pickle
import select
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy_addon.cli.main import run
from proxy_addon.config import load
from proxy_addon.store.contract import PIECE
from tests.cli.test_prefetch import CDN, pieces
from tests.hub import TestHub
from tests.processes import COMMAND, ROOT, Hubgate, Process, configuration, hubgate

TINY = "hf:acme/tiny"
LISTED = [{"repo": TINY, "every": "1s", "pin": True}, {"repo": "ms:acme/tiny@master", "every": "1s"}]
type Say = Callable[..., Any]


@pytest.fixture
def config(tmp_path: Path, hub: TestHub) -> Path:
    hub.clear()
    return configuration(tmp_path, hub, sync=LISTED)


@pytest.fixture
def log(config: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Say]:
    """`hubgate cache log`, beside whatever else runs; with `--json` the value."""

    def say(*arguments: str, code: int = 0) -> Any:
        capsys.readouterr()
        assert run(["cache", "log", *arguments, "--config", str(config)]) == code
        told = capsys.readouterr()
        return json.loads(told.out) if "--json" in arguments else told.out + told.err

    yield say


def of(told: list[dict[str, Any]], repo: str) -> list[dict[str, Any]]:
    return [run for run in told if run["repo"] == repo]


def test_a_server_keeps_its_repos_in_step_and_says_so(hub: TestHub, config: Path, log: Say) -> None:
    assert "nothing is on record" in log() and log("--lag", "--json") == []
    with Hubgate(config) as server:
        server.wait_for(f"{TINY} is now")
        server.wait_for("ms:acme/tiny@master is now")
        (first,) = of(log("--json"), TINY)
        head = hub.commit("acme/tiny", {"config.json": '{"new": 1}', "more.txt": "more"})
        server.wait_for(f"is now {head[:16]}")
        told = of(log(TINY, "--json"), TINY)
        assert [run["to"] for run in told] == [first["to"], head] and told[1]["from"] == first["to"]
        assert told[1]["added"] == {"count": 1, "bytes": 4, "files": [["more.txt", 4]]}
        assert told[1]["changed"]["files"] == [["config.json", 10]] and told[1]["fetched"] == 14
        assert f"{first['to'][:12]} -> {head[:12]}  1 added (4 bytes), 1 changed (10 bytes)" in log(f"{TINY}@main")

        metrics = server.metrics()
        assert metrics[f'hubgate_sync_lag_seconds{{repo="{TINY}"}}'] < 60
        assert metrics[f'hubgate_sync_behind{{repo="{TINY}"}}'] == 0
        assert metrics['hubgate_sync_lag_seconds{repo="ms:acme/tiny@master"}'] < 60
        page = server.asked_admin("/").body.decode()
        assert f"<th>{TINY}<" in page and "in step" in page
        assert server.ask("https://huggingface.co/acme/tiny/resolve/main/more.txt").body == b"more"
        assert {at["repo"]: at["behind"] for at in log("--lag", "--json")} == {
            TINY: False,
            "ms:acme/tiny@master": False,
        }
        pinned = json.loads(hubgate("cache", "show", TINY, "--json", "--config", str(config)).stdout)
        assert all(entry["pinned"] for entry in pinned if f"{TINY}@{head}/more.txt" in entry["files"])

        hub.stop()
        server.wait_for(f"sync of {TINY} failed")
        assert any(run["errors"] for run in log(TINY, "--json"))
        hub.commit("acme/tiny", {"more.txt": None})
    hub.start()
    with Hubgate(config) as server:
        server.wait_for(f"is now {hub.repo('acme/tiny').head[:16]}")
    last = log(TINY, "--json")[-1]
    assert last["removed"]["files"] == [["more.txt", 4]] and last["fetched"] == 0 and not last["errors"]


def test_a_server_stops_in_the_middle_of_a_run_and_goes_on_after(hub: TestHub, tmp_path: Path) -> None:
    digest = hub.add_synthetic("acme/large", "w.bin", 10 * PIECE)
    config = configuration(tmp_path, hub, sync=[{"repo": "hf:acme/large", "every": "1h"}])
    hub.knob(host=CDN, skip=4, hold="rest")
    with Hubgate(config) as server:
        hub.wait(5, host=CDN)
        pieces(config, f"sha256:{digest}", 4)
        assert server.stop() == 0, server.told
        assert "Traceback" not in server.told
    hub.release("rest")
    hub.reset()
    with Hubgate(config) as server:
        server.wait_for("hf:acme/large is now")
    assert hub.bytes_sent(host=CDN) == 6 * PIECE


def test_a_watch_that_is_killed_goes_on_where_it_was(hub: TestHub, config: Path, log: Say) -> None:
    digest = hub.add_synthetic("acme/large", "w.bin", 10 * PIECE)
    hub.knob(host=CDN, skip=4, hold="rest")
    command = [*COMMAND, "prefetch", "hf:acme/large", "--watch", "--every", "1s", "--config", str(config)]
    with Process(command) as process:
        hub.wait(5, host=CDN)
        pieces(config, f"sha256:{digest}", 4)
        process.kill()
    hub.release("rest")
    hub.reset()
    with Process(command) as process:
        process.wait_for("nothing -> ")
        process.wait_for("unchanged")
        process.signal(signal.SIGINT)
        assert process.wait() == 130, process.told
    assert "no longer watched" in process.told and "Traceback" not in process.told
    assert hub.bytes_sent(host=CDN) == 6 * PIECE
    cut, whole = log("hf:acme/large", "--json")
    assert cut["errors"] == [{"what": "hf:acme/large", "error": "it was interrupted"}]
    assert whole["fetched"] == 6 * PIECE and whole["added"]["bytes"] == 10 * PIECE and not whole["errors"]


def test_a_watch_without_a_target_takes_what_the_configuration_lists(hub: TestHub, config: Path) -> None:
    command = [*COMMAND, "prefetch", "--watch", "--json", "--config", str(config)]
    with Process(command) as process:
        told = json.loads(process.wait_for(f'"repo": "{TINY}"'))
        assert told["result"] == "changed" and told["added"]["count"] == 9
        process.wait_for('"repo": "ms:acme/tiny@master"')
        hub.commit("acme/tiny", {"more.txt": "more"}, hub="modelscope")
        process.wait_for('"more.txt"')
        process.signal(signal.SIGINT)
        assert process.wait() == 130, process.told


def test_what_cannot_be_had_is_told_again_and_again_and_the_rest_comes(hub: TestHub, config: Path, log: Say) -> None:
    command = [*COMMAND, "prefetch", "hf:acme/nope", TINY, "--watch", "--every", "1s", "--config", str(config)]
    with Process(command) as process:
        process.wait_for("hf:acme/nope: there is no such repo")
        process.wait_for(f"{TINY}  nothing -> ")
        process.wait_for("unchanged")
    (nope,) = log("hf:acme/nope", "--json")
    assert "no such repo" in nope["errors"][0]["error"]
    (row,) = [line for line in log("--lag").splitlines() if line.startswith("hf:acme/nope")]
    assert "never" in row and "no such repo" in row


def test_the_log_is_asked_by_time_and_repo(hub: TestHub, config: Path, log: Say) -> None:
    command = [*COMMAND, "prefetch", TINY, "--watch", "--config", str(config)]
    with Process(command) as process:
        process.wait_for("nothing -> ")
    assert len(log("--since", "7d", "--json")) == 1 and log("--since", "0", "--json") == []
    assert log("hf:acme/other", "--json") == [] and log(f"{TINY}@v1", "--json") == []
    assert "+ config.json" in log(TINY)
    assert "5m" in log("--since", "5", code=2) and "hf:org/name" in log("tiny", code=2)


@pytest.mark.parametrize(
    ("listed", "told"),
    [
        (["hf:acme/tiny", "hf:acme/tiny@main"], "sync[1].repo: hf:acme/tiny@main is listed already, as sync[0]"),
        (["acme/tiny"], "sync[0]"),
        ([{"repo": "hf:acme/tiny", "evry": "1h"}], "did you mean `sync.every`"),
        ([{"repo": "hf:acme/tiny", "every": 5}], "sync[0].every: 5 is not a duration"),
        ([{"every": "5m"}], "sync[0].repo: is missing"),
    ],
)
def test_a_malformed_list_is_refused_with_its_line(tmp_path: Path, listed: list[Any], told: str) -> None:
    config = configuration(tmp_path, sync=listed)
    done = hubgate("serve", "--config", str(config))
    assert done.returncode == 2 and told in done.stderr
    assert f"{config}:" in done.stderr.splitlines()[0]


def test_a_reader_that_leaves_ends_the_watch(hub: TestHub, config: Path) -> None:
    command = [*COMMAND, "prefetch", TINY, "--watch", "--every", "1s", "--config", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        assert "nothing -> " in process.stdout.readline()
        process.stdout.close()
        assert process.wait(30) == 0
        assert "Traceback" not in process.stderr.read()


def children(server: Process) -> list[int]:
    """The processes that it has started."""
    return [int(pid) for pid in Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()]


def test_sync_has_a_process_of_its_own_that_no_server_leaves_behind(hub: TestHub, config: Path) -> None:
    with Hubgate(config) as server:
        server.wait_for(f"{TINY} is now")
        (child,) = children(server)
        assert os.getpriority(os.PRIO_PROCESS, child) > os.getpriority(os.PRIO_PROCESS, server.pid)
        ended = os.pidfd_open(child)
        server.signal(signal.SIGKILL)
        assert select.select([ended], [], [], 20)[0], "it outlives its server"
        os.close(ended)


def test_a_terminal_that_closes_ends_neither_server_nor_sync(hub: TestHub, config: Path) -> None:
    with Hubgate(config) as server:
        server.wait_for(f"{TINY} is now")
        (child,) = children(server)
        os.kill(child, signal.SIGHUP)
        server.signal(signal.SIGHUP)
        head = hub.commit("acme/tiny", {"more.txt": "more"})
        server.wait_for(f"is now {head[:16]}")
        assert children(server) == [child]


def test_sync_that_is_told_to_end_does_so_in_order_and_is_started_again(hub: TestHub, config: Path) -> None:
    with Hubgate(config) as server:
        server.wait_for(f"{TINY} is now")
        os.kill(children(server)[0], signal.SIGTERM)
        server.wait_for("ended with status 1; again in 60 s")
        assert "let go" not in server.told and "Traceback" not in server.told


def test_what_does_not_begin_is_told_and_the_lag_grows(hub: TestHub, config: Path, tmp_path: Path) -> None:
    (tmp_path / "cache/sync/claims.lock").mkdir(parents=True)
    with Hubgate(config) as server:
        server.wait_for("nothing is kept in sync: ")
        server.wait_for("ended with status 1; again in 60 s")
        metrics = server.metrics()
        assert metrics[f'hubgate_sync_lag_seconds{{repo="{TINY}"}}'] > 0
        assert metrics[f'hubgate_sync_behind{{repo="{TINY}"}}'] == 1


def test_a_cache_that_cannot_be_had_is_told_in_a_line(config: Path, tmp_path: Path) -> None:
    settings = load(config)
    (tmp_path / "cache").write_text("a file")
    command = [sys.executable, "-m", "proxy_addon.background"]
    done = subprocess.run(command, cwd=ROOT, input=pickle.dumps(settings), capture_output=True, timeout=60)
    assert done.returncode == 1 and b"cache.dir: " in done.stderr and b"Traceback" not in done.stderr


def test_nothing_in_the_working_directory_becomes_part_of_it(hub: TestHub, config: Path, tmp_path: Path) -> None:
    (tmp_path / "pickle.py").write_text("raise SystemExit('not mine')")
    (tmp_path / "proxy_addon").mkdir()
    command = ["env", "-C", str(tmp_path), *COMMAND, "serve", "--config", str(config)]
    with Process(command) as server:
        server.wait_for(f"{TINY} is now")


def test_a_server_goes_on_when_what_keeps_repos_in_sync_is_killed(hub: TestHub, config: Path) -> None:
    with Hubgate(config) as server:
        server.wait_for(f"{TINY} is now")
        os.kill(children(server)[0], signal.SIGKILL)
        server.wait_for("ended with status -9; again in 60 s")
        assert server.ask("https://huggingface.co/acme/tiny/resolve/main/config.json").status == 200
        assert server.stop() == 0


def test_a_journal_that_cannot_be_written_is_told_and_clients_are_served(hub: TestHub, config: Path) -> None:
    with Hubgate(config) as server:
        server.wait_for(f"{TINY} is now")
    with sqlite3.connect(config.parent / "cache/sync/journal.db") as con:
        con.execute("CREATE TRIGGER full BEFORE UPDATE ON standing BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
    with Hubgate(config) as server:
        server.wait_for("nothing is kept in sync: sync journal: disk is full")
        server.wait_for("ended with status 1; again in 60 s")
        assert server.ask("https://huggingface.co/acme/tiny/resolve/main/config.json").status == 200


def test_a_journal_that_cannot_be_read_is_told_in_a_line(config: Path, log: Say) -> None:
    (config.parent / "cache/sync/journal.db").mkdir(parents=True)
    for asked in ([], ["--lag"]):
        assert "journal.db: unable to open database file" in log(*asked, code=1)


def test_what_is_listed_no_longer_is_let_go(hub: TestHub, config: Path, log: Say, tmp_path: Path) -> None:
    with Hubgate(config) as server:
        server.wait_for(f"{TINY} is now")
    assert json.loads(hubgate("cache", "stats", "--json", "--config", str(config)).stdout)["pinned"] >= 9
    configuration(tmp_path, hub)
    with Hubgate(config) as server:
        server.wait_for("what was is let go")
    assert json.loads(hubgate("cache", "stats", "--json", "--config", str(config)).stdout)["pinned"] == 0
    assert log("--lag", "--json") == [] and log("--json"), "the log stays"
    with Hubgate(config) as server:
        assert children(server) == []
