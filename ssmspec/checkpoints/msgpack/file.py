"""flax msgpack: a tree of maps in msgpack, as `flax.serialization.to_bytes` writes it.

Arrays are msgpack extensions whose payload is msgpack again: (shape, dtype name, bytes), row-major
and little-endian. Arrays above 1 GiB are maps of chunks. Names are the keys that lead to an array,
joined by slashes; positions in lists are keys like any other.

Opening walks over the whole tree and skips every array's bytes; an array is read when it is asked
for. Nothing is believed without a check: lengths against the file, element counts against bytes,
and heuristic bounds, far from any real model, on nesting, on numbers of values and arrays and on
the length of all names.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import numpy as np

from ssmspec.arrays import Array
from ssmspec.checkpoints.base import Checkpoint, Container, TensorInfo, shaped
from ssmspec.checkpoints.dtypes import DTYPES
from ssmspec.checkpoints.files import StableFile
from ssmspec.checkpoints.msgpack.cursor import Cursor
from ssmspec.errors import CheckpointError, UnsafeCheckpointError
from ssmspec.naming import printable, shown

MAX_DEPTH = 64
"""Deepest nesting of maps and lists."""
MAX_OBJECTS, MAX_ARRAYS = 2_000_000, 200_000
"""Most values and most arrays in one file: some seconds of walking and 100 MB of entries."""
NAME_BASE, NAME_PER_BYTE = 1 << 20, 16
"""All names together may be as long as this plus a multiple of the file."""
MAX_AXES = 64
"""What numpy can hold."""
MAX_METADATA, MAX_METADATA_LENGTH = 256, 200
"""How many plain values are kept as metadata, and how long."""

NDARRAY, COMPLEX, SCALAR = 1, 2, 3
"""flax's extension types."""
CHUNKED = "__msgpack_chunked_array__"
UNNAMED = "tensor"
"""Name of an array that is the whole file."""


@dataclass(frozen=True)
class _Stored:
    """Where an array's elements are: (begin, end) in the file, one piece for each chunk."""

    info: TensorInfo
    pieces: tuple[tuple[int, int], ...] = ()
    value: complex | None = None


class MsgpackCheckpoint(Checkpoint):
    """One flax msgpack file."""

    container = "flax-msgpack"

    def __init__(self, path: Path) -> None:
        self.file = StableFile.seen(path)
        super().__init__(str(path), self.file.size)
        walk = _Walk(Cursor(self.file))
        walk.run()
        self._stored: dict[str, _Stored] = {}
        for stored in _joined(walk):
            if self._stored.setdefault(stored.info.name, stored) is not stored:
                raise _twice(path, stored.info.name)
        self.tensors = {name: stored.info for name, stored in self._stored.items()}
        self.metadata = walk.metadata

    def _load(self, info: TensorInfo) -> Array:
        stored = self._stored[info.name]
        if info.dtype not in DTYPES:
            raise CheckpointError(
                f"{printable(info.name)}: arrays of {printable(info.dtype)} cannot be decoded"
            )
        if stored.value is not None:
            return np.array(stored.value, dtype=DTYPES[info.dtype].storage)
        pieces = [self.file.read(begin, end) for begin, end in stored.pieces]
        whole = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
        return shaped(whole.view(DTYPES[info.dtype].storage), info)


@dataclass
class _Frame:
    """A map or a list that is being walked over."""

    prefix: str
    is_map: bool
    left: int
    labels: Iterator[int] = field(default_factory=count)


