"""`hubgate cache`: see what is here and manage it, while a proxy runs on the same directory or not.

A TARGET is a repo (`hf:org/name`, `ms:datasets/org/name@rev`) or a blob by its id. Exit 1 means that the target is not
here, is pinned, or was found damaged.
"""

from __future__ import annotations

import time
from typing import Annotated

import typer

from ..hub.targets import Target, target
from ..written.units import duration
from . import options, quarantine

app = typer.Typer(no_args_is_help=True, help="What the cache holds: see it, pin it, remove it, check it.")
app.add_typer(quarantine.app, name="quarantine")

Named = Annotated[str, typer.Argument(metavar="TARGET", help="A repo, as hf:org/name or hf:org/name@rev, or a blob.")]


@app.command("ls")
def ls(
    config: options.ConfigFile = None,
    json: options.Json = False,
    blobs: Annotated[bool, typer.Option("--blobs", help="One line for each blob, not for each repo.")] = False,
) -> int:
    """List the repos that are here, the largest first."""
    from . import keeping

    return keeping.run(options.settings(config), lambda store: keeping.ls(store, json, blobs))


@app.command()
def show(name: Named, config: options.ConfigFile = None, json: options.Json = False) -> int:
    """The files of a repo that are here, or what is known of a blob."""
    from . import keeping

    repo = _repo(name)
    return keeping.run(options.settings(config), lambda store: keeping.show(store, name, repo, json))


@app.command()
def pin(name: Named, config: options.ConfigFile = None, json: options.Json = False) -> int:
    """Keep it from eviction until it is unpinned."""
    from . import keeping

    repo = _repo(name)
    return keeping.run(options.settings(config), lambda store: keeping.keep(store, name, repo, True, json))


@app.command()
def unpin(name: Named, config: options.ConfigFile = None, json: options.Json = False) -> int:
    """Let it be evicted again."""
    from . import keeping

    repo = _repo(name)
    return keeping.run(options.settings(config), lambda store: keeping.keep(store, name, repo, False, json))


@app.command()
def rm(name: Named, config: options.ConfigFile = None, json: options.Json = False) -> int:
    """Remove it; bytes that are also a file of another repo or revision stay."""
    from . import keeping

    repo = _repo(name)
    return keeping.run(options.settings(config), lambda store: keeping.rm(store, name, repo, json))


@app.command()
def verify(
    name: Annotated[str | None, typer.Argument(metavar="TARGET", help="A repo or a blob; else everything.")] = None,
    config: options.ConfigFile = None,
    json: options.Json = False,
    repair: Annotated[
        bool, typer.Option("--repair/--no-repair", help="Drop what is damaged, or only tell of it.")
    ] = True,
) -> int:
    """Read everything and check its digests; what is damaged is dropped, to be fetched again when it is asked for.

    Exits with 0 when all is good, 1 when damage was found, 2 when the cache could not be read."""
    from . import checking, keeping

    repo = _repo(name) if name else None
    return keeping.run(options.settings(config), lambda store: checking.verify(store, name, repo, json, repair))


@app.command()
def stats(config: options.ConfigFile = None, json: options.Json = False) -> int:
    """How full the cache is, and of what."""
    from . import keeping

    return keeping.run(options.settings(config), lambda store: keeping.stats(store, json))


@app.command()
def log(
    name: Annotated[str | None, typer.Argument(metavar="REPO", help="Of this repo; else of all.")] = None,
    config: options.ConfigFile = None,
    json: options.Json = False,
    since: Annotated[str | None, typer.Option(help="Not older than this, such as 7d.")] = None,
    lag: Annotated[
        bool, typer.Option("--lag", help="How far behind its hub each repo may be, in place of the log.")
    ] = False,
) -> int:
    """What changed in the repos that are kept in sync, commit by commit, and what went wrong."""
    from . import journal

    repo = _repo(name) if name else None
    if name and repo is None:
        raise typer.BadParameter(f"{name!r} is no repo; write hf:org/name")
    directory = options.settings(config).cache.dir
    if lag:
        return journal.lag(directory, repo, json)
    try:
        ago = time.time() - duration(since) if since is not None else 0.0
    except ValueError as fault:
        raise typer.BadParameter(f"--since: {fault}") from None
    return journal.log(directory, repo, ago, json)


def _repo(name: str) -> Target | None:
    """None: it is a blob that is meant."""
    if not name.startswith(("hf:", "ms:", "ms.ai:")):
        return None
    try:
        return target(name)
    except ValueError as fault:
        raise typer.BadParameter(str(fault)) from None
