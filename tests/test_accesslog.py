import json
import os
import resource
import signal
from datetime import datetime
from pathlib import Path
from threading import Event

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_addon import accesslog
from proxy_addon.accesslog import AccessLog
from proxy_addon.core.messages import Headers, Request

REQUEST = Request(
    "GET", "https", "huggingface.co", 443, "/gpt2/resolve/main/x", "Signature=canary", client="127.0.0.1",
    headers=Headers([("Authorization", "Bearer canary")]),
)  # fmt: skip


def note(log: AccessLog, request: Request = REQUEST, id: str = "r1") -> None:
    log.write(request, 200, "hit", "huggingface", "file", 1234, 0.25, id)


def until(condition) -> None:
    """Wait for the log's own thread, ten seconds at most."""
    pause = Event()
    assert any(condition() or pause.wait(0.05) for _ in range(200))


def lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_one_json_line_a_request(tmp_path):
    log = AccessLog(tmp_path / "access.json")
    note(log)
    log.close()
    (line,) = lines(tmp_path / "access.json")
    assert datetime.fromisoformat(line.pop("time")).utcoffset().total_seconds() == 0
    assert line == {
        "id": "r1", "client": "127.0.0.1", "method": "GET", "url": "https://huggingface.co/gpt2/resolve/main/x?",
        "status": 200, "outcome": "hit", "hub": "huggingface", "kind": "file", "bytes": 1234, "seconds": 0.25,
    }  # fmt: skip
    assert "canary" not in (tmp_path / "access.json").read_text()


def test_close_writes_all_that_waits_in_order(tmp_path):
    log = AccessLog(tmp_path / "access.json")
    for n in range(5000):
        note(log, id=str(n))
    log.close()
    assert [line["id"] for line in lines(tmp_path / "access.json")] == [str(n) for n in range(5000)]
    assert log.lost == 0


@given(st.text(max_size=30), st.text(max_size=30))
@settings(max_examples=50, deadline=None)
def test_whatever_is_in_a_path_stays_on_one_line(path, method):
    line = accesslog._json((0.0, Request(method, "http", "h", 80, "/" + path), 1, "a", "b", "c", 0, 0.0, path, None))
    assert line.count("\n") == 1 and line.isascii()
    assert json.loads(line)["url"] == "http://h/" + path
    assert json.loads(line)["method"] == method


def test_reopen_after_a_rename(tmp_path):
    file, old = tmp_path / "access.json", tmp_path / "access.json.1"
    log = AccessLog(file)
    note(log, id="before")
    until(lambda: file.read_text())
    file.rename(old)
    log.reopen()
    until(file.exists)
    note(log, id="after")
    log.close()
    assert [line["id"] for line in lines(old)] == ["before"]
    assert [line["id"] for line in lines(file)] == ["after"]


def test_lines_beyond_the_bound_are_lost_and_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(accesslog, "MAX_WAITING", 0)
    log = AccessLog(tmp_path / "access.json")
    note(log)
    note(log)
    monkeypatch.undo()
    log.close()
    assert log.lost == 2
    assert (tmp_path / "access.json").read_text() == ""


def test_a_disk_that_refuses_costs_lines_not_requests(tmp_path):
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    log = AccessLog(tmp_path / "access.json")
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
        note(log)
        note(log)
        until(lambda: log.lost)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    note(log, id="later")
    log.close()
    assert log.lost == 2
    assert [line["id"] for line in lines(tmp_path / "access.json")] == ["later"]


def test_a_callers_mistake_does_not_end_the_log(tmp_path):
    log = AccessLog(tmp_path / "access.json")
    log.write(REQUEST, None, "hit", "-", "-", 0, 0.0, "bad")
    until(lambda: log.lost == 1)
    note(log)
    log.close()
    assert len(lines(tmp_path / "access.json")) == 1


def test_a_bad_path_is_an_error_at_once(tmp_path):
    with pytest.raises(OSError):
        AccessLog(tmp_path / "missing" / "access.json")


def test_standard_output(capfd):
    log = AccessLog(Path("-"))
    note(log)
    log.close()
    os.fstat(1)
    assert json.loads(capfd.readouterr().out)["id"] == "r1"
