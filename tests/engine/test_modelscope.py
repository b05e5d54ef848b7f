"""Files of ModelScope repos: cold and warm, every way to name one, and what the listing has to do with it."""

from __future__ import annotations

import asyncio
import hashlib
from urllib.parse import quote_plus

import pytest

from proxy_addon.core.messages import Finished
from proxy_addon.core.status import Outcome
from tests.conftest import Starter
from tests.engine.rig import Clock, Rig, request_for
from tests.hub import Repo, Synthetic, TestHub, ms_reply

M = "https://modelscope.cn"
CDN = "cdn-lfs-*.modelscope.cn"
KINDS = {"git": "config.json", "lfs": "old.bin", "odd": "sub/dir/notes é.txt"}
LISTING = f"{M}/api/v1/models/acme/tiny/repo/files?Revision=master&Recursive=True"


def url_of(
    path: str, rev: str | None = "master", id: str = "acme/tiny", type: str = "models", base: str = M, more: str = ""
) -> str:
    revision = f"Revision={quote_plus(rev)}&" if rev else ""
    return f"{base}/api/v1/{type}/{id}/repo?{revision}FilePath={quote_plus(path)}{more}"


def content(hub: TestHub, path: str, rev: str = "master", id: str = "acme/tiny", type: str = "models") -> bytes:
    file = hub.repo(id, type, "modelscope").file(path, rev)
    return bytes(file.source.read(0, file.size))


# -- cold and warm --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", KINDS.values(), ids=KINDS)
async def test_cold_then_warm(hub: TestHub, start: Starter, path: str) -> None:
    r, file, data = await start(), hub.repo("acme/tiny", hub="modelscope").file(path), content(hub, path)
    cold = await r.get(url_of(path))
    assert (cold.status, cold.body, cold.cut) == (200, data, False)
    assert cold.cache.startswith("hubgate; fwd=uri-miss; fwd-status=200; stored") and cold.reply.hub == "modelscope"
    assert cold.header("ETag") == f'"{file.source.sha256}"' and cold.header("Accept-Ranges") == "bytes"
    assert cold.header("Content-Length") == str(file.size)
    assert cold.header("Content-Type") == "application/octet-stream"
    large = (f'"{file.source.sha256}"', str(file.size)) if file.storage == "lfs" else (None, None)
    assert (cold.header("X-Linked-ETag"), cold.header("X-Linked-Size")) == large
    assert cold.header("Set-Cookie") is None
    await r.idle()
    hub.clear()
    for method in ("HEAD", "GET"):
        warm = await r.get(url_of(path), method=method)
        assert warm.cache.startswith("hubgate; hit") and warm.header("Cache-Status") == warm.cache
        assert warm.body == (b"" if method == "HEAD" else data)
        assert warm.header("Content-Length") == str(file.size)
    assert hub.requests() == []


async def test_a_warm_file_needs_no_more_than_memory(hub: TestHub, start: Starter) -> None:
    r = await start()
    for _ in range(2):
        await r.get(url_of("config.json"))
        await r.idle()
    quick = r.parts.engine.quick(request_for("GET", url_of("config.json")))
    assert quick is not None and quick.body == content(hub, "config.json")


async def test_what_a_cold_file_costs(hub: TestHub, start: Starter) -> None:
    """The listing, one request that proves the repo public, and the bytes."""
    r = await start()
    await r.get(url_of("old.bin"))
    assert [q.path for q in hub.requests()] == [
        "/api/v1/models/acme/tiny/repo/files",
        "/api/v1/models/acme/tiny/repo",
        hub.requests(host=CDN)[0].path,
    ]
    assert hub.bodies_of(hub.repo("acme/tiny", hub="modelscope").file("old.bin").digest) == 1.0
    hub.clear()
    await r.get(url_of("config.json"))
    assert len(hub.requests()) == 1, "the listing and the proof are good for all of the repo"


