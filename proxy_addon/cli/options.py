"""Options that several commands share, and how they become Settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..config import Settings, load
from ..core.errors import ConfigError

if TYPE_CHECKING:
    from ..ca import Authority, Handout, Offline

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="Configuration file; else $HUBGATE_CONFIG, else ./hubgate.yaml, else defaults."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="For programs.")]
ListenAt = Annotated[
    list[str] | None, typer.Option("--listen", help="HOST:PORT, in place of `listen`; may be repeated.")
]


def settings(config: Path | None, listen: list[str] | None = None, **overrides: object) -> Settings:
    """Raises ConfigError. Keyword `cache__dir` stands for the key `cache.dir`; None means "not given"."""
    given = {key.replace("__", "."): value for key, value in overrides.items() if value is not None}
    return load(config, {**given, **({"listen": listen} if listen else {})})


def authority(settings: Settings) -> Authority | Offline:
    """The CA of this configuration, or the leaf it names; who only looks makes none. Raises ConfigError."""
    from ..ca import opened

    return opened(settings.ca.dir, settings.hubs.other_names, settings.ca.cert, settings.ca.key, make=False)


def bundle(settings: Settings, authority: Handout) -> Path:
    """Write public roots, the operator's extra roots and our CA for clients. Raises ConfigError."""
    ca_file = settings.upstream.ca_file
    try:
        return authority.combined_bundle([ca_file.read_bytes()] if ca_file else ())
    except OSError as error:
        what = f"the bundle for clients cannot be written ({error.filename}: {error.strerror}); make room for it"
        raise ConfigError(settings.fault("ca.dir", what)) from None
