"""Who has a port, and what a refused bind means, in words that say what to do next.

On Linux the answer comes from /proc: the listening socket's inode, and the process that holds it. Elsewhere, and for
processes of other users, only the port is known.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from ipaddress import ip_address
from pathlib import Path

_LISTEN = "0A"
_PROC = Path("/proc")


def who_listens(host: str, port: int, proc: Path = _PROC) -> str | None:
    """`pid 1234 (nginx)` for the process that listens on host:port, or on every address; None if it cannot be told."""
    inodes = {f"socket:[{inode}]" for inode in _inodes(host, port, proc)}
    if not inodes:
        return None
    for entry in sorted(proc.glob("[0-9]*")):
        try:
            held = any(os.readlink(fd) in inodes for fd in (entry / "fd").iterdir())
            if held:
                return f"pid {entry.name} ({_command(entry)})"
        except OSError:  # gone by now, or another user's
            continue
    return None


def explain_bind(error: OSError, host: str, port: int) -> str:
    """What is wrong with listening on host:port, and the fix, for a ConfigError."""
    match error.errno:
        case errno.EADDRINUSE:
            owner = who_listens(host, port)
            by = f"by {owner}; stop it" if owner else "by another process; find and stop it"
            return f"port {port} on {host} is in use {by}, or choose another port"
        case errno.EACCES:
            return f"port {port} is reserved for root; choose one from 1024 upward"
        case errno.EADDRNOTAVAIL:
            return f"this machine has no address {host}; name one of its own"
        case _:
            return f"cannot listen on {host}:{port}: {error.strerror or error}; choose another address"


def _command(entry: Path) -> str:
    """The program's name; for a script that an interpreter runs, the script's. Arguments may hold secrets."""
    name = (entry / "comm").read_text().strip()
    if name.startswith("python"):
        arguments = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")[1:]
        script = next((argument for argument in arguments if not argument.startswith("-")), "")
        return Path(script).name or name
    return name


def _inodes(host: str, port: int, proc: Path) -> list[str]:
    found = []
    for table, family in (("net/tcp", socket.AF_INET), ("net/tcp6", socket.AF_INET6)):
        try:
            lines = (proc / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in (line.split() for line in lines):
            address, _, hex_port = fields[1].partition(":")
            if fields[3] == _LISTEN and int(hex_port, 16) == port and _covers(address, family, host):
                found.append(fields[9])
    return found


def _covers(hexed: str, family: socket.AddressFamily, host: str) -> bool:
    words = [bytes.fromhex(hexed[n : n + 8]) for n in range(0, len(hexed), 8)]
    raw = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    listening, wanted = ip_address(socket.inet_ntop(family, raw)), ip_address(host)
    return listening == wanted or listening.is_unspecified or wanted.is_unspecified
