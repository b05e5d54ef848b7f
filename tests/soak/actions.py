"""What a client may want, drawn: each function makes a `Want`, with the truth it will be judged by."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import quote

from tests.hub.repo import Hub

from .judge import Want
from .times import SLACK, STALE
from .world import CLOSED, HF, KEPT, MOVING, MS, OWNER, PLAIN, WIDE, Token, World

BEHIND = STALE + SLACK
TRUNKS: dict[Hub, str] = {"huggingface": "main", "modelscope": "master"}


def wide(w: World, rnd: random.Random) -> Want:
    """A file that never changes, by its branch or by its commit."""
    path = rnd.choice([*WIDE])
    commit = w.heads("wide")[0]
    return _hugging(w, "wide", path, rnd.choice(("main", commit)), commit)


def kept(w: World, rnd: random.Random) -> Want:
    commit = w.heads("kept")[0]
    return replace(_hugging(w, "kept", rnd.choice([*KEPT]), commit, commit), kind="pinned file", kept=True)


def moving(w: World, rnd: random.Random) -> Want:
    path = rnd.choice([*MOVING])
    want = Want(
        "branch that moves",
        f"{HF}/{OWNER}/moving/resolve/main/{path}",
        versions=lambda since, until: w.versions("moving", path, "huggingface", since, until),
        stale=BEHIND,
        etag=True,
    )
    if rnd.random() < 0.3:
        digest = w.file("moving", path, commit=rnd.choice(w.heads("moving")[-3:])).digest
        return replace(want, headers=(("If-None-Match", f'"{digest}"'),))
    return want


def old(w: World, rnd: random.Random) -> Want:
    """A commit that a branch has left behind."""
    commit = rnd.choice(w.heads("moving")[-6:])
    return _hugging(w, "moving", rnd.choice([*MOVING]), commit, commit)


def _hugging(w: World, name: str, path: str, revision: str, commit: str) -> Want:
    return Want(
        "file",
        f"{HF}/{OWNER}/{name}/resolve/{revision}/{path}",
        versions=lambda since, until: [w.version(name, path, "huggingface", commit)],
        etag=True,
    )


def modelscope(w: World, rnd: random.Random) -> Want:
    name = rnd.choice(("wide", "wide", "moving"))
    path = rnd.choice([*(WIDE if name == "wide" else MOVING)])
    url = rnd.choice(
        (
            f"{MS}/models/{OWNER}/{name}/resolve/master/{path}",
            f"{MS}/api/v1/models/{OWNER}/{name}/repo?Revision=master&FilePath={quote(path)}",
        )
    )
    return Want(
        "ModelScope file",
        url,
        versions=lambda since, until: w.versions(name, path, "modelscope", since, until),
        stale=BEHIND,
    )


def plain(w: World, rnd: random.Random) -> Want:
    number = rnd.randrange(12)
    return Want("plain host", f"https://{PLAIN}/f/{number}", versions=lambda since, until: [w.plain(number)], etag=True)


def closed(w: World, rnd: random.Random) -> Want:
    """A private or gated file, with the right token, a wrong one, a strange one or none."""
    hub: Hub = rnd.choice(("huggingface", "huggingface", "modelscope"))
    name, path = rnd.choice(("private", "gated")), rnd.choice([*CLOSED])
    who: Token | None = rnd.choice((w.good[hub], w.good[hub], w.bad[hub], w.strange, None))
    site = HF if hub == "huggingface" else f"{MS}/models"
    right = who == w.good[hub]
    return Want(
        "closed repo, right token" if right else "closed repo, wrong token",
        f"{site}/{OWNER}/{name}/resolve/{TRUNKS[hub]}/{path}",
        headers=(who.header,) if who else (),
        versions=lambda since, until: w.versions(name, path, hub, since, until),
        to="open" if right else "closed",
    )


def denied(w: World, rnd: random.Random) -> Want:
    path = rnd.choice([*CLOSED])
    who = rnd.choice((None, w.good["huggingface"]))
    urls = (
        f"{HF}/{OWNER}/denied/resolve/main/{path}",
        f"{HF}/api/models/{OWNER}/denied/tree/main",
        f"{HF}/{OWNER}/denied/raw/main/{path}",
    )
    return Want("denied by a rule", rnd.choice(urls), headers=(who.header,) if who else (), to="denied")


def document(w: World, rnd: random.Random) -> Want:
    name = rnd.choice(("wide", "moving"))
    kind = rnd.randrange(4)
    repo = w.histories["huggingface", name].repo

    def info(body: bytes, since: float, until: float) -> str | None:
        sha = json.loads(body).get("sha")
        return None if sha in _current(w, name, since, until) else f"commit {sha} was not current"

    def tree(body: bytes, since: float, until: float) -> str | None:
        entries = [(each["path"], each["oid"], each["size"]) for each in json.loads(body)]
        for sha in _current(w, name, since, until):
            files = repo.commits[sha].files
            if entries and all(p in files and (files[p].oid, files[p].size) == (oid, size) for p, oid, size in entries):
                return None
        return f"a listing of no commit that was current: {entries}"

    def listing(body: bytes, since: float, until: float) -> str | None:
        told = json.loads(body)
        sizes = {each["Path"]: each["Size"] for each in told["Data"]["Files"]}
        right = {path: file.size for path, file in repo.commits[repo.head].files.items()}
        return None if sizes == right or name == "moving" else f"another listing: {sizes}"

    url, check = (
        (f"{HF}/api/models/{OWNER}/{name}", info),
        (f"{HF}/api/models/{OWNER}/{name}/revision/main", info),
        (f"{HF}/api/models/{OWNER}/{name}/tree/main?recursive=true", tree),
        (f"{MS}/api/v1/models/{OWNER}/{name}/repo/files?Revision=master&Recursive=true", listing),
    )[kind]
    return Want("document", url, check=check, stale=BEHIND)


def _current(w: World, name: str, since: float, until: float) -> list[str]:
    return w.histories["huggingface", name].commits(since, until)


def guessed(w: World, rnd: random.Random) -> Want:
    """The bytes of a closed repo by a link without a signature, or with one that was made up."""
    file = w.file("private", "secret.bin")
    repo = w.histories["huggingface", "private"].repo
    urls = (
        f"https://us.aws.cdn.hf.co/xet-bridge-us/{repo.object_id}/{file.xet}",
        f"https://cdn-lfs-us-1.hf.co/repos/{repo.lfs_prefix}/{file.sha256}",
        f"https://us.aws.cdn.hf.co/xet-bridge-us/{repo.object_id}/{file.xet}?Expires=9999999999&Signature=FAKE0&Key-Pair-Id=X",
    )
    return Want("guessed link", rnd.choice(urls), to="closed")


def ranged(want: Want, w: World, rnd: random.Random) -> Want:
    """A part of it: from somewhere to somewhere, to the end, from the end, or beyond it."""
    first = rnd.choice((0, 17, rnd.randrange(300_000)))
    spans = ((first, first + rnd.randrange(500_000)), (first, None), (-1 - first, None), (1 << 40, None))
    (span,) = rnd.choices(spans, (5, 3, 3, 1))
    return replace(want, range=span, headers=(*want.headers, ("Range", spoken(span))))


def spoken(span: tuple[int, int | None]) -> str:
    first, last = span
    return f"bytes={first}" if first < 0 else f"bytes={first}-{'' if last is None else last}"


#: (how often, what)
WANTS: tuple[tuple[int, Callable[[World, random.Random], Want]], ...] = (
    (30, wide),
    (14, kept),
    (12, moving),
    (4, old),
    (12, modelscope),
    (6, plain),
    (8, closed),
    (3, denied),
    (8, document),
    (2, guessed),
)
