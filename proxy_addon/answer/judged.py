"""What is decided about one subject of a request, and by which facts. Pure.

Facts come in three steps: from the request, from the hub, from the answer. A file that is known by its digest alone has
no path until the repo's listing was asked; with several paths it is judged by each of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import ip_address

from ..core.messages import Reply, Request
from ..core.ranges import parse_content_range
from ..hub.resources import COMMIT, SHA256, Blob, Kind, Layer, Reconstruction, Resource, Secret, Subject, Xorb
from ..policy.facts import GATES, UNKNOWN, Facts, Gate
from ..policy.index import Tier
from ..policy.judge import Allow, Deny, Need, Policy, Spoke
from .remembered import Learned

NOWHERE = "unknown-origin"  # the rule that denies what nobody can place
_STRAY = "What the rules ask of the repo that this is from is not known here. Ask for the file by its own URL again."

FROM_HUB = frozenset({*(name for name, gate in GATES.items() if gate is Gate.REPO), "path"})
CONTENT = frozenset(name for name, gate in GATES.items() if gate is Gate.CONTENT)
_TYPES = {"models": "model", "datasets": "dataset", "spaces": "space", "studios": "studio"}
MADE_UP = 1024 * 1024  # bytes, which nothing has that a hub makes up for its registry: a template, parameters
SCANNED = frozenset({"pickle_imports", "template"})
#: Endings of what no program loads as code, whatever is in it. Anything else may be a pickle.
_HARMLESS = frozenset(
    {
        "safetensors", "gguf", "json", "jsonl", "md", "rst", "txt", "yaml", "yml", "toml", "csv", "tsv",
        "parquet", "arrow", "feather", "xml", "html", "css", "svg", "png", "jpg", "jpeg", "gif", "webp", "bmp",
        "tif", "tiff", "ico", "mp3", "wav", "flac", "ogg", "mp4", "webm", "pdf", "py", "ipynb", "js", "ts",
        "sh", "c", "h", "cpp", "cu", "jinja", "jinja2", "j2", "gitattributes", "gitignore", "spm", "tiktoken",
        "vocab", "lock", "ini", "cfg", "onnx", "tflite",
    }
)  # fmt: skip
_TEMPLATES = frozenset({"gguf", "jinja", "jinja2", "j2"})
_TEMPLATED = ("template", "tokenizer_config", "processor_config")


@dataclass(frozen=True, slots=True)
class Judged:
    """`Need`: of content, which the answer may tell."""

    subject: Subject | None
    answer: Allow | Deny | Need
    facts: Facts

    @property
    def commit(self) -> object:
        """Of which these facts are; None if none was asked for."""
        return self.facts.values.get("commit")


type Verdict = tuple[Judged, ...]


@lru_cache(4096)
def address(client: str) -> object:
    try:
        found = ip_address(client.partition("%")[0])
        return getattr(found, "ipv4_mapped", None) or found  # as a socket for both has it
    except ValueError:
        return UNKNOWN


def asked(subject: Subject, request: Request, relayed: bool = False) -> Facts:
    """What the request itself says. `relayed`: nobody will see what comes, and what is in it nobody knows."""
    facts = _asked(subject, request)
    if not relayed:
        return facts
    return unscanned(facts if "digest" in facts.values else facts.told("relayed", digest=UNKNOWN))


def _asked(subject: Subject, request: Request) -> Facts:
    repo = subject.repo
    facts = Facts.of_request(
        hub=repo.hub,
        type=_TYPES.get(repo.type, repo.type.removesuffix("s")),
        repo=repo.id,
        revision=subject.rev,
        path=subject.path,
        client=address(request.client),
        user=request.user or None,
    )
    if subject.digest:
        values = {name: value for name, value in facts.values.items() if name != "path" or value is not None}
        known = {"digest": subject.digest} if subject.digest.startswith("sha256:") else {}
        return Facts(values, facts.sources).told("link", **known)
    return facts.told("request", **dict.fromkeys(CONTENT)) if subject.path is None else facts


def wanted(need: Need, facts: Facts) -> frozenset[str]:
    """What the hub is to be asked for. By its path is told what a file can contain; facts are those of a commit."""
    found = need.facts & FROM_HUB
    if need.facts & CONTENT and "path" not in facts.values:
        found |= {"path"}
    return found | {"commit"} if found and "commit" not in facts.values else found


def lacking(resource: Resource, answer: Allow | Deny | Need, subject: Subject, facts: Facts) -> frozenset[str]:
    """What the hub is to be asked for before the answer holds. By a Xet hash bytes are some repo's only if they have a
    path there: whose token it comes with is the asker's choice."""
    if isinstance(answer, Deny):
        return frozenset()
    found = wanted(answer, facts) if isinstance(answer, Need) else frozenset[str]()
    chosen = isinstance(resource, Reconstruction) and subject.digest and "path" not in facts.values
    return found | {"path"} if chosen else found


