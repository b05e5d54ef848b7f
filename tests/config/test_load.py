import os
import pickle
from ipaddress import ip_network
from pathlib import Path

import pytest

from proxy_addon.config import Listen, Settings, load, probe
from proxy_addon.core.errors import ConfigError
from proxy_addon.written.strict_yaml import parse


@pytest.fixture
def written(tmp_path):
    def write(text: str) -> Path:
        file = tmp_path / "hubgate.yaml"
        file.write_text(text)
        return file

    return write


def faults(file, overrides=None):
    with pytest.raises(ConfigError) as told:
        load(file, overrides)
    return [line.removeprefix(f"{file}:") for line in told.value.faults]


def test_the_example_says_just_what_the_defaults_are(written):
    settings = load(written(Settings.example()))
    assert settings.model_dump(exclude={"rules"}) == Settings().model_dump(exclude={"rules"})
    assert settings.rules[0].name == "rules"


def test_the_example_names_every_key():
    def keys(model):
        for name, field in model.model_fields.items():
            yield name
            if hasattr(field.annotation, "model_fields"):
                yield from (f"{name}.{below}" for below in keys(field.annotation))

    text = Settings.example().replace("# rules:", "rules:")  # if it is named, there must be rules
    assert set(keys(Settings)) <= {".".join(map(str, key)) for key in parse(text.encode()).lines}


def test_units_reach_the_settings_as_plain_numbers(written):
    settings = load(written("freshness: {ref: 1h}\ncache: {size: 1GB}\nupstream: {bandwidth: 400Mbps}\n"))
    assert (settings.freshness.ref, settings.cache.size, settings.upstream.bandwidth) == (3600.0, 10**9, 50e6)


def test_a_section_with_nothing_in_it_is_its_defaults(written):
    assert load(written("cache:\nhubs:\n  huggingface:\n")).model_dump(exclude={"rules"}) == Settings().model_dump(
        exclude={"rules"}
    )


def test_everything_wrong_is_told_at_once_with_line_key_and_fix(written):
    text = """\
lisen: 1
cache:
  size: 200
  siez: 1GB
  size: 1GB
clients: [10.0.0.1/8]
hubs:
  huggingface: {enabled: yes, xet: bridges}
upstream:
  connections_per_file: 0
  proxy: socks://u:hunter2@h
stall-timeout: 5s
admin: 5
tunnel: [public]
freshness: {ref: -1s, api: 5}
"""
    told = faults(written(text))
    assert [line.split(": ")[:2] for line in told] == [
        ["1", "lisen"],
        ["3", "cache.size"],
        ["4", "cache.siez"],
        ["5", "cache.size"],
        ["6", "clients[0]"],
        ["8", "hubs.huggingface.enabled"],
        ["8", "hubs.huggingface.xet"],
        ["10", "upstream.connections_per_file"],
        ["11", "upstream.proxy"],
        ["12", "stall-timeout"],
        ["13", "admin"],
        ["14", "tunnel"],
        ["15", "freshness.ref"],
        ["15", "freshness.api"],
    ]
    assert all(";" in line for line in told)
    assert "hunter2" not in "".join(told)
    by_key = {line.split(": ")[1]: line for line in told}
    assert by_key["lisen"].endswith("did you mean `listen`?")
    assert by_key["cache.siez"].endswith("did you mean `cache.size`?")
    assert by_key["stall-timeout"].endswith("did you mean `upstream.stall_timeout`?")
    assert by_key["clients[0]"].endswith("write 10.0.0.0/8")


def test_a_key_like_none_other_lists_what_there_is(written):
    assert faults(written("ca: {zzz: 1}")) == ["1: ca.zzz: no such key; known here: dir, mode, cert, key"]


@pytest.mark.parametrize("listen", ["0.0.0.0:8080", "[::]:8080", "[127.0.0.1:1, 10.0.0.1:2]"])
def test_open_to_the_network_needs_clients(written, listen):
    (told,) = faults(written(f"listen: {listen if listen[1] != ':' else repr(listen)}\n"))
    assert "add `clients:" in told
    settings = load(written(f"listen: {listen if listen[1] != ':' else repr(listen)}\nclients: [10.0.0.0/8]\n"))
    assert settings.clients == (ip_network("10.0.0.0/8"),)


def test_an_open_admin_listener_needs_clients_too(written):
    (told,) = faults(written("\nadmin: {listen: 0.0.0.0:8081}\n"))
    assert told.startswith("2: admin.listen: is open")


def test_one_address_twice(written):
    (told,) = faults(written("admin: {listen: 127.0.0.1:8080}"))
    assert "8080 is named twice" in told
    assert load(written("listen: [127.0.0.1:0, 127.0.0.1:0]\nadmin: {listen: null}")).admin.listen is None


@pytest.mark.parametrize("host", ["huggingface.co", "cdn.hf.co", "'*.hf.co'", "www.modelscope.cn"])
def test_a_hub_is_no_other_host(written, host):
    (told,) = faults(written(f"hubs:\n  others:\n    - a.example\n    - {host}\n"))
    assert told.startswith("4: hubs.others[1]: ")


