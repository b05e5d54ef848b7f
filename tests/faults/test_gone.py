"""R13: the hub is gone, be it that it refuses connections or that it says nothing.

What is public and here goes on: by every client, every method, whole snapshots with a fresh client cache, listings,
links that were handed out. What is not here is told within five seconds. Nobody who has not proven that he may gets a
file of a gated or private repo.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy_addon.config import Settings
from tests.clients.modelscope_programs import SNAPSHOTS
from tests.clients.run import Env, run_client
from tests.faults.asking import Ask, Took, crowd, curl, settled, take
from tests.faults.invariants import settled as sound
from tests.hub import Scripted, TestHub
from tests.processes import Hubgate, configuration, to_hub

H, M = "https://huggingface.co", "https://www.modelscope.cn"
BUSY = 1.8  # a second on a machine that others use too
READER = {"Authorization": "Bearer hf_reader"}
STRANGERS: tuple[dict[str, str], ...] = (
    {},
    {"Authorization": "Bearer hf_other"},
    {"Authorization": "Bearer wrong"},
    {"Cookie": "token=hf_reader"},
)
HUGGING_FACE = """
    import hashlib, json, sys
    from pathlib import Path
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download
    folder = Path(snapshot_download("acme/tiny"))
    files = {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
             for p in folder.rglob("*") if p.is_file()}
    api = HfApi()
    print(json.dumps([files, api.model_info("acme/tiny").sha, sorted(api.list_repo_files("acme/tiny"))]))
