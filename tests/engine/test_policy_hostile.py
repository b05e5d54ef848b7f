"""Who wants what the rules deny: spellings, revisions, links and hashes that say less than they mean."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from proxy_addon.core.messages import Reply
from proxy_addon.hub.resources import Repo as Named
from proxy_addon.hub.resources import Subject
from proxy_addon.prefetch import State
from tests.conftest import Ruled
from tests.engine.rig import LINK, Clock, Got, request_for
from tests.engine.test_enforcement import LFS, NONCOMMERCIAL, READER, H, answered, batch, is_denied
from tests.hub import Repo, Synthetic, TestHub
from tests.prefetch.test_prefetch import Work

NC = "---\nlicense: cc-by-nc-4.0\n---\n"
MIT = "---\nlicense: mit\n---\n"
NO_BIN = "version: 1\nrules:\n  - {id: no-bin, effect: deny, match: {path: ['**/*.bin']}}\n"
NO_TINY = "version: 1\nrules:\n  - {id: no-tiny, effect: deny, match: {repo: acme/tiny}}\n"

NATIVE = {"xet": "native"}

# -- reads that look like writes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/acme/nc.git/git-upload-pack?service=git-receive-pack"),
        ("GET", "/acme/nc.git/info/refs?service=git-upload-pack&service=git-receive-pack"),
        ("GET", "/acme/nc.git/info/refs?service=git-receive-pack&service=git-upload-pack"),
        ("GET", "/acme/nc.git/info/refs?service=git-upload-pack&SERVICE=git-receive-pack"),
        ("GET", "/acme/nc.git/info/lfs/objects/x?service=git-receive-pack"),
    ],
)
async def test_no_query_makes_a_read_a_write(hub: TestHub, ruled: Ruled, method: str, path: str) -> None:
    r = await ruled(NONCOMMERCIAL)
    got = await answered(r, method, H + path, body=b"0000" if method == "POST" else b"")
    assert isinstance(got, Got) and got.status in (400, 403)


# -- whose word a revision is -----------------------------------------------------------------------------------------


async def test_a_pull_request_is_nobody_s_licence(hub: TestHub, ruled: Ruled, clock: Clock) -> None:
    repo = hub.add(Repo("acme/pulled", files={"README.md": NC, "a.txt": "weights"}))
    main = repo.head
    first = repo.commit({"README.md": MIT}, branch="stranger")
    last = repo.commit({"b.txt": "more"}, branch="stranger")
    repo.refs["refs/pr/1"] = repo.refs.pop("refs/heads/stranger")
    assert main == repo.head
    r = await ruled(NONCOMMERCIAL)
    for rev in ("refs%2Fpr%2F1", "refs/pr/1", first, last) * 2:
        assert is_denied(await answered(r, "GET", f"{H}/acme/pulled/resolve/{rev}/a.txt"), "lic-nc"), rev
        clock.leap(310)
    for path in ("/api/models/acme/pulled/revision/refs%2Fpr%2F1", f"/api/models/acme/pulled/revision/{first}"):
        assert is_denied(await answered(r, "GET", H + path), "lic-nc"), path


async def test_a_pull_request_takes_no_fact_away(hub: TestHub, ruled: Ruled) -> None:
    files = {"w.bin": Synthetic(5000, 61), "w.safetensors": Synthetic(5000, 62)}
    repo = hub.add(Repo("acme/twins", files=files, storage={"w.bin": "lfs", "w.safetensors": "lfs"}))
    repo.refs["refs/pr/1"] = repo.commit({"w.safetensors": None}, branch="stranger")
    del repo.refs["refs/heads/stranger"]
    before = await ruled("version: 1\n")
    for rev in ("refs%2Fpr%2F1", repo.refs["refs/pr/1"]):
        assert (await before.get(f"{H}/acme/twins/resolve/{rev}/w.bin")).status == 200
    await before.idle()
    await before.close()
    r = await ruled(NO_BIN.replace("}}", ", has_safetensors_twin: true}}"))
    for rev in ("main", "refs%2Fpr%2F1", repo.refs["refs/pr/1"]) * 2:
        assert is_denied(await answered(r, "GET", f"{H}/acme/twins/resolve/{rev}/w.bin"), "no-bin"), rev
    repo.refs["refs/heads/without"] = repo.refs["refs/pr/1"]
    fresh = await ruled(NO_BIN.replace("}}", ", has_safetensors_twin: true}}"), dir="fresh")
    got = await answered(fresh, "GET", f"{H}/acme/twins/resolve/{repo.refs['refs/pr/1']}/w.bin")
    assert isinstance(got, Got) and got.status == 200, "a branch is the owner's word"


async def test_a_branch_may_be_called_like_a_commit(hub: TestHub, ruled: Ruled) -> None:
    repo = hub.add(Repo("acme/posing", files={"README.md": MIT, "a.txt": "one"}))
    name = "ab" * 20
    repo.refs[f"refs/heads/{name}"] = repo.head
    r = await ruled(NONCOMMERCIAL)
    url = f"{H}/acme/posing/resolve/{name}"
    assert (await r.get(f"{url}/a.txt")).body == b"one"
    repo.commit({"README.md": NC, "b.txt": "two"})
    repo.refs[f"refs/heads/{name}"] = repo.head
    assert is_denied(await answered(r, "GET", f"{url}/b.txt"), "lic-nc")


async def test_a_page_of_a_repo_is_judged_whatever_it_calls_its_revision(hub: TestHub, ruled: Ruled) -> None:
    r = await ruled(NONCOMMERCIAL)
    for path in ("/acme/nc/blob/main%2FREADME.md", "/acme/nc/tree/nowhere", "/acme/nc/commit/nowhere"):
        assert is_denied(await answered(r, "GET", H + path), "lic-nc"), path


# -- digests ---------------------------------------------------------------------------------------------------------


async def test_a_file_of_the_past_is_no_file_without_a_path(hub: TestHub, ruled: Ruled) -> None:
    repo = hub.add(Repo("acme/past", files={"w.bin": Synthetic(5000, 21), "a.txt": "a"}, storage={"w.bin": "lfs"}))
    oid = repo.file("w.bin").sha256 or ""
    repo.commit({"w.bin": None})
    asked = ("POST", f"{H}/acme/past.git/info/lfs/objects/batch", LFS, batch(oid))
    open, r = await ruled("version: 1\n", dir="open"), await ruled(NO_BIN)
    told = json.loads((await open.get(asked[1], LFS, "POST", asked[3])).body)["objects"][0]
    link = told["actions"]["download"]["href"]
    here = await answered(r, *asked)
    assert isinstance(here, Got) and "actions" not in json.loads(here.body)["objects"][0]
    of = Named("huggingface", "models", "acme/past")
    r.parts.engine.origins._known.link(link, Subject(of, digest=f"sha256:{oid}"))
    assert is_denied(await answered(r, "GET", link), "unknown-origin")


@pytest.mark.parametrize("heard", ["nothing", "its digest", "whose it is"])
async def test_a_token_of_one_repo_opens_no_file_of_another(hub: TestHub, ruled: Ruled, heard: str) -> None:
    files = {"README.md": NC, "m.bin": Synthetic(70000, 22)}
    file = hub.add(Repo("acme/shut-xet", files=files, storage={"m.bin": "xet"})).file("m.bin").xet
    if heard != "nothing":
        before = await ruled("version: 1\n" if heard == "its digest" else NO_TINY, hubs__huggingface=NATIVE)
        assert (await before.head(f"{H}/acme/shut-xet/resolve/main/m.bin")).status == 200
        await before.close()
    r = await ruled(NONCOMMERCIAL, hubs__huggingface=NATIVE)
    told = json.loads((await r.get(f"{H}/api/models/acme/tiny/xet-read-token/main")).body)
    hub.clear()
    for path in (f"/v1/reconstructions/{file}", f"/v2/reconstructions/{file}", f"/reconstructions?file_id={file}"):
        got = await answered(r, "GET", told["casUrl"] + path, {"Authorization": f"Bearer {told['accessToken']}"})
        assert isinstance(got, Got) and got.header("X-Policy-Rule") is not None, path


# -- names -----------------------------------------------------------------------------------------------------------


async def test_a_registry_does_not_follow_an_old_name(hub: TestHub, ruled: Ruled) -> None:
    repo = hub.repo("acme/tiny")
    digest = repo.file("old.bin").sha256
    r = await ruled(NO_TINY)
    for mark in ("", "?hubgate=bytes"):
        for method in ("GET", "HEAD"):
            got = await answered(r, method, f"{H}/v2/acme/old-name/blobs/sha256:{digest}{mark}")
            assert isinstance(got, Got) and got.status != 200, (method, mark, got.status)


async def test_an_old_name_is_judged_to_the_end_also_for_git(hub: TestHub, ruled: Ruled) -> None:
    """By the hub's own name another fact is asked for; nothing is let pass while that is not known."""
    hub.repo("acme/tiny").tag("v9")
    rules = f"{NONCOMMERCIAL}  - {{id: no-tags, effect: deny, match: {{repo: acme/tiny, repo_size: '>1KB'}}}}\n"
    r = await ruled(rules)
    for _ in range(3):
        got = await answered(r, "GET", f"{H}/acme/old-name.git/info/refs?service=git-upload-pack")
        assert is_denied(got, "no-tags")
        assert is_denied(await answered(r, "GET", f"{H}/api/models/acme/old-name"), "no-tags")
        got = await answered(r, "POST", f"{H}/acme/old-name.git/git-upload-pack", body=b"0000")
        assert is_denied(got, "no-tags")


