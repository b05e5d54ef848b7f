"""Hugging Face: from host, method and path to a resource, and from the hub's redirects to facts.

One table of routes; the first that fits wins; what fits none is plain RFC 9111. Hosts are told by suffix, because the
hub's own documentation says that their names change; CDN links are told by the shape of their path. A `/resolve` is
answered upstream by a redirect whose head carries everything that matters (commit, digest, size); `facts_of` reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from ..core.messages import REDIRECTS, Headers
from ..core.storing import READS, delta_bytes
from . import git, hf_pages, hf_services, registry
from .paths import joined, normal_query, plain, quoted, quoted_rev, segments, url_key, without_git
from .resources import (
    COMMIT,
    SHA256,
    Document,
    File,
    Kind,
    Passed,
    Plain,
    Repo,
    Resource,
    Secret,
    Subject,
    Telemetry,
)
from .subjects import about, at_revision, compared, one_reading, usual

HUB = "huggingface"
ORIGIN = registry.ORIGIN
SUFFIXES = ("huggingface.co", "hf.co")
HOME_HOSTS = frozenset({"huggingface.co", "www.huggingface.co", "hf.co"})  # one hub under three names

_TYPES = hf_pages.TYPES
_API_TAILS = frozenset(
    {"revision", "tree", "paths-info", "refs", "commits", "commit", "compare"}
    | {"xet-read-token", "xet-write-token", "auth-check"}
)
_SECRET_TAILS = frozenset({"xet-read-token", "xet-write-token", "auth-check"})
_WITHOUT_REV = frozenset({"refs", "auth-check"})
_AT_REV = (_API_TAILS - _WITHOUT_REV) | {*("preupload", "branch", "tag", "super-squash", "treesize", "notebook")}
_WRITTEN = frozenset(  # what clients write with, and never read by the same method
    {"preupload", "commit", "branch", "tag", "super-squash", "settings", "resource-group", "duplicate", "like"}
    | {"discussions", "user-access-request", "lfs-files"}
    | {"secrets", "variables", "hardware", "sleeptime", "storage", "volumes", "pause", "restart", "dev-mode", "batch"}
)
_WORDS = (
    _API_TAILS
    | _AT_REV
    | hf_pages.WORDS
    | {"api", "telemetry", "resolve-cache", "v2", "info", "lfs", "objects", "batch", "locks", "verify"}
    | {"git-upload-pack", "git-receive-pack"}
)


def is_ours(host: str) -> bool:
    """A host of this hub: the name itself or below it, compared label by label."""
    return any(host == s or host.endswith("." + s) for s in SUFFIXES)


def classify(method: str, host: str, path: str, query: str, body_digest: str = "") -> Resource:
    """Total: every request has a resource. Raises `paths.Ambiguous` for a path with two readings."""
    parts = segments(path)

    def home(parts: tuple[str, ...]) -> Resource:
        return _home(method, host, path, query, parts, body_digest)

    if host in HOME_HOSTS:
        return one_reading(home, parts, _WORDS)
    return hf_services.classify(HUB, method, host, path, query, parts, lambda: home(usual(parts, _WORDS)))


def _home(method: str, host: str, path: str, query: str, parts: tuple[str, ...], body_digest: str) -> Resource:
    if parts[:1] == ("api",):
        return _api(method, host, path, query, parts[1:], body_digest)
    if parts[:1] == ("v2",):
        found = registry.route(HUB, parts[1:], query) if method in READS else None
        return found or _other(method, host, path, query, hf_pages.of_registry(HUB, parts[1:]))
    typed = parts[:1] != () and parts[0] in _TYPES[1:]
    repo_type, rest = (parts[0], parts[1:]) if typed else ("models", parts)
    for cut in (2, 1):  # the longer name first: a repo may be called as a verb is
        if rest[cut : cut + 1] in (("resolve",), ("raw",)) and len(rest) > cut + 1:
            return _file(method, host, query, Repo(HUB, repo_type, joined(rest[:cut])), rest[cut], rest[cut + 1 :])
        if git.is_git(rest[cut:]):
            repo = Repo(HUB, repo_type, without_git(joined(rest[:cut])))
            return git.classify(method, repo, rest[cut:], query)
    return _other(method, host, path, query, hf_pages.page(HUB, parts), oauth=parts[:1] == ("oauth",))


def _other(
    method: str, host: str, path: str, query: str, subject: Subject | None, *, oauth: bool = False
) -> Plain | Passed:
    if method not in READS:
        return Passed(HUB, Kind.SECRET if oauth else Kind.UPLOAD, None, subject)
    return Plain(HUB, url_key(f"https://{host}{path}{'?' + query if query else ''}"), strict=True, about=subject)


def _file(method: str, host: str, query: str, repo: Repo, verb: str, tail: tuple[str, ...]) -> Resource:
    if repo.type == "buckets":  # no revision in the URL, and everything may change
        subject = about(repo, path=joined(tail, slashes=True))
    else:
        subject = at_revision(repo, tail, single=True)
    if method not in READS:
        return Passed(HUB, Kind.UPLOAD, repo, subject)
    if repo.type == "buckets":
        key = url_key(f"https://{host}/{repo.key}/{verb}/{quoted(joined(tail))}?{query}")
        return Plain(HUB, key, strict=True, about=subject)
    rev = plain(tail[0], slashes=True)
    if len(tail) == 1:
        return Plain(HUB, url_key(f"{host}/{repo.key}/{verb}@{quoted_rev(rev)}?{query}"), strict=True, about=subject)
    name = joined(tail[1:], slashes=True)
    if verb == "raw":
        key, pinned = f"raw:{repo.key}@{quoted_rev(rev)}/{name}", COMMIT.match(rev) is not None
        url = resolve_url(File(repo, rev, name), verb=verb)
        return Document(HUB, key, repo, "raw", pinned=pinned, about=subject, url=url)
    return File(repo, rev, name)


def _api(method: str, host: str, path: str, query: str, parts: tuple[str, ...], body_digest: str) -> Resource:
    head = parts[0] if parts else ""
    if head == "telemetry":
        return Telemetry(HUB)
    if head == "resolve-cache" and len(parts) > 2 and parts[1] in _TYPES:
        return _resolve_cache(method, parts[1], parts[2:])
    if head in _TYPES and len(parts) > 1:
        return _repo_api(method, host, path, query, head, parts[1:], body_digest)
    if method not in READS:
        return Passed(HUB, Kind.UPLOAD)
    if head.startswith(("whoami", "settings", "notifications", "jobs", "organizations", "users", "event")):
        return Secret(HUB)
    what = "static" if head == "agent-harnesses" else "list"
    asked = f"{host}{path}?{normal_query(query)}"
    return Document(HUB, f"api:{asked}", None, what, url=f"https://{asked}")


def _resolve_cache(method: str, repo_type: str, tail: tuple[str, ...]) -> Resource:
    """`{id}/{commit}/{path with %2F}`: the commit is the first 40-hex segment after the id."""
    for cut in (2, 1):
        if len(tail) > cut + 1 and COMMIT.match(tail[cut]):
            file = File(Repo(HUB, repo_type, joined(tail[:cut])), tail[cut], joined(tail[cut + 1 :], slashes=True))
            return file if method in READS else Passed(HUB, Kind.UPLOAD, None, about(file.repo, file.rev, file.path))
    subject = at_revision(Repo(HUB, repo_type, joined(tail[:2])), tail[2:], single=True)
    return Secret(HUB, about=subject) if method in READS else Passed(HUB, Kind.UPLOAD, None, subject)


def _repo_api(
    method: str, host: str, path: str, query: str, repo_type: str, parts: tuple[str, ...], body_digest: str
) -> Resource:
    cut = _length(parts)
    repo = Repo(HUB, repo_type, joined(parts[:cut]))
    tail = parts[cut:]
    what = tail[0] if tail else "info"
    behind = tail[1:] if repo_type != "buckets" else ()
    subject = compared(repo, behind) if what == "compare" else at_revision(repo, behind if what in _AT_REV else ())
    if what in _SECRET_TAILS:
        return Secret(HUB, about=subject)
    reads = method in READS or (method == "POST" and what == "paths-info")
    if not reads:
        writes = what in _WRITTEN or (repo_type == "buckets" and not tail)  # which are made and deleted so
        return Passed(HUB, Kind.UPLOAD, repo, subject, writes=writes)
    if repo_type == "buckets":
        return Secret(HUB, about=subject)
    if what not in ("info", *_API_TAILS):
        return _other(method, host, path, query, subject)
    rev = plain(tail[1], slashes=True) if len(tail) > 1 else ""
    told = f"{'/'.join(tail)}?{normal_query(query)}"
    key = f"api:{repo.key}:{told}" + (f"#{body_digest}" if body_digest else "")
    url = f"{ORIGIN}/api/{repo_type}/{quoted(repo.id)}{'/' if tail else ''}{told}"
    pinned = COMMIT.match(rev) is not None and what != "commits"
    what = "info" if what == "revision" else what
    return Document(HUB, key, repo, what, pinned=pinned, edit=True, about=subject, url=url)


def _length(parts: tuple[str, ...]) -> int:
    """How many segments are the repo's name. It may be called as a verb is, so that the longer one is tried first."""
    one = len(parts) == 1 or (parts[1] in _API_TAILS and (len(parts) > 2 or parts[1] in _WITHOUT_REV))
    return 1 if one and not (len(parts) > 2 and parts[2] in _API_TAILS) else 2