"""
LFS = "application/vnd.git-lfs+json"


def python(proxy: Hubgate, env: Env, script: str, home: Path, *arguments: str) -> object:
    done = run_client(env, script, *arguments, proxy_url=proxy.url, ca_bundle=proxy.bundle, home=home, timeout=60)
    assert done.returncode == 0, f"{done.stderr}\n{proxy.told}"
    return json.loads(done.stdout.splitlines()[-1])


def snapshots(proxy: Hubgate, home: Path) -> list[Any]:
    """By clients that have nothing of it."""
    plan = json.dumps([("acme/tiny", "model", None), ("acme/tiny-ds", "dataset", None)])
    return [
        python(proxy, "hub2", HUGGING_FACE, home / "hf"),
        python(proxy, "ms140", SNAPSHOTS, home / "ms", plan),
    ]


def batch(proxy: Hubgate, oid: str, size: int) -> str:
    """The link that git-lfs is given for an object."""
    asked = {"operation": "download", "transfers": ["basic"], "objects": [{"oid": oid, "size": size}]}
    reply = proxy.ask(
        f"{H}/acme/tiny.git/info/lfs/objects/batch",
        "POST",
        {"Accept": LFS, "Content-Type": LFS},
        json.dumps(asked).encode(),
    )
    link: str = reply.json["objects"][0]["actions"]["download"]["href"]
    return link


ASKED: tuple[Ask, ...] = (
    Ask(f"{H}/acme/tiny/resolve/main/config.json"),
    Ask(f"{H}/acme/tiny/resolve/main/config.json", "HEAD"),
    Ask(f"{H}/acme/tiny/resolve/main/old.bin"),
    Ask(f"{H}/acme/tiny/resolve/main/old.bin", "HEAD"),
    Ask(f"{H}/acme/tiny/resolve/main/old.bin", headers={"Range": "bytes=1000000-1000099"}),
    Ask(f"{H}/acme/tiny/resolve/main/old.bin", headers={"Range": "bytes=-7"}),
    Ask(f"{H}/acme/tiny/resolve/main/old.bin", headers={"Range": "bytes=0-1,9-10"}),
    Ask(f"{H}/acme/tiny/resolve/v1/config.json"),
    Ask(f"{H}/acme/tiny/resolve/main/absent.json"),
    Ask(f"{H}/acme/old-name/resolve/main/config.json"),
    Ask(f"{H}/acme/tiny/raw/main/config.json"),
    Ask(f"{H}/api/models/acme/tiny"),
    Ask(f"{H}/api/models/acme/tiny/tree/main?recursive=true"),
    Ask(f"{H}/api/models/acme/tiny/refs"),
    Ask(f"{M}/models/acme/tiny/resolve/master/old.bin"),
    Ask(f"{M}/models/acme/tiny/resolve/master/config.json", headers={"Range": "bytes=2-9"}),
    Ask(f"{M}/api/v1/models/acme/tiny/revisions"),
    Ask("https://plain.example/kept"),
)
GATED = (
    f"{H}/acme/gated/resolve/main/config.json",
    f"{H}/acme/gated/resolve/main/old.bin",
    f"{H}/acme/private/resolve/main/config.json",
    f"{H}/acme/private/resolve/main/old.bin",
    f"{H}/acme/gated/raw/main/config.json",
    f"{H}/api/models/acme/private",
)


def same(one: Took, other: Took) -> bool:
    """But for how it came about, and the mark between parts."""
    told = ("etag", "content-range", "content-length", "x-repo-commit", "x-error-code", "location")
    parts = "multipart" in one.fields.get("content-type", "")
    return (one.status, one.whole, one.size) == (other.status, other.whole, other.size) and (
        parts or (one.right_as(other) and all(one.fields.get(name) == other.fields.get(name) for name in told))
    )


@pytest.fixture(scope="module")
def full(shared_hub: TestHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Hubgate, Path]]:
    """A proxy that has seen all of it while the hub was there; timeouts are the usual ones."""
    folder = tmp_path_factory.mktemp("gone")
    keys = {"freshness": {"ref": "0s", "api": "0s", "not_found": "0s"}, "hubs": {"others": ["plain.example"]}}
    with Hubgate(configuration(folder / "h", shared_hub, upstream=to_hub(shared_hub), **keys)) as proxy:
        yield proxy, folder
        assert proxy.stop() == 0 and "Traceback" not in proxy.told, proxy.told
    sound(proxy.cache)


@pytest.mark.fault("R13")
@pytest.mark.parametrize("silent", [False, True], ids=["refuses", "is silent"])
def test_all_that_is_public_and_here_goes_on(
    hub: TestHub, full: tuple[Hubgate, Path], tmp_path: Path, silent: bool
) -> None:
    proxy, _ = full
    hub.script("/kept", Scripted(200, {"Cache-Control": "max-age=0, stale-if-error=600", "ETag": '"k"'}, b"kept"))
    tiny = hub.repo("acme/tiny")
    before = crowd(proxy, ASKED)
    link = batch(proxy, tiny.file("old.bin").source.sha256, tiny.file("old.bin").size)
    objects = take(proxy, link)
    for url in GATED:
        assert opened(proxy, tmp_path, url).status == 200
    settled(proxy)
    hub.stop(silent=silent)
    for asked, was, got in zip(ASKED, before, crowd(proxy, ASKED), strict=True):
        assert same(was, got), (asked, str(was), str(got))
    assert objects.right(tiny.file("old.bin").source) and take(proxy, link).right_as(objects)
    missing = [Ask(f"{H}/acme/nc/resolve/main/README.md"), Ask(f"{H}/acme/nc/resolve/main/README.md", "HEAD"),
               Ask(f"{H}/api/models/acme/nc"), Ask(f"{M}/api/v1/models/acme/studio"),
               Ask("https://plain.example/never"), Ask(f"{H}/api/whoami-v2", headers=READER)]  # fmt: skip
    for asked, got in zip(missing, crowd(proxy, missing), strict=True):
        assert got.refused and got.status in (502, 504) and got.seconds < 5 * BUSY, (asked, str(got), got.seconds)
    strangers = [Ask(url, headers=shown) for url in GATED for shown in STRANGERS]
    for asked, got in zip(strangers, crowd(proxy, strangers), strict=True):
        assert got.status >= 400 and got.size < 1000, (asked, str(got))
    hub.start()


def test_nobody_waits_longer_than_that_for_a_silent_hub() -> None:
    assert Settings().upstream.connect_timeout < 5


@pytest.mark.fault("R13")
def test_whole_snapshots_by_clients_that_have_nothing(hub: TestHub, full: tuple[Hubgate, Path], tmp_path: Path) -> None:
    proxy, commit = full[0], hub.repo("acme/tiny").at("main")
    cold = snapshots(proxy, tmp_path / "cold")
    assert commit and cold[0][0] == {path: file.source.sha256 for path, file in commit.files.items()}
    settled(proxy)
    hub.stop()
    assert snapshots(proxy, tmp_path / "warm") == cold
    hub.start()


def opened(proxy: Hubgate, folder: Path, url: str) -> Took:
    """By who may."""
    return curl(proxy, folder / "curl", url, "-L", "-H", "Authorization: Bearer hf_reader")
