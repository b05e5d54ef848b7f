"""`hubgate auth`: who may use the proxy. A password is asked for twice, never shown, and kept as argon2id only."""

from __future__ import annotations

import fcntl
import os
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..auth import htpasswd, schemes
from ..auth.users import Unfit, read
from ..ca import write_atomically
from ..core.errors import ConfigError
from . import options
from .output import tell

LONGEST = 1024  # bytes of a password

app = typer.Typer(no_args_is_help=True, help="Who may use the proxy, each with a password.")


@app.callback()
def _group() -> None:
    pass


@app.command()
def add(
    user: Annotated[str, typer.Argument(metavar="USER", help="A name; there already: the password is set anew.")],
    config: options.ConfigFile = None,
    file: Annotated[Path | None, typer.Option("--file", help="The htpasswd file, in place of `auth`.")] = None,
    stdin: Annotated[bool, typer.Option("--stdin", help="The password is the first line of standard input.")] = False,
) -> None:
    """Give a user a password. A running proxy takes it up within two seconds."""
    name = htpasswd.normal(user)
    if (why := htpasswd.name_fault(name)) is not None:
        raise ConfigError(f"USER: the name {why}; give the user another one")
    if file is None and (file := options.settings(config).auth) is None:
        raise ConfigError("--file: there is no `auth` in the configuration; name the file, or write `auth: FILE`")
    kept = schemes.made(_password(name, stdin))
    try:
        _write(file.resolve(), name, kept)
    except OSError as error:
        raise ConfigError(f"--file: {file} cannot be written: {error.strerror}; name another file") from None
    typer.echo(f"{name} is in {file}")
    try:
        read(file)
    except Unfit as unfit:
        for fault in unfit.faults:
            tell(fault)


def _password(user: str, stdin: bool) -> bytes:
    if stdin:
        password = sys.stdin.buffer.readline(LONGEST + 2).removesuffix(b"\n").removesuffix(b"\r")
    elif sys.stdin.isatty():
        told: str = typer.prompt(f"Password for {user}", hide_input=True, confirmation_prompt=True, err=True)
        password = told.encode()
    else:
        raise ConfigError("--stdin: there is no terminal to ask for the password; give it as a line with --stdin")
    if not password or len(password) > LONGEST or re.search(rb"[\x00-\x1f\x7f]", password):
        raise ConfigError(f"the password is empty, has a control character or more than {LONGEST} bytes; take another")
    return password


def _write(file: Path, user: str, kept: str) -> None:
    """One writer at a time. A file that is there keeps its group, which may go on reading if nobody else could."""
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        try:
            was, data = file.stat(), file.read_bytes()
        except FileNotFoundError:
            write_atomically(file, htpasswd.with_user(b"", user, kept), 0o600)
            return
        group = was.st_mode & 0o040 if not was.st_mode & 0o007 else 0
        write_atomically(file, htpasswd.with_user(data, user, kept), 0o600 | group)
        if (was.st_uid, was.st_gid) != (file.stat().st_uid, file.stat().st_gid):
            os.chown(file, was.st_uid, was.st_gid)
    finally:
        os.close(folder)
