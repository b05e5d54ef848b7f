"""ModelScope: from host, method and path to a resource, and from the hub's listings to facts.

Two sites, `.cn` and `.ai`, hold different repos. A file is named by the query of `/repo` or by the path of `/resolve`;
neither tells a commit, a validator or, for a small file, a digest. What a file is says the *listing* of its revision:
size and SHA-256 of every file, and the commit that changed it last. A failure often travels as HTTP 200, in an envelope
that says so; and a range of a small file as 200 with a Content-Range.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from ..core.messages import Headers
from ..core.storing import READS, delta_bytes
from . import git, ms_pages
from .paths import joined, normal_query, parameters, plain, quoted, quoted_rev, segments, sound, the_only, url_key
from .resources import COMMIT, SHA256, Blob, Document, File, Kind, Passed, Plain, Repo, Resource, Secret, Subject
from .subjects import at_revision, one_reading, subject_of, usual

HUB = "modelscope"
SUFFIXES = ("modelscope.cn", "modelscope.ai")
HOME_HOSTS = frozenset(f"{www}modelscope.{site}" for www in ("", "www.") for site in ("cn", "ai"))
TRUNK = ms_pages.TRUNK
PAGE = 200  # entries of a data set's listing that the SDK asks for at once

# codes of failures
NO_REPO = 10010205001  # or it is hidden
NO_SUCH = 10990101007  # a path or a revision that is not there; said with HTTP 200
GATED = 10990101003

_ORIGINS = {"": "https://modelscope.cn", "ai": "https://www.modelscope.ai"}
_TYPES = ms_pages.TYPES
_TAILS = {"": "info", "revisions": "refs", "repo/files": "tree", "repo/tree": "tree", "commits": "commits"}
_PERSONAL = frozenset({"login", "users", "user", "tokens"})
_OF_FILES = frozenset({"Revision", "FilePath", "Source", "View"})
_TOKEN = re.compile(r"tokens?(?:/|\Z)", re.IGNORECASE)
_OF_ONE_ANSWER = re.compile(rb'"(?:RequestId|request_id)"\s*:\s*"[^"\\]*"')


def is_ours(host: str) -> bool:
    """A host of this hub: the name itself or below it, compared label by label."""
    return any(host == s or host.endswith("." + s) for s in SUFFIXES)


def site_of(host: str) -> str:
    return "ai" if host.endswith(".ai") else ""


def origin(repo: Repo) -> str:
    return _ORIGINS[repo.site]


def classify(method: str, host: str, path: str, query: str, body_digest: str = "") -> Resource:
    """Total: every request has a resource. Raises `paths.Ambiguous` for a path or a query with two readings."""
    parts = segments(path)

    def home(parts: tuple[str, ...]) -> Resource:
        return _home(method, host, path, query, parts)

    if host in HOME_HOSTS:
        return one_reading(home, parts, ms_pages.WORDS)
    of_files = host.startswith("cdn-lfs")
    found = None if of_files else home(usual(parts, ms_pages.WORDS))
    told = None if found is None else subject_of(found)
    told = told if told is not None and told.certain else None
    if method not in READS:
        return Passed(HUB, Kind.UPLOAD, None, told, writes=isinstance(found, Passed) and found.writes)
    if (digest := digest_in(parts)) is not None:
        return Blob(HUB, f"sha256:{digest}")
    return Secret(HUB, Kind.BLOB) if of_files else _plain(host, path, query, told)


def digest_in(parts: tuple[str, ...]) -> str | None:
    """The SHA-256 that the path of a CDN link is: `/.../lfs-objects/{2}/{2}/{60}`."""
    digest = "".join(parts[-3:])
    if len(parts) < 4 or parts[-4] != "lfs-objects" or [len(p) for p in parts[-3:]] != [2, 2, 60]:
        return None
    return digest if SHA256.match(digest) else None


def _plain(host: str, path: str, query: str, subject: Subject | None) -> Plain:
    return Plain(HUB, url_key(f"https://{host}{path}{'?' + query if query else ''}"), strict=True, about=subject)


def _home(method: str, host: str, path: str, query: str, parts: tuple[str, ...]) -> Resource:
    match parts:
        case ("api" | "openapi", "v1", first, *_) if first in _PERSONAL:
            return Secret(HUB)
        case ("api", "v1", "repos", "internalAccelerationInfo") if method in READS and not query:
            return Document(HUB, f"api:{HUB}:{site_of(host)}:acceleration", None, "static")
        case ("api", "v1", "repos", kind, owner, name, *rest) if kind in _TYPES and method not in READS:
            repo = _repo(host, kind, (owner, name))
            writes = (method, *rest[:1]) in ms_pages.STORED
            return Passed(HUB, Kind.UPLOAD, repo, ms_pages.stored(repo, tuple(rest), query), writes=writes)
        case ("api", "v1", "models", "aigc", *rest) if (method, *rest) in ms_pages.NAMELESS:
            return Passed(HUB, Kind.UPLOAD, writes=True)
        case ("api", "v1", kind, *rest) if kind in _TYPES and rest:
            return _of_repo(method, host, path, query, kind, tuple(rest))
        case ("openapi", "v1", kind, *names) if kind in _TYPES and len(names) == ms_pages.length(tuple(names)) == 2:
            return _document(method, _repo(host, kind, tuple(names)), "openapi", "info", query)
        case ("api" | "openapi", "v1", _) if method in READS:
            asked = f"{host}{path}?{normal_query(query)}"
            return Document(HUB, f"api:{asked}", None, "list", url=f"https://{asked}")
        case ("api" | "openapi", "v1", *rest):
            subject = ms_pages.call(HUB, site_of(host), tuple(rest), query)
            return _other(method, host, path, query, subject, writes=(method, *rest[3:]) in ms_pages.CHANGED)
        case (kind, owner, name, *rest) if kind in _TYPES and rest:
            return _of_page(method, host, path, query, _repo(host, kind, (owner, name)), parts, tuple(rest))
        case (owner, name, *rest) if rest and owner not in (*_TYPES, "api", "openapi"):
            return _of_page(method, host, path, query, _repo(host, "models", (owner, name)), parts, tuple(rest))
    return _other(method, host, path, query, ms_pages.page(HUB, site_of(host), parts))


def _other(method: str, host: str, path: str, query: str, subject: Subject | None, *, writes: bool = False) -> Resource:
    if method not in READS:
        return Passed(HUB, Kind.UPLOAD, None, subject, writes=writes)
    if subject is not None and _TOKEN.search(path):
        return Secret(HUB, about=subject)
    return _plain(host, path, query, subject)


def _repo(host: str, kind: str, names: tuple[str, ...]) -> Repo:
    return ms_pages.repo_of(HUB, site_of(host), kind, names)


def _of_repo(method: str, host: str, path: str, query: str, kind: str, rest: tuple[str, ...]) -> Resource:
    """`/api/v1/{type}/{id}/...`; the id may be the number that the hub gave the repo."""
    cut = ms_pages.length(rest)
    if len(rest) < cut:
        return _other(method, host, path, query, None)
    repo, tail = _repo(host, kind, rest[:cut]), "/".join(rest[cut:])
    if tail == "repo" and method in READS:
        asked = parameters(query)
        if asked.get("FilePath") and asked.keys() <= _OF_FILES and asked.get("View", "False").lower() == "false":
            rev = sound(asked.get("Revision") or TRUNK, slashes=True)
            return File(repo, rev, sound(asked["FilePath"], slashes=True))
    if method in READS and tail not in _TAILS:
        return _other(method, host, path, query, ms_pages.told(repo, rest[cut:], query))
    return _document(method, repo, tail, _TAILS.get(tail, ""), query)


def _document(method: str, repo: Repo, tail: str, what: str, query: str) -> Resource:
    subject = ms_pages.asked(repo, query, what in ("tree", "commits"))
    if method not in READS:
        return Passed(HUB, Kind.UPLOAD, repo, subject, writes=(method, tail) in ms_pages.WRITTEN and "/" in repo.id)
    pinned = what == "tree" and COMMIT.match(the_only(query, "Revision")) is not None
    asked, way, rest = normal_query(query), "api", f"/{tail}" if tail else ""
    if tail == "openapi":
        way, rest = tail, ""
    url = f"{origin(repo)}/{way}/v1/{repo.type}/{quoted(repo.id)}{rest}?{asked}"
    return Document(HUB, f"api:{repo.key}:{tail}?{asked}", repo, what, pinned=pinned, about=subject, url=url)


def _of_page(
    method: str, host: str, path: str, query: str, repo: Repo, parts: tuple[str, ...], rest: tuple[str, ...]
) -> Resource:
    """`/{o}/{n}/...` and `/{type}/{o}/{n}/...`: git, and files by path."""
    if git.is_git(rest):
        return git.classify(method, repo, rest, query)
    if method not in READS and rest[0] == "resolve":
        return Passed(HUB, Kind.UPLOAD, repo, at_revision(repo, rest[1:], single=True))
    if rest[0] == "resolve" and len(rest) > 2:
        return File(repo, plain(rest[1], slashes=True), joined(rest[2:], slashes=True))
    return _other(method, host, path, query, ms_pages.page(HUB, site_of(host), parts))


def checks_digests(agent: str) -> bool:
    """The SDK, old and new, compares what it has with the SHA-256 of the listing, and starts over if it must."""
    return agent.startswith(("modelscope/", "modelscope_hub/"))


# -- upstream URLs --------------------------------------------------------------------------------------------------


def file_url(file: File, base: str = "") -> str:
    """As the SDK spells it; `base`: a mirror in place of the repo's own site."""
    query = urlencode({"Revision": file.rev, "FilePath": file.path})
    return f"{base.rstrip('/') or origin(file.repo)}/api/v1/{file.repo.type}/{quoted(file.repo.id)}/repo?{query}"