# -- upstream URLs and what the hub answers -------------------------------------------------------------------------


def resolve_url(file: File, base: str = ORIGIN, verb: str = "resolve") -> str:
    prefix = "" if file.repo.type == "models" else f"{file.repo.type}/"
    return f"{base.rstrip('/')}/{prefix}{quoted(file.repo.id)}/{verb}/{quoted_rev(file.rev)}/{quoted(file.path)}"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the head of a `/resolve` answer says of the file."""

    commit: str
    etag: str  # bare: 40-hex git blob id, or 64-hex SHA-256
    size: int | None
    location: str | None  # absolute; None: the answer itself carries the bytes
    xet_hash: str = ""
    xet_link: str = ""
    content_type: str = ""
    disposition: str = ""

    @property
    def blob(self) -> str:
        """The blob id that the digest names."""
        if SHA256.match(self.etag):
            return f"sha256:{self.etag}"
        return f"git:{self.etag}" if COMMIT.match(self.etag) else ""


def bare(etag: str | None) -> str:
    """An ETag without weakness and quotes."""
    return (etag or "").strip().removeprefix("W/").strip('"')


def facts_of(status: int, headers: Headers, location: str | None) -> Facts | None:
    """Facts of a 200 or of a redirect to the bytes; None when the head is not about a file at a commit.

    A redirect inside the hub to another `/resolve` (a renamed repo) has no `X-Repo-Commit`: it is no fact about a file.
    """
    commit = headers.get("x-repo-commit") or ""
    etag = bare(headers.get("x-linked-etag") or headers.get("etag"))
    redirect = status in REDIRECTS
    if not COMMIT.match(commit) or not etag or not (redirect or status in (200, 206)):
        return None
    if redirect and location is None:
        return None
    size = delta_bytes(headers.get("x-linked-size"))
    if size is None and status == 200 and "content-encoding" not in headers:
        size = delta_bytes(headers.get("content-length"))
    described = parse_qs(urlsplit(location).query) if redirect and location else {}
    return Facts(
        commit=commit,
        etag=etag,
        size=size,
        location=location if redirect else None,
        xet_hash=headers.get("x-xet-hash") or "",
        xet_link=headers.get("link") or "" if "x-xet-hash" in headers else "",
        content_type=_first(described, "response-content-type")
        or ("" if redirect else headers.get("content-type") or ""),
        disposition=_first(described, "response-content-disposition") or headers.get("content-disposition") or "",
    )


def _first(values: Mapping[str, list[str]], name: str) -> str:
    found = values.get(name, [""])[0]
    return found if found.isascii() and found.isprintable() else ""


def is_rename(location: str) -> bool:
    """A redirect that stays on the hub and names another repo or spelling, not the bytes."""
    target = urlsplit(location)
    return (not target.netloc or target.hostname in HOME_HOSTS) and not target.path.startswith("/api/resolve-cache/")


def file_headers(facts: Facts, file: File) -> Headers:
    """The head of our own 200 for `/resolve`: all that any client generation asks of it."""
    name = file.path.rsplit("/", 1)[-1]
    disposition = facts.disposition or f"inline; filename*=UTF-8''{quoted(name)}"
    fields = [
        ("X-Repo-Commit", facts.commit),
        ("ETag", f'"{facts.etag}"'),
        ("X-Linked-ETag", f'"{facts.etag}"'),
        ("X-Linked-Size", str(facts.size)),
        ("Accept-Ranges", "bytes"),
        ("Content-Disposition", disposition),
        ("Content-Type", facts.content_type or content_type(name)),
    ]
    if facts.xet_hash:
        fields += [("X-Xet-Hash", facts.xet_hash), ("Link", facts.xet_link)]
    return Headers(fields)


_TEXT = frozenset(
    {"txt", "md", "json", "jsonl", "yaml", "yml", "csv", "tsv", "py", "js", "ts", "html", "css", "xml", "toml"}
    | {"cfg", "ini", "jinja", "sh", "gitattributes"}
)


def content_type(name: str) -> str:
    """What the hub itself sends: text is text/plain, so that no browser runs it; the rest is octets."""
    return "text/plain; charset=utf-8" if name.rsplit(".", 1)[-1] in _TEXT else "application/octet-stream"
