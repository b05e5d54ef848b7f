"""`hubgate cache quarantine`: bytes that turned out wrong, kept aside to be looked at. No client is ever given them."""

from __future__ import annotations

from typing import Annotated

import typer

from . import options

app = typer.Typer(no_args_is_help=True, help="Bytes that turned out wrong, kept aside to be looked at.")

Id = Annotated[str, typer.Argument(metavar="ID", help="As `ls` shows it.")]


@app.command()
def ls(config: options.ConfigFile = None, json: options.Json = False) -> int:
    """What is there, the oldest first: what was found, when, by whom."""
    from . import checking, keeping

    return keeping.run(options.settings(config), lambda store: checking.ls(store, json))


@app.command()
def show(id: Id, config: options.ConfigFile = None, json: options.Json = False) -> int:
    """All that is known of one: digests expected and found, source, and the directory with its bytes."""
    from . import checking, keeping

    return keeping.run(options.settings(config), lambda store: checking.show(store, id, json))


@app.command()
def rm(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="As `ls` shows them.")] = None,
    config: options.ConfigFile = None,
    all: Annotated[bool, typer.Option("--all", help="Everything that is there.")] = False,
) -> int:
    """Remove it, once it was looked at."""
    from . import checking, keeping

    if bool(ids) == all:
        raise typer.BadParameter("name what to remove, or give --all")
    return keeping.run(options.settings(config), lambda store: checking.rm(store, ids or (), all))


@app.command()
def restore(id: Id, config: options.ConfigFile = None) -> int:
    """Put it back into the cache, if its digests hold after all."""
    from . import checking, keeping

    return keeping.run(options.settings(config), lambda store: checking.restore(store, id))
