"""Inside the process under test, if this directory is on its path: names lead where the test says, every connection is
on record, and none leaves this machine.

`FAULTS_NAMES` is a folder with `answers.json`, {name: [first answer, next, ...]}, each a list of addresses; the last
one stays. What is asked and dialled goes to `log`, one JSON list a line.
"""

from __future__ import annotations

import errno
import ipaddress
import json
import os
import socket
import sys
from collections import Counter
from pathlib import Path
from typing import Any

folder = Path(os.environ["FAULTS_NAMES"])
answers: dict[str, list[list[str]]] = json.loads((folder / "answers.json").read_text())
asked: Counter[str] = Counter()
real = socket.getaddrinfo


def note(*what: Any) -> None:
    with (folder / "log").open("a") as log:
        log.write(json.dumps(what) + "\n")


def getaddrinfo(host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> Any:
    name = host.decode() if isinstance(host, bytes) else host
    if name in answers:
        turn = min(asked[name], len(answers[name]) - 1)
        asked[name] += 1
        note("name", name)
        numbers = socket.AI_NUMERICHOST
        return [info for to in answers[name][turn] for info in real(to, port, 0, type, proto, numbers)]
    if name is not None and name != "localhost":
        flags |= socket.AI_NUMERICHOST
    return real(host, port, family, type, proto, flags)


def audit(event: str, args: tuple[Any, ...]) -> None:
    if event != "socket.connect" or not isinstance(args[1], tuple) or args[0].type != socket.SOCK_STREAM:
        return
    host, port = args[1][:2]
    note("dial", host, port)
    if not ipaddress.ip_address(host.partition("%")[0]).is_loopback:
        raise OSError(errno.ENETUNREACH, "the test lets nothing out")


socket.getaddrinfo = getaddrinfo
sys.addaudithook(audit)
