"""A checkpoint with some of its tensors changed, as safetensors; everything else byte for byte.

A safetensors file keeps its layout, since a changed tensor keeps its dtype and shape: the file is
copied by the system and the changed bytes are written over. A sharded one keeps its shards. Other
containers are converted tensor by tensor. Memory stays at one tensor, or one buffer, at a time; the
same input gives the same bytes.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ssmspec.arrays import Array
from ssmspec.checkpoints.atomic import atomic_folder, atomic_output
from ssmspec.checkpoints.base import Checkpoint, TensorInfo
from ssmspec.checkpoints.dtypes import dtype_named, encode
from ssmspec.checkpoints.files import FilledFile, open_regular, parse_json, read_whole
from ssmspec.checkpoints.safetensors_file import CODES, SafetensorsCheckpoint, dtype_to_code
from ssmspec.checkpoints.sharded import MAX_INDEX_BYTES, ShardedCheckpoint
from ssmspec.errors import CheckpointError, UsageError
from ssmspec.naming import printable, shown

MAX_HEADER_BYTES = 100_000_000
"""The longest header that safetensors libraries read."""

_CHUNK = 2**28  # of one system call, so that Ctrl-C is heard in between
_BUFFER = 2**23
_UNSUPPORTED = {errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF}


def rewrite(
    checkpoint: Checkpoint,
    changes: Mapping[str, Array],
    output: Path,
    *,
    force: bool,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a checkpoint's tensors, some of them changed, to a new safetensors file or folder.

    Args:
        checkpoint: the source; it is never changed.
        changes: tensor name -> new values of the stored shape, rounded to the stored dtype.
        output: a file; for a sharded safetensors source a folder that gets the same index, shards
            and config.json.
        force: replace an output that is there.
        metadata: entries added to the source's own (to the index of a sharded one).

    Raises:
        CheckpointError: a change fits no stored tensor, or the source cannot be read, or holds
            what a safetensors file cannot.
        UsageError: the output exists, is the input, or cannot be written.
    """
    for name, values in changes.items():
        stored = checkpoint.info(name)
        if values.shape != stored.shape:
            raise CheckpointError(
                f"{printable(name)} has shape {stored.shape} and cannot take values of shape "
                f"{values.shape}"
            )
    if isinstance(checkpoint, ShardedCheckpoint) and checkpoint.is_safetensors:
        _rewrite_shards(checkpoint, changes, output, force=force, metadata=metadata or {})
        return
    with atomic_output(output, force=force, inputs=checkpoint.files) as temporary:
        if isinstance(checkpoint, SafetensorsCheckpoint):
            _rewrite_file(checkpoint, changes, temporary, metadata or {})
        else:
            _convert(checkpoint, changes, temporary, metadata or {})


def _rewrite_file(
    source: SafetensorsCheckpoint,
    changes: Mapping[str, Array],
    target: Path,
    metadata: Mapping[str, str],
) -> None:
    """Copy one safetensors file and write the changed tensors over."""
    start = source.data_start
    with open_regular(source.file.path) as original, target.open("r+b") as copy:
        source.file.require_unchanged(original)
        if metadata:
            ranges = {name: (a - start, b - start) for name, (a, b) in source.offsets.items()}
            moved = copy.write(_header(source.tensors, ranges, {**source.metadata, **metadata}))
            copy_range(original, start, source.file.size, copy)
        else:
            moved = start
            copy_range(original, 0, source.file.size, copy)
        for name, values in changes.items():
            copy.seek(moved + source.offsets[name][0] - start)
            copy.write(_encoded(values, source.tensors[name]))
        source.file.require_unchanged(original)


def _rewrite_shards(
    source: ShardedCheckpoint,
    changes: Mapping[str, Array],
    output: Path,
    *,
    force: bool,
    metadata: Mapping[str, str],
) -> None:
    """Write a folder with the same index and shards."""
    if output.suffix == ".safetensors":
        raise UsageError(
            f"{shown(source.index.name)} has {len(source.shards)} shards, so the output is a "
            f"folder with as many; give a name without .safetensors"
        )
    config = source.index.with_name("config.json")
    names = [*source.shards, source.index.name, *([config.name] if source.config else [])]
    with atomic_folder(output, names, force=force, inputs=source.files) as folder:
        for name, path in source.shards.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch()
            own = {tensor: a for tensor, a in changes.items() if source.placement[tensor] == name}
            with SafetensorsCheckpoint(path) as shard:
                source.require_unchanged(name, shard)
                _rewrite_file(shard, own, target, {})
        (folder / source.index.name).write_bytes(_index_with(source, metadata))
        if source.config:
            shutil.copyfile(config, folder / config.name)


