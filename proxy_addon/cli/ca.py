"""`hubgate ca`: look at the CA, hand its certificate out, make a new one. The key is never shown."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from ..ca import Authority, write_atomically
from ..core.errors import ConfigError
from . import options

app = typer.Typer(no_args_is_help=True, help="The certificate authority that clients are to trust.")


@app.command()
def show(config: options.ConfigFile = None) -> None:
    """Fingerprint, end, and the domains it may name."""
    authority = options.authority(options.settings(config))
    days = (authority.expires - datetime.now(UTC)).days
    typer.echo(f"certificate  {authority.directory / 'ca.pem'}")
    typer.echo(f"SHA-256      {authority.fingerprint()}")
    typer.echo(f"ends         {authority.expires:%Y-%m-%d} ({days} days)")
    typer.echo(f"may name     {', '.join(sorted(authority.domains))}, and what is below them; nothing else")


@app.command()
def export(
    config: options.ConfigFile = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file; else standard output.")] = None,
) -> None:
    """Print the CA's certificate (PEM, without a key)."""
    pem = options.authority(options.settings(config)).public_pem()
    if output is None:
        typer.echo(pem.decode(), nl=False)
        return
    try:
        write_atomically(output, pem, 0o644)
    except OSError as error:
        raise ConfigError(f"--output: {output} cannot be written: {error.strerror}; name another file") from None


@app.command()
def path(
    config: options.ConfigFile = None,
    bundle: Annotated[bool, typer.Option("--bundle", help="The file with the public roots too.")] = False,
) -> None:
    """Print where the CA's certificate is."""
    settings = options.settings(config)
    authority = options.authority(settings)
    typer.echo(options.bundle(settings, authority) if bundle else authority.directory / "ca.pem")


@app.command()
def renew(
    config: options.ConfigFile = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Make a new CA in place of the old one; every client must then trust the new one."""
    settings = options.settings(config)
    if not yes:
        typer.confirm("Clients will refuse the proxy until they trust the new CA. Go on?", abort=True)
    authority = Authority.renew(settings.ca.dir, [other.dns for other in settings.hubs.others])
    options.bundle(settings, authority)
    typer.echo(f"SHA-256 {authority.fingerprint()}")
    typer.echo("restart `hubgate serve`, and give clients the new certificate (`hubgate env`, `hubgate ca export`)")