@pytest.mark.parametrize(
    "url",
    [
        url_of("config.json", rev=None),
        url_of("config.json", base="https://www.modelscope.cn"),
        url_of("config.json", more="&Source=SDK&View=False"),
        f"{M}/acme/tiny/resolve/master/config.json",
        "https://www.modelscope.cn/models/acme/tiny/resolve/master/config.json?download=true",
    ],
)
async def test_every_spelling_is_the_same_file(hub: TestHub, start: Starter, url: str) -> None:
    r = await start()
    await r.get(url_of("config.json"))
    await r.idle()
    hub.clear()
    got = await r.get(url)
    assert (got.status, got.body) == (200, content(hub, "config.json")) and got.cache.startswith("hubgate; hit")
    assert hub.requests() == []


@pytest.mark.parametrize("rev", ["master", "v1.0.0", "dev", "commit"])
async def test_every_way_to_name_a_revision(hub: TestHub, start: Starter, rev: str, clock: Clock) -> None:
    r, repo = await start(), hub.repo("acme/tiny", hub="modelscope")
    rev = repo.refs["refs/tags/v1.0.0"] if rev == "commit" else rev
    got = await r.get(url_of("README.md", rev))
    assert got.body == content(hub, "README.md", rev)
    await r.idle()
    hub.clear()
    clock.leap(301)
    assert (await r.get(url_of("README.md", rev))).body == got.body
    assert bool(hub.requests()) == (len(rev) != 40), "nothing at a commit can change, all else can"
    assert hub.bytes_sent(blob=repo.file("README.md", rev).digest) == 0


@pytest.mark.parametrize("type", ["datasets", "studios"])
async def test_datasets_and_studios(hub: TestHub, start: Starter, type: str) -> None:
    id, path = {"datasets": ("acme/tiny-ds", "data/train.csv"), "studios": ("acme/studio", "app.py")}[type]
    r = await start()
    for _ in range(2):
        got = await r.get(url_of(path, id=id, type=type))
        assert got.body == content(hub, path, id=id, type=type)
        await r.idle()
    assert got.cache.startswith("hubgate; hit")


async def test_an_empty_file(hub: TestHub, start: Starter) -> None:
    hub.add(Repo("acme/empty", files={"nothing.txt": b"", "a": "a"}, hub="modelscope"))
    r = await start()
    for _ in range(2):
        got = await r.get(url_of("nothing.txt", id="acme/empty"))
        assert (got.status, got.body, got.header("Content-Length")) == (200, b"", "0")


async def test_many_at_once_cost_one_listing_one_proof_and_one_body(hub: TestHub, start: Starter) -> None:
    r, repo = await start(), hub.repo("acme/tiny", hub="modelscope")
    hub.knob(host=CDN, latency=0.05)
    paths = ["old.bin", "model.safetensors", "config.json"] * 5
    got = await asyncio.gather(*(r.get(url_of(path)) for path in paths))
    assert [g.body for g in got] == [content(hub, path) for path in paths]
    assert len(hub.requests(path="*/repo/files")) == 1
    assert all(hub.bodies_of(repo.file(path).digest) == 1.0 for path in paths[:2])
    assert len(hub.requests(path="*/repo")) <= 4  # the proof, and one for each file's bytes


# -- ranges ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["config.json", "old.bin"])
async def test_ranges_are_answered_as_they_should_be_whatever_the_hub_does(
    hub: TestHub, start: Starter, path: str
) -> None:
    r, data = await start(), content(hub, path)
    size = len(data)
    for asked, first, last in (
        (f"bytes=0-{size - 1}", 0, size),
        ("bytes=7-", 7, size),
        ("bytes=3-9", 3, 10),
        ("bytes=-5", size - 5, size),
    ):
        got = await r.get(url_of(path), {"Range": asked})
        assert (got.status, got.body) == (206, data[first:last])
        assert got.header("Content-Range") == f"bytes {first}-{last - 1}/{size}"
    beyond = await r.get(url_of(path), {"Range": f"bytes={size}-"})
    assert (beyond.status, beyond.header("Content-Range")) == (416, f"bytes */{size}")


