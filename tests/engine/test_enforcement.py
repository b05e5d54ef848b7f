"""Every request under the rules: no route, no cache and no state of the hub gives out what a rule denies."""

from __future__ import annotations

import asyncio
import json

import pytest

from proxy_addon.core.messages import Pass, Reply
from proxy_addon.fetch.upstream import Throttled
from tests.conftest import Ruled
from tests.engine.rig import LINK, Clock, Got, Rig, drained, request_for
from tests.hub import Repo, Synthetic, TestHub, cdn
from tests.hub.ask import ask as direct
from tests.hub.repo import Storage

H = "https://huggingface.co"
M = "https://www.modelscope.cn"
READER = {"Authorization": "Bearer hf_reader"}
WAYS = 'defaults: {contact: "ml@example.org", request_url: "https://tickets.example.org/?repo={repo}&rule={rule}"}'
NC = """
  - id: lic-nc
    effect: deny
    match: {license: {commercial_use: "no"}}
    reason: "Licence {license.id} does not allow commercial use."
    owner: legal@example.org
"""
NONCOMMERCIAL = f"version: 1\n{WAYS}\nrules:{NC}"
EMBARGO = (
    f"version: 1\n{WAYS}\nclassifications:\n  - {{id: emb, class: embargoed, match: {{repo: acme/*}}, reason: hold}}\n"
)


async def answered(
    r: Rig, method: str, url: str, headers: dict[str, str] | None = None, body: bytes = b""
) -> Got | Pass:
    """As the edge goes about it."""
    request = request_for(method, url, headers, body)
    engine = r.parts.engine
    if body and (refusal := engine.refuses(request)) is not None:
        return Got(refusal, b"")
    if not engine.takes(request_for(method, url, headers)):
        return Pass()
    reply = engine.quick(request) or await engine.glance(request) or await engine.handle(request)
    return reply if isinstance(reply, Pass) else await drained(reply)


def is_denied(got: Got | Pass, rule: str) -> bool:
    return isinstance(got, Got) and got.status in (403, 451) and got.header("X-Policy-Rule") == rule


def batch(*oids: str) -> bytes:
    asked = {"operation": "download", "transfers": ["basic"], "objects": [{"oid": oid, "size": 1} for oid in oids]}
    return json.dumps(asked).encode()


LFS = {"Accept": "application/vnd.git-lfs+json", "Content-Type": "application/vnd.git-lfs+json"}
OF_A_REPO = [
    ("GET", "/api/models/{id}"),
    ("GET", "/api/models/{id}/revision/main"),
    ("GET", "/api/models/{id}/tree/main?recursive=true"),
    ("POST", "/api/models/{id}/paths-info/main"),
    ("GET", "/api/models/{id}/refs"),
    ("GET", "/api/models/{id}/commits/main"),
    ("GET", "/api/models/{id}/xet-read-token/main"),
    ("GET", "/api/models/{id}/auth-check"),
    ("HEAD", "/{id}/resolve/main/config.json"),
    ("GET", "/{id}/resolve/main/config.json"),
    ("GET", "/{id}/resolve/{commit}/config.json"),
    ("GET", "/{id}/raw/main/README.md"),
    ("GET", "/api/resolve-cache/models/{id}/{commit}/config.json"),
    ("GET", "/{id}"),
    ("GET", "/{id}/tree/main"),
    ("GET", "/{id}/blob/main/README.md"),
    ("GET", "/{id}.git/info/refs?service=git-upload-pack"),
    ("GET", "/{id}/info/refs?service=git-upload-pack"),
    ("POST", "/{id}.git/git-upload-pack"),
    ("POST", "/{id}.git/info/lfs/objects/batch"),
    ("GET", "/v2/{id}/manifests/latest"),
    ("GET", "/v2/{id}/blobs/sha256:" + "0" * 64),
]


async def ask(r: Rig, hub: TestHub, method: str, path: str, id: str) -> Got | Pass:
    url = H + path.format(id=id, commit=hub.repo(id).head)
    body = batch("0" * 64) if path.endswith("batch") else b"paths=config.json" if method == "POST" else b""
    return await answered(r, method, url, LFS if path.endswith("batch") else None, body)


