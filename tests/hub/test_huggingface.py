"""What the hub says on huggingface.co, as recorded from the real clients' conversations."""

import hashlib
from urllib.parse import quote

import pytest

from tests.hub import TestHub
from tests.hub.ask import ask, follow

READER = {"Authorization": "Bearer hf_reader"}
OTHER = {"Authorization": "Bearer hf_other"}
INFO = {"Accept": "application/vnd.xet-fileinfo+json, */*"}


def test_a_small_file_is_redirected_to_its_immutable_url(hub: TestHub) -> None:
    repo = hub.repo("acme/tiny")
    file = repo.file("config.json")
    reply = ask(hub, "/acme/tiny/resolve/main/config.json", "HEAD")
    assert reply.status == 307
    assert reply.location == (
        f"/api/resolve-cache/models/acme/tiny/{repo.head}/config.json"
        f"?%2Facme%2Ftiny%2Fresolve%2Fmain%2Fconfig.json=&etag=%22{file.oid}%22"
    )
    assert reply["X-Repo-Commit"] == repo.head
    assert reply["X-Linked-Size"] == str(file.size) and reply["X-Linked-ETag"] == f'"{file.oid}"'
    assert reply["Vary"] == "Origin, Accept" and reply["Accept-Ranges"] == "bytes"
    for url in (reply.location, reply.location.partition("?")[0]):  # huggingface_hub 0.36 loses the query
        body = ask(hub, url)
        assert body.status == 200 and body["ETag"] == f'"{file.oid}"' and body["X-Repo-Commit"] == repo.head
        assert body.body == bytes(file.source.read(0, file.size))
        assert body["Content-Disposition"] == "inline; filename*=UTF-8''config.json; filename=\"config.json\";"


def test_a_path_s_slashes_are_encoded_in_the_immutable_url(hub: TestHub) -> None:
    reply = ask(hub, f"/acme/tiny/resolve/main/{quote('sub/dir/notes é.txt')}", "HEAD")
    assert (
        "/sub%2Fdir%2Fnotes%20%C3%A9.txt?%2Facme%2Ftiny%2Fresolve%2Fmain%2Fsub%2Fdir%2Fnotes%20%C3%A9.txt=&etag="
        in (reply.location)
    )
    assert ask(hub, reply.location).body.decode() == "café\n"


@pytest.mark.parametrize(
    ("path", "host"), [("old.bin", "cdn-lfs-us-1.hf.co"), ("model.safetensors", "us.aws.cdn.hf.co")]
)
def test_a_large_file_is_redirected_to_a_signed_url(hub: TestHub, path: str, host: str) -> None:
    file = hub.repo("acme/tiny").file(path)
    reply = ask(hub, f"/acme/tiny/resolve/main/{path}", "HEAD")
    assert reply.status == 302 and reply["Cache-Control"] == "no-store"
    assert reply["X-Linked-ETag"] == f'"{file.sha256}"' and reply["X-Linked-Size"] == str(file.size)
    assert reply.location.startswith(f"https://{host}/") and "Signature=" in reply.location
    assert reply["X-Xet-Hash"] == file.xet
    body = ask(hub, reply.location)
    assert body.status == 200 and hashlib.sha256(body.body).hexdigest() == file.sha256
    assert ask(hub, reply.location.partition("?")[0]).status == 403
    assert ask(hub, reply.location.replace("Expires=1", "Expires=2")).status == 403
    hub.knob(url_ttl=-1)
    assert ask(hub, ask(hub, f"/acme/tiny/resolve/main/{path}").location).status == 403


def test_what_is_said_of_xet(hub: TestHub) -> None:
    repo = hub.repo("acme/tiny")
    url, xet = "/acme/tiny/resolve/main/model.safetensors", repo.file("model.safetensors").xet
    token = f"https://huggingface.co/api/models/acme/tiny/xet-read-token/{repo.head}"
    reconstruction = f"https://cas-server.xethub.hf.co/v1/reconstructions/{xet}"
    assert ask(hub, url)["Link"] == f'<{token}>; rel="xet-auth", <{reconstruction}>; rel="xet-reconstruction-info"'
    told = ask(hub, url, headers=INFO)
    assert told.status == 200 and told["Content-Type"] == "application/vnd.xet-fileinfo+json; charset=utf-8"
    assert told.json["hash"] == xet and told.json["size"] == 3_000_000
    assert ask(hub, "/acme/tiny/resolve/main/config.json", headers=INFO).status == 307
    hub.knob(strip_xet_headers=True)
    bare = ask(hub, url)
    assert bare["X-Xet-Hash"] is None and bare["Link"] is None and bare.status == 302