@pytest.fixture
def large(hub: TestHub) -> Synthetic:
    """Nine pieces of a file that is not in LFS, so that its ranges come marked with 200."""
    source = Synthetic(36_000_000, seed=3)
    hub.add(Repo("acme/large", files={"large.bin": source}, storage={"large.bin": "git"}, hub="modelscope"))
    return source


async def test_a_range_that_is_marked_200_is_a_range(hub: TestHub, start: Starter, large: Synthetic) -> None:
    r = await start()
    got = await r.get(url_of("large.bin", id="acme/large"))
    assert hashlib.sha256(got.body).hexdigest() == large.sha256
    assert hub.bodies_of(hub.repo("acme/large", hub="modelscope").file("large.bin").digest) < 1.01
    ranged = [q for q in hub.requests(path="*/repo") if "range" in q.headers]
    assert len(ranged) > 1 and {q.status for q in ranged} == {200}


@pytest.mark.parametrize("lie", ["bytes 1-4194304/36000000", "bytes 0-4194303/36000001", "nonsense"])
async def test_a_range_marked_200_that_is_another_one_is_not_believed(
    hub: TestHub, start: Starter, large: Synthetic, lie: str
) -> None:
    r = await start()
    url = url_of("large.bin", id="acme/large")
    await r.head(url)
    hub.knob(path="*/repo", headers={"Content-Range": lie})
    got = await r.get(url, {"Range": "bytes=0-99"})
    assert got.refused or got.cut
    hub.unknob()
    again = await r.get(url)
    assert hashlib.sha256(again.body).hexdigest() == large.sha256 and not again.cut


async def test_a_whole_body_under_a_content_range_that_lies(hub: TestHub, start: Starter, large: Synthetic) -> None:
    r, url = await start(), url_of("large.bin", id="acme/large")
    await r.head(url)
    hub.knob(path="*/repo", range_ignored=True, headers={"Content-Range": "bytes 5-9/36000000"})
    got = await r.get(url)
    assert hashlib.sha256(got.body).hexdigest() == large.sha256 and not got.cut


# -- the listing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["sdk", "file"])
async def test_the_sdks_listing_and_ours_are_one_document(hub: TestHub, start: Starter, first: str) -> None:
    r = await start()
    urls = [LISTING, url_of("config.json")]
    for url in urls if first == "sdk" else reversed(urls):
        await r.get(url)
    assert len(hub.requests(path="*/repo/files")) == 1


async def test_no_older_bytes_than_the_listing_that_a_client_has_seen(
    hub: TestHub, start: Starter, clock: Clock
) -> None:
    r, repo = await start(freshness__api=60.0, freshness__ref=300.0), hub.repo("acme/tiny", hub="modelscope")
    await r.get(url_of("config.json"))
    repo.commit({"config.json": '{"new": true}'})
    assert (await r.get(url_of("config.json"))).body != b'{"new": true}', "as old as freshness.ref allows"
    clock.leap(61)
    await r.get(LISTING)
    got = await r.get(url_of("config.json"))
    assert got.body == b'{"new": true}'


async def test_a_branch_is_asked_for_again_when_its_time_is_over(hub: TestHub, start: Starter, clock: Clock) -> None:
    r, repo = await start(), hub.repo("acme/tiny", hub="modelscope")
    await r.get(url_of("config.json"))
    await r.get(url_of("old.bin"))
    await r.idle()
    repo.commit({"config.json": "{}"})
    clock.leap(301)
    hub.clear()
    assert (await r.get(url_of("config.json"))).body == b"{}"
    assert (await r.get(url_of("old.bin"))).cache.startswith("hubgate; hit")
    assert len(hub.requests(path="*/repo/files")) == 1 and not hub.requests(host=CDN)


async def test_a_reload_asks_the_hub(hub: TestHub, start: Starter) -> None:
    r, repo = await start(), hub.repo("acme/tiny", hub="modelscope")
    await r.get(url_of("config.json"))
    repo.commit({"config.json": "{}"})
    assert (await r.get(url_of("config.json"), {"Cache-Control": "no-cache"})).body == b"{}"


