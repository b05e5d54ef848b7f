"""Which address a name may lead to.

The proxy connects to globally routable addresses only, and to exactly the address that was checked, so that a name that
changes its mind between check and connect gains nothing. The exceptions are the operator's own words: `connect_to`,
which maps a name and port to another place, like curl's `--connect-to`, and leaves the TLS name and Host alone; and the
proxy and the mirrors of the configuration, for what the engine itself asks.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Collection
from functools import partial
from typing import Protocol

from aiohttp.abc import AbstractResolver, ResolveResult

from ..core.errors import UpstreamFailed
from .aside import Aside

NAMES = 32  # looked up at once; a name server that is silent holds up other names, and nothing else
_COMPATIBLE = ipaddress.ip_network("::/96")  # deprecated, with an IPv4 address inside (RFC 4291 §2.5.5.1)
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")  # NAT64: an IPv4 address in disguise (RFC 6052)


def is_public(address: str) -> bool:
    """Globally routable, also after an embedded IPv4 address is unwrapped; multicast is not."""
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(address.split("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in _TRANSLATED:
            ip = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        elif (inner := ip.ipv4_mapped or ip.sixtofour) is not None:
            ip = inner
        elif ip.teredo is not None or ip.is_site_local or ip in _COMPATIBLE:
            return False
    return ip.is_global and not ip.is_multicast


def is_here(address: str) -> bool:
    """Whether the machine would speak to itself: what listens on it may trust its own addresses, public ones too."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as nothing_sent:
            nothing_sent.connect((address, 9))
            return ipaddress.ip_address(nothing_sent.getsockname()[0]) == ipaddress.ip_address(address)
    except OSError:
        return False


def may_dial(address: str) -> bool:
    return is_public(address) and not is_here(address)


def is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


class ConnectTo(Protocol):
    def lookup(self, host: str, port: int) -> tuple[str, int] | None:
        """Where to dial instead, or None."""
        ...


class Resolver(AbstractResolver):
    """For aiohttp: names to checked addresses. Raises OSError, as its callers expect of a resolver.

    `patience`: seconds that a client's tunnel waits for a name; for other requests aiohttp counts them."""

    def __init__(
        self, connect_to: ConnectTo, trusted: Collection[tuple[str, int]] = (), patience: float | None = None
    ) -> None:
        self._connect_to, self.trusted, self._patience = connect_to, frozenset(trusted), patience
        self._aside = Aside(NAMES, "name")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return await self._addresses(host, port, family, anywhere=(host, port) in self.trusted)

    async def _addresses(
        self, host: str, port: int, family: socket.AddressFamily, *, anywhere: bool
    ) -> list[ResolveResult]:
        mapped = self._connect_to.lookup(host, port)
        target = mapped or (host, port)
        look = partial(socket.getaddrinfo, *target, type=socket.SOCK_STREAM, family=family)
        infos = await self._aside.run(look)
        found = [
            ResolveResult(hostname=host, host=str(info[4][0]), port=target[1], family=info[0], proto=info[2], flags=0)
            for info in infos
            if mapped or anywhere or may_dial(str(info[4][0]))
        ]
        if not found:
            raise OSError(f"{host} leads to a private address, or back here; upstream.connect_to can allow it")
        return found

    async def close(self) -> None:
        self._aside.close()

    async def checked(self, host: str, port: int) -> tuple[str, int]:
        """One address for a client's tunnel, which has no part in what is `trusted`; raises `UpstreamFailed`."""
        if is_literal(host) and self._connect_to.lookup(host, port) is None:
            literal = host.strip("[]")
            if not may_dial(literal):
                raise UpstreamFailed(f"{host} is a private address, or one of this machine", 403)
            return literal, port
        try:
            async with asyncio.timeout(self._patience):
                first = (await self._addresses(host, port, socket.AF_UNSPEC, anywhere=False))[0]
        except TimeoutError as fault:
            raise UpstreamFailed(f"no name server told in time where {host} is", 504) from fault
        except OSError as fault:
            raise UpstreamFailed(str(fault), 502) from fault
        return first["host"], first["port"]
