"""The CA on disk: made at first start, checked at every later one, rotated without a gap.

`authority.pem` (0600) holds what signs leaves now. A rotation puts its successor beside it as `authority.next.pem`;
until the present one ends, leaves are still its own, clients may trust either root, and what only the successor may
name is signed by that. Then the successor takes its place. A CA that has ended without one, is too narrow for the
configured hosts or too readable is refused with the way out, never replaced: clients would stop trusting the proxy,
and only people can tell them of a new root.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from ..core.errors import ConfigError
from . import permissions
from .handout import Handout
from .issuer import RENEW, Issuer
from .leaf import HUB_DOMAINS, HUB_NAMES, Leaf, Leaves, plain, within

_ROTATE = "run `hubgate ca rotate`, restart, and give clients the new certificate"


def _clock() -> datetime:
    return datetime.now(UTC)


class Authority(Handout):
    """Use `open`. The leaves it shows are made in memory and never written."""

    def __init__(
        self, directory: Path, issuers: tuple[Issuer, ...], hosts: tuple[str, ...], clock: Callable[[], datetime]
    ) -> None:
        """`issuers`: the present one, and its successor if there is one."""
        super().__init__(directory, tuple(issuer.root for issuer in reversed(issuers)))
        self.issuers, self._hosts, self._clock = issuers, hosts, clock
        self._domains = tuple(issuer.domains for issuer in issuers)
        self._leaves = tuple(Leaves(self._names(n), each, self._minter(n)) for n, each in enumerate(self._domains))

    @classmethod
    def open(
        cls, directory: Path, hosts: Iterable[str] = (), *, make: bool = True, clock: Callable[[], datetime] = _clock
    ) -> Authority:
        """Load the CA in `directory`, or `make` one that also covers `hosts` (`name` or `*.name`).

        Raises ConfigError when it cannot be read, is refused, or cannot be written.
        """
        wanted = tuple(dict.fromkeys(hosts))
        with _told(directory):
            issuers = _issuers(directory, clock(), wanted if make else None)
            covered = frozenset[str]().union(*(issuer.domains for issuer in issuers))
            if missing := [h for h in (*HUB_DOMAINS, *wanted) if not within(h.removeprefix("*."), covered)]:
                way = RENEW if len(issuers) > 1 else _ROTATE
                raise ConfigError(f"{_file(directory)}: this CA does not cover {', '.join(missing)}; {way}")
            authority = cls(directory, issuers, wanted, clock)
            authority.publish()
        return authority

    @classmethod
    def renew(cls, directory: Path, hosts: Iterable[str] = (), *, clock: Callable[[], datetime] = _clock) -> Authority:
        """Put the CA that is there aside (as `authority.pem.old`) and make a new one, which clients do not know."""
        with _told(directory):
            if (file := _file(directory)).exists():
                file.replace(directory / "authority.pem.old")
            _next(directory).unlink(missing_ok=True)
        return cls.open(directory, hosts, clock=clock)

    @classmethod
    def rotate(cls, directory: Path, hosts: Iterable[str] = (), *, clock: Callable[[], datetime] = _clock) -> Authority:
        """Make the successor, which also covers `hosts`. Raises ConfigError when there is one already."""
        wanted = tuple(dict.fromkeys(hosts))
        with _told(directory):
            now = clock()
            present, *later = _issuers(directory, now, None)
            if not later:
                with contextlib.suppress(FileExistsError):
                    Issuer.make(_domains(wanted), now, present).write(_next(directory))
                    return cls.open(directory, wanted, clock=clock)
        raise ConfigError(
            f"{_next(directory)}: a rotation is under way until {present.ends:%Y-%m-%d}; end it with "
            "`hubgate ca rotate --finish` when every client trusts the new one"
        )

    @classmethod
    def finish(cls, directory: Path, hosts: Iterable[str] = (), *, clock: Callable[[], datetime] = _clock) -> Authority:
        """Let the successor take over before its time. Raises ConfigError when there is none."""
        with _told(directory):
            if len(_issuers(directory, clock(), None)) < 2:
                raise ConfigError(f"{directory}: no rotation is under way; begin one with `hubgate ca rotate`")
            _next(directory).replace(_file(directory))
        return cls.open(directory, hosts, clock=clock)

    @property
    def expires(self) -> datetime:
        return self.root.not_valid_after_utc

    @property
    def remedy(self) -> str:
        return _ROTATE

    @property
    def domains(self) -> frozenset[str]:
        """The domains that clients have agreed to by trusting the newest root."""
        return self._domains[-1]

    def leaf(self, sni: str | None = None) -> Leaf:
        name = plain(sni)
        alive = [n for n, issuer in enumerate(self.issuers) if self._clock() < issuer.ends] or [-1]
        return self._leaves[next((n for n in alive if within(name, self._domains[n])), alive[0])].choose(sni)

    def issue(self, hosts: Iterable[str] = (), *, newest: bool = False) -> Leaf:
        """A leaf to be kept elsewhere: every hub name, the configured hosts and `hosts`. Raises ConfigError."""
        n = -1 if newest else 0
        names = tuple(dict.fromkeys((*HUB_NAMES, *self._hosts, *hosts)))
        if strange := [name for name in names if not within(name.removeprefix("*."), self._domains[n])]:
            way = "take --new" if n == 0 < len(self.issuers) - 1 else f"name them in `hubs.others` and {_ROTATE}"
            raise ConfigError(f"{self.directory}: this CA does not cover {', '.join(strange)}; {way}")
        return self._minter(n)(names)

    def _names(self, n: int) -> tuple[str, ...]:
        wanted = (*HUB_NAMES, *self._hosts)
        return tuple(name for name in wanted if within(name.removeprefix("*."), self._domains[n]))

    def _minter(self, n: int) -> Callable[[tuple[str, ...]], Leaf]:
        issuer, last = self.issuers[n], self.issuers[-1]
        above = (last.bridge,) if issuer is not last and last.bridge else ()
        return lambda names: issuer.mint(names, self._clock(), above)


def _issuers(directory: Path, now: datetime, make_for: tuple[str, ...] | None) -> tuple[Issuer, ...]:
    """The present one and its successor, if there is one. None: a CA that is not there is a fault."""
    file, successor = _file(directory), _next(directory)
    if make_for is None and not file.exists() and not successor.exists():
        raise ConfigError(f"{file}: there is no CA; `hubgate ca init` makes one, and so does `hubgate serve`")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    permissions.check_directory(directory)
    if make_for is not None and not file.exists() and not successor.exists():
        with contextlib.suppress(FileExistsError):  # another process was first: theirs counts
            Issuer.make(_domains(make_for), now).write(file)
    found = tuple(Issuer.read(each) for each in (file, successor) if each.exists())
    if len(found) > 1 and (bridge := found[1].bridge) and bridge.public_key() != found[0].root.public_key():
        raise ConfigError(f"{successor}: this is not the successor of {file.name}; {RENEW}")
    if now >= found[-1].ends:
        raise ConfigError(f"{file}: this CA ended on {found[-1].ends:%Y-%m-%d}; {RENEW}")
    if successor.exists() and (len(found) == 1 or now >= found[0].ends):
        successor.replace(file)
        return found[-1:]
    return found


def _domains(hosts: Iterable[str]) -> set[str]:
    return {*HUB_DOMAINS, *(host.removeprefix("*.") for host in hosts)}


def _file(directory: Path) -> Path:
    return directory / "authority.pem"


def _next(directory: Path) -> Path:
    return directory / "authority.next.pem"


@contextlib.contextmanager
def _told(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        at = error.filename or directory
        raise ConfigError(f"{at}: {error.strerror}; give `ca.dir` to this user, or name another") from None
