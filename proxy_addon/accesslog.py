"""One JSON line per request, written by a thread in batches.

The event loop only puts a tuple into a queue; formatting and disk belong to the thread. When the disk cannot keep up,
or refuses, lines are lost and counted: a request never waits for its own log line. No query is ever written, since
signatures travel there; `?` says that there was one. Headers are not looked at.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from functools import lru_cache
from json.encoder import encode_basestring_ascii as _quoted
from pathlib import Path
from queue import Empty, SimpleQueue
from time import gmtime, strftime, time

from .core.messages import Request, Ruling

MAX_WAITING = 100_000
_BATCH_SECONDS = 0.1
_Line = tuple[float, Request, int, str, str, str, int, float, str, Ruling | None]


class AccessLog:
    """`lost` counts lines that were not written. `Path("-")` is standard output. A bad path is an OSError at once."""

    def __init__(self, path: Path) -> None:
        self.lost = 0
        self._path = path
        self._queue: SimpleQueue[_Line] = SimpleQueue()
        self._closing, self._reopen = threading.Event(), False
        self._fd = self._open()
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def write(
        self,
        request: Request,
        status: int,
        outcome: str,
        hub: str,
        kind: str,
        sent: int,
        seconds: float,
        id: str,
        ruling: Ruling | None = None,
    ) -> None:
        """Take note of one finished request; `sent` body bytes in `seconds`. Never blocks, never raises."""
        if self._queue.qsize() >= MAX_WAITING:
            self.lost += 1
        else:
            self._queue.put((time(), request, status, outcome, hub, kind, sent, seconds, id, ruling))

    def reopen(self) -> None:
        """The file was renamed away: go on in a new one (what SIGHUP asks for)."""
        self._reopen = True

    def close(self) -> None:
        """Write what waits and stop; blocks for as long as the disk takes."""
        self._closing.set()
        self._thread.join()
        self._release()

    def _run(self) -> None:
        while True:
            closing = self._closing.wait(_BATCH_SECONDS)
            if self._reopen:
                self._reopen = False
                with contextlib.suppress(OSError):  # the old file serves until the new one can be opened
                    fd = self._open()
                    self._release()
                    self._fd = fd
            batch: list[_Line] = []
            with contextlib.suppress(Empty):
                while len(batch) < MAX_WAITING:
                    batch.append(self._queue.get_nowait())
            if batch:
                self._write(batch)
            elif closing:
                return

    def _write(self, batch: list[_Line]) -> None:
        data = memoryview(b"")
        try:
            data = memoryview("".join(map(_json, batch)).encode())
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:
            self.lost += bytes(data).count(b"\n")
        except (TypeError, ValueError):  # a caller's mistake costs its batch, not the log
            self.lost += len(batch)

    def _open(self) -> int:
        if self._path == Path("-"):
            return sys.stdout.fileno()
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def _release(self) -> None:
        if self._path != Path("-"):
            os.close(self._fd)


def _json(line: _Line) -> str:
    """By hand: three times as fast as `json.dumps` of a dictionary, and while this runs the event loop does not."""
    at, request, status, outcome, hub, kind, sent, seconds, id, ruling = line
    url = request.origin + request.path + ("?" if request.query else "")
    user = f'"user":{_quoted(request.user)},' if request.user else ""
    return (
        f'{{"time":"{_second(int(at))}.{int(at % 1 * 1000):03}Z","id":{_quoted(id)},"client":{_quoted(request.client)},'
        f'{user}"method":{_quoted(request.method)},"url":{_quoted(url)},"status":{status:d},"outcome":{_quoted(outcome)},'
        f'"hub":{_quoted(hub)},"kind":{_quoted(kind)},"bytes":{sent:d},"seconds":{seconds:.6f}'
        f"{'' if ruling is None else _ruled(ruling)}}}\n"
    )


def _ruled(ruling: Ruling) -> str:
    """What the rules said, as far as they said anything."""
    said = {
        "repo": ruling.repo,
        "rule": ruling.rule,
        "also": ruling.also,
        "would_deny": ruling.audit,
        "by": ruling.by,
    }
    return "".join(f",{_quoted(name)}:{json.dumps(value)}" for name, value in said.items() if value)


@lru_cache(4)
def _second(at: int) -> str:
    return strftime("%Y-%m-%dT%H:%M:%S", gmtime(at))
