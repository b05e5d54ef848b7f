"""What some client would still miss in an environment that sends others through the proxy. Nothing here is a fault.

Each client reads names of its own (`exports`), so a shell in which one works may leave another to go past the proxy, or
to refuse its CA.
"""

from __future__ import annotations

import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator, Mapping

from ..hub.classify import DOMAINS

_READ_BY = {
    "SSL_CERT_FILE": "huggingface_hub 1.x and 2.x, hf_xet, git-lfs, Go",
    "REQUESTS_CA_BUNDLE": "modelscope, huggingface_hub 0.x, pip",
    "CURL_CA_BUNDLE": "curl",
    "GIT_SSL_CAINFO": "git, git-lfs",
    "NODE_EXTRA_CA_CERTS": "Node",
}
_ENV = 'eval "$(hubgate env)"'


def hints(environment: Mapping[str, str], ca: bytes, node: str | None) -> Iterator[str]:
    """`ca` is the proxy's, as DER; `node` what `node --version` says, if there is one."""
    if "https_proxy" not in environment:
        yield f"wget and aria2 read https_proxy only in lower case; {_ENV}"
    excepted = _except(environment)
    if excepted:
        yield f"NO_PROXY sends {', '.join(excepted)} past the proxy"
    for name, clients in _READ_BY.items():
        if not _holds(environment.get(name), ca):
            yield f"{name}, which {clients} read, does not lead to this CA; {_ENV}"
    if node is not None:
        yield from _about_node(environment, node)


def node_version() -> str | None:
    if (node := shutil.which("node")) is None:
        return None
    try:
        return subprocess.run([node, "--version"], capture_output=True, text=True, timeout=10).stdout.strip() or None
    except (OSError, subprocess.TimeoutExpired):
        return None


def _about_node(environment: Mapping[str, str], version: str) -> Iterator[str]:
    found = re.match(r"v(\d+)\.(\d+)", version)
    if found is None:
        return
    major, minor = int(found[1]), int(found[2])
    if not (major >= 24 or (major == 22 and minor >= 21)):
        yield f"node {version} reads no proxy variable: use undici's EnvHttpProxyAgent, or Node 22.21, 24 or newer"
    elif environment.get("NODE_USE_ENV_PROXY") != "1":
        yield f"node {version} reads HTTPS_PROXY only with NODE_USE_ENV_PROXY=1; {_ENV}"


def _except(environment: Mapping[str, str]) -> list[str]:
    """The hubs that a client would reach without the proxy."""
    names = ",".join(environment.get(name, "") for name in ("NO_PROXY", "no_proxy"))
    entries = [entry.strip().removeprefix("*").removeprefix(".") for entry in names.split(",") if entry.strip()]
    return [hub for hub in DOMAINS if any(not entry or hub == entry or hub.endswith(f".{entry}") for entry in entries)]


def _holds(file: str | None, ca: bytes) -> bool:
    if file is None:
        return False
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=file)
    except OSError:
        return False
    return ca in context.get_ca_certs(binary_form=True)