async def test_bytes_are_those_of_the_listing_though_the_branch_has_moved_on(hub: TestHub, start: Starter) -> None:
    r, repo = await start(), hub.repo("acme/tiny", hub="modelscope")
    old = content(hub, "old.bin")
    await r.get(LISTING)
    repo.commit({"old.bin": Synthetic(1_500_000, seed=99)})
    got = await r.get(url_of("old.bin"))
    assert got.body == old and not got.cut


async def test_a_file_past_the_listings_cap(hub: TestHub, start: Starter) -> None:
    hub.knob(path="*/repo/files", listing_cap=4)
    files = {**{f"a{n}.txt": str(n) for n in range(5)}, "z/deep/x.txt": "x", "z/deep/large.bin": Synthetic(99_999, 4)}
    hub.add(Repo("acme/many", files=files, hub="modelscope"))
    r = await start()
    for path in ("z/deep/x.txt", "z/deep/large.bin"):
        assert (await r.get(url_of(path, id="acme/many"))).body == content(hub, path, id="acme/many")
    await r.idle()
    hub.clear()
    again = await r.get(url_of("z/deep/x.txt", id="acme/many"))
    assert again.body == b"x" and again.cache.startswith("hubgate; hit") and hub.requests() == []


async def test_a_file_on_a_late_page_of_a_data_set(hub: TestHub, start: Starter) -> None:
    files = {f"{n // 100}/{n:04}.txt": str(n) for n in range(450)}
    hub.add(Repo("acme/pages", "dataset", files, hub="modelscope"))
    r = await start()
    wanted = {"id": "acme/pages", "type": "datasets"}
    assert (await r.get(url_of("4/0449.txt", **wanted))).body == b"449"
    assert len(hub.requests(path="*/repo/tree")) == 2, "the first page, and the folder"
    for page in (2, 3):  # as an SDK goes on
        query = f"Revision=master&Recursive=True&PageNumber={page}&PageSize=200"
        await r.get(f"{M}/api/v1/datasets/acme/pages/repo/tree?{query}")
    hub.clear()
    assert (await r.get(url_of("3/0300.txt", **wanted))).body == b"300"
    assert not hub.requests(path="*/repo/tree"), "a page that an SDK has asked for names it"


async def test_a_file_that_no_listing_names(hub: TestHub, start: Starter) -> None:
    """LFS: the redirect tells what it is. Else: nobody knows its digest, so it is passed on and not shared."""
    hub.knob(path="*/repo/files", status=500)
    r = await start()
    for _ in range(2):
        large, small = await r.get(url_of("old.bin")), await r.get(url_of("config.json"))
        assert large.body == content(hub, "old.bin") and small.body == content(hub, "config.json")
        await r.idle()
    assert hub.bodies_of(hub.repo("acme/tiny", hub="modelscope").file("old.bin").digest) == 1.0
    assert "hit" in large.cache and small.cache.endswith("detail=access")
    assert small.header("Content-Range") is None


async def test_what_a_redirect_told_is_as_old_as_a_branch_may_be(hub: TestHub, start: Starter, clock: Clock) -> None:
    hub.knob(path="*/repo/files", status=500)
    r, repo = await start(), hub.repo("acme/tiny", hub="modelscope")
    await r.get(url_of("old.bin"))
    clock.leap(301)
    hub.clear()
    for _ in range(2):
        assert (await r.get(url_of("old.bin"))).body == content(hub, "old.bin")
    assert len(hub.requests(path="*/repo")) == 1
    repo.commit({"old.bin": Synthetic(1_000_000, seed=77)}, storage={"old.bin": "lfs"})
    uploaded = request_for("POST", f"{M}/api/v1/repos/models/acme/tiny/commit/master")
    r.parts.engine.completed(Finished(uploaded, 200, Outcome()))
    await r.parts.engine.settle()
    await r.get(url_of("model.safetensors"))  # which proves the repo public again
    assert (await r.get(url_of("old.bin"))).body == content(hub, "old.bin")


