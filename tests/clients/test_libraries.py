"""What people really call: transformers, datasets, safetensors and file systems, through the proxy."""

from __future__ import annotations

import hashlib

from proxy_addon.store.contract import PIECE
from tests.clients.conftest import Site
from tests.hub import Synthetic

NAME = "sentence-transformers/all-MiniLM-L6-v2"
MODEL_AND_DATA = """
    import json
    from datasets import load_dataset
    from huggingface_hub import snapshot_download
    from safetensors import safe_open
    from transformers import AutoConfig, AutoTokenizer
    name = "sentence-transformers/all-MiniLM-L6-v2"
    with safe_open(snapshot_download(name) + "/model.safetensors", "numpy") as weights:
        shape = weights.get_tensor("embeddings.word_embeddings.weight").shape
    tokens = AutoTokenizer.from_pretrained(name)("hello hub").input_ids
    width = AutoConfig.from_pretrained(name).hidden_size
    rows = list(load_dataset("acme/tiny-ds", split="train"))
    streamed = list(load_dataset("acme/tiny-ds", split="train", streaming=True))
    print(json.dumps([width, shape, tokens, len(rows), rows[3], streamed == rows]))
"""
RIGHT = [384, [30522, 384], [101, 7592, 9594, 102], 20, {"id": 3, "text": "d", "label": 1}, True]
RANGED = """
    import hashlib, json, sys
    from huggingface_hub import HfFileSystem
    fs = HfFileSystem()
    with fs.open("acme/ranged/big.bin", block_size=1 << 20) as file:
        file.seek(int(sys.argv[1]))
        part = file.read(100_000)
    found = sorted(fs.find("datasets/acme/tiny-ds", detail=True).items())
    listed = [[path.rpartition("/")[2], facts["size"]] for path, facts in found]
    print(json.dumps([hashlib.sha256(part).hexdigest(), listed]))
"""


def test_a_real_model_and_a_dataset_cold_warm_and_without_the_hub(site: Site) -> None:
    hub = site.hub
    assert site.python("hub2", MODEL_AND_DATA) == RIGHT
    assert hub.bodies_of(hub.digest(NAME, "model.safetensors")) == 1.0

    hub.clear()
    assert site.python("hub2", MODEL_AND_DATA) == RIGHT
    assert hub.bytes_sent(path="*/resolve/*") == hub.bytes_sent(host="*.hf.co") == 0, [*map(str, hub.requests())]

    hub.stop()
    assert site.python("hub2", MODEL_AND_DATA) == RIGHT


def test_a_file_system_reads_a_range_of_a_cold_file(site: Site) -> None:
    source = Synthetic(64 << 20, seed=7)
    site.hub.add_synthetic("acme/ranged", "big.bin", source.size, seed=7, storage="xet")
    at = 9 * PIECE + 1_000_000
    dataset = site.hub.repo("acme/tiny-ds", "datasets")
    names = ("README.md", "data/test.csv", "data/train.csv")
    listed = [[name.rpartition("/")[2], dataset.file(name).size] for name in names]
    right = [hashlib.sha256(source.read(at, 100_000)).hexdigest(), listed]

    assert site.python("hub2", RANGED, str(at)) == right
    asked = 100_000 + (1 << 20)
    assert site.hub.bytes_sent(blob=site.hub.digest("acme/ranged", "big.bin")) <= asked + PIECE

    site.hub.stop()
    assert site.python("hub2", RANGED, str(at)) == right