# -- while it is answered ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", ["version: 1\n", NO_BIN, NONCOMMERCIAL])
async def test_rules_that_came_while_the_hub_was_asked_hold(
    hub: TestHub, ruled: Ruled, tmp_path: Path, before: str
) -> None:
    r = await ruled(before)
    hub.knob(path="*/resolve/*", hold="head", hold_at=-1)
    asked = asyncio.create_task(answered(r, "GET", f"{H}/acme/tiny/resolve/main/config.json"))
    await asyncio.to_thread(hub.wait, 1, path="*/resolve/*")
    (tmp_path / "rules-0.yaml").write_text(NO_TINY)
    await asyncio.to_thread(r.parts.rulebook.open)
    hub.release("head")
    assert is_denied(await asked, "no-tiny")


async def test_rules_that_came_while_facts_were_asked_hold_for_git_too(
    hub: TestHub, ruled: Ruled, tmp_path: Path
) -> None:
    r = await ruled("version: 1\nrules:\n  - {id: nc, effect: deny, match: {license: {commercial_use: 'no'}}}\n")
    hub.knob(path="/api/models/*", hold="facts", hold_at=-1)
    asked = asyncio.create_task(answered(r, "GET", f"{H}/acme/tiny.git/info/refs?service=git-upload-pack"))
    await asyncio.to_thread(hub.wait, 1, path="/api/models/*")
    (tmp_path / "rules-0.yaml").write_text(NO_TINY)
    await asyncio.to_thread(r.parts.rulebook.open)
    hub.release("facts")
    assert is_denied(await asked, "no-tiny")


