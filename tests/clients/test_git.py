"""git and git-lfs through the proxy, of both hubs: clone, fetch, pull, push where it is allowed, words where not."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients.conftest import Site
from tests.clients.run import run_client, run_tool
from tests.hub import Repo, Synthetic
from tests.hub.repo import Hub, Storage

AUTHOR = ("-c", "user.name=a", "-c", "user.email=a@plain.example")
ATTRIBUTES = "*.bin filter=lfs diff=lfs merge=lfs -text\n"
HOSTS: dict[Hub, str] = {"huggingface": "huggingface.co", "modelscope": "www.modelscope.cn"}
TOKENS: dict[Hub, str] = {"huggingface": "hf_reader", "modelscope": "ms_reader"}
PLACES: list[tuple[Hub, Storage]] = [("huggingface", "lfs"), ("huggingface", "xet"), ("modelscope", "lfs")]


@dataclass
class Shell:
    """git in a home of its own, with git-lfs installed as its user would."""

    site: Site
    home: Path

    def __call__(self, *arguments: str) -> str:
        done = self.tried(*arguments)
        assert done.returncode == 0, f"{done.stderr}\nproxy: {self.site.proxy.told}"
        return done.stdout.strip()

    def tried(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run_tool(
            ["git", *AUTHOR, "-c", "lfs.transfer.maxretries=1", *arguments],
            proxy_url=self.site.proxy.url,
            ca_bundle=self.site.bundle,
            home=self.home,
            extra_env={"GIT_TERMINAL_PROMPT": "0"},
            timeout=60,
        )

    def sha256(self, name: str) -> str:
        return hashlib.sha256((self.home / name).read_bytes()).hexdigest()


def shell(site: Site) -> Shell:
    made = Shell(site, site.home())
    made("lfs", "install", "--skip-repo")
    return made


def repo(site: Site, name: str, source: Synthetic, hub: Hub, storage: Storage = "lfs", **settings: object) -> Repo:
    files = {".gitattributes": ATTRIBUTES, "w.bin": source, "a.txt": "one\n"}
    return site.hub.add(Repo(f"acme/{name}", files=files, storage={"w.bin": storage}, hub=hub, **settings))  # type: ignore[arg-type]


def url(repo: Repo, token: str = "") -> str:
    return f"https://{f'user:{token}@' if token else ''}{HOSTS[repo.hub]}/{repo.id}.git"


@pytest.mark.parametrize(("place", "storage"), PLACES)
def test_a_second_clone_costs_no_large_file(site: Site, place: Hub, storage: Storage) -> None:
    source = Synthetic(9_000_000, 100 + PLACES.index((place, storage)))
    made = repo(site, f"clone-{storage}", source, place, storage)
    for bodies in (1.0, 0.0):
        site.hub.clear()
        git = shell(site)
        git("clone", "-q", url(made), "c")
        assert git("-C", "c", "rev-parse", "HEAD") == made.head
        assert git("-C", "c", "status", "--porcelain") == ""
        assert git.sha256("c/w.bin") == source.sha256
        assert site.hub.bodies_of(source.sha256) == bodies


@pytest.mark.parametrize("place", HOSTS)
def test_what_is_new_is_fetched_and_pulled(site: Site, place: Hub) -> None:
    sources = [Synthetic(300_000, 110 + 10 * list(HOSTS).index(place) + n) for n in range(2)]
    made = repo(site, "moves", sources[0], place)
    git = shell(site)
    git("clone", "-q", url(made), "c")
    made.commit({"w.bin": sources[1], "b é.txt": "two\n"}, storage={"w.bin": "lfs"})
    git("-C", "c", "pull", "-q")
    assert git("-C", "c", "rev-parse", "HEAD") == made.head
    assert git.sha256("c/w.bin") == sources[1].sha256
    made.tag("v2")
    git("-C", "c", "fetch", "-q", "--tags")
    assert git("-C", "c", "rev-parse", "v2") == made.head
    git("clone", "-q", "--filter=blob:none", "--no-checkout", url(made), "part")
    assert git("-C", "part", "rev-parse", "HEAD") == made.head


@pytest.mark.parametrize("place", HOSTS)
def test_two_clones_at_once_cost_one_large_file(site: Site, place: Hub) -> None:
    source = Synthetic(6_000_000, 130 + list(HOSTS).index(place))
    made = repo(site, "twins", source, place)
    site.hub.knob(host="cdn-lfs*", bandwidth=6_000_000)
    shells = [shell(site), shell(site)]
    with ThreadPoolExecutor() as both:
        list(both.map(lambda git: git("clone", "-q", url(made), "c"), shells))
    assert [git.sha256("c/w.bin") for git in shells] == [source.sha256] * 2
    assert site.hub.bodies_of(source.sha256) == 1.0


@pytest.mark.parametrize("place", HOSTS)
def test_a_wrong_byte_ends_in_no_clone_and_stays_nowhere(site: Site, place: Hub) -> None:
    source = Synthetic(5_000_000, 140 + list(HOSTS).index(place))
    made = repo(site, "wrong", source, place)
    site.hub.knob(host="cdn-lfs*", corrupt_at=1_234_567)
    git = shell(site)
    done = git.tried("clone", "-q", url(made), "c")
    assert done.returncode != 0 and not (git.home / "c" / "w.bin").exists()
    site.hub.reset()
    git("clone", "-q", url(made), "again")
    assert git.sha256("again/w.bin") == source.sha256
    assert site.hub.bodies_of(source.sha256) == 1.0


@pytest.mark.parametrize("place", HOSTS)
def test_a_private_repo_is_for_its_readers_cold_and_warm(site: Site, place: Hub) -> None:
    source = Synthetic(700_000, 150 + list(HOSTS).index(place))
    made = repo(site, "ours", source, place, private=True, readers={TOKENS[place]})
    links = []
    for bodies in (1.0, 0.0):
        site.hub.clear()
        git = shell(site)
        git("clone", "-q", url(made, TOKENS[place]), "c")
        links += [f"https://{q.host}{q.path}" for q in site.hub.requests(host="cdn-lfs*")]
        assert git.sha256("c/w.bin") == source.sha256
        assert site.hub.bodies_of(source.sha256) == bodies
        for token in ("", TOKENS[place].replace("reader", "other")):
            assert shell(site).tried("clone", "-q", url(made, token), "c").returncode != 0
    assert links and {site.proxy.ask(link).status for link in links} == {403}


@pytest.mark.parametrize("place", HOSTS)
def test_a_push_passes_and_what_was_known_of_the_repo_is_asked_anew(site: Site, place: Hub) -> None:
    old, new = Synthetic(200_000, 160), Synthetic(2_500_000, 161 + list(HOSTS).index(place))
    made = repo(site, "pushed", old, place)
    listing = {
        "huggingface": "https://huggingface.co/api/models/acme/pushed/tree/main?recursive=true",
        "modelscope": "https://www.modelscope.cn/api/v1/models/acme/pushed/repo/files?Revision=master&Recursive=True",
    }[place]
    assert b"new.bin" not in site.proxy.ask(listing).body
    git = shell(site)
    git("clone", "-q", url(made, TOKENS[place]), "c")
    (git.home / "c" / "new.bin").write_bytes(bytes(new.read(0, new.size)))
    (git.home / "c" / "a.txt").write_text("changed\n")
    git("-C", "c", "add", ".")
    git("-C", "c", "commit", "-qm", "add")
    site.hub.knob(push=True)
    git("-C", "c", "push", "-q")
    assert made.head == git("-C", "c", "rev-parse", "HEAD")
    assert made.file("new.bin").sha256 == new.sha256
    assert b"new.bin" in site.proxy.ask(listing).body
    other = shell(site)
    other("clone", "-q", url(made), "c")
    assert other.sha256("c/new.bin") == new.sha256


UPLOAD = """
    import json
    from huggingface_hub import HfApi
    api, told = HfApi(token="hf_reader"), []
    for name in ("a.txt", "w.bin"):
        try:
            api.upload_file(path_or_fileobj=b"x" * 100, path_in_repo=name, repo_id="acme/shut-huggingface")
        except Exception as error:
            told.append(str(error))
    print(json.dumps(told))
