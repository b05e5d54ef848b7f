"""Real clients against the hub alone, through a splice: what they get here is what they must get of a proxy."""

import hashlib
import json
from pathlib import Path

import pytest

from tests.clients.run import ENVS, Env, minilm_folder, run_client, run_tool
from tests.hub import Splice, TestHub, minilm

DOWNLOAD = """
    import hashlib, json, sys
    from huggingface_hub import hf_hub_download, snapshot_download
    def digests(paths):
        return {p: hashlib.sha256(open(f, "rb").read()).hexdigest() for p, f in paths.items()}
    wanted = json.loads(sys.argv[1])
    one = digests({p: hf_hub_download("acme/tiny", p) for p in wanted})
    folder = snapshot_download("acme/tiny", revision="v1")
    print(json.dumps([one, digests({p: folder + "/" + p for p in wanted})]))
"""
DATASET = """
    from datasets import load_dataset
    whole = load_dataset("acme/tiny-ds", split="train")
    streamed = load_dataset("acme/tiny-ds", split="train", streaming=True)
    assert list(whole) == list(streamed), "streamed rows differ"
    print(len(whole), whole[3])
"""
FILES = """
    import hashlib, json
    from huggingface_hub import HfFileSystem
    fs = HfFileSystem()
    with fs.open("acme/tiny/model.safetensors", block_size=65536) as file:
        file.seek(1_000_000)
        part = file.read(100_000)
    print(json.dumps([sorted(fs.find("datasets/acme/tiny-ds")), hashlib.sha256(part).hexdigest()]))
"""
MODEL = """
    from huggingface_hub import snapshot_download
    from safetensors import safe_open
    from transformers import AutoConfig, AutoTokenizer
    name = "sentence-transformers/all-MiniLM-L6-v2"
    with safe_open(snapshot_download(name) + "/model.safetensors", "numpy") as weights:
        shape = weights.get_tensor("embeddings.word_embeddings.weight").shape
    ids = AutoTokenizer.from_pretrained(name)("hello hub").input_ids
    print(AutoConfig.from_pretrained(name).hidden_size, shape, ids)
"""


def output(hub: TestHub, splice: Splice, home: Path, env: Env, script: str, *args: str, **extra: str) -> str:
    done = run_client(
        env, script, *args, proxy_url=splice.url, ca_bundle=hub.ca_pem, home=home, extra_env=extra, timeout=60
    )
    assert done.returncode == 0, done.stderr + "\n".join(map(str, hub.requests()))
    return done.stdout.strip()


@pytest.mark.parametrize("env", ENVS)
def test_every_generation_downloads_true_bytes(hub: TestHub, splice: Splice, tmp_path: Path, env: Env) -> None:
    repo = hub.repo("acme/tiny")
    wanted = ["config.json", "sub/dir/notes é.txt", "old.bin", "model.safetensors"]
    one, snapshot = json.loads(output(hub, splice, tmp_path, env, DOWNLOAD, json.dumps(wanted)))
    assert one == snapshot == {path: repo.file(path).source.sha256 for path in wanted}
    assert hub.requests(host="transfer.xethub.hf.co"), "Xet files come by Xet"
    for path in wanted[:3]:
        assert hub.bodies_of(repo.file(path).digest) == 1.0


def test_without_xet_the_bridge_serves(hub: TestHub, splice: Splice, tmp_path: Path) -> None:
    hub.knob(strip_xet_headers=True, strip_xet_tree=True)
    output(hub, splice, tmp_path, "hub2", DOWNLOAD, '["model.safetensors"]')
    assert hub.bodies_of(hub.repo("acme/tiny").file("model.safetensors").digest) == 1.0
    assert hub.requests(host="us.aws.cdn.hf.co") and not hub.requests(host="*.xethub.hf.co")


def test_datasets_loads_and_streams(hub: TestHub, splice: Splice, tmp_path: Path) -> None:
    assert output(hub, splice, tmp_path, "hub2", DATASET) == "20 {'id': 3, 'text': 'd', 'label': 1}"


def test_a_file_system_reads_a_range(hub: TestHub, splice: Splice, tmp_path: Path) -> None:
    found, part = json.loads(output(hub, splice, tmp_path, "hub2", FILES))
    source = hub.repo("acme/tiny").file("model.safetensors").source
    assert part == hashlib.sha256(source.read(1_000_000, 100_000)).hexdigest()
    assert [path.rpartition("/")[2] for path in found] == ["README.md", "test.csv", "train.csv"]
    assert hub.bytes_sent(host="us.aws.cdn.hf.co") < 600_000


def test_a_real_model(hub: TestHub, splice: Splice, tmp_path: Path) -> None:
    hub.add(minilm(minilm_folder()))
    assert output(hub, splice, tmp_path, "hub2", MODEL) == "384 (30522, 384) [101, 7592, 9594, 102]"


def test_a_gated_repo_opens_to_its_readers(hub: TestHub, splice: Splice, tmp_path: Path) -> None:
    script = (
        "from huggingface_hub import hf_hub_download as get; print(open(get('acme/gated', 'old.bin'), 'rb').read(1))"
    )
    assert output(hub, splice, tmp_path / "1", "hub2", script, HF_TOKEN="hf_reader")
    refused = run_client(
        "hub2",
        script,
        proxy_url=splice.url,
        ca_bundle=hub.ca_pem,
        home=tmp_path / "2",
        extra_env={"HF_TOKEN": "hf_other"},
    )
    assert "GatedRepoError" in refused.stderr and "not in the authorized list" in refused.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["curl", "-sSfL", "-o", "got"],
        ["wget", "-q", "-O", "got", "--ca-certificate={ca}"],
        ["aria2c", "-q", "-x16", "-s16", "-k1M", "-o", "got", "--ca-certificate={ca}"],
    ],
    ids=lambda command: command[0],
)
def test_plain_tools_download_true_bytes(hub: TestHub, splice: Splice, tmp_path: Path, command: list[str]) -> None:
    url = "https://huggingface.co/acme/tiny/resolve/main/old.bin"
    full = [part.format(ca=hub.ca_pem) for part in command]
    done = run_tool([*full, url], proxy_url=splice.url, ca_bundle=hub.ca_pem, home=tmp_path)
    assert done.returncode == 0, done.stderr
    right = hub.repo("acme/tiny").file("old.bin").sha256
    assert hashlib.sha256((tmp_path / "got").read_bytes()).hexdigest() == right
