"""Real clients that ask for parts of a file which is not here, before a proxy that has to look into it first.

Each asks for a file of its own, which comes more slowly than many clients wait for the head of a reply. They go all at
once, and so wait at the same time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from subprocess import CompletedProcess
from typing import Literal

import pytest

from proxy_addon.store.contract import PIECE
from tests.clients.conftest import Site
from tests.clients.modelscope_programs import SNAPSHOTS
from tests.clients.run import Env, run_client, run_tool
from tests.clients.test_content_gate import RULES, H
from tests.hub import Repo
from tests.scan import made

SECONDS = 9  # that a file takes at least
SIZE, LARGE = 6 << 20, 166 << 20  # bytes; of less than the larger modelscope 1.29 makes no parts
HANDS = 8  # connections that bring one
AT = 4_500_000  # where a thousand bytes are read
SEEK = """
    import hashlib, sys
    from huggingface_hub import HfFileSystem
    with HfFileSystem().open(sys.argv[1] + "/model.bin", "rb", block_size=1 << 20) as file:
        file.seek(int(sys.argv[2]))
        print(hashlib.sha256(file.read(1000)).hexdigest())
"""
PARTS = {
    "ms140": {
        "MODELSCOPE_DOWNLOAD_PARALLEL_WORKERS": "4",
        "MODELSCOPE_DOWNLOAD_PARALLEL_THRESHOLD_MB": "1",
        "MODELSCOPE_DOWNLOAD_PART_SIZE_MB": "2",
    },
    "ms129": {"MODELSCOPE_DOWNLOAD_PARALLELS": "4", "MODELSCOPE_PARALLEL_DOWNLOAD_THRESHOLD_MB": "1"},
}

pytestmark = pytest.mark.timeout(300)  # all that they do is done before the first test


@dataclass(frozen=True)
class Client:
    """Goes for `model.bin` of a repo; with it, where it asks, and what it shows of what it got."""

    go: Callable[[Site, str], CompletedProcess[str]]
    hub: Literal["huggingface", "modelscope"] = "huggingface"
    size: int = SIZE
    shows: Callable[[bytes], str] = lambda data: _sha256(data[AT : AT + 1000])
    pickle: bytes = made.state_dict({"w": 12})


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _snapshot(data: bytes) -> str:
    return json.dumps([{"model.bin": _sha256(data)}])


def python(env: Env, script: str, *arguments: str, **variables: str) -> Callable[[Site, str], CompletedProcess[str]]:
    """`{repo}` in an argument is the repo."""
    return lambda site, repo: run_client(
        env,
        script,
        *(each.replace("{repo}", repo) for each in arguments),
        proxy_url=site.proxy.url,
        ca_bundle=site.bundle,
        home=site.folder / repo.replace("/", "-"),
        extra_env=variables,
        timeout=200,
    )


def tool(command: str) -> Callable[[Site, str], CompletedProcess[str]]:
    def go(site: Site, repo: str) -> CompletedProcess[str]:
        line = f"{command.format(ca=site.bundle)} -o got {H}/{repo}/resolve/main/model.bin && sha256sum < got"
        home = site.folder / repo.replace("/", "-")
        done = run_tool(["sh", "-c", line], proxy_url=site.proxy.url, ca_bundle=site.bundle, home=home, timeout=200)
        return CompletedProcess(done.args, done.returncode, done.stdout.partition(" ")[0], done.stderr)

    return go


def seeking(env: Env) -> Callable[[Site, str], CompletedProcess[str]]:
    return python(env, SEEK, "{repo}", str(AT))


def loading(env: Env) -> Callable[[Site, str], CompletedProcess[str]]:
    return python(env, SNAPSHOTS, '[["{repo}", "model", null]]', **PARTS[env])


EVIL = made.payload("posix", 2)
CLIENTS = {
    "hub2": Client(seeking("hub2")),
    "hub036": Client(seeking("hub036")),
    "curl": Client(tool(f"curl -sSf -r {AT}-{AT + 999}")),
    "aria2": Client(tool("aria2c -q -x4 -s4 -k1M --ca-certificate={ca}"), shows=_sha256),
    "ms140": Client(loading("ms140"), "modelscope", shows=_snapshot),
    "ms129": Client(loading("ms129"), "modelscope", LARGE, _snapshot),
    "hub2-evil": Client(seeking("hub2"), pickle=EVIL),
    "ms140-evil": Client(loading("ms140"), "modelscope", pickle=EVIL),
}


@pytest.fixture(scope="module")
def ended(
    opened: Callable[[], Site], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[bytes, CompletedProcess[str]]]:
    """What was there to get, and what came of it."""
    site, files = opened(), dict[str, bytes]()
    rules = tmp_path_factory.mktemp("rules") / "scan.yaml"
    rules.write_text(RULES)
    site.restart(rules=[str(rules)])
    for name, each in CLIENTS.items():
        files[name] = data = made.torch_file(each.pickle, [name.encode(), bytes(each.size)])
        site.hub.add(Repo(f"parts/{name}", hub=each.hub, files={"model.bin": data}, storage={"model.bin": "lfs"}))
        rate = max(PIECE, len(data) // HANDS) // SECONDS
        site.hub.knob(host="cdn-lfs*", path=f"*{_sha256(data)[4:]}*", bandwidth=rate)
    with ThreadPoolExecutor(len(CLIENTS)) as pool:
        asked = {name: pool.submit(each.go, site, f"parts/{name}") for name, each in CLIENTS.items()}
    return {name: (files[name], done.result()) for name, done in asked.items()}


@pytest.mark.parametrize("name", [name for name in CLIENTS if "evil" not in name])
def test_parts_of_what_comes_slowly_are_right(ended: dict[str, tuple[bytes, CompletedProcess[str]]], name: str) -> None:
    data, done = ended[name]
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == CLIENTS[name].shows(data)


@pytest.mark.parametrize("name", [name for name in CLIENTS if "evil" in name])
def test_who_asks_for_parts_reads_why_there_are_none(
    ended: dict[str, tuple[bytes, CompletedProcess[str]]], name: str
) -> None:
    _, done = ended[name]
    assert done.returncode != 0
    assert "model.bin would import posix.system when it is loaded" in done.stdout + done.stderr
