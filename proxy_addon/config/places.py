"""Names of places on the network: listeners, networks, hosts, mirrors, and curl-like `connect_to` rules.

Host names are kept in lower case and IDNA form without a trailing dot, so that everything above compares them with
`==` or by dot-suffix. Each parser raises ValueError with the fix in its text, and never echoes a password.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

type Network = IPv4Network | IPv6Network

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_HOST_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:]*)):([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Listen:
    """A local address to accept on; port 0 lets the system choose."""

    host: str  # an IP address
    port: int

    @property
    def loopback(self) -> bool:
        return ip_address(self.host).is_loopback

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class OtherHost:
    """A host cached by plain RFC 9111; `suffix` takes in every name below `name`, but not `name` itself."""

    name: str
    port: int | None = None  # None: any
    suffix: bool = False

    def matches(self, host: str, port: int) -> bool:
        named = host.endswith("." + self.name) if self.suffix else host == self.name
        return named and self.port in (None, port)

    @property
    def dns(self) -> str:
        """As a certificate names it: `name` or `*.name`."""
        return ("*." if self.suffix else "") + self.name

    def __str__(self) -> str:
        return self.dns + ("" if self.port is None else f":{self.port}")


@dataclass(frozen=True, slots=True)
class ConnectTo:
    """Where to dial instead, as curl's --connect-to; None stands for `*`. TLS name and Host are not touched."""

    rules: tuple[tuple[str | None, int | None, str, int], ...] = ()

    def lookup(self, host: str, port: int) -> tuple[str, int] | None:
        """The address to dial for host:port; the most specific rule wins, a named host before a named port."""
        for rule_host, rule_port, to_host, to_port in self.rules:
            if rule_host in (None, host) and rule_port in (None, port):
                return to_host, to_port
        return None

    def __bool__(self) -> bool:
        return bool(self.rules)


def listen(value: object) -> Listen:
    if isinstance(value, Listen):
        return value
    host, port = _host_port(value, "an address", "127.0.0.1:8080 or [::1]:8080")
    if host == "localhost":
        host = "127.0.0.1"
    try:
        return Listen(str(ip_address(host)), port)
    except ValueError:
        raise ValueError(f"{value!r} does not begin with an IP address; write 0.0.0.0:{port} for every one") from None


def network(value: object) -> Network:
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a network; write it as 10.0.0.0/8 or, in quotes, as '::1/128'")
    try:
        return ip_network(value)
    except ValueError as fault:
        if "host bits" in str(fault):
            raise ValueError(f"{value!r} has host bits set; write {ip_network(value, strict=False)}") from None
        raise ValueError(f"{value!r} is not a network; write it as 10.0.0.0/8 or, in quotes, as '::1/128'") from None


def other_host(value: object) -> OtherHost:
    if isinstance(value, OtherHost):
        return value
    text = value if isinstance(value, str) else ""
    if "/" in text:
        raise ValueError(f"{value!r} looks like a URL; write the host only, such as download.pytorch.org")
    rest, _, port = text.partition(":")
    suffix = rest.startswith("*.")
    name = host_name(rest[2:] if suffix else rest)
    if name is None or is_address(name):
        raise ValueError(f"{value!r} is not a host name; write download.pytorch.org, host:8443 or '*.example.org'")
    if suffix and "." not in name:
        raise ValueError(f"{value!r} takes in a whole top-level domain; name at least one label more")
    return OtherHost(name, _port(port, text) if ":" in text else None, suffix)


def connect_to(value: object) -> ConnectTo:
    if isinstance(value, ConnectTo):
        return value
    if not isinstance(value, Mapping):
        raise ValueError('wants a mapping; write "huggingface.co:443": "127.0.0.1:8443"')
    rules = [(*_source(source), *_target(source, target)) for source, target in value.items()]
    return ConnectTo(tuple(sorted(rules, key=lambda rule: (rule[0] is None, rule[1] is None))))


def mirror(value: object) -> str:
    """A base URL without a trailing slash; https, or http to this machine only."""
    url = _url(value, "https://hf-mirror.example/base")
    if url.username or url.password or url.query or url.fragment:
        raise ValueError("a mirror is a bare base URL; drop user, password, query and fragment")
    if url.scheme != "https" and not (url.scheme == "http" and _is_loopback(url.hostname or "")):
        raise ValueError(f"{value!r} is not safe; a mirror is https, or http on this machine only")
    return url.geturl().rstrip("/")


def proxy(value: object) -> str:
    """An http:// or https:// proxy, perhaps with user and password."""
    url = _url(value, "http://proxy.example:3128")
    if url.scheme not in ("http", "https") or url.path not in ("", "/") or url.query or url.fragment:
        raise ValueError("is not an HTTP proxy; write http://proxy.example:3128")
    return url.geturl().rstrip("/")


def host_name(text: str) -> str | None:
    """Lower case, IDNA, no trailing dot; None when it is no host name (RFC 1123 §2.1)."""
    name = text.rstrip(".").lower() if text.count("..") == 0 else ""
    try:
        name = name.encode("idna").decode("ascii") if not name.isascii() else name
    except UnicodeError:
        return None
    return name if len(name) <= 253 and all(map(_LABEL.fullmatch, name.split("."))) else None


def is_address(host: str) -> bool:
    try:
        return bool(ip_address(host))
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (is_address(host) and ip_address(host).is_loopback)


def _source(source: object) -> tuple[str | None, int | None]:
    host, _, port = source.rpartition(":") if isinstance(source, str) else ("", "", "")
    name = None if host == "*" else _dialled(host)
    if name == "":
        raise ValueError(f"{source!r} is not a source; write 'host:443', '*:443' or '*:*'")
    return name, None if port == "*" else _port(port, str(source))


def _target(source: object, target: object) -> tuple[str, int]:
    host, port = _host_port(target, "an address to dial", "127.0.0.1:8443")
    name = _dialled(host)
    if not name or not port:
        raise ValueError(f"{target!r}, for {source!r}, is no address to dial; write 127.0.0.1:8443")
    return name, port


def _dialled(host: str) -> str:
    bare = host.removeprefix("[").removesuffix("]")
    return str(ip_address(bare)) if is_address(bare) else host_name(host) or ""


def _host_port(value: object, what: str, example: str) -> tuple[str, int]:
    found = _HOST_PORT.fullmatch(value) if isinstance(value, str) else None
    if not found or not (found[1] or found[2]):
        raise ValueError(f"{value!r} is not {what} with a port; write {example}")
    return found[1] or found[2].lower(), _port(found[3], str(value))


def _port(text: str, whole: str) -> int:
    if not (text.isascii() and text.isdigit()) or not int(text[:6]) <= 65535:
        raise ValueError(f"{whole!r} has no valid port; ports are 0 to 65535")
    return int(text)


def _url(value: object, example: str) -> SplitResult:
    try:
        url = urlsplit(value if isinstance(value, str) else "")
        sound = bool(url.scheme and url.hostname) and (url.port or 1) > 0
    except ValueError:
        sound = False
    if not sound or any(c.isspace() for c in str(value)):
        raise ValueError(f"is not a URL; write {example}")
    return url