# -- what a denial tells ----------------------------------------------------------------------------------------------

ASKED = [{}, {"Range": "bytes=0-3"}, {"If-None-Match": "*"}, {"If-Modified-Since": "Fri, 01 Jan 2038 00:00:00 GMT"}]
ASKED += [{"If-Match": '"x"'}, {"Cache-Control": "only-if-cached"}, {"Cache-Control": "no-store"}]
ASKED += [{"Accept": "application/vnd.xet-fileinfo+json"}, {"X-HTTP-Method-Override": "HEAD"}]
TELLING = ("ETag", "X-Linked-ETag", "X-Linked-Size", "X-Repo-Commit", "X-Xet-Hash", "Link", "Location", "Last-Modified")


@pytest.mark.parametrize("headers", ASKED, ids=str)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_denial_tells_nothing_of_the_file(
    hub: TestHub, ruled: Ruled, method: str, headers: dict[str, str]
) -> None:
    repo = hub.repo("acme/nc")
    tag = {"If-None-Match": f'"{repo.file("config.json").digest}"'} if headers.get("If-None-Match") else {}
    open = await ruled("version: 1\n", dir="cache")
    urls = [f"{H}/acme/nc/resolve/{rev}/config.json" for rev in ("main", repo.head)]
    for url in (*urls, f"{H}/api/models/acme/nc", f"{H}/acme/nc/raw/main/README.md"):
        assert (await open.get(url)).status == 200
    await open.close()
    r = await ruled(NONCOMMERCIAL)
    for url in (*urls, f"{H}/api/models/acme/nc", f"{H}/acme/nc/raw/main/README.md"):
        for _ in range(2):
            got = await answered(r, method, url, {**headers, **tag})
            assert is_denied(got, "lic-nc") and isinstance(got, Got)
            assert [name for name in TELLING if got.header(name)] == []
            assert got.header("Cache-Control") == "no-store"


