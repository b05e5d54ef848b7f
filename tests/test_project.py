"""The files around the code: the lock, the scripts, the licence."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.lock").read_text()
PINS = {name: Version(version) for name, version in re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)", LOCK, re.MULTILINE)}


def test_the_lock_pins_all_that_is_asked_for():
    extras = PROJECT["optional-dependencies"].values()
    for wanted in map(Requirement, (*PROJECT["dependencies"], *(line for extra in extras for line in extra))):
        assert PINS[wanted.name.lower()] in wanted.specifier


def test_every_pin_has_a_hash_and_no_line_names_an_index():
    entries = re.split(r"^(?=[a-z0-9-]+==)", LOCK, flags=re.MULTILINE)[1:]
    assert len(entries) == len(PINS) > 50
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries)
    assert not re.search(r"://|^-", LOCK, re.MULTILINE)


def test_every_package_for_node_has_a_hash_and_no_line_names_a_registry():
    text = (ROOT / "tests/clients/node/package-lock.json").read_text()
    packages = [found for name, found in json.loads(text)["packages"].items() if name]
    assert {"@huggingface/hub", "undici"} <= set(json.loads(text)["packages"][""]["dependencies"])
    assert all(found["integrity"].startswith("sha512-") for found in packages)
    assert "://" not in text and "resolved" not in text


def test_the_licence_is_there_whole():
    text = (ROOT / "LICENSE").read_text()
    assert PROJECT["license"] == "Apache-2.0"
    assert "Version 2.0, January 2004" in text and "END OF TERMS AND CONDITIONS" in text


@pytest.mark.parametrize(
    "script", [*sorted(f"scripts/{file.name}" for file in (ROOT / "scripts").iterdir()), ".ci/run"]
)
def test_scripts_are_sound_shell(script):
    assert (ROOT / script).stat().st_mode & 0o111
    subprocess.run(["bash", "-n", ROOT / script], check=True)


def test_without_a_python_set_up_says_in_one_line_what_to_install(tmp_path):
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/setup", tmp_path / "scripts")
    for name in ("requirements.lock", "pyproject.toml", ".python-version"):
        (tmp_path / name).touch()
    env = {"PATH": "/usr/bin:/bin", "HUBGATE_PYTHON": "/bin/false"}
    done = subprocess.run([tmp_path / "scripts/setup"], capture_output=True, text=True, env=env)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 and "Python 3.12 or newer" in done.stderr
    assert not (tmp_path / ".venv").exists()
