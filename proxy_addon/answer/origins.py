"""What a request is about: which repos, and which files of them.

Most URLs say it themselves. A signed link or a token is about what it was handed out for; one that was not handed out
here is about all that is known to have its hash. Nothing is believed of what only the asker says: which repo he means,
if the hash is known to be of another one. Where several answers are right, all are given.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import replace
from urllib.parse import urlsplit

from ..access.provenance import bearer, same_repo
from ..access.public import principal
from ..core.errors import UpstreamFailed
from ..core.messages import Reply, Request
from ..hub import claims
from ..hub import modelscope as ms
from ..hub.resources import Blob, File, Kind, Layer, Reconstruction, Repo, Resource, Secret, Subject, Xorb
from ..hub.subjects import subject_of
from .agent import agent_of
from .identities import on_record
from .means import Means
from .overhearing import HOMES, Overhearing
from .places import Places

_LARGEST = 4 * 1024 * 1024  # bytes of a repo's info
_BYTES = frozenset({Kind.BLOB, Kind.XORB})
_XET, _SHA256 = "xet:", "sha256:"


class Origins:
    def __init__(self, means: Means) -> None:
        self._means, self._known, self._places = means, means.provenance, Places(means)
        self._overhearing = Overhearing(means)

    def seen(self, request: Request, resource: Resource) -> tuple[Subject, ...] | None:
        """As `subjects`, from memory; raises LookupError where that does not tell."""
        own = subject_of(resource)
        if own is not None:
            return self._named((own,)) if claims.is_number(own.repo) else own.each
        homes = HOMES.get(resource.hub)
        if homes is None or (request.host in homes and resource.kind not in _BYTES):
            return None
        if found := self._known.of_link(request.url):
            return self._named(found)
        if _is_nameless(resource):
            raise LookupError(resource.kind)
        return None

    async def subjects(self, request: Request, resource: Resource) -> tuple[Subject, ...] | None:
        """Each is to be judged. None: about no repo at all. Empty: of a repo, and nobody here knows of which."""
        try:
            return self.seen(request, resource)
        except LookupError:
            pass
        own = subject_of(resource)
        about = (own,) if own is not None else self._known.of_link(request.url)
        if about:
            return tuple([each for one in about for each in await self._by_name(request, one)])
        match resource:
            case Blob():
                return await self._of_blob(resource)
            case Reconstruction(file=file):
                return await self._of_file(request, file)
            case Secret(kind=Kind.XORB) if request.host.startswith("cas-server."):
                token = self._token(request)
                return () if token is None else (token,)
            case _:
                return ()

    def overhear(self, request: Request, resource: Resource, reply: Reply) -> Reply:
        """What a client is told on the way: of links and tokens always, of hashes while there are rules."""
        try:
            about = self.seen(request, resource)
        except LookupError:  # a repo under its number: whoever asks for the link will be told its name
            own = subject_of(resource)
            about = () if own is None else (own,)
        return self._overhearing.overhear(request, resource, about or (), reply)

    async def settle(self) -> None:
        await self._overhearing.settle()

    # -- repos that are called by a number --------------------------------------------------------------------------

    def _named(self, subjects: Iterable[Subject]) -> tuple[Subject, ...]:
        found: list[Subject] = []
        for each in subjects:
            known = self._known.seen(claims.number(each.repo)) if claims.is_number(each.repo) else (each,)
            found += (replace(each, repo=one.repo) for one in known)
        return tuple(found)

    async def _by_name(self, request: Request, subject: Subject) -> tuple[Subject, ...]:
        if not claims.is_number(subject.repo):
            return (subject,)
        name = claims.number(subject.repo)
        if not (found := await self._known.find(name)):
            repo = await self._ask_name(request, subject.repo)
            if repo is None:
                return ()
            await self._known.learn(name, Subject(repo))
            found = (Subject(repo),)
        return tuple(replace(subject, repo=each.repo) for each in found)

    async def _ask_name(self, request: Request, repo: Repo) -> Repo | None:
        """As the hub tells it to who asks, with his own credentials."""
        origin = f"https://{request.host}" if request.host in ms.HOME_HOSTS else ms.origin(repo)
        url, who = f"{origin}/api/v1/{repo.type}/{repo.id}", principal(request.headers)
        names = ("authorization", "cookie") if request.host in ms.HOME_HOSTS else ()
        fields = [field for field in request.headers.fields if field[0].lower() in names]
        fields += [
            ("User-Agent", agent_of(request.headers)),
            ("Accept", "application/json"),
            ("Accept-Encoding", "identity"),
        ]

        async def ask() -> bytes:
            answer = await self._means.upstream.open("GET", url, fields, hub=repo.hub, principal=who)
            return await answer.whole(_LARGEST)

        try:
            data, _ = await self._means.flights.join(f"number:{url}~{who}", ask)
            told = await asyncio.to_thread(json.loads, data)
        except (UpstreamFailed, ValueError, RecursionError):
            return None
        return claims.named(told, repo)

    # -- by hash ----------------------------------------------------------------------------------------------------

    async def _of_blob(self, blob: Blob) -> tuple[Subject, ...]:
        """Of a link that was not handed out here."""
        names = await self._names(blob.digest)
        found = [_known_as(names, each) for name in names for each in await self._known.find(name)]
        for each in await self._known.find(f"id:{blob.owner}") if blob.owner else ():
            if not any(same_repo(each.repo, one.repo) for one in found):
                found.append(replace(each, digest=names[-1]))
        return tuple(dict.fromkeys(found)) or await self._stored(names[-1])

    async def _of_file(self, request: Request, file: str) -> tuple[Subject, ...]:
        """Of the file of this Xet hash. Whose token it is tells which repo is meant; that the file is in there is for
        the repo's listing to say, and not for the asker."""
        names = await self._names(f"{_XET}{file}")
        found = tuple(dict.fromkeys([each for name in names for each in await self._known.find(name)]))
        token = self._token(request)
        if token is None:
            return found or await self._stored(names[-1])
        own = tuple(_known_as(names, each) for each in found if same_repo(each.repo, token.repo))
        return own or (replace(token, path=None, digest=names[-1]),)

    async def _names(self, digest: str) -> tuple[str, ...]:
        """The hash itself and, of a Xet hash, the SHA-256 that belongs to it, if that is known."""
        if not digest.startswith(_XET):
            return (digest,)
        known = await on_record(self._means, digest.removeprefix(_XET))
        return (digest,) if known is None else (digest, f"{_SHA256}{known.sha256}")

    async def _stored(self, digest: str) -> tuple[Subject, ...]:
        """Of the files that the bytes in the store were fetched by, or could be."""
        manifest = await self._means.store.blobs.manifest(digest)
        urls = [manifest.source] if manifest is not None and manifest.source else []
        found: list[Subject] = []
        for url in (*urls, *await self._places.urls(digest)):
            at = urlsplit(url)
            resource = self._means.classifier.classify("GET", "https", at.hostname or "", 443, at.path, at.query)
            subject = subject_of(resource) if isinstance(resource, File | Layer) else None
            if subject is not None:
                found.append(subject)
        if found:
            await self._known.learn(digest, *found)
        return tuple(dict.fromkeys(found))

    def _token(self, request: Request) -> Subject | None:
        token = bearer(request.headers)
        return self._known.of_token(token) if token else None


def _known_as(names: tuple[str, ...], subject: Subject) -> Subject:
    """With the SHA-256 of bytes that are asked for by their Xet hash, if it is known."""
    return replace(subject, digest=names[-1]) if not subject.digest and len(names) > 1 else subject


def _is_nameless(resource: Resource) -> bool:
    """Bytes of some repo, by a URL that does not say of which."""
    signed = isinstance(resource, Secret) and (resource.kind in _BYTES or resource.kind is Kind.PLAIN)
    return signed or isinstance(resource, Blob | Xorb | Reconstruction)
