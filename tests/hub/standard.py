"""The repos that most tests use. Small, and the same bytes in every run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .content import Synthetic
from .repo import Content, Repo
from .server import TestHub

OLD_BIN = 1_500_000
WEIGHTS = 3_000_000
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "world", "hub", "##s"]
CONFIG = {
    "architectures": ["BertModel"],
    "model_type": "bert",
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
    "vocab_size": len(WORDS),
}
TOKENIZER: dict[str, Any] = {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": [],
    "normalizer": {"type": "Lowercase"},
    "pre_tokenizer": {"type": "Whitespace"},
    "post_processor": None,
    "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
    "model": {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
        "vocab": {word: number for number, word in enumerate(WORDS)},
    },
}
TOKENIZER_CONFIG = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "unk_token": "[UNK]"}


def tiny() -> Repo:
    files: dict[str, Content] = {
        ".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n",
        "README.md": _card("license: apache-2.0", "pipeline_tag: fill-mask", "language: en"),
        "config.json": json.dumps(CONFIG, indent=2),
        "model.safetensors": safetensors(WEIGHTS),
        "old.bin": Synthetic(OLD_BIN, seed=1),
        "sub/dir/notes é.txt": "caf\u00e9\n",
        "tokenizer.json": json.dumps(TOKENIZER),
        "tokenizer_config.json": json.dumps(TOKENIZER_CONFIG),
        "vocab.txt": "\n".join(WORDS) + "\n",
    }
    repo = Repo("acme/tiny", files=files, storage={"old.bin": "lfs", "model.safetensors": "xet"})
    repo.tag("v1")
    repo.branch("dev")
    repo.commit({"README.md": _card("license: apache-2.0", title="Tiny, second edition")}, title="edit the card")
    repo.refs["refs/pr/1"] = repo.refs["refs/tags/v1"]
    return repo


def tiny_dataset() -> Repo:
    rows = [f"{number},{word},{number % 2}" for number, word in enumerate(["a", "b", "c", "d"] * 5)]
    files = {
        "README.md": _card("license: cc-by-4.0", "task_categories: [text-classification]"),
        "data/train.csv": "\n".join(["id,text,label", *rows]) + "\n",
        "data/test.csv": "\n".join(["id,text,label", *rows[:4]]) + "\n",
    }
    return Repo("acme/tiny-ds", "dataset", files)


def standard_repos() -> list[Repo]:
    readme = _card("license: mit")
    small: dict[str, Content] = {"README.md": readme, "config.json": json.dumps(CONFIG)}
    secret: dict[str, Content] = {
        **small,
        "model.safetensors": safetensors(300_000, seed=5),
        "old.bin": Synthetic(200_000, seed=6),
    }
    large: dict[str, Any] = {"storage": {"model.safetensors": "xet", "old.bin": "lfs"}}
    return [
        tiny(),
        tiny_dataset(),
        Repo("acme/space", "space", {"README.md": _card("license: mit", "sdk: static"), "index.html": "<p>hi</p>\n"}),
        Repo("acme/kernel", "kernel", {"build.toml": "[general]\nname = 'k'\n"}),
        Repo("acme/bucket", "bucket", {"log.txt": "one line\n"}),
        Repo("acme/gated", files=secret, gated="auto", readers={"hf_reader"}, **large),
        Repo("acme/private", files=secret, private=True, readers={"hf_reader"}, **large),
        Repo("acme/disabled", files=small, disabled=True),
        Repo("acme/nc", files={**small, "README.md": _card("license: cc-by-nc-4.0")}),
    ]


def modelscope_repos() -> list[Repo]:
    """The same files under the same names on ModelScope, so far as it has such things."""
    model = tiny().mirror()
    model.tag("v1.0.0")
    model.branch("dev")
    model.commit({"README.md": _card("license: Apache License 2.0", title="Tiny, second edition")}, title="edit")
    gated, private = (r for r in standard_repos() if r.id in ("acme/gated", "acme/private"))
    card = _card("license: mit")
    return [
        model,
        tiny_dataset().mirror(),
        gated.mirror(gated="manual", readers={"ms_reader"}),
        private.mirror(private=True, readers={"ms_reader"}),
        Repo("acme/studio", "studio", {"README.md": card, "app.py": "print('hi')\n"}, hub="modelscope"),
        Repo("acme/abroad", files={"README.md": card, "config.json": "{}"}, hub="modelscope", sites={"ai"}),
    ]


def standard_hub(**settings: Any) -> TestHub:
    """A hub, not yet started, with the standard repos; `acme/old-name` is `acme/tiny` by its former name."""
    hub = TestHub([*standard_repos(), *modelscope_repos()], **settings)
    hub.rename("acme/old-name", "acme/tiny")
    return hub


def minilm(folder: Path) -> Repo:
    """`sentence-transformers/all-MiniLM-L6-v2`, a real model, from a folder that holds its files."""
    files = {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file()}
    return Repo("sentence-transformers/all-MiniLM-L6-v2", files=files, storage={"model.safetensors": "xet"})


def safetensors(size: int, seed: int = 2) -> bytes:
    """A file of just `size` bytes that the safetensors library opens: one tensor `weight` of bytes."""
    head = b""
    for _ in range(2):  # the head's own length changes the tensor's length, whose digits may change the head's
        tensor = max(0, size - 8 - len(head))
        described = {"weight": {"dtype": "U8", "shape": [tensor], "data_offsets": [0, tensor]}}
        head = json.dumps(described).encode().ljust(128)
    data = bytes(Synthetic(size - 8 - len(head), seed).read(0, size))
    return len(head).to_bytes(8, "little") + head + data


def _card(*lines: str, title: str = "Tiny") -> str:
    return "\n".join(["---", *lines, "---", "", f"# {title}", ""])
