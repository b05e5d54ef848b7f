"""Two generations of the ModelScope SDK through the proxy: the same bytes cold, warm and without the hub."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.clients.conftest import Site
from tests.clients.modelscope_programs import FILES, LOGIN, SNAPSHOTS
from tests.clients.run import MODELSCOPE_ENVS, ModelScopeEnv, run_client
from tests.hub import Repo, Synthetic, TestHub

CDN = "cdn-lfs-cn-1.modelscope.cn"
HUGGING_FACE = """
    import hashlib, json, sys
    from pathlib import Path
    from huggingface_hub import snapshot_download
    files = [p for p in Path(snapshot_download(sys.argv[1])).rglob("*") if p.is_file()]
    print(json.dumps({p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}))
"""
REPOS = [("acme/tiny", "model", None), ("acme/tiny", "model", "v1.0.0"), ("acme/tiny-ds", "dataset", None)]
NAMES = ("old.bin", "config.json", "sub/dir/notes é.txt")


@pytest.fixture(params=MODELSCOPE_ENVS)
def env(request: pytest.FixtureRequest) -> ModelScopeEnv:
    found: ModelScopeEnv = request.param
    return found


def true_files(repo: Repo, revision: str | None = None) -> dict[str, str]:
    """What an SDK keeps of a snapshot: it leaves out the files whose name begins with a dot."""
    commit = repo.at(revision or repo.trunk)
    assert commit
    return {path: f.source.sha256 for path, f in commit.files.items() if not path.startswith(".")}


def true_snapshots(hub: TestHub) -> list[dict[str, str]]:
    return [true_files(hub.repo(id, f"{type}s", "modelscope"), at) for id, type, at in REPOS]


def test_cold_warm_and_without_the_hub(opened: Callable[[], Site], env: ModelScopeEnv) -> None:
    site = opened()
    hub = site.hub
    tiny = hub.repo("acme/tiny", hub="modelscope")
    names, digests = [("acme/tiny", name) for name in NAMES], [tiny.file(name).source.sha256 for name in NAMES]

    assert site.python(env, SNAPSHOTS, json.dumps(REPOS)) == true_snapshots(hub)
    assert site.python(env, FILES, json.dumps(names)) == digests
    for path in ("old.bin", "model.safetensors"):
        assert hub.bodies_of(tiny.file(path).digest) == 1.0, path

    hub.clear()
    assert site.python(env, SNAPSHOTS, json.dumps(REPOS)) == true_snapshots(hub)
    assert site.python(env, FILES, json.dumps(names)) == digests
    assert not hub.requests(host=CDN) and not hub.requests(path="*/repo"), [*map(str, hub.requests())]
    assert len(hub.requests()) <= 4, [*map(str, hub.requests())]

    site.restart(freshness={"ref": "0s", "api": "0s"})
    assert site.python(env, SNAPSHOTS, json.dumps(REPOS)) == true_snapshots(hub)
    assert hub.requests(path="*/repo/files"), "a branch is asked about when its time is over"
    assert not hub.requests(host=CDN) and not hub.requests(path="*/repo"), [*map(str, hub.requests())]

    hub.stop()
    assert site.python(env, SNAPSHOTS, json.dumps(REPOS)) == true_snapshots(hub)
    assert site.python(env, FILES, json.dumps(names)) == digests


def test_a_data_set_of_many_pages(site: Site, env: ModelScopeEnv) -> None:
    id = f"acme/many-{env}"
    many = Repo(id, "dataset", {f"{n // 100}/{n}.txt": f"{env} {n}" for n in range(230)}, hub="modelscope")
    site.hub.add(many)
    for _ in range(2):
        assert site.python(env, SNAPSHOTS, json.dumps([(id, "dataset", None)])) == [true_files(many)]
    assert len(site.hub.requests(path="*/repo")) == 231, "each file once, and one proof"


def test_parallel_parts(site: Site, env: ModelScopeEnv) -> None:
    large, id = Synthetic(170 << 20, seed=8), f"acme/large-{env}"
    site.hub.add(Repo(id, files={"large.bin": large}, hub="modelscope"))
    parallel = {
        "ms140": {"MODELSCOPE_DOWNLOAD_PARALLEL_WORKERS": "4", "MODELSCOPE_DOWNLOAD_PARALLEL_THRESHOLD_MB": "100"},
        "ms129": {"MODELSCOPE_DOWNLOAD_PARALLELS": "4", "MODELSCOPE_PARALLEL_DOWNLOAD_THRESHOLD_MB": "100"},
    }[env]
    before = site.hub.bodies_of(large.sha256)
    for _ in range(2):
        plan = json.dumps([(id, "model", None)])
        assert site.python(env, SNAPSHOTS, plan, **parallel) == [{"large.bin": large.sha256}]
    assert site.hub.bodies_of(large.sha256) - before == (1.0 if env == MODELSCOPE_ENVS[0] else 0.0)


def test_a_dropped_download_comes_whole(opened: Callable[[], Site], env: ModelScopeEnv) -> None:
    """The hub's drops are mended by the proxy; and when the proxy itself goes, the SDK goes on where it was."""
    site = opened()
    repo = site.hub.repo("acme/tiny", hub="modelscope")
    site.hub.knob(host=CDN, drop_after=600_000, times=2)
    plan = json.dumps([("acme/tiny", "old.bin")])
    assert site.python(env, FILES, plan) == [repo.file("old.bin").sha256]
    assert site.hub.bodies_of(repo.file("old.bin").digest) < 1.01


