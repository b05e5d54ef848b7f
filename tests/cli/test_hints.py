import socket
import ssl
from pathlib import Path

import pytest

from proxy_addon.ca import Authority
from proxy_addon.cli.exports import variables
from proxy_addon.cli.hints import hints
from proxy_addon.cli.main import run

NEW = "v24.1.0"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.open(tmp_path / "ca")


@pytest.fixture
def environment(authority: Authority) -> dict[str, str]:
    return variables("http://127.0.0.1:8080", str(authority.combined_bundle()))


@pytest.fixture
def ca(authority: Authority) -> bytes:
    return ssl.PEM_cert_to_DER_cert(authority.public_pem().decode())


def test_what_env_prints_leaves_nothing_to_wish_for(environment, ca):
    assert list(hints(environment, ca, None)) == list(hints(environment, ca, NEW)) == []


@pytest.mark.parametrize(
    "name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS"]
)
@pytest.mark.parametrize("value", [None, "another.pem", "no such file"])
def test_a_bundle_that_one_client_misses(environment, ca, tmp_path, name, value):
    (tmp_path / "another.pem").write_bytes(Authority.open(tmp_path / "another").public_pem())
    del environment[name]
    if value:
        environment[name] = str(tmp_path / value)
    (told,) = hints(environment, ca, NEW)
    assert told.startswith(f"{name}, which ")


def test_the_lower_case_name(environment, ca):
    del environment["https_proxy"]
    (told,) = hints(environment, ca, NEW)
    assert "wget and aria2" in told


@pytest.mark.parametrize(
    ("value", "hubs"),
    [
        ("huggingface.co", "huggingface.co"),
        ("intern,.cn", "modelscope.cn"),
        ("*.co", "huggingface.co, hf.co"),
        ("*", "huggingface.co, hf.co, modelscope.cn, modelscope.ai"),
    ],
)
@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_a_hub_that_is_not_proxied(environment, ca, name, value, hubs):
    (told,) = hints(environment | {name: value}, ca, NEW)
    assert told == f"NO_PROXY sends {hubs} past the proxy"


@pytest.mark.parametrize("version", ["v18.20.4", "v20.19.2", "v22.20.0", "v23.9.0"])
def test_a_node_that_reads_no_proxy_variable(environment, ca, version):
    (told,) = hints(environment, ca, version)
    assert "EnvHttpProxyAgent" in told


@pytest.mark.parametrize("version", ["v22.21.0", "v24.0.0", "v26.1.2"])
def test_a_node_that_wants_to_be_told(environment, ca, version):
    assert list(hints(environment, ca, version)) == []
    del environment["NODE_USE_ENV_PROXY"]
    (told,) = hints(environment, ca, version)
    assert "NODE_USE_ENV_PROXY=1" in told


def test_doctor_tells_them_and_fails_nothing(environment, authority, tmp_path, monkeypatch, capsys):
    config = tmp_path / "hubgate.yaml"
    config.write_text(
        f"listen: 127.0.0.1:0\nadmin: {{listen: null}}\ncache: {{dir: cache}}\nca: {{dir: {tmp_path / 'ca'}}}\n"
        "hubs: {huggingface: {enabled: false}, modelscope: {enabled: false}}\n"
    )
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        assert run(["doctor", "--config", str(config)]) == 0
    assert "\nhint  REQUESTS_CA_BUNDLE, which modelscope" in capsys.readouterr().out
