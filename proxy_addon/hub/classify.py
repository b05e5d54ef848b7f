"""One door: which hub a host belongs to, and what a request to it is about. Total: it never raises."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Protocol

from ..core.messages import PORTS
from ..core.storing import READS
from . import huggingface, modelscope, revisions
from .methods import otherwise
from .paths import Ambiguous, is_signed, permits, url_key
from .resources import Document, Kind, Malformed, Passed, Plain, Resource, Secret
from .subjects import subject_of


class _Hub(Protocol):
    HUB: str

    def is_ours(self, host: str) -> bool: ...
    def classify(self, method: str, host: str, path: str, query: str, body_digest: str = "") -> Resource: ...


_HUBS: tuple[_Hub, ...] = (huggingface, modelscope)
ALL = tuple(hub.HUB for hub in _HUBS)
DOMAINS = (*huggingface.SUFFIXES, *modelscope.SUFFIXES)
#: The hosts that are a hub itself, by hub and site.
HOMES = {(huggingface.HUB, ""): huggingface.HOME_HOSTS} | {
    (modelscope.HUB, site): frozenset(host for host in modelscope.HOME_HOSTS if modelscope.site_of(host) == site)
    for site in ("", "ai")
}
_REMEMBERED = 2048  # characters of path and query, so that what is remembered has a bound
_PORTS = frozenset(PORTS.values())  # on any other a hub's name is not the hub
_METHODS = READS | frozenset({"POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class OtherHost(Protocol):
    def matches(self, host: str, port: int) -> bool: ...


class Classifier:
    """Knows the hubs that are switched on and the further hosts of the configuration."""

    def __init__(self, *, enabled: Iterable[str] = ALL, others: Iterable[OtherHost] = ()) -> None:
        on = frozenset(enabled)
        self._hubs: tuple[_Hub, ...] = tuple(h for h in _HUBS if h.HUB in on)
        self._others = tuple(others)
        self._known = lru_cache(maxsize=16384)(self._unsigned)

    def hub_of(self, host: str, port: int) -> str | None:
        """`huggingface`, `modelscope`, `other`, or None for a host that is none of ours."""
        for hub in self._hubs:
            if port in _PORTS and hub.is_ours(host):
                return hub.HUB
        return "other" if any(other.matches(host, port) for other in self._others) else None

    def claims(self, name: str, port: int) -> bool:
        """Whether who asks for this name means one of our hosts. A hub is meant on any port."""
        return any(hub.is_ours(name) for hub in self._hubs) or self.hub_of(name, port) is not None

    def classify(
        self, method: str, scheme: str, host: str, port: int, path: str, query: str, body_digest: str = ""
    ) -> Resource:
        known = self._known if len(path) + len(query) <= _REMEMBERED else self._unsigned
        return known(method, scheme, host, port, path, query, body_digest)

    def _unsigned(
        self, method: str, scheme: str, host: str, port: int, path: str, query: str, body_digest: str
    ) -> Resource:
        found = self._classify(method, scheme, host, port, path, query, body_digest)
        if isinstance(found, Plain) and is_signed(query):
            return Secret(found.hub, Kind.PLAIN, found.about)
        named = isinstance(found, Document) and found.what != "manifest"  # by its query too, and the name is on disk
        return Secret(found.hub, Kind.API, subject_of(found)) if named and permits(query) else found

    def _classify(
        self, method: str, scheme: str, host: str, port: int, path: str, query: str, body_digest: str
    ) -> Resource:
        for hub in self._hubs:
            if port in _PORTS and hub.is_ours(host):
                if method not in _METHODS:
                    return Malformed(f"method {method[:20]!r} is not served here", hub.HUB)
                try:
                    found = _named(hub.classify(method, host, path, query, body_digest))
                    if method in READS or not isinstance(found, Passed):
                        return found
                    return otherwise(method, found, _named(hub.classify("GET", host, path, query)))
                except Ambiguous as fault:
                    return Malformed(str(fault), hub.HUB)
        if self.hub_of(host, port) is None or method not in READS:
            return Passed("other", Kind.PLAIN)
        netloc = host if port == PORTS.get(scheme) else f"{host}:{port}"
        return Plain("other", url_key(f"{scheme}://{netloc}{path}{'?' + query if query else ''}"))


def _named(found: Resource) -> Resource:
    """`found`, if the revision that it is about goes by its own name. Raises `Ambiguous`."""
    subject = subject_of(found)
    for rev in (subject.rev, subject.since) if subject is not None else ():
        if rev is not None:
            revisions.check(rev)
    return found