def test_a_private_repo_opens_to_its_readers_only(site: Site, env: ModelScopeEnv) -> None:
    repo, plan = site.hub.repo("acme/private", hub="modelscope"), json.dumps([("acme/private", "old.bin")])
    script, variables = (FILES, {"MODELSCOPE_API_TOKEN": "ms_reader"}) if env == "ms140" else (LOGIN, {})
    for _ in range(2):
        assert site.python(env, script, plan, **variables) == [repo.file("old.bin").sha256]
    done = run_client(env, FILES, plan, proxy_url=site.proxy.url, ca_bundle=site.bundle, home=site.home(), timeout=90)
    assert done.returncode != 0 and repo.file("old.bin").sha256 not in done.stdout


def test_a_repo_of_the_other_site(site: Site, env: ModelScopeEnv) -> None:
    right = site.hub.repo("acme/abroad", hub="modelscope").file("config.json").source.sha256
    for _ in range(2):
        assert site.python(env, FILES, json.dumps([("acme/abroad", "config.json")])) == [right]
    assert site.hub.requests(host="*.cn", path="*/acme/abroad*", status=404)


@pytest.mark.parametrize("path", ["old.bin", "config.json"])
def test_a_corrupted_body_ends_with_an_error_or_the_right_bytes(
    opened: Callable[[], Site], env: ModelScopeEnv, path: str
) -> None:
    site = opened()
    site.hub.knob(host=CDN, corrupt_at=1000, times=1)
    site.hub.knob(path="*/repo", corrupt_at=20, times=2)
    file = site.hub.repo("acme/tiny", hub="modelscope").file(path)
    home, plan = site.home(), json.dumps([("acme/tiny", path)])
    first = run_client(env, FILES, plan, proxy_url=site.proxy.url, ca_bundle=site.bundle, home=home, timeout=90)
    assert (first.returncode != 0) or json.loads(first.stdout.splitlines()[-1]) == [file.source.sha256]
    site.hub.unknob()
    again = run_client(env, FILES, plan, proxy_url=site.proxy.url, ca_bundle=site.bundle, home=home, timeout=90)
    assert json.loads(again.stdout.splitlines()[-1]) == [file.source.sha256], "what the SDK has kept does not bar it"
    assert site.python(env, FILES, plan) == [file.source.sha256], "nothing bad was kept"


def test_one_blob_for_both_hubs(site: Site, env: ModelScopeEnv) -> None:
    for seed, first in enumerate(("huggingface", "modelscope"), start=100 + 2 * MODELSCOPE_ENVS.index(env)):
        id, source = f"acme/{first}-{env}", Synthetic(5_000_000, seed)
        repo = site.hub.add(Repo(id, files={"w.bin": source, "a.json": "{}"}, storage={"w.bin": "lfs"}))
        site.hub.add(repo.mirror())
        right = {"w.bin": source.sha256, "a.json": repo.file("a.json").source.sha256}
        clients = {
            "huggingface": lambda id=id: site.python("hub2", HUGGING_FACE, id),
            "modelscope": lambda id=id: site.python(env, SNAPSHOTS, json.dumps([(id, "model", None)]))[0],
        }
        assert clients.pop(first)() == right
        site.hub.clear()
        assert next(iter(clients.values()))() == right
        assert site.hub.bodies_of(source.sha256) == 0.0 and site.hub.bytes_sent(blob=source.sha256) == 0
