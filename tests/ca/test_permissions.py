"""Modes of keys and of their directories, as the start sees them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from proxy_addon.ca import Authority
from proxy_addon.ca.permissions import allowed, check_directory, check_key
from proxy_addon.core.errors import ConfigError

DIRECTORY = r"run `(chmod 700 .*)`"


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o710, 0o701, 0o770, 0o707])
def test_the_directory_of_a_ca_is_for_its_user_alone_and_the_way_out_is_a_command(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "it's a CA"
    first = Authority.open(folder)
    folder.chmod(mode)
    with pytest.raises(ConfigError, match=DIRECTORY) as told:
        Authority.open(folder)
    (command,) = re.findall(r"run `(.*)`$", told.value.faults[0])
    subprocess.run(["sh", "-c", command], check=True)
    assert Authority.open(folder).root == first.root


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_key_for_one_user(tmp_path: Path, mode: int) -> None:
    (tmp_path / "key").touch(mode=mode)
    check_key(tmp_path / "key", "renew")


def test_a_link_is_as_open_as_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "key").touch()
    (tmp_path / "key").chmod(0o644)
    (tmp_path / "link").symlink_to(tmp_path / "key")
    with pytest.raises(
        ConfigError, match=r"link: others may read this key \(mode 0644\); run `chmod 600 .*, and renew"
    ):
        check_key(tmp_path / "link", "renew")


def test_a_secret_that_root_lends_to_a_group_is_no_fault() -> None:
    assert allowed(owner=0, user=1000) == 0o640
    assert [allowed(owner, user) for owner, user in ((0, 0), (1000, 1000), (1000, 0))] == [0o600] * 3


def test_what_is_allowed_is_the_callers(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    check_directory(tmp_path, 0o755)
    with pytest.raises(ConfigError, match="look into the directory"):
        check_directory(tmp_path)
    tmp_path.chmod(0o700)