# -- no route is left ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), OF_A_REPO, ids=[f"{m} {p}" for m, p in OF_A_REPO])
async def test_an_embargo_makes_no_request_upstream(hub: TestHub, ruled: Ruled, method: str, path: str) -> None:
    r = await ruled(EMBARGO)
    assert is_denied(await ask(r, hub, method, path, "acme/tiny"), "emb")
    assert not hub.requests()


@pytest.mark.parametrize(("method", "path"), OF_A_REPO, ids=[f"{m} {p}" for m, p in OF_A_REPO])
async def test_a_licence_that_only_the_api_tells_closes_every_route(
    hub: TestHub, ruled: Ruled, method: str, path: str
) -> None:
    r = await ruled(NONCOMMERCIAL)
    assert is_denied(await ask(r, hub, method, path, "acme/nc"), "lic-nc")
    asked = hub.requests()
    assert [record.path for record in asked if not record.path.startswith("/api/models/acme/nc")] == []
    allowed = await ask(r, hub, method, path, "acme/tiny")
    assert isinstance(allowed, Pass) or allowed.header("X-Policy-Rule") is None


OF_MODELSCOPE = [
    "/api/v1/models/acme/tiny",
    "/openapi/v1/models/acme/tiny",
    "/api/v1/models/acme/tiny/revisions",
    "/api/v1/models/acme/tiny/repo/files?Revision=master&Recursive=True",
    "/api/v1/models/acme/tiny/repo?Revision=master&FilePath=config.json",
    "/models/acme/tiny/resolve/master/config.json",
    "/acme/tiny.git/info/refs?service=git-upload-pack",
]


@pytest.mark.parametrize("path", OF_MODELSCOPE)
async def test_the_same_on_the_other_hub(hub: TestHub, ruled: Ruled, path: str) -> None:
    r = await ruled(EMBARGO)
    got = await answered(r, "GET", M + path)
    assert is_denied(got, "emb") and not hub.requests()


async def test_a_number_leads_to_the_repo(hub: TestHub, ruled: Ruled) -> None:
    r = await ruled(EMBARGO)
    told = await ruled("version: 1\n", dir="open")
    number = json.loads((await told.get(f"{M}/api/v1/datasets/acme/tiny-ds")).body)["Data"]["Id"]
    hub.clear()
    got = await answered(r, "GET", f"{M}/api/v1/datasets/{number}/repo/tree?Revision=master")
    assert is_denied(got, "emb")


# -- what is in the cache ---------------------------------------------------------------------------------------------


async def test_what_is_cached_is_denied_from_memory_too(hub: TestHub, ruled: Ruled) -> None:
    before = await ruled("version: 1\n")
    url = f"{H}/acme/nc/resolve/main/config.json"
    assert (await before.get(url)).status == 200
    await before.close()
    r = await ruled(NONCOMMERCIAL)
    assert is_denied(await answered(r, "GET", url), "lic-nc")
    hub.clear()
    reply = r.parts.engine.quick(request_for("GET", url)) or await r.parts.engine.glance(request_for("GET", url))
    assert reply is not None and reply.status == 403
    assert not hub.requests()


async def test_an_allowed_hit_stays_a_hit_in_memory(hub: TestHub, ruled: Ruled) -> None:
    r = await ruled(NONCOMMERCIAL)
    url = f"{H}/acme/tiny/resolve/main/config.json"
    for _ in range(2):
        assert (await r.get(url)).status == 200
    hub.clear()
    reply = r.parts.engine.quick(request_for("GET", url))
    assert reply is not None and reply.status == 200 and not hub.requests()


async def test_facts_cost_one_request_for_all_files_of_a_repo(hub: TestHub, ruled: Ruled) -> None:
    r = await ruled(NONCOMMERCIAL)
    for name in ("config.json", "README.md", "tokenizer.json", "config.json"):
        await r.get(f"{H}/acme/tiny/resolve/main/{name}")
    assert len(hub.requests(path="/api/models/acme/tiny*")) == 1


# -- which commit it is ----------------------------------------------------------------------------------------------