async def test_words_in_place_of_the_file_are_no_wrong_bytes(hub: TestHub, start: Starter) -> None:
    r, data = await start(), content(hub, "old.bin")
    await r.get(url_of("config.json"))
    knob = hub.knob(path="*/repo", status=200, body='{"Code":10990101007,"Success":false}')
    assert (await r.get(url_of("old.bin"))).refused
    await r.idle()
    hub.unknob(knob)
    assert (await r.get(url_of("old.bin"), {"Range": "bytes=9-"})).body == data[9:]


# -- what is not there ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", [url_of("absent.bin"), url_of("sub/none/absent.bin"), url_of("x", rev="v9")])
async def test_what_is_missing_is_told_in_the_hubs_words_and_never_kept(hub: TestHub, start: Starter, url: str) -> None:
    r, direct = await start(), b'"Code":10990101007'
    for _ in range(2):
        got = await r.get(url)
        assert got.status == 200 and direct in got.body and b'"Success":false' in got.body
    path = url.rpartition("FilePath=")[2]
    assert (await r.get(url, {"Range": "bytes=0-9"})).status == 200
    resolved = await r.get(f"{M}/models/acme/tiny/resolve/{'v9' if 'v9' in url else 'master'}/{path}")
    assert resolved.status == 404 and direct in resolved.body
    rows = await r.parts.store.responses.listing("file:", "", 10)
    assert not rows, "nothing is known of it"
    hub.repo("acme/tiny", hub="modelscope").commit({"absent.bin": "here now"})
    assert (await r.get(url_of("absent.bin"), {"Cache-Control": "no-cache"})).body == b"here now"


@pytest.mark.parametrize(
    "target",
    [
        "/api/v1/models/acme/none",
        "/openapi/v1/models/acme/none",
        "/api/v1/models/acme/none/revisions",
        "/api/v1/models/acme/none/repo/files?Revision=master&Recursive=True",
        "/api/v1/models/acme/none/repo?Revision=master&FilePath=config.json",
        "/acme/none/resolve/master/config.json",
    ],
)
async def test_a_missing_repo_is_404_so_that_sdks_go_on_to_the_other_site(
    hub: TestHub, start: Starter, target: str
) -> None:
    r = await start()
    got = await r.get(M + target)
    assert got.status == 404 and str(ms_reply.NO_REPO).encode() in got.body


async def test_the_two_sites_have_repos_of_their_own(hub: TestHub, start: Starter) -> None:
    hub.add(Repo("acme/abroad", files={"config.json": '{"at": "home"}'}, hub="modelscope", sites={"cn"}))
    here = content(hub, "config.json", id="acme/abroad")
    r = await start()
    assert (await r.get(url_of("config.json", id="acme/abroad"))).body == here
    assert (await r.get(url_of("config.json", id="acme/abroad", base="https://www.modelscope.ai"))).status == 404
    assert (await r.get(url_of("config.json", id="acme/abroad"))).cache.startswith("hubgate; hit")


# -- documents ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        "/api/v1/models/acme/tiny",
        "/openapi/v1/models/acme/tiny",
        "/api/v1/models/acme/tiny/revisions",
        "/api/v1/models/acme/tiny/repo/files?Revision=master&Recursive=True",
        "/api/v1/datasets/acme/tiny-ds/repo/tree?Revision=master&Root=%2F&Recursive=True&PageNumber=1&PageSize=150",
        "/api/v1/repos/internalAccelerationInfo",
    ],
)
async def test_documents_are_kept_without_their_cookies(hub: TestHub, start: Starter, target: str) -> None:
    r = await start()
    cold = await r.get(M + target)
    warm = await r.get("https://www.modelscope.cn" + target, {"Cookie": "m_session_id=ms_other"})
    assert cold.status == warm.status == 200 and cold.body == warm.body
    assert "stored" in cold.cache and warm.cache.startswith("hubgate; hit")
    assert cold.header("Set-Cookie") is warm.header("Set-Cookie") is None
    assert len(hub.requests()) == 1


async def test_a_data_set_by_its_number(hub: TestHub, start: Starter) -> None:
    repo = hub.repo("acme/tiny-ds", "datasets", "modelscope")
    url = f"{M}/api/v1/datasets/{ms_reply.number(repo)}/repo/tree?Revision=master&PageNumber=1&PageSize=200"
    r = await start()
    cold, warm = await r.get(url), await r.get(url)
    assert cold.status == 200 and warm.cache.startswith("hubgate; hit") and warm.body == cold.body


