"""msgpack values, one header at a time, from a file that is read in blocks."""

from __future__ import annotations

import struct

from ssmspec.checkpoints.files import StableFile
from ssmspec.errors import CheckpointError
from ssmspec.naming import shown

MAX_KEY = 4096
"""Longest name in bytes; a heuristic."""

_BLOCK = 1 << 16

_FIXED = {
    0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q",
    0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q",
}  # fmt: skip
"""Numbers by their first byte."""

_SIZED = {
    0xC4: ("bin", ">B"), 0xC5: ("bin", ">H"), 0xC6: ("bin", ">I"),
    0xC7: ("ext", ">B"), 0xC8: ("ext", ">H"), 0xC9: ("ext", ">I"),
    0xD9: ("str", ">B"), 0xDA: ("str", ">H"), 0xDB: ("str", ">I"),
    0xDC: ("array", ">H"), 0xDD: ("array", ">I"), 0xDE: ("map", ">H"), 0xDF: ("map", ">I"),
}  # fmt: skip
"""What else there is, by its first byte, and how its length is written."""


class Cursor:
    """A position in a file that is read in blocks."""

    def __init__(self, file: StableFile) -> None:
        self.file = file
        self.position = 0
        self._block = b""
        self._start = 0

    def damaged(self, problem: str) -> CheckpointError:
        """What is wrong with the file, and what to do."""
        return CheckpointError(
            f"{shown(self.file.path)} is not a whole flax msgpack file: {problem}; "
            f"copy or download it again"
        )

    def skip(self, length: int) -> int:
        """Pass over bytes that must be there; where they begin."""
        begin = self.position
        if begin + length > self.file.size:
            raise self.damaged(f"it ends before byte {begin + length:,}")
        self.position += length
        return begin

    def take(self, length: int) -> bytes:
        """The next few bytes."""
        begin = self.skip(length) - self._start
        if begin < 0 or begin + length > len(self._block):
            self._start, begin = begin + self._start, 0
            end = min(self._start + max(_BLOCK, length), self.file.size)
            self._block = self.file.read(self._start, end).tobytes()
        return self._block[begin : begin + length]

    def header(self) -> tuple[str, int | float | bool | None]:
        """One value's kind, and its length; a scalar is read to its end and given instead."""
        first = self.take(1)[0]
        if first <= 0x7F or first >= 0xE0:
            return "number", first if first <= 0x7F else first - 0x100
        if first <= 0xBF:
            kind = "map" if first <= 0x8F else "array" if first <= 0x9F else "str"
            return kind, first & (0x1F if kind == "str" else 0x0F)
        if first in (0xC0, 0xC2, 0xC3):
            return "number", None if first == 0xC0 else first == 0xC3
        if first in _FIXED:
            code = _FIXED[first]
            return "number", struct.unpack(code, self.take(struct.calcsize(code)))[0]
        if 0xD4 <= first <= 0xD8:
            return "ext", 1 << (first - 0xD4)
        if first in _SIZED:
            kind, code = _SIZED[first]
            return kind, struct.unpack(code, self.take(struct.calcsize(code)))[0]
        raise self.damaged(f"byte {self.position - 1:,} begins no value")

    def expect(self, *kinds: str) -> int:
        """The length (or the value) of the next value, which must be of one of these kinds."""
        kind, length = self.header()
        if kind not in kinds or not isinstance(length, int) or isinstance(length, bool):
            raise self.damaged(f"a {' or '.join(kinds)} is missing before byte {self.position:,}")
        return length

    def text(self, length: int) -> str:
        """The next bytes as UTF-8."""
        if length > MAX_KEY:
            raise self.damaged(f"a name of {length:,} bytes")
        try:
            return self.take(length).decode("utf-8")
        except UnicodeDecodeError:
            raise self.damaged(f"a name before byte {self.position:,} is not UTF-8") from None