async def test_each_revision_has_its_own_licence(hub: TestHub, ruled: Ruled) -> None:
    repo = hub.add(Repo("acme/turned", files={"README.md": "---\nlicense: mit\n---\n", "a.txt": "one"}))
    old = repo.head
    repo.commit({"README.md": "---\nlicense: cc-by-nc-4.0\n---\n", "a.txt": "two"})
    r = await ruled(NONCOMMERCIAL)
    assert (await r.get(f"{H}/acme/turned/resolve/{old}/a.txt")).body == b"one"
    for rev in ("main", repo.head):
        assert is_denied(await answered(r, "GET", f"{H}/acme/turned/resolve/{rev}/a.txt"), "lic-nc")


async def test_a_branch_that_moved_is_judged_by_what_it_is_now(hub: TestHub, ruled: Ruled) -> None:
    repo = hub.add(Repo("acme/turns", files={"README.md": "---\nlicense: mit\n---\n", "a.txt": "one"}))
    r = await ruled(NONCOMMERCIAL)
    url = f"{H}/acme/turns/resolve/main/a.txt"
    assert (await r.get(url)).body == b"one"
    repo.commit({"README.md": "---\nlicense: cc-by-nc-4.0\n---\n", "a.txt": "two"})
    got = await answered(r, "GET", url, {"Cache-Control": "no-cache"})
    assert is_denied(got, "lic-nc"), "the facts of the branch are minutes old, the file is not"
    assert is_denied(await answered(r, "GET", url), "lic-nc")


async def test_an_exception_for_one_commit(hub: TestHub, ruled: Ruled) -> None:
    repo = hub.repo("acme/nc")
    old = repo.head
    repo.commit({"more.txt": "more"})
    day = "2030-01-01"
    text = f"""{NONCOMMERCIAL}
exceptions:
  - {{id: EX-1, match: {{repo: acme/nc, revision: "{old}"}}, overrides: [lic-nc], owner: bob, expires: {day}}}
""".replace("request_url", "exception_days: 3650, request_url")
    r = await ruled(text)
    got = await answered(r, "GET", f"{H}/acme/nc/resolve/{old}/config.json")
    assert isinstance(got, Got) and got.status == 200
    assert got.reply.ruling is not None and got.reply.ruling.by == ("EX-1",)
    assert is_denied(await answered(r, "GET", f"{H}/acme/nc/resolve/main/config.json"), "lic-nc")


# -- audit ------------------------------------------------------------------------------------------------------------


async def test_audit_lets_pass_and_says_so_cold_and_warm(hub: TestHub, ruled: Ruled) -> None:
    r = await ruled(NONCOMMERCIAL.replace("version: 1", "version: 1\nmode: audit"))
    for _ in range(3):
        got = await answered(r, "GET", f"{H}/acme/nc/resolve/main/config.json")
        assert isinstance(got, Got) and got.status == 200
        assert got.header("X-Policy-Audit") == "lic-nc"
        assert "does not allow commercial use" in (got.header("X-HF-Warning") or "")
        assert got.reply.ruling is not None and got.reply.ruling.audit == ("lic-nc",)
    passed = await answered(r, "GET", f"{H}/acme/nc.git/info/refs?service=git-upload-pack")
    assert isinstance(passed, Pass) and ("X-Policy-Audit", "lic-nc") in passed.told


# -- when nobody can be asked -----------------------------------------------------------------------------------------


async def test_without_the_hub_nothing_is_guessed(hub: TestHub, ruled: Ruled) -> None:
    before = await ruled("version: 1\n")
    url = f"{H}/acme/tiny/resolve/main/config.json"
    assert (await before.get(url)).status == 200
    await before.close()
    r = await ruled(NONCOMMERCIAL)
    hub.stop()
    got = await answered(r, "GET", url)
    assert isinstance(got, Got) and got.status in (502, 504) and b"rules ask for" in got.body
    hub.start()
    assert (await r.get(url)).status == 200
    await r.close()
    hub.stop()
    again = await ruled(NONCOMMERCIAL)
    assert (await again.get(url)).status == 200, "what was known is enough"


