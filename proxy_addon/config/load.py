"""From a file and the command line to `Settings`, with every fault reported together.

A fault reads `file:line: key: what is wrong; how to fix it`. The parsers in `places` bring their words along.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..core.errors import ConfigError
from ..written.explained import explained
from ..written.origin import Origin
from ..written.strict_yaml import Document, dotted, parse
from .settings import Settings


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
    written = "rules" in raw
    raw.setdefault("rules", ["rules/"])  # beside the file, as if it were written there
    base = (file.parent if file else Path()).absolute()
    try:
        settings = Settings.model_validate(raw, context={"base": base})
    except ValidationError as error:
        faults += (origin.fault(key, what) for key, what in explained(error, Settings))
    else:
        settings._origin = origin
        if not written:  # what is not named need not be there
            settings.model_fields_set.discard("rules")
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