def test_relative_paths_start_at_the_file(written, tmp_path):
    settings = load(written("cache: {dir: cache}\naccess_log: logs/a.json\nca: {dir: ~/x}\nrules: [r/rules]"))
    assert settings.cache.dir == tmp_path / "cache"
    assert settings.access_log == tmp_path / "logs/a.json"
    assert settings.ca.dir == Path.home() / "x"
    assert settings.rules == (tmp_path / "r/rules",)
    assert load(written("access_log: '-'")).access_log == Path("-")


def test_rules_lie_beside_the_file_also_when_it_does_not_name_them(written, tmp_path):
    assert load(written("tunnel: deny")).rules == (tmp_path / "rules",)


def test_only_rules_that_are_named_must_be_there(written, tmp_path):
    settings = load(written("rules: [policy/]"))
    assert settings.rules == (tmp_path / "policy",) and "rules" in settings.model_fields_set
    unnamed = load(written("tunnel: deny"))
    for each in (unnamed, pickle.loads(pickle.dumps(unnamed)), unnamed.model_copy(update={"access_log": None})):
        assert "rules" not in each.model_fields_set


def test_the_command_line_wins_and_is_named_in_faults(written):
    file = written("listen: 127.0.0.1:1\ncache: {size: 1GB}")
    settings = load(file, {"listen": "127.0.0.1:0", "cache.dir": "/srv/x"})
    assert settings.listen == (Listen("127.0.0.1", 0),)
    assert (settings.cache.dir, settings.cache.size) == (Path("/srv/x"), 10**9)
    assert faults(file, {"cache.size": "big"})[0].startswith("command line: cache.size: 'big' is not a size")


def test_where_the_file_is_looked_for(written, tmp_path, monkeypatch):
    file = written("drain: 5s")
    assert load(None, env={"HUBGATE_CONFIG": str(file)}).drain == 5
    monkeypatch.chdir(tmp_path)
    assert load(None, env={}).drain == 5
    file.unlink()
    assert load(None, env={}).drain == 30
    with pytest.raises(ConfigError, match="--config"):
        load(file, env={})
    with pytest.raises(ConfigError, match="HUBGATE_CONFIG"):
        load(None, env={"HUBGATE_CONFIG": str(file)})


@pytest.mark.parametrize("text", ["[]", "5", "just words"])
def test_a_file_that_is_no_mapping(written, text):
    assert "not a mapping" in faults(written(text))[0]


def test_settings_made_in_code_take_plain_numbers():
    assert Settings.model_validate({"drain": 2, "cache": {"size": 10**8}}).cache.size == 10**8


def test_probe_makes_the_cache_directory(written, tmp_path):
    probe(load(written("cache: {dir: a/b}\naccess_log: l/x.json")))
    assert (tmp_path / "a/b").is_dir() and (tmp_path / "l/x.json").exists()
    assert os.stat(tmp_path / "a/b").st_mode & 0o777 == 0o700


def test_probe_tells_every_path_that_does_not_serve(written, tmp_path):
    (tmp_path / "plain").write_text("x")
    file = written("cache: {dir: plain/c}\naccess_log: plain/l\nupstream:\n  ca_file: plain\n")
    with pytest.raises(ConfigError) as told:
        probe(load(file))
    assert [line.removeprefix(f"{file}:").split(": ")[:2] for line in told.value.faults] == [
        ["1", "cache.dir"], ["2", "access_log"], ["4", "upstream.ca_file"],
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="cannot be read"):
        probe(load(written("cache: {dir: c}\nupstream: {ca_file: missing.pem}")))


BOUNDS = [
    ("access: {offline_grace: 9999d}", "access.offline_grace: must be at most 3650d; lower it"),
    ("access: {lease: 0s}", "access.lease: must be over 0; raise it"),
    ("access: {lease: 2w}", "access.lease: must be at most 24h; lower it"),
    ("cache: {size: 1MB}", "cache.size: must be at least 16MB; raise it"),
    ("cache: {scrub: 900ms}", "cache.scrub: must be at least 1s; raise it"),
    ("limits: {body_rate: 1B/s}", "limits.body_rate: must be at least 1kB/s; raise it"),
    ("limits: {stall: 100ms}", "limits.stall: must be at least 1s; raise it"),
    ("sync: [{repo: 'hf:a/b', every: 366d}]", "sync[0].every: must be at most 365d; lower it"),
]


@pytest.mark.parametrize(("text", "told"), BOUNDS)
def test_a_bound_is_told_as_it_may_be_written(written, text, told):
    assert faults(written(text)) == [f"1: {told}"]


def test_the_bounds_themselves_are_taken(written):
    settings = load(
        written("access: {offline_grace: 3650d, lease: 24h}\ncache: {size: 16MB, scrub: 1s, scrub_rate: 1kB/s}\n")
    )
    assert (settings.access.offline_grace, settings.access.lease) == (315_360_000.0, 86400.0)
    assert (settings.cache.size, settings.cache.scrub, settings.cache.scrub_rate) == (16_000_000, 1.0, 1000.0)


@pytest.mark.parametrize("value", [-1, 1e12])
def test_so_it_is_for_settings_made_in_code(value):
    with pytest.raises(ValueError, match="must be at"):
        Settings(freshness={"ref": value})
