"""What the hub says on ModelScope's hosts, as recorded from the real clients' conversations, quirks and all."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.hub import HubProcess, Repo, Synthetic, TestHub, ms_reply
from tests.hub.ask import Reply, ask, follow

MS = "https://modelscope.cn"
TINY = f"{MS}/api/v1/models/acme/tiny"
READER = {"Cookie": "m_session_id=ms_reader"}
NO_FILE, NO_REPO = 10990101007, 10010205001


@pytest.fixture
def tiny(hub: TestHub) -> Repo:
    return hub.repo("acme/tiny", hub="modelscope")


def code(reply: Reply) -> tuple[int, int, bool]:
    return reply.status, reply.json["Code"], reply.json["Success"]


def listed(hub: TestHub, query: str, id: str = "acme/tiny") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask(hub, f"{MS}/api/v1/models/{id}/repo/files?{query}").json["Data"]["Files"]
    return found


@pytest.mark.parametrize("host", ["modelscope.cn", "www.modelscope.cn"])
@pytest.mark.parametrize("kind", ["models/acme/tiny", "datasets/acme/tiny-ds", "studios/acme/studio"])
def test_what_a_repo_is(hub: TestHub, host: str, kind: str) -> None:
    type, _, id = kind.partition("/")
    old = ask(hub, f"https://{host}/api/v1/{kind}")
    assert code(old) == (200, 200, True)
    data = old.json["Data"]
    assert data["Name"] == id.partition("/")[2] and data["License"] and data["Visibility"] == 5
    assert ask(hub, f"https://{host}/api/v1/{type}/{data['Id']}").json["Data"] == data
    new = ask(hub, f"https://{host}/openapi/v1/{kind}").json
    assert new["success"] and new["data"]["id"] == id and new["data"]["private"] is False


def test_both_spellings_of_a_licence(hub: TestHub) -> None:
    repo = hub.add(Repo("acme/spelt", files={"README.md": "---\nlicense: apache-2.0\n---\n"}, hub="modelscope"))
    assert ask(hub, f"{MS}/api/v1/models/{repo.id}").json["Data"]["License"] == "Apache License 2.0"
    assert ask(hub, f"{MS}/openapi/v1/models/{repo.id}").json["data"]["license"] == "apache-2.0"


def test_branches_and_tags(hub: TestHub, tiny: Repo) -> None:
    shown = ask(hub, f"{TINY}/revisions").json["Data"]["RevisionMap"]
    assert [r["Revision"] for r in shown["Branches"]] == ["master", "dev"]
    assert [r["Revision"] for r in shown["Tags"]] == ["v1.0.0"]
    old = ask(hub, f"{TINY}/revisions?EndTime={shown['Branches'][0]['CreatedAt'] - 1}").json["Data"]["RevisionMap"]
    assert [r["Revision"] for r in old["Branches"]] == ["dev"]


def test_a_listing_has_true_digests_and_the_commit_of_each_file(hub: TestHub, tiny: Repo) -> None:
    found = {entry["Path"]: entry for entry in listed(hub, "Revision=master&Recursive=True")}
    for path, file in tiny.commits[tiny.head].files.items():
        assert found[path]["Sha256"] == file.source.sha256 and found[path]["Size"] == file.size
        assert found[path]["IsLFS"] is (path in ("old.bin", "model.safetensors"))
    first = tiny.refs["refs/tags/v1.0.0"]
    assert found["README.md"]["Revision"] == tiny.head and found["config.json"]["Revision"] == first
    assert found["sub/dir"]["Type"] == "tree"
    assert [e["Path"] for e in listed(hub, "Revision=master&Root=sub")] == ["sub/dir"]
    assert [e["Path"] for e in listed(hub, "Revision=master&Root=sub&Recursive=True")] == [
        "sub/dir",
        "sub/dir/notes é.txt",
    ]
    tagged = {e["Path"]: e["Sha256"] for e in listed(hub, f"Revision={first}&Recursive=True")}
    assert tagged["README.md"] == tiny.file("README.md", "v1.0.0").source.sha256


def test_a_listing_of_a_model_is_cut_at_the_cap_without_a_word(hub: TestHub) -> None:
    whole = listed(hub, "Revision=master&Recursive=True")
    hub.knob(listing_cap=4)
    assert listed(hub, "Revision=master&Recursive=True") == whole[:4]


def test_a_listing_of_a_dataset_has_pages(hub: TestHub) -> None:
    url = f"{MS}/api/v1/datasets/acme/tiny-ds/repo/tree?Revision=master&Root=%2F&Recursive=True&PageSize=3"
    pages = [ask(hub, f"{url}&PageNumber={n}").json for n in (1, 2, 3)]
    assert [[e["Path"] for e in page["Data"]["Files"]] for page in pages] == [
        ["README.md", "data", "data/test.csv"],
        ["data/train.csv"],
        [],
    ]
    assert {page["TotalCount"] for page in pages} == {4}
    assert ask(hub, f"{url}&PageNumber=0").status == 400


@pytest.mark.parametrize("revision", ["master", "dev", "v1.0.0", "commit"])
@pytest.mark.parametrize("path", ["README.md", "old.bin", "sub/dir/notes é.txt"])
def test_the_bytes_of_a_file_by_every_url(hub: TestHub, tiny: Repo, revision: str, path: str) -> None:
    at = tiny.head if revision == "commit" else revision
    right = tiny.file(path, at).source.sha256
    quoted = path.replace("/", "%2F").replace(" ", "+").replace("é", "%C3%A9")
    plain = path.replace(" ", "%20").replace("é", "%C3%A9")
    for url in (
        f"{TINY}/repo?Revision={at}&FilePath={quoted}",
        f"{TINY}/repo?Source=SDK&Revision={at}&FilePath={quoted}&View=False",
        f"{MS}/acme/tiny/resolve/{at}/{plain}",
        f"{MS}/models/acme/tiny/resolve/{at}/{plain}",
    ):
        assert hashlib.sha256(follow(hub, url).body).hexdigest() == right


def test_datasets_and_studios_have_files_too(hub: TestHub) -> None:
    for kind, path in (("datasets/acme/tiny-ds", "data/train.csv"), ("studios/acme/studio", "app.py")):
        type, _, id = kind.partition("/")
        right = hub.repo(id, type, "modelscope").file(path).source.read(0, 1 << 20)
        assert ask(hub, f"{MS}/api/v1/{kind}/repo?Revision=master&FilePath={path}").body == right
        assert ask(hub, f"{MS}/{kind}/resolve/master/{path}").body == right


def test_a_large_file_is_linked(hub: TestHub, tiny: Repo) -> None:
    file = tiny.file("old.bin")
    reply = ask(hub, f"{TINY}/repo?Revision=master&FilePath=old.bin")
    assert reply.status == 302 and reply.body == b""
    assert reply["X-Linked-ETag"] == f'"{file.sha256}"' and reply["X-Linked-Size"] == str(file.size)
    link, sha256 = urlsplit(reply.location), file.sha256 or ""
    assert link.hostname == "cdn-lfs-cn-1.modelscope.cn"
    assert link.path == f"/prod/lfs-objects/{sha256[:2]}/{sha256[2:4]}/{sha256[4:]}"
    query = parse_qs(link.query)
    told = {name: query[name][0] for name in ("filename", "namespace", "repository", "revision", "tag")}
    assert told == {
        "filename": "old.bin",
        "namespace": "acme",
        "repository": "tiny",
        "revision": "master",
        "tag": "model",
    }
    body = ask(hub, reply.location)
    assert body.status == 200 and hashlib.sha256(body.body).hexdigest() == sha256
    assert body["X-Linked-ETag"] == f'"{sha256}"' and body["Accept-Ranges"] == "bytes"
    part = ask(hub, reply.location, headers={"Range": "bytes=1000000-"})
    assert part.status == 206 and part["Content-Range"] == "bytes 1000000-1499999/1500000"
    assert ask(hub, reply.location, headers={"Range": "bytes=1500000-"}).status == 416


def test_a_link_is_good_for_its_path_and_its_time(hub: TestHub) -> None:
    url = f"{TINY}/repo?Revision=master&FilePath="
    one, other = ask(hub, f"{url}old.bin").location, ask(hub, f"{url}model.safetensors").location
    assert one != ask(hub, f"{url}old.bin").location, "signed anew each time"
    assert ask(hub, one.partition("?")[0]).status == 403
    assert ask(hub, f"{one.partition('?')[0]}?{other.partition('?')[2]}").status == 403
    hub.knob(url_ttl=-1)
    assert ask(hub, ask(hub, f"{url}old.bin").location).status == 403


def test_a_range_of_a_small_file_comes_as_200(hub: TestHub, tiny: Repo) -> None:
    whole = bytes(tiny.file("config.json").source.read(0, 1000))
    url = f"{TINY}/repo?Revision=master&FilePath=config.json"
    part = ask(hub, url, headers={"Range": "bytes=5-9"})
    assert (part.status, part.body) == (200, whole[5:10])
    assert part["Content-Range"] == f"bytes 5-9/{len(whole)}" and part["Content-Length"] == "5"
    rest = ask(hub, url, headers={"Range": "bytes=5-"})
    assert (rest.status, rest.body, rest["Content-Range"]) == (200, whole, None)
    assert ask(hub, url, "HEAD")["Content-Length"] == str(len(whole))


def test_what_is_missing(hub: TestHub) -> None:
    missing = (200, NO_FILE, False)
    assert code(ask(hub, f"{TINY}/repo?Revision=master&FilePath=absent")) == missing
    assert code(ask(hub, f"{TINY}/repo?Revision=absent&FilePath=old.bin")) == missing
    assert code(ask(hub, f"{TINY}/repo/files?Revision=absent")) == missing
    assert code(ask(hub, f"{TINY}/repo/files?Revision=master&Root=absent")) == missing
    assert code(ask(hub, f"{MS}/acme/tiny/resolve/master/absent")) == (404, NO_FILE, False)
    for path in ("", "/revisions", "/repo/files?Revision=master", "/repo?Revision=master&FilePath=a"):
        assert code(ask(hub, f"{MS}/api/v1/models/acme/absent{path}")) == (404, NO_REPO, False)
    assert ask(hub, f"{MS}/openapi/v1/models/acme/absent").status == 404


def test_the_two_sites_hold_different_repos(hub: TestHub) -> None:
    assert ask(hub, f"{MS}/api/v1/models/acme/abroad").status == 404
    assert ask(hub, "https://www.modelscope.ai/api/v1/models/acme/abroad").status == 200
    assert ask(hub, "https://www.modelscope.ai/api/v1/models/acme/tiny").status == 404


def test_private_and_gated_repos_open_to_their_readers(hub: TestHub) -> None:
    for headers in ({}, {"Cookie": "m_session_id=ms_other"}, {"Authorization": "Bearer hf_reader"}):
        assert code(ask(hub, f"{MS}/api/v1/models/acme/private", headers=headers)) == (404, NO_REPO, False)
        assert ask(hub, f"{MS}/api/v1/models/acme/gated", headers=headers).json["Data"]["ApprovalMode"] == 2
        file = ask(hub, f"{MS}/api/v1/models/acme/gated/repo?Revision=master&FilePath=old.bin", headers=headers)
        assert file.status == 403 and file.json["Success"] is False
        assert ask(hub, f"{MS}/acme/gated/resolve/master/old.bin", headers=headers).status == 403
    for headers in (READER, {"Cookie": "a=b; m_session_id=ms_reader"}, {"Authorization": "Bearer ms_reader"}):
        for id in ("acme/private", "acme/gated"):
            file = ask(hub, f"{MS}/api/v1/models/{id}/repo?Revision=master&FilePath=old.bin", headers=headers)
            assert file.status == 302


def test_a_token_is_changed_for_a_session(hub: TestHub) -> None:
    good = ask(hub, f"{MS}/api/v1/login", "POST", body=json.dumps({"AccessToken": "ms_reader"}).encode())
    assert good.json["Data"]["Username"] == "reader"
    assert any(c.startswith("m_session_id=ms_reader;") for c in good.headers.get_all("Set-Cookie") or [])
    bad = ask(hub, f"{MS}/api/v1/login", "POST", body=b'{"AccessToken":"nobody"}')
    assert code(bad) == (400, ms_reply.BAD_TOKEN, False)
    assert ask(hub, f"{MS}/openapi/v1/users/me", headers=READER).json["data"]["username"] == "reader"
    assert ask(hub, f"{MS}/openapi/v1/users/me").status == 401


def test_every_answer_sets_a_cookie(hub: TestHub) -> None:
    cookies = [ask(hub, f"{TINY}/repo?Revision=master&FilePath=config.json")["Set-Cookie"] for _ in range(2)]
    assert all(c and c.startswith("acw_tc=") for c in cookies) and cookies[0] != cookies[1]


def test_one_file_on_both_hubs(hub: TestHub) -> None:
    source = Synthetic(300_000, seed=9)
    on_hf = hub.add(Repo("acme/twice", files={"w.bin": source}, storage={"w.bin": "xet"}))
    on_ms = hub.add(on_hf.mirror())
    digest = on_hf.file("w.bin").digest
    assert on_ms.file("w.bin").digest == digest == source.sha256
    urls = ("/acme/twice/resolve/main/w.bin", f"{MS}/acme/twice/resolve/master/w.bin")
    assert {follow(hub, url).body for url in urls} == {bytes(source.read(0, source.size))}
    assert hub.bodies_of(digest) == 2.0
    assert hub.add_synthetic("acme/thrice", "w.bin", 300_000, seed=9, hub="modelscope") == digest
    sha = hub.commit("acme/thrice", {"a.txt": "a"}, hub="modelscope")
    assert hub.repo("acme/thrice", hub="modelscope").refs["refs/heads/master"] == sha


def test_knobs_bend_modelscope_too(hub: TestHub) -> None:
    hub.knob(host="modelscope.cn", path="/openapi/*", status=404)
    assert ask(hub, f"{MS}/openapi/v1/models/acme/tiny").status == 404
    hub.knob(host="cdn-lfs-*.modelscope.cn", corrupt_at=7)
    right = hub.digest("acme/tiny", "old.bin", hub="modelscope")
    assert hashlib.sha256(follow(hub, f"{MS}/acme/tiny/resolve/master/old.bin").body).hexdigest() != right
    assert hub.bodies_of(right) == 1.0


def test_modelscope_in_a_process_of_its_own() -> None:
    with HubProcess() as hub:
        digest = hub.add_synthetic("me/x", "x.bin", 1000, seed=3, hub="modelscope")
        assert hub.digest("me/x", "x.bin", hub="modelscope") == digest == Synthetic(1000, 3).sha256
        assert len(hub.commit("me/x", {"a.txt": "a"}, hub="modelscope")) == 40
