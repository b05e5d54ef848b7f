"""Two generations of modelscope against the test hub, through a splice: the hub is fit to test with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.clients.modelscope_programs import FILES, LOGIN, SNAPSHOTS
from tests.clients.run import MODELSCOPE_ENVS, ModelScopeEnv, run_client
from tests.hub import Repo, Splice, Synthetic, TestHub, ms_reply

CDN = "cdn-lfs-cn-1.modelscope.cn"


@pytest.fixture(params=MODELSCOPE_ENVS)
def env(request: pytest.FixtureRequest) -> ModelScopeEnv:
    found: ModelScopeEnv = request.param
    return found


@pytest.fixture
def run(hub: TestHub, splice: Splice, env: ModelScopeEnv, tmp_path: Path) -> Runner:
    return Runner(hub, splice, env, tmp_path)


class Runner:
    """Runs scripts of one client, each as a fresh one, and reads the JSON that they print last."""

    def __init__(self, hub: TestHub, splice: Splice, env: ModelScopeEnv, folder: Path) -> None:
        self.hub, self.splice, self.env, self.folder = hub, splice, env, folder

    def __call__(self, script: str, plan: object, **extra: str) -> object:
        done = run_client(
            self.env,
            script,
            json.dumps(plan),
            proxy_url=self.splice.url,
            ca_bundle=self.hub.ca_pem,
            home=self.folder / "home",
            extra_env=extra,
        )
        assert done.returncode == 0, done.stderr[-3000:] + "\n".join(map(str, self.hub.requests()))
        return json.loads(done.stdout.splitlines()[-1])


def true_files(repo: Repo, revision: str | None = None) -> dict[str, str]:
    """What an SDK keeps of a snapshot: it leaves out the files whose name begins with a dot."""
    commit = repo.at(revision or repo.trunk)
    assert commit
    return {path: f.source.sha256 for path, f in commit.files.items() if not path.startswith(".")}


def test_single_files(hub: TestHub, run: Runner) -> None:
    repo = hub.repo("acme/tiny", hub="modelscope")
    plan = [("acme/tiny", path) for path in ("old.bin", "config.json", "sub/dir/notes é.txt")]
    assert run(FILES, plan) == [repo.file(path).source.sha256 for _, path in plan]
    assert hub.bodies_of(repo.file("old.bin").digest) == 1.0
    assert {r.host for r in hub.requests(path="/api/*")} == {
        "modelscope.cn" if run.env == "ms140" else "www.modelscope.cn"
    }


def test_snapshots_of_models_and_datasets(hub: TestHub, run: Runner) -> None:
    model = hub.repo("acme/tiny", hub="modelscope")
    dataset = hub.repo("acme/tiny-ds", "datasets", "modelscope")
    plan = [("acme/tiny", "model", None), ("acme/tiny", "model", "v1.0.0"), ("acme/tiny-ds", "dataset", None)]
    assert run(SNAPSHOTS, plan) == [true_files(model), true_files(model, "v1.0.0"), true_files(dataset)]
    number = ms_reply.number(dataset)  # which the older one takes from what it was told of the repo
    named = {"ms140": "acme/tiny-ds", "ms129": str(number)}[run.env]
    assert hub.requests(path=f"/api/v1/datasets/{named}/repo/tree")


def test_a_dataset_of_many_pages(hub: TestHub, run: Runner) -> None:
    many = Repo("acme/many", "dataset", {f"{n // 100}/{n}.txt": str(n) for n in range(230)}, hub="modelscope")
    hub.add(many)
    assert run(SNAPSHOTS, [("acme/many", "dataset", None)]) == [true_files(many)]
    assert [r.query.partition("PageNumber=")[2][0] for r in hub.requests(path="*/repo/tree")] == ["1", "2"]


def test_a_private_repo_opens_to_its_readers(hub: TestHub, run: Runner) -> None:
    right = [hub.repo("acme/private", hub="modelscope").file("old.bin").sha256]
    if run.env == "ms140":
        assert run(FILES, [("acme/private", "old.bin")], MODELSCOPE_API_TOKEN="ms_reader") == right
    else:
        assert run(LOGIN, [("acme/private", "old.bin")]) == right
    asked = hub.requests(path="/api/v1/models/acme/private/repo")
    assert all("m_session_id=ms_reader" in r.headers["cookie"] for r in asked) and asked


def test_a_dropped_download_is_resumed(hub: TestHub, run: Runner) -> None:
    hub.knob(host=CDN, drop_after=1_200_000, times=1)
    repo = hub.repo("acme/tiny", hub="modelscope")
    assert run(FILES, [("acme/tiny", "old.bin")]) == [repo.file("old.bin").sha256]
    rest = {"ms140": "bytes=1200000-", "ms129": f"bytes={1 << 20}-1499999"}  # the older one keeps whole MiB only
    assert hub.requests(host=CDN, status=206)[-1].headers["range"] == rest[run.env]


def test_parallel_parts(hub: TestHub, run: Runner) -> None:
    large = Synthetic(170 << 20, seed=8)
    hub.add(Repo("acme/large", files={"large.bin": large}, hub="modelscope"))
    parallel = {"MODELSCOPE_DOWNLOAD_PARALLELS": "3", "MODELSCOPE_PARALLEL_DOWNLOAD_THRESHOLD_MB": "100"}
    assert run(SNAPSHOTS, [("acme/large", "model", None)], **parallel) == [{"large.bin": large.sha256}]
    assert len({r.headers["range"] for r in hub.requests(host=CDN, status=206)}) == 2
    assert hub.bodies_of(large.sha256) == 1.0


def test_a_repo_of_the_other_site(hub: TestHub, run: Runner) -> None:
    right = hub.repo("acme/abroad", hub="modelscope").file("config.json").source.sha256
    assert run(FILES, [("acme/abroad", "config.json")]) == [right]
    assert hub.requests(host="*.cn", path="*/acme/abroad*", status=404)
    assert hub.requests(host="www.modelscope.ai", path="/api/v1/models/acme/abroad/repo", status=200)
