"""safetensors: a JSON header of names, dtypes, shapes and byte ranges, then the bytes.

The safetensors library judges the header (size, syntax, holes, overlaps, every range within the
file); bytes are read here, because its numpy side knows neither bfloat16 nor float8. A file is not
kept open: each read opens it again and makes sure that it is still the same file.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open

from ssmspec.arrays import Array
from ssmspec.checkpoints.base import Checkpoint, Container, TensorInfo, shaped
from ssmspec.checkpoints.dtypes import dtype_named
from ssmspec.checkpoints.files import MIRRORS, StableFile, parse_json
from ssmspec.errors import CheckpointError
from ssmspec.naming import printable, shown

CODES: Mapping[str, str] = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8",
    "F8_E5M2": "float8_e5m2", "F8_E4M3": "float8_e4m3fn",
    "I16": "int16", "U16": "uint16", "F16": "float16", "BF16": "bfloat16",
    "I32": "int32", "U32": "uint32", "F32": "float32",
    "C64": "complex64", "F64": "float64", "I64": "int64", "U64": "uint64",
}  # fmt: skip
"""The canonical names of the format's dtype codes, in the library's order, small ones first. Codes
that cannot be decoded are listed under their own name in lower case."""

MAX_HEADER_BYTES = 100_000_000
"""The longest header that safetensors libraries read."""

_LENGTH = struct.Struct("<Q")


class SafetensorsCheckpoint(Checkpoint):
    """One safetensors file.

    Attributes:
        offsets: tensor name -> (begin, end), its bytes in the file counted from the file's start.
        data_start: where the first tensor's bytes begin.
        file: the file as it was when it was opened.
    """

    container = "safetensors"

    def __init__(self, path: Path) -> None:
        self.file = StableFile.seen(path)
        super().__init__(str(path), self.file.size)
        self._look_ahead()
        _validate(path)
        (length,) = _LENGTH.unpack(self.file.read(0, _LENGTH.size).tobytes())
        self.data_start: int = _LENGTH.size + length
        header = parse_json(self.file.read(_LENGTH.size, self.data_start).tobytes(), path)
        self.files = (path,)
        self.metadata = header.pop("__metadata__", None) or {}
        self.tensors = {
            name: TensorInfo(name, code_to_dtype(entry["dtype"]), tuple(entry["shape"]))
            for name, entry in header.items()
        }
        self.offsets: Mapping[str, tuple[int, int]] = {
            name: (self.data_start + begin, self.data_start + end)
            for name, entry in header.items()
            for begin, end in [entry["data_offsets"]]
        }

    def _look_ahead(self) -> None:
        """Read the header once before the library does, so that a file from afar has it."""
        if self.file.size >= _LENGTH.size and MIRRORS:
            (length,) = _LENGTH.unpack(self.file.read(0, _LENGTH.size).tobytes())
            if length <= min(self.file.size - _LENGTH.size, MAX_HEADER_BYTES):
                self.file.read(_LENGTH.size, _LENGTH.size + length)

    def _load(self, info: TensorInfo) -> Array:
        try:
            storage = dtype_named(info.dtype).storage
        except CheckpointError as error:
            raise CheckpointError(f"{printable(info.name)}: {error}") from None
        stored = self.file.read(*self.offsets[info.name])
        return shaped(stored.view(storage), info)


def code_to_dtype(code: str) -> str:
    """Canonical dtype name of a format's code; an unknown one in lower case."""
    return CODES.get(code, code.lower())


def dtype_to_code(dtype: str) -> str:
    """The format's code of a dtype name; inverse of `code_to_dtype`.

    Raises:
        CheckpointError: the format has no such type (complex128).
    """
    if dtype in _CODE_OF:
        return _CODE_OF[dtype]
    if dtype == "complex128":
        raise CheckpointError("safetensors files cannot hold complex128; store complex64 instead")
    return dtype.upper()


_CODE_OF = {dtype: code for code, dtype in CODES.items()}


def _validate(path: Path) -> None:
    try:
        with safe_open(path, framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:
        cause = str(error).removeprefix("Error while deserializing header: ")
        raise CheckpointError(
            f"{shown(path)} is not a whole safetensors file: {printable(cause)[:200]}; "
            f"copy or download it again"
        ) from None


def _recognizes(path: Path, head: bytes) -> bool:
    # A header's length has zeros among its eight bytes unless it is absurd; a text has none.
    is_text = head[: _LENGTH.size].isascii() and b"\0" not in head[: _LENGTH.size]
    return head[_LENGTH.size :].lstrip().startswith(b"{") and not is_text


CONTAINER = Container(
    id="safetensors",
    title="safetensors",
    suffixes=(".safetensors",),
    recognizes=_recognizes,
    open=SafetensorsCheckpoint,
)
