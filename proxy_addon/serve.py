"""The life of the process: check, bind, announce, serve, drain.

Everything that can be wrong is found before the first port is open, and told as a `ConfigError`: nothing is half
started. SIGTERM and ^C drain, a second one ends the wait; SIGHUP reopens the access log and reads the rules again.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from . import tls
from .addon import Hubgate, Served
from .admin import Ruled, Synced
from .admin import app as admin
from .beside import Beside
from .ca import Handout, opened
from .config import Listen, Settings, load, probe
from .core.errors import ConfigError
from .discreet import disown_tokens, forbid_core_dumps, log_to_standard_error
from .edge.admission import Admission
from .edge.scarce import Scarce
from .master import Proxy
from .ports import explain_bind, who_listens
from .scrubber import Scrubber
from .sync import journal
from .wiring import Assembly, assemble

log = logging.getLogger(__name__)

type Announce = Callable[[Settings, Sequence[Listen], Handout, Listen | None], None]  # the last: of the admin listener


def run(settings: Settings, announce: Announce) -> int:
    """Serve until SIGTERM or ^C; the exit status. Raises ConfigError."""
    log_to_standard_error()
    disown_tokens()
    logging.getLogger("mitmproxy.addons.proxyserver").setLevel(logging.CRITICAL)  # a failed bind is told once, by us
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65536)), hard))
    return asyncio.run(_serve(settings, announce))


async def _serve(settings: Settings, announce: Announce) -> int:
    for what in _risks(settings):
        log.warning("%s", what)
    authority = opened(settings.ca.dir, settings.hubs.other_names, settings.ca.cert, settings.ca.key)
    roots = tls.upstream_roots(settings.ca.dir, settings.upstream.ca_file)
    parts = await assemble(settings, keeps=True)
    scarce = Scarce()
    asyncio.get_running_loop().set_exception_handler(scarce.heard)
    listener: admin.Listening | None = None
    beside: Beside | None = None
    scrubber = Scrubber(settings, parts.store.quarantine)
    scrubber.standing.register(parts.metrics)
    try:
        beside = _beside(settings, parts)
        proxy = Proxy(
            Hubgate(parts.engine, _admission(settings), settings.limits, parts.door),
            listen=[(at.host, at.port) for at in settings.listen],
            confdir=settings.ca.dir,
            tls=tls.Tls(authority, upstream_roots=roots),
        )
        listener = await _admin(settings, authority, parts, proxy, beside, scrubber, scarce)
        try:
            addresses = await proxy.bind()
        except OSError as fault:
            raise _bind_fault(settings, fault) from fault
        _on_signals(proxy, parts, settings.drain, [scrubber, *([beside] if beside else [])])
        at = Listen(listener.host, listener.port) if listener else None
        announce(settings, [Listen(host, port) for host, port in addresses], authority, at)
        if beside is not None:
            beside.start()
        scrubber.start()
        await proxy.run(settings.drain)
    finally:
        if listener is not None:
            await listener.close()
        if beside is not None:
            await beside.close()
        await scrubber.close()
        await parts.close()
    return 0


def _risks(settings: Settings) -> Iterator[str]:
    """What may be meant so, and is told all the same."""
    everybody = " and ".join(str(net) for net in settings.clients if net.prefixlen == 0)
    outward = " or ".join(str(at) for at in settings.listen if not at.loopback)
    if everybody and outward and settings.auth is None:
        what = f"{everybody} is everybody who reaches {outward}, and no password is asked for"
        yield settings.fault("clients", f"{what}; name your own networks, or an `auth` file")


def _beside(settings: Settings, parts: Assembly) -> Beside | None:
    """None: nothing is to be kept in sync, nor was it the last time."""
    if not settings.sync and not journal.exists(settings.cache.dir):
        return None
    beside = Beside(settings)
    lag, behind = "Since what is here was last known to be what the hub has", "1: what the hub has is not here complete"
    parts.metrics.gauges("sync_lag_seconds", lag, "repo", beside.lags)
    parts.metrics.gauges("sync_behind", behind, "repo", beside.behind)
    return beside


async def _admin(
    settings: Settings,
    authority: Handout,
    parts: Assembly,
    proxy: Proxy,
    beside: Beside | None,
    scrubber: Scrubber,
    scarce: Scarce,
) -> admin.Listening | None:
    at = settings.admin.listen
    if at is None:
        return None
    expires = "When clients begin to refuse this proxy, unless its CA is renewed"
    parts.metrics.gauge("ca_expires_timestamp_seconds", expires, authority.expires.timestamp)
    application = admin.create_app(
        lambda: _health(parts, proxy, scrubber, scarce),
        authority,
        parts.metrics,
        settings.clients,
        lambda: _synced(beside),
        lambda: Ruled(parts.rulebook.policy.size, parts.rulebook.policy.digest, parts.rulebook.since),
    )
    try:
        return await admin.start(application, at.host, at.port, settings.limits.header_deadline)
    except OSError as fault:
        raise ConfigError(settings.fault("admin.listen", explain_bind(fault, at.host, at.port))) from fault


def _synced(beside: Beside | None) -> list[Synced]:
    now = time.time()
    stands = beside.standings() if beside is not None else []
    return [Synced(at.repo, at.lag(now), at.behind, at.fault) for at in stands]


def _health(parts: Assembly, proxy: Proxy, scrubber: Scrubber, scarce: Scarce) -> admin.Health:
    reasons = []
    if proxy.addon.draining:
        reasons.append("draining: no new connections are taken")
    if parts.fills.trouble is not None:
        reasons.append(f"the cache cannot be written: {parts.fills.trouble}")
    if parts.access_log is not None and parts.access_log.lost:
        reasons.append(f"{parts.access_log.lost} lines of the access log were lost")
    locked = parts.door.users.reasons if parts.door is not None else ()
    return admin.Health((*reasons, *scarce.reasons, *scrubber.standing.reasons, *parts.rulebook.reasons, *locked))


def _bind_fault(settings: Settings, fault: OSError) -> ConfigError:
    for at in settings.listen:
        if len(settings.listen) == 1 or fault.errno != errno.EADDRINUSE or who_listens(at.host, at.port):
            return ConfigError(settings.fault("listen", explain_bind(fault, at.host, at.port)))
    return ConfigError(settings.fault("listen", str(fault)))


def _on_signals(proxy: Proxy, parts: Assembly, drain: float, companions: Sequence[Beside | Scrubber]) -> None:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if proxy.addon.draining:
            log.warning("told to stop again: what is still open is cut")
        else:
            log.info("stopping; open downloads have %.0f s to finish, a second signal cuts them", drain)
        for companion in companions:
            companion.stop()
        proxy.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    _on_hup(parts)


def _on_hup(parts: Assembly) -> None:
    def again() -> None:
        if parts.access_log is not None:
            parts.access_log.reopen()
        parts.rulebook.hup()

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, again)


async def build(config: str) -> Served:
    """For `mitmdump -s proxy_addon/addon.py`: an engine by the named configuration file, or by the usual one."""
    forbid_core_dumps()
    settings = _settings(config)
    parts = await assemble(settings, keeps=True)
    _on_hup(parts)
    return Served(parts.engine, _admission(settings), parts.close, parts.door, settings.limits)


def _admission(settings: Settings) -> Admission:
    return Admission(settings.admitted, settings.limits.connections)


def _settings(config: str) -> Settings:
    settings = load(Path(config).expanduser() if config else None)
    probe(settings)
    return settings
