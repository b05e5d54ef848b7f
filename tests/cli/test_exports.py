import json
import subprocess

import pytest
import yaml

from proxy_addon.cli.exports import Format, render, variables

PROXY, BUNDLE = "http://127.0.0.1:8080", '/tmp/it\'s a "$HOME" of `ours`\\/bundle.pem'
NAMES = set(variables(PROXY, BUNDLE))


def test_every_client_finds_the_name_it_reads():
    assert {
        "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE",
        "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS", "NODE_USE_ENV_PROXY",
    } == NAMES  # fmt: skip


def test_a_shell_reads_back_what_was_meant():
    command = ["sh", "-c", 'eval "$1"; exec env -0', "sh", render(Format.SHELL, PROXY, BUNDLE)]
    done = subprocess.run(command, capture_output=True, check=True, env={"PATH": "/usr/bin:/bin"})
    read = dict(entry.split("=", 1) for entry in done.stdout.decode().split("\0") if entry)
    assert {name: read.get(name) for name in NAMES} == variables(PROXY, BUNDLE)


def test_a_shell_keeps_what_was_not_proxied_before():
    command = ["sh", "-c", 'eval "$1"; echo "$NO_PROXY"', "sh", render(Format.SHELL, PROXY, BUNDLE)]
    env = {"PATH": "/usr/bin:/bin", "NO_PROXY": ".corp.example"}
    done = subprocess.run(command, capture_output=True, check=True, env=env, text=True)
    assert done.stdout.strip() == "localhost,127.0.0.1,::1,.corp.example"


def test_github_reads_name_equals_value():
    read = dict(line.split("=", 1) for line in render(Format.GITHUB, PROXY, BUNDLE).splitlines())
    assert read == variables(PROXY, BUNDLE)


def test_gitlab_reads_yaml_in_which_a_dollar_is_doubled():
    read = yaml.safe_load(render(Format.GITLAB, PROXY, BUNDLE))["variables"]
    assert {name: value.replace("$$", "$") for name, value in read.items()} == variables(PROXY, BUNDLE)


def test_dockerfile():
    text = render(Format.DOCKERFILE, PROXY, BUNDLE)
    env = text[text.index("ENV ") + 4 : text.rindex("\n#")].replace(" \\\n    ", "\n").splitlines()
    read = {name: json.loads(value) for name, value in (line.split("=", 1) for line in env)}
    assert read == variables(PROXY, "/etc/ssl/certs/hubgate.pem")
    assert "COPY hubgate.pem /etc/ssl/certs/hubgate.pem" in text


@pytest.mark.parametrize("format", [Format.SHELL, Format.GITLAB, Format.DOCKERFILE])
def test_wget_and_aria2_users_are_told_what_to_do(format):
    assert "--ca-certificate=" in render(format, PROXY, BUNDLE)


@pytest.mark.parametrize("format", list(Format))
def test_a_control_character_is_refused(format):
    with pytest.raises(ValueError, match="control"):
        render(format, PROXY + "\nEVIL=1", BUNDLE)
