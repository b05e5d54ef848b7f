"""What a blocked client is sent, so that its user reads the rule, the reason and the way out in the tool in use.

No field is shown by every client, so that the same words stand in several: Hugging Face's clients show
`X-Error-Message`, and of the error codes only `GatedRepo` gets past all of them; `X-HF-Warning` is printed also where
the error is swallowed; wget, aiohttp, requests and hf_xet know the reason phrase alone; git wants text/plain, git-lfs
and registries have JSON of their own; ModelScope's SDK shows the `Message`, its older one the phrase of a 451 only.

Invariants: a status that no client retries, and nobody may keep the reply; the phrase is at most 120 bytes and a field
at most `FIELD` bytes of printable ASCII, with the rule and the id of the request never cut off. A body has the full
text in Unicode.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from ..core.messages import Headers, Request
from ..hub.resources import Batch, Document, Kind, Layer, Passed, Repo, Resource, Subject
from .forms import FORMS, UNAVAILABLE, Reader
from .spoken import ascii_line, cut, name
from .wording import Decision, Denial, label, sentence, words

__all__ = ["FIELD", "Blocked", "Decision", "Denial", "Finding", "Reader", "audit_fields", "blocked", "reader_of"]

FIELD = 800  # bytes of a header field
_TOPIC = 160  # bytes of a warning's topic
_OLDER_SDK = "modelscope/"  # how its User-Agent begins; the newer one's is modelscope_hub/
_API_READERS = {"huggingface": Reader.HUB, "modelscope": Reader.MODELSCOPE}


@dataclass(frozen=True, slots=True)
class Blocked:
    """`body` is empty for HEAD; Content-Length tells what a GET would have had (RFC 9110 §8.6)."""

    status: int
    reason: str
    headers: Headers
    body: bytes


class Finding(Protocol):
    """A rule in audit mode that would have denied."""

    @property
    def rule(self) -> str: ...
    @property
    def reason(self) -> str: ...


def reader_of(request: Request, resource: Resource) -> Reader:
    """By what is asked for; who accepts text/html is a browser, unless a program's protocol is spoken."""
    match resource:
        case Batch():
            return Reader.LFS
        case Passed(kind=Kind.GIT):
            return Reader.LFS if "/info/lfs/" in request.path else Reader.GIT
        case Layer() | Document(what="manifest"):
            return Reader.REGISTRY
    if resource.hub == "huggingface" and request.path.startswith("/v2/"):
        return Reader.REGISTRY
    accepted = (request.headers.get("accept") or "").lower().split(",")
    if "text/html" in {media.partition(";")[0].strip() for media in accepted}:
        return Reader.BROWSER
    return _API_READERS.get(resource.hub, Reader.PLAIN)


def blocked(denial: Denial, request: Request, resource: Resource, about: Subject | None, request_id: str) -> Blocked:
    """The reply. `about` is what was decided: of a link by digest the resource names no repo."""
    reader = reader_of(request, resource)
    told = words(denial, request, about, request_id)
    status = _status(reader, request, resource)
    media, written = FORMS[reader]
    body = written(told)
    fields = [
        ("X-Policy-Rule", told.rule),
        ("X-Policy-Request-Id", told.id),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        ("Content-Type", media),
        ("Content-Length", str(len(body))),
    ]
    if resource.hub == "huggingface":
        topic = _topic("policy", about.repo if about else None)
        warning = topic + told.short(FIELD - len(topic))
        fields += [("X-Error-Code", "GatedRepo"), ("X-Error-Message", told.short(FIELD)), ("X-HF-Warning", warning)]
    if reader is Reader.BROWSER:
        fields.append(("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"))
    return Blocked(status, told.phrase, Headers(fields), b"" if request.method == "HEAD" else body)


def audit_fields(findings: Iterable[Finding], resource: Resource, repo: Repo | None) -> tuple[tuple[str, str], ...]:
    """For a reply that passes although rules in audit mode would have denied it; hub clients print the warning."""
    found = tuple(findings)
    if not found:
        return ()
    rules = ("X-Policy-Audit", cut(", ".join(label(f.rule) for f in found), FIELD))
    if resource.hub != "huggingface":
        return (rules,)
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    head = f"{_topic('policy-audit', repo)}Not blocked yet, but policy rule '{label(found[0].rule)}'{more} would: "
    return rules, ("X-HF-Warning", head + cut(ascii_line(sentence(found[0].reason)), FIELD - len(head)))


def _status(reader: Reader, request: Request, resource: Resource) -> int:
    """ModelScope's older SDK drops every word of an error when it asks for a model's facts. After a failure told in a
    200, as the hub tells its own, it goes on, and shows the denial of what it asks for next; of a data set it would
    end there as if all were well."""
    if reader is not Reader.MODELSCOPE:
        return 403
    match resource:
        case Document(what="info", repo=Repo(type="models")):
            return 200 if (request.headers.get("user-agent") or "").startswith(_OLDER_SDK) else UNAVAILABLE
    return UNAVAILABLE


def _topic(about: str, repo: Repo | None) -> str:
    """The repo's own, because a client prints but one warning of each."""
    return f"{about}-{cut(name(repo.id), _TOPIC)}; " if repo else f"{about}; "