def resolve_url(file: File) -> str:
    """The file by a path alone: what can be kept without a query. A repo that goes by its number has no such path."""
    if "/" not in file.repo.id:
        return f"{origin(file.repo)}/{file.repo.type}/{quoted(file.repo.id)}"
    rev, path = quoted_rev(file.rev), quoted(file.path)
    return f"{origin(file.repo)}/{file.repo.type}/{quoted(file.repo.id)}/resolve/{rev}/{path}"


def listing_target(repo: Repo, rev: str, folder: str = "", *, recursive: bool = True, page: int = 1) -> tuple[str, str]:
    """Path and query of a listing, as the SDK asks for it: of all below the folder, or of just what is in it."""
    query: dict[str, object] = {"Revision": rev, "Recursive": recursive}
    if folder:
        query["Root"] = folder
    pages = repo.type == "datasets"
    if pages:
        query |= {"PageNumber": page, "PageSize": PAGE}
    return f"/api/v1/{repo.type}/{quoted(repo.id)}/repo/{'tree' if pages else 'files'}", urlencode(query)


# -- what the hub answers -------------------------------------------------------------------------------------------


def _json(data: bytes) -> object:
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError("the JSON is nested beyond all depth") from None


@dataclass(frozen=True, slots=True)
class Entry:
    """What a listing says of one file."""

    sha256: str
    size: int  # bytes
    commit: str  # that changed it last; empty if not told
    large: bool  # kept in LFS: the hub redirects to the CDN


