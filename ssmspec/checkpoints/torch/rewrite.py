"""A copy of a torch archive with other numbers in some of its tensors.

The pickle says where each tensor's elements are: in which storage, from which offset, by which
strides. New elements go to those very places, so the pickle, every other member and every position
in the file stay as they are, and whatever loads the original loads the copy. Only the checksums of
the storages that changed are computed again. torch's `.data/serialization_id`, a fingerprint that
it writes and never checks, stays that of the original.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ssmspec.arrays import Array
from ssmspec.checkpoints.atomic import atomic_output
from ssmspec.checkpoints.dtypes import DTYPES, encode
from ssmspec.checkpoints.files import open_regular
from ssmspec.checkpoints.rewrite import copy_range
from ssmspec.checkpoints.torch.archive import TorchZipCheckpoint
from ssmspec.checkpoints.torch.checksums import CRC, checksums
from ssmspec.checkpoints.torch.tensors import Storage, StoredTensor
from ssmspec.errors import CheckpointError
from ssmspec.naming import printable

CHUNK = 1 << 22
"""Bytes patched at a time; a multiple of every element size, so that no element of a
storage is cut in two."""


@dataclass(frozen=True, eq=False)
class _Patch:
    """New elements of a storage.

    Attributes:
        name: of the tensor they belong to.
        tensor: where it is stored.
        places: (n,) ascending element numbers in the storage, seen as elements of its type.
        elements: (n,) what goes there, in the byte order of the file.
    """

    name: str
    tensor: StoredTensor
    places: Array
    elements: Array


def rewrite_torch(
    checkpoint: TorchZipCheckpoint,
    changes: Mapping[str, Array],
    output: Path,
    *,
    force: bool = False,
) -> None:
    """Copy a torch archive, changing some tensors in place, in constant memory.

    Args:
        checkpoint: the archive; it must not change meanwhile.
        changes: tensor name -> new values of its shape, float64 or complex128; they are rounded
            to the dtype it is stored in.
        output: where the copy appears, whole or not at all.
        force: replace an output that exists.

    Raises:
        CheckpointError: a tensor cannot be changed in place: its storage is deflated, its elements
            overlap one another, another tensor that is not changed alike lives in them, or its
            dtype cannot hold the values.
        UsageError: the output exists and `force` was not given, or it is the checkpoint.
    """
    patches = _patches(checkpoint, changes)
    source = checkpoint.members.file
    places = checksums(source)
    with (
        atomic_output(output, force=force, inputs=(source.path,)) as temporary,
        open_regular(source.path) as original,
        temporary.open("r+b") as copy,
    ):
        source.require_unchanged(original)
        copy_range(original, 0, source.size, copy)
        for storage, changed in patches.items():
            begin, size = _extent(checkpoint, storage)
            crc = CRC.pack(_apply(changed, copy, begin, size))
            checksum = places[checkpoint.member(storage)]
            for position in checksum.positions(source, begin + size):
                copy.seek(position)
                copy.write(crc)
        source.require_unchanged(original)


def _patches(
    checkpoint: TorchZipCheckpoint, changes: Mapping[str, Array]
) -> dict[Storage, list[_Patch]]:
    """What to change, by storage, after every reason not to was looked for."""
    found: dict[Storage, list[_Patch]] = {}
    for name, values in changes.items():
        info = checkpoint.info(name)
        if values.shape != info.shape:
            raise CheckpointError(
                f"{printable(name)} has shape {info.shape} and cannot be replaced by values of "
                f"shape {values.shape}"
            )
        tensor = checkpoint.stored[name]
        if tensor.size == 0:
            continue
        _extent(checkpoint, tensor.storage)  # refuses a deflated one
        patch = _patch(checkpoint, name, tensor, values)
        found.setdefault(tensor.storage, []).append(patch)
    for storage, patches in found.items():
        _require_agreement(checkpoint, storage, patches)
    return found


def _patch(
    checkpoint: TorchZipCheckpoint, name: str, tensor: StoredTensor, values: Array
) -> _Patch:
    if _overlaps(tensor):
        raise CheckpointError(
            f"{printable(name)} is an expanded or overlapping view (strides {tensor.stride} for "
            f"shape {tensor.shape}), so its elements cannot be changed one by one; write a "
            f".safetensors file"
        )
    if tensor.negated:
        values = -values
    if tensor.conjugated:
        values = np.conjugate(values)
    try:
        elements = encode(values, tensor.dtype)
    except CheckpointError as error:
        raise CheckpointError(f"{printable(name)}: {error}") from None
    places = _places(tensor).reshape(-1)
    order = np.argsort(places, kind="stable")
    storage_type = DTYPES[tensor.dtype].storage
    in_file = storage_type.newbyteorder(">") if checkpoint.big_endian else storage_type
    return _Patch(name, tensor, places[order], elements.reshape(-1)[order].astype(in_file))


def _axes(tensor: StoredTensor) -> list[tuple[int, int]]:
    """(stride, size) of the axes along which elements differ, the shortest stride first."""
    return sorted((s, n) for n, s in zip(tensor.shape, tensor.stride, strict=True) if n > 1)


def _overlaps(tensor: StoredTensor) -> bool:
    """Whether two elements may be one place: an axis steps less far than the finer axes reach."""
    reach = 0
    for stride, size in _axes(tensor):
        if stride <= reach:
            return True
        reach += (size - 1) * stride
    return False


def _places(tensor: StoredTensor) -> Array:
    """Element number in the storage of each element, of the tensor's shape."""
    places = np.full((), tensor.offset, dtype=np.int64)
    for size, stride in zip(tensor.shape, tensor.stride, strict=True):
        places = places[..., None] + stride * np.arange(size, dtype=np.int64)
    return places