def test_what_is_not_there(hub: TestHub) -> None:
    repo = hub.repo("acme/tiny")
    missing = ask(hub, "/acme/tiny/resolve/main/none.txt")
    assert (missing.status, missing["X-Error-Code"]) == (404, "EntryNotFound")
    assert missing["X-Repo-Commit"] == repo.head and missing.body == b"Entry not found"
    assert ask(hub, "/acme/tiny/resolve/none/config.json")["X-Error-Code"] == "RevisionNotFound"
    assert ask(hub, "/api/models/acme/tiny/revision/none")["X-Error-Code"] == "RevisionNotFound"
    assert ask(hub, "/api/models/acme/tiny/tree/main/none")["X-Error-Code"] == "EntryNotFound"
    assert ask(hub, "/some/where").status == 404


def test_validation_and_ranges(hub: TestHub) -> None:
    url = ask(hub, "/acme/tiny/resolve/main/vocab.txt").location
    whole = ask(hub, url)
    size, etag = len(whole.body), whole["ETag"] or ""
    assert ask(hub, url, headers={"If-None-Match": etag}).status == 304
    assert ask(hub, "/acme/tiny/resolve/main/vocab.txt", headers={"If-None-Match": etag}).status == 304
    assert ask(hub, "/acme/tiny/raw/main/vocab.txt", headers={"If-None-Match": etag}).status == 200
    for asked, low, high in (("0-0", 0, 1), ("5-", 5, size), ("-4", size - 4, size), (f"1-{size}", 1, size)):
        part = ask(hub, url, headers={"Range": f"bytes={asked}"})
        assert part.status == 206 and part.body == whole.body[low:high]
        assert part["Content-Range"] == f"bytes {low}-{high - 1}/{size}"
    beyond = ask(hub, url, headers={"Range": f"bytes={size}-"})
    assert beyond.status == 416 and beyond["Content-Range"] == f"bytes */{size}"
    assert ask(hub, url, headers={"Range": "bytes=0-1", "If-Range": etag}).status == 206
    assert ask(hub, url, headers={"Range": "bytes=0-1", "If-Range": '"other"'}).status == 200


def test_repo_info(hub: TestHub) -> None:
    repo = hub.repo("acme/tiny")
    told = ask(hub, "/api/models/acme/tiny")
    assert told.json["sha"] == repo.head and told.json["gated"] is False
    assert told.json["cardData"]["license"] == "apache-2.0" and "license:apache-2.0" in told.json["tags"]
    assert [s["rfilename"] for s in told.json["siblings"]] == list(repo.commits[repo.head].files)
    assert ask(hub, "/api/models/acme/tiny", headers={"If-None-Match": told["ETag"] or ""}).status == 304
    blobs = {s["rfilename"]: s for s in ask(hub, "/api/models/acme/tiny/revision/v1?blobs=true").json["siblings"]}
    assert blobs["old.bin"]["lfs"]["sha256"] == repo.file("old.bin").sha256
    narrow = ask(hub, "/api/models/acme/tiny?expand[]=cardData&expand[]=gated").json
    assert set(narrow) == {"_id", "id", "modelId", "cardData", "gated"}
    assert ask(hub, "/api/models/acme/tiny?securityStatus=true").json["securityRepoStatus"]["scansDone"]
    for type in ("datasets/acme/tiny-ds", "spaces/acme/space", "kernels/acme/kernel"):
        assert ask(hub, f"/api/{type}").status == 200


def test_a_listing_comes_in_pages(hub: TestHub) -> None:
    repo = hub.repo("acme/tiny")

    def pages(url: str) -> list[list[dict[str, object]]]:
        found = []
        while url:
            reply = ask(hub, url)
            found.append(reply.json)
            url = (reply["Link"] or "").partition('>; rel="next"')[0].removeprefix("<")
        return found

    told = pages(f"/api/models/acme/tiny/tree/{repo.head}?recursive=True&expand=False")
    assert [len(page) for page in told] == [3, 3, 3, 2]
    entries = {entry["path"]: entry for page in told for entry in page}
    assert {p for p, e in entries.items() if e["type"] == "file"} == set(repo.commits[repo.head].files)
    assert entries["model.safetensors"]["xetHash"] == repo.file("model.safetensors").xet
    assert entries["sub/dir"]["oid"] == repo.commits[repo.head].trees["sub/dir"]
    hub.knob(page_size=100, strip_xet_tree=True)
    (flat,) = pages("/api/models/acme/tiny/tree/main?recursive=false")
    assert "sub" in {e["path"] for e in flat} and "sub/dir" not in {e["path"] for e in flat}
    assert not [e for e in flat if "xetHash" in e]


