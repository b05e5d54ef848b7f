"""Links and tokens of a closed repo under rules: judged by what the reader was told to whom they were handed out.

Such a request has no credentials that the hub would take, so nobody can ask about the repo with it.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from proxy_addon.answer.remembered import Memory
from proxy_addon.core.messages import Finished
from proxy_addon.core.status import Outcome
from proxy_addon.policy.rulebook import Rulebook
from tests.conftest import Starter
from tests.engine.rig import LINK, Clock, Got, Rig, request_for
from tests.engine.test_secrets import CANARIES, CANARY
from tests.engine.xet_client import CAS, links
from tests.hub import Repo, Synthetic, TestHub

H, M = "https://huggingface.co", "https://www.modelscope.cn"
READER, MS_READER = {"Authorization": "Bearer hf_reader"}, {"Authorization": "Bearer ms_reader"}
LFS = {"Accept": "application/vnd.git-lfs+json", "Content-Type": "application/vnd.git-lfs+json"}
NATIVE = {"hubs__huggingface": {"xet": "native"}}
NC = '{id: lic-nc, effect: deny, match: {license: {commercial_use: "no"}}}'
UNSAFE = "{id: unsafe, effect: deny, match: {path: '**/*.bin', hub_scan: unsafe}}"
PICKLES = "{id: no-bin, effect: deny, match: {path: '**/*.bin'}}"
LARGE = Synthetic(300_000, 91)
AGAIN = "Ask for the file by its own URL again."

type Ruled = Callable[..., Awaitable[Rig]]
type Way = Callable[[Rig, Repo], Awaitable[tuple[str, dict[str, str]]]]


@pytest.fixture
def ruled(start: Starter, tmp_path: Path) -> Ruled:
    """Starts an engine under these rules, which lie in `rules.yaml`."""

    async def begin(*rules: str, mode: str = "enforce", **changes: object) -> Rig:
        path = tmp_path / "rules.yaml"
        path.write_text(written(*rules, mode=mode))
        return await start(rules=(path,), **NATIVE | changes)

    return begin


def written(*rules: str, mode: str = "enforce") -> str:
    return f"version: 1\nmode: {mode}\nrules: [{', '.join(rules)}]\n"


def changed(r: Rig, tmp_path: Path, *rules: str) -> None:
    (tmp_path / "rules.yaml").write_text(written(*rules))
    book = r.parts.engine._enforcement._rules
    assert isinstance(book, Rulebook)
    book.look(confirmed=True)
    assert book.faults == ()


def closed(at: TestHub, /, storage: str = "lfs", licence: str = "mit", id: str = "acme/shut", **more: Any) -> Repo:
    files = {"README.md": f"---\nlicense: {licence}\n---\n", "w.bin": LARGE, "q.gguf": Synthetic(200_000, 92)}
    where = {"w.bin": storage, "q.gguf": storage}
    settings = {"private": True, "readers": {"hf_reader"}} | more
    return at.add(Repo(id, files=files, storage=where, **settings))  # type: ignore[arg-type]


def is_lost(got: Got) -> bool:
    """Denied as of unknown origin, with no word by which a client would try to log in."""
    return (
        got.status in (403, 451)
        and got.header("X-Policy-Rule") == "unknown-origin"
        and AGAIN.encode() in got.body
        and got.header("WWW-Authenticate") is None
        and b"acme/" not in got.body + str(got.reply.headers.fields).encode()
    )


# -- the ways by which a link is had --------------------------------------------------------------------------------


async def redirected(r: Rig, repo: Repo) -> tuple[str, dict[str, str]]:
    got = await r.get(f"{H}/{repo.id}/resolve/main/w.bin", READER | LINK)
    assert got.status in (302, 307), got.body
    return got.header("Location") or "", {}


async def batched(r: Rig, repo: Repo) -> tuple[str, dict[str, str]]:
    asked = {"operation": "download", "objects": [{"oid": repo.file("w.bin").sha256, "size": LARGE.size}]}
    got = await r.get(f"{H}/{repo.id}.git/info/lfs/objects/batch", READER | LFS, "POST", json.dumps(asked).encode())
    assert got.status == 200, got.body
    return json.loads(got.body)["objects"][0]["actions"]["download"]["href"], {}


async def pulled(r: Rig, repo: Repo) -> tuple[str, dict[str, str]]:
    """As ollama does: the hub sends it from one of its names to the other, where it shows no token."""
    digest = repo.file("q.gguf").sha256
    got = await r.get(f"https://hf.co/v2/{repo.id}/blobs/sha256:{digest}", READER)
    assert got.status == 307 and "__sign=" in (got.header("Location") or ""), got.body
    away = await r.get(got.header("Location") or "")
    assert away.status == 307, away.body
    return away.header("Location") or "", {}


async def tokened(r: Rig, repo: Repo) -> tuple[str, dict[str, str]]:
    """With native Xet; the link is one to a range of a xorb."""
    await r.head(f"{H}/{repo.id}/resolve/main/w.bin", READER)
    token = await r.get(f"{H}/api/models/{repo.id}/xet-read-token/{repo.head}", READER)
    assert token.status == 200, token.body
    own = {"Authorization": f"Bearer {json.loads(token.body)['accessToken']}", "x-xet-session-id": "s"}
    got = await r.get(f"{CAS}/v2/reconstructions/{repo.file('w.bin').xet}", own)
    assert got.status == 200, got.body
    asked = links(json.loads(got.body))[0]
    return asked.url, {"Range": asked.range}


async def from_modelscope(r: Rig, repo: Repo) -> tuple[str, dict[str, str]]:
    got = await r.get(f"{M}/models/{repo.id}/resolve/master/w.bin", MS_READER | LINK)
    assert got.status == 302, got.body
    return got.header("Location") or "", {}


MS: dict[str, Any] = {"hub": "modelscope", "readers": {"ms_reader"}}
WAYS: dict[str, tuple[Way, str, dict[str, Any]]] = {
    "redirect": (redirected, "lfs", {}),
    "bridge": (redirected, "xet", {}),
    "gated": (redirected, "lfs", {"private": False, "gated": "auto"}),
    "batch": (batched, "lfs", {}),
    "batch of xet": (batched, "xet", {}),
    "ollama": (pulled, "lfs", {}),
    "xorb": (tokened, "xet", {}),
    "modelscope": (from_modelscope, "lfs", MS),
}


@pytest.mark.parametrize("way", WAYS)
async def test_what_the_reader_may_have_is_had_by_its_link_also_later(
    hub: TestHub, ruled: Ruled, clock: Clock, way: str
) -> None:
    hand_out, storage, settings = WAYS[way]
    r, repo = await ruled(NC, UNSAFE), closed(hub, storage, **settings)
    hub.knob(url_ttl=7200)
    link, headers = await hand_out(r, repo)
    got = await r.get(link, headers)
    assert got.status in (200, 206) and not got.cut and got.header("X-Policy-Rule") is None, got.body
    await r.idle()
    for _ in range(2):
        clock.leap(600)
        hub.clear()
        assert (await r.get(link, headers)).status == got.status, "whoever it is that has the link"
        assert not [q for q in hub.requests() if "authorization" in q.headers]


@pytest.mark.parametrize("way", WAYS)
async def test_what_is_denied_is_denied_at_the_first_step(hub: TestHub, ruled: Ruled, way: str) -> None:
    hand_out, storage, settings = WAYS[way]
    r, repo = await ruled(NC), closed(hub, storage, "cc-by-nc-4.0", **settings)
    with pytest.raises(AssertionError):
        await hand_out(r, repo)
    assert not hub.requests(host="cdn*") + hub.requests(host="*.aws.*") + hub.requests(host="cas-server.*")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("licence", ["mit", "cc-by-nc-4.0"])
async def test_a_link_got_before_the_rule_came(
    hub: TestHub, ruled: Ruled, tmp_path: Path, way: str, licence: str
) -> None:
    hand_out, storage, settings = WAYS[way]
    r, repo = await ruled(), closed(hub, storage, licence, **settings)
    link, headers = await hand_out(r, repo)
    assert (await r.get(link, headers)).status in (200, 206)
    await r.idle()
    changed(r, tmp_path, NC)
    open_facts = settings.get("gated") == "auto"
    got = await r.get(link, headers)
    assert is_lost(got) is not open_facts
    assert (got.header("X-Policy-Rule") is None) is (open_facts and licence == "mit")


@pytest.mark.parametrize("way", ["redirect", "batch", "xorb"])
async def test_a_rule_that_came_later_judges_by_what_was_known(
    hub: TestHub, ruled: Ruled, tmp_path: Path, way: str
) -> None:
    hand_out, storage, settings = WAYS[way]
    r, repo = await ruled(UNSAFE, NC), closed(hub, storage, "gpl-3.0", **settings)
    link, headers = await hand_out(r, repo)
    assert (await r.get(link, headers)).status in (200, 206)
    changed(r, tmp_path, '{id: no-gpl, effect: deny, match: {license: {id: "gpl-*"}}}')
    assert (await r.get(link, headers)).header("X-Policy-Rule") == "no-gpl"
    changed(r, tmp_path, '{id: big, effect: deny, match: {repo_size: ">9GB"}}')
    assert is_lost(await r.get(link, headers)), "that was never asked"
    changed(r, tmp_path, NC)
    assert (await r.get(link, headers)).status in (200, 206)


@pytest.mark.parametrize("way", ["redirect", "batch", "xorb"])
async def test_when_nothing_is_remembered(hub: TestHub, ruled: Ruled, way: str) -> None:
    hand_out, storage, settings = WAYS[way]
    r, repo = await ruled(NC), closed(hub, storage, **settings)
    link, headers = await hand_out(r, repo)
    r.parts.engine.facts._memory = Memory()
    assert is_lost(await r.get(link, headers))
    assert is_lost(await r.get(link, headers | READER)), "and nobody's token goes to where it was not sent"
    assert not [q for q in hub.requests(path="/api/*") if q.host != "huggingface.co"]
    link, headers = await hand_out(r, repo)
    assert (await r.get(link, headers)).status in (200, 206)


async def test_in_audit_mode_it_passes_and_is_told(hub: TestHub, ruled: Ruled) -> None:
    r, repo = await ruled(NC, mode="audit"), closed(hub)
    link, _ = await redirected(r, repo)
    r.parts.engine.facts._memory = Memory()
    got = await r.get(link)
    assert (got.status, got.header("X-Policy-Audit")) == (200, "unknown-origin")


async def test_a_token_without_memory_is_no_reason_to_log_in(hub: TestHub, ruled: Ruled) -> None:
    r, repo = await ruled(NC), closed(hub, "xet")
    await r.head(f"{H}/{repo.id}/resolve/main/w.bin", READER)
    token = json.loads((await r.get(f"{H}/api/models/{repo.id}/xet-read-token/main", READER)).body)["accessToken"]
    own, url = {"Authorization": f"Bearer {token}"}, f"{CAS}/v2/reconstructions/{repo.file('w.bin').xet}"
    assert (await r.get(url, own)).status == 200
    r.parts.engine.facts._memory = Memory()
    hub.clear()
    assert is_lost(await r.get(url, own))
    assert not hub.requests(host="cas-server.*")


@pytest.mark.parametrize("told", ["field", "batch"])
async def test_a_token_that_comes_in_another_way(hub: TestHub, ruled: Ruled, told: str) -> None:
    r, repo = await ruled(NC), closed(hub, "xet")
    await r.head(f"{H}/{repo.id}/resolve/main/w.bin", READER)
    oid, fields = repo.file("w.bin").sha256, {"X-Xet-Access-Token": "xet_z"}
    url = f"{H}/{repo.id}.git/info/lfs/objects/batch"
    url = url if told == "batch" else f"{H}/api/models/{repo.id}/xet-read-token/{repo.head}"
    action = {"href": f"https://cdn-lfs.hf.co/a/b/{oid}?Signature=a", "header": fields}
    body = {"objects": [{"oid": oid, "size": LARGE.size, "actions": {"download": action}}]} if told == "batch" else {}
    hub.knob(path=url.removeprefix(H), status=200, body=json.dumps(body), headers={} if body else fields)
    sent = json.dumps({"operation": "download", "objects": []}).encode() if body else b""
    assert (await r.get(url, READER | LFS, "POST" if body else "GET", sent)).status == 200
    got = await r.get(f"{CAS}/v2/reconstructions/{repo.file('w.bin').xet}", {"Authorization": "Bearer xet_z"})
    assert hub.requests(host="cas-server.*") and got.header("X-Policy-Rule") is None, "the rest is for the hub to say"


@pytest.mark.parametrize("way", WAYS)
async def test_a_guessed_link_is_of_unknown_origin(hub: TestHub, ruled: Ruled, way: str) -> None:
    hand_out, storage, settings = WAYS[way]
    r, repo = await ruled(NC), closed(hub, storage, **settings | {"gated": False, "private": True})
    link, headers = await hand_out(r, repo)
    for guess in (f"{link}x", link.partition("?")[0]):
        assert is_lost(await r.get(guess, headers)), "also of one whose hash is known to be of that repo"
        assert is_lost(await r.get(guess, headers | READER))


async def test_of_what_another_reader_was_told_nothing_counts(hub: TestHub, ruled: Ruled, tmp_path: Path) -> None:
    r, repo = await ruled(), closed(hub, readers={"hf_reader", "hf_other"})
    link, _ = await redirected(r, repo)
    changed(r, tmp_path, NC)
    other = {"Authorization": "Bearer hf_other"}
    assert (await r.get(f"{H}/{repo.id}/resolve/main/w.bin", other | LINK)).status == 302
    assert is_lost(await r.get(link))
    await redirected(r, repo)
    assert (await r.get(link)).status == 200, "its own reader was told now"


@pytest.mark.parametrize("place", [{}, MS])
async def test_git_is_asked_for_its_token_in_its_own_way(hub: TestHub, ruled: Ruled, place: dict[str, Any]) -> None:
    """The API refuses in other words, by which git would not show one, or says that there is no such repo."""
    r, repo = await ruled(NC), closed(hub, **place)
    base, body = f"{M if place else H}/{repo.id}.git", b'{"operation": "download", "objects": []}'
    for method, path in (("GET", "info/refs?service=git-upload-pack"), ("POST", "info/lfs/objects/batch")):
        sent = body if method == "POST" else b""
        got = await r.get(f"{base}/{path}", LFS, method, sent)
        assert got.status == 401 and (got.header("WWW-Authenticate") or "").startswith("Basic ")
        other = await r.get(f"{base}/{path}", LFS | {"Authorization": "Bearer hf_other"}, method, sent)
        assert other.status in (401, 404) and (other.header("WWW-Authenticate") or "Bearer").startswith("Bearer")
    assert not hub.requests(path="*.git/*")


# -- what becomes of what is known -----------------------------------------------------------------------------------


async def test_an_upload_spoils_no_download(hub: TestHub, ruled: Ruled, clock: Clock) -> None:
    r, repo = await ruled(NC), closed(hub)
    hub.knob(url_ttl=7200)
    link, _ = await redirected(r, repo)
    token = f"{H}/api/models/{repo.id}/xet-read-token/main"
    assert (await r.get(token, READER)).status == 200
    repo.commit({"README.md": "---\nlicense: cc-by-nc-4.0\n---\n"})
    pushed = request_for("POST", f"{H}/api/models/{repo.id}/commit/main", READER)
    r.parts.engine.completed(Finished(pushed, 200, Outcome(), "huggingface", "upload", 1))
    await r.parts.engine.settle()
    assert (await r.get(link)).status == 200
    assert (await r.get(token, READER)).header("X-Policy-Rule") == "lic-nc", "what the repo is now was asked at once"


async def test_who_asks_for_less_later_takes_nothing_away(hub: TestHub, ruled: Ruled, clock: Clock) -> None:
    r, repo = await ruled(NC, UNSAFE), closed(hub)
    hub.knob(url_ttl=7200)
    link, _ = await redirected(r, repo)
    clock.leap(310)
    assert (await r.get(f"{H}/{repo.id}/resolve/main/README.md", READER | LINK)).status == 307
    assert (await r.get(link)).status == 200


@pytest.mark.parametrize(("rule", "denied"), [(PICKLES, True), (UNSAFE, False)])
async def test_the_paths_of_a_batch_are_asked_for_with_its_own_token(
    hub: TestHub, ruled: Ruled, rule: str, denied: bool
) -> None:
    r, repo = await ruled(rule), closed(hub)
    asked = {"operation": "download", "objects": [{"oid": repo.file("w.bin").sha256, "size": LARGE.size}]}
    got = await r.get(f"{H}/{repo.id}.git/info/lfs/objects/batch", READER | LFS, "POST", json.dumps(asked).encode())
    assert hub.requests(path="*/tree/*", status=200)[-1].headers["authorization"] == READER["Authorization"]
    (told,) = json.loads(got.body)["objects"]
    assert ("no-bin" in told["error"]["message"]) if denied else "actions" in told


@pytest.mark.parametrize("host", ["huggingface.co", "hf.co"])
async def test_a_long_listing_is_read_by_whichever_name_the_hub_is_asked(hub: TestHub, ruled: Ruled, host: str) -> None:
    r, repo = await ruled(PICKLES), closed(hub)
    repo.commit({f"a{n}.txt": f"{n}" for n in range(9)})
    hub.knob(page_size=2)
    asked = {"operation": "download", "objects": [{"oid": repo.file("w.bin").sha256, "size": LARGE.size}]}
    url = f"https://{host}/{repo.id}.git/info/lfs/objects/batch"
    got = await r.get(url, READER | LFS, "POST", json.dumps(asked).encode())
    assert "no-bin" in json.loads(got.body)["objects"][0]["error"]["message"], "it is on the last page"
    assert {q.host for q in hub.requests(path="*/tree/*", status=200)} == {host}


async def test_while_the_hubs_api_is_down_links_still_work(hub: TestHub, ruled: Ruled, clock: Clock) -> None:
    r, repo = await ruled(NC), closed(hub)
    hub.knob(url_ttl=7200)
    link, _ = await redirected(r, repo)
    clock.leap(600)
    hub.knob(host="huggingface.co", status=503)
    assert (await r.get(link)).status == 200


async def test_nothing_of_it_is_on_disk(hub: TestHub, ruled: Ruled, tmp_path: Path) -> None:
    hub.tokens[CANARY] = "canary"
    r, repo = await ruled(NC, access_log=tmp_path / "access.log"), closed(hub, readers={CANARY})
    got = await r.get(f"{H}/{repo.id}/resolve/main/w.bin", {"Authorization": f"Bearer {CANARY}"} | LINK)
    assert (await r.get(got.header("Location") or "")).status == 200
    await r.close()
    assert CANARIES.below(tmp_path) == {}
    assert not [f for f in tmp_path.rglob("*") if f.is_file() and b"Signature=" in f.read_bytes()]
