"""npz: a zip archive with one `.npy` array a member, as `numpy.savez` writes it.

Opening reads the archive's directory and each member's short header; an array is inflated when it
is asked for. Arrays of Python objects would need unpickling, which runs code: they are listed and
never read.

A small file must not ask for much memory or time, so there are limits on the zip directory, on a
member's header, and on the size of one array against that of the file: heuristics, all far from
what `numpy.savez` writes.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from ssmspec.arrays import Array
from ssmspec.checkpoints.base import Checkpoint, Container, TensorInfo, shaped
from ssmspec.checkpoints.dtypes import DTYPES
from ssmspec.checkpoints.files import open_regular
from ssmspec.checkpoints.npy_header import MAX_CHARS, HeaderError, read_header
from ssmspec.checkpoints.zips import BoundedReads, require_disjoint
from ssmspec.errors import CheckpointError, UnsafeCheckpointError
from ssmspec.naming import printable, shown

FREE_HEADER_BYTES = 2**20
"""All headers together may have this plus the bytes of the file, which in honest ones they are."""

DEFLATE_RATIO = 1032
"""The most that deflate can shrink anything; a member that claims more is lying."""

FREE_BYTES = 64 * 2**20
EXPANSION = 100
"""One array may fill `FREE_BYTES`, or `EXPANSION` times the whole file if that is more: trained
parameters hardly compress, and constant ones are small."""

_DEFECTS = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError, OverflowError,
    MemoryError,
)  # fmt: skip
"""What zipfile raises on damaged, encrypted or malicious archives and members."""


class NpzCheckpoint(Checkpoint):
    """One npz archive; its file stays open until it is closed."""

    container = "npz"

    def __init__(self, path: Path) -> None:
        self._file = BoundedReads(open_regular(path).detach())
        try:
            size = self._file.seek(0, 2)
            super().__init__(str(path), size)
            self._limit = max(FREE_BYTES, EXPANSION * size)
            self._zip = _open_zip(self._file, path)
            require_disjoint(path, self._zip.infolist())
            self._headers_left = FREE_HEADER_BYTES + size
            self._members: dict[str, _Member] = {}
            others = 0
            for entry in self._zip.infolist():
                if not entry.filename.endswith(".npy"):
                    others += 1
                    continue
                name = entry.filename.removesuffix(".npy")
                if name in self._members:
                    raise CheckpointError(
                        f"{shown(path)} holds two arrays called {printable(name)}; "
                        f"save it again with one"
                    )
                self._members[name] = self._look_at(name, entry)
        except BaseException:
            self.close()
            raise
        self.tensors = {name: member.info for name, member in self._members.items()}
        if others:
            self.notes = (f"{others} members that are no arrays were passed over",)

    def close(self) -> None:
        """Close the archive."""
        self._file.close()

    def _look_at(self, name: str, entry: zipfile.ZipInfo) -> _Member:
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise self._damaged(name, ValueError("it is packed by a method other than deflate"))
        try:
            with self._zip.open(entry) as stream:
                # A header says how long it is, up to 4 GiB, and numpy believes it: offer no more.
                head = io.BytesIO(stream.read(MAX_CHARS + 16))
                member = _Member.from_header(name, entry, head)
        except _DEFECTS as error:
            raise self._damaged(name, error) from None
        self._headers_left -= member.start
        if self._headers_left < 0:
            raise UnsafeCheckpointError(
                f"{shown(self.path)}: the headers of its arrays unpack to more bytes than the file "
                f"has, which is out of proportion"
            )
        return member

    def _load(self, info: TensorInfo) -> Array:
        member = self._members[info.name]
        if info.dtype not in DTYPES:
            raise CheckpointError(f"{printable(info.name)}: {_no_numbers(info.dtype)}")
        self._refuse_bomb(member)
        try:
            with self._zip.open(member.entry) as stream:
                stream.read(member.start)
                flat = _read_exactly(stream, member.nbytes)
        except _DEFECTS as error:
            raise self._damaged(info.name, error) from None
        stored = flat.view(member.dtype).astype(DTYPES[info.dtype].storage, copy=False)
        return shaped(stored, info, order="F" if member.fortran else "C")

    def _refuse_bomb(self, member: _Member) -> None:
        entry, name = member.entry, printable(member.info.name)
        if member.start + member.nbytes != entry.file_size:
            raise CheckpointError(
                f"{name}: its header declares {member.nbytes:,} bytes, the archive holds "
                f"{entry.file_size - member.start:,}; save the file again"
            )
        ratio = DEFLATE_RATIO if entry.compress_type == zipfile.ZIP_DEFLATED else 1
        possible = ratio * (entry.compress_size + 16)  # 16: room for the rounding of tiny members
        if entry.compress_size > (self.size or 0) or entry.file_size > possible:
            raise UnsafeCheckpointError(
                f"{name}: {entry.file_size:,} bytes cannot come from {entry.compress_size:,} "
                f"compressed ones, so the file is damaged or made to exhaust memory"
            )
        if member.nbytes > self._limit:
            raise UnsafeCheckpointError(
                f"{name}: {member.nbytes:,} bytes out of a file of {self.size:,} is out of "
                f"proportion; save it with numpy.savez (uncompressed) if it is genuine"
            )

    def _damaged(self, name: str, error: BaseException) -> CheckpointError:
        cause = printable(str(error) or type(error).__name__)[:200]
        return CheckpointError(
            f"{shown(self.path)}: the array {printable(name)} cannot be read: {cause}"
        )


class _Member:
    """One array: where its numbers start in the member, their type and their order."""

    def __init__(
        self, info: TensorInfo, entry: zipfile.ZipInfo, start: int, dtype: np.dtype[np.generic],
        *, fortran: bool,
    ) -> None:  # fmt: skip
        self.info = info
        self.entry = entry
        self.start = start
        self.dtype = dtype
        self.fortran = fortran
        self.nbytes = info.size * dtype.itemsize

    @classmethod
    def from_header(cls, name: str, entry: zipfile.ZipInfo, stream: IO[bytes]) -> _Member:
        try:
            header = read_header(stream)
        except HeaderError as error:
            raise ValueError(str(error)) from None
        info = TensorInfo(name, header.dtype.name, header.shape)
        return cls(info, entry, stream.tell(), header.dtype, fortran=header.fortran)


def _open_zip(file: IO[bytes], path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except _DEFECTS as error:
        raise CheckpointError(
            f"{shown(path)} is not a whole zip archive ({printable(str(error))[:200]}); "
            f"copy or download it again"
        ) from None


def _read_exactly(stream: IO[bytes], nbytes: int) -> Array:
    buffer = np.empty(nbytes, np.uint8)
    filled = 0
    while filled < nbytes:
        piece = stream.read(min(nbytes - filled, 2**20))
        if not piece:
            raise EOFError(f"it ends {nbytes - filled:,} bytes early")
        buffer[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
        filled += len(piece)
    return buffer


def _no_numbers(dtype: str) -> str:
    if dtype == "object":
        return "it holds Python objects, and unpickling them would run code; save plain arrays"
    if dtype.startswith("void"):
        return (
            "its element type was not kept by numpy (bfloat16 and structured arrays are saved as "
            "raw bytes); save it as float32"
        )
    return f"arrays of {dtype} hold no numbers that can be decoded"


def _recognizes(path: Path, head: bytes) -> bool:
    if not head.startswith(b"PK\x03\x04"):
        return False
    name_length = int.from_bytes(head[26:28], "little")
    first = head[30 : 30 + name_length]
    if first.endswith((b".npy", b"data.pkl")):  # nearly always decided here
        return first.endswith(b".npy")
    try:
        with BoundedReads(open_regular(path).detach()) as file:
            names = _open_zip(file, path).namelist()
    except CheckpointError:
        return False
    pickled = any(name.endswith("data.pkl") for name in names)
    return not pickled and any(name.endswith(".npy") for name in names)


CONTAINER = Container(
    id="npz",
    title="NumPy archive (npz)",
    suffixes=(".npz",),
    recognizes=_recognizes,
    open=NpzCheckpoint,
)
