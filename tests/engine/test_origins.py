"""What a signed link, a token and a hash belong to, on each road by which bytes are had without naming a repo."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from proxy_addon.answer import overhearing
from proxy_addon.answer.origins import Origins
from proxy_addon.core.messages import BytesBody, Headers, Reply
from proxy_addon.hub.resources import Repo as Name
from proxy_addon.hub.resources import Subject
from tests.conftest import Starter
from tests.engine.rig import LINK, Got, Rig, drained, request_for
from tests.engine.test_secrets import CANARIES
from tests.engine.xet_client import CAS, XetClient, links
from tests.hub import Repo, Synthetic, TestHub
from tests.hub.ask import ask
from tests.hub.ms_reply import number

H, MS = "https://huggingface.co", "https://www.modelscope.cn"
READER, MS_READER = {"Authorization": "Bearer hf_reader"}, {"Authorization": "Bearer ms_reader"}
WEIGHTS = Synthetic(300_000, 90)
TINY = Name("huggingface", "models", "acme/tiny")
TOKEN, BEARER = json.dumps({"accessToken": "xet_z"}).encode(), {"Authorization": "Bearer xet_z"}
NATIVE = {"hubs__huggingface": {"xet": "native"}}


def origins(r: Rig) -> Origins:
    return r.parts.engine.origins


def judge(r: Rig, on: bool = True) -> Rig:
    """As if rules were in force."""
    object.__setattr__(r.parts.engine._means, "judging", lambda: on)
    return r


async def whose(
    r: Rig, url: str, headers: dict[str, str] | None = None, method: str = "GET"
) -> tuple[Subject, ...] | None:
    request = request_for(method, url, headers)
    return await origins(r).subjects(request, r.parts.engine._resource(request))


async def repos_of(r: Rig, url: str, headers: dict[str, str] | None = None) -> list[str]:
    return sorted(each.repo.id for each in await whose(r, url, headers) or ())


async def learned(r: Rig, got: Got) -> Got:
    """After what was overheard is known."""
    await origins(r).settle()
    await r.parts.engine._xet.identities.settle()
    return got


def named(id: str, type: str = "models", hub: str = "huggingface") -> Name:
    return Name(hub, type, id)


def closed(hub: TestHub, storage: str, id: str = "acme/shut") -> Repo:
    files, kept = {"w.bin": WEIGHTS}, {"w.bin": storage}
    return hub.add(Repo(id, files=files, storage=kept, gated="auto", readers={"hf_reader"}))  # type: ignore[arg-type]


def elsewhere(hub: TestHub, url: str, headers: dict[str, str] | None = None) -> str:
    """The link that one gets who does not ask through here."""
    return ask(hub, url, headers=headers or {}).headers["Location"]


# -- what was handed out here ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("storage", ["lfs", "xet"])
async def test_a_link_from_a_redirect_is_of_the_file_that_was_asked_for(
    hub: TestHub, start: Starter, storage: str
) -> None:
    r, repo = await start(), closed(hub, storage)
    got = await r.get(f"{H}/{repo.id}/resolve/main/w.bin", READER | LINK)
    link = got.header("Location") or ""
    assert urlsplit(link).hostname == ("us.aws.cdn.hf.co" if storage == "xet" else "cdn-lfs-us-1.hf.co")
    assert await whose(r, link) == (Subject(named(repo.id), "main", "w.bin"),)
    assert await whose(r, link.replace("FAKE", "FAKF")) == ()


async def test_the_links_of_a_git_lfs_batch_are_of_its_repo(hub: TestHub, start: Starter) -> None:
    r, repo = await start(), closed(hub, "lfs")
    oid, url = WEIGHTS.sha256, f"{H}/{repo.id}.git/info/lfs/objects/batch"
    body = json.dumps({"operation": "download", "objects": [{"oid": oid, "size": 1}]}).encode()
    told = json.loads((await r.get(url, READER, "POST", body)).body)
    link = told["objects"][0]["actions"]["download"]["href"]
    assert await whose(r, link) == (Subject(named(repo.id), digest=f"sha256:{oid}"),)
    told["objects"][0]["actions"]["download"] |= {
        "href": link.replace("FAKE", "FAKF"),
        "header": {"Authorization": "x", "X-Xet-Access-Token": "xet_b"},
    }
    hub.knob(path="*/batch", status=200, body=json.dumps(told))
    await r.get(url, READER, "POST", body)
    assert await repos_of(r, link.replace("FAKE", "FAKF")) == [repo.id], "though it is good for its holder alone"
    assert await repos_of(r, f"{CAS}/v2/reconstructions/{'e' * 64}", {"Authorization": "Bearer xet_b"}) == [repo.id]


@pytest.mark.parametrize("storage", ["lfs", "xet"])
async def test_the_link_that_ollama_is_sent_to_is_of_the_repo(hub: TestHub, start: Starter, storage: str) -> None:
    r, repo = await start(), closed(hub, storage)
    digest = f"sha256:{WEIGHTS.sha256}"
    got = await r.get(f"https://hf.co/v2/{repo.id}/blobs/{digest}", READER)
    assert got.status == 307
    assert await whose(r, got.header("Location") or "") == (Subject(named(repo.id), digest=digest),)


@pytest.mark.parametrize("version", ["/v2/reconstructions/", "/v1/reconstructions/"])
async def test_the_links_of_a_reconstruction_are_of_its_file(hub: TestHub, start: Starter, version: str) -> None:
    r = judge(await start(**NATIVE))
    client, file = XetClient(r, version=version), hub.repo("acme/tiny").file("model.safetensors")
    await learned(r, await client.head("model.safetensors"))
    told = await client.told(file.xet or "")
    of_file = Subject(TINY, hub.repo("acme/tiny").head, "model.safetensors", f"sha256:{file.sha256}")
    found = links(told)
    assert found
    for asked in found:
        assert await whose(r, asked.url) == (of_file,)
        assert await whose(r, asked.url.replace("FAKE", "FAKF")) == ()


async def test_a_link_for_several_ranges_is_of_the_file_as_well(hub: TestHub, start: Starter) -> None:
    r, xet = await start(**NATIVE), hub.repo("acme/tiny").file("model.safetensors").xet or ""
    told = await XetClient(r).told(xet)
    where = next(iter(told["xorbs"].values()))[0]
    url = f"{where['url'].partition('?')[0]}?X-Xet-Signed-Range=bytes%3D0-9%2C20-29&Signature=FAKE%22"
    where |= {"url": url, "ranges": [{"chunks": {"start": n, "end": n + 1}, "bytes": {}} for n in (0, 2)]}
    hub.knob(path="/v2/*", status=200, body=json.dumps(told).replace("/", "\\/"))
    for headers in ({}, {"Range": "bytes=0-5,9-10"}):  # read, and passed on unread
        await XetClient(r).tell(xet, headers.get("Range", "").removeprefix("bytes=") or None)
        assert await whose(r, url) == (Subject(TINY, "main", digest=f"xet:{xet}"),)
        origins(r)._known.link(url)


async def test_a_link_that_a_link_leads_to(hub: TestHub, start: Starter) -> None:
    r, repo = await start(), closed(hub, "lfs")
    link = (await r.get(f"{H}/{repo.id}/resolve/main/w.bin", READER | LINK)).header("Location") or ""
    beyond = f"https://cdn-lfs-eu-1.hf.co/x/{'f' * 64}?Signature=FAKE"
    others = [
        "https://elsewhere.example/x?a",
        "https://cdn-lfs-cn-1.modelscope.cn/x?a",
        f"{H}/x?a",
        "http://cdn.hf.co/x",
    ]
    for target in (beyond, *others, "https://[/", "https://cdn.hf.co:x/"):
        hub.knob(host="cdn-lfs-us-1*", status=302, headers={"Location": target})
        assert (await r.get(link, {"Cache-Control": "no-store"})).status == 302
    assert await whose(r, beyond) == (Subject(named(repo.id), "main", "w.bin"),)
    assert [origins(r)._known.of_link(url) for url in others] == [()] * 4


# -- tokens ----------------------------------------------------------------------------------------------------------


async def test_a_token_tells_the_repo_of_a_reconstruction(hub: TestHub, start: Starter) -> None:
    r, xet = await start(**NATIVE), hub.repo("acme/tiny").file("model.safetensors").xet or ""
    hub.knob(path="*/xet-read-token/*", drop_headers=("X-Xet-Access-Token",))
    url = f"{CAS}/v2/reconstructions/{xet}"
    token = json.loads((await r.get(f"{H}/api/models/acme/tiny/xet-read-token/main")).body)["accessToken"]
    assert await whose(r, url, {"Authorization": f"bearer {token}"}) == (Subject(TINY, "main", digest=f"xet:{xet}"),)
    assert await whose(r, f"{CAS}/get_xorb/default/x", {"Authorization": f"Bearer {token}"}) == (Subject(TINY, "main"),)
    for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": f"Basic {token}"}):
        assert await whose(r, url, headers) == await whose(r, f"{CAS}/get_xorb/default/x", headers) == ()


@pytest.mark.parametrize("told", ["field", "whole", "chunked"])
async def test_a_token_is_found_where_it_stands(hub: TestHub, start: Starter, told: str) -> None:
    r, body = await start(), json.dumps({"accessToken": "xet_z"}) if told != "field" else "{}"
    field = {"X-Xet-Access-Token": "xet_z"} if told == "field" else {}
    hub.knob(path="*/xet-read-token/*", status=200, body=body, headers=field, chunked=told == "chunked")
    got = await r.get(f"{H}/api/datasets/acme/tiny-ds/xet-read-token/dev")
    assert got.body == body.encode() and (got.header("Content-Length") is None) == (told == "chunked")
    found = await whose(r, f"{CAS}/v2/reconstructions/{'e' * 64}", {"Authorization": "Bearer xet_z"})
    assert found == (Subject(named("acme/tiny-ds", "datasets"), "dev", digest=f"xet:{'e' * 64}"),)


@pytest.mark.parametrize(
    ("coding", "body"),
    [("gzip", gzip.compress(TOKEN, mtime=0)), ("deflate", zlib.compress(TOKEN)), ("identity", TOKEN), (None, TOKEN)],
)
async def test_a_token_may_come_in_a_coding(hub: TestHub, start: Starter, coding: str | None, body: bytes) -> None:
    r, request = await start(), request_for("GET", f"{H}/api/models/acme/tiny/xet-read-token/main")
    headers = Headers([("Content-Encoding", coding)] if coding else [])
    resource = r.parts.engine._resource(request)
    for broken in (body[:15], gzip.compress(b" " * 1_000_000 + TOKEN)):
        assert origins(r).overhear(request, resource, Reply(200, headers, broken)).body == broken
    assert await whose(r, f"{CAS}/v2/reconstructions/{'e' * 64}", BEARER) == ()
    assert (await drained(origins(r).overhear(request, resource, Reply(200, headers, BytesBody(body))))).body == body
    assert await repos_of(r, f"{CAS}/v2/reconstructions/{'e' * 64}", BEARER) == ["acme/tiny"]


async def test_a_token_is_believed_of_the_hub_alone(hub: TestHub, start: Starter) -> None:
    """A file may hold whatever its owner likes, and lie wherever he likes in his repo."""
    paths = ["xet-read-token/main", "api/models/acme/tiny/xet-read-token/main"]
    body = json.dumps({"accessToken": "xet_forged"})
    hub.add(Repo("acme/evil", files=dict.fromkeys(paths, body)))
    r = judge(await start())
    for path in paths:
        for verb in ("resolve", "raw"):
            assert (await r.get(f"{H}/acme/evil/{verb}/main/{path}")).body == body.encode()
    bucket = hub.knob(path="/buckets/*", status=200, body=body)
    assert (await r.get(f"{H}/buckets/acme/bucket/resolve/{paths[0]}")).body == body.encode()
    hub.unknob(bucket)
    for wrong in ("x" * 70_000, "[1]", "{", json.dumps({"accessToken": 5}), "[" * 50_000):
        hub.knob(path="*/xet-read-token/*", status=200, body=wrong)
        assert (await r.get(f"{H}/api/models/acme/tiny/xet-read-token/main")).body == wrong.encode()
    assert await whose(r, f"{CAS}/v2/reconstructions/{'e' * 64}", {"Authorization": "Bearer xet_forged"}) == ()


# -- hashes ----------------------------------------------------------------------------------------------------------


def strange(hub: TestHub) -> dict[str, str]:
    """Links that others were given: one to the LFS file of acme/tiny, one to its Xet file, one of ModelScope."""
    return {
        "old.bin": elsewhere(hub, f"{H}/acme/tiny/resolve/main/old.bin"),
        "model.safetensors": elsewhere(hub, f"{H}/acme/tiny/resolve/main/model.safetensors"),
        "ms": elsewhere(hub, f"{MS}/models/acme/tiny/resolve/master/old.bin"),
    }


async def test_a_link_that_nobody_here_was_given_is_of_unknown_origin(hub: TestHub, start: Starter) -> None:
    r = judge(await start())
    given = (await XetClient(r).tell("e" * 64)).status
    assert given == 404
    for link in strange(hub).values():
        assert await whose(r, link) == await whose(r, link.partition("?")[0]) == ()
    for url in (
        f"https://transfer.xethub.hf.co/xorbs/default/{'e' * 64}?X-Xet-Signed-Range=bytes%3D0-9&Signature=a",
        f"https://transfer.xethub.hf.co/xorbs/default/{'e' * 64}?X-Xet-Signed-Range=bytes%3D0-9%2C20-29&Signature=a",
        "https://cdn-lfs.hf.co/of/another/shape?Signature=a",
        f"{CAS}/reconstructions/{'e' * 64}",
    ):
        assert await whose(r, url) == ()


@pytest.mark.parametrize("asked", ["/tree/main?recursive=true", "?blobs=true", "/paths-info/main", "/resolve/main/"])
async def test_what_the_hub_lists_places_a_link(hub: TestHub, start: Starter, asked: str) -> None:
    hub.knob(page_size=100)
    r, tiny = judge(await start(**NATIVE)), hub.repo("acme/tiny")
    paths = ["old.bin", "model.safetensors"]
    if asked.startswith("/resolve"):
        for path in paths:
            await learned(r, await r.head(f"{H}/acme/tiny{asked}{path}"))
    elif asked.startswith("/paths-info"):
        form = {"Content-Type": "application/json"}
        body = json.dumps({"paths": paths}).encode()
        hub.knob(path="*/paths-info/*", status=200, body=json.dumps([_entry(tiny, path) for path in paths]))
        await learned(r, await r.get(f"{H}/api/models/acme/tiny{asked}", form, "POST", body))
    else:
        await learned(r, await r.get(f"{H}/api/models/acme/tiny{asked}"))
    await r.parts.engine._xet.identities.settle()
    found = {path: await whose(r, strange(hub)[path]) for path in paths}
    by_paths = asked.startswith("/paths")
    rev, digest = ("main", "") if by_paths else (tiny.head, f"sha256:{tiny.file(paths[1]).sha256}")
    by_id = (Subject(TINY, digest=f"xet:{tiny.file(paths[1]).xet}"),)  # info names no Xet hash, but the repo's id
    xet = by_id if asked.startswith("?") else (Subject(TINY, rev, paths[1], digest),)
    assert found == {paths[0]: (Subject(TINY, rev, paths[0]),), paths[1]: xet}


def _entry(repo: Repo, path: str) -> dict[str, object]:
    file = repo.file(path)
    return {"type": "file", "path": path, "lfs": {"oid": file.sha256}} | ({"xetHash": file.xet} if file.xet else {})


async def test_of_listings_that_wait_to_be_learned_only_so_much_is_held(
    hub: TestHub, start: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.knob(page_size=100)
    r, link = judge(await start()), strange(hub)["old.bin"]
    url = f"{H}/api/models/acme/tiny/tree/main?recursive=true"
    monkeypatch.setattr(overhearing, "HELD", 100)
    size = len((await learned(r, await r.get(url))).body)
    assert size > 100 and await repos_of(r, link) == []
    monkeypatch.setattr(overhearing, "HELD", size)
    for _ in range(2):  # what was learned is not held any more
        await learned(r, await r.get(url))
        assert await repos_of(r, link) == ["acme/tiny"]
        assert origins(r)._overhearing._held == 0


@pytest.mark.parametrize("type", ["models", "datasets"])
async def test_what_modelscope_lists_places_a_link(hub: TestHub, start: Starter, type: str) -> None:
    files = {"w.bin": WEIGHTS, "small.txt": "x"}
    kind = type.removesuffix("s")
    hub.add(Repo("acme/x", kind, files=files, storage={"w.bin": "lfs"}, hub="modelscope"))  # type: ignore[arg-type]
    link = elsewhere(hub, f"{MS}/{type}/acme/x/resolve/master/w.bin")
    r, tail = judge(await start()), "files" if type == "models" else "tree"
    await learned(r, await r.get(f"{MS}/api/v1/{type}/acme/x/repo/{tail}?Revision=master&Recursive=True"))
    assert await whose(r, link) == (Subject(named("acme/x", type, "modelscope"), "master", "w.bin"),)
    keys = [key for key, _ in await r.parts.store.responses.listing("origin:")]
    assert keys == [f"origin:sha256:{WEIGHTS.sha256}"], "a small file is had from the hub itself, by its name"


async def test_a_layer_that_was_fetched_places_a_link(hub: TestHub, start: Starter) -> None:
    hub.add(Repo("acme/q-GGUF", files={"q.gguf": WEIGHTS}, storage={"q.gguf": "lfs"}))
    r, digest = await start(), f"sha256:{WEIGHTS.sha256}"
    assert (await r.get(f"https://hf.co/v2/acme/q-GGUF/blobs/{digest}?hubgate=bytes")).status == 200
    await r.idle()
    link = elsewhere(hub, f"{H}/acme/q-GGUF/resolve/main/q.gguf")
    assert await whose(r, link) == (Subject(named("acme/q-GGUF"), digest=digest),)


async def test_in_bridge_mode_a_listing_tells_no_xet_hash_and_still_the_rest(hub: TestHub, start: Starter) -> None:
    hub.knob(page_size=100)
    r = judge(await start(hubs__huggingface={"xet": "bridge"}))
    got = await learned(r, await r.get(f"{H}/api/models/acme/tiny/tree/main?recursive=true"))
    assert b"xetHash" not in got.body
    digest = f"sha256:{hub.repo('acme/tiny').file('model.safetensors').sha256}"
    assert [each.path for each in await origins(r)._known.find(digest)] == ["model.safetensors"]


async def test_a_bridge_link_is_of_its_hash_and_of_the_repo_it_names(hub: TestHub, start: Starter) -> None:
    other = closed(hub, "xet", "acme/other")
    link = elsewhere(hub, f"{H}/{other.id}/resolve/main/w.bin", READER | LINK)
    r, xet = judge(await start(**NATIVE)), other.file("w.bin").xet
    await learned(r, await r.get(f"{H}/api/models/acme/other"))
    assert await whose(r, link) == (Subject(named(other.id), digest=f"xet:{xet}"),)
    twin = hub.add(Repo("acme/twin", files={"t.bin": WEIGHTS}, storage={"t.bin": "xet"}))
    await learned(r, await r.head(f"{H}/{twin.id}/resolve/main/t.bin"))
    assert await repos_of(r, link) == [other.id, twin.id], "whose URL it is says only who wrote it"


async def test_what_was_fetched_without_rules_is_found_by_the_store(hub: TestHub, start: Starter) -> None:
    r, link = await start(**NATIVE), strange(hub)
    head = hub.repo("acme/tiny").head
    assert await whose(r, link["old.bin"]) == await whose(r, link["model.safetensors"]) == ()
    for path in ("old.bin", "model.safetensors"):
        await r.get(f"{H}/acme/tiny/resolve/main/{path}")
        await r.idle()
    assert not [key for key, _ in await r.parts.store.responses.listing("origin:")]
    assert await whose(r, link["old.bin"]) == await whose(r, link["ms"]) == (Subject(TINY, head, "old.bin"),)
    about = (Subject(TINY, head, "model.safetensors"),)
    assert await whose(r, link["model.safetensors"]) == about
    assert await whose(r, f"{CAS}/v2/reconstructions/{hub.repo('acme/tiny').file('model.safetensors').xet}") == about


async def test_what_was_only_named_is_found_by_the_places_of_its_digest(hub: TestHub, start: Starter) -> None:
    r, link = await start(), strange(hub)
    await r.head(f"{H}/acme/tiny/resolve/main/old.bin")
    assert not [blob async for blob in r.kept()]
    assert await whose(r, link["old.bin"]) == (Subject(TINY, hub.repo("acme/tiny").head, "old.bin"),)


async def test_two_repos_with_the_same_bytes_are_both_meant_unless_one_was_asked(hub: TestHub, start: Starter) -> None:
    ids = ["acme/one", "acme/two"]
    for id in ids:
        hub.add(Repo(id, files={f"{id[-3:]}.bin": WEIGHTS}, storage={f"{id[-3:]}.bin": "xet"}))
    r = judge(await start(**NATIVE))
    for id in ids:
        await learned(r, await r.head(f"{H}/{id}/resolve/main/{id[-3:]}.bin"))
    xet = hub.repo("acme/one").file("one.bin").xet or ""
    digest = f"https://cdn-lfs.hf.co/repos/a/b/{'c' * 64}/{WEIGHTS.sha256}"
    for url in (digest, f"{CAS}/v2/reconstructions/{xet}"):
        assert await repos_of(r, url) == ids
    for id in ids:
        told = await XetClient(r, id).told(xet)
        assert [await repos_of(r, asked.url) for asked in links(told)] == [[id]] * len(links(told))
    await r.get(f"{H}/api/models/acme/tiny/xet-read-token/main")
    token = json.loads((await r.get(f"{H}/api/models/acme/tiny/xet-read-token/main")).body)["accessToken"]
    mixed = await repos_of(r, f"{CAS}/v2/reconstructions/{xet}", {"Authorization": f"Bearer {token}"})
    assert mixed == ["acme/tiny"], "that it is in there the listing has to tell: see test_policy_hostile.py"


async def test_what_an_owner_writes_claims_nothing_and_what_he_uploads_takes_nothing_away(
    hub: TestHub, start: Starter
) -> None:
    oid = hub.repo("acme/tiny").file("old.bin").sha256
    forged = {"siblings": [{"rfilename": "x", "lfs": {"sha256": oid}}], "_id": hub.repo("acme/tiny").object_id}
    hub.add(Repo("acme/evil", files={"a.txt": "a"}, info={"cardData": forged, "config": forged}))
    link, r = strange(hub)["old.bin"], judge(await start())
    await learned(r, await r.get(f"{H}/api/models/acme/evil?blobs=true"))
    assert await whose(r, link) == ()
    await learned(r, await r.head(f"{H}/acme/tiny/resolve/main/old.bin"))
    for n in range(9):
        hub.add(Repo(f"evil/{n}", files={"a.txt": "a"}))
        listed = [{"path": f"{m}.bin", "lfs": {"oid": oid}} for m in range(9)]
        hub.knob(path=f"*/evil/{n}/tree/*", status=200, body=json.dumps(listed))
        await learned(r, await r.get(f"{H}/api/models/evil/{n}/tree/main"))
    found = await whose(r, link) or ()
    assert Subject(TINY, hub.repo("acme/tiny").head, "old.bin") in found
    assert len({each.repo for each in found}) == len(found) == 4


@pytest.mark.parametrize("body", ["[" * 100_000, "no JSON", '{"siblings": 5}', '[{"path": 5}, 7, {"lfs": 1}]', "[]"])
async def test_a_listing_that_is_none_teaches_nothing(hub: TestHub, start: Starter, body: str) -> None:
    r = judge(await start())
    for path, base in (("*/tree/*", f"{H}/api/models/acme/tiny/tree/main"), ("*/repo/files", f"{MS}/api/v1/models")):
        hub.knob(path=path, status=200, body=body)
        url = base if base.startswith(H) else f"{base}/acme/tiny/repo/files?Revision=master"
        await learned(r, await r.get(url))
    assert not [key for key, _ in await r.parts.store.responses.listing("origin:")]


# -- a repo by its number --------------------------------------------------------------------------------------------


@pytest.fixture
def secret(hub: TestHub) -> Repo:
    files: dict[str, object] = {"w.bin": WEIGHTS}
    shut = Repo(
        "acme/own-ds",
        "dataset",
        files=files,  # type: ignore[arg-type]
        storage={"w.bin": "lfs"},
        hub="modelscope",
        private=True,
        readers={"ms_reader"},
    )
    return hub.add(shut)


async def test_a_dataset_by_its_number_is_the_one_that_the_hub_says(hub: TestHub, start: Starter, secret: Repo) -> None:
    r, name = judge(await start()), named("acme/own-ds", "datasets", "modelscope")
    url = f"{MS}/api/v1/datasets/{number(secret)}/repo?Revision=master&FilePath=w.bin"
    request = request_for("GET", url)
    with pytest.raises(LookupError):
        origins(r).seen(request, r.parts.engine._resource(request))
    assert await whose(r, url) == () == await whose(r, url, {"Authorization": "Bearer ms_other"})
    hub.clear()
    for _ in range(2):
        assert await whose(r, url, MS_READER) == (Subject(name, "master", "w.bin"),)
    (asked,) = hub.requests()
    assert asked.host == "www.modelscope.cn" and asked.headers["authorization"] == MS_READER["Authorization"]
    assert origins(r).seen(request, r.parts.engine._resource(request)) == (Subject(name, "master", "w.bin"),)
    link = (await r.get(url, MS_READER | LINK)).header("Location") or ""
    assert await whose(r, link) == (Subject(name, "master", "w.bin"),)
    hub.stop()
    assert await whose(r, f"{MS}/api/v1/datasets/99/repo/tree") == ()


async def test_a_link_that_was_handed_out_for_a_number_gets_its_name_later(
    hub: TestHub, start: Starter, secret: Repo
) -> None:
    r = await start()
    url = f"{MS}/api/v1/datasets/{number(secret)}/repo?Revision=master&FilePath=w.bin"
    link = (await r.get(url, MS_READER | LINK)).header("Location") or ""
    assert await whose(r, link) == ()
    judge(r)
    await learned(r, await r.get(f"{MS}/api/v1/datasets/acme/own-ds", MS_READER))
    assert await repos_of(r, link) == ["acme/own-ds"]


@pytest.mark.parametrize(
    "data",
    [5, {"Path": "a/b", "Name": "c"}, {"Path": "..", "Name": "c"}, {"Path": "a", "Name": "x\n"}, {"Name": "c"}, {}],
)
async def test_what_is_no_name_is_not_believed(hub: TestHub, start: Starter, data: object) -> None:
    r = judge(await start())
    hub.knob(path="/api/v1/datasets/77", status=200, body=json.dumps({"Code": 200, "Data": data, "Success": True}))
    assert await whose(r, f"{MS}/api/v1/datasets/77/repo/tree") == ()


# -- the rest --------------------------------------------------------------------------------------------------------

OF_NO_REPO: Sequence[str] = (
    f"{H}/api/whoami-v2",
    f"{H}/api/models?search=tiny",
    f"{H}/api/telemetry/x",
    "https://plain.example/acme/tiny/resolve/main/x",
    f"{MS}/api/v1/users/me",
    f"{MS}/api/v1/repos/internalAccelerationInfo",
    "https://cdn-avatars.huggingface.co/v1/x.png",
    f"{H}/a//b",
)


@pytest.mark.parametrize("url", OF_NO_REPO)
async def test_what_is_about_no_repo(hub: TestHub, start: Starter, url: str) -> None:
    r, request = await start(), request_for("GET", url)
    assert origins(r).seen(request, r.parts.engine._resource(request)) is None is await whose(r, url)


async def test_most_urls_say_themselves_what_they_are_about(hub: TestHub, start: Starter) -> None:
    r, request = await start(), request_for("GET", f"{H}/acme/tiny/resolve/main/sub/dir/x.bin")
    about = (Subject(TINY, "main", "sub/dir/x.bin"),)
    assert origins(r).seen(request, r.parts.engine._resource(request)) == about == await whose(r, request.url)


async def test_after_a_restart_what_was_listed_is_known_and_what_was_handed_out_is_not(
    hub: TestHub, start: Starter, tmp_path: Path
) -> None:
    repo = closed(hub, "lfs")
    r = judge(await start(**NATIVE))
    got = await learned(r, await r.get(f"{H}/{repo.id}/resolve/main/w.bin", READER | LINK))
    link = got.header("Location") or ""
    client, xet = XetClient(r), hub.repo("acme/tiny").file("model.safetensors").xet or ""
    await learned(r, await client.head("model.safetensors"))
    asked = links(await client.told(xet))[0]
    await r.close()
    r = judge(await start(**NATIVE))
    assert await whose(r, link) == (Subject(named(repo.id), repo.head, "w.bin"),)
    about = (Subject(TINY, hub.repo("acme/tiny").head, "model.safetensors"),)
    assert await whose(r, f"{CAS}/v2/reconstructions/{xet}", {"Authorization": "Bearer lost"}) == about
    assert await whose(r, asked.url) == ()
    assert await whose(judge(await start(dir="other")), link) == ()


async def test_no_token_and_no_signature_is_on_disk(hub: TestHub, start: Starter, tmp_path: Path) -> None:
    canary = "c4n4ryc4n4ry"
    repo = closed(hub, "lfs")
    hub.tokens[canary] = "canary"
    repo.admitted = frozenset({canary})
    own = {"Authorization": f"Bearer {canary}"}
    r = judge(await start(**NATIVE))
    token = json.dumps({"accessToken": f"xet_{canary}"})
    hub.knob(path="*/xet-read-token/*", status=200, body=token, headers={"X-Xet-Access-Token": f"xet_{canary}"})
    await r.get(f"{H}/api/models/{repo.id}/xet-read-token/main", own)
    signed = f"https://cdn-lfs-us-1.hf.co/repos/{repo.lfs_prefix}/{WEIGHTS.sha256}?Signature={canary}"
    linked = {"Location": signed, "X-Linked-ETag": f'"{WEIGHTS.sha256}"', "X-Repo-Commit": repo.head}
    hub.knob(path=f"/{repo.id}/resolve/*", status=302, headers=linked)
    assert (await learned(r, await r.get(f"{H}/{repo.id}/resolve/main/w.bin", own | LINK))).status == 302
    assert await repos_of(r, signed) == [repo.id]
    assert await repos_of(r, f"{CAS}/v2/reconstructions/{'e' * 64}", {"Authorization": f"Bearer xet_{canary}"})
    keys = [key for key, _ in await r.parts.store.responses.listing("origin:")]
    assert keys == [f"origin:sha256:{WEIGHTS.sha256}"]
    await r.close()
    assert CANARIES.below(tmp_path) == {}
