"""What the hub was asked and what it sent.

A record is added when a request arrives and counts each piece *before* it is written, so that a client which has its
reply always finds it counted. `sent` counts bytes of body given to the connection.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import Any


@dataclass
class Record:
    method: str
    host: str
    path: str  #: raw, without the query
    query: str
    headers: dict[str, str]  #: names in lower case
    client_port: int
    time: float = field(default_factory=time.time)  #: epoch seconds
    body: str = ""  #: of the request, latin-1, at most 64 KiB
    status: int = 0  #: 0: not answered yet
    sent: int = 0
    blob: str | None = None  #: digest of the file whose bytes these are
    blob_size: int = 0
    repo: str | None = None
    ended: bool = False  #: the reply is over
    cut: bool = False  #: the reply was cut short, by a fault or by the client

    @property
    def url(self) -> str:
        return f"https://{self.host}{self.path}" + (f"?{self.query}" if self.query else "")

    def __str__(self) -> str:
        return f"{self.method} {self.status} {self.url} sent={self.sent}{' CUT' if self.cut else ''}"


class Log:
    def __init__(self) -> None:
        self._records: list[Record] = []
        self._news = threading.Condition()

    def add(self, record: Record) -> None:
        with self._news:
            self._records.append(record)
            self._news.notify_all()

    def changed(self) -> None:
        """Let those who wait look again."""
        with self._news:
            self._news.notify_all()

    def end(self, record: Record, *, cut: bool = False) -> None:
        with self._news:
            record.ended = True
            record.cut = record.cut or cut
            self._news.notify_all()

    def clear(self) -> None:
        with self._news:
            self._records = []

    def requests(
        self,
        *,
        method: str = "*",
        host: str = "*",
        path: str = "*",
        status: int | None = None,
        blob: str | None = None,
        ended: bool | None = None,
    ) -> list[Record]:
        """The records that match; patterns are shell globs."""
        return [
            r
            for r in list(self._records)
            if fnmatchcase(r.method, method)
            and fnmatchcase(r.host, host)
            and fnmatchcase(r.path, path)
            and status in (None, r.status)
            and blob in (None, r.blob)
            and ended in (None, r.ended)
        ]

    def bytes_sent(self, **match: Any) -> int:
        return sum(r.sent for r in self.requests(**match))

    def bodies_of(self, blob: str) -> float:
        """How many times the bytes of a file (by `File.digest`) were sent: 1.0 is once, whatever the pieces."""
        found = self.requests(blob=blob)
        return sum(r.sent for r in found) / max(1, found[0].blob_size) if found else 0.0

    def wait(self, count: int = 1, *, timeout: float = 60.0, **match: Any) -> list[Record]:
        """Wait until `count` records match; raises TimeoutError with what was seen."""
        found: list[Record] = []

        def enough() -> bool:
            found[:] = self.requests(**match)
            return len(found) >= count

        self.wait_until(enough, timeout)
        return found

    def wait_until(self, true: Callable[[], bool], timeout: float = 60.0) -> None:
        with self._news:
            if not self._news.wait_for(true, timeout):
                raise TimeoutError("\n".join(["the hub saw only:", *map(str, self._records)]))


def as_json(record: Record) -> dict[str, object]:
    return asdict(record)
