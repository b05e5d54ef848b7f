"""The grammar of an htpasswd file: a line for each user, `name:kept password`. Pure.

Empty lines and those that begin with `#` say nothing. Every fault is told at once as `FILE:LINE: what; how to fix it`,
and never repeats what stands behind the colon. A file with a fault has no meaning at all: half of it would let in whom
somebody meant to shut out. Rules compare names without case, so two that differ in case only are a fault too.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

from . import schemes

LARGEST = 2 * 1024 * 1024  # bytes
LONGEST = 255  # bytes of a name


@dataclass(frozen=True, slots=True)
class Parsed:
    users: Mapping[str, str] = field(default_factory=dict, repr=False)  # name -> kept password
    faults: tuple[str, ...] = ()


def name_fault(user: str) -> str | None:
    """Why nobody may be called so. It is shown, logged, and written before a colon (RFC 7617 §2)."""
    if not user or user != user.strip() or user.startswith("#"):
        return "is empty, or begins with a space or `#`, or ends with a space"
    if ":" in user or not user.isprintable():
        return "has a colon or a control character"
    if len(user.encode("utf-8", "surrogatepass")) > LONGEST:
        return f"is longer than {LONGEST} bytes"
    return None


def normal(user: str) -> str:
    """One spelling for one name (RFC 7617 §2.1)."""
    return unicodedata.normalize("NFC", user)


def parse(data: bytes, file: str) -> Parsed:
    """`file` is the name that faults have in front."""
    users: dict[str, str] = {}
    folded: dict[str, tuple[str, int]] = {}
    faults: list[str] = []
    for number, (name, kept) in _lines(data):
        place = f"{file}:{number}"
        if kept is None:
            faults.append(f"{place}: is no `name:hash`; remove the line, or write it with: hubgate auth add NAME")
            continue
        shown = ascii(name)[1:-1] if name_fault(name) else name
        if (why := name_fault(name)) is not None:
            faults.append(f"{place}: the name {shown!r} {why}; give the user another one")
        if (why := schemes.fault(kept)) is not None:
            faults.append(f"{place}: {shown}: {why}; set it anew: hubgate auth add {shown} --file {file}")
        other, line = folded.setdefault(name.casefold(), (name, number))
        if line != number:
            same = "is there already" if other == name else f"differs from {other} in case only"
            faults.append(f"{place}: {shown}: {same}, on line {line}; remove one of the two")
        users[name] = kept
    return Parsed({} if faults else users, tuple(faults))


def _lines(data: bytes) -> list[tuple[int, tuple[str, str | None]]]:
    found: list[tuple[int, tuple[str, str | None]]] = []
    for number, raw in enumerate(data.split(b"\n"), 1):
        line = raw.removesuffix(b"\r")
        if not line.strip() or line.startswith(b"#"):
            continue
        try:
            name, colon, kept = line.decode().partition(":")
        except UnicodeDecodeError:
            name, colon, kept = "", "", ""
        found.append((number, (normal(name), kept.rstrip() if colon else None)))
    return found


def with_user(data: bytes, user: str, kept: str) -> bytes:
    """The file's text with a line for `user` in place of those that were there; all else as it stands."""
    new = f"{user}:{kept}".encode()
    lines = data.split(b"\n")
    if lines and not lines[-1]:
        lines.pop()
    out: list[bytes] = []
    for line in lines:
        if normal(line.decode("utf-8", "replace").partition(":")[0]) != user or b":" not in line:
            out.append(line)
        elif new not in out:
            out.append(new)
    return b"\n".join(out if new in out else [*out, new]) + b"\n"
