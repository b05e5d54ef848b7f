"""The README's way from no rules to a denial, as a person goes it who answers for licences.

The shell block of "Block non-commercial models, audit first" runs by bash as it stands, beside a server that runs
already and in the folder of its configuration; a real client asks before, in audit mode and after. Whatever the README
quotes (the words of a denial, what `explain` prints, the command of the report) is compared with what came.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients.run import python_of, run_tool
from tests.hub import TestHub
from tests.processes import ROOT, Hubgate, configuration

README = (ROOT / "README.md").read_text()
REPO, RULE, FILE = "hf:acme/nc", "no-noncommercial", "rules/noncommercial.yaml"


def fenced(heading: str, language: str = "") -> str:
    """The one fenced block of this language below a heading."""
    section = re.split(r"^#+ ", README.partition(f"\n### {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    section = re.sub(r"^```sh\n.*?^```$", "", section, flags=re.M | re.S) if not language else section
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", section, re.M | re.S)
    return str(text)


def words(text: str) -> str:
    return " ".join(text.split())


BLOCK = fenced("Block non-commercial models, audit first", "sh")
DENIAL = words(fenced("Block non-commercial models, audit first"))
EXPLAINED = fenced("See what the rules do").splitlines()


@dataclass
class Site:
    """A server, and the person who writes its rules."""

    proxy: Hubgate
    folder: Path

    def types(self, script: str, code: int = 0) -> tuple[str, str]:
        """Standard output and error of a script in the folder of the configuration."""
        bin = self.folder / "bin"
        bin.mkdir(exist_ok=True)
        command = bin / "hubgate"
        if not command.exists():
            command.symlink_to(Path(sys.executable).with_name("hubgate"))
        clean = {name: value for name, value in os.environ.items() if not name.startswith("HUBGATE_")}
        own = {"HOME": str(self.folder / "home"), "PATH": f"{bin}:{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", "-e", "-c", script],
            env=clean | own,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == code, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout, done.stderr

    def downloads(self, who: str) -> subprocess.CompletedProcess[str]:
        """Somebody, who has nothing yet, with huggingface_hub's own command."""
        return run_tool(
            [str(python_of("hub2").with_name("hf")), "download", REPO.partition(":")[2]],
            proxy_url=self.proxy.url,
            ca_bundle=self.proxy.bundle,
            home=self.folder / who,
        )


@pytest.fixture
def site(hub: TestHub, tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "rules").mkdir()
    with Hubgate(configuration(tmp_path, hub)) as proxy:
        yield Site(proxy, tmp_path)


def test_from_no_rules_to_a_denial(site: Site) -> None:
    before = site.downloads("before")
    assert before.returncode == 0 and "policy" not in before.stderr

    told, errors = site.types(BLOCK)
    assert f"ALLOWED: {REPO}\n" in told and f"if {RULE} ({FILE}:5) were not in audit mode: denied" in told
    assert "1 rule in 1 file, 0 warnings" in errors and "0 cases, 0 failed" in errors
    site.proxy.wait_for("rules: 1 rules in force")
    audited = site.downloads("audited")
    assert audited.returncode == 0
    assert f"Not blocked yet, but policy rule '{RULE}' would: " in audited.stderr
    (report,) = re.findall(r"`(hubgate rules report [^`]+)` lists", README)
    told, _ = site.types(report)
    would = told.partition("would be denied")[2]
    assert "\n0 denied\n" in told and REPO in would and f"{RULE}  {FILE}:5\n" in would and "127.0.0.1" in would

    written = (site.folder / FILE).read_text()
    (site.folder / FILE).write_text(re.sub(r"^mode: audit.*\n", "", written, flags=re.MULTILINE))
    site.proxy.wait_for("; before it 1, digest")
    denied = site.downloads("denied")
    assert denied.returncode != 0 and site.proxy.metrics()[f'hubgate_policy_denied_total{{rule="{RULE}"}}'] >= 1
    pattern = re.sub(r"\\\[[0-9a-f]{8}\\\]$", r"\\[([0-9a-f]{8})\\]", re.escape(DENIAL))
    shown = re.search(pattern, denied.stderr)
    assert shown, f"{DENIAL}\n{denied.stderr}"

    (way_out,) = re.findall(r"or run: (hubgate explain \S+) \[", DENIAL)
    told, _ = site.types(way_out, code=1)
    assert EXPLAINED[0] == f"$ {way_out}" and told.startswith("DENIED by ")
    printed = iter([words(line) for line in told.splitlines()])
    assert [line for line in EXPLAINED[1:] if words(line) not in printed] == [], told

    site.proxy.stop()
    logged = [json.loads(line) for line in (site.folder / "access.log").read_text().splitlines()]
    assert [each["rule"] for each in logged if each["id"] == shown[1]] == [RULE]
