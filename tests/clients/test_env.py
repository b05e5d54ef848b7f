"""A shell with nothing in it but what `hubgate env` prints: each client reaches the hub through the proxy."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path

import pytest

from tests.clients.conftest import Site
from tests.clients.run import node_project, python_of, run_tool
from tests.processes import hubgate

URL = "https://huggingface.co/acme/tiny/resolve/main/config.json"
BY_HUB = """
from huggingface_hub import hf_hub_download
print(open(hf_hub_download("acme/tiny", "config.json")).read(), end="")
"""
BY_MODELSCOPE = """
import sys
from modelscope.hub.file_download import model_file_download
sys.stdout, out = sys.stderr, sys.stdout
print(open(model_file_download("acme/tiny", "config.json")).read(), end="", file=out)
"""
BY_URLLIB = f"""
import urllib.request
print(urllib.request.urlopen("{URL}").read().decode(), end="")
"""
BY_AIOHTTP = f"""
import aiohttp, asyncio
async def main():
    async with aiohttp.ClientSession(trust_env=True) as session, session.get("{URL}") as answer:
        print(await answer.text(), end="")
asyncio.run(main())
"""
BY_NODE = """
import { downloadFile } from "@huggingface/hub";
const file = await downloadFile({ repo: "acme/tiny", path: "config.json" });
process.stdout.write(await file.text());
"""


def python(env: str, script: str) -> str:
    return shlex.join((str(python_of(env)), "-c", script))


CLIENTS = {
    "hub2": python("hub2", BY_HUB),
    "hub1": python("hub1", BY_HUB),
    "hub036": python("hub036", BY_HUB),
    "ms140": python("ms140", BY_MODELSCOPE),
    "ms129": python("ms129", BY_MODELSCOPE),
    "urllib": python("hub1", BY_URLLIB),
    "aiohttp": shlex.join((sys.executable, "-c", BY_AIOHTTP)),
    "curl": f"curl -sSfL {URL}",
    "wget": f"wget -q -O - $FLAG {URL}",
    "aria2": f"aria2c -q -o got $FLAG {URL} && cat got",
    "git": "GIT_LFS_SKIP_SMUDGE=1 git clone -q https://huggingface.co/acme/tiny clone && cat clone/config.json",
    "git-lfs": (
        "git lfs install --skip-repo >/dev/null && git clone -q https://huggingface.co/acme/tiny clone && "
        "cat clone/config.json && test $(stat -c %s clone/old.bin) = 1500000"
    ),
    "node": "node --import ./proxy.mjs app.mjs",
}


@pytest.mark.parametrize("client", CLIENTS)
def test_nothing_else_is_needed(site: Site, tmp_path: Path, client: str) -> None:
    shown = hubgate("env", "--config", str(site.proxy.config), "--proxy-url", site.proxy.url).stdout
    flag = re.search(r"^#\s+(--ca-certificate=\S+)$", shown, re.MULTILINE)
    assert flag is not None
    home = node_project(tmp_path / "home")
    (home / "app.mjs").write_text(BY_NODE)
    clean = [f"{name}={value}" for name, value in (("PATH", os.environ["PATH"]), ("HOME", home), ("FLAG", flag[1]))]
    shell = ["env", "-i", *clean, "LANG=C.UTF-8", "bash", "-c", f'eval "$1"; {CLIENTS[client]}', "-", shown]
    done = run_tool(shell, proxy_url=None, ca_bundle=tmp_path, home=home)
    config = site.hub.repo("acme/tiny").file("config.json").source
    assert done.stdout.encode() == config.read(0, config.size), done.stderr
