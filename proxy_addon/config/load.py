"""From a file and the command line to `Settings`, with every fault reported together.

A fault reads `file:line: key: what is wrong; how to fix it`. The words for pydantic's own error types stand in one
table here; the parsers in `units` and `places` bring theirs along.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ..core.errors import ConfigError
from .origin import Origin
from .settings import Settings
from .strict_yaml import Document, dotted, parse

_WORDS = {
    "bool_type": "{input!r} is neither true nor false; write one of these two (yes, no, on, off are plain words)",
    "int_type": "{input!r} is not a whole number; write one without quotes",
    "greater_than": "must be over {gt:g}; raise it",
    "greater_than_equal": "must be at least {ge:,}; raise it",
    "less_than_equal": "must be at most {le:,}; lower it",
    "literal_error": "{input!r} is not known here; use one of {expected}",
    "tuple_type": "{input!r} is not a list; write [a, b]",
    "missing": "is missing; write it",
    "too_short": "is empty; name at least one",
    "model_type": "{input!r} is not a mapping; write the keys below it, indented",
    "value_error": "{error}",
}


def load(
    path: Path | None = None,
    overrides: Mapping[str, object] | None = None,
    *,
    env: Mapping[str, str] = os.environ,
) -> Settings:
    """Settings from `path`, else $HUBGATE_CONFIG, else ./hubgate.yaml, else the defaults.

    `overrides` are dotted keys from the command line (`{"cache.dir": "/srv/cache"}`), spelled as in the file.
    Raises ConfigError with all faults.
    """
    document, file = _read(path, env)
    faults = [f"{file}:{line}: {what}" for line, what in document.faults]
    lines = {dotted(key): line for key, line in document.lines.items()}
    origin = Origin(str(file or "defaults"), lines, frozenset(overrides or ()))
    raw = document.value if document.value is not None else {}
    if not isinstance(raw, dict):
        raise ConfigError(*faults, f"{file}:1: the file is not a mapping; write lines such as `listen: 127.0.0.1:8080`")
    for key, value in (overrides or {}).items():
        _set(raw, key, value)
    base = (file.parent if file else Path()).absolute()
    try:
        settings = Settings.model_validate(raw, context={"base": base})
    except ValidationError as error:
        faults += (origin.fault(key, what) for key, what in _explained(error))
    else:
        settings._origin = origin
        faults += settings.conflicts()
    if faults:
        raise ConfigError(*sorted(faults, key=_line))
    return settings


def _line(fault: str) -> int:
    found = re.search(r":(\d+): ", fault)
    return int(found[1]) if found else 0


def _read(path: Path | None, env: Mapping[str, str]) -> tuple[Document, Path | None]:
    named = path or (Path(env["HUBGATE_CONFIG"]).expanduser() if env.get("HUBGATE_CONFIG") else None)
    file = named or Path("hubgate.yaml")
    if named is None and not file.exists():
        return Document(), None
    try:
        with file.open("rb") as stream:
            return parse(stream.read(2 * 1024 * 1024)), file
    except OSError as error:
        how = "" if path else " (from $HUBGATE_CONFIG)" if named else ""
        what = f"the configuration{how} cannot be read: {error.strerror}; name another with --config"
        raise ConfigError(f"{file}: {what}") from None


def _set(raw: dict[str, Any], key: str, value: object) -> None:
    *above, last = key.split(".")
    for name in above:
        below = raw.get(name)
        raw[name] = raw = below if isinstance(below, dict) else {}
    raw[last] = value


def _explained(error: ValidationError) -> Iterator[tuple[str, str]]:
    for detail in error.errors(include_url=False):
        key = dotted(tuple(detail["loc"]))
        if detail["type"] == "extra_forbidden":
            yield key, _unknown(detail)
        else:
            words = _WORDS.get(detail["type"])
            values = {"input": detail["input"], **detail.get("ctx", {})}
            yield key, words.format(**values) if words else f"{detail['msg']}; correct it"


def _unknown(detail: ErrorDetails) -> str:
    written = str(detail["loc"][-1])
    section = dotted(tuple(part for part in detail["loc"][:-1] if isinstance(part, str)))  # each item of a list alike
    known = dict(_keys(Settings))
    here = [key for key, above in known.items() if above == section]
    names = {key.rpartition(".")[2]: key for key in (*known, *here)}
    close = difflib.get_close_matches(written.replace("-", "_"), [key.rpartition(".")[2] for key in here], 1)
    close = close or difflib.get_close_matches(written.replace("-", "_"), names, 1, 0.8)
    if close:
        return f"no such key; did you mean `{names[close[0]]}`?"
    return f"no such key; known here: {', '.join(key.rpartition('.')[2] for key in here)}"


def _keys(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, str]]:
    for name, field in model.model_fields.items():
        key = f"{above}.{name}" if above else name
        yield key, above
        if (below := _model(field.annotation)) is not None:
            yield from _keys(below, key)


def _model(annotation: Any) -> type[BaseModel] | None:
    """The section that a key, or each item of its list, is."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model, get_args(annotation))), None)
