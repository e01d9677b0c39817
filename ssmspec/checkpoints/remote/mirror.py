"""A folder of sparse files that are filled as they are read."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from ssmspec.checkpoints import files
from ssmspec.errors import CheckpointError
from ssmspec.naming import ALIASES, printable

BLOCK = 1 << 16
"""Bytes that are fetched at least."""

MAX_SIZE = 1 << 46
"""Largest file that is believed: 64 TiB."""


class Store(Protocol):
    """Where the bytes are."""

    def size(self, name: str) -> int | None:
        """Bytes of a file, or None where there is none."""

    def read(self, name: str, begin: int, end: int) -> Iterator[bytes]:
        """Bytes [begin, end) of a file, in pieces; exactly as many."""


class Mirror:
    """A local stand-in for a remote folder.

    Attributes:
        url: of the folder, without a slash at the end.
        folder: the local one; it is removed by `close`.
        fetched: bytes that travelled so far.
    """

    def __init__(
        self,
        url: str,
        store: Store,
        known: Mapping[str, int],
        progress: Callable[[str, int, int, bool], None] | None,
    ) -> None:
        """Make the folder.

        Args:
            url: what is mirrored.
            store: where its bytes come from.
            known: files that are listed already, with their sizes.
            progress: called with (url, bytes fetched, bytes in all, whether it is the end).
        """
        self.url, self.fetched = url, 0
        self.folder = Path(tempfile.mkdtemp(prefix="ssmspec-"))
        self._store, self._progress = store, progress
        self._sizes: dict[str, int | None] = {}
        self._filled: dict[str, set[int]] = {}
        self._clean = weakref.finalize(self, _remove, str(self.folder))
        files.MIRRORS[str(self.folder)] = self
        ALIASES[str(self.folder)] = url
        try:
            for name, size in known.items():
                self._make(name, size)
        except BaseException:
            self._clean()
            raise

    def close(self) -> None:
        """Remove the folder."""
        if self._clean.alive:
            self._tell(end=True)
            self._clean()

    def place(self, path: Path) -> None:
        """Make sure that a path is there if what it stands for is."""
        name = self._name(path)
        if name and name not in self._sizes and not path.is_dir():
            self._make(name, self._store.size(name))

    def fill(self, path: Path, begin: int, end: int) -> None:
        """Have the bytes [begin, end) of a file here.

        Raises:
            CheckpointError: they cannot be fetched.
        """
        name = self._name(path)
        size, filled = self._sizes.get(name) or 0, self._filled.setdefault(name, set())
        end = min(end, size)
        missing = [n for n in range(begin // BLOCK, -(-end // BLOCK)) if n not in filled]
        for first, last in _runs(missing):
            self._fetch(path, name, first * BLOCK, min(last * BLOCK, size))
            filled.update(range(first, last))

    def _fetch(self, path: Path, name: str, begin: int, end: int) -> None:
        written = 0
        try:
            with path.open("r+b") as file:
                file.seek(begin)
                for piece in self._store.read(name, begin, end):
                    written += file.write(piece[: end - begin - written])
                    self.fetched += len(piece)
                    self._tell(end=False)
        except OSError as error:
            raise CheckpointError(
                f"what {printable(self.url)} sends cannot be kept in {self.folder.parent}: "
                f"{error.strerror}"
            ) from None
        finally:
            os.utime(path, ns=(0, 0))  # to a reader the file has not changed
        if written != end - begin:
            raise CheckpointError(
                f"{printable(self.url)}/{printable(name)} ended after {written:,} of "
                f"{end - begin:,} bytes asked for; try again"
            )

    def _make(self, name: str, size: int | None) -> None:
        self._sizes[name] = size
        if size is None:
            return
        if not 0 <= size <= MAX_SIZE:
            raise CheckpointError(
                f"{printable(self.url)} says that {printable(name)} has {size} bytes"
            )
        path = self.folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                file.truncate(size)
        except (OSError, ValueError) as error:  # ValueError: what is no text in a file system
            cause = error.strerror if isinstance(error, OSError) else "not a name"
            raise CheckpointError(
                f"{printable(self.url)}/{printable(name[:200])} of {size:,} bytes cannot be stood "
                f"in for in {self.folder.parent}: {cause}"
            ) from None
        os.utime(path, ns=(0, 0))

    def _name(self, path: Path) -> str:
        return os.fspath(path)[len(str(self.folder)) + 1 :]

    def _tell(self, *, end: bool) -> None:
        if self._progress is not None:
            total = sum(size or 0 for size in self._sizes.values())
            self._progress(self.url, self.fetched, total, end)


def _runs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """Consecutive numbers as ranges [first, last)."""
    start = None
    for index, number in enumerate(numbers):
        start = number if start is None else start
        if index + 1 == len(numbers) or numbers[index + 1] != number + 1:
            yield start, number + 1
            start = None


def _remove(folder: str) -> None:
    files.MIRRORS.pop(folder, None)
    ALIASES.pop(folder, None)
    shutil.rmtree(folder, ignore_errors=True)