class _Walk:
    """One pass over the tree.

    Attributes:
        arrays: by name, in file order; chunks are arrays still.
        chunked: names of maps that stand for one array.
        lengths: plain integers that stand below `shape`, by name.
        metadata: other plain values by name, the first few.
    """

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self.arrays: dict[str, _Stored] = {}
        self.chunked: dict[str, None] = {}
        self.lengths: dict[str, int] = {}
        self.metadata: dict[str, str] = {}
        self._frames: list[_Frame] = []
        self._objects = 0
        self._budget = NAME_BASE + NAME_PER_BYTE * cursor.file.size

    def run(self) -> None:
        """Walk to the end of the file.

        Raises:
            CheckpointError: it is damaged, or two values have one name.
            UnsafeCheckpointError: it goes beyond one of the bounds.
        """
        self._value("")
        while self._frames:
            frame = self._frames[-1]
            if frame.left == 0:
                self._frames.pop()
                continue
            frame.left -= 1
            label = self._key() if frame.is_map else str(next(frame.labels))
            if label == CHUNKED and frame.is_map:
                self.chunked[frame.prefix] = None
            self._value(f"{frame.prefix}/{label}" if frame.prefix else label)
        rest = self.cursor.file.size - self.cursor.position
        if rest:
            raise self.cursor.damaged(f"{rest:,} bytes follow the end of its tree")

    def _key(self) -> str:
        kind, value = self.cursor.header()
        if kind in ("str", "bin") and isinstance(value, int):
            return self.cursor.text(value)
        if kind != "number":
            raise self.cursor.damaged(f"a key before byte {self.cursor.position:,} is a {kind}")
        return str(value)

    def _value(self, name: str) -> None:
        self._count(name)
        kind, value = self.cursor.header()
        if kind == "number":
            self._plain(name, value)
            return
        length = int(value or 0)
        if kind in ("map", "array"):
            if len(self._frames) >= MAX_DEPTH:
                raise self._unsafe(f"maps nested deeper than {MAX_DEPTH} levels")
            self._frames.append(_Frame(name, kind == "map", length))
        elif kind == "ext":
            self._extension(name, length)
        elif kind == "str" and length <= MAX_METADATA_LENGTH:
            self._plain(name, self.cursor.text(length))
        else:
            self.cursor.skip(length)

    def _count(self, name: str) -> None:
        self._objects += 1
        self._budget -= len(name)
        if self._objects > MAX_OBJECTS:
            raise self._unsafe(f"more than {MAX_OBJECTS:,} values")
        if self._budget < 0:
            raise self._unsafe("names that together are far longer than the file")

    def _plain(self, name: str, value: object) -> None:
        parent, _, last = name.rpartition("/")
        if isinstance(value, int) and parent.endswith("shape") and last.isdecimal():
            self.lengths[name] = value
        if len(self.metadata) < MAX_METADATA and value is not None:
            self.metadata[name] = str(value)

    def _extension(self, name: str, length: int) -> None:
        (code,) = struct.unpack(">b", self.cursor.take(1))
        end = self.cursor.position + length
        if code in (NDARRAY, SCALAR):
            stored = self._array(name or UNNAMED)
        elif code == COMPLEX:
            stored = self._complex(name or UNNAMED)
        else:
            self.cursor.skip(length)
            return
        if self.cursor.position != end:
            raise self.cursor.damaged(f"the array {printable(name)} is not as long as it claims")
        if stored.info.name in self.arrays:
            raise _twice(self.cursor.file.path, stored.info.name)
        if len(self.arrays) >= MAX_ARRAYS:
            raise self._unsafe(f"more than {MAX_ARRAYS:,} arrays")
        self.arrays[stored.info.name] = stored

    def _array(self, name: str) -> _Stored:
        """(shape, dtype name, bytes), whose bytes must be as many as shape and dtype ask for."""
        cursor = self.cursor
        parts = cursor.expect("array")
        axes = cursor.expect("array") if parts == 3 else MAX_AXES + 1
        if axes > MAX_AXES:
            raise cursor.damaged(f"{printable(name)} is no array")
        shape = tuple(cursor.expect("number") for _ in range(axes))
        dtype = cursor.text(cursor.expect("str", "bin"))
        nbytes = cursor.expect("bin", "str")
        begin = cursor.skip(nbytes)
        info = TensorInfo(name, dtype, shape)
        known = DTYPES.get(dtype)
        if min(shape, default=0) < 0 or (known and info.size * known.itemsize != nbytes):
            raise cursor.damaged(
                f"{nbytes:,} bytes are not the array {printable(name)} of shape {shape[:8]}"
            )
        return _Stored(info, ((begin, begin + nbytes),))

    def _complex(self, name: str) -> _Stored:
        """(real, imaginary) of one Python number."""
        if self.cursor.expect("array") != 2:
            raise self.cursor.damaged(f"{printable(name)} is no complex number")
        parts = [self.cursor.header() for _ in range(2)]
        if any(kind != "number" or value is None for kind, value in parts):
            raise self.cursor.damaged(f"{printable(name)} is no complex number")
        real, imag = (float(value or 0.0) for _, value in parts)
        return _Stored(TensorInfo(name, "complex128", ()), value=complex(real, imag))

    def _unsafe(self, what: str) -> UnsafeCheckpointError:
        return UnsafeCheckpointError(
            f"{shown(self.cursor.file.path)} holds {what}, which no model needs"
        )


