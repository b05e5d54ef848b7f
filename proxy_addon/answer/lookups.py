"""Which of a hub's answers tells which fact of a repo. One `Lookups` for each hub.

Of every repo its info is asked first; some facts need more, and only then that is asked. All is asked by the URLs that
clients use, at the commit that the info names, so that all facts are of one revision.
"""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from ..hub import hf_listing, ms_listing
from ..hub import huggingface as hf
from ..hub import modelscope as ms
from ..hub.paths import quoted, quoted_rev
from ..hub.resources import COMMIT, Repo
from ..policy import of_huggingface, of_modelscope
from ..policy.foreign import document
from ..policy.sheets import Placing, Sheet
from .roads import Got, Refusal, Road

PAGES = 20  # of a listing that are read


@dataclass(frozen=True, slots=True)
class About:
    """What is asked about. `digests`: names of one file's content, the first of which it is looked for by."""

    repo: Repo
    rev: str | None
    commit: str = ""
    digests: tuple[str, ...] = ()

    @property
    def at(self) -> str:
        return self.commit or self.rev or "main"

    @property
    def pinned(self) -> bool:
        return COMMIT.match(self.at) is not None

    @property
    def shown(self) -> str:
        return f"{self.repo.id} at {self.at[:12] if self.pinned else self.at}"


@dataclass(frozen=True, slots=True)
class Found:
    sheet: Sheet
    until: float
    repo: Repo


type Step = Callable[[Road, About], Awaitable[Found | Refusal | None]]


class Lookups(Protocol):
    steps: Mapping[str, Step]  #: what else is asked for a fact that the info does not tell
    trunk: str | None  #: the branch whose word counts; None if what is told is of no revision

    async def info(self, road: Road, about: About) -> Found | Refusal | None:
        """None if the hub has no such thing. Raises `UpstreamFailed`."""
        ...

    async def is_own(self, road: Road, about: About) -> bool:
        """Whether the commit was made by who may write to the repo. Raises `UpstreamFailed`."""
        ...


class HuggingFace:
    trunk: str | None = "main"

    def __init__(self) -> None:
        self.steps: Mapping[str, Step] = {
            "license": self._readme,
            "repo_size": self._size,
            "hub_scan": self._scan,
            "path": self._listing,
        }

    async def info(self, road: Road, about: About) -> Found | Refusal | None:
        repo, rev = about.repo, about.rev
        url = hf_listing.api_url(repo) if rev is None else hf_listing.revision_url(repo, rev)
        got = await road.ask(url, pinned=rev is not None and COMMIT.match(rev) is not None)
        return await _read(got, lambda data: of_huggingface.info(document(data), repo.id))

    async def is_own(self, road: Road, about: About) -> bool:
        """At the head of a branch or tag, or in the trunk's history: anybody may open a pull request."""
        got = await road.ask(hf_listing.api_url(about.repo, "/refs"), pinned=False)
        if isinstance(got, Got) and about.commit in await to_thread(_heads, got.data):
            return True
        url: str | None = hf_listing.api_url(about.repo, f"/commits/{self.trunk}")
        for _ in range(PAGES):
            if not isinstance(got := await road.ask(url or "", pinned=False), Got):
                return False
            if about.commit in await to_thread(_history, got.data):
                return True
            if got.doc.what != "commits" or (url := _next_page(got)) is None:
                break
        return False

    async def _readme(self, road: Road, about: About) -> Found | Refusal | None:
        prefix = "" if about.repo.type == "models" else f"{about.repo.type}/"
        url = f"{hf.ORIGIN}/{prefix}{quoted(about.repo.id)}/raw/{quoted_rev(about.at)}/README.md"
        got = await road.ask(url, pinned=about.pinned)
        if isinstance(got, Got) and got.absent:
            return None
        return await _read(got, lambda data: of_huggingface.readme(data, about.shown))

    async def _size(self, road: Road, about: About) -> Found | Refusal | None:
        url = f"{hf_listing.revision_url(about.repo, about.at)}?blobs=true"
        got = await road.ask(url, pinned=about.pinned)
        return await _read(got, lambda data: of_huggingface.size(document(data), about.shown))

    async def _scan(self, road: Road, about: About) -> Found | Refusal | None:
        """Also at a commit: it is scanned after it was made, and again whenever a scanner learns."""
        url = f"{hf_listing.revision_url(about.repo, about.at)}?securityStatus=true"
        got = await road.ask(url, pinned=False)
        return await _read(got, lambda data: of_huggingface.hub_scan(document(data), about.repo.type, about.shown))

    async def _listing(self, road: Road, about: About) -> Found | Refusal | None:
        placing, until = Placing(about.digests), float("inf")
        url: str | None = hf_listing.tree_url(about.repo, about.at)
        for _ in range(PAGES):
            got = await road.ask(url or "", pinned=about.pinned)
            if not isinstance(got, Got):
                return got
            until = min(until, got.until)
            if not await to_thread(_placed, got.data, placing):
                return None
            if got.doc.what != "tree" or (url := _next_page(got)) is None:
                break
        paths = placing.done(dict.fromkeys(about.digests[:1], *about.digests[-1:]))
        return Found(Sheet({"path": paths}, {"path": f"listing of {about.shown}"}), until, about.repo)


