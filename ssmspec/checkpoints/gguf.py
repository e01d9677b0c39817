"""GGUF: llama.cpp's format, a header of named values and of tensors, then their bytes.

The header is walked once, within bounds; a tensor is read when it is asked for. Plain types are
given as they are, and Q8_0 (blocks of 32 signed bytes with one float16 scale) as the float32
numbers it stands for. The other block types are listed under their name and cannot be read.

Source: ggml's docs/gguf.md.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from ssmspec.arrays import Array
from ssmspec.checkpoints.base import Checkpoint, Container, TensorInfo, shaped
from ssmspec.checkpoints.dtypes import DTYPES, dtype_named
from ssmspec.checkpoints.files import StableFile
from ssmspec.checkpoints.msgpack.cursor import Cursor
from ssmspec.errors import CheckpointError, UnsafeCheckpointError
from ssmspec.naming import printable, shown

MAX_TENSORS, MAX_VALUES = 200_000, 100_000
MAX_TEXTS = 4_000_000
"""Most texts in all lists of a header (a vocabulary has 250,000)."""
MAX_AXES = 8
MAX_METADATA, MAX_TEXT = 256, 200
ALIGNMENT = 32
"""Bytes to a multiple of which tensors begin, where `general.alignment` says nothing else."""

_SCALARS = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q",
    12: "<d",
}  # fmt: skip
_TEXT, _LIST = 8, 9

_PLAIN = {
    0: "float32", 1: "float16", 24: "int8", 25: "int16", 26: "int32", 27: "int64", 28: "float64",
    30: "bfloat16",
}  # fmt: skip
_Q8_0, _BLOCK, _BLOCK_BYTES = 8, 32, 34
_BLOCKS = {
    2: "q4_0", 3: "q4_1", 6: "q5_0", 7: "q5_1", 9: "q8_1", 10: "q2_k", 11: "q3_k", 12: "q4_k",
    13: "q5_k", 14: "q6_k", 15: "q8_k", 16: "iq2_xxs", 17: "iq2_xs", 18: "iq3_xxs", 19: "iq1_s",
    20: "iq4_nl", 21: "iq3_s", 22: "iq2_s", 23: "iq4_xs", 29: "iq1_m", 34: "tq1_0", 35: "tq2_0",
    39: "mxfp4",
}  # fmt: skip
"""Block types that are named, not read."""


class _Header(Cursor):
    """A position in the header."""

    def damaged(self, problem: str) -> CheckpointError:
        return CheckpointError(
            f"{shown(self.file.path)} is not a whole GGUF file: {problem}; copy or download it "
            f"again"
        )

    def unsafe(self, what: str) -> UnsafeCheckpointError:
        return UnsafeCheckpointError(f"{shown(self.file.path)} holds {what}, which no model needs")

    def number(self, code: str) -> int:
        return int(struct.unpack(code, self.take(struct.calcsize(code)))[0])

    def words(self) -> str:
        """A text: its length, then UTF-8."""
        return self.text(self.number("<Q"))


@dataclass(frozen=True)
class _Stored:
    """Where a tensor's bytes are, and its type in the file."""

    kind: int
    begin: int
    nbytes: int