def _twice(path: Path, name: str) -> CheckpointError:
    return CheckpointError(
        f"{shown(path)} holds two arrays called {printable(name)}; save it again with one"
    )


def _joined(walk: _Walk) -> Iterator[_Stored]:
    """The arrays, with the chunks of each large one put together in the place of the first.

    Raises:
        CheckpointError: chunks are missing, differ in type or do not add up to the shape.
    """
    chunk_of: dict[str, str] = {}
    for whole in walk.chunked:
        prefix = f"{whole}/" if whole else ""
        for number in count():
            if (name := f"{prefix}chunks/{number}") not in walk.arrays:
                break
            chunk_of[name] = whole
        if f"{prefix}chunks/0" not in chunk_of:
            raise walk.cursor.damaged(f"the array {printable(whole)} has no chunks")
    for name, stored in walk.arrays.items():
        if name not in chunk_of:
            yield stored
        elif name.endswith("chunks/0"):
            yield _join(walk, chunk_of[name])


def _join(walk: _Walk, whole: str) -> _Stored:
    prefix = f"{whole}/" if whole else ""
    chunks = []
    for number in count():
        if (name := f"{prefix}chunks/{number}") not in walk.arrays:
            break
        chunks.append(walk.arrays[name])
    shape = []
    for axis in range(MAX_AXES):
        if (name := f"{prefix}shape/{axis}") not in walk.lengths:
            break
        shape.append(walk.lengths[name])
    sizes = sum(chunk.info.size for chunk in chunks)
    dtypes = {chunk.info.dtype for chunk in chunks}
    if len(dtypes) > 1 or min(shape, default=0) < 0 or sizes != math.prod(shape):
        raise walk.cursor.damaged(f"the chunks of {printable(whole)} are not one array")
    info = TensorInfo(whole or UNNAMED, dtypes.pop(), tuple(shape))
    return _Stored(info, tuple(piece for chunk in chunks for piece in chunk.pieces))


def _recognizes(_: Path, head: bytes) -> bool:
    """A map whose first key is a short text, as flax writes a tree of parameters."""
    if 0x81 <= head[0] <= 0x8F:
        key = head[1:]
    elif head[0] in (0xDE, 0xDF):
        key = head[3 if head[0] == 0xDE else 5 :]
    else:
        return False
    if key[:1] == b"\xd9":
        length, text = key[1] if len(key) > 1 else 0, key[2:]
    else:
        length, text = (key[0] & 0x1F if key and 0xA1 <= key[0] <= 0xBF else 0), key[1:]
    name = text[:length].decode("latin-1")
    return 0 < length <= len(text) and name.isascii() and name.isprintable()


CONTAINER = Container(
    id="flax-msgpack",
    title="flax msgpack",
    suffixes=(".msgpack",),
    recognizes=_recognizes,
    open=MsgpackCheckpoint,
)
