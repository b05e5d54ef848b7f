"""The few exceptions that a caller branches on. Everything else is a builtin."""

from __future__ import annotations

from typing import Self


class BodyLost(Exception):
    """The rest of a body will not come; what was sent must not look complete."""


class FillOver(BodyLost):
    """All that was wanted of a blob has come: who comes now has to begin a new fill."""


class UpstreamFailed(Exception):
    """No usable answer from upstream. `status` is what our client gets: 502 or 504 (RFC 9110 §15.6)."""

    def __init__(self, reason: str, status: int = 502) -> None:
        super().__init__(reason)
        self.reason, self.status = reason, status

    def told(self, text: str) -> Self:
        """The same in other words, for one client: the fault itself reaches all who wait for the same answer."""
        other = type(self).__new__(type(self), text)
        other.__dict__.update(self.__dict__)
        return other


class IntegrityError(Exception):
    """Bytes are not what their digest, size or validator says. `found`: the digest that they have, if one was made."""

    def __init__(self, reason: str = "", *, found: str = "") -> None:
        super().__init__(reason)
        self.found = found


class ConfigError(Exception):
    """One or more faults in the configuration: one line each, `file:line: key: what; fix`."""

    def __init__(self, *faults: str) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults
