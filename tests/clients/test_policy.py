"""The real clients before a proxy with rules: what they show of a denial, and that none of them finds a side door.

Each meets three repos: `embargoed/*`, of which the hub hears nothing; `cold/*`, whose licence only the hub's API knows;
and `warm/*`, which it had whole through the same proxy before a rule came. Nothing is cached by a client itself.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from os import mkfifo
from pathlib import Path
from signal import SIGHUP
from subprocess import CompletedProcess
from typing import Any
from zlib import crc32

import pytest

from tests.clients.conftest import Site
from tests.clients.run import ENVS, Env, environment, node_project, python_of, run_tool
from tests.clients.test_ollama import PULL
from tests.hub import Repo, Synthetic
from tests.hub.repo import Content, Hub, Storage
from tests.hub.standard import CONFIG, TOKENIZER, TOKENIZER_CONFIG
from tests.processes import Answer, Process

REASON = "Licence cc-by-nc-4.0 does not allow commercial use."
RULE = """
  - id: {id}
    effect: deny
    mode: {mode}
    match: {{repo: "{repo}", license: {{commercial_use: "no"}}}}
    reason: "Licence {{license.id}} does not allow commercial use."
    owner: legal@example.org
"""
BASE = """
version: 1
defaults: {request_url: "https://tickets.example.org/{repo}"}
classifications:
  - {id: emb-001, class: embargoed, match: {repo: "embargoed/*"}, owner: sec@example.org, reason: "Legal hold 14."}
rules:
  - {id: no-pickle, effect: deny, match: {repo: "files/*", path: "**/*.bin"}, reason: "Use the .safetensors file."}
  - id: hostile
    effect: deny
    match: {repo: "hostile/*"}
    reason: >-
      Für «acme» nicht erlaubt: <b>"许可"</b> '$(id)'
    owner: größe@example.org
"""
CAS = "https://cas-server.xethub.hf.co"
QUIET = {"GIT_TERMINAL_PROMPT": "0", "GIT_LFS_SKIP_SMUDGE": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1"}
LFS = {"Accept": "application/vnd.git-lfs+json", "Content-Type": "application/vnd.git-lfs+json"}
READERS: dict[Hub, dict[str, str]] = {
    "huggingface": {"Authorization": "Bearer hf_reader"},
    "modelscope": {"Authorization": "Bearer ms_reader"},
}
LICENCE: dict[Hub, dict[str, object]] = {
    "huggingface": {"cardData": {"license": "cc-by-nc-4.0"}},
    "modelscope": {"License": "cc-by-nc-4.0"},
}
HOSTS: dict[Hub, str] = {"huggingface": "huggingface.co", "modelscope": "www.modelscope.cn"}


@dataclass
class Ruled:
    """A proxy with a rules directory, to which rules are added as it runs."""

    site: Site
    folder: Path
    rules: int

    def deny(self, *repos: Repo) -> None:
        """A rule for each; returns when they are in force."""
        for repo in repos:
            rule = RULE.format(id=rule_of(repo), repo=repo.id, mode="enforce")
            (self.folder / f"{rule_of(repo)}.yaml").write_text(f"version: 1\nrules:{rule}")
        self.site.proxy.signal(SIGHUP)
        self.rules += len(repos)
        self.site.proxy.wait_for(f"rules: {self.rules} rules in force")

    def run(self, *command: str, home: Path | None = None, **variables: str) -> CompletedProcess[str]:
        """In a home of its own, unless one is given; `{ca}` is the bundle, {home} the home."""
        home = home or (node_project if command[0] == "node" else Path)(self.site.home())
        return run_tool(
            [part.replace("{ca}", str(self.site.bundle)).replace("{home}", str(home)) for part in command],
            proxy_url=self.site.proxy.url,
            ca_bundle=self.site.bundle,
            home=home,
            extra_env=QUIET | variables,
            timeout=90,
        )

    def repo(self, id: str, type: str = "model", hub: Hub = "huggingface", **settings: Any) -> Repo:
        """No word of the licence is in its files."""
        files: dict[str, Content] = {
            ".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n",
            "README.md": "# Without front matter\n",
            "config.json": json.dumps(CONFIG),
            "tokenizer.json": json.dumps(TOKENIZER),
            "tokenizer_config.json": json.dumps(TOKENIZER_CONFIG),
            "w.bin": Synthetic(200_000, crc32(f"{hub}{type}{id}".encode())),
            "x-Q4_K_M.gguf": Synthetic(100_000, crc32(f"gguf{hub}{type}{id}".encode())),
        }
        rows = "id,text\n" + "1,a\n" * 9
        data: dict[str, Content] = {"README.md": "# Rows\n", "data/train.csv": rows}
        storage: dict[str, Storage] = {"w.bin": "lfs", "x-Q4_K_M.gguf": "lfs"}
        settings = {"storage": storage, "info": LICENCE[hub], **settings}
        return self.site.hub.add(Repo(id, type, data if type == "dataset" else files, hub=hub, **settings))


@pytest.fixture(scope="module")
def opened_ruled(opened: Callable[[], Site]) -> Ruled:
    site = opened()
    folder = site.folder / "rules"
    folder.mkdir()
    audit = RULE.format(id="lic-soon", repo="audited/*", mode="audit")
    (folder / "base.yaml").write_text(BASE + RULE.format(id="lic-nc", repo="cold/*", mode="enforce") + audit)
    site.restart(rules=[str(folder)], hubs={"huggingface": {"xet": "native"}})
    site.proxy.wait_for("rules: 5 rules in force")
    return Ruled(site, folder, 5)


@pytest.fixture
def ruled(opened_ruled: Ruled) -> Iterator[Ruled]:
    yield opened_ruled
    opened_ruled.site.hub.reset()


def rule_of(repo: Repo) -> str:
    kind, _, name = repo.id.partition("/")
    return {"cold": "lic-nc", "embargoed": "emb-001", "files": "no-pickle"}.get(kind, f"lic-nc-{name}")


def phrase_of(repo: Repo) -> str:
    return f"Blocked by policy {rule_of(repo)} ["


def text_of(repo: Repo) -> str:
    said = {"emb-001": " (sec@example.org): Legal hold 14.", "no-pickle": ": Use the .safetensors file."}
    return f"Blocked by policy rule '{rule_of(repo)}'" + said.get(rule_of(repo), f" (legal@example.org): {REASON}")


def words_of(repo: Repo) -> dict[str, str]:
    text = text_of(repo)
    reason = text.partition(": ")[2]
    return {"id": repo.id, "text": text, "reason": reason, "phrase": phrase_of(repo), "rule": rule_of(repo)}


# -- what each client shows ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Client:
    """`{id}` in a command is the repo, `{url}` a file of it; `{text}` in what is shown is the sentence, and `{phrase}`
    the reason phrase. What is never shown is `hidden`."""

    command: tuple[str, ...]
    code: int
    shown: tuple[str, ...] = ("{text}",)
    hidden: tuple[str, ...] = ()
    type: str = "model"
    hub: Hub = "huggingface"
    variables: dict[str, str] = field(default_factory=dict)


def python(env: Env, script: str, *shown: str, **settings: Any) -> Client:
    return Client((str(python_of(env)), "-c", f"import sys; id = sys.argv[1]; {script}", "{id}"), 1, shown, **settings)


def cli(env: Env, *arguments: str) -> Client:
    return Client((str(python_of(env).with_name("hf")), *arguments), 1)


NODE = """
import * as hub from "@huggingface/hub";
const [call, name] = process.argv.slice(1);
const given = { repo: { type: "model", name }, name, path: call === "downloadFile" ? "w.bin" : "", revision: "main" };
console.debug = () => {};
try {
  const got = await hub[call](given);
  if (call === "listFiles") await got.next();
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
"""
AIOHTTP = """if 1:
    import asyncio, aiohttp, ssl, sys
    async def main():
        trust = ssl.create_default_context(cafile=sys.argv[1])
        async with aiohttp.ClientSession(trust_env=True, raise_for_status=True) as session:
            await session.get(sys.argv[2], ssl=trust)
    asyncio.run(main())
"""
LIBRARIES = """if 1:
    import sys, traceback
    from datasets import load_dataset
    from transformers import AutoConfig, AutoTokenizer
    calls = {
        "AutoConfig": AutoConfig.from_pretrained,
        "AutoTokenizer": AutoTokenizer.from_pretrained,
        "load_dataset": lambda id: load_dataset(id, split="train"),
        "streaming": lambda id: next(iter(load_dataset(id, split="train", streaming=True))),
    }
    for name, call in calls.items():
        for kind in sys.argv[1:]:
            print(f"== {kind}/{name}", file=sys.stderr, flush=True)
            try:
                call(f"{kind}/{name}")
            except Exception:
                traceback.print_exc()
"""
GATED = "GatedRepoError"
SMUDGED = ("-c", "filter.lfs.process=git-lfs filter-process")
KINDS = ("warm", "cold", "embargoed")
HUB = {
    "file": "from huggingface_hub import hf_hub_download as it; it(id, 'config.json')",
    "large": "from huggingface_hub import hf_hub_download as it; it(id, 'w.bin')",
    "snapshot": "from huggingface_hub import snapshot_download as it; it(id)",
    "info": "from huggingface_hub import HfApi; HfApi().model_info(id)",
}
MS = {
    "file": "from modelscope.hub.file_download import model_file_download as it; it(id, 'config.json')",
    "snapshot": "from modelscope import snapshot_download as it; it(id)",
    "info": "from modelscope.hub.api import HubApi; HubApi().get_model(id)",
}
MS_DATA = "from modelscope import dataset_snapshot_download as it; it(id)"
ELSEWHERE: dict[str, Any] = {"hub": "modelscope"}
DATA: dict[str, Any] = {"type": "dataset"}
CLIENTS: dict[str, Client] = {
    **{f"{env}-{call}": python(env, HUB[call], GATED, "{text}") for env in ENVS for call in HUB},
    "hub2-data": python("hub2", HUB["snapshot"].replace("id)", "id, repo_type='dataset')"), GATED, "{text}", **DATA),
    "hub2-cli": cli("hub2", "download", "{id}", "config.json"),
    "hub1-cli": cli("hub1", "download", "{id}"),
    **{f"ms140-{call}": python("ms140", MS[call], "{text}", **ELSEWHERE) for call in MS},
    **{f"ms129-{call}": python("ms129", MS[call], "{phrase}", **ELSEWHERE) for call in ("file", "snapshot")},
    "ms129-info": python("ms129", MS["info"], "{text}", **ELSEWHERE),
    "ms140-data": python("ms140", MS_DATA, "{text}", **ELSEWHERE, **DATA),
    "ms129-data": python(
        "ms129", MS_DATA, "Failed to check existence of repo: dataset", "451", **ELSEWHERE, **DATA, hidden=("Blocked",)
    ),
    **{
        f"git-{hub}": Client(("git", "clone", f"https://{HOSTS[hub]}/{{id}}", "c"), 128, ("remote: {text}",), hub=hub)
        for hub in HOSTS
    },
    "curl": Client(("curl", "-s", "{url}"), 0),
    "curl-f": Client(("curl", "-sSf", "{url}"), 22, ("curl: (22) The requested URL returned error: 403",)),
    "curl-body": Client(("curl", "-s", "--fail-with-body", "{url}"), 22),
    "curl-head": Client(("curl", "-sI", "--http1.1", "{url}"), 0, ("HTTP/1.1 403 {phrase}", "X-Error-Message: {text}")),
    "curl-head2": Client(("curl", "-sI", "--http2", "{url}"), 0, ("HTTP/2 403", "x-error-message: {text}")),
    "curl-browser": Client(("curl", "-s", "-HAccept: text/html", "{url}"), 0, ("<p>{reason}</p>", "<dd>{rule}")),
    "wget": Client(("wget", "-nv", "--ca-certificate={ca}", "{url}"), 8, ("ERROR 403: {phrase}",)),
    "aria2": Client(("aria2c", "--ca-certificate={ca}", "{url}"), 22, ("status=403",), ("{rule}",)),
    "requests": python("hub036", "import requests; requests.get(sys.argv[2]).raise_for_status()", "{phrase}"),
    "httpx": python("hub1", "import httpx; httpx.get(sys.argv[2]).raise_for_status()", "{phrase}"),
    "urllib": python("hub1", "import urllib.request; urllib.request.urlopen(sys.argv[2])", "{phrase}"),
    "aiohttp": Client((sys.executable, "-c", AIOHTTP, "{ca}", "{url}"), 1, ("403, message='{phrase}",)),
    **{
        f"node-{call}": Client(("node", "--import", "./proxy.mjs", "--input-type=module", "-e", NODE, call, "{id}"), 1)
        for call in ("listFiles", "downloadFile", "modelInfo", "snapshotDownload")
    },
    "ollama": Client(
        (str(python_of("hub1")), "-c", f"if 1:{PULL}", "hf.co", "{id}", "Q4_K_M", "", "4"),
        1,
        ('Error: pull model manifest: 403: {{"errors": [{{"code": "DENIED", "message": "{text}',),
    ),
}


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_shows_why(ruled: Ruled, client: str) -> None:
    use, hub = CLIENTS[client], ruled.site.hub
    warm, cold, embargoed = (ruled.repo(f"{kind}/{client}", use.type, use.hub) for kind in KINDS)

    def run(repo: Repo) -> CompletedProcess[str]:
        url = f"https://huggingface.co/{repo.id}/resolve/main/config.json"
        fill = lambda part: part.replace("{id}", repo.id).replace("{url}", url)  # noqa: E731
        return ruled.run(*map(fill, use.command), *([url] if "sys.argv[2]" in use.command[2] else []))

    before = run(warm)
    assert before.returncode == 0 and "policy" not in before.stdout + before.stderr, before.stderr[-3000:]
    ruled.deny(warm)
    for repo in (embargoed, cold, warm):
        hub.clear()
        done = run(repo)
        told = "\n" + done.stdout + done.stderr
        words = words_of(repo)
        assert done.returncode == use.code, told[-3000:]
        assert [shown for shown in use.shown if shown.format(**words) not in told] == [], told[-3000:]
        assert [shown for shown in use.hidden if shown.format(**words) in told] == []
        asked = [str(q) for q in hub.requests()]
        facts = [] if repo is embargoed else [one for one in asked if "/api/" in one and repo.id in one]
        assert asked == facts, "nothing is asked of the hub but what the rules ask"
    counted = ruled.site.proxy.metrics()[f'hubgate_policy_denied_total{{rule="{rule_of(warm)}"}}']
    assert 1 <= counted <= 3, "nobody tries again"


SAID = {
    "AutoConfig": ("You are trying to access a gated repo.", "{text}"),
    "AutoTokenizer": ("You are trying to access a gated repo.", "{text}"),
    "load_dataset": ("\n{text}", "DatasetNotFoundError: Dataset '{id}' is a gated dataset on the Hub."),
    "streaming": ("\n{text}", "DatasetNotFoundError: Dataset '{id}' is a gated dataset on the Hub."),
}


def test_the_libraries_show_why(ruled: Ruled) -> None:
    """Of a data set the text is a line before the error, once in a process; the error itself has no word of it."""
    made = {
        (kind, call): ruled.repo(f"{kind}/{call}", "model" if call.startswith("Auto") else "dataset")
        for kind in KINDS
        for call in SAID
    }
    command = (str(python_of("hub2")), "-c", LIBRARIES)
    before = ruled.run(*command, "warm")
    assert before.returncode == 0 and "Traceback" not in before.stderr, before.stderr[-3000:]
    ruled.deny(*(repo for (kind, _), repo in made.items() if kind == "warm"))
    ruled.site.hub.clear()
    done = ruled.run(*command, *KINDS)
    told = dict(part.split("\n", 1) for part in done.stderr.split("== ")[1:])
    for (kind, call), repo in made.items():
        words = words_of(repo)
        section = f"\n{told[f'{kind}/{call}']}"
        assert [shown for shown in SAID[call] if shown.format(**words) not in section] == [], section
    assert not [q for q in ruled.site.hub.requests() if "embargoed" in q.path or "/api/" not in q.path]


@pytest.mark.parametrize(("env", "printed"), [("hub2", True), ("hub1", True), ("hub036", False)])
def test_an_audit_lets_it_pass_and_newer_clients_print_it(ruled: Ruled, env: Env, printed: bool) -> None:
    ruled.repo(f"audited/{env}")
    done = ruled.run(str(python_of(env)), "-c", f"import sys; id = sys.argv[1]; {HUB['large']}", f"audited/{env}")
    told = f"Not blocked yet, but policy rule 'lic-soon' would: {REASON}"
    assert (done.returncode, told in done.stderr) == (0, printed), done.stderr


@pytest.mark.parametrize("id", ["audited/curl", "cold/llama"])
def test_llama_cpp_and_curl_are_told_too(ruled: Ruled, id: str) -> None:
    repo = ruled.repo(id)
    answer = ruled.site.proxy.ask(f"https://huggingface.co/api/models/{repo.id}/refs", headers={"Accept": "*/*"})
    denied = id.startswith("cold/")
    assert (answer.status, answer["X-Policy-Audit"]) == ((403, None) if denied else (200, "lic-soon"))
    assert (text_of(repo) in answer.json.get("error", "")) == denied


FILES: dict[str, Client] = {
    **{f"{env}-{call}": python(env, HUB[call], GATED, "{text}") for env in ENVS for call in ("large", "snapshot")},
    **{
        f"ms140-{call}": python("ms140", MS[call].replace("config.json", "w.bin"), "{text}", **ELSEWHERE)
        for call in ("file", "snapshot")
    },
    **{
        f"git-lfs-{hub}": Client(
            ("git", *SMUDGED, "clone", f"https://{HOSTS[hub]}/{{id}}", "c"), 128, ("[403] {text}",), hub=hub
        )
        for hub in HOSTS
    },
}


@pytest.mark.parametrize("client", FILES)
def test_a_client_shows_why_a_file_of_an_open_repo_is_denied(ruled: Ruled, client: str) -> None:
    """Not here: ModelScope's older SDK, which asks five times in half a minute before it shows the phrase."""
    use = FILES[client]
    repo = ruled.repo(f"files/{client}", use.type, use.hub)
    done = ruled.run(*(part.replace("{id}", repo.id) for part in use.command), GIT_LFS_SKIP_SMUDGE="0")
    told, words = done.stdout + done.stderr, words_of(repo)
    assert done.returncode == use.code, told[-3000:]
    assert [shown for shown in use.shown if shown.format(**words) not in told] == [], told[-3000:]
    assert not ruled.site.hub.requests(blob=repo.file("w.bin").sha256)


@pytest.mark.parametrize("env", ENVS)
def test_a_hostile_reason_is_one_line_of_ascii_to_them(ruled: Ruled, env: Env) -> None:
    ruled.repo(f"hostile/{env}")
    done = ruled.run(str(python_of(env)), "-c", f"import sys; id = sys.argv[1]; {HUB['file']}", f"hostile/{env}")
    assert GATED in done.stderr
    assert "(gro?e@example.org): Fur ?acme? nicht erlaubt: <b>\"??\"</b> '$(id)'." in done.stderr


def test_a_hostile_reason_is_its_own_to_git(ruled: Ruled) -> None:
    ruled.repo("hostile/git")
    done = ruled.run("git", "clone", "https://huggingface.co/hostile/git", "c")
    assert "remote: Blocked by policy rule 'hostile'" in done.stderr and "Für «acme» nicht erlaubt" in done.stderr


@pytest.mark.parametrize(("name", "status"), [("o%22'%c3%a9", 403), ("o%0d%0aX-Injected:%20yes", 400)])
def test_a_name_that_is_no_name_stays_in_its_field(ruled: Ruled, name: str, status: int) -> None:
    url = f"https://huggingface.co/embargoed/{name}/resolve/main/a.txt"
    head, _, body = ruled.run("curl", "-si", "--suppress-connect-headers", "--http1.1", url).stdout.partition("\n\n")
    fields = [line.partition(":")[0] for line in head.splitlines()[1:]]
    assert head.startswith(f"HTTP/1.1 {status} ") and "X-Injected" not in fields
    assert json.loads(body)["error"].isascii() and not ruled.site.hub.requests()


# -- no side door ----------------------------------------------------------------------------------------------------


def denied(answer: Answer, repo: Repo) -> bool:
    return answer.status in (403, 451) and answer["X-Policy-Rule"] == rule_of(repo)


@pytest.mark.parametrize("place", HOSTS)
@pytest.mark.parametrize("held", [True, False])
def test_a_clone_made_before_gets_nothing_more(ruled: Ruled, place: Hub, held: bool) -> None:
    """Whether or not the cache holds the large file that is asked for."""
    repo = ruled.repo(f"warm/clone-{place}-{held}", hub=place)
    home, url = ruled.site.home(), f"https://{HOSTS[place]}/{repo.id}"
    git = lambda *words: ruled.run("git", *words, home=home)  # noqa: E731
    assert git("lfs", "install", "--skip-repo").returncode == 0
    assert git("clone", "-q", url, "c").returncode == 0
    assert git("clone", "-q", "--filter=blob:none", "--no-checkout", url, "part").returncode == 0
    assert not held or ruled.run("git", "clone", "-q", url, "c", GIT_LFS_SKIP_SMUDGE="0").returncode == 0
    ruled.deny(repo)
    ruled.site.hub.clear()
    pull, lfs, checkout = git("-C", "c", "pull"), git("-C", "c", "lfs", "pull"), git("-C", "part", "checkout", "HEAD")
    assert pull.returncode == 1 and f"remote: {text_of(repo)}" in pull.stderr
    assert lfs.returncode == 2 and f"batch response: {text_of(repo)}" in lfs.stderr, lfs.stderr
    assert checkout.returncode == 128 and f"remote: {text_of(repo)}" in checkout.stderr, checkout.stderr
    assert (home / "c/w.bin").read_text().startswith("version https://git-lfs"), "still the pointer"
    assert [q for q in ruled.site.hub.requests() if "/api/" not in q.path] == []


def lfs_link(ruled: Ruled, repo: Repo) -> str:
    oid = repo.file("w.bin").sha256
    asked = {"operation": "download", "objects": [{"oid": oid, "size": 200_000}]}
    url = f"https://{HOSTS[repo.hub]}/{repo.id}.git/info/lfs/objects/batch"
    answer = ruled.site.proxy.ask(url, "POST", LFS, json.dumps(asked).encode())
    return str(answer.json["objects"][0]["actions"]["download"]["href"])


def link(path: str) -> Callable[[Ruled, Repo], str]:
    def ask(ruled: Ruled, repo: Repo) -> str:
        url = f"https://{HOSTS[repo.hub]}/{path.format(id=repo.id, sha=repo.file('x-Q4_K_M.gguf').sha256)}"
        return ruled.site.proxy.ask(url, headers=READERS[repo.hub] | {"Cache-Control": "no-store"})["Location"] or ""

    return ask


PLAIN_FILE: dict[Hub, str] = {
    "huggingface": "{id}/resolve/main/w.bin",
    "modelscope": "models/{id}/resolve/master/w.bin",
}
LINKS: dict[str, tuple[Callable[[Ruled, Repo], str], dict[str, Any]]] = {
    "gated": (link(PLAIN_FILE["huggingface"]), {"gated": "auto", "readers": {"hf_reader"}}),
    "gated-xet": (
        link(PLAIN_FILE["huggingface"]),
        {"gated": "auto", "readers": {"hf_reader"}, "storage": {"w.bin": "xet"}},
    ),
    "lfs": (lfs_link, {}),
    "lfs-modelscope": (lfs_link, {"hub": "modelscope"}),
    "modelscope": (
        link(PLAIN_FILE["modelscope"]),
        {"hub": "modelscope", "gated": "manual", "readers": {"ms_reader"}},
    ),
    "ollama": (link("v2/{id}/blobs/sha256:{sha}"), {"gated": "auto", "readers": {"hf_reader"}}),
}


@pytest.mark.parametrize("kind", LINKS)
def test_a_link_had_before_leads_nowhere(ruled: Ruled, kind: str) -> None:
    asked, settings = LINKS[kind]
    repo, proxy = ruled.repo(f"warm/link-{kind}", **settings), ruled.site.proxy
    used, unused = asked(ruled, repo), asked(ruled, repo)
    assert proxy.ask(used).status == 200
    ruled.deny(repo)
    ruled.site.hub.clear()
    for one in (used, unused, used):
        for headers in ({}, {"Range": "bytes=0-9"}, READERS[repo.hub]):
            assert denied(proxy.ask(one, headers=headers), repo), one
            assert denied(proxy.ask(one, "HEAD", headers=headers), repo), one
    assert proxy.ask(used.partition("?")[0]).status in (401, 403, 451)
    assert [q for q in ruled.site.hub.requests() if "/api/" not in q.path] == []


LATE: dict[str, tuple[str, str, Storage, Callable[[Repo], str]]] = {
    "link": ("cdn-lfs*", "*", "lfs", text_of),
    "token": ("*", "*/xet-read-token/*", "xet", text_of),
    "reconstruction": ("cas-server.*", "*/reconstructions/*", "xet", lambda repo: f"(403 {phrase_of(repo)}"),
}


@pytest.mark.parametrize("late", LATE)
@pytest.mark.parametrize("env", [*ENVS, "xet14"])
def test_a_rule_that_comes_in_the_midst_of_a_download_ends_it(ruled: Ruled, env: Env, late: str) -> None:
    """While the hub is making an answer, which is then judged by the new rule."""
    host, path, storage, shown = LATE[late]
    hub, repo = ruled.site.hub, ruled.repo(f"warm/{late}-{env}", storage={"w.bin": storage})
    hub.knob(host=host, path=path, hold=late)
    with ThreadPoolExecutor() as aside:
        script = f"import sys; id = sys.argv[1]; {HUB['large']}"
        home = ruled.site.home()
        running = aside.submit(ruled.run, str(python_of(env)), "-c", script, repo.id, home=home)
        try:
            hub.wait(host=host, path=path)
            ruled.deny(repo)
        finally:
            hub.release(late)
        done = running.result()
    assert done.returncode and shown(repo) in done.stderr, done.stderr[-3000:]  # hf_xet 1.4 may die of any failure
    assert [p for p in home.rglob("blobs/*") if p.stat().st_size >= 200_000] == []
    assert not hub.requests(host="transfer.*")


def test_an_xet_token_had_before_opens_nothing(ruled: Ruled) -> None:
    proxy, repo = ruled.site.proxy, ruled.repo("warm/xet-token", storage={"w.bin": "xet"})
    token = proxy.ask(f"https://huggingface.co/api/models/{repo.id}/xet-read-token/main").json["accessToken"]
    url, bearer = f"{CAS}/v1/reconstructions/{repo.file('w.bin').xet}", {"Authorization": f"Bearer {token}"}
    (first, *_), *_ = proxy.ask(url, headers=bearer).json["fetch_info"].values()
    start, end = first["url_range"]["start"], first["url_range"]["end"]
    ranged = {"Range": f"bytes={start}-{end}"}
    assert proxy.ask(first["url"], headers=ranged).status == 206
    ruled.deny(repo)
    ruled.site.hub.clear()
    assert denied(proxy.ask(url, headers=bearer), repo)
    assert denied(proxy.ask(url.replace("/v1/", "/v2/"), headers=bearer), repo)
    assert denied(proxy.ask(first["url"], headers=ranged), repo)
    assert [q for q in ruled.site.hub.requests() if "/api/" not in q.path] == []


STREAM = """if 1:
    import sys
    from datasets import load_dataset
    rows = iter(load_dataset(sys.argv[1], split="train", streaming=True))
    next(rows)
    print("first row", flush=True)
    open(sys.argv[2]).read()
    try:
        print(len(list(rows)))
    finally:
        print("no more", flush=True)
"""


def test_a_dataset_that_is_being_streamed_ends_at_the_next_file(ruled: Ruled) -> None:
    repo = ruled.repo("warm/stream", "dataset")
    repo.commit({f"data/train-{n}.csv": "id,text\n" + "1,a\n" * 9 for n in range(3)})
    home = ruled.site.home()
    home.mkdir()
    mkfifo(home / "go")
    variables = environment(proxy_url=ruled.site.proxy.url, ca_bundle=ruled.site.bundle, home=home)
    with Process([str(python_of("hub2")), "-c", STREAM, repo.id, str(home / "go")], **variables) as client:
        client.wait_for("first row", 60)
        ruled.deny(repo)
        ruled.site.hub.clear()
        (home / "go").write_text("")
        assert client.wait(60) == 1, client.told
    assert "no more" in client.told and text_of(repo) in client.told, client.told
    assert [q for q in ruled.site.hub.requests() if "/api/" not in q.path] == []


def test_a_link_to_what_is_private_is_of_unknown_origin_until_its_reader_asks_again(ruled: Ruled) -> None:
    """The rule asks for what was never asked with the reader's token, and a link has none."""
    repo = ruled.repo("warm/link-private", private=True, readers={"hf_reader"})
    one, proxy = link(PLAIN_FILE["huggingface"])(ruled, repo), ruled.site.proxy
    assert proxy.ask(one).status == 200
    ruled.deny(repo)
    lost = proxy.ask(one)
    assert (lost.status, lost["X-Policy-Rule"], lost["WWW-Authenticate"]) == (403, "unknown-origin", None)
    assert b"Ask for the file by its own URL again." in lost.body
    assert denied(proxy.ask(f"https://huggingface.co/{repo.id}/resolve/main/w.bin", headers=READERS[repo.hub]), repo)
    assert denied(proxy.ask(one), repo), "now it was asked"


@pytest.mark.parametrize("place", HOSTS)
@pytest.mark.parametrize("storage", ["lfs", "xet"])
def test_a_private_repo_that_the_rules_allow_is_still_had(ruled: Ruled, place: Hub, storage: Storage) -> None:
    """Its licence is asked for with the reader's token, and then its bytes without one."""
    told = {"huggingface": {"cardData": {"license": "mit"}}, "modelscope": {"License": "MIT License"}}[place]
    id, settings = f"cold/own-{storage}", {"private": True, "readers": {READERS[place]["Authorization"].split()[1]}}
    storage = "lfs" if place == "modelscope" else storage
    repo = ruled.repo(id, hub=place, info=told, storage={"w.bin": storage}, **settings)
    for _ in range(2):
        answer = ruled.site.proxy.ask(link(PLAIN_FILE[place])(ruled, repo))
        assert answer.status == 200 and len(answer.body) == 200_000, answer.body


FORMS = [
    "https://huggingface.co/COLD/Doors/resolve/main/w.bin",
    "https://huggingface.co/cold%2Fdoors/resolve/main/w.bin",
    "https://huggingface.co/%63old/doors/resolve/main/w.bin",
    "https://huggingface.co//cold/doors/resolve/main/w.bin",
    "https://huggingface.co/cold/doors/resolve/main/w.bin?download=true",
    "https://huggingface.co/cold/doors/resolve/{head}/w.bin",
    "https://huggingface.co/cold/doors.git/resolve/main/w.bin",
    "https://huggingface.co/models/cold/doors/resolve/main/w.bin",
    "https://huggingface.co:443/cold/doors/resolve/main/w.bin",
    "https://huggingface.co./cold/doors/resolve/main/w.bin",
    "https://HUGGINGFACE.CO/cold/doors/resolve/main/w.bin",
    "https://www.huggingface.co/cold/doors/resolve/main/w.bin",
    "https://hf.co/cold/doors/resolve/main/w.bin",
    "http://huggingface.co/cold/doors/resolve/main/w.bin",
    "https://huggingface.co/old/doors/resolve/main/w.bin",
    "https://huggingface.co/x/../cold/doors/resolve/main/w.bin",
    "https://huggingface.co/cold/doors/media/main/w.bin",
    "https://huggingface.co/v2/cold/doors/blobs/sha256:{gguf}",
]


@pytest.fixture(scope="module")
def doors(opened_ruled: Ruled) -> Repo:
    """Denied, and in the cache: another repo has the same large files, and was had before this one was known."""
    ruled = opened_ruled
    repo = ruled.repo("cold/doors")
    ruled.site.hub.rename("old/doors", "cold/doors")
    twin = Repo("free/doors", "model", {p: f.source for p, f in repo.commits[repo.head].files.items()}, repo.storage)
    url = f"https://huggingface.co/{ruled.site.hub.add(twin).id}/resolve/main"
    assert {ruled.site.proxy.ask(f"{url}/{path}").status for path in ("w.bin", "x-Q4_K_M.gguf")} == {200}
    return repo


@pytest.mark.parametrize("form", FORMS)
def test_no_way_to_spell_it_gets_by(ruled: Ruled, doors: Repo, form: str) -> None:
    """With curl as it comes, which follows redirects."""
    hub, repo = ruled.site.hub, doors
    url = form.format(head=repo.head, gguf=repo.file("x-Q4_K_M.gguf").sha256)
    hub.clear()
    command = ["curl", "-sSL", "--path-as-is", "--cacert", "{ca}", "-o", "out", "-w", "%{http_code}"]
    home = ruled.site.home()
    done = ruled.run(*command, "-x", ruled.site.proxy.url, url, home=home)
    out = home / "out"
    got = out.read_bytes() if out.exists() else b""
    print(form, done.stdout, got[:100], *hub.requests())
    assert done.stdout != "200" and len(got) < 10_000
    assert not [q for q in hub.requests() if q.blob], "no byte of a file was asked for"
