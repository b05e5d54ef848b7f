"""The test hub, hubgate before it with an empty cache, and clients that know it only by variables."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.clients.run import Env, minilm_folder, run_client, run_tool
from tests.hub import TestHub, minilm, standard_hub
from tests.processes import Hubgate, configuration, exported, hubgate


@dataclass
class Site:
    """A proxy, its hub, and one client after another, each with nothing cached."""

    hub: TestHub
    proxy: Hubgate
    bundle: Path  # as `hubgate env` names it
    folder: Path
    _clients: int = field(default=0)

    def home(self) -> Path:
        self._clients += 1
        return self.folder / f"client{self._clients}"

    def python(self, env: Env, script: str, *arguments: str, **variables: str) -> Any:
        """The JSON that the script prints last."""
        done = run_client(
            env,
            script,
            *arguments,
            proxy_url=self.proxy.url,
            ca_bundle=self.bundle,
            home=self.home(),
            extra_env=variables,
            timeout=90,
        )
        assert done.returncode == 0, f"{done.stderr}\nproxy: {self.proxy.told}\nhub: {[*map(str, self.hub.requests())]}"
        return json.loads(done.stdout.splitlines()[-1])

    def tool(self, *command: str, home: Path | None = None) -> Path:
        """Runs curl and the like; `{ca}` is the bundle. Returns the folder in which it ran."""
        home = home or self.home()
        self.said(*(part.format(ca=self.bundle) for part in command), home=home)
        return home

    def said(self, *command: str, home: Path, **variables: str) -> str:
        """The standard output of a program that must succeed."""
        done = run_tool(
            [*command],
            proxy_url=self.proxy.url,
            ca_bundle=self.bundle,
            home=home,
            extra_env=variables,
            timeout=90,
        )
        assert done.returncode == 0, f"{command}: {done.stdout} {done.stderr}\nproxy: {self.proxy.told}"
        return done.stdout

    def restart(self, **keys: Any) -> None:
        """The same cache in a new process, with other configuration keys."""
        assert self.proxy.stop() == 0, self.proxy.told
        ca = self.proxy.settings["ca"]
        self.proxy = Hubgate(configuration(self.proxy.config.parent, self.hub, ca=ca, **keys))


@pytest.fixture(scope="session")
def hub() -> Iterator[TestHub]:
    """One hub for all clients; what a test adds has names of its own."""
    with standard_hub() as running:
        running.add(minilm(minilm_folder()))
        yield running


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory, hub: TestHub) -> tuple[Path, Path]:
    """A CA directory, and the bundle that `hubgate env` has written for clients."""
    folder = tmp_path_factory.mktemp("authority")
    config = configuration(folder, hub)
    assert hubgate("ca", "init", "--config", str(config)).returncode == 0
    done = hubgate("env", "--config", str(config), "--proxy-url", "http://127.0.0.1:1")
    assert done.returncode == 0, done.stderr
    return folder / "ca", Path(exported(done.stdout)["SSL_CERT_FILE"])


@pytest.fixture(scope="module")
def opened(
    hub: TestHub, authority: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Site]]:
    """Makes a site with an empty cache; all end with the module."""
    with ExitStack() as running:

        def make() -> Site:
            hub.start()
            hub.reset()
            folder = tmp_path_factory.mktemp("site")
            proxy = Hubgate(configuration(folder, hub, ca={"dir": str(authority[0])}))
            site = Site(hub, proxy, authority[1], folder)
            running.callback(lambda: site.proxy.__exit__(None, None, None))
            return site

        yield make
        hub.start()
        hub.reset()


@pytest.fixture(scope="module")
def shared(opened: Callable[[], Site]) -> Site:
    """One site for all tests of a module."""
    return opened()


@pytest.fixture
def site(shared: Site) -> Iterator[Site]:
    """The module's site, with an empty log and a hub that is up."""
    shared.hub.start()
    shared.hub.reset()
    yield shared
    shared.hub.start()
    shared.hub.reset()
