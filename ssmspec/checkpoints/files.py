"""Opening what a user names: regular files only, bounded reads, noticing a file that changes.

A path may name anything: a pipe that never ends, a device, a file that a training run is about to
overwrite. Only regular files are opened, without blocking, and a file that is read in several
steps must stay the file it was at the first.
"""

from __future__ import annotations

import io
import json
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from ssmspec.arrays import Array
from ssmspec.errors import CheckpointError
from ssmspec.naming import printable, shown

HEAD_BYTES = 512
"""How much of a file's beginning is looked at to recognize its format."""

MAX_TOML_BYTES = 2**18
"""Largest configuration or map that is read; written by hand, they have a few kilobytes."""

_DEEP_KEY = re.compile(
    r"""(?<![\w."'-])(?:(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){64}""", re.ASCII
)
"""64 parts of a key with dots between, for which `tomllib` takes a time that grows as a square."""

_SPECIAL = {
    stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a character device", stat.S_IFBLK: "a block device",
    stat.S_IFSOCK: "a socket", stat.S_IFDIR: "a folder",
}  # fmt: skip


class Filling(Protocol):
    """What stands for files elsewhere (`ssmspec.checkpoints.remote`)."""

    def place(self, path: Path) -> None:
        """Make sure that a path is there if what it stands for is."""

    def fill(self, path: Path, begin: int, end: int) -> None:
        """Have the bytes [begin, end) of a file here."""


MIRRORS: dict[str, Filling] = {}
"""Folders of files that are filled as they are read."""


def _mirror_of(path: Path) -> Filling | None:
    text = os.fspath(path)
    return next((MIRRORS[folder] for folder in MIRRORS if text.startswith(folder)), None)


class FilledFile(io.FileIO):
    """A file of a mirror: every range is filled before it is read."""

    def __init__(self, path: Path, mirror: Filling) -> None:
        super().__init__(path, "rb")
        self._path, self._mirror = path, mirror

    def fill(self, begin: int, end: int) -> None:
        """Have the bytes [begin, end) here."""
        self._mirror.fill(self._path, begin, end)

    def readinto(self, buffer: Any, /) -> int | None:
        """Fill, then read."""
        begin = self.tell()
        self.fill(begin, begin + len(memoryview(buffer).cast("B")))
        return super().readinto(buffer)

    def read(self, size: int | None = -1, /) -> bytes:
        """Fill, then read."""
        begin = self.tell()
        end = os.fstat(self.fileno()).st_size if size is None or size < 0 else begin + size
        self.fill(begin, end)
        return super().read(size)

    def readall(self) -> bytes:
        """Fill, then read to the end."""
        return self.read(-1)


