"""Other people's JSON: what the hubs answer, what clients ask in a body. Any of it is read, or counts as nothing."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

from proxy_addon.answer import batches
from proxy_addon.answer.passing import LONGEST, Passing
from proxy_addon.core.messages import Buffer, Request
from proxy_addon.hub import claims, hf_listing, ms_listing, terms, xet
from proxy_addon.hub import modelscope as ms
from proxy_addon.hub.resources import SHA256, Repo
from proxy_addon.hub.signed import downloads, handed
from proxy_addon.policy import of_huggingface, of_modelscope
from proxy_addon.policy.declared import front_matter, of_front_matter
from proxy_addon.policy.facts import GATES, UNKNOWN, Facts
from proxy_addon.policy.foreign import document
from proxy_addon.policy.sheets import Placing, Sheet, Table

from .target import Target, changed_json, keys_of

NOW = 1_700_000_000.0
_REPO = Repo("modelscope", "models", "org/name")
SHA, HEX = "1a2b3c4d5e6f" + "0" * 28, "ab" * 32


def _bounded(sheet: Sheet) -> None:
    """Facts of known names, each of a bounded size, and all of them can be joined to a request's."""
    assert sheet.values.keys() <= GATES.keys() and sheet.values.keys() <= sheet.sources.keys()
    for value in sheet.values.values():
        for path in (None, "a.bin", "x/y.safetensors"):
            one = value.of(path) if isinstance(value, Table) else value
            if isinstance(one, str):
                assert len(one) <= 400
            if isinstance(one, tuple):
                assert len(one) <= 2000 and sum(len(each) for each in one if isinstance(each, str)) <= 60_000
    Facts().joined(dict(sheet.values), {})


def of_hugging(data: bytes) -> None:
    told = document(data)
    sheet = of_huggingface.info(told, "org/name")
    _bounded(sheet)
    _bounded(of_huggingface.size(told, "x"))
    _bounded(of_huggingface.readme(data, "x"))
    _bounded(of_huggingface.scans(told, "x")) if hasattr(of_huggingface, "scans") else None
    of_huggingface.strangers(sheet.values, of_huggingface.info(_HF_INFO, "a/b").values)
    assert all(
        re.fullmatch("[0-9a-f]{40}", each) for each in (*of_huggingface.heads(told), *of_huggingface.history(told))
    )
    placing = Placing([f"sha256:{HEX}"])
    of_huggingface.place(told, placing)
    placing.done({f"xet:{HEX}": f"sha256:{HEX}"}).of(f"xet:{HEX}")
    for name, path in claims.of_huggingface(told):
        assert re.fullmatch(r"(id:[0-9a-f]{24}|(sha256|xet):[0-9a-f]{64})", name) and (
            path is None or isinstance(path, str)
        )
    for each in xet.identities(told):
        assert SHA256.match(each.file) and SHA256.match(each.sha256) and each.size > 0
    for read in (hf_listing.entries, hf_listing.commit_of):
        with contextlib.suppress(ValueError):
            read(told)
    json.dumps(xet.without_xet(told, lambda size: size > 100))
    assert '"xetHash"' not in json.dumps(xet.without_xet(document(data), lambda size: False)) or _as_text(
        told, "xetHash"
    )


def _as_text(node: Any, name: str) -> bool:
    """Whether it is a text somewhere, and no key."""
    if isinstance(node, dict):
        return any(_as_text(each, name) for each in node.values())
    return (
        any(_as_text(each, name) for each in node) if isinstance(node, list) else isinstance(node, str) and name in node
    )


