"""A private repo under rules, had by programs whose links and tokens come without credentials."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.clients.conftest import Site
from tests.clients.run import Env, run_client
from tests.clients.test_git import ATTRIBUTES, PLACES, TOKENS, shell, url
from tests.clients.test_ollama import PULL
from tests.clients.test_xet import CAS, FILE, NATIVE, TRANSFER
from tests.hub import Repo, Synthetic
from tests.hub.repo import Content, Hub, Storage

RULES = """
version: 1
rules:
  - {id: lic-nc, effect: deny, match: {license: {commercial_use: "no"}}, reason: "Licence {license.id}."}
  - {id: unsafe, effect: deny, match: {path: "**/*.bin", hub_scan: unsafe}}
"""


@pytest.fixture(scope="module")
def site(opened: Callable[[], Site]) -> Site:
    site = opened()
    (site.folder / "rules.yaml").write_text(RULES)
    site.restart(hubs=NATIVE, rules=[str(site.folder / "rules.yaml")])
    return site


def private(site: Site, name: str, seed: int, storage: Storage, licence: str = "mit", hub: Hub = "huggingface") -> Repo:
    files: dict[str, Content] = {
        ".gitattributes": ATTRIBUTES,
        "README.md": f"---\nlicense: {licence}\n---\n",
        "w.bin": Synthetic(5_000_000, seed),
        "x-Q4_K_M.gguf": Synthetic(300_000, seed + 50),
    }
    kept: dict[str, Storage] = {"w.bin": storage, "x-Q4_K_M.gguf": storage}
    repo = Repo(f"vouched/{name}", files=files, storage=kept, hub=hub, private=True, readers={TOKENS[hub]})
    return site.hub.add(repo)


@pytest.mark.parametrize(("place", "storage"), PLACES)
def test_git_lfs(site: Site, place: Hub, storage: Storage) -> None:
    name, git = f"git-{storage}", shell(site)
    repo = private(site, name, 700 + PLACES.index((place, storage)), storage, hub=place)
    git("clone", "-q", url(repo, TOKENS[place]), "c")
    assert git.sha256("c/w.bin") == repo.file("w.bin").sha256
    for token in ("", TOKENS[place].replace("reader", "other")):
        assert shell(site).tried("clone", "-q", url(repo, token), "c").returncode != 0
    denied = private(site, f"{name}-nc", 710, storage, "cc-by-nc-4.0", place)
    done = git.tried("clone", "-q", url(denied, TOKENS[place]), "d")
    assert done.returncode != 0 and "lic-nc" in done.stderr


@pytest.mark.parametrize("env", ["hub2", "xet16", "xet14", "hub036"])
def test_native_xet(site: Site, env: Env) -> None:
    repo = private(site, f"xet-{env}", 720 + len(env) + ord(env[-1]), "xet")
    file = repo.file("w.bin")
    site.hub.clear()
    assert site.python(env, FILE, repo.id, "w.bin", HF_TOKEN="hf_reader") == [file.size, file.sha256]
    assert site.hub.requests(host=CAS, status=200) and site.hub.requests(host=TRANSFER), "the client speaks Xet"
    denied = private(site, f"xet-nc-{env}", 730, "xet", "cc-by-nc-4.0")
    site.hub.clear()
    done = run_client(
        env,
        FILE,
        denied.id,
        "w.bin",
        proxy_url=site.proxy.url,
        ca_bundle=site.bundle,
        home=site.home(),
        extra_env={"HF_TOKEN": "hf_reader"},
    )
    assert done.returncode != 0 and "lic-nc" in done.stderr
    assert not site.hub.requests(host=CAS) + site.hub.requests(host=TRANSFER)


@pytest.mark.parametrize("storage", ["lfs", "xet"])
def test_ollama(site: Site, storage: Storage) -> None:
    repo = private(site, f"ollama-{storage}", 740 + len(storage), storage)
    found = site.python("hub1", PULL, "hf.co", repo.id, "Q4_K_M", "hf_reader", "3")
    assert found["model"] == repo.file("x-Q4_K_M.gguf").sha256
