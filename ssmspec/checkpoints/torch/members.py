"""Members of a zip archive, read by position and never more than the archive can honestly hold."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, cast

import numpy as np

from ssmspec.arrays import Array
from ssmspec.checkpoints.files import StableFile, open_regular
from ssmspec.checkpoints.zips import MAX_DIRECTORY_BYTES, require_disjoint
from ssmspec.errors import CheckpointError, UnsafeCheckpointError
from ssmspec.naming import printable, shown

# Heuristic bound on what deflated bytes may swell to. torch stores members as they are; in an
# archive that was packed again the pickle shrinks about 5 times and trained weights 1.1 times,
# while a bomb reaches 1032. The slack lets small members of zeros pass.
_MAX_RATIO = 100
_RATIO_SLACK = 4096

_LOCAL_HEADER = struct.Struct("<4s22xHH")
_ENCRYPTED = 0x1 | 0x40
_PATCHED = 0x20

_DIRECTORY_ERRORS = (
    zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, EOFError, struct.error,
    OSError,
)  # fmt: skip


class ZipMembers:
    """The directory of an archive, and its members' bytes.

    Checksums are not verified: slices of a member have none, and torch can leave them out.

    Attributes:
        sizes: member name -> bytes once unpacked, in the order of the directory.
    """

    def __init__(self, source: Path | StableFile) -> None:
        """Read the directory.

        Args:
            source: the archive, a file or a window of one.

        Raises:
            CheckpointError: there is none, as in a file that is cut off.
            UnsafeCheckpointError: two members have one name.
        """
        self.file = source if isinstance(source, StableFile) else StableFile.seen(source)
        path = self.file.path
        entries = _directory(self.file)
        self._entries = {entry.filename: entry for entry in entries}
        if len(self._entries) != len(entries):
            raise UnsafeCheckpointError(
                f"{shown(path)} is a zip archive with two members of one name, so programs "
                f"disagree about what it holds"
            )
        require_disjoint(path, entries)
        self.sizes: Mapping[str, int] = {
            name: entry.file_size for name, entry in self._entries.items()
        }
        self._unpacked: tuple[str, Array] = ("", np.empty(0, np.uint8))

    def check(self, name: str) -> int:
        """Refuse a member that cannot be what the directory says; otherwise give its size in bytes.

        Raises:
            CheckpointError: it is absent, encrypted or packed by a method other than deflate.
            UnsafeCheckpointError: its size disagrees with the file's or it swells too much.
        """
        if (entry := self._entries.get(name)) is None:
            raise CheckpointError(f"{self._member(name)} is missing; save the file again")
        if entry.flag_bits & (_ENCRYPTED | _PATCHED):
            raise CheckpointError(f"{self._member(name)} is encrypted; unpack it first")
        stored = entry.compress_type == zipfile.ZIP_STORED
        if not stored and entry.compress_type != zipfile.ZIP_DEFLATED:
            raise CheckpointError(
                f"{self._member(name)} is packed by a method other than deflate; unpack it first"
            )
        beyond = entry.header_offset + _LOCAL_HEADER.size + entry.compress_size > self.file.size
        if beyond or (stored and entry.compress_size != entry.file_size):
            raise UnsafeCheckpointError(
                f"{self._member(name)} claims a size that does not fit the file"
            )
        if entry.file_size > _MAX_RATIO * entry.compress_size + _RATIO_SLACK:
            raise UnsafeCheckpointError(
                f"{self._member(name)} would unpack to more than {_MAX_RATIO} times its size; "
                f"if you trust it, unpack the archive and pack it again without compression"
            )
        return entry.file_size

    def stored(self, name: str) -> int:
        """Bytes that a member takes in the file."""
        self.check(name)
        return self._entries[name].compress_size

    def position(self, name: str) -> int | None:
        """Where a stored member's bytes begin in the file; None where it is deflated.

        Raises:
            CheckpointError: as `check`.
        """
        self.check(name)
        stored = self._entries[name].compress_type == zipfile.ZIP_STORED
        return self._begin(name) if stored else None

    def read(self, name: str, begin: int = 0, count: int | None = None) -> Array:
        """Bytes `begin` to `begin + count` of a member, by default all of it, as uint8 (count,).

        Raises:
            CheckpointError: as `check`, or the bytes are not there.
        """
        size = self.check(name)
        end = size if count is None else begin + count
        if not 0 <= begin <= end <= size:
            raise CheckpointError(f"{self._member(name)} ends before byte {end}")
        if self._entries[name].compress_type == zipfile.ZIP_STORED:
            start = self._begin(name)
            return self.file.read(start + begin, start + end)
        if self._unpacked[0] != name:
            self._unpacked = (name, self._inflate(name, size))
        return self._unpacked[1][begin:end].copy()

    def _begin(self, name: str) -> int:
        offset = self._entries[name].header_offset
        header = self.file.read(offset, offset + _LOCAL_HEADER.size)
        magic, name_length, extra_length = _LOCAL_HEADER.unpack(header.tobytes())
        if magic != b"PK\x03\x04":
            raise CheckpointError(f"{self._member(name)} is not where the zip directory places it")
        return int(offset + _LOCAL_HEADER.size + name_length + extra_length)

    def _inflate(self, name: str, size: int) -> Array:
        begin = self._begin(name)
        packed = self.file.read(begin, begin + self._entries[name].compress_size)
        try:
            # One byte more than promised shows a member that does not keep to its size.
            unpacked = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed.data, size + 1)
        except zlib.error:
            raise CheckpointError(f"{self._member(name)} is damaged; copy the file again") from None
        if len(unpacked) != size:
            raise UnsafeCheckpointError(
                f"{self._member(name)} unpacks to another size than it claims"
            )
        return np.frombuffer(unpacked, np.uint8)

    def _member(self, name: str) -> str:
        return f"{shown(self.file.path)}: the member {printable(name)}"


class _BoundedReads(io.RawIOBase):
    """A file that refuses to be read in one piece larger than a zip directory may be.

    Of a window, the bytes before it and after it are not there.
    """

    def __init__(self, file: StableFile) -> None:
        self._window = file
        self._file = open_regular(file.path)
        self._position = 0

    def close(self) -> None:
        self._file.close()
        super().close()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._window.size}
        if base[whence] + offset < 0:
            raise ValueError("a position before the file")
        self._position = base[whence] + offset
        return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(0, self._window.size - self._position)
        size = left if size is None or size < 0 else min(size, left)
        if size > MAX_DIRECTORY_BYTES:
            raise UnsafeCheckpointError(
                f"{shown(self._window.path)} has a zip directory of {size:,} bytes, more than any "
                f"set of tensors needs"
            )
        self._file.seek(self._window.start + self._position)
        content = self._file.read(size)
        self._position += len(content)
        return content


def _directory(window: StableFile) -> list[zipfile.ZipInfo]:
    try:
        with _BoundedReads(window) as file, zipfile.ZipFile(cast("IO[bytes]", file)) as archive:
            return archive.infolist()
    except _DIRECTORY_ERRORS:
        raise CheckpointError(
            f"{shown(window.path)} is no whole zip archive: its directory, at the end, is missing "
            f"or damaged; copy or download it again"
        ) from None