def of_scope(data: bytes) -> None:
    told = document(data)
    _bounded(of_modelscope.info(told, "org/name", "master"))
    listing = of_modelscope.Listing([f"sha256:{HEX}"])
    with contextlib.suppress(ValueError):
        listing.add(told)
    _bounded(listing.done("x", whole=True))
    with contextlib.suppress(ValueError):
        found = ms.listing(data)
        assert all(SHA256.match(each.sha256) and each.size >= 0 for each in found.files.values())
    with contextlib.suppress(ValueError):
        listed = ms_listing.nodes(told)
        entries = ms_listing.entries(listed)
        assert re.fullmatch("files:[0-9a-f]{40}", ms_listing.version_of(entries))
        ms_listing.folders(listed)
        if isinstance(told, dict):
            ms_listing.is_last(told, len(listed), 0)
    code = ms.failure_of(data)
    assert code is None or isinstance(code, int)
    assert ms.same_answer(data, data)
    for name, _ in claims.of_modelscope(told, _REPO):
        assert name
    named = claims.named(told, _REPO)
    assert named is None or not {"", ".", ".."} & set(named.id.split("/"))


def readme(data: bytes) -> None:
    card = front_matter(data)
    assert card is None or isinstance(card, dict)
    found = of_front_matter(card, hub="huggingface")
    assert found is None or found is UNKNOWN or isinstance(found, tuple)


def lfs(data: bytes) -> None:
    """A batch, as a request and as the answer to one."""
    request = Request("POST", "https", "huggingface.co", 443, "/o/n.git/info/lfs/objects/batch", body=data)
    asks = batches.only_downloads(request)
    wished = list(batches.wished(request))
    assert (asks or not wished) and len(wished) <= batches.MANY
    rev = batches.revision(request)
    assert rev is None or not {"", ".", ".."} & set(rev.split("/"))
    with contextlib.suppress(ValueError, RecursionError):
        links, given = batches._understood(data, NOW)
        assert all(SHA256.match(each.blob[7:]) and (each.size or 0) > 0 for each in links)
        assert all(isinstance(each.url, str) and isinstance(each.token, str) for each in given)
    edited = batches._without(data, {f"sha256:{HEX}": "no"})
    if edited is not None:
        told = json.loads(edited)
        assert not any(each.oid == HEX for each in handed(told))
        assert not any(each.blob == f"sha256:{HEX}" for each in downloads(told, NOW))


def reconstructions(data: bytes) -> None:
    """Offsets grow without a gap, and no range is empty."""
    with contextlib.suppress(ValueError, RecursionError):
        for first in (0, 1000):
            told = terms.read(json.loads(data), first)
            at = None
            for segment in told.segments:
                assert segment.size > 0 and segment.count > 0 and segment.skip >= 0 and at in (None, segment.at)
                at = segment.end
            assert all(0 <= fetch.start < fetch.end for fetch in told.fetches)


class _Body:
    length: int | None = None

    def __init__(self, data: bytes, step: int) -> None:
        self._parts = [data[at : at + step] for at in range(0, len(data), step)]

    async def read(self, limit: int) -> Buffer:
        return self._parts.pop(0) if self._parts else b""

    def close(self) -> None: ...


def passing(data: bytes) -> None:
    """In whatever pieces a body comes, it goes on as it is, and the same links are told."""
    seen = []
    for step in (len(data) or 1, 13):
        links: list[str] = []
        body, out = Passing(_Body(data, step), links.append), bytearray()
        while True:
            reading = body.read(1 << 20)
            try:
                reading.send(None)
            except StopIteration as done:
                piece = done.value
            if not piece:
                break
            out += piece
        assert bytes(out) == data
        seen.append(links)
    assert seen[0] == seen[1] or len(data) > LONGEST, seen