async def test_why_the_hub_was_asked_is_told_to_one_alone(ruled: Ruled, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others may wait for the same exchange, for reasons of their own."""
    r, fault = await ruled(NONCOMMERCIAL), Throttled("huggingface.co", 5)

    async def find(*asked: object) -> None:
        raise fault

    monkeypatch.setattr(r.parts.engine.facts, "find", find)
    got = await answered(r, "GET", f"{H}/acme/nc/resolve/main/config.json")
    assert isinstance(got, Got) and (got.status, got.header("Retry-After")) == (429, "5")
    assert b"rules ask for the commit, license of acme/nc, and huggingface.co asked to wait 5 s" in got.body
    assert str(fault) == "huggingface.co asked to wait 5 s"


async def test_facts_that_are_old_still_hold_while_the_hub_is_down(hub: TestHub, ruled: Ruled, clock: Clock) -> None:
    r = await ruled(NONCOMMERCIAL)
    nc, tiny = (f"{H}/acme/{name}/resolve/main/config.json" for name in ("nc", "tiny"))
    await answered(r, "GET", nc)
    await r.get(tiny)
    hub.stop()
    clock.leap(3600)
    assert (await r.get(tiny)).status == 200
    assert is_denied(await answered(r, "GET", nc), "lic-nc")


async def test_a_repo_that_is_not_there_is_the_hubs_to_tell(hub: TestHub, ruled: Ruled) -> None:
    r = await ruled(NONCOMMERCIAL)
    got = await answered(r, "GET", f"{H}/acme/missing/resolve/main/config.json")
    assert isinstance(got, Got) and got.status == 401
    assert got.header("X-Policy-Rule") is None


async def test_a_private_repo_is_judged_with_its_readers_own_token(hub: TestHub, ruled: Ruled) -> None:
    r = await ruled(NONCOMMERCIAL)
    url = f"{H}/acme/private/resolve/main/README.md"
    assert isinstance(got := await answered(r, "GET", url, READER), Got) and got.status < 400
    for headers in (None, {"Authorization": "Bearer hf_other"}):
        refused = await answered(r, "GET", url, headers)
        assert isinstance(refused, Got) and refused.status in (401, 403, 404)
        assert refused.header("X-Policy-Rule") is None
    hub.repo("acme/private").commit({"README.md": "---\nlicense: cc-by-nc-4.0\n---\n"})
    fresh = await ruled(NONCOMMERCIAL, dir="other")
    assert is_denied(await answered(fresh, "GET", url, READER), "lic-nc")


# -- links ------------------------------------------------------------------------------------------------------------


async def test_a_link_that_nobody_handed_out(hub: TestHub, ruled: Ruled) -> None:
    shut = hub.add(
        Repo(
            "acme/shut",
            files={"b.bin": Synthetic(5000, 7)},
            storage={"b.bin": "lfs"},
            gated="auto",
            readers={"hf_reader"},
        )
    )
    elsewhere = await ruled("version: 1\n", dir="elsewhere")
    told = await elsewhere.get(f"{H}/{shut.id}/resolve/main/b.bin", READER | LINK)
    link = told.header("Location") or ""
    assert link.startswith("https://")
    r = await ruled(NONCOMMERCIAL)
    hub.clear()
    assert is_denied(await answered(r, "GET", link), "unknown-origin")
    assert not hub.requests()
    audit = await ruled(NONCOMMERCIAL.replace("version: 1", "version: 1\nmode: audit"), dir="audit")
    got = await answered(audit, "GET", link)
    assert isinstance(got, Got) and got.status == 200 and got.header("X-Policy-Audit") == "unknown-origin"


async def test_a_link_is_judged_by_the_repo_it_was_handed_out_for(hub: TestHub, ruled: Ruled) -> None:
    repo = hub.add(
        Repo(
            "acme/weights",
            files={"README.md": "---\nlicense: mit\n---\n", "b.bin": Synthetic(5000, 8)},
            storage={"b.bin": "lfs"},
        )
    )
    oid = repo.file("b.bin").sha256
    r = await ruled(NONCOMMERCIAL)
    told = await answered(r, "POST", f"{H}/acme/weights.git/info/lfs/objects/batch", LFS, batch(oid))
    assert isinstance(told, Got)
    link = json.loads(told.body)["objects"][0]["actions"]["download"]["href"]
    got = await answered(r, "GET", link)
    assert isinstance(got, Got) and got.status == 200
    denied = await ruled(
        "version: 1\nrules:\n  - {id: no-bin, effect: deny, match: {path: ['**/*.bin', '*.bin']}}\n", dir="bins"
    )
    told = await answered(denied, "POST", f"{H}/acme/weights.git/info/lfs/objects/batch", LFS, batch(oid))
    assert isinstance(told, Got)
    assert "no-bin" in json.loads(told.body)["objects"][0]["error"]["message"], "its path is found by its digest"


# -- content ----------------------------------------------------------------------------------------------------------


async def test_a_digest_is_denied_wherever_it_is(hub: TestHub, ruled: Ruled) -> None:
    bad = hub.repo("acme/tiny").file("old.bin").sha256
    r = await ruled(f'version: 1\nrules:\n  - {{id: bad, effect: deny, match: {{digest: "sha256:{bad}"}}}}\n')
    for _ in range(2):
        assert is_denied(await answered(r, "GET", f"{H}/acme/tiny/resolve/main/old.bin"), "bad")
        assert is_denied(await answered(r, "HEAD", f"{H}/acme/tiny/resolve/main/old.bin"), "bad")
        other = await answered(r, "GET", f"{H}/acme/tiny/resolve/main/config.json")
        assert isinstance(other, Got) and other.status == 200
        absent = await answered(r, "GET", f"{H}/acme/tiny/resolve/main/absent.json")
        assert isinstance(absent, Got) and absent.status == 404


async def test_a_digest_is_denied_by_native_xet_too_and_only_that(hub: TestHub, ruled: Ruled) -> None:
    files = {"README.md": "---\nlicense: mit\n---\n", "a.bin": Synthetic(70000, 31), "b.bin": Synthetic(70000, 32)}
    repo = hub.add(Repo("acme/pair", files=files, storage={"a.bin": "xet", "b.bin": "xet"}))
    bad = repo.file("a.bin").sha256
    rule = f'version: 1\nrules:\n  - {{id: bad, effect: deny, match: {{digest: "sha256:{bad}"}}}}\n'
    r = await ruled(rule, hubs__huggingface={"xet": "native"})
    told = json.loads((await r.get(f"{H}/api/models/acme/pair/xet-read-token/main")).body)
    assert (await r.get(f"{H}/api/models/acme/pair/tree/main?recursive=true")).status == 200
    for name, denied in (("a.bin", True), ("b.bin", False)):
        await answered(r, "HEAD", f"{H}/acme/pair/resolve/main/{name}")
        await r.parts.engine._xet.identities.settle()
        url = f"{told['casUrl']}/v1/reconstructions/{repo.file(name).xet}"
        got = await answered(r, "GET", url, {"Authorization": f"Bearer {told['accessToken']}"})
        assert isinstance(got, Got) and is_denied(got, "bad") is denied, name
        assert denied or got.status == 200


@pytest.mark.parametrize("storage", ["lfs", "xet"])
@pytest.mark.parametrize(("method", "headers"), [("GET", {}), ("HEAD", {}), ("GET", {"Cache-Control": "no-store"})])
async def test_a_digest_is_denied_by_a_link_from_elsewhere_and_only_that(
    hub: TestHub, ruled: Ruled, storage: Storage, method: str, headers: dict[str, str]
) -> None:
    """What the ETag of such a link tells is a Xet hash, an MD5 or nothing."""
    files = {"README.md": "---\nlicense: mit\n---\n", "a.bin": Synthetic(70000, 33), "b.bin": Synthetic(70000, 34)}
    repo = hub.add(Repo("acme/linked", files=files, storage=dict.fromkeys(("a.bin", "b.bin"), storage)))
    bad = repo.file("a.bin").sha256
    rule = f'version: 1\nrules:\n  - {{id: bad, effect: deny, match: {{digest: "sha256:{bad}"}}}}\n'
    r = await ruled(rule, hubs__huggingface={"xet": "native"})
    hub.knob(page_size=100)
    assert (await r.get(f"{H}/api/models/acme/linked/tree/main?recursive=true")).status == 200
    await r.parts.engine.origins.settle()
    await r.parts.engine._xet.identities.settle()
    for name, denied in (("a.bin", True), ("b.bin", False)):
        link = direct(hub, f"/acme/linked/resolve/main/{name}", "HEAD").location
        got = await answered(r, method, link, headers)
        assert isinstance(got, Got) and is_denied(got, "bad") is denied, name
        assert denied or got.status == 200


# -- who writes, what is no repo --------------------------------------------------------------------------------------


async def test_a_licence_does_not_stop_an_upload_an_embargo_does(hub: TestHub, ruled: Ruled) -> None:
    push = f"{H}/acme/nc.git/info/refs?service=git-receive-pack"
    assert isinstance(await answered(await ruled(NONCOMMERCIAL), "GET", push), Pass)
    assert is_denied(await answered(await ruled(EMBARGO, dir="b"), "GET", push), "emb")


@pytest.mark.parametrize(
    "path", ["/docs/transformers/index", "/login", "/api/whoami-v2", "/api/models?search=tiny", "/papers"]
)
async def test_what_is_no_repo_is_not_judged(hub: TestHub, ruled: Ruled, path: str) -> None:
    r = await ruled("version: 1\ndefaults: {decision: deny}\n")
    got = await answered(r, "GET", H + path)
    assert isinstance(got, Got) and got.header("X-Policy-Rule") is None


async def test_an_allow_list_lets_pass_what_is_on_it(hub: TestHub, ruled: Ruled) -> None:
    r = await ruled(
        "version: 1\ndefaults: {decision: deny}\nrules:\n  - {id: ours, effect: allow, match: {repo: acme/t*}}\n"
    )
    got = await answered(r, "GET", f"{H}/acme/tiny/resolve/main/config.json")
    assert isinstance(got, Got) and got.status == 200
    assert is_denied(await answered(r, "GET", f"{H}/acme/nc/resolve/main/config.json"), "defaults.decision")
    assert not hub.requests(path="*acme/nc*")


async def test_another_name_for_a_denied_repo(hub: TestHub, ruled: Ruled) -> None:
    named = "{id: no-tiny, effect: deny, match: {repo: acme/tiny, license: {id: '*'}}}"
    asking = "{id: x, effect: deny, match: {license: {commercial_use: 'no'}}}"
    r = await ruled(f"version: 1\nrules:\n  - {named}\n  - {asking}\n")
    got = await answered(r, "GET", f"{H}/acme/old-name/resolve/main/config.json")
    assert is_denied(got, "no-tiny")


async def test_many_at_once_are_all_denied_and_ask_once(hub: TestHub, ruled: Ruled) -> None:
    r = await ruled(NONCOMMERCIAL)
    url = f"{H}/acme/nc/resolve/main/config.json"
    replies = await asyncio.gather(*(r.parts.engine.handle(request_for("GET", url)) for _ in range(20)))
    assert {reply.status for reply in replies if isinstance(reply, Reply)} == {403}
    assert len(hub.requests(path="/api/models/acme/nc*")) == 1


async def test_an_object_of_a_batch_is_denied_alone(hub: TestHub, ruled: Ruled) -> None:
    files = {
        "README.md": "---\nlicense: mit\n---\n",
        "a.bin": Synthetic(5000, 21),
        "b.safetensors": Synthetic(5000, 22),
    }
    lfs = {"a.bin": "lfs", "b.safetensors": "lfs"}
    repo = hub.add(Repo("acme/both", files=files, storage=lfs))
    bad, good = repo.file("a.bin").sha256, repo.file("b.safetensors").sha256
    r = await ruled("version: 1\nrules:\n  - {id: no-bin, effect: deny, match: {path: '*.bin'}, reason: no pickles}\n")
    url = f"{H}/acme/both.git/info/lfs/objects/batch"
    got = await answered(r, "POST", url, LFS, batch(bad, good))
    assert isinstance(got, Got) and got.status == 200
    objects = {each["oid"]: each for each in json.loads(got.body)["objects"]}
    assert "actions" not in objects[bad] and objects[bad]["error"]["code"] == 403
    assert "no pickles" in objects[bad]["error"]["message"] and "error" not in objects[good]
    assert got.header("Content-Length") == str(len(got.body))
    assert got.reply.ruling is not None and got.reply.ruling.rule == "no-bin"
    link = objects[good]["actions"]["download"]["href"]
    assert isinstance(whole := await answered(r, "GET", link), Got) and whole.status == 200
    hub.knob(path="*/objects/batch", status=200, body="{", content_type="application/vnd.git-lfs+json")
    denied = await answered(r, "POST", url, LFS, batch(bad, good))
    assert isinstance(denied, Got) and denied.status == 403 and b"no pickles" in denied.body


@pytest.mark.parametrize("name", ["\\ud800", "..", "a/../b", "\\u0000"])
async def test_a_branch_that_can_be_none_is_as_if_none_was_named(hub: TestHub, ruled: Ruled, name: str) -> None:
    oid = hub.repo("acme/tiny").file("old.bin").sha256 or ""
    r = await ruled("version: 1\nrules:\n  - {id: no-bin, effect: deny, match: {path: '*.bin'}, reason: no pickles}\n")
    asked = f'{{"operation":"download","ref":{{"name":"refs/heads/{name}"}},"objects":[{{"oid":"{oid}","size":1}}]}}'
    got = await answered(r, "POST", f"{H}/acme/tiny.git/info/lfs/objects/batch", LFS, asked.encode())
    assert isinstance(got, Got) and got.status == 200
    assert "no pickles" in json.loads(got.body)["objects"][0]["error"]["message"]


@pytest.mark.parametrize(("path", "token"), [("\ud800", "t"), ("x", "\ud800")])
async def test_what_is_no_text_in_a_batch_goes_by(hub: TestHub, ruled: Ruled, path: str, token: str) -> None:
    oid = hub.repo("acme/tiny").file("old.bin").sha256 or ""
    r = await ruled(NONCOMMERCIAL)
    action = {"href": f"https://cdn-lfs.hf.co/{path}", "header": {"X-Xet-Access-Token": token}}
    told = json.dumps({"objects": [{"oid": oid, "size": 1, "actions": {"download": action}}]})
    hub.knob(path="*/objects/batch", status=200, body=told, content_type="application/vnd.git-lfs+json")
    got = await answered(r, "POST", f"{H}/acme/tiny.git/info/lfs/objects/batch", LFS, batch(oid))
    assert isinstance(got, Got) and (got.status, got.body) == (200, told.encode())


@pytest.mark.parametrize(
    ("ref", "status"), [("refs/heads/dev", 200), ("refs/heads/not-pushed", 403), (None, 403), (7, 403)]
)
async def test_objects_are_looked_for_where_the_batch_says(
    hub: TestHub, ruled: Ruled, ref: object, status: int
) -> None:
    """Elsewhere they are in no listing, and their link is good for nothing."""
    repo = hub.add(Repo("acme/two", files={"README.md": "---\nlicense: mit\n---\n"}))
    repo.branch("dev", repo.head)
    repo.commit({"w.safetensors": Synthetic(5000, 23)}, branch="dev", storage={"w.safetensors": "lfs"})
    oid = repo.file("w.safetensors", "dev").sha256
    r = await ruled("version: 1\nrules:\n  - {id: no-bin, effect: deny, match: {path: '*.bin'}}\n")
    body = json.loads(batch(oid)) | ({"ref": {"name": ref}} if ref else {})
    got = await answered(r, "POST", f"{H}/acme/two.git/info/lfs/objects/batch", LFS, json.dumps(body).encode())
    assert isinstance(got, Got) and got.status == 200
    (told,) = json.loads(got.body)["objects"]
    assert told.get("error", {"code": 200})["code"] == status
    assert ("by its own URL" in json.dumps(told)) is (status == 403)
    given = told.get("actions", {"download": {"href": cdn.large_url(repo, repo.file("w.safetensors", "dev"), 60)}})
    link = await answered(r, "GET", given["download"]["href"])
    assert isinstance(link, Got) and link.status == status
