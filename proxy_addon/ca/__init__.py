"""The certificate authority that this proxy makes for itself, and the roots it trusts.

Whoever trusts this CA trusts it for the hubs alone: the root *and* the intermediate carry critical name constraints
(RFC 5280 §4.2.1.10) that permit the hub domains and the configured other hosts, and exclude every IP address. The
root's key is thrown away once it has signed the intermediate, so nothing on this disk can widen what clients have
agreed to. What a leaf may name, the constraints and the hosts that the request path takes for hubs change together.
"""

from .authority import HUB_DOMAINS, Authority
from .leaf import Leaf
from .roots import public_roots, write_atomically

__all__ = ["HUB_DOMAINS", "Authority", "Leaf", "public_roots", "write_atomically"]
