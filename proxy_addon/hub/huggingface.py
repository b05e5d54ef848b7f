"""Hugging Face: from host, method and path to a resource, and from the hub's redirects to facts.

One table of routes; the first that fits wins; what fits none is plain RFC 9111. Hosts are told by suffix, because the
hub's own documentation says that their names change; CDN links are told by the shape of their path. A `/resolve` is
answered upstream by a redirect whose head carries everything that matters (commit, digest, size); `facts_of` reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from ..core.messages import Headers
from . import git, registry, xet
from .paths import joined, normal_query, plain, quoted, quoted_rev, segments, url_key
from .resources import (
    COMMIT,
    SHA256,
    Blob,
    Document,
    File,
    Kind,
    Passed,
    Plain,
    Repo,
    Resource,
    Secret,
    Telemetry,
)

HUB = "huggingface"
ORIGIN = "https://huggingface.co"
SUFFIXES = ("huggingface.co", "hf.co")
HOME_HOSTS = frozenset({"huggingface.co", "www.huggingface.co", "hf.co"})  # one hub under three names

_TYPES = ("models", "datasets", "spaces", "kernels", "buckets")
_API_TAILS = ("revision", "tree", "paths-info", "refs", "commits", "commit", "compare", "xet-read-token", "auth-check")
_SECRET_TAILS = frozenset({"xet-read-token", "auth-check"})
_WITH_ASSETS = (("rows",), ("first-rows",), ("search",), ("filter",))  # their bodies hold signed links
_READS = frozenset({"GET", "HEAD"})
_COMPUTING = frozenset({"router.huggingface.co", "api-inference.huggingface.co"})  # a POST there leaves nothing behind


def is_ours(host: str) -> bool:
    """A host of this hub: the name itself or below it, compared label by label."""
    return any(host == s or host.endswith("." + s) for s in SUFFIXES)


def classify(method: str, host: str, path: str, query: str, body_digest: str = "") -> Resource:
    """Total: every request has a resource. Raises `paths.Ambiguous` for a path with two readings."""
    parts = segments(path)
    if host in HOME_HOSTS:
        return _home(method, host, path, query, parts, body_digest)
    if method not in _READS:
        writes = Kind.PLAIN if host in _COMPUTING else Kind.UPLOAD
        return Telemetry(HUB) if parts[-1:] == ("telemetry",) else Passed(HUB, writes)
    if host.startswith("cas-server."):
        return xet.reconstruction(HUB, parts)
    if host.startswith("transfer.") and parts[:1] == ("xorbs",):
        return xet.xorb(HUB, parts, query)
    if (digest := _link(host, parts)) is not None:
        return Blob(HUB, digest)
    if host == "datasets-server.huggingface.co" and parts[:1] in _WITH_ASSETS:
        return Secret(HUB)
    if host == "datasets-server.huggingface.co":
        return Document(HUB, f"api:{HUB}:{host}{path}?{normal_query(query)}", _viewer_repo(query), "viewer")
    return Plain(HUB, url_key(f"https://{host}{path}{'?' + query if query else ''}"), strict=True)


def _link(host: str, parts: tuple[str, ...]) -> str | None:
    if not parts or not SHA256.match(parts[-1]):
        return None
    if parts[0].startswith("xet-bridge-") and len(parts) == 3:
        return f"xet:{parts[-1]}"
    return f"sha256:{parts[-1]}" if host.startswith("cdn-lfs") else None


def _viewer_repo(query: str) -> Repo | None:
    names = parse_qs(query).get("dataset")
    return Repo(HUB, "datasets", names[0]) if names else None


def _home(method: str, host: str, path: str, query: str, parts: tuple[str, ...], body_digest: str) -> Resource:
    if parts[:1] == ("api",):
        return _api(method, host, path, query, parts[1:], body_digest)
    if parts[:1] == ("v2",) and method in _READS and (found := registry.route(HUB, parts[1:], query)) is not None:
        return found
    if (repo_type := parts[0] if parts and parts[0] in _TYPES[1:] else None) is not None:
        rest = parts[1:]
    else:
        rest, repo_type = parts, "models"
    for cut, name in enumerate(rest[1:4], start=1):
        if name in ("resolve", "raw") and cut <= 2 and len(rest) > cut + 1:
            return _file(method, host, query, Repo(HUB, repo_type, joined(rest[:cut])), name, rest[cut + 1 :])
        if cut <= 2 and git.is_git(rest[cut:]):
            repo = Repo(HUB, repo_type, joined(rest[:cut]).removesuffix(".git"))
            return git.classify(method, repo, rest[cut:], query)
    if method not in _READS:
        return Passed(HUB, Kind.SECRET if parts[:1] == ("oauth",) else Kind.UPLOAD)
    return Plain(HUB, url_key(f"https://{host}{path}{'?' + query if query else ''}"), strict=True)


def _file(method: str, host: str, query: str, repo: Repo, verb: str, tail: tuple[str, ...]) -> Resource:
    if method not in _READS:
        return Passed(HUB, Kind.UPLOAD, repo)
    if repo.type == "buckets":  # no revision in the URL, and everything may change
        return Plain(HUB, url_key(f"https://{host}/{repo.key}/{verb}/{quoted(joined(tail))}?{query}"), strict=True)
    rev = plain(tail[0], slashes=True)
    if len(tail) == 1:
        return Plain(HUB, url_key(f"{host}/{repo.key}/{verb}@{quoted_rev(rev)}?{query}"), strict=True)
    name = joined(tail[1:], slashes=True)
    if verb == "raw":
        return Document(
            HUB, f"raw:{repo.key}@{quoted_rev(rev)}/{name}", repo, "raw", pinned=COMMIT.match(rev) is not None
        )
    return File(repo, rev, name)


def _api(method: str, host: str, path: str, query: str, parts: tuple[str, ...], body_digest: str) -> Resource:
    head = parts[0] if parts else ""
    if head == "telemetry":
        return Telemetry(HUB)
    if head == "resolve-cache" and len(parts) >= 5 and parts[1] in _TYPES and method in _READS:
        return _resolve_cache(parts[1], parts[2:])
    if head in _TYPES and len(parts) > 1:
        return _repo_api(method, host, path, query, head, parts[1:], body_digest)
    if method not in _READS:
        return Passed(HUB, Kind.UPLOAD)
    if head.startswith(("whoami", "settings", "notifications", "jobs", "organizations", "users", "event")):
        return Secret(HUB)
    what = "static" if head == "agent-harnesses" else "list"
    return Document(HUB, f"api:{host}{path}?{normal_query(query)}", None, what)


def _resolve_cache(repo_type: str, tail: tuple[str, ...]) -> Resource:
    """`{id}/{commit}/{path with %2F}`: the commit is the first 40-hex segment after the id."""
    for cut in (1, 2):
        if len(tail) > cut + 1 and COMMIT.match(tail[cut]):
            repo = Repo(HUB, repo_type, joined(tail[:cut]))
            return File(repo, tail[cut], joined(tail[cut + 1 :], slashes=True))
    return Secret(HUB)


def _repo_api(
    method: str, host: str, path: str, query: str, repo_type: str, parts: tuple[str, ...], body_digest: str
) -> Resource:
    cut = 1 if len(parts) > 1 and parts[1] in _API_TAILS else 2
    repo = Repo(HUB, repo_type, joined(parts[:cut]))
    tail = parts[cut:]
    what = tail[0] if tail else "info"
    if what in _SECRET_TAILS:
        return Secret(HUB)
    reads = method in _READS or (method == "POST" and what == "paths-info")
    if not reads:
        return Passed(HUB, Kind.UPLOAD, repo)
    if repo_type == "buckets":
        return Secret(HUB)
    if what not in ("info", *_API_TAILS):
        return Plain(HUB, url_key(f"https://{host}{path}{'?' + query if query else ''}"), strict=True)
    rev = plain(tail[1], slashes=True) if len(tail) > 1 else ""
    key = f"api:{repo.key}:{'/'.join(tail)}?{normal_query(query)}" + (f"#{body_digest}" if body_digest else "")
    pinned = COMMIT.match(rev) is not None and what != "commits"
    return Document(HUB, key, repo, "info" if what == "revision" else what, pinned=pinned, edit=True)


# -- upstream URLs and what the hub answers -------------------------------------------------------------------------


def resolve_url(file: File, base: str = ORIGIN) -> str:
    prefix = "" if file.repo.type == "models" else f"{file.repo.type}/"
    return f"{base.rstrip('/')}/{prefix}{quoted(file.repo.id)}/resolve/{quoted_rev(file.rev)}/{quoted(file.path)}"


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


def _count(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() else None


def facts_of(status: int, headers: Headers, location: str | None) -> Facts | None:
    """Facts of a 200 or of a redirect to the bytes; None when the head is not about a file at a commit.

    A redirect inside the hub to another `/resolve` (a renamed repo) has no `X-Repo-Commit`: it is no fact about a file.
    """
    commit = headers.get("x-repo-commit") or ""
    etag = bare(headers.get("x-linked-etag") or headers.get("etag"))
    if not COMMIT.match(commit) or not etag or status not in (200, 206, 301, 302, 303, 307, 308):
        return None
    redirect = status >= 300
    if redirect and location is None:
        return None
    size = _count(headers.get("x-linked-size"))
    if size is None and status == 200 and "content-encoding" not in headers:
        size = _count(headers.get("content-length"))
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


def is_rename(path: str, location: str) -> bool:
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
