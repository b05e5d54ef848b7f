"""`hubgate serve`: run the proxy until it is told to stop."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ..ca import Handout
from ..config import Listen, Settings, probe
from . import options
from .env import url_of
from .exports import Format, render
from .output import tell


def serve(
    config: options.ConfigFile = None,
    listen: options.ListenAt = None,
    admin: Annotated[str | None, typer.Option("--admin", help="HOST:PORT of the admin listener.")] = None,
    cache_dir: Annotated[Path | None, typer.Option("--cache-dir", help="In place of `cache.dir`.")] = None,
    ca_dir: Annotated[Path | None, typer.Option("--ca-dir", help="In place of `ca.dir`.")] = None,
) -> int:
    """Start the proxy; stops on ^C or SIGTERM, after open downloads or `drain`."""
    settings = options.settings(
        config,
        listen,
        admin__listen=admin,
        cache__dir=cache_dir.absolute() if cache_dir else None,
        ca__dir=ca_dir.absolute() if ca_dir else None,
    )
    probe(settings)
    from ..serve import run

    return run(settings, announce) or 0


def announce(settings: Settings, listening: Sequence[Listen], authority: Handout, admin: Listen | None) -> None:
    """Tell people, once the ports are open, how to use this proxy. Goes to standard error: the log may be on stdout."""
    bundle = options.bundle(settings, authority)
    tell(f"hubgate listens on {', '.join(map(str, listening))}")
    if admin is not None:
        tell(f"status page and metrics: http://{admin}/")
    tell("\n".join(authority.announced()))
    if settings.auth is not None:
        tell("every client has to show a password: HTTPS_PROXY=http://USER:PASSWORD@host:port")
    tell(render(Format.SHELL, url_of(settings, listening[0]), str(bundle)))
