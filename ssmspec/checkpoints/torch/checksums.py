"""Where a zip archive keeps the checksums of its members, as positions in the file.

A member's CRC-32 stands in the central directory and once more beside its bytes: in the header
before them or, where the writer did not know it in time (torch), in a data descriptor after them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ssmspec.checkpoints.files import StableFile
from ssmspec.errors import CheckpointError
from ssmspec.naming import shown

CRC = struct.Struct("<I")

_END = struct.Struct("<4s4H2IH")
_END_MAGIC = b"PK\x05\x06"
_LOCATOR = struct.Struct("<4sIQI")
_LOCATOR_MAGIC = b"PK\x06\x07"
_END_64 = struct.Struct("<4sQ2H2I4Q")
_END_64_MAGIC = b"PK\x06\x06"
_ENTRY = struct.Struct("<4s4x2H4xI2I3H8xI")
"""magic, flags, method, CRC, two sizes, three lengths, position of the header"""
_ENTRY_MAGIC = b"PK\x01\x02"
_DESCRIPTOR_MAGIC = b"PK\x07\x08"
_MAX_COMMENT = 0xFFFF

_ENTRY_CRC = 16
_HEADER_CRC = 14
_HAS_DESCRIPTOR = 0x8
_NAME_IS_UTF8 = 0x800
_WIDE_FIELD = 1
_TOO_LARGE = 0xFFFFFFFF


@dataclass(frozen=True)
class Checksum:
    """One member's checksum, as its directory entry has it.

    Attributes:
        value: CRC-32 of the member.
        entry: position of the directory entry in the file.
        header: position of the header before the member's bytes.
        has_descriptor: whether the checksum follows the bytes rather than preceding them.
    """

    value: int
    entry: int
    header: int
    has_descriptor: bool

    def positions(self, file: StableFile, end: int) -> Iterator[int]:
        """Every place in the file that holds the checksum.

        Args:
            file: the archive.
            end: where the member's bytes end.

        Raises:
            CheckpointError: there is none beside the bytes.
        """
        yield self.entry + _ENTRY_CRC
        if not self.has_descriptor:
            yield self.header + _HEADER_CRC
            return
        after = file.read(end, end + 2 * CRC.size).tobytes()
        if after.startswith(_DESCRIPTOR_MAGIC):
            yield end + CRC.size
        elif CRC.unpack_from(after)[0] == self.value:  # the format lets the magic be left out
            yield end
        else:
            raise _misplaced(file)


def checksums(file: StableFile) -> Mapping[str, Checksum]:
    """Every member's checksum, by name.

    Raises:
        CheckpointError: the directory is not where the end of the file says.
    """
    begin, size = _directory(file)
    directory = file.read(begin, begin + size).tobytes()
    found: dict[str, Checksum] = {}
    at = 0
    while at < size:
        if at + _ENTRY.size > size:
            raise _misplaced(file)
        magic, flags, _, crc, *sizes_and_header = _ENTRY.unpack_from(directory, at)
        name_length, extra_length, comment_length = sizes_and_header[2:5]
        names = at + _ENTRY.size
        extras = names + name_length
        if magic != _ENTRY_MAGIC:
            raise _misplaced(file)
        name = directory[names:extras].decode(
            "utf-8" if flags & _NAME_IS_UTF8 else "cp437", "replace"
        )
        found[name] = Checksum(
            value=crc,
            entry=begin + at,
            header=_wide(directory[extras : extras + extra_length], sizes_and_header),
            has_descriptor=bool(flags & _HAS_DESCRIPTOR),
        )
        at = extras + extra_length + comment_length
    return found


def _wide(extra: bytes, narrow: Sequence[int]) -> int:
    """Position of the header, from the entry's 64-bit field where 32 bits are too few.

    That field holds, in this order, those of the two sizes and the position that did not fit.
    """
    packed, unpacked, *_, header = narrow
    if header != _TOO_LARGE:
        return header
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        place = at + 4 + 8 * (packed, unpacked).count(_TOO_LARGE)
        if kind == _WIDE_FIELD and place + 8 <= at + 4 + length <= len(extra):
            return int.from_bytes(extra[place : place + 8], "little")
        at += 4 + length
    return header


def _directory(file: StableFile) -> tuple[int, int]:
    """(begin, bytes) of the central directory."""
    tail_begin = max(file.size - _END.size - _MAX_COMMENT, 0)
    tail = file.read(tail_begin, file.size).tobytes()
    at = tail.rfind(_END_MAGIC)
    if at < 0 or at + _END.size > len(tail):
        raise _misplaced(file)
    size, begin = _END.unpack_from(tail, at)[5:7]
    end = tail_begin + at
    locator_begin = end - _LOCATOR.size
    if locator_begin >= 0:
        locator = _LOCATOR.unpack(file.read(locator_begin, end).tobytes())
        if locator[0] == _LOCATOR_MAGIC:
            end = locator[2]
            if end + _END_64.size > file.size:
                raise _misplaced(file)
            record = _END_64.unpack(file.read(end, end + _END_64.size).tobytes())
            if record[0] != _END_64_MAGIC:
                raise _misplaced(file)
            size, begin = record[8:10]
    # Bytes that something put before the archive would shift every position.
    if begin + size != end:
        raise _misplaced(file)
    return begin, size


def _misplaced(file: StableFile) -> CheckpointError:
    return CheckpointError(
        f"{shown(file.path)}: its zip directory is laid out in a way torch never writes; load the "
        f"file with torch and save it again"
    )
