"""What the README tells users to type, run by bash letter by letter, and checked against what the hub holds.

Each fenced block of two sections has its place in a table here. A block that no table knows fails, and so does a known
one that brings a file more or less than it should. The blocks run as they stand; what they take for granted is put in
place: `.venv` is a link in the folder where they run, HUBGATE_CONFIG names the configuration, the hub carries repos of
the names in the README, the client's programs come first on PATH, and a .curlrc leads the admin listener's name in the
line for CI to this machine. One thing is replaced: the proxy's URL in the command that prints the variables for CI.
Home and folder are fresh each time.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
from typer.main import get_group

from proxy_addon.cli.cache import app as cache_app
from tests.clients.run import ROOT, node_project
from tests.hub import Repo, Synthetic, TestHub
from tests.hub.repo import Content
from tests.processes import Hubgate, configuration, free_port

README = (ROOT / "README.md").read_text()
CLIENTS, CACHE = "Set up a client", "Prefetch and the cache"
MODEL = "sentence-transformers/all-MiniLM-L6-v2"
FILES: dict[str, Content] = {
    ".gitattributes": "*.safetensors filter=lfs diff=lfs merge=lfs -text\n",
    "README.md": "---\nlicense: apache-2.0\n---\n",
    "config.json": '{"model_type": "bert"}\n',
    "1_Pooling/config.json": "{}\n",
    "model.safetensors": Synthetic(44_000_000, seed=300),  # aria2 cuts nothing below 40 MiB
}
APP = f"""
import {{ mkdir, writeFile }} from "node:fs/promises";
import {{ downloadFile }} from "@huggingface/hub";
await mkdir("out");
for (const path of ["config.json", "model.safetensors"]) {{
  const file = await downloadFile({{ repo: "{MODEL}", path }});
  await writeFile(`out/${{path}}`, Buffer.from(await file.arrayBuffer()));
}}
"""


class Key(NamedTuple):
    heading: str  # the bold words before it, or the section's title
    language: str


@dataclass(frozen=True)
class Download:
    """A block that brings files: `place` is a glob for the folder that has them, `expected` the names there."""

    clients: tuple[str, ...]  # environments whose programs come first on PATH; the block runs with each
    place: str
    expected: Mapping[str, str] = field(default_factory=lambda: {path: path for path in FILES})


SETTING_OUT = Key(CLIENTS, "sh")
PROXY_MJS = Key("Node, `@huggingface/hub`.", "js")
CI = Key("CI.", "sh")
DOWNLOADS = {
    Key("huggingface_hub, transformers, datasets, vLLM", "sh"): Download(
        ("hub2", "hub1", "hub036"), "home/.cache/huggingface/hub/models--*/snapshots/*"
    ),
    Key("modelscope", "sh"): Download(("ms140",), "home/.cache/modelscope/models/*/snapshots/*"),
    Key("git and git-lfs", "sh"): Download(("system",), "work/all-MiniLM-L6-v2"),
    Key("curl, wget, aria2.", "sh"): Download(
        ("system",), "work", dict.fromkeys(("model.safetensors", "by-wget", "by-aria2"), "model.safetensors")
    ),
    Key("Node, `@huggingface/hub`.", "sh"): Download(
        ("system",), "work/out", {path: path for path in ("config.json", "model.safetensors")}
    ),
}
KNOWN = {
    CLIENTS: {*DOWNLOADS, SETTING_OUT, PROXY_MJS, CI},
    CACHE: {Key(CACHE, "sh")},
}


def text_of(section: str) -> str:
    return re.split(r"^## ", README.partition(f"\n## {section}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def blocks(section: str) -> list[tuple[Key, str]]:
    """The fenced blocks of a section, as they stand there."""
    found, heading = [], section
    pattern = re.compile(r"^\*\*(?P<heading>.+?)\*\*|^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
    for match in pattern.finditer(text_of(section)):
        heading = match["heading"] or heading
        if match["text"]:
            found.append((Key(heading, match["language"]), match["text"]))
    return found


TEXTS = {key: text for section in KNOWN for key, text in blocks(section)}
PREFETCH = TEXTS[Key(CACHE, "sh")]


@dataclass
class User:
    """A person with a fresh home, and hubgate as `scripts/serve` has set it up."""

    proxy: Hubgate
    folder: Path
    client: str = "system"

    def __post_init__(self) -> None:
        for name in ("home", "temp", "bin"):
            (self.folder / name).mkdir(parents=True)
        self.work = node_project(self.folder / "work")
        for left in self.work.glob("*.mjs"):
            left.unlink()
        self.laid = {self.work / "proxy.mjs": TEXTS[PROXY_MJS], self.work / "app.mjs": APP}
        for file, text in self.laid.items():
            file.write_text(text)
        (self.work / ".venv").symlink_to(sys.prefix)
        (self.folder / "bin/hubgate").symlink_to(Path(sys.executable).with_name("hubgate"))

    def runs(self, script: str, **variables: str) -> str:
        """The standard output of a script, which must succeed."""
        clients = ROOT / ".clients" / self.client / "bin"
        environment = {
            "PATH": f"{self.folder}/bin:{clients}:{os.environ['PATH']}",
            "HOME": str(self.folder / "home"),
            "LANG": "C.UTF-8",
            "HUBGATE_CONFIG": str(self.proxy.config),
            "PYTHONDONTWRITEBYTECODE": "1",
            **variables,
        }
        done = subprocess.run(
            ["bash", "-e", "-c", script],
            env=environment,
            cwd=self.work,
            capture_output=True,
            text=True,
            timeout=90,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, f"{script}{done.stdout}{done.stderr}\nproxy: {self.proxy.told}"
        return done.stdout

    def has(self, place: str) -> dict[str, str]:
        """Name -> SHA-256 of each file in the one folder that the glob finds; not of .git, nor what lay there."""
        (there,) = self.folder.glob(place)
        files = {path.relative_to(there).as_posix(): path for path in there.rglob("*") if path.is_file()}
        return {
            name: hashlib.sha256(path.read_bytes()).hexdigest()
            for name, path in files.items()
            if not name.startswith(".git/") and path not in self.laid
        }


@pytest.fixture(scope="module")
def hub() -> Iterator[TestHub]:
    """A hub that has what the README names."""
    model = Repo(MODEL, files=FILES)
    named = Repo("org/name", files={**FILES, "model.safetensors": Synthetic(3_000_000, seed=301)})
    data = Repo("org/data", "dataset", {"data/train.csv": "a,b\n", "info.json": "{}\n"})
    data.tag("v2")
    data.commit({"info.json": '{"edition": 3}\n'})
    with TestHub([model, model.mirror(), named, data]) as running:
        yield running


@pytest.fixture
def proxy(hub: TestHub, tmp_path: Path) -> Iterator[Hubgate]:
    """With an empty cache, listening where its configuration says."""
    hub.reset()
    with Hubgate(configuration(tmp_path / "proxy", hub, listen=f"127.0.0.1:{free_port()}")) as running:
        yield running


@pytest.fixture
def user(proxy: Hubgate, tmp_path: Path) -> Callable[..., User]:
    """Makes one after another, who have nothing."""
    number = itertools.count()

    def made(client: str = "system") -> User:
        return User(proxy, tmp_path / f"user{next(number)}", client)

    return made


@pytest.mark.parametrize("section", KNOWN)
def test_every_block_is_known_here(section: str) -> None:
    keys = [key for key, _ in blocks(section)]
    assert sorted(keys) == sorted(KNOWN[section])
    assert len(re.findall(r"^\s*(?:```|~~~)", text_of(section), re.MULTILINE)) == 2 * len(keys), "fenced otherwise"


@pytest.mark.parametrize(
    ("key", "client"), [(key, client) for key, each in DOWNLOADS.items() for client in each.clients]
)
def test_a_client_gets_the_hubs_bytes_and_the_next_one_costs_none(
    hub: TestHub, user: Callable[..., User], key: Key, client: str
) -> None:
    wanted, sources = DOWNLOADS[key], hub.repo(MODEL)
    expected = {name: sources.file(path).source.sha256 for name, path in wanted.expected.items()}
    bodies = []
    for _ in ("cold", "warm"):
        hub.clear()
        someone = user(client)
        someone.runs(TEXTS[SETTING_OUT] + TEXTS[key])
        assert someone.has(wanted.place) == expected
        bodies.append(hub.bodies_of(sources.file("model.safetensors").digest))
    assert bodies == [1.0, 0.0]
    assert [str(record) for record in hub.requests() if record.blob] == []


def test_the_lines_for_ci_make_a_runner_a_client(hub: TestHub, proxy: Hubgate, user: Callable[..., User]) -> None:
    runner = user()
    admin = urlsplit(proxy.admin).netloc
    (runner.folder / "home/.curlrc").write_text(f"connect-to = proxy.example:8081:{admin}\n")
    (command,) = re.findall(r"`(hubgate env --format github [^`]+)`", README)
    assert "http://proxy.example:8080 " in command
    temp = {"RUNNER_TEMP": str(runner.folder / "temp")}
    lines = user().runs(command.replace("http://proxy.example:8080", proxy.url))
    (append,) = re.findall(r"`(cat >>[^`]+)`, these lines, `END`", README)
    file = runner.folder / "temp/env"
    runner.runs(f"{TEXTS[CI]}{append}\n{lines}END\n", **temp, GITHUB_ENV=str(file))
    variables = dict(line.split("=", 1) for line in file.read_text().splitlines())
    assert (runner.folder / "temp/hubgate.pem").read_bytes() == proxy.bundle.read_bytes()
    runner.runs(TEXTS[Key("git and git-lfs", "sh")], **temp, **variables)
    expected = {path: hub.repo(MODEL).file(path).source.sha256 for path in FILES}
    assert runner.has("work/all-MiniLM-L6-v2") == expected


def test_the_undici_of_the_readme_is_the_one_that_is_tried() -> None:
    tried = json.loads((ROOT / "tests/clients/node/package.json").read_text())["dependencies"]["undici"]
    assert f"`npm install undici@{tried.partition('.')[0]}`" in README


def test_what_is_prefetched_is_here_and_costs_nothing_again(hub: TestHub, user: Callable[..., User]) -> None:
    name, data = hub.repo("org/name"), hub.repo("org/data", "datasets")
    asked = {path for path in FILES if path.endswith((".safetensors", ".json"))}
    someone = user()
    (someone.work / "set.txt").write_text("hf:org/name\n")
    told = someone.runs(PREFETCH)
    assert {path for path in FILES if hub.bodies_of(name.file(path).digest)} == asked
    assert all(hub.bodies_of(name.file(path).digest) == 1.0 for path in asked)
    assert hub.bodies_of(data.file("info.json", "v2").digest) == 1.0
    left = sum(name.file(path).size for path in FILES if path not in asked)
    assert f"missing: {left} bytes" in told, "of the whole repo, in the dry run"

    hub.clear()
    someone.runs(PREFETCH)
    reader = user("hub2")
    options = re.findall(r"--include '[^']+'", PREFETCH)
    reader.runs(TEXTS[SETTING_OUT] + f"hf download org/name {' '.join(options)}\n")
    snapshot = reader.has("home/.cache/huggingface/hub/models--*/snapshots/*")
    assert snapshot == {path: name.file(path).source.sha256 for path in asked}
    assert [str(record) for record in hub.requests() if record.blob] == []


def test_the_cache_commands_that_are_named_are_all_there_are(user: Callable[..., User]) -> None:
    lines = re.findall(r"^hubgate cache .*", PREFETCH, re.MULTILINE)
    words = {
        name: f"hubgate cache {name} {'hf:org/name' * ('hf:org/name' in line)} --json"
        for line in lines
        for name in re.findall(r"(?<=cache )\w+|(?<=`)\w+(?=`)", line)
    }
    assert {*words, "log", "quarantine"} == {*get_group(cache_app).commands}
    someone = user()
    someone.runs("hubgate prefetch hf:org/name")
    told = {name: json.loads(someone.runs(command)) for name, command in words.items()}
    assert len(told["show"]) == len(told["rm"]["removed"]) == len(FILES)
    assert "org/name" in str(told["ls"]) and "org/name" not in someone.runs(words["ls"])
