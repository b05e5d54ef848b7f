"""The body of a denial, in the form that the one who reads it shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import StrEnum, auto
from html import escape
from string import Template

from .wording import Words

UNAVAILABLE = 451  # ModelScope's older SDK takes a 403 for a missing token, and this for what it is


class Reader(StrEnum):
    """Who reads the reply."""

    HUB = auto()
    MODELSCOPE = auto()
    GIT = auto()
    LFS = auto()
    REGISTRY = auto()
    BROWSER = auto()
    PLAIN = auto()


_PAGE = Template("""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Blocked by policy</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 40rem; margin: 2rem auto; padding: 0 1rem }
dt { color: #666 } dd { margin: 0 0 1rem }
</style>
<h1>Blocked by policy</h1>
<p>$reason</p>
<dl>
$rows
</dl>
</html>
""")


def _page(words: Words) -> bytes:
    url, ask, command = escape(words.url), escape(words.ask), escape(words.explain)
    linked = ask.replace(url, f'<a href="{url}">{url}</a>') if url else ask
    told = {
        "Rule": escape(words.rule),
        "Owner": escape(words.whom),
        "What you can do": " ".join(filter(None, (escape(words.note), linked))),
        "Details": f"<code>{command}</code>" if command else "",
        "Reference": escape(words.id),
    }
    rows = "\n".join(f"<dt>{term}<dd>{text}" for term, text in told.items() if text)
    return _PAGE.substitute(reason=escape(words.reason), rows=rows).encode()


def _text(words: Words) -> bytes:
    return f"{words.text}\n".encode()


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _hub(words: Words) -> bytes:
    return _json({"error": words.text, "message": words.text})


def _modelscope(words: Words) -> bytes:
    return _json({"Code": UNAVAILABLE, "Message": words.text, "RequestId": words.id, "Success": False})


def _lfs(words: Words) -> bytes:
    return _json({"message": words.text, "request_id": words.id})


def _registry(words: Words) -> bytes:
    return _json({"errors": [{"code": "DENIED", "message": words.text}]})


#: Content-Type, and what writes the body.
FORMS: dict[Reader, tuple[str, Callable[[Words], bytes]]] = {
    Reader.HUB: ("application/json", _hub),
    Reader.MODELSCOPE: ("application/json", _modelscope),
    Reader.GIT: ("text/plain; charset=utf-8", _text),
    Reader.LFS: ("application/vnd.git-lfs+json", _lfs),
    Reader.REGISTRY: ("application/json", _registry),
    Reader.BROWSER: ("text/html; charset=utf-8", _page),
    Reader.PLAIN: ("text/plain; charset=utf-8", _text),
}