async def test_a_denied_client_in_a_loop_is_no_load_for_the_hub(hub: TestHub, ruled: Ruled) -> None:
    repo = hub.repo("acme/nc")
    r = await ruled(NONCOMMERCIAL)
    paths = ["/acme/nc/resolve/main/config.json", "/api/models/acme/nc", f"/acme/nc/resolve/{repo.head}/config.json"]
    paths += ["/acme/nc/resolve/refs%2Fpr%2F1/x", "/acme/nc.git/info/refs?service=git-upload-pack"]
    repo.refs["refs/pr/1"] = repo.head
    for path in paths:
        await answered(r, "GET", H + path)
    hub.clear()
    for n in range(50):
        for path in paths:
            assert is_denied(await answered(r, "GET", f"{H}{path}{'' if '?' in path else f'?n={n}'}"), "lic-nc")
    assert not hub.requests()


async def test_many_names_take_no_room(hub: TestHub, ruled: Ruled) -> None:
    r = await ruled(NONCOMMERCIAL)
    hub.knob(path="/api/models/*", status=200, body=json.dumps({"id": "a/b", "sha": "ab" * 20, "gated": False}))
    hub.knob(path="*/raw/*", status=404)
    for n in range(300):
        await answered(r, "GET", f"{H}/acme/m{n}/resolve/main/config.json")
    memory = r.parts.engine.facts._memory
    assert memory.weight <= 32 * 1024 * 1024


# -- who is told what --------------------------------------------------------------------------------------------------


async def test_what_a_reader_was_told_helps_nobody_else(hub: TestHub, ruled: Ruled) -> None:
    r = await ruled(NONCOMMERCIAL)
    url = f"{H}/acme/private/resolve/main/README.md"
    for _ in range(2):
        got = await answered(r, "GET", url, READER)
        assert isinstance(got, Got) and got.status < 400
    for headers in ({}, {"Authorization": "Bearer hf_other"}, {"Authorization": "Bearer xet"}, {"Cookie": "token=x"}):
        for method in ("GET", "HEAD"):
            refused = await answered(r, method, url, headers)
            assert isinstance(refused, Got) and refused.status in (401, 403, 404), (headers, refused.status)
            assert b"private" not in refused.body and refused.header("X-Policy-Rule") is None
        assert r.parts.engine.quick(request_for("GET", url, headers)) is None


async def test_a_conversion_has_the_licence_of_what_was_converted(hub: TestHub, ruled: Ruled) -> None:
    for id, card in (("acme/open-ds", MIT), ("acme/shut-ds", NC)):
        repo = hub.add(Repo(id, "dataset", files={"README.md": card, "a.csv": "a"}))
        repo.commit({"README.md": None, "a.csv": None, "default/train/0.parquet": "p"}, branch="made")
        repo.refs["refs/convert/parquet"] = repo.refs.pop("refs/heads/made")
    r = await ruled(NONCOMMERCIAL)
    for id, status in (("acme/open-ds", 200), ("acme/shut-ds", 403)):
        url = f"{H}/datasets/{id}/resolve/refs%2Fconvert%2Fparquet/default/train/0.parquet"
        for _ in range(2):
            got = await answered(r, "GET", url)
            assert isinstance(got, Got) and got.status == status, id


