"""hf_xet as it is, in native mode: cold, warm, several at once, and when the hub sends wrong bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.clients.conftest import Site
from tests.clients.run import Env, run_client
from tests.hub import Repo, Synthetic

TRANSFER = "transfer.xethub.hf.co"
CAS = "cas-server.xethub.hf.co"
NATIVE = {"huggingface": {"xet": "native"}}
XETS: tuple[Env, ...] = ("hub2", "xet16", "xet14", "hub036")
FILE = """
    import hashlib, json, sys
    from pathlib import Path
    from huggingface_hub import hf_hub_download
    file = Path(hf_hub_download(sys.argv[1], sys.argv[2]))
    print(json.dumps([file.stat().st_size, hashlib.sha256(file.read_bytes()).hexdigest()]))
"""
SNAPSHOT = """
    import hashlib, json, sys
    from pathlib import Path
    from huggingface_hub import snapshot_download
    folder = Path(snapshot_download(sys.argv[1]))
    print(json.dumps({p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir() if p.is_file()}))
"""
TEXT = b"".join(b"%09d" % n for n in range(300_000))


@pytest.fixture(scope="module")
def native(opened: Callable[[], Site]) -> Site:
    site = opened()
    site.restart(hubs=NATIVE)
    return site


@pytest.fixture
def site(native: Site) -> Iterator[Site]:
    native.hub.reset()
    yield native
    native.hub.reset()


def put(site: Site, id: str, source: Synthetic | bytes, packing: str = "none") -> list[object]:
    """A new file on the hub; what a client prints that has it."""
    repo = Repo(id, files={"b.bin": source}, storage={"b.bin": "xet"}, packing=packing)  # type: ignore[arg-type]
    file = site.hub.add(repo).file("b.bin")
    return [file.size, file.sha256]


@pytest.mark.parametrize("env", XETS)
def test_cold_and_warm(site: Site, env: Env) -> None:
    right = put(site, f"acme/file-{env}", Synthetic(80_000_000, 40 + XETS.index(env)))
    assert site.python(env, FILE, f"acme/file-{env}", "b.bin") == right
    ranges = site.hub.requests(host=TRANSFER)
    assert ranges and len(ranges) == len({(q.path, q.headers["range"]) for q in ranges}), "each range once"
    site.hub.clear()
    assert site.python(env, FILE, f"acme/file-{env}", "b.bin") == right
    assert site.hub.requests(host=CAS, status=200), "the client speaks Xet"
    assert site.hub.bytes_sent(host=TRANSFER) == 0


@pytest.mark.parametrize("packing", ["lz4", "bg4", "mixed"])
def test_packed_chunks(site: Site, packing: str) -> None:
    right = put(site, f"acme/packed-{packing}", TEXT, packing)
    for _ in ("cold", "warm"):
        assert site.python("hub2", FILE, f"acme/packed-{packing}", "b.bin") == right
    assert site.hub.bytes_sent(host=TRANSFER) < len(TEXT)


def test_a_snapshot(site: Site) -> None:
    right = put(site, "acme/snapshot", Synthetic(5_000_000, 50))
    for _ in ("cold", "warm"):
        assert site.python("hub2", SNAPSHOT, "acme/snapshot") == {"b.bin": right[1]}
    assert site.hub.bytes_sent(host=TRANSFER) < 5_100_000
    assert site.hub.requests(host=TRANSFER)


def test_a_hub_without_version_two(site: Site) -> None:
    right = put(site, "acme/v1", Synthetic(5_000_000, 51))
    site.hub.knob(cas_v2=False)
    for _ in ("cold", "warm"):
        assert site.python("hub2", FILE, "acme/v1", "b.bin") == right
    assert site.hub.requests(host=CAS, path="/v1/reconstructions/*", status=200)
    assert site.hub.bytes_sent(host=TRANSFER) < 5_100_000


def test_several_at_once(site: Site) -> None:
    right = put(site, "acme/crowd", Synthetic(60_000_000, 52))
    with ThreadPoolExecutor() as pool:
        got = [pool.submit(site.python, env, FILE, "acme/crowd", "b.bin") for env in ("hub2", "hub2", "xet14")]
        assert [each.result() for each in got] == [right] * 3
    assert site.hub.bytes_sent(host=TRANSFER) < 60_100_000


def test_a_gated_file_is_for_those_who_may(site: Site) -> None:
    file = site.hub.repo("acme/gated").file("model.safetensors")
    for _ in ("cold", "warm"):
        got = site.python("hub2", FILE, "acme/gated", "model.safetensors", HF_TOKEN="hf_reader")
        assert got == [file.size, file.sha256]
    assert site.hub.bytes_sent(host=TRANSFER) < file.size + 1000
    assert attempt(site, "hub2", "acme/gated", "model.safetensors") is None


@pytest.mark.parametrize("knob", [{"drop_after": 500_000, "times": 2}, {"status": 403, "times": 1}])
def test_faults_that_pass(site: Site, knob: dict[str, int]) -> None:
    id = f"acme/fault-{next(iter(knob))}"
    right = put(site, id, Synthetic(5_000_000, 53))
    site.hub.knob(host=TRANSFER, **knob)
    assert site.python("hub2", FILE, id, "b.bin") == right


@pytest.mark.parametrize(
    ("env", "which", "lives"),
    [("hub2", 0, False), ("xet16", 0, False), ("hub2", 1, True), ("xet16", 1, True), ("xet14", 1, True)],
)
def test_a_flipped_byte(site: Site, env: Env, which: int, lives: bool) -> None:
    """Of a chunk that is stored as it is: nothing but the digest of the file can tell.

    A client that has taken wrong bytes fails; one that was cut before it had them comes to its end. (hf_xet 1.4 fails
    too, but may crash or hang when it does, whoever made it fail.)
    """
    id = f"acme/flipped-{env}-{which}"
    right = put(site, id, Synthetic(5_000_000, 60 + which + 2 * XETS.index(env)))
    hash = site.hub.repo(id).extents[site.hub.repo(id).file("b.bin").xet or ""][which].xorb.hash
    site.hub.knob(host=TRANSFER, path=f"*/{hash}", corrupt_at=1_000_000, times=1)
    assert attempt(site, env, id, "b.bin") == (right if lives else None)
    assert site.python(env, FILE, id, "b.bin") == right


def test_a_client_without_a_head_of_the_file(site: Site) -> None:
    """It has the hash from a listing, and so has the proxy its digest."""
    right = put(site, "acme/listed", Synthetic(5_000_000, 70))
    site.hub.knob(host=TRANSFER, corrupt_at=1_000_000, times=2)
    home = site.home()
    done = run_client("hub2", SNAPSHOT, "acme/listed", proxy_url=site.proxy.url, ca_bundle=site.bundle, home=home)
    assert not wrong_files(home, right)
    assert done.returncode or json.loads(done.stdout) == {"b.bin": right[1]}
    assert site.python("hub2", SNAPSHOT, "acme/listed") == {"b.bin": right[1]}


def attempt(site: Site, env: Env, id: str, path: str) -> object:
    """What a client prints; None if it fails, and then it has left no file that looks complete."""
    home = site.home()
    done = run_client(env, FILE, id, path, proxy_url=site.proxy.url, ca_bundle=site.bundle, home=home, timeout=110)
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    file = site.hub.repo(id).file(path)
    assert not wrong_files(home, [file.size, file.sha256])
    return None


def wrong_files(home: Path, right: list[object]) -> list[Path]:
    blobs = [p for p in home.rglob("blobs/*") if p.is_file() and not p.name.endswith(".incomplete")]
    return [p for p in blobs if p.stat().st_size == right[0] and hashlib.sha256(p.read_bytes()).hexdigest() != right[1]]
