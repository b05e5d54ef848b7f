"""The CA on disk: made at first start, checked at every later one.

`authority.pem` (0600) holds the intermediate's key, the intermediate and the root, in one file that comes to exist
whole or not at all; `ca.pem` is the root alone, for people to trust; `bundle.pem` is public roots plus that root.
A CA that is too old, too narrow for the configured hosts or too readable is refused with the way out, never
replaced: clients would stop trusting the proxy, and only people can tell them of a new root.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from ..core.errors import ConfigError
from . import certificates
from .leaf import Leaf, Leaves, within
from .roots import public_roots, write_atomically

HUB_DOMAINS = ("huggingface.co", "hf.co", "modelscope.cn", "modelscope.ai")
_WILDCARDS = (
    *(f"*.{domain}" for domain in HUB_DOMAINS),
    "*.cdn.hf.co",
    "*.aws.cdn.hf.co",
    "*.gcp.cdn.hf.co",
    "*.us.gcp.cdn.hf.co",
    "*.xethub.hf.co",
    "*.xethub-eu.hf.co",
)
_RENEW = "run `hubgate ca renew`, then have every client trust the new one"


class Authority:
    """Use `open`. Leaves are made in memory and never written."""

    def __init__(
        self,
        directory: Path,
        key: EllipticCurvePrivateKey,
        intermediate: x509.Certificate,
        root: x509.Certificate,
        hosts: tuple[str, ...] = (),
    ) -> None:
        self.directory, self.root, self._intermediate, self._key = directory, root, intermediate, key
        self._leaves = Leaves((*HUB_DOMAINS, *_WILDCARDS, *hosts), certificates.permitted(root), self._mint)

    @classmethod
    def open(cls, directory: Path, hosts: Iterable[str] = (), *, now: datetime | None = None) -> Authority:
        """Load the CA in `directory`, or make one that also covers `hosts` (`name` or `*.name`).

        Raises ConfigError when it cannot be read, is refused, or cannot be written.
        """
        now = now or datetime.now(UTC)
        wanted = tuple(dict.fromkeys(hosts))
        file = directory / "authority.pem"
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if stat.S_IMODE(directory.stat().st_mode) & 0o022:
                raise ConfigError(f"{directory}: others may write here, so they could put their CA here; chmod 700 it")
            if not file.exists():
                _create(file, wanted, now)
            authority = cls(directory, *_read(file, wanted, now), hosts=wanted)
            public = directory / "ca.pem"
            if not public.exists() or public.read_bytes() != authority.public_pem():
                write_atomically(public, authority.public_pem(), 0o644)
        except OSError as error:
            at = error.filename or file
            raise ConfigError(f"{at}: {error.strerror}; give `ca.dir` to this user, or name another") from None
        return authority

    @classmethod
    def renew(cls, directory: Path, hosts: Iterable[str] = (), *, now: datetime | None = None) -> Authority:
        """Put the CA that is there aside (as `authority.pem.old`) and make a new one."""
        file = directory / "authority.pem"
        if file.exists():
            file.replace(directory / "authority.pem.old")
        return cls.open(directory, hosts, now=now)

    @property
    def expires(self) -> datetime:
        return self.root.not_valid_after_utc

    @property
    def domains(self) -> frozenset[str]:
        """The domains that clients have agreed to by trusting this root."""
        return certificates.permitted(self.root)

    def public_pem(self) -> bytes:
        """The root's certificate: what clients are to trust."""
        return self.root.public_bytes(Encoding.PEM)

    def fingerprint(self) -> str:
        """SHA-256 of the root, as `AB:CD:...`, to be compared by eye."""
        return self.root.fingerprint(hashes.SHA256()).hex(":").upper()

    def leaf(self, sni: str | None = None) -> Leaf:
        """The certificate to show to a client that asked for `sni`."""
        return self._leaves.choose(sni)

    def combined_bundle(self, extra: Iterable[bytes] = ()) -> Path:
        """Write public roots, `extra` PEM texts and this CA to `bundle.pem`; clients replace their roots by it."""
        file = self.directory / "bundle.pem"
        data = public_roots((*extra, self.public_pem()))
        if not file.exists() or file.read_bytes() != data:
            write_atomically(file, data, 0o644)
        return file

    def bundle_pem(self) -> bytes:
        """The bundle as it was written last, or one with our CA and the public roots."""
        file = self.directory / "bundle.pem"
        return (file if file.exists() else self.combined_bundle()).read_bytes()

    def _mint(self, names: tuple[str, ...]) -> Leaf:
        key = certificates.new_key()
        leaf = certificates.leaf(key, self._intermediate, self._key, names, datetime.now(UTC))
        return Leaf(key, leaf, self._intermediate)


def _create(file: Path, hosts: tuple[str, ...], now: datetime) -> None:
    domains = {*HUB_DOMAINS, *(host.removeprefix("*.") for host in hosts)}
    root_key, key = certificates.new_key(), certificates.new_key()
    root = certificates.root(root_key, domains, now)
    intermediate = certificates.intermediate(key, root, root_key, domains, now)
    parts = [key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())]
    parts += [certificate.public_bytes(Encoding.PEM) for certificate in (intermediate, root)]
    fd, name = tempfile.mkstemp(dir=file.parent, prefix=".authority.")  # mode 0600 from the start
    try:
        with os.fdopen(fd, "wb") as stream:
            stream.write(b"".join(parts))
            stream.flush()
            os.fsync(fd)
        os.link(name, file)
    except FileExistsError:
        pass  # another process was first: theirs counts
    finally:
        Path(name).unlink()


def _read(
    file: Path, hosts: tuple[str, ...], now: datetime
) -> tuple[EllipticCurvePrivateKey, x509.Certificate, x509.Certificate]:
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o077:
        raise ConfigError(f"{file}: others may read this key (mode {mode:04o}); chmod 600 it, and renew if it leaked")
    data = file.read_bytes()
    try:
        key = load_pem_private_key(data, None)
        intermediate, root = x509.load_pem_x509_certificates(data)
        if not isinstance(key, EllipticCurvePrivateKey):
            raise ValueError("the key is not EC")
        if key.public_key() != intermediate.public_key():
            raise ValueError("the key is not the intermediate's")
        intermediate.verify_directly_issued_by(root)
        root.verify_directly_issued_by(root)
    except Exception as error:  # whatever the parser thinks of a damaged file, the way out is the same
        raise ConfigError(f"{file}: this is not a CA that hubgate made ({error}); {_RENEW}") from None
    domains = certificates.permitted(root)
    if not domains or domains != certificates.permitted(intermediate):
        raise ConfigError(f"{file}: this CA could sign for any name in the world; {_RENEW}")
    if now >= root.not_valid_after_utc:
        raise ConfigError(f"{file}: this CA ended on {root.not_valid_after_utc:%Y-%m-%d}; {_RENEW}")
    missing = [host for host in (*HUB_DOMAINS, *hosts) if not within(host.removeprefix("*."), domains)]
    if missing:
        raise ConfigError(f"{file}: this CA does not cover {', '.join(missing)}; {_RENEW}")
    return key, intermediate, root
