"""What only the machine can tell about a configuration: can the named places be read and written?

Makes the directories that the proxy owns. Certificates are parsed, because a wrong file here would show itself hours
later, as every upstream connection failing.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..core.errors import ConfigError
from .settings import Settings


def probe(settings: Settings) -> None:
    """Create `cache.dir` and check every path; raises ConfigError with all faults. Blocking; for use at start."""
    faults = [settings.fault(key, what) for key, what in _faults(settings)]
    if settings.auth is not None:
        from ..auth.users import Unfit, read

        try:
            read(settings.auth)
        except Unfit as unfit:
            faults += [settings.fault("auth", what) for what in unfit.faults]
    if faults:
        raise ConfigError(*faults)


def _faults(settings: Settings) -> Iterator[tuple[str, str]]:
    yield from _writable("cache.dir", settings.cache.dir)
    if settings.access_log is not None and settings.access_log != Path("-"):
        try:
            settings.access_log.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(settings.access_log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640))
        except OSError as error:
            yield "access_log", f"{settings.access_log} cannot be written: {error.strerror}; name another file"
    if settings.upstream.ca_file is not None:
        yield from _certificates("upstream.ca_file", settings.upstream.ca_file)


def _writable(key: str, directory: Path) -> Iterator[tuple[str, str]]:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        yield key, f"{directory} cannot be written: {error.strerror}; give it to this user or name another directory"


def _certificates(key: str, file: Path) -> Iterator[tuple[str, str]]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=file)
    except ssl.SSLError:
        yield key, f"{file} holds no certificate; it must be PEM (-----BEGIN CERTIFICATE-----)"
    except OSError as error:
        yield key, f"{file} cannot be read: {error.strerror}; name a PEM file of root certificates"
