"""What a running process has used, as Linux tells it, and how to wait for one."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(*pids: int) -> float:
    """User and system time of all threads, those that have ended too."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICK


def memory(pid: int, what: str = "VmRSS") -> int:
    """Bytes: VmRSS now, VmHWM at most since the start."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(what)


def settled_memory(pid: int, seconds: float = 10.0) -> int:
    """VmRSS once it has stayed within 256 KiB for a second, or after `seconds`."""
    until = time.monotonic() + seconds
    last, quiet = memory(pid), 0
    while quiet < 4 and time.monotonic() < until:
        time.sleep(0.25)
        now = memory(pid)
        quiet = quiet + 1 if abs(now - last) < 256 * 1024 else 0
        last = now
    return last


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until(ready: Callable[[], bool], process: subprocess.Popen[bytes], what: str, seconds: float = 60.0) -> float:
    """Seconds until `ready`; raises RuntimeError when the process ends first, or time does."""
    started = time.perf_counter()
    while not ready():
        if process.poll() is not None:
            raise RuntimeError(f"{what} ended with {process.returncode}")
        if time.perf_counter() - started > seconds:
            raise RuntimeError(f"{what} was not ready within {seconds:g} s")
        time.sleep(0.005)
    return time.perf_counter() - started


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def end(process: subprocess.Popen[bytes], seconds: float = 40.0) -> None:
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)


def plain_environment() -> dict[str, str]:
    """Ours, without what would send a client through some other proxy, or run Python otherwise than a user's does."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy")
        and not name.startswith(("HUBGATE", "PYTHON"))
        and name not in ("CURL_CA_BUNDLE", "SSL_CERT_FILE")
    }