class GgufCheckpoint(Checkpoint):
    """One GGUF file."""

    container = "gguf"

    def __init__(self, path: Path) -> None:
        """Walk over the header.

        Raises:
            CheckpointError: it is cut off or damaged, big-endian or of version 1.
            UnsafeCheckpointError: tensors share bytes, or it goes beyond a bound.
        """
        self.file = StableFile.seen(path)
        super().__init__(str(path), self.file.size)
        header = _Header(self.file)
        header.take(4)
        version = header.number("<I")
        if version not in (2, 3):
            raise CheckpointError(
                f"{shown(path)} is a GGUF file of version {version} or of the other byte order; "
                f"convert it again with llama.cpp"
            )
        count, values = header.number("<Q"), header.number("<Q")
        if count > MAX_TENSORS or values > MAX_VALUES:
            raise header.unsafe(f"{count:,} tensors and {values:,} values")
        alignment = self._read_values(header, values)
        listed = [_tensor(header) for _ in range(count)]
        start = -(-header.position // alignment) * alignment
        self._stored: dict[str, _Stored] = {}
        tensors: dict[str, TensorInfo] = {}
        for info, kind, offset in listed:
            if info.name in tensors:
                raise header.damaged(f"two tensors are called {printable(info.name)}")
            tensors[info.name] = info
            nbytes = _nbytes(info, kind)
            if start + offset + nbytes > self.file.size:
                raise header.damaged(f"it ends before the end of {printable(info.name)}")
            self._stored[info.name] = _Stored(kind, start + offset, nbytes)
        self.tensors = tensors
        places = sorted((one.begin, one.begin + one.nbytes) for one in self._stored.values())
        if any(end > begin for (_, end), (begin, _) in pairwise(places)):
            raise header.unsafe("tensors that share their bytes")
        self.notes = tuple(self._notes())

    def _read_values(self, header: _Header, count: int) -> int:
        """Keep plain values as metadata; the alignment among them."""
        metadata: dict[str, str] = {}
        alignment, texts = ALIGNMENT, 0
        for _ in range(count):
            key, kind = header.words(), header.number("<I")
            if kind == _LIST:
                texts += _skip_list(header)
                if texts > MAX_TEXTS:
                    raise header.unsafe(f"more than {MAX_TEXTS:,} texts")
                continue
            value = _value(header, kind)
            if key == "general.alignment":
                alignment = value if isinstance(value, int) else 0
            if value is not None and len(metadata) < MAX_METADATA:
                metadata[key] = str(value)
        if not (0 < alignment <= 1 << 20 and alignment & (alignment - 1) == 0):
            raise header.damaged("its alignment is no power of two")
        self.metadata = metadata
        return alignment

    def _notes(self) -> Iterator[str]:
        blocks = sum(one.kind == _Q8_0 for one in self._stored.values())
        if blocks:
            yield f"{blocks} tensors in blocks of 8 bits are read as the float32 they stand for"
        parts = self.metadata.get("split.count", "1")
        if parts.isdecimal() and int(parts) > 1:
            number = self.metadata.get("split.no", "0")
            part = int(number) + 1 if number.isdecimal() else number
            yield f"this is part {part} of {parts}: the layers in the other files are not here"

    def _load(self, info: TensorInfo) -> Array:
        stored = self._stored[info.name]
        if info.dtype not in DTYPES:
            raise CheckpointError(
                f"{printable(info.name)} is quantized ({printable(info.dtype)}) and cannot be "
                f"read; use the checkpoint it was converted from, or a file in F32, F16 or BF16"
            )
        raw = self.file.read(stored.begin, stored.begin + stored.nbytes)
        if stored.kind != _Q8_0:
            return shaped(raw.view(dtype_named(info.dtype).storage), info)
        blocks = raw.reshape(-1, _BLOCK_BYTES)
        scales = np.ascontiguousarray(blocks[:, :2]).view("<f2").astype("<f4")  # (blocks, 1)
        return shaped((scales * blocks[:, 2:].view("i1")).reshape(-1), info)


def _tensor(header: _Header) -> tuple[TensorInfo, int, int]:
    """One tensor's entry: its shape is listed from the fastest axis on."""
    name, axes = header.words(), header.number("<I")
    if axes > MAX_AXES:
        raise header.damaged(f"{printable(name)} has {axes} axes")
    lengths = tuple(header.number("<Q") for _ in range(axes))
    kind, offset = header.number("<I"), header.number("<Q")
    if math.prod(n for n in lengths if n) >= 1 << 60:
        raise header.damaged(f"{printable(name)} has a shape beyond any memory")
    dtype = _PLAIN.get(kind) or ("float32" if kind == _Q8_0 else _BLOCKS.get(kind, f"ggml_{kind}"))
    return TensorInfo(name, dtype, lengths[::-1]), kind, offset


def _nbytes(info: TensorInfo, kind: int) -> int:
    """Bytes of a tensor; 0 for those that are not read."""
    if kind == _Q8_0:
        if info.size % _BLOCK:
            raise CheckpointError(f"{printable(info.name)} is no whole number of blocks")
        return info.size // _BLOCK * _BLOCK_BYTES
    return info.nbytes if kind in _PLAIN else 0


def _value(header: _Header, kind: int) -> int | float | str | None:
    """A plain value; None for a long text."""
    if kind == _TEXT:
        length = header.number("<Q")
        if length <= MAX_TEXT:
            return header.text(length)
        header.skip(length)
        return None
    if kind not in _SCALARS:
        raise header.damaged(f"a value of kind {kind} before byte {header.position:,}")
    value: int | float = struct.unpack(
        _SCALARS[kind], header.take(struct.calcsize(_SCALARS[kind]))
    )[0]
    return value


def _skip_list(header: _Header) -> int:
    """Pass over a list of plain values; how many texts are in it."""
    kind, count = header.number("<I"), header.number("<Q")
    if kind in _SCALARS:
        header.skip(count * struct.calcsize(_SCALARS[kind]))
        return 0
    if kind != _TEXT:
        raise header.damaged(f"a list of kind {kind} before byte {header.position:,}")
    if count > MAX_TEXTS:
        raise header.unsafe(f"more than {MAX_TEXTS:,} texts")
    for _ in range(count):
        header.skip(header.number("<Q"))
    return count


CONTAINER = Container(
    id="gguf",
    title="GGUF",
    suffixes=(".gguf",),
    recognizes=lambda _path, head: head.startswith(b"GGUF"),
    open=GgufCheckpoint,
)
