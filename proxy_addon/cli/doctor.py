"""`hubgate doctor`: is everything in place, seen from this machine? Each check is one line; a failed one exits 1.

A hint is for one kind of client only, and fails nothing. `--json` prints a list of {ok, hint, what}.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.serialization import Encoding

from ..auth import htpasswd, schemes
from ..auth.users import Unfit, read
from ..ca import public_roots
from ..config import Settings, probe
from ..core.errors import ConfigError
from ..ports import explain_bind, who_listens
from . import options
from .hints import hints, node_version
from .output import as_json, counted, say
from .proxies import login, masked

_HUBS = {"huggingface": "huggingface.co", "modelscope": "modelscope.cn"}
_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    ok: bool
    what: str
    hint: bool = False

    @property
    def line(self) -> str:
        return f"{'hint' if self.hint else 'ok  ' if self.ok else 'FAIL'}  {self.what}"


def doctor(config: options.ConfigFile = None, json: options.Json = False) -> int:
    """Check configuration, ports, CA and the way to the hubs."""
    settings = options.settings(config)
    found = []
    for check in (_configuration, _paths, _ports, _ca, _environment, _auth, _upstream):
        for finding in _guarded(check, settings):
            if finding in found:
                continue
            found.append(finding)
            if not json:
                say(finding.line)
    if json:
        as_json([asdict(finding) for finding in found])
    return 0 if all(finding.ok for finding in found) else 1


def _guarded(check: Callable[[Settings], Iterator[Finding]], settings: Settings) -> Iterator[Finding]:
    try:
        yield from check(settings)
    except ConfigError as error:
        yield from (Finding(False, fault) for fault in error.faults)


def _configuration(settings: Settings) -> Iterator[Finding]:
    yield Finding(True, f"configuration: {settings.source}")


def _paths(settings: Settings) -> Iterator[Finding]:
    probe(settings)
    yield Finding(True, f"cache directory {settings.cache.dir}")


def _ports(settings: Settings) -> Iterator[Finding]:
    for at in filter(None, (*settings.listen, settings.admin.listen)):
        if at.port == 0:
            yield Finding(True, f"{at}: the port is chosen at the start")
            continue
        family = socket.AF_INET6 if ":" in at.host else socket.AF_INET
        with socket.socket(family) as probe_socket:
            probe_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe_socket.bind((at.host, at.port))
            except OSError as error:
                owner = who_listens(at.host, at.port) or ""
                if "hubgate" in owner:
                    yield Finding(True, f"{at}: hubgate is running, {owner}")
                else:
                    yield Finding(False, explain_bind(error, at.host, at.port))
            else:
                yield Finding(True, f"{at} is free: hubgate is not running there")


def _ca(settings: Settings) -> Iterator[Finding]:
    authority = options.authority(settings)
    yield Finding(True, f"CA until {authority.expires:%Y-%m-%d}, SHA-256 {authority.fingerprint()}")
    yield from (Finding(True, line, hint=True) for line in authority.announced()[1:])


def _environment(settings: Settings) -> Iterator[Finding]:
    """Would a client started from this very shell use the proxy, and trust it?"""
    proxy = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy")
    yield _answering(proxy) if proxy else Finding(False, 'no HTTPS_PROXY here; eval "$(hubgate env)"')
    named = os.environ.get("SSL_CERT_FILE")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=named) if named else context.load_default_certs()
    except OSError as error:
        yield Finding(False, f"SSL_CERT_FILE {named}: {error}")
        return
    ours = options.authority(settings).root.public_bytes(Encoding.DER)
    trusted = ours in context.get_ca_certs(binary_form=True)
    yield Finding(trusted, "Python trusts the CA" if trusted else 'Python does not trust the CA; eval "$(hubgate env)"')
    if proxy and trusted:
        yield from (Finding(True, hint, hint=True) for hint in hints(os.environ, ours, node_version()))


def _answering(proxy: str) -> Finding:
    what = f"HTTPS_PROXY is {masked(proxy)}"
    try:
        at = urlsplit(proxy)
        with socket.create_connection((at.hostname or "", at.port or 80), _TIMEOUT):
            return Finding(True, what)
    except ValueError:
        return Finding(False, f'{what}, which is no URL; eval "$(hubgate env)"')
    except OSError as error:
        why = error.strerror or error
        return Finding(False, f'{what}, where nothing answers ({why}); start `hubgate serve`, or eval "$(hubgate env)"')


def _auth(settings: Settings) -> Iterator[Finding]:
    """Would the proxy of this configuration let in a client started from this shell?"""
    if settings.auth is None:
        return
    try:
        users = read(settings.auth)
    except Unfit:  # told with the paths
        return
    yield Finding(bool(users), f"auth: {counted(len(users), 'user')} in {settings.auth}")
    proxy = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy")
    if not proxy:
        return
    if (said := login(proxy)) is None:
        yield Finding(False, 'auth: HTTPS_PROXY has no user and password; eval "$(hubgate env --user USER)"')
        return
    user, password = htpasswd.normal(said[0]), said[1]
    right = user in users and schemes.matches(users[user], password)
    yield Finding(
        right, f"auth: the password in HTTPS_PROXY is {'right' if right else 'wrong, or there is no such user'}"
    )


def _upstream(settings: Settings) -> Iterator[Finding]:
    if settings.upstream.proxy:
        yield Finding(True, "upstream goes through upstream.proxy; not tried")
        return
    ca_file = settings.upstream.ca_file
    roots = public_roots([ca_file.read_bytes()] if ca_file and Path(ca_file).exists() else ())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=roots.decode("ascii", "ignore"))
    for hub, name in _HUBS.items():
        if not getattr(settings.hubs, hub).enabled:
            continue
        target = settings.upstream.connect_to.lookup(name, 443) or (name, 443)
        via = "" if target == (name, 443) else f" at {target[0]}:{target[1]}"
        try:
            with (
                socket.create_connection(target, _TIMEOUT) as raw,
                context.wrap_socket(raw, server_hostname=name) as peer,
            ):
                yield Finding(True, f"{name}{via}: {peer.version()}")
        except OSError as error:
            yield Finding(False, f"{name}{via}: {error}; look at upstream.proxy, upstream.ca_file and the firewall")
