"""What the real clients show of a denial: the hub itself answers as `policy.blocked` has it, no proxy between.

A measurement of other people's programs. Where one shows less than the whole text, its test says what it shows instead.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from proxy_addon.core.messages import Headers, Request
from proxy_addon.hub.classify import Classifier
from proxy_addon.hub.resources import Blob, Reconstruction, Repo, Resource, Xorb
from proxy_addon.policy.blocked import Denial, audit_fields, blocked
from proxy_addon.policy.judge import Spoke
from tests.clients.run import ENVS, MODELSCOPE_ENVS, Env, ModelScopeEnv, node_project, run_client, run_tool
from tests.hub import Splice, TestHub, standard_hub
from tests.hub.exchange import Answer, Exchange

REASON = "Licence cc-by-nc-4.0 does not allow commercial use."
DENIAL = Denial(
    "lic-noncommercial", REASON, owner="legal@example.org", request_url="https://tickets.example.org/{repo}"
)
WAY = "Ask at https://tickets.example.org/acme%2F"
TEXT = f"Blocked by policy rule 'lic-noncommercial' (legal@example.org): {REASON} {WAY}"
PHRASE = "Blocked by policy lic-noncommercial [7f3a]"
REPO = Repo("huggingface", "models", "acme/tiny")  # what a link by digest is known to be of
HARD = Denial("règle", "Für «acme» nicht\r\nerlaubt: <b>\"许可\"</b> '$(id)'", owner="größe@example.org")


@dataclass
class Gate:
    """Stands before the families of the hub, as the proxy would before the hub."""

    hub: TestHub
    splice: Splice
    folder: Path
    denial: Denial = DENIAL
    findings: tuple[Spoke, ...] = ()
    spared: Callable[[Exchange], bool] = lambda ex: False
    seen: list[str] = field(default_factory=list)

    def answer(self, ex: Exchange) -> tuple[Resource, Repo] | Answer | None:
        path, query = ex.path, ex.record.query
        resource = Classifier().classify(ex.method, "https", ex.host, 443, path, query)
        unnamed = REPO if isinstance(resource, Blob | Reconstruction | Xorb) else None
        repo = getattr(resource, "repo", None) or _api_repo(ex) or unnamed
        if not isinstance(repo, Repo) or not repo.id.startswith("acme/"):
            return None
        if self.findings:
            return resource, repo
        if self.spared(ex):
            return None
        request = Request(ex.method, "https", ex.host, 443, path, query, Headers(ex.record.headers.items()))
        got = blocked(self.denial, request, resource, repo, "7f3a")
        self.seen.append(f"{ex.method} {path} {got.status}")
        return Answer(got.status, list(got.headers), got.body, reason=got.reason)

    def run(self, command: list[str], **extra: str) -> subprocess.CompletedProcess[str]:
        return run_tool(
            command, proxy_url=self.splice.url, ca_bundle=self.hub.ca_pem, home=self.folder, extra_env=extra
        )

    def python(self, env: Env, script: str, *args: str, **extra: str) -> subprocess.CompletedProcess[str]:
        return run_client(
            env,
            script,
            *args,
            proxy_url=self.splice.url,
            ca_bundle=self.hub.ca_pem,
            home=self.folder,
            extra_env=extra,
        )


def _api_repo(ex: Exchange) -> Repo | None:
    """Of what is relayed and names its repo only in the path: git, tokens."""
    parts = [part.removesuffix(".git") for part in ex.segments()]
    if "acme" not in parts[:-1]:
        return None
    at = parts.index("acme")
    hub = "modelscope" if "modelscope" in ex.host else "huggingface"
    return Repo(hub, "datasets" if "datasets" in parts[:at] else "models", f"acme/{parts[at + 1]}")


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[TestHub, Splice, list[Gate]]]:
    gates: list[Gate] = []
    with standard_hub() as hub, Splice(hub.port) as splice:

        def before(family):  # type: ignore[no-untyped-def]
            async def answer(hub: TestHub, ex: Exchange) -> Answer | None:
                decided = gates[-1].answer(ex)
                if isinstance(decided, Answer):
                    return decided
                got: Answer | None = await family(hub, ex)
                if got and decided:
                    got.headers += audit_fields(gates[-1].findings, *decided)
                return got

            return answer

        hub.families = [(pattern, before(family)) for pattern, family in hub.families]
        yield hub, splice, gates


@pytest.fixture
def gate(running: tuple[TestHub, Splice, list[Gate]], tmp_path: Path) -> Iterator[Gate]:
    hub, splice, gates = running
    gates.append(Gate(hub, splice, tmp_path))
    yield gates[-1]
    hub.reset()


HUB = "import huggingface_hub as h; "
HUB_CALLS = {
    "file": HUB + "h.hf_hub_download('acme/tiny', 'config.json')",
    "snapshot": HUB + "h.snapshot_download('acme/tiny')",
    "info": HUB + "h.HfApi().model_info('acme/tiny')",
    "tree": HUB + "list(h.HfApi().list_repo_tree('acme/tiny'))",
    "data": HUB + "h.snapshot_download('acme/tiny-ds', repo_type='dataset')",
}


@pytest.mark.parametrize("call", HUB_CALLS)
@pytest.mark.parametrize("env", ENVS)
def test_hub_clients_raise_it(gate: Gate, env: Env, call: str) -> None:
    done = gate.python(env, HUB_CALLS[call])
    error = done.stderr.splitlines()[-30:]
    assert done.returncode == 1 and "GatedRepoError" in done.stderr, done.stderr
    assert TEXT in "\n".join(error) and "[7f3a]" in done.stderr
    assert len(gate.seen) <= 3, "nobody tries again"


@pytest.mark.parametrize("env", ENVS)
def test_a_hostile_reason_is_one_line_of_ascii_to_them(gate: Gate, env: Env) -> None:
    gate.denial = HARD
    done = gate.python(env, HUB_CALLS["file"])
    assert "GatedRepoError" in done.stderr and "Fur ?acme? nicht erlaubt: <b>\"??\"</b> '$(id)'." in done.stderr


LATE = {
    "token": ("*/xet-read-token/*", "model.safetensors", TEXT),
    "reconstruction": ("*/reconstructions/*", "model.safetensors", f"403 {PHRASE}"),
    "link": ("*cdn-lfs*", "old.bin", TEXT),
}


@pytest.mark.parametrize("late", LATE)
@pytest.mark.parametrize("env", ENVS)
def test_a_denial_that_comes_late_is_seen(gate: Gate, env: Env, late: str) -> None:
    denied, path, shown = LATE[late]
    gate.spared = lambda ex: not fnmatchcase(ex.host + ex.path, denied)
    done = gate.python(env, HUB + f"h.hf_hub_download('acme/tiny', '{path}')")
    assert done.returncode == 1 and shown in done.stderr, done.stderr[-3000:]


@pytest.mark.parametrize("env", ["hub2", "hub1"])
def test_the_command_line_says_it(gate: Gate, env: Env) -> None:
    done = gate.run([str(Path(".clients").resolve() / env / "bin/hf"), "download", "acme/tiny", "config.json"])
    assert done.returncode == 1 and TEXT in done.stderr + done.stdout


@pytest.mark.parametrize("env", ["hub2", "hub1"])
def test_an_audit_is_printed_with_the_download(gate: Gate, env: Env) -> None:
    gate.findings = (Spoke("lic-noncommercial", "a.yaml:1", REASON),)
    done = gate.python(env, HUB + "print(h.hf_hub_download('acme/tiny', 'config.json'))")
    assert done.returncode == 0 and done.stdout.strip().endswith("config.json")
    assert f"Not blocked yet, but policy rule 'lic-noncommercial' would: {REASON}" in done.stderr


def test_the_oldest_prints_no_audit(gate: Gate) -> None:
    gate.findings = (Spoke("lic-noncommercial", "a.yaml:1", REASON),)
    done = gate.python("hub036", HUB + "print(h.hf_hub_download('acme/tiny', 'config.json'))")
    assert done.returncode == 0 and "lic-noncommercial" not in done.stderr


@pytest.mark.parametrize("what", ["AutoConfig", "AutoTokenizer"])
def test_transformers_show_it(gate: Gate, what: str) -> None:
    done = gate.python("hub2", f"from transformers import {what} as it; it.from_pretrained('acme/tiny')")
    assert done.returncode == 1
    assert "You are trying to access a gated repo." in done.stderr and TEXT in done.stderr


@pytest.mark.parametrize("how", ["", ", streaming=True"])
def test_datasets_print_it_as_a_warning_before_an_error_without_it(gate: Gate, how: str) -> None:
    done = gate.python("hub2", f"from datasets import load_dataset as it; it('acme/tiny-ds', split='train'{how})")
    assert done.returncode == 1 and done.stderr.splitlines()[0].startswith(TEXT)
    assert "DatasetNotFoundError" in done.stderr.splitlines()[-1] and "lic-" not in done.stderr.splitlines()[-1]


MS_CALLS = {
    "file": "from modelscope.hub.file_download import model_file_download as it; it('acme/tiny', 'config.json')",
    "snapshot": "from modelscope import snapshot_download as it; it('acme/tiny')",
    "data": "from modelscope import dataset_snapshot_download as it; it('acme/tiny-ds')",
}
SHOWN: dict[ModelScopeEnv, str] = {"ms140": TEXT, "ms129": PHRASE}


def before_files(ex: Exchange) -> bool:
    return "/repo" not in ex.path and "/resolve/" not in ex.path


@pytest.mark.parametrize("call", MS_CALLS)
@pytest.mark.parametrize("env", MODELSCOPE_ENVS)
def test_modelscope_shows_it_when_only_files_and_listings_are_denied(gate: Gate, env: ModelScopeEnv, call: str) -> None:
    gate.spared = before_files
    done = gate.python(env, MS_CALLS[call])
    assert done.returncode == 1 and SHOWN[env] in done.stderr, done.stderr[-3000:]
    assert not gate.hub.requests(host="*.ai"), "it does not go on to the other site"


@pytest.mark.parametrize(
    ("env", "call"),
    [("ms140", "file"), ("ms140", "snapshot"), ("ms140", "data"), ("ms129", "file"), ("ms129", "snapshot")],
)
def test_modelscope_shows_it_when_all_is_denied(gate: Gate, env: ModelScopeEnv, call: str) -> None:
    done = gate.python(env, MS_CALLS[call])
    assert done.returncode == 1 and SHOWN[env] in done.stderr, done.stderr[-3000:]
    assert len(gate.seen) <= 3, "nobody tries again"


def test_the_older_shows_all_of_it_when_asked_about_a_model(gate: Gate) -> None:
    done = gate.python("ms129", "from modelscope.hub.api import HubApi; HubApi().get_model('acme/tiny')")
    assert done.returncode == 1 and TEXT in done.stderr


def test_the_older_fails_without_the_words_where_a_data_set_s_facts_are_denied(gate: Gate) -> None:
    done = gate.python("ms129", MS_CALLS["data"])
    assert done.returncode == 1 and "status code 451" in done.stderr and "lic-" not in done.stderr
    assert "Failed to check existence of repo: dataset" in done.stderr


@pytest.mark.parametrize("host", ["huggingface.co", "www.modelscope.cn"])
def test_git_shows_it_as_the_remote_s_words(gate: Gate, host: str) -> None:
    done = gate.run(["git", "clone", f"https://{host}/acme/tiny", "c"], GIT_TERMINAL_PROMPT="0")
    assert done.returncode == 128 and f"remote: {TEXT}" in done.stderr, done.stderr
    gate.denial = HARD
    done = gate.run(["git", "clone", f"https://{host}/acme/tiny", "d"], GIT_TERMINAL_PROMPT="0")
    assert "remote: Blocked by policy rule 'regle'" in done.stderr and "Für «acme» nicht erlaubt" in done.stderr


def test_git_fetching_from_a_clone_made_before_shows_it(gate: Gate) -> None:
    gate.spared = lambda ex: True
    quiet = {"GIT_TERMINAL_PROMPT": "0", "GIT_LFS_SKIP_SMUDGE": "1"}
    assert gate.run(["git", "clone", "-q", "https://huggingface.co/acme/tiny", "c"], **quiet).returncode == 0
    gate.spared = lambda ex: False
    done = gate.run(["git", "-C", "c", "pull"], **quiet)
    assert done.returncode == 1 and f"remote: {TEXT}" in done.stderr


@pytest.mark.parametrize("host", ["huggingface.co", "www.modelscope.cn"])
def test_git_lfs_shows_it(gate: Gate, host: str) -> None:
    gate.spared = lambda ex: "/info/lfs/" not in ex.path
    assert gate.run(["git", "lfs", "install", "--skip-repo"]).returncode == 0
    done = gate.run(["git", "clone", f"https://{host}/acme/tiny", "c"], GIT_TERMINAL_PROMPT="0")
    assert done.returncode == 128 and f"batch response: {TEXT}" in done.stderr, done.stderr


FILE = "https://huggingface.co/acme/tiny/resolve/main/config.json"


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (["curl", "-s", FILE], TEXT),
        (["curl", "-s", "--fail-with-body", FILE], TEXT),
        (["curl", "-sSf", FILE], "The requested URL returned error: 403"),
        (["curl", "-sI", FILE], f"HTTP/1.1 403 {PHRASE}"),
        (["curl", "-s", "-H", "Accept: text/html,*/*", FILE], f"<p>{REASON}</p>"),
        (["wget", "-nv", "--ca-certificate={ca}", FILE], f"ERROR 403: {PHRASE}."),
        (["aria2c", "--ca-certificate={ca}", FILE], "status=403"),
    ],
)
def test_tools_show_what_they_can(gate: Gate, command: list[str], shown: str) -> None:
    done = gate.run([part.format(ca=gate.hub.ca_pem) for part in command])
    assert shown in done.stdout + done.stderr


LIBRARIES = {
    "requests": ("hub036", "import requests; requests.get({url!r}).raise_for_status()"),
    "httpx": ("hub1", "import httpx; httpx.get({url!r}).raise_for_status()"),
    "urllib": ("hub1", "import urllib.request; urllib.request.urlopen({url!r})"),
}
AIOHTTP = """
import asyncio, aiohttp, ssl, sys
async def main():
    trust = ssl.create_default_context(cafile=sys.argv[1])
    async with aiohttp.ClientSession(trust_env=True, raise_for_status=True) as session:
        await session.get(sys.argv[2], ssl=trust)
