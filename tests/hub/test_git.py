"""git and git-lfs against the test hub, both hubs of it: clone, fetch, refusal, push."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from tests.clients.run import run_tool
from tests.hub import Repo, Splice, Synthetic, TestHub
from tests.hub.ask import Reply, ask
from tests.hub.repo import Hub, Storage

ATTRIBUTES = "*.bin filter=lfs diff=lfs merge=lfs -text\n"
AUTHOR = ("-c", "user.name=a", "-c", "user.email=a@plain.example")
LARGE = Synthetic(1_200_000, seed=12)


class Shell:
    """git in a home of its own, with git-lfs installed as its user would."""

    def __init__(self, hub: TestHub, splice: Splice, home: Path) -> None:
        self.hub, self.splice, self.home = hub, splice, home
        self("lfs", "install", "--skip-repo")

    def __call__(self, *arguments: str) -> str:
        done = self.tried(*arguments)
        assert done.returncode == 0, done.stderr + "\n".join(map(str, self.hub.requests()))
        return done.stdout.strip()

    def tried(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["git", *AUTHOR, *arguments]
        quiet = {"GIT_TERMINAL_PROMPT": "0"}
        proxy = self.splice.url
        return run_tool(command, proxy_url=proxy, ca_bundle=self.hub.ca_pem, home=self.home, extra_env=quiet)


@pytest.fixture
def git(hub: TestHub, splice: Splice, tmp_path: Path) -> Shell:
    return Shell(hub, splice, tmp_path)


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("url", "id", "type", "name"),
    [
        ("https://huggingface.co/acme/tiny", "acme/tiny", "models", "huggingface"),
        ("https://huggingface.co/acme/tiny.git", "acme/tiny", "models", "huggingface"),
        ("https://huggingface.co/datasets/acme/tiny-ds", "acme/tiny-ds", "datasets", "huggingface"),
        ("https://www.modelscope.cn/acme/tiny.git", "acme/tiny", "models", "modelscope"),
        ("https://www.modelscope.cn/datasets/acme/tiny-ds.git", "acme/tiny-ds", "datasets", "modelscope"),
        ("https://www.modelscope.cn/studios/acme/studio.git", "acme/studio", "studios", "modelscope"),
    ],
)
def test_a_clone_is_the_repo_to_the_last_id(hub: TestHub, git: Shell, url: str, id: str, type: str, name: Hub) -> None:
    repo = hub.repo(id, type, name)
    git("clone", "-q", url, "c")
    assert git("-C", "c", "rev-parse", "HEAD") == repo.head
    assert git("-C", "c", "status", "--porcelain") == ""
    refs = git("-C", "c", "for-each-ref", "--format=%(objectname)", "refs/tags").split()
    assert refs == [sha for ref, sha in repo.refs.items() if ref.startswith("refs/tags/")]
    for path, file in repo.commits[repo.head].files.items():
        smudged = file.storage == "git" or path.endswith(".bin")  # what .gitattributes names
        right = file.source.sha256 if smudged else hashlib.sha256(file.pointer).hexdigest()
        assert sha256(git.home / "c" / path) == right, path


@pytest.mark.parametrize("storage", ["lfs", "xet"])
def test_large_files_come_from_the_cdn_once(hub: TestHub, git: Shell, storage: Storage) -> None:
    files = {".gitattributes": ATTRIBUTES, "w.bin": LARGE}
    hub.add(Repo(f"acme/git-{storage}", files=files, storage={"w.bin": storage}))
    git("clone", "-q", f"https://huggingface.co/acme/git-{storage}", "c")
    assert sha256(git.home / "c" / "w.bin") == LARGE.sha256
    host = {"lfs": "cdn-lfs-us-1.hf.co", "xet": "us.aws.cdn.hf.co"}[storage]
    assert len(hub.requests(host=host)) == 1 and hub.bodies_of(LARGE.sha256) == 1.0


def test_a_new_commit_is_fetched(hub: TestHub, git: Shell) -> None:
    repo = hub.add(Repo("acme/moves", files={"a.txt": "one"}))
    git("clone", "-q", "https://huggingface.co/acme/moves", "c")
    repo.commit({"b é.txt": "two"})
    git("-C", "c", "pull", "-q")
    assert git("-C", "c", "rev-parse", "HEAD") == repo.head
    assert (git.home / "c" / "b é.txt").read_text() == "two"


@pytest.mark.parametrize(
    ("url", "token", "words"),
    [
        ("huggingface.co/acme/private", "", "could not read Username"),
        ("huggingface.co/acme/private", "hf_other", "not found"),
        ("huggingface.co/acme/absent", "hf_reader", "not found"),
        ("huggingface.co/acme/gated", "", "could not read Username"),
        ("huggingface.co/acme/gated", "hf_other", "you are not in the authorized list"),
        ("www.modelscope.cn/acme/private.git", "", "could not read Username"),
        ("www.modelscope.cn/acme/private.git", "ms_other", "not found"),
        ("www.modelscope.cn/acme/gated.git", "ms_other", "access denied"),
    ],
)
def test_who_may_not_read_may_not_clone(git: Shell, url: str, token: str, words: str) -> None:
    done = git.tried("clone", "-q", f"https://user:{token}@{url}" if token else f"https://{url}", "c")
    assert done.returncode != 0 and words in done.stderr


@pytest.mark.parametrize(
    ("host", "name", "token"),
    [("huggingface.co", "huggingface", "hf_reader"), ("www.modelscope.cn", "modelscope", "ms_reader")],
)
@pytest.mark.parametrize("id", ["acme/private", "acme/gated"])
def test_a_reader_clones_with_his_token(hub: TestHub, git: Shell, host: str, name: Hub, token: str, id: str) -> None:
    git("clone", "-q", f"https://user:{token}@{host}/{id}.git", "c")
    assert git("-C", "c", "rev-parse", "HEAD") == hub.repo(id, hub=name).head
    assert (git.home / "c" / "old.bin").read_bytes() == hub.repo(id, hub=name).file("old.bin").pointer
    (git.home / "c" / ".gitattributes").write_text(ATTRIBUTES)
    git("-C", "c", "lfs", "pull")
    assert sha256(git.home / "c" / "old.bin") == hub.digest(id, "old.bin", hub=name)
    assert hub.requests(path=f"/{id}.git/info/lfs/objects/batch", status=200)


def batch(hub: TestHub, id: str, oid: str, token: str = "", operation: str = "download") -> Reply:
    headers = {"Content-Type": "application/vnd.git-lfs+json"}
    if token:
        headers["Authorization"] = "Basic " + base64.b64encode(f"user:{token}".encode()).decode()
    asked = json.dumps({"operation": operation, "transfers": ["basic"], "objects": [{"oid": oid, "size": 1}]})
    return ask(hub, f"/{id}.git/info/lfs/objects/batch", "POST", headers, asked.encode())


def test_the_batch_answer(hub: TestHub) -> None:
    file = hub.repo("acme/private").file("old.bin")
    good = batch(hub, "acme/private", file.digest, "hf_reader")
    assert good["Content-Type"] == "application/vnd.git-lfs+json; charset=utf-8"
    (found,) = good.json["objects"]
    assert (found["oid"], found["size"]) == (file.sha256, file.size)
    assert hashlib.sha256(ask(hub, found["actions"]["download"]["href"]).body).hexdigest() == file.sha256
    assert batch(hub, "acme/private", "0" * 64, "hf_reader").json["objects"][0]["error"]["code"] == 404
    refused = batch(hub, "acme/private", file.digest)
    assert (
        refused.status == 401 and "message" in refused.json and (refused["WWW-Authenticate"] or "").startswith("Basic")
    )
    assert batch(hub, "acme/tiny", "0" * 64, "hf_reader", "upload").status == 403
    assert ask(hub, "/acme/tiny.git/info/lfs/objects/batch", "POST", body=b"no").status == 422


def test_a_push_is_refused_unless_the_knob_is_on(hub: TestHub, git: Shell) -> None:
    repo = hub.add(Repo("acme/pushed", files={".gitattributes": ATTRIBUTES, "a.txt": "one"}))
    before = repo.head
    git("clone", "-q", "https://user:hf_reader@huggingface.co/acme/pushed", "c")
    (git.home / "c" / "new.bin").write_bytes(bytes(LARGE.read(0, LARGE.size)))
    (git.home / "c" / "b.txt").write_text("two")
    git("-C", "c", "add", ".")
    git("-C", "c", "commit", "-qm", "add")
    refused = git.tried("-C", "c", "push", "-q")
    assert refused.returncode != 0 and "write" in refused.stderr and repo.head == before

    hub.knob(push=True)
    git("-C", "c", "push", "-q")
    assert repo.head == git("-C", "c", "rev-parse", "HEAD") != before
    assert repo.file("new.bin").sha256 == LARGE.sha256 and repo.file("b.txt").source.read(0, 9) == b"two"
    assert hub.requests(method="PUT", path=f"*/{LARGE.sha256}", status=200)
    git("clone", "-q", "https://huggingface.co/acme/pushed", "again")
    assert sha256(git.home / "again" / "new.bin") == LARGE.sha256


def test_a_commit_a_pull_request_and_a_part_of_a_repo_can_be_fetched(hub: TestHub, git: Shell) -> None:
    repo, url = hub.repo("acme/tiny"), "https://huggingface.co/acme/tiny"
    first = repo.refs["refs/tags/v1"]
    git("init", "-q", "c")
    for what in (first, "refs/pr/1"):
        git("-C", "c", "fetch", "-q", "--depth=1", url, what)
        assert git("-C", "c", "rev-parse", "FETCH_HEAD") == first
    git("clone", "-q", "--filter=blob:none", "--no-checkout", url, "part")
    assert git("-C", "part", "rev-parse", "HEAD") == repo.head
    assert f"?{repo.file('config.json').oid}" in git("-C", "part", "rev-list", "--objects", "--all", "--missing=print")


def test_a_compressed_request_and_one_by_a_former_name(hub: TestHub, git: Shell) -> None:
    asked = b"0014command=ls-refs\n0016object-format=sha100010009peel\n0000"
    headers = {
        "Content-Type": "application/x-git-upload-pack-request",
        "Content-Encoding": "gzip",
        "Git-Protocol": "version=2",
    }
    told = ask(hub, "/acme/tiny/git-upload-pack", "POST", headers, gzip.compress(asked))
    assert told.status == 200 and f"{hub.repo('acme/tiny').head} refs/heads/main".encode() in told.body
    git("clone", "-q", "https://huggingface.co/acme/old-name", "c")
    assert git("-C", "c", "rev-parse", "HEAD") == hub.repo("acme/tiny").head
