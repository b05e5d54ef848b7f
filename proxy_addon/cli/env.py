"""`hubgate env`: the variables that send a client through the proxy."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import typer

from ..config import Listen, Settings
from ..core.errors import ConfigError
from . import options
from .exports import MUST_HAVE, Format, expanding, one_line, render
from .proxies import masked, with_login

_ENCODED = r"https?://(?:(?:[A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})*@)?[^@/\s]+/?$"
_HOW = "; user and password are percent-encoded (@ is %40), or asked for by --user USER"


def env(
    config: options.ConfigFile = None,
    format: Annotated[Format, typer.Option("--format", "-f", help="For whom to write.")] = Format.SHELL,
    listen: options.ListenAt = None,
    proxy_url: Annotated[
        str | None, typer.Option("--proxy-url", help="The proxy as clients reach it, e.g. http://cache.lan:8080.")
    ] = None,
    user: Annotated[
        str | None, typer.Option("--user", help="The user of the proxy (`auth`); asks for the password.")
    ] = None,
    ca_dir: Annotated[Path | None, typer.Option("--ca-dir", help="In place of `ca.dir`.")] = None,
    bundle: Annotated[
        str | None, typer.Option("--bundle", help="Where the CA bundle lies on the client, if not on this machine.")
    ] = None,
) -> None:
    """Print the variables that clients need; writes the CA bundle that they name.

    In a shell: eval "$(hubgate env)"
    """
    settings = options.settings(config, listen, ca__dir=ca_dir.absolute() if ca_dir else None)
    if proxy_url is not None and not re.match(r"https?://[^/\s]+/?$", proxy_url):
        raise ConfigError(f"--proxy-url: {masked(proxy_url)!r} is not a proxy's URL; write http://cache.lan:8080{_HOW}")
    if proxy_url is not None and not re.match(_ENCODED, proxy_url):
        raise ConfigError(f"--proxy-url: {masked(proxy_url)!r} is read in different ways{_HOW}")
    proxy = proxy_url.rstrip("/") if proxy_url else url_of(settings, settings.listen[0])
    if user is not None:
        proxy = with_login(proxy, user, typer.prompt(f"Password for {user}", hide_input=True, err=True))
    authority = options.authority(settings)
    file = options.bundle(settings, authority)
    ca = authority.public_pem().decode() if bundle or format is Format.DOCKERFILE else ""
    try:
        text = render(format, proxy, bundle or str(file), ca)
    except ValueError as error:
        raise ConfigError(f"--proxy-url or --bundle: {error}; remove it") from None
    if format is not Format.SHELL and proxy_url is None:
        typer.echo(
            f"# {masked(proxy)} is this machine's; name the proxy as clients elsewhere reach it: --proxy-url", err=True
        )
    if format is Format.GITHUB:
        typer.echo('# append this to "$GITHUB_ENV"; wget and aria2 need --ca-certificate=FILE as well', err=True)
        if bundle:
            typer.echo("# the file is made by this line, in a step before (run: |):", err=True)
            typer.echo(one_line(expanding(bundle), ca), err=True)
        else:
            typer.echo(f"# {MUST_HAVE.format(file)}", err=True)
    if settings.auth is not None and "@" not in proxy:
        typer.echo("# this proxy asks for a password: add --user USER, or write it into the proxy's URL", err=True)
    elif "@" in proxy and format is Format.DOCKERFILE:
        typer.echo("# the image will hold the password: whoever has the image has it", err=True)
    typer.echo(text, nl=False)


def url_of(settings: Settings, at: Listen) -> str:
    """The address for a client on this machine; every-address listeners are reached by loopback."""
    if at.port == 0:
        raise ConfigError(settings.fault("listen", "the port is chosen at start; say it with --proxy-url"))
    address = ip_address(at.host)
    host = {4: "127.0.0.1", 6: "::1"}[address.version] if address.is_unspecified else at.host
    return f"http://{Listen(host, at.port)}"