async def test_a_link_that_was_changed_is_another_link(hub: TestHub, ruled: Ruled) -> None:
    bytes_ = {"b.bin": Synthetic(5000, 31)}
    open = hub.add(
        Repo(
            "acme/opened",
            files={"README.md": MIT, **bytes_},
            storage={"b.bin": "lfs"},
            gated="auto",
            readers={"hf_reader"},
        )
    )
    shut = hub.add(Repo("acme/closed", files={"README.md": NC, "c.bin": Synthetic(5000, 32)}, storage={"c.bin": "lfs"}))
    r = await ruled(NONCOMMERCIAL)
    link = (await r.get(f"{H}/{open.id}/resolve/main/b.bin", READER | LINK)).header("Location") or ""
    assert (await r.get(link)).status == 200
    other = link.replace(open.file("b.bin").sha256 or "-", shut.file("c.bin").sha256 or "-")
    assert other != link
    for url in (other, other.replace("cdn-lfs-us-1", "cdn-lfs-eu-1"), other.partition("?")[0]):
        assert is_denied(await answered(r, "GET", url), "unknown-origin"), url


async def test_copies_of_a_file_deny_nobody_the_file(hub: TestHub, ruled: Ruled) -> None:
    """Four repos are listed with its bytes, as many as are remembered, and then say that they are noncommercial."""
    files = {"README.md": MIT, "m.bin": Synthetic(70000, 41)}
    good = hub.add(Repo("acme/good", files=files, storage={"m.bin": "xet"}))
    r = await ruled(NONCOMMERCIAL, hubs__huggingface=NATIVE)
    for n in range(4):
        copy = hub.add(Repo(f"evil/copy{n}", files=files, storage={"m.bin": "xet"}))
        assert (await r.get(f"{H}/api/models/{copy.id}/tree/main")).status == 200
        await r.parts.engine.origins.settle()
        copy.commit({"README.md": NC})
    hub.knob(path="/api/models/evil/*", status=404, headers={"X-Error-Code": "RepoNotFound"})
    told = json.loads((await r.get(f"{H}/api/models/acme/good/xet-read-token/main")).body)
    token = {"Authorization": f"Bearer {told['accessToken']}"}
    for version in ("v1", "v2"):
        url = f"{told['casUrl']}/{version}/reconstructions/{good.file('m.bin').xet}"
        got = await answered(r, "GET", url, token)
        assert isinstance(got, Got) and got.status == 200, version


async def test_an_address_has_two_spellings(hub: TestHub, ruled: Ruled) -> None:
    r = await ruled("version: 1\nrules:\n  - {id: lab, effect: deny, match: {client: 10.0.0.0/8}}\n")
    for client, rule in (("10.1.2.3", "lab"), ("::ffff:10.1.2.3", "lab"), ("::ffff:11.1.2.3", None), ("::1", None)):
        asked = replace(request_for("HEAD", f"{H}/acme/tiny/resolve/main/config.json"), client=client)
        reply = await r.parts.engine.handle(asked)
        assert isinstance(reply, Reply) and reply.headers.get("X-Policy-Rule") == rule, client


