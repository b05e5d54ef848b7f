"""Files of repos: what `/resolve` gives, cold and warm, and what it costs the hub."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proxy_addon.fetch.flights import Flights
from tests.conftest import Starter
from tests.engine.rig import LINK, Clock, Rig
from tests.hub import Repo, TestHub

H = "https://huggingface.co"
TINY = f"{H}/acme/tiny/resolve"
STORED = {"git": "config.json", "lfs": "old.bin", "xet": "model.safetensors"}


def content(hub: TestHub, path: str, rev: str = "main", repo: str = "acme/tiny", type: str = "models") -> bytes:
    file = hub.repo(repo, type).file(path, rev)
    return bytes(file.source.read(0, file.size))


def asked(hub: TestHub, **match: str) -> list[tuple[str, str]]:
    return [(record.method, record.host) for record in hub.requests(**match)]


# -- cold and warm --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", STORED.values(), ids=STORED)
async def test_head_then_get_then_warm(hub: TestHub, start: Starter, path: str) -> None:
    r, file = await start(), hub.repo("acme/tiny").file(path)
    head = await r.head(f"{TINY}/main/{path}")
    assert (head.status, head.body) == (200, b"")
    assert head.cache == f"hubgate; fwd=uri-miss; fwd-status={307 if file.storage == 'git' else 302}; stored"
    assert head.header("Content-Length") == head.header("X-Linked-Size") == str(file.size)
    assert head.header("ETag") == head.header("X-Linked-ETag") == f'"{file.digest}"'
    assert head.header("X-Repo-Commit") == hub.repo("acme/tiny").head
    assert head.header("Accept-Ranges") == "bytes"
    cold = await r.get(f"{TINY}/main/{path}")
    assert cold.body == content(hub, path) and not cold.cut
    assert cold.cache.startswith("hubgate; fwd=miss;") and "stored" in cold.cache
    assert hub.bodies_of(file.digest) == 1.0
    await r.idle()
    hub.clear()
    for method in ("HEAD", "GET"):
        warm = await r.get(f"{TINY}/main/{path}", method=method)
        assert warm.cache.startswith("hubgate; hit") and warm.header("Cache-Status") == warm.cache
        assert warm.body == (b"" if method == "HEAD" else content(hub, path))
        assert warm.header("Content-Length") == str(file.size)
    assert hub.requests() == []


@pytest.mark.parametrize("path", STORED.values(), ids=STORED)
async def test_a_cold_get_asks_for_the_facts_once_and_for_the_bytes_once(
    hub: TestHub, start: Starter, path: str
) -> None:
    r = await start()
    cold = await r.get(f"{TINY}/main/{path}")
    assert cold.body == content(hub, path)
    assert [m for m, _ in asked(hub)] == ["HEAD", "GET"]


@pytest.mark.parametrize("rev", ["main", "v1", "dev", "refs%2Fpr%2F1", "commit"])
async def test_every_way_to_name_a_revision(hub: TestHub, start: Starter, rev: str) -> None:
    r, repo = await start(), hub.repo("acme/tiny")
    rev = repo.refs["refs/tags/v1"] if rev == "commit" else rev
    got = await r.get(f"{TINY}/{rev}/README.md")
    assert got.body == content(hub, "README.md", rev.replace("%2F", "/"))
    commit = repo.at(rev.replace("%2F", "/"))
    assert commit is not None and got.header("X-Repo-Commit") == commit.sha
    await r.idle()
    hub.clear()
    again = await r.get(f"{TINY}/{rev}/README.md")
    pinned = await r.get(f"{TINY}/{commit.sha}/README.md")
    assert again.body == pinned.body == got.body
    assert hub.requests() == []


async def test_a_tag_and_a_branch_that_spell_alike_are_two_things(hub: TestHub, start: Starter) -> None:
    r, repo = await start(), hub.repo("acme/tiny")
    repo.tag("a", repo.commit({"b/c.txt": "of the tag"}))
    repo.branch("a/b")
    repo.commit({"c.txt": "of the branch"}, branch="a/b")
    for verb in ("resolve", "raw"):
        urls = [f"{H}/acme/tiny/{verb}/{at}" for at in ("a/b/c.txt", "a%2Fb/c.txt")]
        for _ in range(2):
            got = await asyncio.gather(*map(r.get, urls))
            assert [g.body for g in got] == [b"of the tag", b"of the branch"]


async def test_a_commit_that_is_here_is_never_asked_about_again(hub: TestHub, start: Starter, clock: Clock) -> None:
    r, sha = await start(), hub.repo("acme/tiny").head
    await r.get(f"{TINY}/{sha}/config.json")
    await r.idle()
    hub.clear()
    clock.leap(23 * 3600)
    assert (await r.get(f"{TINY}/{sha}/config.json")).cache == "hubgate; hit"
    assert hub.requests() == []


async def test_names_with_spaces_and_accents(hub: TestHub, start: Starter) -> None:
    r = await start()
    got = await r.get(f"{TINY}/main/sub/dir/notes%20%C3%A9.txt")
    assert got.body == "caf\u00e9\n".encode()
    assert "filename" in (got.header("Content-Disposition") or "")
    assert got.header("Content-Type") == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("type", "repo", "path"),
    [
        ("datasets", "acme/tiny-ds", "data/train.csv"),
        ("spaces", "acme/space", "index.html"),
        ("kernels", "acme/kernel", "build.toml"),
    ],
)
async def test_other_kinds_of_repo(hub: TestHub, start: Starter, type: str, repo: str, path: str) -> None:
    r = await start()
    url = f"{H}/{type}/{repo}/resolve/main/{path}"
    assert (await r.get(url)).body == content(hub, path, repo=repo, type=type)
    await r.idle()
    hub.clear()
    assert (await r.get(url)).body == content(hub, path, repo=repo, type=type)
    assert hub.requests() == []


async def test_a_bucket_file_is_never_taken_for_immutable(hub: TestHub, start: Starter) -> None:
    r, url = await start(), f"{H}/buckets/acme/bucket/resolve/log.txt"
    first = await r.get(url)
    hub.repo("acme/bucket", "buckets").commit({"log.txt": "two\nlines\n"})
    second = await r.get(url)
    assert first.header("Location") != second.header("Location")
    assert "stored" not in first.cache + second.cache


async def test_the_immutable_url_of_a_small_file_is_the_same_file(hub: TestHub, start: Starter) -> None:
    r, sha = await start(), hub.repo("acme/tiny").head
    got = await r.get(f"{H}/api/resolve-cache/models/acme/tiny/{sha}/sub%2Fdir%2Fnotes%20%C3%A9.txt?x=&etag=%22y%22")
    assert got.body == "caf\u00e9\n".encode()
    await r.idle()
    hub.clear()
    assert (await r.get(f"{TINY}/{sha}/sub/dir/notes%20%C3%A9.txt")).body == got.body
    assert hub.requests() == []


async def test_an_empty_file(hub: TestHub, start: Starter) -> None:
    hub.add(Repo("acme/empty", files={"nothing": b""}))
    r = await start()
    for _ in range(2):
        got = await r.get(f"{H}/acme/empty/resolve/main/nothing")
        assert (got.status, got.body, got.header("Content-Length")) == (200, b"", "0")


# -- revisions ------------------------------------------------------------------------------------------------------


async def test_within_its_lifetime_a_branch_is_not_asked_about(hub: TestHub, start: Starter, clock: Clock) -> None:
    r = await start()
    await r.get(f"{TINY}/main/config.json")
    hub.repo("acme/tiny").commit({"config.json": "{}"})
    await r.idle()
    hub.clear()
    clock.leap(299)
    assert (await r.get(f"{TINY}/main/config.json")).body != b"{}"
    assert hub.requests() == []


async def test_past_its_lifetime_one_head_for_the_whole_repo(hub: TestHub, start: Starter, clock: Clock) -> None:
    r = await start()
    paths = ("config.json", "vocab.txt", "README.md", "old.bin")
    for path in paths:
        await r.get(f"{TINY}/main/{path}")
    await r.idle()
    hub.clear()
    clock.leap(301)
    first = [await r.head(f"{TINY}/main/{path}") for path in paths]
    assert asked(hub) == [("HEAD", "huggingface.co")]
    assert first[0].cache == "hubgate; fwd=stale; fwd-status=307; stored"
    assert [got.cache.partition(";")[2].strip()[:3] for got in first[1:]] == ["hit"] * 3


async def test_a_branch_that_moved_brings_the_new_commit(hub: TestHub, start: Starter, clock: Clock) -> None:
    r, repo = await start(), hub.repo("acme/tiny")
    for path in ("config.json", "old.bin"):
        await r.get(f"{TINY}/main/{path}")
    old, new = repo.head, repo.commit({"config.json": '{"new": true}'})
    clock.leap(301)
    hub.clear()
    got = await r.get(f"{TINY}/main/config.json")
    assert (got.body, got.header("X-Repo-Commit")) == (b'{"new": true}', new)
    same = await r.get(f"{TINY}/main/old.bin")
    assert same.header("X-Repo-Commit") == new
    assert hub.bodies_of(repo.file("old.bin").digest) == 0.0
    assert (await r.get(f"{TINY}/{old}/config.json")).header("X-Repo-Commit") == old


async def test_the_same_bytes_at_two_commits_and_in_two_repos_come_once(hub: TestHub, start: Starter) -> None:
    tiny = hub.repo("acme/tiny")
    data, digest = content(hub, "model.safetensors"), tiny.file("model.safetensors").digest
    hub.add(Repo("other/copy", files={"weights.bin": data}, storage={"weights.bin": "lfs"}))
    r = await start()
    for url in (f"{TINY}/v1/model.safetensors", f"{TINY}/main/model.safetensors"):
        assert (await r.get(url)).body == data
    assert (await r.get(f"{H}/other/copy/resolve/main/weights.bin")).body == data
    assert hub.bodies_of(digest) == 1.0


async def test_only_if_cached_asks_nobody(hub: TestHub, start: Starter, clock: Clock) -> None:
    r, only = await start(), {"Cache-Control": "only-if-cached"}
    assert (await r.get(f"{TINY}/main/config.json", only)).status == 504
    await r.get(f"{TINY}/main/config.json")
    await r.idle()
    hub.clear()
    assert (await r.get(f"{TINY}/main/config.json", only)).status == 200
    clock.leap(25 * 3600)  # the proof that the repo is public has lapsed
    sha = hub.repo("acme/tiny").head
    assert (await r.get(f"{TINY}/{sha}/config.json", only)).status == 504
    assert hub.requests() == []


async def test_a_restart_loses_nothing(hub: TestHub, start: Starter) -> None:
    r = await start()
    await r.get(f"{TINY}/main/old.bin")
    await r.idle()
    await r.close()
    hub.stop()
    again = await start()
    got = await again.get(f"{TINY}/main/old.bin")
    assert got.body == content(hub, "old.bin") and got.cache.startswith("hubgate; hit")


# -- what is not there ----------------------------------------------------------------------------------------------


async def test_a_missing_entry_keeps_its_headers_and_is_believed_shortly(
    hub: TestHub, start: Starter, clock: Clock
) -> None:
    r, repo = await start(), hub.repo("acme/tiny")
    for n in range(3):
        got = await r.head(f"{TINY}/main/added_tokens.json")
        assert (got.status, got.header("X-Error-Code")) == (404, "EntryNotFound")
        assert got.header("X-Repo-Commit") == repo.head
        assert got.cache.startswith("hubgate; hit") == (n > 0)
    assert asked(hub) == [("HEAD", "huggingface.co")]
    clock.leap(31)
    hub.clear()
    await r.head(f"{TINY}/main/added_tokens.json")
    assert asked(hub) == [("HEAD", "huggingface.co")]
    hub.stop()
    clock.leap(31)
    gone = await r.head(f"{TINY}/main/added_tokens.json")
    assert (gone.status, gone.header("X-Error-Code")) == (404, "EntryNotFound")
    assert "detail=offline" in gone.cache


async def test_an_unknown_revision_is_passed_through(hub: TestHub, start: Starter) -> None:
    r = await start()
    for _ in range(2):
        got = await r.get(f"{TINY}/no-such-branch/config.json")
        assert (got.status, got.header("X-Error-Code")) == (404, "RevisionNotFound")
        assert b"no-such-branch" in got.body and "stored" not in got.cache
    assert (await r.get(f"{TINY}/main/config.json")).status == 200


async def test_an_unknown_repo_is_passed_through(hub: TestHub, start: Starter) -> None:
    r, url = await start(), f"{H}/acme/nothing/resolve/main/config.json"
    got = await r.get(url)
    assert (got.status, got.header("X-Error-Message")) == (401, "Invalid username or password.")
    assert got.header("WWW-Authenticate") is not None
    named = await r.get(url, {"Authorization": "Bearer hf_reader"})
    assert (named.status, named.header("X-Error-Code")) == (404, "RepoNotFound")


async def test_a_disabled_repo_is_passed_through(hub: TestHub, start: Starter) -> None:
    got = await (await start()).head(f"{H}/acme/disabled/resolve/main/config.json")
    assert (got.status, got.header("X-Error-Message")) == (403, "Access to this resource is disabled.")


async def test_a_renamed_repo_redirects_and_the_redirect_is_kept(hub: TestHub, start: Starter, clock: Clock) -> None:
    r, url = await start(), f"{H}/acme/old-name/resolve/main/config.json"
    for _ in range(2):
        got = await r.get(url)
        assert (got.status, got.header("Location")) == (307, "/acme/tiny/resolve/main/config.json")
    assert asked(hub) == [("HEAD", "huggingface.co")]
    clock.leap(301)
    await r.get(url)
    assert len(hub.requests()) == 2


# -- what only some may see -----------------------------------------------------------------------------------------

READER, OTHER = {"Authorization": "Bearer hf_reader"}, {"Authorization": "Bearer hf_other"}


async def followed(r: Rig, url: str, headers: dict[str, str]) -> bytes:
    """As a client does it: the token goes to the hub only."""
    got = await r.get(url, headers)
    for _ in range(3):
        if (at := got.header("Location")) is None:
            break
        at = at if at.startswith("https://") else H + at
        got = await r.get(at, headers if at.startswith(H) else None)
    assert got.status == 200
    return got.body


@pytest.mark.parametrize("repo", ["acme/gated", "acme/private"])
@pytest.mark.parametrize("path", STORED.values(), ids=STORED)
async def test_b_after_a(hub: TestHub, start: Starter, repo: str, path: str) -> None:
    r, url = await start(), f"{H}/{repo}/resolve/main/{path}"
    anonymous = await r.get(url)
    assert anonymous.status == 401 and "detail=access" in anonymous.cache
    assert (anonymous.header("X-Error-Code") == "GatedRepo") == (repo == "acme/gated")
    for _ in range(2):
        assert await followed(r, url, READER) == content(hub, path, repo=repo)
        await r.idle()
    assert hub.bodies_of(hub.repo(repo).file(path).digest) == 1.0
    assert (await r.get(url, OTHER)).status == (403 if repo == "acme/gated" else 404)
    assert (await r.get(url)).status == 401
    commit = hub.repo(repo).head
    hub.stop()
    for who in ({}, OTHER):
        assert (await r.get(url, who)).status == 503
        assert (await r.get(f"{H}/{repo}/resolve/{commit}/{path}", who)).status == 503
    kept = [await r.parts.store.blobs.manifest(blob) async for blob in r.kept()]
    assert [manifest is not None and manifest.public for manifest in kept] == [False]


async def test_after_a_refusal_a_stranger_is_not_asked_for_again(hub: TestHub, start: Starter, clock: Clock) -> None:
    r, url = await start(), f"{H}/acme/gated/resolve/main/config.json"
    await r.get(url)
    hub.clear()
    for _ in range(2):
        await r.get(url)
    assert asked(hub) == [("GET", "huggingface.co")] * 2
    clock.leap(301)
    hub.repo("acme/gated").gated = False
    assert (await r.get(url)).body == content(hub, "config.json", repo="acme/gated")


async def test_a_404_that_does_not_say_why_is_not_kept(hub: TestHub, start: Starter) -> None:
    r, sha = await start(), hub.repo("acme/tiny").head
    knob = hub.knob(host="huggingface.co", status=404, headers={"X-Repo-Commit": sha})
    assert (await r.head(f"{TINY}/main/config.json")).status == 404
    hub.unknob(knob)
    assert (await r.head(f"{TINY}/main/config.json")).status == 200


async def test_a_token_holder_first(hub: TestHub, start: Starter) -> None:
    r, url = await start(), f"{H}/acme/gated/resolve/main/config.json"
    assert await followed(r, url, READER) == content(hub, "config.json", repo="acme/gated")
    assert (await r.get(url)).status == 401
    assert not await r.parts.store.responses.listing("file:", "", 10), "nothing of it is for all"


async def test_a_public_repo_asked_with_a_token_is_shared_and_the_token_stays_here(
    hub: TestHub, start: Starter
) -> None:
    r = await start()
    for path in STORED.values():
        assert (await r.get(f"{TINY}/main/{path}", READER | {"Cookie": "session=hf_reader"})).body == content(hub, path)
    assert hub.requests()
    assert not [q for q in hub.requests() if "hf_reader" in str(q.headers)]
    await r.idle()
    hub.clear()
    assert (await r.get(f"{TINY}/main/old.bin")).cache.startswith("hubgate; hit")
    assert hub.requests() == []


async def test_a_repo_that_turns_private_is_served_only_while_its_proof_lasts(
    hub: TestHub, start: Starter, clock: Clock
) -> None:
    r, repo = await start(), hub.repo("acme/tiny")
    pinned = f"{TINY}/{repo.head}/old.bin"
    await r.get(pinned)
    await r.idle()
    repo.private = True
    clock.leap(23 * 3600)
    assert (await r.get(pinned)).status == 200
    clock.leap(2 * 3600)
    hub.stop()
    assert (await r.get(pinned)).body == content(hub, "old.bin")  # nobody has said that it is private
    hub.start()
    clock.leap(11)
    assert (await r.get(pinned)).status == 401
    assert (await r.get(pinned, OTHER)).status == 404
    hub.stop()
    clock.leap(400)
    for who, status in (({}, 504), (OTHER, 503)):  # now it has been said
        assert (await r.get(pinned, who)).status == status
        assert (await r.get(f"{TINY}/main/old.bin", who)).status == status


async def test_a_proof_that_lapsed_is_renewed_by_one_head(hub: TestHub, start: Starter, clock: Clock) -> None:
    r, sha = await start(), hub.repo("acme/tiny").head
    await r.get(f"{TINY}/{sha}/old.bin")
    await r.idle()
    clock.leap(25 * 3600)
    hub.clear()
    for _ in range(2):
        assert (await r.get(f"{TINY}/{sha}/old.bin")).body == content(hub, "old.bin")
    assert asked(hub) == [("HEAD", "huggingface.co")]


async def test_who_wants_nothing_kept_leaves_nothing_behind(hub: TestHub, start: Starter) -> None:
    r, private = await start(), {"Cache-Control": "no-store"}
    urls = [f"{TINY}/main/config.json", f"{H}/api/models/acme/tiny", f"{H}/acme/tiny/raw/main/README.md"]
    for url in urls:
        assert (await r.get(url, private)).status in (200, 307)
        assert (await r.head(url, private)).status in (200, 307)
    await r.idle()
    assert not [blob async for blob in r.kept()]
    assert (await r.parts.store.stats())["responses"] == 0


# -- Xet ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("xet", "shown"), [("bridge", False), ("auto", False), ("native", True)])
async def test_xet_is_named_only_where_clients_shall_use_it(
    hub: TestHub, start: Starter, xet: str, shown: bool
) -> None:
    r = await start(hubs__huggingface={"xet": xet})
    for method in ("HEAD", "GET", "HEAD"):
        got = await r.get(f"{TINY}/main/model.safetensors", method=method)
        assert ("X-Xet-Hash" in got.reply.headers, "Link" in got.reply.headers) == (shown, shown)
    if shown:
        assert got.header("X-Xet-Hash") == hub.repo("acme/tiny").file("model.safetensors").xet
        assert 'rel="xet-auth"' in (got.header("Link") or "")


async def test_auto_leaves_xet_to_files_that_clients_refuse_without_it(hub: TestHub, start: Starter) -> None:
    r = await start()
    hub.knob(host="huggingface.co", path="*/model.safetensors", headers={"X-Linked-Size": str(50_000_000_001)})
    got = await r.head(f"{TINY}/main/model.safetensors")
    assert got.header("Content-Length") == "50000000001" and "X-Xet-Hash" in got.reply.headers


async def test_auto_leaves_xet_to_large_files_of_gated_repos_too(hub: TestHub, start: Starter) -> None:
    url = f"{H}/acme/gated/resolve/main/model.safetensors"
    for size, shown in ((1_000, False), (50_000_000_001, True)):
        r = await start(dir=str(size))
        knob = hub.knob(host="huggingface.co", path="/acme/gated/*", headers={"X-Linked-Size": str(size)})
        for headers, status in ((READER | LINK, 302), (READER, 200)):
            got = await r.head(url, headers)
            told = "X-Xet-Hash" in got.reply.headers, "Link" in got.reply.headers
            assert (got.status, *told) == (status, shown, shown)
        hub.unknob(knob)


@pytest.mark.parametrize("xet", ["bridge", "native"])
async def test_who_asks_for_xet_facts_gets_them_only_where_xet_is_left_on(
    hub: TestHub, start: Starter, xet: str
) -> None:
    r, accept = await start(hubs__huggingface={"xet": xet}), {"Accept": "application/vnd.xet-fileinfo+json, */*"}
    for _ in range(2):
        got = await r.get(f"{TINY}/main/model.safetensors", accept)
        assert got.status == 200
        assert ("xet-fileinfo" in (got.header("Content-Type") or "")) == (xet == "native")
    assert (await r.get(f"{TINY}/main/model.safetensors")).body == content(hub, "model.safetensors")


# -- collapsing, and a hub in trouble -------------------------------------------------------------------------------


async def test_many_heads_at_once_are_one(hub: TestHub, start: Starter) -> None:
    r = await start()
    hub.knob(method="HEAD", hold="head")
    heads = [asyncio.create_task(r.head(f"{TINY}/main/old.bin")) for _ in range(10)]
    await asyncio.to_thread(hub.wait, 1)
    hub.release("head")
    got = await asyncio.gather(*heads)
    assert {g.status for g in got} == {200} and len(hub.requests()) == 1
    assert sum("collapsed" in g.cache for g in got) == 9


async def test_with_the_hub_gone_all_that_is_here_is_served(hub: TestHub, start: Starter, clock: Clock) -> None:
    r, paths = await start(), [*STORED.values(), "README.md"]
    for path in paths:
        await r.get(f"{TINY}/main/{path}")
    await r.idle()
    hub.stop()
    clock.leap(2 * 24 * 3600)
    for path in paths:
        for method in ("HEAD", "GET"):
            got = await r.get(f"{TINY}/main/{path}", method=method)
            assert (got.status, got.body) == (200, content(hub, path) if method == "GET" else b"")
            assert "hit" in got.cache and "detail=offline" in got.cache
    miss = await r.get(f"{TINY}/main/tokenizer.json")
    assert miss.status == 504 and "huggingface.co" in (miss.header("X-Error-Message") or "")


async def test_stale_has_an_end(hub: TestHub, start: Starter, clock: Clock) -> None:
    r = await start()
    await r.get(f"{TINY}/main/config.json")
    hub.stop()
    clock.leap(8 * 24 * 3600)
    assert (await r.get(f"{TINY}/main/config.json")).status == 504


@pytest.mark.parametrize(("status", "detail"), [(503, "stale-if-error"), (504, "offline")])
async def test_what_is_new_at_an_old_commit_is_marked_stale(
    hub: TestHub, start: Starter, clock: Clock, status: int, detail: str
) -> None:
    """The branch cannot be asked about, the file at the commit that it named can."""
    r, repo = await start(), hub.repo("acme/tiny")
    await r.get(f"{TINY}/main/config.json")
    old, data = repo.head, content(hub, "vocab.txt")
    repo.commit({"vocab.txt": b"newer"})
    clock.leap(301)
    hub.knob(host="huggingface.co", path="*/resolve/main/*", status=status)
    hub.knob(method="HEAD", path=f"*/resolve/{old}/*", hold="head")
    by_branch = asyncio.create_task(r.get(f"{TINY}/main/vocab.txt"))
    await asyncio.to_thread(hub.wait, 1, path=f"*/resolve/{old}/*")
    by_commit = asyncio.create_task(r.get(f"{TINY}/{old}/vocab.txt"))
    hub.release("head")
    got, named = await by_branch, await by_commit
    assert (got.body, got.header("X-Repo-Commit")) == (data, old)
    assert "fwd=uri-miss" in got.cache and f"detail={detail}" in got.cache
    assert named.body == data and "detail" not in named.cache, "it is what was asked for"
    await r.idle()
    assert f"hit; detail={detail}" in (await r.get(f"{TINY}/main/vocab.txt")).cache
    hub.unknob()
    assert (await r.get(f"{TINY}/main/vocab.txt")).body == b"newer"


async def test_what_is_asked_again_at_an_old_commit_is_marked_stale(hub: TestHub, start: Starter, clock: Clock) -> None:
    """What is here of the file was proven public too long ago."""
    r, old = await start(), hub.repo("acme/tiny").head
    await r.get(f"{TINY}/main/config.json")
    clock.leap(2 * 24 * 3600)
    hub.knob(host="huggingface.co", path="*/resolve/main/*", status=503)
    got = await r.get(f"{TINY}/main/config.json")
    assert got.body == content(hub, "config.json") and "detail=stale-if-error" in got.cache
    assert ("HEAD", "huggingface.co") in asked(hub, path=f"*/resolve/{old}/*")


async def test_what_another_was_told_of_an_old_commit_is_marked_stale(
    hub: TestHub, start: Starter, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One who asked by the commit has come back since this one looked."""
    r, old, before, join = await start(), hub.repo("acme/tiny").head, list[str](), Flights.join

    async def late(self: Any, key: str, work: Any) -> Any:
        if key.startswith("head:") and old in key and not before:
            before.append(key)
            assert "detail" not in (await r.head(f"{TINY}/{old}/vocab.txt")).cache
        return await join(self, key, work)

    await r.get(f"{TINY}/main/config.json")
    clock.leap(301)
    hub.knob(host="huggingface.co", path="*/resolve/main/*", status=503)
    monkeypatch.setattr(Flights, "join", late)
    got = await r.head(f"{TINY}/main/vocab.txt")
    assert len(before) == 1 and got.cache == "hubgate; hit; detail=stale-if-error"


