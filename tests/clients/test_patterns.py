"""llama.cpp's and hf-hub's ways of asking, and what `datasets` asks of the viewer: the same bytes cold and warm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.clients.conftest import Site
from tests.clients.imitated import (
    HUB,
    Metadata,
    Way,
    crate_next,
    crate_sync,
    crate_tokio,
    llama_download,
    llama_listing,
    llama_modelscope,
    way,
)
from tests.hub import Repo, Splice, Synthetic, TestHub
from tests.hub.repo import Hub

LONG = {"ref": "1h", "api": "1h", "not_found": "1h"}
WEIGHTS = Synthetic(23_000_001, seed=77)
GGUF = {"README.md": "# gguf\n", "tiny-Q4_0.gguf": WEIGHTS, "mmproj/tiny-F16.gguf": Synthetic(900_000, seed=78)}
FILES = ("config.json", "old.bin", "model.safetensors", "sub/dir/notes é.txt")
CRATES = {"sync": crate_sync, "tokio": crate_tokio, "1.0": crate_next}


@pytest.fixture
def site(opened: Callable[[], Site]) -> Site:
    site = opened()
    site.restart(freshness=LONG)
    repo = Repo("acme/gguf", "model", GGUF, {"tiny-Q4_0.gguf": "xet", "mmproj/tiny-F16.gguf": "lfs"})
    site.hub.add(repo)
    site.hub.add(repo.mirror())
    site.hub.knob(path="/api/models/acme/gguf/tree/*", page_size=1000)
    return site


def through(site: Site, **always: str) -> Way:
    return way(site.proxy.port, site.proxy.ca / "ca.pem", **always)


def llama(go: Way, folder: Path, listing: Callable[..., dict[str, tuple[str, str]]]) -> dict[str, tuple[str, bytes]]:
    """What llama.cpp has of a repo in the end: path -> (ETag, bytes)."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for path, (oid, url) in listing(go, "acme/gguf").items():
        etag = llama_download(go, url, folder / oid)
        found[path] = etag, (folder / oid).read_bytes()
    return found


@pytest.mark.parametrize(("where", "listing"), [("huggingface", llama_listing), ("modelscope", llama_modelscope)])
def test_llama_cpp(site: Site, tmp_path: Path, where: Hub, listing: Callable[..., dict[str, tuple[str, str]]]) -> None:
    repo = site.hub.repo("acme/gguf", hub=where)
    go = through(site, **{"User-Agent": "llama-cpp/b9999", "Connection": "close"})
    files = repo.commits[repo.head].files
    bytes_of = {path: file.source.read(0, file.size) for path, file in files.items()}

    cold = llama(go, tmp_path / "cold", listing)
    assert {path: body for path, (_, body) in cold.items()} == bytes_of
    for file in files.values():  # ModelScope says what a small file is only with its first byte
        assert file.size <= site.hub.bytes_sent(blob=file.digest) <= file.size + (file.storage == "git")
    site.hub.clear()
    assert llama(go, tmp_path / "warm", listing) == cold, "the ETags too, or it would fetch all again"
    assert site.hub.requests() == []
    site.restart(freshness={"ref": "0s", "api": "0s", "not_found": "0s"})
    site.hub.stop()
    assert llama(through(site), tmp_path / "offline", listing) == cold


def test_llama_cpp_goes_on_where_it_was_stopped(site: Site, tmp_path: Path) -> None:
    go, hub = through(site), site.hub
    oid, url = llama_listing(go, "acme/gguf")["tiny-Q4_0.gguf"]
    begun = tmp_path / f"{oid}.downloadInProgress"
    begun.write_bytes(WEIGHTS.read(0, 9_000_001))
    llama_download(go, url, tmp_path / oid)
    assert (tmp_path / oid).read_bytes() == WEIGHTS.read(0, WEIGHTS.size)
    assert hub.bodies_of(WEIGHTS.sha256) <= 1.0


def url_of(repo: str, path: str) -> str:
    return f"{HUB}/{repo}/resolve/main/{quote(path)}"


def truth(repo: Repo, path: str) -> tuple[Metadata, bytes]:
    file = repo.file(path)
    return Metadata(repo.head, file.digest, file.size), bytes(file.source.read(0, file.size))


@pytest.mark.parametrize("crate", CRATES)
def test_hf_hub_of_rust(site: Site, crate: str) -> None:
    go, hub = through(site), site.hub
    asked = [(hub.repo("acme/tiny"), path) for path in FILES] + [(hub.repo("acme/gguf"), "tiny-Q4_0.gguf")]
    for _ in ("cold", "warm"):
        for repo, path in asked:
            assert CRATES[crate](go, url_of(repo.id, path)) == truth(repo, path), path
    assert [hub.bodies_of(repo.file(path).digest) for repo, path in asked] == [1.0] * len(asked)
    assert len(hub.requests(method="HEAD")) == len(asked), "one question for each file"


@pytest.mark.parametrize("crate", ["sync", "tokio"])
def test_the_imitations_are_content_with_the_hub_itself(hub: TestHub, crate: str) -> None:
    with Splice(hub.port) as splice:
        go = way(splice.port, hub.ca_pem)
        for path in FILES:
            assert CRATES[crate](go, url_of("acme/tiny", path)) == truth(hub.repo("acme/tiny"), path), path


def test_hf_hub_asks_whether_its_own_copy_stands(site: Site) -> None:
    site.restart(freshness={"ref": "0s"})
    repo = site.hub.add(Repo("acme/moving", "model", {"a.txt": "one"}))
    go, url = through(site), url_of("acme/moving", "a.txt")
    one = crate_next(go, url)
    assert one == truth(repo, "a.txt")
    assert crate_next(go, url, one[0].etag) is None
    repo.commit({"a.txt": "two"})
    assert crate_next(go, url, one[0].etag) == truth(repo, "a.txt")


PARQUET = """
    import hashlib, json
    from pathlib import Path
    from datasets.utils._dataset_viewer import get_exported_dataset_infos, get_exported_parquet_files
    from huggingface_hub import HfApi, hf_hub_download
    info = HfApi().dataset_info("acme/shown")
    files = get_exported_parquet_files("acme/shown", commit_hash=info.sha, token=None)
    paths = [f"{f['config']}/{f['split']}/{f['filename']}" for f in files]
    got = [hf_hub_download("acme/shown", p, repo_type="dataset", revision="refs/convert/parquet") for p in paths]
    print(json.dumps({
        "files": {p: hashlib.sha256(Path(f).read_bytes()).hexdigest() for p, f in zip(paths, got)},
        "infos": sorted(get_exported_dataset_infos("acme/shown", commit_hash=info.sha, token=None)),
    }))
"""


def test_datasets_takes_the_parquet_files_that_the_viewer_names(site: Site) -> None:
    repo = site.hub.add(Repo("acme/shown", "dataset", {"data.csv": "id\n1\n"}))
    parquet = Synthetic(2_000_000, seed=79)
    repo.commit({"default/train/0000.parquet": parquet, "data.csv": None}, branch="refs/convert/parquet")
    expected = {"files": {"default/train/0000.parquet": parquet.sha256}, "infos": ["default"]}

    assert site.python("hub2", PARQUET) == expected
    site.hub.clear()
    assert site.python("hub2", PARQUET) == expected
    assert site.hub.requests() == []