def _require_agreement(
    checkpoint: TorchZipCheckpoint, storage: Storage, patches: Sequence[_Patch]
) -> None:
    """Whatever else lives where elements change must change alike: two names of one tensor may.

    Raises:
        CheckpointError: a tensor there is to stay, or to become something else.
    """
    changed = {patch.name: patch for patch in patches}
    stored = checkpoint.stored.items()
    names = [name for name, t in stored if t.storage.key == storage.key and t.size]
    extents = np.array([_byte_range(checkpoint.stored[name]) for name in names])
    for patch in patches:
        begin, end = _byte_range(patch.tensor)
        near = np.flatnonzero((extents[:, 0] < end) & (begin < extents[:, 1]))
        for name in (names[index] for index in near):
            other = checkpoint.stored[name]
            if name == patch.name or not _meet(patch, other):
                continue
            if name in changed and _same(patch, changed[name]):
                continue
            stays = "have other values" if name in changed else "stay as it is"
            raise CheckpointError(
                f"{printable(patch.name)} is stored in the same place as {printable(name)}, which "
                f"is to {stays}; write a .safetensors file, where each tensor has its own place"
            )


def _byte_range(tensor: StoredTensor) -> tuple[int, int]:
    """(first, last + 1) of the storage's bytes between which a tensor lies."""
    itemsize = DTYPES[tensor.dtype].itemsize
    return tensor.offset * itemsize, (tensor.offset + tensor.span) * itemsize


def _same(one: _Patch, other: _Patch) -> bool:
    return (
        np.array_equal(one.places, other.places)
        and one.elements.tobytes() == other.elements.tobytes()
    )


def _meet(patch: _Patch, tensor: StoredTensor) -> bool:
    """Whether a tensor has a byte among the elements that change, whatever its type and strides.

    A byte's position is taken apart by the tensor's strides, the longest first. Where a tensor's
    elements overlap that is not unique, and every byte between its ends counts as its own.
    """
    width = patch.elements.itemsize
    here = (patch.places[:, None] * width + np.arange(width)).reshape(-1)
    begin, end = _byte_range(tensor)
    here = here[(begin <= here) & (here < end)] - begin
    if _overlaps(tensor):
        return here.size > 0
    itemsize = DTYPES[tensor.dtype].itemsize
    for stride, size in reversed(_axes(tensor)):
        here = here[here // (stride * itemsize) < size] % (stride * itemsize)
    return bool((here < itemsize).any())


def _extent(checkpoint: TorchZipCheckpoint, storage: Storage) -> tuple[int, int]:
    """(position in the file, bytes) of a storage."""
    begin = checkpoint.position(storage)
    if begin is None:
        raise CheckpointError(
            f"the storage {printable(storage.key)} is packed with deflate, so nothing in it can "
            f"be changed in place; load the file with torch and save it again, or write a "
            f".safetensors file"
        )
    return begin, checkpoint.members.sizes[checkpoint.member(storage)]


def _apply(patches: Sequence[_Patch], copy: BinaryIO, begin: int, size: int) -> int:
    """Put new elements into a storage of the copy, and give its new CRC-32."""
    crc = 0
    buffer = np.empty(min(CHUNK, size), np.uint8)
    for start in range(0, size, CHUNK):
        chunk = buffer[: size - start]
        copy.seek(begin + start)
        copy.readinto(chunk.data)  # type: ignore[attr-defined]
        for patch in patches:
            itemsize = patch.elements.itemsize
            # Bytes behind the last whole element belong to none.
            elements = chunk[: chunk.size // itemsize * itemsize].view(patch.elements.dtype)
            first = start // itemsize
            low, high = np.searchsorted(patch.places, (first, first + elements.size))
            elements[patch.places[low:high] - first] = patch.elements[low:high]
        copy.seek(begin + start)
        copy.write(chunk.data)
        crc = zlib.crc32(chunk.data, crc)
    return crc
