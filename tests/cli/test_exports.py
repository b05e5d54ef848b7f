import json
import subprocess

import pytest
import yaml

from proxy_addon.ca import Authority
from proxy_addon.cli.exports import ROOTS, Format, expanding, one_line, render, variables
from proxy_addon.cli.main import run

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


@pytest.fixture
def pem(tmp_path):
    Authority.open(tmp_path / "ca")
    return Authority.rotate(tmp_path / "ca").public_pem().decode()


def made_by(line, tmp_path, roots=()):
    """What a shell as CI has it, that stops at the first fault, makes of the line; `roots` stand for the system's."""
    for real, stand_in in zip(ROOTS, (*roots, tmp_path / "none", tmp_path / "none"), strict=False):
        line = line.replace(real, str(stand_in))
    env = {"PATH": "/usr/bin:/bin", "RUNNER_TEMP": str(tmp_path)}
    subprocess.run(["bash", "-eo", "pipefail", "-c", line], env=env, check=True)
    return (tmp_path / "hubgate.pem").read_text()


def test_one_line_makes_the_bundle_of_what_roots_there_are(tmp_path, pem):
    (tmp_path / "roots").write_text("roots\n")
    line = one_line(expanding("$RUNNER_TEMP/hubgate.pem"), pem)
    assert "\n" not in line and pem.count("BEGIN") == 2
    assert made_by(line, tmp_path) == pem
    assert made_by(line, tmp_path, [tmp_path / "roots"]) == "roots\n" + pem
    assert made_by(line, tmp_path, [tmp_path / "none", tmp_path / "roots"]) == "roots\n" + pem


def test_a_gitlab_job_makes_the_file_that_it_names(tmp_path, pem):
    file = tmp_path / "hubgate.pem"
    read = yaml.safe_load(render(Format.GITLAB, PROXY, str(file), pem))
    assert read["variables"]["SSL_CERT_FILE"] == str(file)
    (line,) = read["before_script"]
    assert made_by(line, tmp_path) == pem


def test_a_gitlab_job_fills_in_its_own_variables_and_none_of_the_proxys(pem):
    place, proxy = "$CI_PROJECT_DIR/hubgate.pem", "http://alice:a$b@proxy.example:8080"
    read = yaml.safe_load(render(Format.GITLAB, proxy, place, pem))
    assert read["variables"]["SSL_CERT_FILE"] == place
    assert read["variables"]["HTTPS_PROXY"] == proxy.replace("$", "$$")
    assert read["before_script"][0].endswith(f'>"{place}"')


def test_only_a_proxy_that_nobody_named_is_said_to_be_this_machines(tmp_path, capsys):
    config = tmp_path / "hubgate.yaml"
    config.write_text("ca: {dir: ca}\n")
    Authority.open(tmp_path / "ca")
    for format in ("github", "gitlab", "dockerfile"):
        run(["env", "--config", str(config), "--format", format])
        assert "http://127.0.0.1:8080 is this machine's" in capsys.readouterr().err
        run(["env", "--config", str(config), "--format", format, "--proxy-url", "http://proxy.example:8080"])
        assert "this machine's" not in capsys.readouterr().err


def test_a_github_job_is_told_of_the_file_it_must_have(tmp_path, capsys):
    config = tmp_path / "hubgate.yaml"
    config.write_text("ca: {dir: ca}\n")
    Authority.open(tmp_path / "ca")
    run(["env", "--config", str(config), "--format", "github"])
    assert f"must have this file: {tmp_path / 'ca/bundle.pem'}" in capsys.readouterr().err


def test_an_image_needs_no_file_beside_its_dockerfile(tmp_path, pem):
    (line,) = [line for line in render(Format.DOCKERFILE, PROXY, BUNDLE, pem).splitlines() if " RUN " in line]
    run_line = line.partition(" RUN ")[2].replace("/etc/ssl/certs/hubgate.pem", str(tmp_path / "hubgate.pem"))
    assert line.startswith("#") and made_by(run_line, tmp_path) == pem


def test_a_github_step_makes_the_file_and_the_variables_stay_apart(tmp_path, capsys):
    config = tmp_path / "hubgate.yaml"
    config.write_text("ca: {dir: ca}\n")
    Authority.open(tmp_path / "ca")
    place = "$RUNNER_TEMP/hubgate.pem"
    assert run(["env", "--config", str(config), "--format", "github", "--bundle", place]) == 0
    told = capsys.readouterr()
    assert f"SSL_CERT_FILE={place}\n" in told.out and "CERTIFICATE" not in told.out
    assert made_by(told.err.splitlines()[-1], tmp_path) == (tmp_path / "ca/ca.pem").read_text()
    assert run(["env", "--config", str(config), "--format", "github"]) == 0
    assert "CERTIFICATE" not in capsys.readouterr().err


@pytest.mark.parametrize("word", ['a"b', "a`b", "a\\b", "it's"])
def test_only_variables_are_filled_in(word):
    command = ["sh", "-c", f"printf %s {expanding(word + '$X')}"]
    assert subprocess.run(command, env={"X": "=x"}, capture_output=True, text=True).stdout == word + "=x"