_HF_INFO: dict[str, Any] = {
    "_id": "5" * 24, "id": "org/name", "sha": SHA, "lastModified": "2025-10-01T00:00:00.000Z", "private": False,
    "gated": "auto", "tags": ["license:mit", "base_model:finetune:a/b"], "cardData": {"license": ["mit", "other"],
    "license_name": "x", "base_model": "a/b"}, "author": "org",
    "siblings": [{"rfilename": "a.bin", "size": 5, "xetHash": HEX, "lfs": {"sha256": HEX, "size": 5}}],
    "securityRepoStatus": {"scansDone": True, "filesWithIssues": [{"path": "a.bin", "level": "unsafe"}]},
    "branches": [{"name": "main", "targetCommit": SHA}],
}  # fmt: skip
_HF_TREE = [{"type": "file", "path": "d/x.bin", "size": 5, "oid": SHA, "xetHash": HEX, "lfs": {"oid": HEX, "size": 5}}]
_MS_INFO = {"Code": 200, "Success": True, "Data": {"Id": 42, "Path": "org", "Name": "name", "License": "mit",
    "Visibility": 5,
            "ApprovalMode": 1, "Tags": [{"Name": "x"}], "BaseModel": ["a/b"], "LastUpdatedTime": 1700000000,
            "StorageSize": 9,
            "ReadMeContent": "---\nlicense: other\nlicense_name: z\n---\n"}}  # fmt: skip
_MS_FILES = {"Code": 200, "Success": True, "TotalCount": 1, "PageSize": 200, "Data": {"Files": [
            {"Path": "d/x", "Type": "blob", "Size": 5, "Sha256": HEX, "Revision": SHA, "IsLFS": True}]}}  # fmt: skip
_BATCH = {"transfer": "basic", "operation": "download", "ref": {"name": "refs/heads/main"}, "objects": [{"oid": HEX,
    "size": 5,
          "actions": {"download": {"href": "https://cdn-lfs.hf.co/a?Expires=1", "expires_in": 9,
          "expires_at": "2030-01-01T00:00:00Z",
          "header": {"X-Xet-Access-Token": "t"}}}}]}  # fmt: skip
_V1 = {"offset_into_first_range": 3, "terms": [{"hash": HEX, "unpacked_length": 9, "range": {"start": 0, "end": 2}}],
       "fetch_info": {HEX: [{"range": {"start": 0, "end": 2}, "url": "https://t/x", "url_range": {"start": 0,
       "end": 99}}]}}  # fmt: skip
_V2 = {"offset_into_first_range": 0, "terms": _V1["terms"], "xorbs": {HEX: [
       {"url": "https://t/x", "ranges": [{"chunks": {"start": 0, "end": 2}, "bytes": {"start": 0,
       "end": 99}}]}]}}  # fmt: skip


def _target(name: str, check: Any, *samples: Any) -> Target:
    words = tuple(json.dumps(key).encode() + b": " for key in sorted(keys_of(list(samples))))
    more = (
        b"null",
        b"[]",
        b"{}",
        b"-1",
        b"1e999",
        b'"x"',
        b",",
        b"[" * 20_000,
        b'"\\ud800"',
        b"9" * 5000,
        b"\xff",
        b'\\"',
    )
    return Target(
        name, check, tuple(json.dumps(each).encode() for each in samples), changed_json(samples), (*words, *more)
    )


_READMES = (
    b"---\nlicense: mit\nbase_model: a/b\n---\n# x",
    b"\xef\xbb\xbf---\r\nlicense: [mit, other]\r\nlicense_name: y\r\n---\r\n",
    b"---\nlicense: &a mit\n---\n", b"--- \nlicense: {a: b}\n---", b"---\n---\n",
)  # fmt: skip
TARGETS = (
    _target("hugging", of_hugging, _HF_INFO, _HF_TREE),
    _target("modelscope", of_scope, _MS_INFO, _MS_FILES, {"Data": [{"Path": "d/x"}], "PageSize": "many"}),
    Target("readme", readme, _READMES, None, (b"---", b"\n", b"license: ", b"&a", b"*a", b"other", b"[", b"{",
        b"license_name: ")),
    _target("lfs", lfs, _BATCH),
    _target("reconstructions", reconstructions, _V1, _V2),
    _target("passing", passing, _V1, _V2),
)  # fmt: skip
