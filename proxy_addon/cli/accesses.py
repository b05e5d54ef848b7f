"""The access log, read line by line: of a file of any length no more than a line is held.

What is no line of the log is passed over and counted; a last line without its end is one that is being written. Files
that were rotated away, compressed or not, are read in the order in which they are named.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from ..core.errors import ConfigError

LONGEST = 256 * 1024  # bytes of a line


@dataclass(frozen=True, slots=True)
class Access:
    """One finished request. From `repo` on: what the rules said, where they said anything."""

    at: float  # UNIX time
    client: str
    user: str
    method: str
    url: str  # without its query
    asked_more: bool  # there was a query
    hub: str
    kind: str
    repo: str = ""
    rule: str = ""
    also: tuple[str, ...] = ()
    would_deny: tuple[str, ...] = ()
    by: tuple[str, ...] = ()

    @property
    def who(self) -> str:
        return self.user or self.client


class Accesses:
    """`unread` counts what was no line of a log; `seen` all that was."""

    def __init__(self, paths: Iterable[Path]) -> None:
        """Raises ConfigError for a file that cannot be opened, before any is read."""
        self.paths = tuple(paths)
        self.seen = self.unread = 0
        for path in self.paths:
            try:
                with path.open("rb") as stream:
                    stream.read(1)
            except OSError as fault:
                raise ConfigError(f"--log: {path} cannot be read: {fault.strerror}; name an access log") from None

    def __iter__(self) -> Iterator[Access]:
        for path in self.paths:
            try:
                with _opened(path) as stream:
                    yield from self._of(stream)
            except (OSError, EOFError, zlib.error) as fault:  # what was compressed may end early, or be damaged
                raise ConfigError(f"--log: {path} cannot be read to its end: {fault}") from None

    def _of(self, stream: IO[bytes]) -> Iterator[Access]:
        while line := stream.readline(LONGEST):
            if not line.endswith(b"\n"):
                if len(line) == LONGEST:
                    self.unread += 1
                    while line and not line.endswith(b"\n"):
                        line = stream.readline(LONGEST)
                continue
            found = _access(line)
            if found is None:
                self.unread += 1
            else:
                self.seen += 1
                yield found


def _opened(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _access(line: bytes) -> Access | None:
    try:
        told = json.loads(line)
        at = datetime.fromisoformat(told["time"]).timestamp()
        url = str(told["url"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return Access(
        at=at,
        client=_text(told, "client"),
        user=_text(told, "user"),
        method=_text(told, "method"),
        url=url.removesuffix("?"),
        asked_more=url.endswith("?"),
        hub=_text(told, "hub"),
        kind=_text(told, "kind"),
        repo=_text(told, "repo"),
        rule=_text(told, "rule"),
        also=_texts(told, "also"),
        would_deny=_texts(told, "would_deny"),
        by=_texts(told, "by"),
    )


def _text(told: dict[str, Any], name: str) -> str:
    value = told.get(name)
    return value if isinstance(value, str) else ""


def _texts(told: dict[str, Any], name: str) -> tuple[str, ...]:
    value = told.get(name)
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()
