"""How a value of ours lies on disk: bytes, and nothing that a reader would have to execute.

diskcache unpickles whatever a row says is a pickle (CVE-2025-69872), so whoever can write one row can run code. Here a
key is `str`, a value is bytes, and a row of any other kind raises `UntrustedRow` before a byte of it is looked at. The
name of a file is random and must look so when it comes back from a row: no row can name a file outside the directory.
A value inside the database carries eight bytes of BLAKE3, because a flipped bit in a page is no error to SQLite; a
value in a file carries none, its units have digests of their own. Nothing is fsynced: what is not right when it is
read counts as absent.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import BinaryIO

import diskcache
from blake3 import blake3

from ..core.messages import Buffer

RAW, BINARY = diskcache.core.MODE_RAW, diskcache.core.MODE_BINARY
CHECK = 8  # bytes of checksum behind a value in a row
STRIDE = 256 * 1024  # bytes of one write(2): Linux 6.18 on ext4 takes 12 ms for 4 MiB at once, 2 ms so
_FILE = re.compile(r"[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]{28}\.val")


class UntrustedRow(Exception):
    """A row that this program did not write, or did not write so."""


class BytesDisk(diskcache.Disk):  # type: ignore[misc]
    """Values shorter than `min_file_size` bytes go into the row, others into a file of mode 0600."""

    def put(self, key: object) -> tuple[str, bool]:
        if type(key) is not str:
            raise TypeError(f"a key is str, not {type(key).__name__}")
        return key, True

    def get(self, key: object, raw: object) -> str:
        if not raw or type(key) is not str:
            raise UntrustedRow("pickled key")
        return key

    def store(self, value: Buffer, read: bool, key: object = None) -> tuple[int, int, str | None, bytes | None]:
        """Raises OSError and leaves no file behind when the disk refuses."""
        if read or not isinstance(value, bytes | bytearray | memoryview):
            raise TypeError(f"a value is bytes, not {type(value).__name__}")
        if len(value) < self.min_file_size:
            return len(value), RAW, None, bytes(value) + blake3(value).digest(CHECK)
        return len(value), BINARY, self._write_file(value), None

    def fetch(self, mode: int, filename: str | None, value: object, read: bool) -> bytes | BinaryIO:
        if mode == RAW and type(value) is bytes and blake3(body := value[:-CHECK]).digest(CHECK) == value[-CHECK:]:
            return body
        if mode != BINARY or filename is None:
            raise UntrustedRow(f"mode {mode}" if mode != RAW else "checksum")
        file = open(self.path(filename), "rb")  # noqa: SIM115  (the caller's to close)
        if read:
            return file
        with file:
            return file.read()

    def path(self, filename: str) -> str:
        if type(filename) is not str or not _FILE.fullmatch(filename):
            raise UntrustedRow(f"file name {filename!r}")
        return os.path.join(self._directory, filename)

    def remove(self, file_path: str) -> None:
        if type(file_path) is str and _FILE.fullmatch(file_path):
            super().remove(file_path)

    def _write_file(self, value: Buffer) -> str:
        filename, path = self.filename()
        for _ in range(10):  # another process may remove the directory as empty before the file is in it
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                break
        else:
            raise FileNotFoundError(2, "directory vanishes", path)
        try:
            rest = memoryview(value)
            while rest:
                rest = rest[os.write(fd, rest[:STRIDE]) :]
        except BaseException:
            self.remove(filename)
            raise
        finally:
            os.close(fd)
        return str(filename)