@pytest.mark.parametrize("page", ["<html>verify that you are human</html>", "[]", '{"Success": false, "Code": 1}'])
async def test_what_is_no_success_by_its_body_is_told_and_not_kept(hub: TestHub, start: Starter, page: str) -> None:
    r = await start()
    url = f"{M}/api/v1/models/acme/tiny"
    knob = hub.knob(path="/api/v1/models/acme/tiny", status=200, body=page)
    got = await r.get(url)
    assert (got.status, got.body) == (200, page.encode()) and "stored" not in got.cache
    hub.unknob(knob)
    assert b'"Success":true' in (await r.get(url)).body


# -- without the hub ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["down", "silent", "failing"])
@pytest.mark.parametrize("hours", [1, 48])
async def test_what_is_here_is_served_without_the_hub(
    hub: TestHub, start: Starter, clock: Clock, how: str, hours: int
) -> None:
    r = await start()
    for path in KINDS.values():
        await r.get(url_of(path))
    await r.get(LISTING)
    await r.idle()
    clock.leap(hours * 3600)
    if how == "failing":
        hub.knob(status=503)
    else:
        hub.stop(silent=how == "silent")
    for path in KINDS.values():
        got = await r.get(url_of(path))
        assert got.body == content(hub, path)
        assert ("detail=stale-if-error" if how == "failing" else "detail=offline") in got.cache
    assert (await r.get(LISTING)).status == 200


async def test_the_same_after_a_restart(hub: TestHub, start: Starter, clock: Clock) -> None:
    r = await start()
    for path in KINDS.values():
        await r.get(url_of(path))
    await r.idle()
    await r.close()
    hub.clear()
    r = await start()
    for path in KINDS.values():
        got = await r.get(url_of(path))
        assert got.body == content(hub, path) and got.cache.startswith("hubgate; hit")
        only = await r.get(url_of(path), {"Cache-Control": "only-if-cached"})
        assert only.status == 200
    assert hub.requests() == []
    await r.close()
    clock.leap(48 * 3600)
    hub.stop()
    r = await start()
    for path in KINDS.values():
        assert (await r.get(url_of(path))).body == content(hub, path)


# -- mirrors --------------------------------------------------------------------------------------------------------


async def mirrored(start: Starter, mirror: str) -> Rig:
    return await start(hubs__modelscope={"mirrors": (mirror,)})


@pytest.mark.parametrize("path", KINDS.values(), ids=KINDS)
async def test_a_mirror_is_tried_first(hub: TestHub, start: Starter, mirror: str, path: str) -> None:
    r = await mirrored(start, mirror)
    assert (await r.get(url_of(path))).body == content(hub, path)
    assert {q.host for q in hub.requests()} - {"cdn-lfs-cn-1.modelscope.cn"} == {"mirror.example"}
    abroad = await r.get(url_of("config.json", id="acme/abroad", base="https://www.modelscope.ai"))
    assert abroad.status == 200
    assert not hub.requests(host="mirror.example", path="*abroad*"), "it mirrors the other site"


@pytest.mark.parametrize("status", [404, 403, 500, 429])
async def test_what_a_mirror_will_not_give_the_hub_gives(
    hub: TestHub, start: Starter, mirror: str, status: int
) -> None:
    r = await mirrored(start, mirror)
    hub.knob(host="mirror.example", status=status)
    for path in KINDS.values():
        got = await r.get(url_of(path))
        assert got.body == content(hub, path) and "access" not in got.cache


async def test_a_mirror_that_has_other_bytes_is_passed_over(hub: TestHub, start: Starter, mirror: str) -> None:
    r = await mirrored(start, mirror)
    await r.get(LISTING)
    hub.knob(host="mirror.example", status=200, body="short")
    for path in KINDS.values():
        got = await r.get(url_of(path))
        assert got.body == content(hub, path) and not got.cut
