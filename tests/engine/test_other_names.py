"""A branch goes by its name, or by all of its ref: no other text by which git would find it is a way around a rule."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import product
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.conftest import Starter
from tests.engine.rig import Got, Rig
from tests.engine.test_enforcement import H, M, answered, is_denied
from tests.hub import TestHub

OPEN = "version: 1\n"
NO_DEV = "version: 1\nrules:\n  - {id: no-dev, effect: deny, match: {revision: dev}, reason: no}\n"
NO_COMMIT = "version: 1\nrules:\n  - {{id: no-commit, effect: deny, match: {{revision: '{}'}}, reason: no}}\n"

type Ruled = Callable[..., Awaitable[Rig]]


@pytest.fixture
def ruled(start: Starter, tmp_path: Path) -> Ruled:
    async def begin(text: str, dir: str = "cache") -> Rig:
        path = tmp_path / f"{dir}.yaml"
        path.write_text(text)
        return await start(dir, rules=(path,))

    return begin


OF_DEV = [
    *("dev^0", "dev~0", "dev^{commit}", "dev^{}", "dev@{0}", "dev@{upstream}", "dev:", ":/dev", "dev ", " dev"),
    *(
        "heads/dev",
        "Heads/dev",
        "remotes/origin/dev",
        "tags/dev",
        "dev.",
        "dev.lock",
        "main..dev",
        ".dev",
        "x/.dev",
        "dev?",
    ),
    *("refs", "refs/heads", "@", "FETCH_HEAD", "CHERRY_PICK_HEAD", "HEAD^{/dev}", "HEAD~1", "pr/1", "convert/parquet"),
    *("~dev", "~parquet~1", "dev~parquet"),
    *("dev*", "de[v]", "refs/heads/dev^0", "refs/heads/dev~0", "REFS/heads/dev^0"),
]
OF_HUGGINGFACE = [
    "/acme/tiny/resolve/{}/config.json",
    "/acme/tiny/raw/{}/config.json",
    "/acme/tiny/resolve/{}",
    "/api/models/acme/tiny/revision/{}",
    "/api/models/acme/tiny/tree/{}/sub",
    "/api/models/acme/tiny/commits/{}",
    "/api/models/acme/tiny/treesize/{}/sub",
    "/api/models/acme/tiny/xet-read-token/{}",
    "/api/resolve-cache/models/acme/tiny/{}/config.json",
    "/acme/tiny/blob/{}/config.json",
    "/acme/tiny/tree/{}",
]
OF_MODELSCOPE = [
    "/api/v1/models/acme/tiny/repo?Revision={}&FilePath=config.json",
    "/api/v1/models/acme/tiny/repo/files?Revision={}&Recursive=True",
    "/api/v1/models/acme/tiny?Revision={}",
    "/api/v1/models/acme/tiny/archive/zip/{}",
    "/models/acme/tiny/resolve/{}/config.json",
    "/acme/tiny/resolve/{}/config.json",
    "/models/acme/tiny/file/view/{}/config.json",
]
SITES = [(H, OF_HUGGINGFACE), (M, OF_MODELSCOPE)]
SECOND = {"HEAD": "main", "~parquet": "refs/convert/parquet", "%7Eparquet": "refs/convert/parquet"}


def is_malformed(got: object) -> bool:
    return isinstance(got, Got) and got.status == 400 and "the revision " in (got.header("X-Error-Message") or "")


@pytest.mark.parametrize("rules", [OPEN, NO_DEV], ids=["open", "ruled"])
@pytest.mark.parametrize(("site", "paths"), SITES, ids=["hf", "ms"])
async def test_what_only_git_would_take_for_a_branch(
    hub: TestHub, ruled: Ruled, site: str, paths: list[str], rules: str
) -> None:
    r = await ruled(rules)
    for path, rev in product(paths, OF_DEV):
        url = site + path.format(quote(rev, safe=""))
        assert is_malformed(await answered(r, "GET", url)), (path, rev)
    for path, method in product(paths, ("HEAD", "POST", "PUT", "DELETE", "OPTIONS")):
        assert is_malformed(await answered(r, method, site + path.format("dev%5E0"))), (path, method)
    assert not hub.requests()


@pytest.mark.parametrize("spelled", ["dev", "refs%2Fheads%2Fdev", "refs%2ftags%2fdev", "%64ev", "REFS%2Fheads%2Fdev"])
@pytest.mark.parametrize(("site", "paths"), SITES, ids=["hf", "ms"])
async def test_what_is_its_name_meets_the_rule(
    hub: TestHub, ruled: Ruled, site: str, paths: list[str], spelled: str
) -> None:
    r = await ruled(NO_DEV)
    for path in paths:
        assert is_denied(await answered(r, "GET", site + path.format(spelled)), "no-dev"), path
    assert not hub.requests()


async def test_a_comparison_shows_both_sides(hub: TestHub, ruled: Ruled) -> None:
    r, url = await ruled(NO_DEV), f"{H}/api/models/acme/tiny/compare/"
    for told in (
        "main..dev",
        "dev..main",
        "main...dev",
        "dev...main",
        "dev",
        "refs/heads/dev..refs%2Fpr%2F1",
        "main..%64ev",
    ):
        for method in ("GET", "POST", "OPTIONS"):
            assert is_denied(await answered(r, method, url + told), "no-dev"), told
    for told in ("main..dev%5E0", "dev~0..main", "main..", "..dev", "FETCH_HEAD..main", "main....dev"):
        got = await answered(r, "GET", url + told)
        assert isinstance(got, Got) and got.status == 400, told
    assert not hub.requests()
    assert (await r.get(f"{url}main..refs/pr/1")).status == 404, "this hub has no comparisons"


@pytest.mark.parametrize("spelled", SECOND)
async def test_a_second_name_that_the_hub_gives_is_the_first_for_rules(
    hub: TestHub, ruled: Ruled, spelled: str
) -> None:
    repo = hub.repo("acme/tiny")
    repo.refs["refs/convert/parquet"] = repo.head
    r = await ruled(OPEN)
    for path in (
        "/acme/tiny/resolve/{}/config.json",
        "/api/models/acme/tiny/revision/{}",
        "/api/models/acme/tiny/tree/{}",
    ):
        got = await r.get(H + path.format(spelled))
        assert got.status == 200 and got.header("X-Repo-Commit") in (None, repo.head), path
    hub.clear()
    text = NO_DEV.replace("revision: dev", f"revision: {SECOND[spelled]}")
    denies = await ruled(text, "b")
    for path, method in product(OF_HUGGINGFACE, ("GET", "POST")):
        assert is_denied(await answered(denies, method, H + path.format(spelled)), "no-dev"), (path, method)
    assert not hub.requests()


async def test_nor_does_the_other_hub_take_it(hub: TestHub, ruled: Ruled) -> None:
    r = await ruled(OPEN)
    for path, rev in product(OF_MODELSCOPE, ("HEAD", "~parquet")):
        assert is_malformed(await answered(r, "GET", M + path.format(rev))), (path, rev)


async def test_names_that_are_odd_and_allowed(hub: TestHub, ruled: Ruled) -> None:
    r = await ruled(NO_DEV)
    repo = hub.repo("acme/tiny")
    names = (
        *("a/b", "v1.0.0", "x@y", "@x", "heads", "developer", "HEAD/x", "release-1.2", "é", "a.lock.b", "lock"),
        *("lm_head", "head", "value-head", "heads-up", "HEAD2"),
    )
    for name in names:
        repo.branch(name)
        assert (await r.get(f"{H}/acme/tiny/resolve/{quote(name, safe='')}/config.json")).status == 200, name
    repo.branch("heads/dev")
    assert (await r.get(f"{H}/acme/tiny/resolve/refs%2Fheads%2Fheads%2Fdev/config.json")).status == 200
    assert (await r.get(f"{H}/acme/tiny/resolve/refs%2Fpr%2F1/config.json")).status == 200
    assert (await r.get(f"{H}/acme/tiny/resolve/refs/pr/1/config.json")).status != 400


async def test_a_commit_is_denied_by_whatever_its_id_is_called(hub: TestHub, ruled: Ruled) -> None:
    repo = hub.repo("acme/tiny")
    old, head = repo.refs["refs/tags/v1"], repo.head
    r = await ruled(NO_COMMIT.format(old))
    for rev in (
        old,
        old.upper(),
        old[:7],
        old[:7].upper(),
        old[:39],
        "v1",
        "refs%2Ftags%2Fv1",
        f"%{ord(old[0]):x}{old[1:]}",
    ):
        for path in (
            "/acme/tiny/resolve/{}/config.json",
            "/acme/tiny/raw/{}/config.json",
            "/api/models/acme/tiny/tree/{}",
        ):
            assert is_denied(await answered(r, "GET", H + path.format(rev)), "no-commit"), (path, rev)
    for rev in (head, head.upper(), head[:7], "main"):
        assert (await r.get(f"{H}/acme/tiny/resolve/{rev}/config.json")).status == 200, rev


async def test_nor_on_the_hub_that_tells_no_commit(hub: TestHub, ruled: Ruled) -> None:
    old = hub.repo("acme/tiny", hub="modelscope").refs["refs/tags/v1.0.0"]
    r = await ruled(NO_COMMIT.format(old))
    for rev in (old, old.upper(), old[:7], "v1.0.0", "master"):
        url = f"{M}/api/v1/models/acme/tiny/repo?Revision={rev}&FilePath=config.json"
        assert is_denied(await answered(r, "GET", url), "no-commit"), rev
