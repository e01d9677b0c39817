"""What holds for every zip archive: a directory of bounded size, members that do not overlap."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from pathlib import Path

from ssmspec.errors import UnsafeCheckpointError
from ssmspec.naming import printable, shown

MAX_DIRECTORY_BYTES = 32 * 2**20
"""Longest directory that is read, some 250,000 members with ordinary names; a heuristic."""

_LOCAL_HEADER = 30
"""Bytes before a member's own name."""


class BoundedReads(io.BufferedReader):
    """A file that refuses to be read in one piece larger than a zip directory may be.

    `zipfile` reads the whole directory at once and makes an object of every 46 bytes of it.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as any file, unless that would be too much at once."""
        if size is None or size < 0:
            here = self.tell()
            size = self.seek(0, io.SEEK_END) - here
            self.seek(here)
        if size > MAX_DIRECTORY_BYTES:
            raise UnsafeCheckpointError(
                f"{shown(str(self.name))} has a zip directory of {size:,} bytes, more than any "
                f"set of tensors needs"
            )
        return super().read(size)


def require_disjoint(path: Path, entries: Iterable[zipfile.ZipInfo]) -> None:
    """Refuse an archive in which several members are made of the same bytes.

    Raises:
        UnsafeCheckpointError: two members overlap.
    """
    end, before = 0, ""
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.header_offset < end:
            raise UnsafeCheckpointError(
                f"{shown(path)} is a zip archive in which {printable(before)} and "
                f"{printable(entry.filename)} are the same bytes, as no program writes it"
            )
        length = _LOCAL_HEADER + len(entry.orig_filename) + entry.compress_size
        end, before = entry.header_offset + length, entry.filename
