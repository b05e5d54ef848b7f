"""What is learned of links, tokens and hashes from replies on their way to a client.

The client gets what the hub said, to the byte. Links and tokens are noted always, in memory; which file has which hash
only while there are rules, since that is written down.
"""

from __future__ import annotations

import asyncio
import json
import re
import zlib
from dataclasses import replace
from itertools import islice
from urllib.parse import urljoin, urlsplit

from cachetools import LRUCache

from ..core.messages import REDIRECTS, Headers, Reply, Request
from ..hub import claims, registry
from ..hub import huggingface as hf
from ..hub import modelscope as ms
from ..hub.resources import COMMIT, SHA256, Document, File, Plain, Resource, Secret, Subject
from .identities import LARGEST, Overheard, inflated, legible
from .means import Means
from .promised import Promised

AT_ONCE = 2000  # claims of one listing: a page of the hub's names a thousand files, by two hashes
HELD = 64 * 1024 * 1024  # bytes of listings that wait to be learned; what comes beyond goes by
_TOKEN_LARGEST = 64 * 1024
_TOKEN_PATH = re.compile(r"/api/[a-z]+/[^/]+(?:/[^/]+)?/xet-(?:read|write)-token(?:/|\Z)")  # no path in a repo
_LISTINGS = frozenset({"info", "tree", "paths-info"})
_ABOUT_FILES = frozenset({200, 206, 304}) | REDIRECTS
HOMES = {hub.HUB: hub.HOME_HOSTS for hub in (hf, ms)}


class Overhearing:
    def __init__(self, means: Means) -> None:
        self._means, self._known = means, means.provenance
        self._heard: LRUCache[tuple[object, ...], bool] = LRUCache(16384)  # what told already all that it tells
        self._promised = Promised()
        self._held = 0

    def overhear(self, request: Request, resource: Resource, about: tuple[Subject, ...], reply: Reply) -> Reply:
        if not about:
            return reply
        if reply.status in REDIRECTS:
            self._sent_on(request, resource, about, reply)
        if isinstance(resource, Secret | Plain):
            if reply.status == 200 and resource.hub == hf.HUB and _TOKEN_PATH.match(request.path):
                self._told_token(about[0], reply, self._known.holder(request))
        elif self._means.judging() and not claims.is_number(about[0].repo):
            if isinstance(resource, File):
                self._told_head(resource, about, reply)
            elif isinstance(resource, Document) and reply.status == 200 and resource.what in _LISTINGS:
                self._told_listing(resource, about, reply)
        return reply

    # -- links and tokens -------------------------------------------------------------------------------------------

    def _sent_on(self, request: Request, resource: Resource, about: tuple[Subject, ...], reply: Reply) -> None:
        """To another host of the same hub, by a link that says nothing of the repo any more; or to the hub itself, with
        a permission in the query in place of the credentials that the client will not send there."""
        try:
            url = urljoin(request.url, reply.headers.get("location") or "").partition("#")[0]
            at = urlsplit(url)
            host, port = (at.hostname or "").rstrip("."), at.port or 443
        except ValueError:
            return
        ours = self._means.classifier.hub_of(host, port) == resource.hub
        permits = host not in HOMES.get(resource.hub, ()) or registry.signed(at.query)
        if at.scheme == "https" and ours and permits:
            self._known.link(url, *about, to=self._known.holder(request))

    def _told_token(self, about: Subject, reply: Reply, to: str) -> None:
        if token := reply.headers.get("x-xet-access-token"):
            self._known.token(token, about, to=to)
        if (coding := legible(reply)) is None:
            return
        if isinstance(reply.body, bytes):
            self._note_token(reply.body, coding, about, to)
        else:
            reply.body = Overheard(reply.body, lambda data: self._note_token(data, coding, about, to), _TOKEN_LARGEST)

    def _note_token(self, data: bytes, coding: str, about: Subject, to: str) -> None:
        try:
            told = json.loads(inflated(data, coding, _TOKEN_LARGEST)) if len(data) <= _TOKEN_LARGEST else None
        except (ValueError, RecursionError, zlib.error):
            return
        token = told.get("accessToken") if isinstance(told, dict) else None
        if isinstance(token, str) and token:
            self._known.token(token, about, to=to)

    # -- hashes -----------------------------------------------------------------------------------------------------

    def _told_head(self, file: File, about: tuple[Subject, ...], reply: Reply) -> None:
        headers = reply.headers
        tag, xet = headers.get("x-linked-etag") or headers.get("etag"), headers.get("x-xet-hash")
        mark = (file, tag, xet, headers.get("x-repo-commit"))
        if reply.status not in _ABOUT_FILES or mark in self._heard:
            return
        self._heard[mark] = True
        names = [
            f"{kind}:{hash}" for kind, hash in (("sha256", hf.bare(tag)), ("xet", xet or "")) if SHA256.match(hash)
        ]
        for name, subject in ((name, subject) for name in names for subject in _at(about, headers)):
            self._promised.soon(self._known.learn(name, subject))

    def _told_listing(self, doc: Document, about: tuple[Subject, ...], reply: Reply) -> None:
        coding, headers = legible(reply), reply.headers
        length = len(reply.body) if isinstance(reply.body, bytes) else reply.body.length
        mark = (doc.key, length, headers.get("etag"), headers.get("date"))
        if coding is None or mark in self._heard or (length or 0) > LARGEST:
            return
        subjects = _at(about, headers)

        def heard(data: bytes) -> None:
            if self._held + len(data) <= HELD:
                self._heard[mark] = True
                self._held += len(data)
                self._promised.soon(self._learn_listing(data, coding, doc.hub, subjects))

        if isinstance(reply.body, bytes):
            heard(reply.body)
        else:
            reply.body = Overheard(reply.body, heard, LARGEST)

    async def _learn_listing(self, data: bytes, coding: str, hub: str, about: tuple[Subject, ...]) -> None:
        try:
            for subject in about:
                for name, at in await asyncio.to_thread(_claimed, data, coding, hub, subject):
                    if not self._known.knows(name, at):
                        await self._known.learn(name, at)
        finally:
            self._held -= len(data)

    async def settle(self) -> None:
        await self._promised.settle()


def _at(about: tuple[Subject, ...], headers: Headers) -> tuple[Subject, ...]:
    """At the commit that a reply is of, where it says."""
    commit = headers.get("x-repo-commit") or ""
    return tuple(replace(each, rev=commit) for each in about) if COMMIT.match(commit) else about


def _claimed(data: bytes, coding: str, hub: str, about: Subject) -> list[tuple[str, Subject]]:
    """Blocks; in a thread."""
    try:
        told = json.loads(inflated(data, coding, LARGEST))
    except (ValueError, RecursionError, zlib.error):
        return []
    found = claims.of_huggingface(told) if hub == hf.HUB else claims.of_modelscope(told, about.repo)
    repo = about.repo if hub == hf.HUB else claims.named(told, about.repo) or about.repo
    return [
        (name, Subject(repo, about.rev, path) if path is not None else Subject(repo))
        for name, path in islice(found, AT_ONCE)
    ]
