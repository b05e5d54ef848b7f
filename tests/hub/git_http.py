"""git over HTTP, for both hubs: `git http-backend` does the talking, for a folder made from the repo.

Who may read a repo's files may clone it; who has a token may push while the knob `push` is on. Errors are told in the
media type that git, or git-lfs, shows to its user.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import git_lfs
from .exchange import Answer, Exchange, text
from .git_folders import environment
from .repo import File, Repo

if TYPE_CHECKING:
    from .server import TestHub

BATCH, VERIFY = "info/lfs/objects/batch", "info/lfs/objects/verify"
READS, WRITES = "git-upload-pack", "git-receive-pack"
SERVICES = ("info/refs", READS, WRITES, BATCH, VERIFY)
AUTHENTICATE = ("WWW-Authenticate", 'Basic realm="Authentication required", charset="UTF-8"')
NO_WRITE = "You have read access but not this required permission: write"


@dataclass(frozen=True)
class Forge:
    """What the two hubs do differently."""

    types: frozenset[str]
    find: Callable[[TestHub, Exchange, str, str], Repo | Answer]
    denied: Callable[[Exchange, Repo], Answer | None]
    link: Callable[[Repo, File, int], str]  #: a signed URL of an LFS object, good for so many seconds


async def answer(hub: TestHub, ex: Exchange, forge: Forge) -> Answer | None:
    """None when the path is not one of git's."""
    asked = _asked(ex, forge.types)
    if asked is None:
        return None
    type, id, service = asked
    repo = forge.find(hub, ex, type, id)
    if isinstance(repo, Answer):
        return _in_words(repo, service)
    if denied := forge.denied(ex, repo):
        return _in_words(denied, service)
    writes = ex.effect.push and ex.token is not None
    match service:
        case "info/lfs/objects/batch":
            return git_lfs.batch(hub, ex, forge, repo, writes)
        case "info/lfs/objects/verify":
            return git_lfs.verify(hub, ex, repo)
    pushes = WRITES in (service, ex.param("service"))
    if pushes and not writes:
        return text(403, NO_WRITE) if ex.token else text(401, "please log in", AUTHENTICATE)
    folder = await asyncio.to_thread(hub.git.of, repo)
    reply = await _backend(folder, service, ex)
    reply.repo = repo.id
    if service == WRITES:
        await asyncio.to_thread(hub.git.read_back, repo, folder)
    return reply


def _asked(ex: Exchange, types: frozenset[str]) -> tuple[str, str, str] | None:
    """Type, id and service of `/[type/][owner/]name[.git]/service`."""
    path = "/".join(ex.segments())
    service = next((s for s in SERVICES if path.endswith(f"/{s}")), None)
    if service is None:
        return None
    first, *rest = path.removesuffix(f"/{service}").removesuffix(".git").split("/")
    type, id = (first, rest) if first in types and rest else ("models", [first, *rest])
    return (type, "/".join(id), service) if len(id) <= 2 else None


async def _backend(folder: Path, service: str, ex: Exchange) -> Answer:
    """One run of git-http-backend(1), by CGI (RFC 3875)."""
    variables = {
        **environment(),
        "GIT_PROJECT_ROOT": str(folder.parent),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": f"/{folder.name}/{service}",
        "REQUEST_METHOD": ex.method,
        "QUERY_STRING": ex.record.query,
        "CONTENT_TYPE": ex.header("content-type"),
        "CONTENT_LENGTH": str(len(ex.raw_body)),
        "GIT_PROTOCOL": ex.header("git-protocol"),
        "REMOTE_USER": ex.token or "",
    }
    pipe = asyncio.subprocess.PIPE
    run = await asyncio.create_subprocess_exec("git", "http-backend", env=variables, stdin=pipe, stdout=pipe)
    told, _ = await run.communicate(ex.raw_body)
    head, _, body = told.partition(b"\r\n\r\n")
    pairs = [line.partition(": ") for line in head.decode().split("\r\n")]
    fields = [(name, value) for name, _, value in pairs]
    status = next((int(value.split()[0]) for name, value in fields if name == "Status"), 200)
    return Answer(status, [(name, value) for name, value in fields if name != "Status"], body)


def _in_words(answer: Answer, service: str) -> Answer:
    """The hub's no, so that git or git-lfs shows its words."""
    if answer.get("Location"):
        return answer
    message = "not possible"
    with contextlib.suppress(ValueError):
        said = json.loads(bytes(answer.source.read(0, 1 << 20)))
        message = said.get("error") or said.get("Message") or message
    lfs = service in (BATCH, VERIFY)
    found = git_lfs.said({"message": message}, answer.status) if lfs else text(answer.status, message)
    if answer.status == 401:
        found.put(*AUTHENTICATE)
    return found