class ModelScope:
    trunk: str | None = None

    def __init__(self) -> None:
        self.steps: Mapping[str, Step] = dict.fromkeys(("repo_size", "has_safetensors_twin", "path"), self._listing)

    async def info(self, road: Road, about: About) -> Found | Refusal | None:
        repo = about.repo
        url = ms_listing.open_url(repo) if repo.type == "studios" else ms_listing.api_url(repo)
        got = await road.ask(url, pinned=False)
        return await _read(got, lambda data: of_modelscope.info(document(data), repo.id, about.rev))

    async def is_own(self, road: Road, about: About) -> bool:
        return True

    async def _listing(self, road: Road, about: About) -> Found | Refusal | None:
        rev = about.rev or ms.TRUNK
        listing, until, whole = of_modelscope.Listing(about.digests), float("inf"), False
        pages = about.repo.type == "datasets"
        for page in range(1, PAGES + 1):
            url = ms_listing.listing_url(about.repo, rev, page=page)
            got = await road.ask(url, pinned=COMMIT.match(rev) is not None)
            if not isinstance(got, Got):
                return got
            until = min(until, got.until)
            last = await to_thread(_listed, got.data, listing, pages)
            if last is None:
                return None
            if last or not pages:
                whole = last
                break
        return Found(listing.done(f"{about.repo.id} at {rev[:40]}", whole=whole), until, about.repo)


def _next_page(got: Got) -> str | None:
    """Told under the name by which the hub was asked, which is the one that the client has used."""
    url = hf_listing.next_page(got.link) or ""
    own = (f"https://{host}" for host in hf.HOME_HOSTS)
    return next((hf.ORIGIN + url.removeprefix(name) for name in own if url.startswith(f"{name}/api/")), None)


async def _read(got: Got | Refusal | None, read: Callable[[bytes], Sheet]) -> Found | Refusal | None:
    if not isinstance(got, Got):
        return got
    return Found(await to_thread(read, got.data), got.until, got.repo)


def _heads(data: bytes) -> frozenset[str]:
    return of_huggingface.heads(document(data))


def _history(data: bytes) -> frozenset[str]:
    return of_huggingface.history(document(data))


def _placed(data: bytes, placing: Placing) -> bool:
    return of_huggingface.place(document(data), placing)


def _listed(data: bytes, listing: of_modelscope.Listing, pages: bool) -> bool | None:
    """Whether this page was the last, and nothing was left out; None if it is no listing."""
    told, before = document(data), listing.entries
    try:
        here = listing.add(told)
    except ValueError:
        return None
    return isinstance(told, dict) and (ms_listing.is_last(told, here, before) if pages else here < ms_listing.CAP)