def test_the_rest_of_the_api(hub: TestHub) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    told = ask(
        hub, "/api/models/acme/tiny/paths-info/main", "POST", form, b"paths=old.bin&paths=sub&paths=none&expand=True"
    )
    assert [(e["path"], e["type"]) for e in told.json] == [("old.bin", "file"), ("sub", "directory")]
    assert "lastCommit" in told.json[0]
    refs = ask(hub, "/api/models/acme/tiny/refs?include_prs=1").json
    assert {r["name"] for r in refs["branches"]} == {"main", "dev"} and refs["tags"][0]["ref"] == "refs/tags/v1"
    assert len(ask(hub, "/api/models/acme/tiny/commits/main").json) == 2
    token = ask(hub, "/api/models/acme/tiny/xet-read-token/main")
    assert token["X-Xet-Access-Token"] == token.json["accessToken"] and token["X-Xet-Cas-Url"] == token.json["casUrl"]
    assert isinstance(ask(hub, "/api/agent-harnesses").json, dict)
    assert ask(hub, "/api/telemetry/x", "HEAD").status == 200
    assert ask(hub, "/api/whoami-v2").status == 401
    assert ask(hub, "/api/whoami-v2", headers=READER).json["name"] == "reader"
    assert {m["id"] for m in ask(hub, "/api/models?search=tin").json} == {"acme/tiny"}
    assert ask(hub, "/buckets/acme/bucket/resolve/log.txt")["X-Repo-Commit"] is None
    assert ask(hub, "https://datasets-server.huggingface.co/splits?dataset=acme/tiny-ds").json["splits"]


@pytest.mark.parametrize(
    ("path", "token", "status", "code"),
    [
        ("acme/gated/resolve/main/config.json", {}, 401, "GatedRepo"),
        ("acme/gated/resolve/main/config.json", OTHER, 403, "GatedRepo"),
        ("acme/gated/resolve/main/config.json", READER, 307, None),
        ("api/models/acme/gated", {}, 200, None),
        ("api/models/acme/gated/tree/main", {}, 200, None),
        ("api/models/acme/gated/xet-read-token/main", {}, 401, "GatedRepo"),
        ("api/models/acme/gated/auth-check", OTHER, 403, "GatedRepo"),
        ("api/models/acme/private", {}, 401, None),
        ("api/models/acme/private", OTHER, 404, "RepoNotFound"),
        ("acme/private/resolve/main/config.json", READER, 307, None),
        ("acme/none/resolve/main/config.json", {}, 401, None),
        ("acme/none/resolve/main/config.json", READER, 404, "RepoNotFound"),
        ("api/models/acme/disabled", {}, 200, None),
        ("acme/disabled/resolve/main/config.json", {}, 403, None),
        ("acme/tiny/resolve/main/config.json", {"Authorization": "Bearer hf_unknown"}, 401, None),
    ],
)
def test_who_may_see_what(hub: TestHub, path: str, token: dict[str, str], status: int, code: str | None) -> None:
    for method in ("HEAD", "GET"):
        reply = ask(hub, f"/{path}", method, token)
        assert (reply.status, reply["X-Error-Code"]) == (status, code)


def test_a_renamed_repo_redirects_everywhere(hub: TestHub) -> None:
    for path in ("/api/models/{}", "/{}/resolve/main/config.json", "/api/models/{}/tree/main?recursive=true"):
        reply = ask(hub, path.format("acme/old-name"))
        assert (reply.status, reply.location) == (307, path.format("acme/tiny"))
    assert ask(hub, "/api/models/ACME/Tiny").location == "/api/models/acme/tiny"
    assert follow(hub, "/acme/old-name/resolve/main/vocab.txt").status == 200


def test_a_branch_moves(hub: TestHub) -> None:
    before = ask(hub, "/api/spaces/acme/space").json["sha"]
    after = hub.commit("acme/space", {"index.html": "<p>new</p>\n"}, type="spaces")
    assert before != after == ask(hub, "/spaces/acme/space/resolve/main/index.html")["X-Repo-Commit"]
    assert follow(hub, f"/spaces/acme/space/resolve/{before}/index.html").body == b"<p>hi</p>\n"
    assert follow(hub, "/spaces/acme/space/resolve/main/index.html").body == b"<p>new</p>\n"