def unreadable(path: Path | str, error: OSError | ValueError) -> CheckpointError:
    """The operating system's refusal as one sentence."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return CheckpointError(f"{shown(path)} does not exist")
    if isinstance(error, PermissionError):
        return CheckpointError(f"{shown(path)} cannot be read: permission denied")
    cause = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return CheckpointError(f"{shown(path)} cannot be read: {printable(cause)}")


def status(path: Path) -> os.stat_result:
    """What is at a path, symbolic links followed.

    Raises:
        CheckpointError: nothing is, or it may not be looked at.
    """
    try:
        if MIRRORS and (mirror := _mirror_of(path)):
            mirror.place(path)
        return path.stat()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise unreadable(path, error) from None


def is_there(path: Path) -> bool:
    """Whether anything is at a path; a name longer than the system allows is nowhere."""
    try:
        if MIRRORS and (mirror := _mirror_of(path)):
            mirror.place(path)
        return path.exists()
    except OSError:
        return False


def open_regular(path: Path) -> io.BufferedReader:
    """A regular file for reading; the caller closes it.

    Raises:
        CheckpointError: it is absent, forbidden, or no regular file.
    """
    _refuse_special(path, status(path).st_mode)
    if MIRRORS and (mirror := _mirror_of(path)):
        return io.BufferedReader(FilledFile(path, mirror))
    try:
        file = open(path, "rb", opener=_open_unblocked)  # noqa: SIM115 it is returned
    except OSError as error:
        raise unreadable(path, error) from None
    try:  # a second look at what was opened: a path can be exchanged in between
        _refuse_special(path, os.fstat(file.fileno()).st_mode)
    except CheckpointError:
        file.close()
        raise
    return file


def _open_unblocked(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # opening a pipe must not wait


def _refuse_special(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        what = _SPECIAL.get(stat.S_IFMT(mode), "a special file")
        raise CheckpointError(f"{shown(path)} is {what}, not a regular file")


def read_head(path: Path) -> bytes:
    """The first `HEAD_BYTES` bytes of a regular file, fewer where it is shorter."""
    with open_regular(path) as file:
        try:
            return file.read(HEAD_BYTES)
        except OSError as error:
            raise unreadable(path, error) from None


@dataclass(frozen=True)
class StableFile:
    """A file that must not change between reads.

    Attributes:
        path: where it is.
        size: bytes.
        identity: size, device, inode and modification time when it was first seen.
        start: where in the file it begins, for a window of a larger file.
    """

    path: Path
    size: int
    identity: tuple[int, int, int, int]
    start: int = 0

    @classmethod
    def seen(cls, path: Path) -> StableFile:
        """The file as it is now."""
        with open_regular(path) as file:
            identity = _identity(file)
            return cls(path, identity[0], identity)

    def window(self, begin: int, end: int) -> StableFile:
        """Bytes [begin, end) as a file of their own.

        Raises:
            CheckpointError: the file ends before `end`.
        """
        if not 0 <= begin <= end <= self.size:
            raise CheckpointError(f"{shown(self.path)} ends before byte {end}")
        return StableFile(self.path, end - begin, self.identity, self.start + begin)

    def read(self, begin: int, end: int) -> Array:
        """Bytes [begin, end) as uint8 (end - begin,).

        Raises:
            CheckpointError: the file changed since it was first seen, or ends before `end`.
        """
        with open_regular(self.path) as file:
            self.require_unchanged(file)
            if not 0 <= begin <= end <= self.size:
                raise CheckpointError(f"{shown(self.path)} ends before byte {end}")
            try:
                buffer = np.empty(end - begin, np.uint8)
                file.seek(self.start + begin)
                count = file.readinto(buffer.data)
            except OSError as error:
                raise unreadable(self.path, error) from None
            except MemoryError:
                raise CheckpointError(
                    f"{shown(self.path)}: {end - begin:,} bytes do not fit into memory"
                ) from None
        if count != buffer.nbytes:
            raise CheckpointError(f"{shown(self.path)} ends before byte {end}")
        return buffer

    def require_unchanged(self, file: BinaryIO) -> None:
        """Check that an opened file is the one first seen, and was not written to since.

        Raises:
            CheckpointError: it is not.
        """
        if self.identity != _identity(file):
            raise CheckpointError(
                f"{shown(self.path)} changed while it was being read; "
                f"try again once nothing writes to it"
            )


def _identity(file: BinaryIO) -> tuple[int, int, int, int]:
    seen = os.fstat(file.fileno())
    return seen.st_size, seen.st_dev, seen.st_ino, seen.st_mtime_ns


def read_json(path: Path, limit: int) -> Any:
    """The value in a small JSON file.

    Raises:
        CheckpointError: it cannot be read, holds more than `limit` bytes, or is not valid JSON.
    """
    file = StableFile.seen(path)
    if file.size > limit:
        raise CheckpointError(f"{shown(path)} is larger than {limit:,} bytes")
    return parse_json(file.read(0, file.size).tobytes(), path)


def parse_json(content: bytes, path: Path) -> Any:
    """The value of a JSON text.

    Raises:
        CheckpointError: it is not UTF-8, not valid JSON, too deeply nested, or has an object with
            the same key twice (readers disagree about which one counts).
    """
    try:
        return json.loads(content.decode("utf-8"), object_pairs_hook=_without_duplicates)
    except RecursionError:
        cause = "nested too deeply"
    except UnicodeDecodeError:
        cause = "not UTF-8"
    except ValueError as error:  # JSONDecodeError is one
        cause = printable(str(error))
    raise CheckpointError(f"{shown(path)} is not valid JSON: {cause}")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {printable(twice[:100])!r} is there twice")
    return found


def read_whole(path: Path, limit: int) -> bytes:
    """All bytes of a small regular file.

    Raises:
        CheckpointError: it cannot be read, is no regular file, or holds more than `limit` bytes.
    """
    with open_regular(path) as file:
        try:
            content = file.read(limit + 1)
        except OSError as error:
            raise unreadable(path, error) from None
    if len(content) > limit:
        raise CheckpointError(f"{shown(path)} is larger than {limit:,} bytes")
    return content


def read_toml(path: Path) -> dict[str, Any]:
    """The table in a small TOML file.

    Raises:
        CheckpointError: it cannot be read, holds more than `MAX_TOML_BYTES`, or is not valid TOML.
    """
    import tomllib  # noqa: PLC0415 - most commands read none

    try:
        text = read_whole(path, MAX_TOML_BYTES).decode("utf-8")
        if _DEEP_KEY.search(text):
            raise RecursionError
        return tomllib.loads(text)
    except RecursionError:
        cause = "nested too deeply"
    except UnicodeDecodeError:
        cause = "not UTF-8"
    except (ValueError, OverflowError) as error:  # TOMLDecodeError is one
        cause = printable(" ".join(str(error).split()))[:200]
    raise CheckpointError(f"{shown(path)} is not valid TOML: {cause}")