async def test_a_hub_that_never_speaks_costs_the_stall_timeout_once(hub: TestHub, start: Starter, clock: Clock) -> None:
    patient = await start()
    for path in ("config.json", "vocab.txt"):
        await patient.get(f"{TINY}/main/{path}")
    await patient.idle()
    await patient.close()
    r = await start(upstream__connect_timeout=0.3, upstream__stall_timeout=0.3)
    hub.stop(silent=True)
    clock.leap(301)
    for path in ("config.json", "vocab.txt"):
        async with asyncio.timeout(30):
            got = await r.get(f"{TINY}/main/{path}")
        assert got.body == content(hub, path) and "detail=offline" in got.cache


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429])
async def test_a_hub_in_trouble_is_stood_in_for(hub: TestHub, start: Starter, clock: Clock, status: int) -> None:
    r = await start()
    await r.get(f"{TINY}/main/config.json")
    await r.idle()
    clock.leap(301)
    hub.knob(host="huggingface.co", status=status)
    got = await r.get(f"{TINY}/main/config.json")
    assert got.body == content(hub, "config.json")
    assert "hit" in got.cache and ("stale-if-error" in got.cache or "offline" in got.cache)
    missing = await r.get(f"{TINY}/main/vocab.txt")
    assert missing.status == status


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_decision_of_the_hub_is_never_papered_over(
    hub: TestHub, start: Starter, clock: Clock, status: int
) -> None:
    r = await start()
    await r.get(f"{TINY}/main/config.json")
    await r.idle()
    clock.leap(301)
    hub.knob(host="huggingface.co", status=status)
    assert (await r.get(f"{TINY}/main/config.json")).status == status


