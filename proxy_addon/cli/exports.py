"""What clients must be told: the proxy's address, and a CA bundle under each name that some client reads.

Which client reads which variable was tried out with each: wget and aria2 take only the lower-case proxy names, requests
only REQUESTS_CA_BUNDLE, httpx, aiohttp, Go and hf_xet only SSL_CERT_FILE, git and git-lfs GIT_SSL_CAINFO, Node
NODE_EXTRA_CA_CERTS; its fetch reads the proxy's name from 22.21 and 24 on, and only with NODE_USE_ENV_PROXY. Most of
them *replace* their roots by the file, hence a bundle that has the public roots too. wget and aria2 read no variable
for the CA at all.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping
from enum import StrEnum

ROOTS = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")  # Debian and Alpine; Red Hat
LOCAL = "localhost,127.0.0.1,::1"
MUST_HAVE = "the job must have this file: {}; with --bundle FILE it makes one"
_IN_IMAGE = "/etc/ssl/certs/hubgate.pem"


class Format(StrEnum):
    SHELL = "shell"
    GITHUB = "github"
    GITLAB = "gitlab"
    DOCKERFILE = "dockerfile"


def variables(proxy: str, bundle: str) -> dict[str, str]:
    """`proxy` is a URL; `bundle` a path as the client will see it."""
    return {
        **dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"), proxy),
        **dict.fromkeys(("NO_PROXY", "no_proxy"), LOCAL),
        **dict.fromkeys(
            ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS"), bundle
        ),
        "NODE_USE_ENV_PROXY": "1",
    }


def render(format: Format, proxy: str, bundle: str, ca: str = "") -> str:
    """The text for standard output, with a newline at its end. Raises ValueError on a control character.

    `ca`: PEM, for a job or an image that is to make the bundle for itself.
    """
    inside = _IN_IMAGE if format is Format.DOCKERFILE else bundle
    values = variables(proxy, inside)
    if any(re.search(r"[\x00-\x1f\x7f]", value) for value in values.values()):
        raise ValueError("a control character in the proxy's URL or the bundle's path")
    return "\n".join(_RENDER[format](values, bundle, ca)) + "\n"


def one_line(file: str, ca: str) -> str:
    """A shell command that makes `file` of the roots that are there and of `ca`; it fetches nothing, so it is told all.

    `file` is a word of the shell. Good under `set -e`, and where only one or none of the usual roots is there.
    """
    lines = " ".join(map(shlex.quote, ca.split("\n")[:-1]))
    return f"{{ cat {' '.join(ROOTS)} 2>/dev/null || :; printf '%s\\n' {lines}; }} >{file}"


def expanding(path: str) -> str:
    """A word of the shell in which variables such as $RUNNER_TEMP are still filled in."""
    return '"' + re.sub(r'(["\\`])', r"\\\1", path) + '"'


def _shell(values: Mapping[str, str], bundle: str, _: str) -> list[str]:
    return [
        *(f"export {name}={_kept(name, value)}" for name, value in values.items()),
        "# wget and aria2 read no variable for the CA; add this to their command line:",
        f"#   --ca-certificate={shlex.quote(bundle)}",
    ]


def _kept(name: str, value: str) -> str:
    """A shell word. What the user does not proxy today (his intranet) he does not proxy tomorrow."""
    if name.lower() != "no_proxy":
        return shlex.quote(value)
    return f"{value}${{{name}:+,${name}}}"


def _github(values: Mapping[str, str], _: str, __: str) -> list[str]:
    return [f"{name}={value}" for name, value in values.items()]


def _gitlab(values: Mapping[str, str], bundle: str, ca: str) -> list[str]:
    made = ["before_script:", f"  - {json.dumps(one_line(expanding(bundle), ca))}"]
    kept = {name: value if ca and value == bundle else value.replace("$", "$$") for name, value in values.items()}
    return [
        *(made if ca else [f"# {MUST_HAVE.format(bundle)}"]),
        "variables:",
        *(f"  {name}: {json.dumps(value)}" for name, value in kept.items()),
        "# wget and aria2 read no variable for the CA; add --ca-certificate=FILE to their command line",
    ]


def _dockerfile(values: Mapping[str, str], bundle: str, ca: str) -> list[str]:
    quoted = {name: re.sub(r'(["\\$])', r"\\\1", value) for name, value in values.items()}
    return [
        f"# first, beside the Dockerfile: cp {shlex.quote(bundle)} hubgate.pem",
        f"COPY hubgate.pem {_IN_IMAGE}",
        *([f"# or, with no file beside it: RUN {one_line(_IN_IMAGE, ca)}"] if ca else []),
        "ENV " + " \\\n    ".join(f'{name}="{value}"' for name, value in quoted.items()),
        f"# wget and aria2 read no variable for the CA; add --ca-certificate={_IN_IMAGE} to their command line",
    ]


_RENDER: dict[Format, Callable[[Mapping[str, str], str, str], list[str]]] = {
    Format.SHELL: _shell,
    Format.GITHUB: _github,
    Format.GITLAB: _gitlab,
    Format.DOCKERFILE: _dockerfile,
}
