"""The certificate authority that this proxy makes for itself, and the roots it trusts.

Whoever trusts this CA trusts it for the hubs alone: the root *and* the intermediate carry critical name constraints
(RFC 5280 §4.2.1.10) that permit the hub domains and the configured other hosts, and exclude every IP address. The
root's key is thrown away once it has signed the intermediate, so nothing on this disk can widen what clients have
agreed to. What a leaf may name, the constraints and the hosts that the request path takes for hubs change together.

A laptop holds its own `Authority`. A server may hold an `Offline` leaf only: the authority is then on another machine.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from .authority import Authority
from .handout import Handout
from .leaf import HUB_DOMAINS, Leaf
from .offline import Offline
from .roots import public_roots, write_atomically

__all__ = ["HUB_DOMAINS", "Authority", "Handout", "Leaf", "Offline", "opened", "public_roots", "write_atomically"]


def opened(
    directory: Path, hosts: Iterable[str], cert: Path | None, key: Path | None, *, make: bool = True
) -> Authority | Offline:
    """The leaf in `cert` and `key`, else the CA in `directory`; `make` one if there is none. Raises ConfigError."""
    if cert is None or key is None:
        return Authority.open(directory, hosts, make=make)
    return Offline.open(directory, cert, key, hosts)