@dataclass(frozen=True, slots=True)
class Listing:
    files: Mapping[str, Entry]
    whole: bool  # a data set's: this page is the last


def listing(data: bytes) -> Listing:
    """Raises ValueError. An entry without a digest is left out: it says nothing that could be proven."""
    told = _json(data)
    inside = told.get("Data") if isinstance(told, dict) else None
    nodes = inside.get("Files") if isinstance(inside, dict) else inside
    if not isinstance(told, dict) or not isinstance(nodes, list):
        raise ValueError("what the hub sent is no listing")
    commits: dict[str, str] = {}  # one string for all that share it
    files = {}
    for node in nodes:
        match node:
            case {"Path": str(path), "Sha256": str(digest), "Size": int(size)} if SHA256.match(digest) and size >= 0:
                commit = node.get("Revision")
                commit = commit if isinstance(commit, str) and COMMIT.match(commit) else ""
                files[path] = Entry(digest, size, commits.setdefault(commit, commit), node.get("IsLFS") is True)
    total, many = told.get("TotalCount"), told.get("PageSize")
    full = many if isinstance(many, int) and many > 0 else PAGE
    last = not nodes or (total <= len(nodes) if isinstance(total, int) else len(nodes) < full)
    return Listing(files, last)


def failure_of(data: bytes) -> int | None:
    """The code of an answer that says that it is a failure, whatever its status; None for a success.

    What is no such envelope at all (a page for browsers) counts as a failure too.
    """
    try:
        told = _json(data)
    except ValueError:
        return 0
    if not isinstance(told, dict):
        return 0
    code = told.get("Code", told.get("code", 200))
    said = told.get("Success", told.get("success", True))
    return None if said is True and code in (200, "200", None) else code if isinstance(code, int) else 0


def same_answer(one: bytes, other: bytes) -> bool:
    """Whether they differ in nothing but the id that the hub gives each request: it sends no validator."""
    return _OF_ONE_ANSWER.sub(b"", one) == _OF_ONE_ANSWER.sub(b"", other)


@dataclass(frozen=True, slots=True)
class Linked:
    """What the redirect to the CDN says of a large file."""

    sha256: str
    size: int | None


def linked(headers: Headers) -> Linked | None:
    digest = (headers.get("x-linked-etag") or "").strip().strip('"')
    if not SHA256.match(digest):
        return None
    return Linked(digest, delta_bytes(headers.get("x-linked-size")))


def file_headers(entry: Entry, file: File) -> Headers:
    """The head of our own 200."""
    name = quoted(file.path.rsplit("/", 1)[-1])
    fields = [
        ("ETag", f'"{entry.sha256}"'),
        ("Accept-Ranges", "bytes"),
        ("Content-Type", "application/octet-stream"),
        ("Content-Disposition", f"attachment; filename*=UTF-8''{name}"),
    ]
    if entry.large:
        fields += [("X-Linked-ETag", f'"{entry.sha256}"'), ("X-Linked-Size", str(entry.size))]
    return Headers(fields)