async def test_bytes_that_are_here_are_not_another_repo_s(hub: TestHub, ruled: Ruled) -> None:
    """A denied file lies in the cache; an allowed repo is asked for its digest."""
    shut = hub.add(
        Repo("acme/shut-lfs", files={"README.md": NC, "m.gguf": Synthetic(5000, 51)}, storage={"m.gguf": "lfs"})
    )
    digest = shut.file("m.gguf").sha256 or ""
    before = await ruled("version: 1\n")
    assert (await before.get(f"{H}/{shut.id}/resolve/main/m.gguf")).status == 200
    await before.idle()
    await before.close()
    r = await ruled(NONCOMMERCIAL)
    for path in (f"/v2/acme/tiny/blobs/sha256:{digest}?hubgate=bytes", f"/v2/acme/tiny/blobs/sha256:{digest}"):
        for method in ("GET", "HEAD"):
            got = await answered(r, method, H + path)
            assert isinstance(got, Got) and got.status == 404, (method, path)
    told = await answered(r, "POST", f"{H}/acme/tiny.git/info/lfs/objects/batch", LFS, batch(digest))
    assert isinstance(told, Got) and "actions" not in json.loads(told.body)["objects"][0]
    for host in ("cdn-lfs.hf.co", "cdn-lfs-us-1.hf.co", "us.aws.cdn.hf.co", "cas-bridge.xethub.hf.co"):
        for path in (f"/repos/a/b/c/{digest}", f"/xet-bridge-us/{'0' * 24}/{digest}"):
            got = await answered(r, "GET", f"https://{host}{path}?Signature=s")
            assert isinstance(got, Got) and got.header("X-Policy-Rule") in ("lic-nc", "unknown-origin"), (host, path)


@pytest.mark.parametrize("span", ["", "bytes=0-9", "bytes=0-9,20-29"])
async def test_a_layer_is_no_way_to_a_file_of_another_revision(hub: TestHub, ruled: Ruled, span: str) -> None:
    """Also not in small pieces. What the hub makes up for its registry is in no listing either, and had."""
    files = {"m.gguf": Synthetic(5000, 53), "w.bin": Synthetic(2 << 20, 54)}
    repo = hub.add(Repo("acme/before", files=files, storage=dict.fromkeys(files, "lfs")))
    gone = f"{H}/v2/acme/before/blobs/sha256:{repo.file('w.bin').sha256}"
    repo.commit({"w.bin": None})
    r, headers = await ruled(NO_BIN), {"Range": span} if span else {}
    for method in ("GET", "HEAD"):
        assert is_denied(await answered(r, method, f"{gone}?hubgate=bytes", headers), "unknown-origin"), method
    manifest = json.loads((await r.get(f"{H}/v2/acme/before/manifests/latest")).body)
    for layer in (manifest["config"], *manifest["layers"]):
        url = f"{H}/v2/acme/before/blobs/{layer['digest']}?hubgate=bytes"
        got = await answered(r, "GET", url, headers if "," not in span else {})
        assert isinstance(got, Got) and got.status in (200, 206), layer


async def test_a_prefetch_is_a_client_like_others(hub: TestHub, ruled: Ruled, clock: Clock) -> None:
    r = await ruled(NONCOMMERCIAL)
    work = Work(r, clock)
    plan = await work("hf:acme/nc", "hf:acme/tiny")
    fetched = {item.file.path for item in plan.items if item.state is State.FETCHED}
    assert "model.safetensors" in fetched
    assert [("lic-nc" in why) for _, why in plan.faults] == [True]
    assert not hub.requests(path="/acme/nc/*")


async def test_a_file_that_an_old_name_does_not_have_is_nobody_s(hub: TestHub, ruled: Ruled) -> None:
    """A token for a repo by its old name, and a hash of another one."""
    rules = NONCOMMERCIAL.replace("version: 1", "version: 1\nmode: audit")
    r = await ruled(rules, hubs__huggingface=NATIVE)
    known = r.parts.engine.origins._known
    known.token("t", Subject(Named("huggingface", "models", "acme/old-name"), "main"))
    file = "e" * 64
    url = f"https://cas-server.xethub.hf.co/v1/reconstructions/{file}"
    got = await answered(r, "GET", url, {"Authorization": "Bearer t"})
    assert isinstance(got, Got) and got.header("X-Policy-Audit") == "unknown-origin"


async def test_a_time_beyond_all_times_is_no_fault_of_ours(hub: TestHub, ruled: Ruled) -> None:
    r = await ruled("version: 1\nrules:\n  - {id: young, effect: deny, match: {revision_age: '<1h'}}\n")
    hub.knob(path="/api/models/acme/tiny*", status=200, body='{"id": "acme/tiny", "lastModified": 1' + "0" * 400 + "}")
    assert is_denied(await answered(r, "GET", f"{H}/acme/tiny/resolve/main/config.json"), "young")