async def test_a_wait_that_the_hub_asked_for_is_kept(hub: TestHub, start: Starter, clock: Clock) -> None:
    r = await start()
    hub.knob(host="huggingface.co", status=429, retry_after=60, times=1)
    first = await r.get(f"{TINY}/main/config.json")
    assert first.status == 429 and first.header("Retry-After") == "60"
    clock.leap(30)
    second = await r.get(f"{TINY}/main/config.json")
    assert second.status == 429 and int(second.header("Retry-After") or 0) in (29, 30)
    assert len(hub.requests()) == 1
    clock.leap(31)
    assert (await r.get(f"{TINY}/main/config.json")).body == content(hub, "config.json")


async def test_one_users_limit_is_not_anothers(hub: TestHub, start: Starter) -> None:
    r, url = await start(), f"{H}/api/whoami-v2"
    hub.knob(path="/api/whoami-v2", status=429, retry_after=60, times=1)
    assert (await r.get(url, READER)).status == 429
    assert (await r.get(url, READER)).status == 429
    assert len(hub.requests()) == 1
    assert (await r.get(url, OTHER)).status == 200


async def test_whoever_has_a_token_has_a_limit_of_his_own(hub: TestHub, start: Starter) -> None:
    r, url = await start(), f"{TINY}/main/config.json"
    hub.knob(host="huggingface.co", status=429, retry_after=60, times=1)
    for _ in range(2):
        assert await followed(r, url, READER) == content(hub, "config.json")
    assert (await r.get(url)).status == 429
    assert [q.headers.get("authorization") for q in hub.requests(status=429)] == [None]