def _index_with(source: ShardedCheckpoint, metadata: Mapping[str, str]) -> bytes:
    content = read_whole(source.index, MAX_INDEX_BYTES)
    if not metadata:
        return content
    document = parse_json(content, source.index)
    own = document.get("metadata")
    document["metadata"] = {**(own if isinstance(own, dict) else {}), **metadata}
    return (json.dumps(document, indent=2) + "\n").encode()


def _convert(
    source: Checkpoint, changes: Mapping[str, Array], target: Path, metadata: Mapping[str, str]
) -> None:
    """Write the tensors of any container, laid out as the safetensors library lays them out."""
    order = sorted(source.tensors.values(), key=_rank)
    ranges: dict[str, tuple[int, int]] = {}
    end = 0
    for info in order:
        ranges[info.name] = (end, end := end + info.nbytes)
    tensors = {info.name: info for info in order}
    with target.open("r+b") as file:
        file.write(_header(tensors, ranges, {**source.metadata, **metadata}))
        for info in order:
            if info.name in changes:
                file.write(_encoded(changes[info.name], info))
            else:
                file.write(source.load(info.name).reshape(-1).view(np.uint8).data)


def _header(
    tensors: Mapping[str, TensorInfo],
    ranges: Mapping[str, tuple[int, int]],
    metadata: Mapping[str, str],
) -> bytes:
    """Length and JSON of a safetensors header, padded so that the data starts at a multiple of 8.

    Args:
        tensors: in the order in which they are listed.
        ranges: (begin, end) of each tensor's bytes, counted from the start of the data.
        metadata: may be empty.
    """
    entries: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    for name, info in tensors.items():
        if name == "__metadata__":
            raise CheckpointError("a tensor called __metadata__ cannot be stored as safetensors")
        code = dtype_to_code(info.dtype)
        entries[name] = {"dtype": code, "shape": info.shape, "data_offsets": ranges[name]}
    try:
        text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise CheckpointError(
            f"a name is not valid Unicode, which safetensors needs: {printable(error.object[:100])}"
        ) from None
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER_BYTES:
        raise CheckpointError(
            f"the names of {len(tensors):,} tensors fill {len(text):,} bytes, more than a "
            f"safetensors header may have"
        )
    return struct.pack("<Q", len(text)) + text


def _rank(info: TensorInfo) -> tuple[int, str]:
    """The library's order, which aligns every tensor: large types first, then by name."""
    try:
        return -list(CODES).index(dtype_to_code(dtype_named(info.dtype).name)), info.name
    except CheckpointError as error:
        raise CheckpointError(f"{printable(info.name)}: {error}") from None


def _encoded(values: Array, info: TensorInfo) -> bytes:
    try:
        return encode(values, info.dtype).tobytes()
    except CheckpointError as error:
        raise CheckpointError(f"{printable(info.name)}: {error}") from None


def copy_range(source: BinaryIO, begin: int, end: int, target: BinaryIO) -> None:
    """Append bytes [begin, end) of one file to another, by the system where it can."""
    target.flush()
    raw = getattr(source, "raw", None)
    if isinstance(raw, FilledFile):
        raw.fill(begin, end)
    while begin < end:
        count = _copy_in_system(source, begin, min(end - begin, _CHUNK), target)
        if not count:
            break
        begin += count
    source.seek(begin)
    target.seek(0, os.SEEK_END)
    buffer = np.empty(min(_BUFFER, end - begin), np.uint8).data
    while begin < end:
        count = source.readinto(buffer[: end - begin])  # type: ignore[attr-defined]
        if not count:
            raise CheckpointError(f"{shown(source.name)} ends before byte {end}")
        target.write(buffer[:count])
        begin += count


def _copy_in_system(source: BinaryIO, begin: int, count: int, target: BinaryIO) -> int:
    """Bytes copied without passing through this process; 0 where the system cannot."""
    if not hasattr(os, "copy_file_range"):
        return 0
    try:
        return os.copy_file_range(source.fileno(), target.fileno(), count, begin)
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return 0
        raise