asyncio.run(main())
"""


@pytest.mark.parametrize("library", LIBRARIES)
def test_libraries_raise_the_phrase(gate: Gate, library: str) -> None:
    env, script = LIBRARIES[library]
    done = gate.python(env, script.format(url=FILE))  # type: ignore[arg-type]
    assert done.returncode == 1 and PHRASE in done.stderr.splitlines()[-1] + done.stderr


def test_aiohttp_raises_the_phrase(gate: Gate) -> None:
    done = gate.run([sys.executable, "-c", AIOHTTP, str(gate.hub.ca_pem), FILE])
    assert done.returncode == 1 and f"403, message='{PHRASE}'" in done.stderr


NODE = """
import { listFiles, downloadFile, modelInfo, snapshotDownload } from "@huggingface/hub";
const repo = { type: "model", name: "acme/tiny" };
const calls = {
  list: async () => { for await (const entry of listFiles({ repo })); },
  file: () => downloadFile({ repo, path: "config.json" }),
  info: () => modelInfo({ name: "acme/tiny" }),
  snapshot: () => snapshotDownload({ repo }),
};
const told = {};
for (const [name, call] of Object.entries(calls)) told[name] = await call().then(() => "", (error) => error.message);
console.log(JSON.stringify(told));
"""


def test_node_raises_it(gate: Gate) -> None:
    folder = node_project(gate.folder / "node")
    (folder / "blocked.mjs").write_text(NODE)
    gate.folder = folder
    done = gate.run(["node", "--import", "./proxy.mjs", "blocked.mjs"])
    told = json.loads(done.stdout)
    assert [name for name, text in told.items() if TEXT in text] == ["list", "file", "info", "snapshot"], told


def test_a_name_that_is_no_name_stays_in_its_field(gate: Gate) -> None:
    done = gate.run(
        [
            "curl",
            "-si",
            "--suppress-connect-headers",
            "https://huggingface.co/acme/o%0d%0aX-Injected:%20yes%22'%c3%a9/resolve/main/a.txt",
        ]
    )
    head, _, body = done.stdout.partition("\n\n")
    fields = [line.partition(":")[0] for line in head.splitlines()[1:]]
    assert "X-Policy-Rule" in fields and "X-Injected" not in fields
    assert "policy-acme/o%0D%0AX-Injected:%20yes%22%27%C3%A9; Blocked by policy" in head
    assert json.loads(body)["error"].endswith("hubgate explain hf:acme/o%0D%0AX-Injected:%20yes%22%27%C3%A9 [7f3a]")