async def test_a_branch_leads_to_nothing_that_is_not_there_yet(
    hub: TestHub, start: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who sees the one and not the other asks the hub again."""
    r, kept = await start(), list[str]()
    put = type(r.parts.store.responses).put

    async def noted(self: Any, key: str, variants: Any) -> None:
        kept.append(key.partition(":")[0])
        await put(self, key, variants)

    monkeypatch.setattr(type(r.parts.store.responses), "put", noted)
    assert (await r.get(f"{H}/acme/tiny/resolve/main/config.json")).status == 200
    assert kept.index("file") < kept.index("ref")


async def test_who_comes_when_another_has_just_been_told_does_not_ask_again(
    hub: TestHub, start: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """He has looked before the other's answer was kept, and comes to the hub's door when that one has left."""
    r, url, before = await start(), f"{H}/acme/tiny/resolve/main/config.json", list[str]()
    join = Flights.join

    async def late(self: Any, key: str, work: Any) -> Any:
        if key.startswith("head:") and not before:
            before.append(key)
            assert (await r.get(url)).status == 200
        return await join(self, key, work)

    monkeypatch.setattr(Flights, "join", late)
    assert (await r.get(url)).status == 200
    assert len(before) == 1 and len(hub.requests(method="HEAD", path="/acme/tiny/*")) == 1


@pytest.mark.parametrize("rev", ["main", "commit"])
async def test_a_look_up_that_failed_makes_nothing_fresh_that_is_not(
    hub: TestHub, start: Starter, clock: Clock, monkeypatch: pytest.MonkeyPatch, rev: str
) -> None:
    """The first look finds nothing, for the disk failed; the second finds what is too old, or proven no more."""
    r = await start()
    url = f"{TINY}/{hub.repo('acme/tiny').head if rev == 'commit' else rev}/config.json"
    await r.get(url)
    clock.leap(40 * 24 * 3600)
    get, failed = type(r.parts.store.responses).get, list[str]()

    async def failing(self: Any, key: str) -> Any:
        if key not in failed:
            failed.append(key)
            return ()
        return await get(self, key)

    monkeypatch.setattr(type(r.parts.store.responses), "get", failing)
    hub.clear()
    assert (await r.get(url)).status == 200
    assert [asked.path for asked in hub.requests(method="HEAD")] == [url.removeprefix(H)]
