"""One plain request to the test hub, by `http.client`: no redirect is followed and nothing is decoded."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from .server import TestHub


@dataclass(frozen=True)
class Reply:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def __getitem__(self, name: str) -> str | None:
        return self.headers.get(name)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def location(self) -> str:
        return self.headers["Location"]


def connect(hub: TestHub, host: str) -> http.client.HTTPSConnection:
    """A connection to the hub under the name `host`."""
    context = hub.authority.client_context()
    connection = http.client.HTTPSConnection(host, context=context, timeout=60)
    connection.sock = context.wrap_socket(socket.create_connection(("127.0.0.1", hub.port), 10), server_hostname=host)
    return connection


def ask(
    hub: TestHub, url: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> Reply:
    """`url` is absolute, or a path on huggingface.co. Raises what http.client raises when the reply is cut short."""
    parts = urlsplit(url if "://" in url else f"https://huggingface.co{url}")
    connection = connect(hub, parts.hostname or "")
    try:
        connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), body, dict(headers or {}))
        response = connection.getresponse()
        return Reply(response.status, response.headers, response.read())
    finally:
        connection.close()


def follow(hub: TestHub, url: str, headers: Mapping[str, str] | None = None) -> Reply:
    """GET, through redirects to wherever they lead on the hub, five at most."""
    for _ in range(6):
        reply = ask(hub, url, headers=headers)
        if reply.status not in (301, 302, 307, 308):
            return reply
        parts = urlsplit(url if "://" in url else f"https://huggingface.co{url}")
        url = reply.location if "://" in reply.location else f"https://{parts.hostname}{reply.location}"
    raise RecursionError(f"more than five redirects, the last to {url}")
