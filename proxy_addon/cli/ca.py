"""`hubgate ca`: make a CA, look at it, hand its certificate out, follow it by another. The key is never shown."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from ..ca import Authority, Handout, write_atomically
from ..config import Settings
from ..core.errors import ConfigError
from . import options
from .output import as_json

app = typer.Typer(no_args_is_help=True, help="The certificate authority that clients are to trust.")

CaDir = Annotated[
    Path | None, typer.Option("--ca-dir", help="The directory of the CA, in place of the whole section `ca`.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command()
def init(config: options.ConfigFile = None, ca_dir: CaDir = None) -> None:
    """Make the CA, if there is none yet; `hubgate serve` does so too, unless it is offline."""
    settings = _keeper(config, ca_dir)
    _tell(Authority.open(settings.ca.dir, settings.hubs.other_names))


@app.command()
def issue(
    config: options.ConfigFile = None,
    ca_dir: CaDir = None,
    cert: Annotated[Path, typer.Option("--cert", help="Where the leaf and its chain go.")] = Path("hubgate-leaf.pem"),
    key: Annotated[Path, typer.Option("--key", help="Where its key goes, with mode 0600.")] = Path("hubgate-leaf.key"),
    host: Annotated[
        list[str] | None, typer.Option("--host", help="A further name, or *.name; may be repeated.")
    ] = None,
    new: Annotated[bool, typer.Option("--new", help="In a rotation: by the new CA alone.")] = False,
) -> None:
    """Make one leaf with every hub name, for a server that is to have no CA (`ca: {mode: offline}`)."""
    settings = _keeper(config, ca_dir)
    authority = Authority.open(settings.ca.dir, settings.hubs.other_names, make=False)
    leaf = authority.issue(host or (), newest=new)
    for file in (cert, key):
        if file.is_symlink() or (file.exists() and not file.is_file()):
            raise ConfigError(f"{file}: not a plain file, and a key is never shown; name another")
    try:
        write_atomically(key, leaf.key_pem, 0o600)
        write_atomically(cert, leaf.chain_pem + authority.public_pem(), 0o644)
    except OSError as error:
        what = f"{cert} and {key} cannot be written: {error.strerror}; name others with --cert and --key"
        raise ConfigError(what) from None
    _tell(authority)
    typer.echo(f"leaf until   {leaf.certificate.not_valid_after_utc:%Y-%m-%d}")
    typer.echo(f"on the server: ca: {{mode: offline, cert: {cert.name}, key: {key.name}}}")


@app.command()
def show(config: options.ConfigFile = None, ca_dir: CaDir = None, json: options.Json = False) -> None:
    """Fingerprint, end, and the domains it may name."""
    authority = options.authority(_settings(config, ca_dir))
    if json:
        certificates = [
            {"sha256": authority.fingerprint(root), "ends": root.not_valid_after_utc.isoformat()}
            for root in authority.roots
        ]
        as_json(
            {
                "file": str(authority.directory / "ca.pem"),
                "ends": authority.expires.isoformat(),
                "certificates": certificates,
                "names": sorted(authority.domains),
            }
        )
        return
    typer.echo(f"certificate  {authority.directory / 'ca.pem'}")
    _tell(authority)
    names = ", ".join(sorted(authority.domains))
    below = ", and what is below them; nothing else" if isinstance(authority, Authority) else ""
    typer.echo(f"may name     {names}{below}")


@app.command()
def export(
    config: options.ConfigFile = None,
    ca_dir: CaDir = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file; else standard output.")] = None,
) -> None:
    """Print the CA's certificate (PEM, without a key); in a rotation the new one, then the old one."""
    pem = options.authority(_settings(config, ca_dir)).public_pem()
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
    ca_dir: CaDir = None,
    bundle: Annotated[bool, typer.Option("--bundle", help="The file with the public roots too.")] = False,
) -> None:
    """Print where the CA's certificate is."""
    settings = _settings(config, ca_dir)
    authority = options.authority(settings)
    typer.echo(options.bundle(settings, authority) if bundle else authority.directory / "ca.pem")


@app.command()
def rotate(
    config: options.ConfigFile = None,
    ca_dir: CaDir = None,
    finish: Annotated[bool, typer.Option("--finish", help="End the rotation now: forget the old CA.")] = False,
    yes: Yes = False,
) -> None:
    """Make the CA that follows; until the old one ends, clients may trust either."""
    settings = _keeper(config, ca_dir)
    if finish and not yes:
        typer.confirm("Clients that trust only the old CA will refuse the proxy. Go on?", abort=True)
    act = Authority.finish if finish else Authority.rotate
    authority = act(settings.ca.dir, settings.hubs.other_names)
    options.bundle(settings, authority)
    _tell(authority)
    then = "" if finish else ", then give clients the new certificate (`hubgate env`, `hubgate ca export`)"
    typer.echo(f"restart `hubgate serve`{then}; an offline server needs `hubgate ca issue`")


@app.command()
def renew(config: options.ConfigFile = None, ca_dir: CaDir = None, yes: Yes = False) -> None:
    """Make a new CA in place of one that is lost or leaked; every client must then trust the new one."""
    settings = _keeper(config, ca_dir)
    if not yes:
        typer.confirm("Clients will refuse the proxy until they trust the new CA. Go on?", abort=True)
    authority = Authority.renew(settings.ca.dir, settings.hubs.other_names)
    options.bundle(settings, authority)
    _tell(authority)
    typer.echo("restart `hubgate serve`, and give clients the new certificate (`hubgate env`, `hubgate ca export`)")


def _settings(config: Path | None, ca_dir: Path | None) -> Settings:
    section = {"ca": {"dir": str(ca_dir.absolute())}} if ca_dir else {}
    return options.settings(config, None, **section)


def _keeper(config: Path | None, ca_dir: Path | None) -> Settings:
    """The settings of the machine that has the CA. Raises ConfigError where there is but a leaf."""
    settings = _settings(config, ca_dir)
    if settings.ca.mode == "offline":
        what = "a CA is not kept here; run this on the machine that has it, or name its directory with --ca-dir"
        raise ConfigError(settings.fault("ca.mode", what))
    return settings


def _tell(authority: Handout) -> None:
    days = (authority.expires - datetime.now(UTC)).days
    typer.echo(f"SHA-256      {authority.fingerprint()}")
    typer.echo(f"ends         {authority.expires:%Y-%m-%d} ({days} days)")
    for line in authority.announced()[1:]:
        typer.echo(line)