"""


def test_a_read_only_proxy_says_so_to_each_tool(opened: Callable[[], Site]) -> None:
    site = opened()
    site.restart(uploads="deny")
    site.hub.knob(push=True)
    for place in HOSTS:
        source = Synthetic(150_000, 170 + list(HOSTS).index(place))
        made = repo(site, f"shut-{place}", source, place)
        before = made.head
        git = shell(site)
        git("clone", "-q", url(made, TOKENS[place]), "c")
        assert git.sha256("c/w.bin") == source.sha256
        (git.home / "c" / "new.bin").write_bytes(bytes(100_000))
        git("-C", "c", "add", ".")
        git("-C", "c", "commit", "-qm", "add")
        site.hub.clear()
        for command in (("push",), ("lfs", "push", "origin", "HEAD")):
            done = git.tried("-C", "c", *command)
            assert done.returncode != 0 and "uploads: deny" in done.stderr, done.stderr
        assert made.head == before
        assert not [q for q in site.hub.requests() if "receive-pack" in q.query + q.path or q.method == "PUT"]
    site.hub.clear()
    done = run_client("hub2", UPLOAD, proxy_url=site.proxy.url, ca_bundle=site.bundle, home=site.home(), timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("uploads: deny") >= 2 and "403 Forbidden" in done.stdout, done.stdout
    assert site.hub.requests(method="POST") == []
