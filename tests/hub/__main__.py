"""Run the test hub as a process: `python -m tests.hub --synthetic bench/big:b.bin:1GiB:lfs --minilm FOLDER`.

Prints one line of JSON {"port", "control", "splice", "ca", "pid"} when it listens, and ends on SIGTERM or when its
standard input, if it is a pipe, is closed: so it never outlives whoever started it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import stat
import sys
from pathlib import Path

from aiohttp import web

from .control import application
from .splice import Splice
from .standard import minilm, standard_hub

UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def size_of(text: str) -> int:
    return next((int(text.removesuffix(u)) * n for u, n in UNITS.items() if text.endswith(u)), 0) or int(text)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.hub", description="A Hugging Face hub on loopback.")
    parser.add_argument("--port", type=int, default=0, help="TLS port of all hosts")
    parser.add_argument("--control-port", type=int, default=0)
    parser.add_argument("--splice-port", type=int, default=0, help="a CONNECT proxy that leads to the hub alone")
    parser.add_argument("--ca-dir", type=Path, help="where to write hub-ca.pem")
    parser.add_argument("--minilm", type=Path, metavar="FOLDER", help="serve all-MiniLM-L6-v2 from its files")
    parser.add_argument(
        "--synthetic", action="append", default=[], metavar="ID:PATH:SIZE[:git|lfs|xet]", help="a file of made-up bytes"
    )
    return parser.parse_args()


async def until_told(port: int, app: web.Application, line: dict[str, object]) -> None:
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    if stat.S_ISFIFO(os.fstat(0).st_mode):
        loop.add_reader(0, over.set)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    found = runner.addresses[0][1]
    print(json.dumps({**line, "control": f"http://127.0.0.1:{found}"}), flush=True)
    await over.wait()
    await runner.cleanup()


def main() -> int:
    wanted = arguments()
    hub = standard_hub(port=wanted.port, ca_dir=wanted.ca_dir)
    if wanted.minilm:
        hub.add(minilm(wanted.minilm))
    for spec in wanted.synthetic:
        id, path, size, *storage = spec.split(":")
        hub.add_synthetic(id, path, size_of(size), storage=storage[0] if storage else "lfs")
    with hub, Splice(hub.port, wanted.splice_port) as splice:
        line = {"port": hub.port, "splice": splice.url, "ca": str(hub.ca_pem), "pid": os.getpid()}
        asyncio.run(until_told(wanted.control_port, application(hub), line))
    return 0


if __name__ == "__main__":
    sys.exit(main())
