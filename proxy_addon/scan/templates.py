"""Chat templates: Jinja that a client runs. What reaches for Python's insides, in its code, is unsafe.

Text outside of `{{ }}` and `{% %}` is only text. A template needs no double underscore, no `attr`, and no escapes in
place of letters; the sandbox that most clients run it in refuses the first, not every client has one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from .contract import Budget, Notes, Unparsable
from .sources import Region

_CODE = re.compile(r"\{\{.*?(?:\}\}|\Z)|\{%.*?(?:%\}|\Z)", re.DOTALL)
#: What no template for chats needs.
_REACHING = re.compile(
    r"__"
    r"|\|\s*attr\b|\battr\s*\(|\|\s*map\s*\(\s*['\"]?attribute"
    r"|\\x[0-7][0-9a-f]|\\u00[0-7][0-9a-f]|\\u\{|\\U000000[0-7]|\\[0-7]{2,3}|\\N\{"
    r"|['\"]_['\"]\s*[*~+]|[*~+]\s*['\"]_['\"]|['\"]%c"
    r"|\b(?:func_globals|f_globals|f_locals|f_builtins|f_back|gi_frame|gi_code|cr_frame|ag_frame|tb_frame|co_code)\b"
    r"|\b(?:lipsum|cycler|joiner|import_module|popen|subprocess|getattr|setattr|globals|builtins)\b"
    r"|\b(?:eval|exec|compile|open|system|mro)\s*\(|\.format_map\b|\bos\s*\.",
    re.IGNORECASE,
)
_FILES = ("tokenizer_config.json", "chat_template.json", "processor_config.json", "preprocessor_config.json")
_KEY = "chat_template"
OTHERS = 1 << 20  # bytes of a JSON file of another name that is looked into


def reaches(template: str) -> bool:
    return any(_REACHING.search(code) for code in _CODE.findall(template))


def is_template(name: str) -> bool:
    return name.lower().endswith((".jinja", ".jinja2", ".j2"))


def plain(region: Region, notes: Notes) -> None:
    notes.kinds.append("template")
    notes.templated(reaches(_text(region, notes)))


def in_json(region: Region, name: str, notes: Notes) -> bool:
    """Look for templates in a JSON file. False if it has none."""
    wanted = name.lower().rpartition("/")[2] in _FILES
    if not wanted and region.size > OTHERS:
        return False
    try:
        said = json.loads(_text(region, notes))
    except (ValueError, RecursionError) as fault:
        if wanted:
            raise Unparsable("JSON that cannot be read, in which there may be a template") from fault
        return False
    found = list(_templates(said, 0))
    for template in found:
        notes.templated(reaches(template))
    if found:
        notes.kinds.append("template")
    return bool(found)


def _text(region: Region, notes: Notes) -> str:
    if region.size > notes.limits.text:
        raise Budget("budget: a template in a file that is too large")
    return region.read(0, region.size).decode("utf-8-sig", "replace")


def _templates(said: Any, depth: int, within: bool = False) -> Iterator[str]:
    """All texts under a key that is called a template."""
    if within and isinstance(said, str):
        yield said
    elif depth < 32 and isinstance(said, dict):
        for key, value in said.items():
            yield from _templates(value, depth + 1, within or _KEY in key)
    elif depth < 32 and isinstance(said, list):
        for value in said:
            yield from _templates(value, depth + 1, within)
