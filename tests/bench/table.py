"""Rows as a table for a terminal, for a README, or as JSON; and the machine they hold for."""

from __future__ import annotations

import json
import os
import platform
import shutil
import ssl
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from .figures import Figure, Row

HEAD = ("what", "unit", "hubgate", "peer", "ratio", "goal", "met", "more")
_MET = {True: "yes", False: "NO", None: ""}


def machine() -> dict[str, str]:
    """Facts that a figure means nothing without."""
    curl = subprocess.run(["curl", "-V"], capture_output=True, text=True, check=True).stdout.split()[1]
    nginx = subprocess.run([nginx_path(), "-v"], capture_output=True, text=True, check=True).stderr.strip()
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": f"{os.cpu_count()} cores, {_model()}",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "nginx": nginx.rpartition("/")[2],
        "curl": curl,
        "load": f"{os.getloadavg()[0]:.1f} at the start",
    }


def nginx_path() -> str:
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or "nginx"


def cells(row: Row) -> tuple[str, ...]:
    peer = f"{_figure(row.peer)} {row.than}" if row.peer else ""
    return (
        row.what,
        row.unit,
        _figure(row.ours),
        peer,
        "" if row.ratio is None else f"{row.ratio:.2f}",
        row.goal.text if row.goal else "",
        _MET[row.met],
        row.detail,
    )


def _figure(figure: Figure) -> str:
    return f"{figure.text} ({figure.spread})" if figure.spread else figure.text


def plain(rows: Sequence[Row]) -> str:
    lines = [HEAD, *map(cells, rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(HEAD))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def markdown(rows: Sequence[Row]) -> str:
    lines = [HEAD, ("---",) * len(HEAD), *map(cells, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def as_json(rows: Sequence[Row], facts: dict[str, str]) -> str:
    found = [{**asdict(row), "ratio": row.ratio, "met": row.met} for row in rows]
    return json.dumps({"machine": facts, "rows": found}, indent=2)


def _model() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.machine()
