"""A proxy's URL with a user and a password in it: put together, taken apart, and shown without the password."""

from __future__ import annotations

from urllib.parse import quote, unquote


def masked(url: str) -> str:
    """To be shown: whatever stands before the last `@` may be a password, but for the name before its first colon."""
    scheme, slashes, rest = url.partition("://") if "://" in url else ("", "", url)
    said, at, host = rest.rpartition("@")
    user, colon, _ = said.partition(":")
    return f"{scheme}{slashes}{user}{colon}{'***' if colon else ''}{at}{host}"


def login(url: str) -> tuple[str, bytes] | None:
    """Who a client will say it is."""
    said, at, _ = (url.partition("://")[2] or url).rpartition("@")
    user, _, password = said.partition(":")
    return (unquote(user), unquote(password).encode()) if at else None


def with_login(url: str, user: str, password: str) -> str:
    scheme, _, host = url.partition("://")
    return f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{host.rpartition('@')[2]}"
