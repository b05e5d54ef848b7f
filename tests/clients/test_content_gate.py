"""Real clients before a proxy that looks into files: what they are left with, and what they show."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.conftest import Site
from tests.clients.run import ENVS, Env, minilm_folder, run_client, run_tool
from tests.hub import Repo
from tests.processes import hubgate
from tests.scan import made

H = "https://huggingface.co"
ALLOWED = ", ".join(f'"{each}"' for each in (*made.TORCH, "numpy.dtype", "numpy.ndarray", "joblib.numpy_pickle.*"))
RULES = f"version: 1\nscan: {{pickle: {{action: deny, allow_imports: [{ALLOWED}]}}, gguf_template: {{action: deny}}}}\n"
FILES = ("pytorch_model.bin", "legacy.pt", "model.joblib.gz", "array.npy")
LARGE = 24 << 20
FETCH = """
    import json, sys, time
    from pathlib import Path
    from huggingface_hub import hf_hub_download
    said = {}
    for name in sys.argv[2:]:
        began = time.monotonic()
        try:
            said[name] = "got " + hf_hub_download(sys.argv[1], name)
        except Exception as fault:
            said[name] = f"{type(fault).__name__}: {fault}"
        print(f"{name} {time.monotonic() - began:.2f} s", file=sys.stderr)
    print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def gated(opened: Callable[[], Site], tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A site with rules that look into files."""
    site = opened()
    rules = tmp_path_factory.mktemp("rules") / "scan.yaml"
    rules.write_text(RULES)
    site.restart(rules=[str(rules)])
    return site


def add(site: Site, name: str) -> str:
    """A repo of bytes that no other has."""
    marked = gzip.compress(made.joblib(made.payload("posix")) + name.encode())
    files = {n: data for n, data in made.containers("posix").items() if n in FILES} | {"model.joblib.gz": marked}
    files["large.bin"] = made.torch_file(made.payload("posix", 2), [name.encode(), bytes(LARGE)])
    files["good.bin"] = made.torch_file(made.state_dict({"w": 12}), [name.encode(), bytes(LARGE)])
    site.hub.add(Repo(f"scanned/{name}", "model", files=dict(files), storage=dict.fromkeys(files, "lfs")))
    return f"scanned/{name}"


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize("env", ENVS)
def test_huggingface_hub_shows_why_to_the_first_who_asks(gated: Site, env: Env) -> None:
    repo, home, names = add(gated, env), gated.home(), (*FILES, "large.bin", "good.bin")
    done = run_client(
        env, FETCH, repo, *names, proxy_url=gated.proxy.url, ca_bundle=gated.bundle, home=home, timeout=90
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert sha256(Path(said.pop("good.bin").removeprefix("got "))) == gated.hub.digest(repo, "good.bin")
    for name, words in said.items():
        assert f"{name} would import posix.system when it is loaded" in words, (name, words)
    assert {file.name for file in home.rglob("*") if file.is_symlink()} == {"good.bin"}


def curl(site: Site, home: Path, *arguments: str) -> tuple[int, str]:
    done = run_tool(
        ["curl", "-sS", "--max-time", "60", *arguments], proxy_url=site.proxy.url, ca_bundle=site.bundle, home=home
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(("version", "cut"), [("--http1.1", 18), ("--http2", 92)])
def test_curl_has_no_whole_file_and_is_told_when_it_goes_on(gated: Site, version: str, cut: int) -> None:
    repo, home = add(gated, f"curl{cut}"), gated.home()
    gated.hub.knob(host="cdn-lfs*", bandwidth=600_000)  # longer than anybody is kept waiting
    url = f"{H}/{repo}/resolve/main"
    assert "pytorch_model.bin would import posix.system" in curl(gated, home, f"{url}/pytorch_model.bin")[1]
    code, _ = curl(gated, home, version, "-o", "large", f"{url}/large.bin")
    size = (home / "large").stat().st_size
    assert code == cut and 0 < size < gated.hub.repo(repo).file("large.bin").size
    gated.hub.unknob()
    code, told = curl(gated, home, "-C", "-", "-f", "-o", "large", "-w", "%header{x-error-message}", f"{url}/large.bin")
    assert code == 22 and "large.bin would import posix.system" in told
    assert (home / "large").stat().st_size == size
    assert curl(gated, home, "-o", "good", f"{url}/good.bin")[0] == 0
    assert sha256(home / "good") == gated.hub.digest(repo, "good.bin")


def test_a_real_model_comes_as_it_is(gated: Site) -> None:
    folder = gated.python(
        "hub2",
        """
        import json
        from huggingface_hub import snapshot_download
        print(json.dumps(snapshot_download("sentence-transformers/all-MiniLM-L6-v2")))
        """,
    )
    files = {file.relative_to(minilm_folder()): file for file in minilm_folder().rglob("*") if file.is_file()}
    assert len(files) > 10
    for name, file in files.items():
        assert sha256(Path(folder) / name) == sha256(file), name


def test_what_was_found_is_counted_logged_explained_and_kept(gated: Site) -> None:
    repo, config = add(gated, "kept"), str(gated.proxy.config)
    url, what = f"{H}/{repo}/resolve/main", f"hf:{repo}@main/model.joblib.gz"
    before = hubgate("explain", what, "--config", config)
    assert before.returncode == 3 and "it was not scanned yet" in before.stdout
    assert gated.proxy.ask(f"{url}/model.joblib.gz").status == 403
    assert gated.proxy.metrics()['hubgate_scans_total{verdict="found"}'] >= 1
    assert gated.proxy.metrics()["hubgate_scan_seconds_total"] > 0
    gated.proxy.wait_for(f"scan of {repo} 'model.joblib.gz'")
    after = hubgate("explain", what, "--config", config)
    assert after.returncode == 1 and "posix.system" in after.stdout and "scan of 20" in after.stdout
    assert "engine" in after.stdout
    rules = gated.proxy.settings["rules"]
    gated.restart(rules=rules)
    log = gated.proxy.logged()
    assert [line["rule"] for line in log if "/kept/resolve/main/model.joblib.gz" in line["url"]] == ["scan.pickle"]
    assert gated.proxy.ask(f"{url}/model.joblib.gz").status == 403
    assert gated.proxy.metrics()['hubgate_scans_total{verdict="found"}'] == 0
