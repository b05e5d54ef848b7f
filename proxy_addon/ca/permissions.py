"""Who else may read a key, or put another in its place. What is too open is refused, with the command that closes it.

Nothing is closed silently: that a key was readable is news for whoever must decide whether it leaked.
"""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path

from ..core.errors import ConfigError


def check_key(file: Path, remedy: str) -> None:
    """Raises ConfigError when others may read or write `file`, which may be a link; OSError when it is not there."""
    found = file.stat()
    mode, most = stat.S_IMODE(found.st_mode), allowed(found.st_uid, os.geteuid())
    if mode & 0o777 & ~most:
        close = f"chmod {most:o} {shlex.quote(str(file))}"
        raise ConfigError(
            f"{file}: others may read this key (mode {mode:04o}); run `{close}`, and {remedy} if it leaked"
        )


def allowed(owner: int, user: int) -> int:
    """The widest mode of a key. A mounted secret is root's, and lent to the group of another user: that is in order."""
    return 0o640 if owner == 0 != user else 0o600


def check_directory(directory: Path, most: int = 0o700) -> None:
    """Raises ConfigError when others may do more in `directory` than `most` says."""
    mode = stat.S_IMODE(directory.stat().st_mode)
    if mode & 0o777 & ~most:
        may = "write here, so they could put their CA here" if mode & 0o022 else "look into the directory of a CA's key"
        close = f"chmod {most:o} {shlex.quote(str(directory))}"
        raise ConfigError(f"{directory}: others may {may} (mode {mode:04o}); run `{close}`")
