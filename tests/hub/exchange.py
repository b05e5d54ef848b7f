"""One request to the hub and the answer a host family gives; `reply.py` turns the answer into bytes on the wire."""

from __future__ import annotations

import base64
import contextlib
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

from .content import Memory, Source
from .knobs import Effect
from .log import Record

type Fields = list[tuple[str, str]]

TEXT = "text/plain; charset=utf-8"
JSON = "application/json; charset=utf-8"


@dataclass
class Exchange:
    record: Record
    effect: Effect
    raw_body: bytes = b""

    @property
    def method(self) -> str:
        return self.record.method

    @property
    def host(self) -> str:
        return self.record.host

    @property
    def path(self) -> str:
        return self.record.path

    @property
    def target(self) -> str:
        return self.path + (f"?{self.record.query}" if self.record.query else "")

    def segments(self) -> list[str]:
        """The path's segments, each decoded on its own, so that "%2F" stays inside its segment."""
        return [unquote(part) for part in self.path.strip("/").split("/")]

    def query(self) -> list[tuple[str, str]]:
        return parse_qsl(self.record.query, keep_blank_values=True)

    def param(self, name: str, default: str = "") -> str:
        return next((value for key, value in self.query() if key == name), default)

    def flag(self, name: str) -> bool:
        return self.param(name).lower() in ("true", "1")

    def header(self, name: str) -> str:
        return self.record.headers.get(name, "")

    @property
    def token(self) -> str | None:
        """A Bearer token, or the password of Basic, which is how git sends one."""
        scheme, _, token = self.header("authorization").partition(" ")
        if scheme.lower() == "basic":
            with contextlib.suppress(ValueError):
                return base64.b64decode(token).decode().partition(":")[2] or None
        return token.strip() if scheme.lower() == "bearer" and token.strip() else None

    def form(self) -> dict[str, list[str]]:
        """A posted form, or a JSON object, as lists of strings."""
        if "json" in self.header("content-type"):
            found = json.loads(self.raw_body or b"{}")
            return {k: [str(x) for x in (v if isinstance(v, list) else [v])] for k, v in found.items()}
        form: dict[str, list[str]] = {}
        for key, value in parse_qsl(self.raw_body.decode(), keep_blank_values=True):
            form.setdefault(key, []).append(value)
        return form


@dataclass
class Answer:
    status: int
    headers: Fields = field(default_factory=list)
    body: bytes | Source = b""
    ranges: bool = False  #: honours Range and If-Range
    conditional: bool = False  #: honours If-None-Match
    blob: str | None = None  #: digest of the file whose bytes these are
    blob_size: int = 0
    repo: str | None = None
    reason: str | None = None

    @property
    def source(self) -> Source:
        return Memory(self.body) if isinstance(self.body, bytes) else self.body

    def get(self, name: str) -> str | None:
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)

    def put(self, name: str, value: str | None) -> None:
        """Set a field, or take it off with None."""
        self.headers = [(k, v) for k, v in self.headers if k.lower() != name.lower()]
        if value is not None:
            self.headers.append((name, value))


def text(status: int, body: str, *headers: tuple[str, str]) -> Answer:
    return Answer(status, [*headers, ("Content-Type", TEXT)], body.encode())


def as_json(value: Any, *headers: tuple[str, str], status: int = 200) -> Answer:
    return Answer(status, [*headers, ("Content-Type", JSON)], json.dumps(value, separators=(",", ":")).encode())


def error(status: int, message: str, code: str | None = None, *headers: tuple[str, str]) -> Answer:
    """The hub's way to say no: the facts in headers, for HEAD has no body, and again as JSON."""
    facts = [("X-Error-Code", code)] if code else []
    return as_json({"error": message}, *facts, ("X-Error-Message", message), *headers, status=status)


def redirect(status: int, location: str, *headers: tuple[str, str]) -> Answer:
    phrase = {301: "Moved Permanently", 302: "Found", 307: "Temporary Redirect", 308: "Permanent Redirect"}[status]
    return text(status, f"{phrase}. Redirecting to {location}", *headers, ("Location", location))
