import subprocess
from pathlib import Path

import pytest

from tests.hub import Repo, Synthetic
from tests.hub.gitids import AUTHOR, blob_id
from tests.hub.standard import tiny


def test_commit_ids_are_what_git_computes(tmp_path: Path) -> None:
    repo = Repo("a/b", files={"z": "1\n", "a/b/c é.txt": "2\n", "a-b": "3\n", "a.b": "4\n"}, storage={})
    repo.commit({"z": None, "a/d": "5\n"}, title="second")
    name, _, mail = AUTHOR.rstrip(">").partition(" <")
    for commit in repo.commits.values():
        for old in tmp_path.iterdir():
            if old.name != ".git":
                subprocess.run(["rm", "-r", str(old)], check=True)
        for path, file in commit.files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(bytes(file.source.read(0, file.size)))
        when = f"{commit.when} +0000"
        identity = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in (
            ("NAME", name), ("EMAIL", mail), ("DATE", when))}  # fmt: skip
        environment = {"PATH": "/usr/bin:/bin:/usr/local/bin", "HOME": str(tmp_path), **identity}
        script = f"git init -q -b main; git add -A; git commit -q -m '{commit.title}'; git rev-parse HEAD"
        done = subprocess.run(["sh", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.stdout.strip() == commit.sha, done.stderr


def test_a_blob_id_is_git_s() -> None:
    assert blob_id(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"


def test_each_storage_has_its_digests() -> None:
    repo = tiny()
    small, lfs, xet = (repo.file(path) for path in ("config.json", "old.bin", "model.safetensors"))
    assert small.digest == small.oid and small.sha256 is None
    assert lfs.digest == lfs.source.sha256 and lfs.oid == blob_id(lfs.pointer) and lfs.xet is None
    assert xet.digest == xet.source.sha256 and xet.xet and len(xet.xet) == 64


def test_revisions_are_found_by_every_name() -> None:
    repo = tiny()
    first = repo.refs["refs/tags/v1"]
    assert first != repo.head
    for name in ("v1", "dev", "refs/pr/1", "refs/heads/dev", first, first[:7]):
        commit = repo.at(name)
        assert commit and commit.sha == first
    assert repo.at("none") is None and repo.at(first[:6]) is None


def test_a_commit_leaves_older_ones_as_they_were() -> None:
    repo = Repo("a/b", files={"x": "1", "y": "2"})
    old = repo.head
    new = repo.commit({"x": "3", "y": None})
    assert repo.head == new != old
    assert bytes(repo.file("x", old).source.read(0, 9)) == b"1" and set(repo.commits[new].files) == {"x"}


def test_a_repo_may_be_made_of_files_on_disk(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(b"\1" * 5000)
    repo = Repo("a/b", files={"w.bin": tmp_path / "w.bin", "s.bin": Synthetic(10_000)}, storage={"w.bin": "lfs"})
    assert repo.file("w.bin").storage == "lfs" and repo.file("s.bin").storage == "git"
    with pytest.raises(KeyError):
        repo.file("none")
