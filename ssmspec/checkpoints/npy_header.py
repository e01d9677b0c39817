"""The header of a `.npy` array: its type, its shape and its order, as a line of Python literals.

Read here because numpy, where a header is not plain, tokenizes it in a time that grows as the
square of its length.
"""

from __future__ import annotations

import ast
import re
import struct
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

MAX_CHARS = 10_000
"""Longest header that is parsed; numpy's own limit."""

_LENGTHS = {(1, 0): "<H", (2, 0): "<I"}
_SIMPLE = re.compile(r"[<>|=]?[?a-zA-Z]\d{0,4}(?:\[\w{1,8}\])?")
_LONG = re.compile(r"(?<=\d)L\b")
"""The ending that Python 2 gave to integers."""


class HeaderError(ValueError):
    """This is no header that `numpy.save` writes."""


@dataclass(frozen=True)
class Header:
    """What an array is.

    Attributes:
        shape: lengths of its axes.
        fortran: whether the first axis varies fastest.
        dtype: of an element; void where it is a record.
    """

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]


def read_header(stream: IO[bytes]) -> Header:
    """Read from the start of a `.npy` file; the stream is left where the numbers begin.

    Raises:
        HeaderError: it is malformed, longer than `MAX_CHARS`, or of a version for records.
    """
    magic = stream.read(8)
    if len(magic) != 8 or magic[:6] != b"\x93NUMPY":
        raise HeaderError("it does not begin as an npy array")
    version = (magic[6], magic[7])
    if version not in _LENGTHS:
        raise HeaderError(f"npy version {version} is for structured arrays only")
    code = _LENGTHS[version]
    counted = stream.read(struct.calcsize(code))
    if len(counted) != struct.calcsize(code):
        raise HeaderError("it ends within its header")
    (length,) = struct.unpack(code, counted)
    if length > MAX_CHARS:
        raise HeaderError(f"its header of {length:,} characters is longer than {MAX_CHARS:,}")
    text = stream.read(length)
    if len(text) != length:
        raise HeaderError("it ends within its header")
    return _understood(text.decode("latin-1"))


def _understood(text: str) -> Header:
    try:
        fields = ast.literal_eval(_LONG.sub("", text.strip()))
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        raise HeaderError("its header cannot be parsed") from None
    if not isinstance(fields, dict) or set(fields) != {"descr", "fortran_order", "shape"}:
        raise HeaderError("its header lacks descr, fortran_order or shape")
    shape, fortran = fields["shape"], fields["fortran_order"]
    if not (isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)):
        raise HeaderError("its shape is no tuple of lengths")
    if not isinstance(fortran, bool):
        raise HeaderError("its fortran_order is neither True nor False")
    if any(n >= 1 << 63 for n in shape):
        raise HeaderError("an axis is longer than any memory")
    return Header(shape, fortran, _dtype(fields["descr"]))


def _dtype(described: object) -> np.dtype[Any]:
    if not isinstance(described, str):
        return np.dtype("V")  # a record
    if not _SIMPLE.fullmatch(described):
        raise HeaderError("its type cannot be parsed")
    try:
        return np.dtype(described)
    except (TypeError, ValueError):
        raise HeaderError(f"its type {described} is not known") from None
