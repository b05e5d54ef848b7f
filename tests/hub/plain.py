"""`plain.example`: a host without any meaning, for plain RFC 9111 caching. Tests say what it answers."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from .exchange import Answer, Exchange, text

if TYPE_CHECKING:
    from .server import TestHub

type Handler = Callable[[Exchange], Answer | Awaitable[Answer]]


@dataclass(frozen=True)
class Scripted:
    """One reply. With `conditional` a matching If-None-Match gets 304, with `ranges` a Range gets 206 or 416."""

    status: int = 200
    headers: Mapping[str, str] | list[tuple[str, str]] = field(default_factory=dict)
    body: str | bytes = b""
    conditional: bool = True
    ranges: bool = False
    reason: str | None = None

    def answer(self) -> Answer:
        fields = list(self.headers.items()) if isinstance(self.headers, Mapping) else [(k, v) for k, v in self.headers]
        body = self.body.encode() if isinstance(self.body, str) else self.body
        return Answer(self.status, fields, body, self.ranges, self.conditional, reason=self.reason)


class Plain:
    def __init__(self) -> None:
        self._scripts: dict[tuple[str, str], list[Scripted]] = {}
        self._handlers: list[tuple[str, str, Handler]] = []

    def script(self, host: str, path: str, replies: list[Scripted]) -> None:
        self._scripts[host, path] = replies

    def on(self, host: str, path: str, handler: Handler) -> None:
        self._handlers.insert(0, (host, path, handler))

    def clear(self) -> None:
        self._scripts = {}
        self._handlers = []

    async def answer(self, ex: Exchange) -> Answer:
        for host, path, handler in self._handlers:
            if fnmatchcase(ex.host, host) and fnmatchcase(ex.path, path):
                found = handler(ex)
                return await found if inspect.isawaitable(found) else found
        replies = self._scripts.get((ex.host, ex.path))
        if not replies:
            return text(404, "nothing is scripted here")
        return (replies.pop(0) if len(replies) > 1 else replies[0]).answer()


async def answer(hub: TestHub, ex: Exchange) -> Answer:
    return await hub.plain.answer(ex)