def astray(resource: Resource, subject: Subject, facts: Facts) -> bool:
    """The repo's listing has no such bytes: they are another's, or of a revision that nobody has named. A registry
    gives out some that its hub has made up, and says of which repo they are."""
    return bool(subject.digest) and not isinstance(resource, Layer) and facts.values.get("path") is UNKNOWN


def overlong(resource: Resource, judged: Judged, reply: Reply) -> bool:
    """Not made up, and in no listing: a layer that is a file of some other revision."""
    if not isinstance(resource, Layer) or judged.facts.values.get("path") is not UNKNOWN:
        return False
    if reply.status == 206:
        span = parse_content_range(reply.headers.get("content-range"))
        return span is None or span[2] is None or span[2] > MADE_UP
    size = reply.headers.get("content-length") or ""
    return reply.status == 200 and not (re.fullmatch("[0-9]{1,7}", size) and int(size) <= MADE_UP)


def joined(facts: Facts, learned: Learned, need: frozenset[str]) -> Iterator[Facts]:
    """With what was learned; once for each path that the bytes have in their repo."""
    values = {**dict.fromkeys(need, UNKNOWN), **learned.values}
    paths = values.get("path")
    if not isinstance(paths, tuple):
        yield facts.joined(values, learned.sources)
        return
    for path in paths:
        yield facts.joined({**values, "path": path}, learned.sources)


def renamed(policy: Policy, judged: Iterable[Judged], name: str, now: float) -> Iterator[Judged]:
    """By the name that the hub has for the repo, where it was asked for by another."""
    namespace, slash, _ = name.partition("/")
    for each in tuple(judged):
        facts = each.facts.told("the hub's own name", repo=name, namespace=namespace if slash else None)
        yield Judged(each.subject, policy.judge(facts, now), facts)


def served(subject: Subject, reply: Reply) -> Subject:
    """At the commit that the reply is of."""
    commit = reply.headers.get("x-repo-commit") or ""
    if subject.rev is None or subject.rev == commit or not COMMIT.match(commit):
        return subject
    return replace(subject, rev=commit)


def told_by(reply: Reply) -> object:
    """All of a reply that facts of content go by."""
    return reply.status >= 400, _digest(reply), reply.whole.blob if reply.whole is not None else ""


def with_content(facts: Facts, reply: Reply, resource: Resource | None = None) -> Facts:
    """And what the head of the reply tells of the bytes: which they are; of an error, that there is nothing in it."""
    failed = reply.status >= 400
    said = dict.fromkeys(CONTENT) if failed else {"digest": _named(resource, _digest(reply))}
    return facts.told("reply", **{name: value for name, value in said.items() if name not in facts.values})


def unscanned(facts: Facts) -> Facts:
    """And what is to be thought of bytes that are not looked into: the name tells what programs take them for."""
    path = facts.values.get("path", UNKNOWN)
    name = path.casefold().rpartition("/")[2] if isinstance(path, str) else ""
    ending = name.rpartition(".")[2]
    odd = "." not in name or ending not in _HARMLESS
    templated = odd or ending in _TEMPLATES or any(part in name for part in _TEMPLATED)
    said = {"pickle_imports": UNKNOWN if odd else None, "template": UNKNOWN if templated else None}
    return facts.told("not scanned", **{name: value for name, value in said.items() if name not in facts.values})


def _digest(reply: Reply) -> object:
    tag = reply.headers.get("x-linked-etag") or reply.headers.get("etag") or ""
    bare = tag.removeprefix("W/").strip('"')
    return f"sha256:{bare}" if SHA256.match(bare) else f"git:{bare}" if COMMIT.match(bare) else UNKNOWN


def _named(resource: Resource | None, tag: object) -> object:
    """By a link bytes are named by its path: the ETag there is that of a store, be it a hash of another kind."""
    match resource:
        case Blob(digest=digest) if digest.startswith("sha256:"):
            return digest
        case Blob(digest=digest) if isinstance(tag, str) and digest.partition(":")[2] == tag.partition(":")[2]:
            return UNKNOWN
        case Xorb() | Secret(kind=Kind.BLOB | Kind.XORB | Kind.PLAIN):
            return UNKNOWN
    return tag


def elsewhere(judged: Judged, reply: Reply) -> bool:
    """The reply is of another commit than the facts are."""
    commit = reply.headers.get("x-repo-commit")
    return commit is not None and judged.commit is not None and commit != judged.commit and judged.subject is not None


def stray(policy: Policy, hub: str, client: str, user: str | None, now: float) -> Judged:
    """Of what belongs to no repo that is known: it passes if no rule could deny it, whatever it is."""
    facts = Facts().told("request", hub=hub, client=address(client), user=user)
    answer = policy.judge(facts, now)
    return Judged(None, unplaced(policy) if isinstance(answer, Need) else answer, facts)


def unplaced(policy: Policy) -> Deny | Allow:
    """The same for what was never known and for what no longer is: who guesses links learns nothing by them."""
    if not policy.enforces:
        return Allow(audit=(Spoke(NOWHERE, "", _STRAY),))
    return Deny(NOWHERE, "", Tier.DENY, _STRAY, "", policy.contact, policy.request_url, (NOWHERE,))
