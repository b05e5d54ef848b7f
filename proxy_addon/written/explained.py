"""Pydantic's faults in words for the person who wrote the file: the key, what is wrong, how to mend it.

The words for pydantic's own error types stand in one table; parsers that raise ValueError bring theirs along.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from .strict_yaml import dotted

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


def explained(error: ValidationError, model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """A dotted key and what is wrong there, for each fault; `model` is what was validated."""
    for detail in error.errors(include_url=False):
        key = dotted(tuple(detail["loc"]))
        if detail["type"] == "extra_forbidden":
            yield key, _unknown(detail, model)
        else:
            words = _WORDS.get(detail["type"])
            values = {"input": detail["input"], **detail.get("ctx", {})}
            yield key, words.format(**values) if words else f"{detail['msg']}; correct it"


def _unknown(detail: ErrorDetails, model: type[BaseModel]) -> str:
    written = str(detail["loc"][-1])
    section = dotted(tuple(part for part in detail["loc"][:-1] if isinstance(part, str)))  # each item of a list alike
    known = dict(_keys(model))
    here = [key for key, above in known.items() if above == section]
    names = {key.rpartition(".")[2]: key for key in (*known, *here)}
    close = difflib.get_close_matches(written.replace("-", "_"), [key.rpartition(".")[2] for key in here], 1)
    close = close or difflib.get_close_matches(written.replace("-", "_"), names, 1, 0.8)
    if close:
        return f"no such key; did you mean `{names[close[0]]}`?"
    return f"no such key; known here: {', '.join(key.rpartition('.')[2] for key in here)}"


def _keys(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, str]]:
    for name, field in model.model_fields.items():
        key = f"{above}.{field.alias or name}" if above else field.alias or name
        yield key, above
        if (below := _model(field.annotation)) is not None:
            yield from _keys(below, key)


def _model(annotation: Any) -> type[BaseModel] | None:
    """The section that a key, or each item of its list, is."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model, get_args(annotation))), None)
