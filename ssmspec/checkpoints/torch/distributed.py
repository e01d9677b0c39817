"""torch.distributed.checkpoint: a folder of `.metadata` and `__R_I.distcp` files.

`.metadata` is a pickle: of every tensor its type, its shape and the boxes ("chunks") that ranks
wrote, and of every chunk the file, the offset and the length of what one `torch.save` made of it.
Tensors sharded by FSDP, by tensor parallelism or not at all look alike here. Opening reads the
pickle, without torch and inertly; of the other files only the chunks of the tensors asked for are
read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from ssmspec.arrays import Array
from ssmspec.checkpoints.base import Checkpoint, Container, TensorInfo
from ssmspec.checkpoints.dtypes import DTYPES
from ssmspec.checkpoints.files import StableFile
from ssmspec.checkpoints.sharded import path_below, require_all
from ssmspec.checkpoints.torch.archive import TorchZipCheckpoint
from ssmspec.checkpoints.torch.machine import Global, Items, Stub
from ssmspec.checkpoints.torch.pickles import interpret
from ssmspec.checkpoints.torch.tensors import CALLS, storage_from_id
from ssmspec.errors import CheckpointError, UnsafeCheckpointError
from ssmspec.naming import printable, shown

METADATA = ".metadata"
SUFFIX = ".distcp"

MAX_METADATA_BYTES = 256 * 2**20
"""Largest `.metadata` that is read: some 500 bytes a chunk, so half a million chunks."""

MAX_AXES = 32

Box = tuple[tuple[int, ...], tuple[int, ...]]
"""Offsets and sizes of a chunk, an entry each for every axis."""


@dataclass(frozen=True)
class _Place:
    """Where one chunk is: bytes [begin, end) of a file of the folder."""

    file: str
    begin: int
    end: int


class DistributedCheckpoint(Checkpoint):
    """The tensors of one folder that torch.distributed.checkpoint wrote.

    Objects that are no tensors (steps, learning rates) are pickles of their own and are not read.
    """

    container = "torch-distributed"

    def __init__(self, path: Path) -> None:
        """Read the folder's `.metadata`.

        Raises:
            CheckpointError: a file is absent or cut off, or the chunks of a tensor do not add up.
            UnsafeCheckpointError: the pickle asks to run code, chunks overlap, or a file lies
                outside the folder.
        """
        if path.name != METADATA:
            raise CheckpointError(
                f"{shown(path)} is one part of a torch distributed checkpoint; give its folder"
            )
        file = StableFile.seen(path)
        if file.size > MAX_METADATA_BYTES:
            raise UnsafeCheckpointError(
                f"{shown(path)} is larger than {MAX_METADATA_BYTES:,} bytes"
            )
        try:
            root = interpret(file.read(0, file.size).tobytes(), CALLS, storage_from_id).root
            stated, places = _parsed(root)
        except CheckpointError as error:
            raise type(error)(f"{shown(path)} cannot be read: {error}") from None
        super().__init__(str(path.parent), file.size)
        paths = {name: path_below(path, name) for name in {p.file for p in places.values()}}
        require_all(path, paths)
        self._shards = {name: StableFile.seen(below) for name, below in paths.items()}
        self.size = file.size + sum(shard.size for shard in self._shards.values())
        self.files = (path, *paths.values())
        self._chunks: dict[str, dict[Box, _Place]] = {}
        unreadable: dict[str, str] = {}
        for info, boxes in stated:
            if info.dtype not in DTYPES:
                unreadable[info.name] = info.dtype
                continue
            self._chunks[info.name] = {box: _place(info, box, places) for box in boxes}
        self.tensors = {info.name: info for info, _ in stated if info.name in self._chunks}
        self._check_places()
        if unreadable:
            self.notes = (
                f"passed over {len(unreadable)} tensors of kinds that cannot be read "
                f"({', '.join(sorted(map(printable, set(unreadable.values()))))})",
            )

    def _check_places(self) -> None:
        """Every chunk lies in its file and has bytes of its own."""
        held: dict[str, list[tuple[int, int, str]]] = {name: [] for name in self._shards}
        for name, chunks in self._chunks.items():
            itemsize = DTYPES[self.tensors[name].dtype].itemsize
            for (_, sizes), place in chunks.items():
                shard = self._shards[place.file]
                if not 0 <= place.begin <= place.end <= shard.size:
                    raise CheckpointError(
                        f"{shown(shard.path)} ends before byte {place.end:,}, where a part of "
                        f"{printable(name)} should end; copy it again"
                    )
                if place.end - place.begin < math.prod(sizes) * itemsize:
                    raise UnsafeCheckpointError(
                        f"{shown(self.path)}: a part of {printable(name)} claims more elements "
                        f"than its bytes hold"
                    )
                held[place.file].append((place.begin, place.end, name))
        for ranges in held.values():
            for (_, end, name), (begin, _, _) in pairwise(sorted(ranges)):
                if begin < end:
                    raise UnsafeCheckpointError(
                        f"{shown(self.path)}: a part of {printable(name)} shares its bytes with "
                        f"another one"
                    )

    def _load(self, info: TensorInfo) -> Array:
        whole = np.empty(info.shape, DTYPES[info.dtype].storage)
        seen = np.zeros(info.shape, bool)
        for (offsets, sizes), place in self._chunks[info.name].items():
            box = tuple(slice(o, o + n) for o, n in zip(offsets, sizes, strict=True))
            if seen[box].any():
                raise _malformed(f"two parts of {printable(info.name)} overlap")
            seen[box] = True
            whole[box] = self._chunk(info, sizes, place)
        if not seen.all():
            raise _malformed(f"parts of {printable(info.name)} are missing")
        return whole

    def _chunk(self, info: TensorInfo, sizes: tuple[int, ...], place: _Place) -> Array:
        shard = self._shards[place.file]
        with TorchZipCheckpoint(shard.window(place.begin, place.end)) as saved:
            found = list(saved.tensors.values())
            if [(one.dtype, one.shape) for one in found] != [(info.dtype, sizes)]:
                raise CheckpointError(
                    f"{shown(shard.path)}: what is saved at byte {place.begin:,} is not the part "
                    f"of {printable(info.name)} that .metadata says; copy the folder again"
                )
            return saved.load(found[0].name)


def _parsed(root: object) -> tuple[list[tuple[TensorInfo, list[Box]]], dict[object, _Place]]:
    """Tensors with their boxes, and the place of each chunk by (tensor's name, offsets)."""
    table = _attributes(root, "Metadata")
    tensors, storage = table.get("state_dict_metadata"), table.get("storage_data")
    if not isinstance(tensors, Items) or not isinstance(storage, Items):
        raise _malformed("it lists no tensors or not where they are")
    stated: dict[str, tuple[TensorInfo, list[Box]]] = {}
    for name, entry in tensors.pairs():
        if isinstance(entry, Stub) and _class(entry) == "TensorStorageMetadata":
            if not isinstance(name, str) or name in stated:
                raise _malformed("a tensor has no name or one that is there twice")
            stated[name] = _tensor(name, entry)
    return list(stated.values()), dict(_places(storage))


def _tensor(name: str, entry: Stub) -> tuple[TensorInfo, list[Box]]:
    table = _attributes(entry, "TensorStorageMetadata")
    shape, chunks = _lengths(table.get("size")), table.get("chunks")
    if not isinstance(chunks, list) or isinstance(chunks, Items):
        raise _malformed(f"{printable(name)} has no list of parts")
    boxes = []
    for chunk in chunks:
        part = _attributes(chunk, "ChunkStorageMetadata")
        offsets, sizes = _lengths(part.get("offsets")), _lengths(part.get("sizes"))
        inside = len(offsets) == len(sizes) == len(shape) and all(
            o + n <= length for o, n, length in zip(offsets, sizes, shape, strict=True)
        )
        if not inside:
            raise _malformed(f"a part of {printable(name)} lies outside its shape {shape[:8]}")
        boxes.append((offsets, sizes))
    held = sum(math.prod(sizes) for _, sizes in boxes)
    if len(set(boxes)) != len(boxes) or held != math.prod(shape):
        raise _malformed(
            f"the parts of {printable(name)} hold {held:,} elements of {math.prod(shape):,}"
        )
    return TensorInfo(name, _dtype(table.get("properties")), shape), boxes


def _places(storage: Items) -> Iterator[tuple[object, _Place]]:
    for key, value in storage.pairs():
        index, info = _attributes(key, "MetadataIndex"), _attributes(value, "_StorageInfo")
        name, offsets = index.get("fqn"), index.get("offset")
        if offsets is None:
            continue  # an object that is no tensor
        if info.get("transform_descriptors"):
            raise CheckpointError(
                "its parts were packed by an extension; load it with torch and save it without"
            )
        file, begin, length = (info.get(k) for k in ("relative_path", "offset", "length"))
        if not isinstance(name, str) or not isinstance(file, str):
            raise _malformed("the place of a part has no name")
        (begin, length) = _lengths((begin, length))
        yield (name, _lengths(offsets)), _Place(file, begin, begin + length)


def _place(info: TensorInfo, box: Box, places: Mapping[object, _Place]) -> _Place:
    try:
        return places[info.name, box[0]]
    except KeyError:
        raise _malformed(f"a part of {printable(info.name)} is in no file") from None


def _attributes(value: object, kind: str) -> dict[str, object]:
    """The attributes of an instance of one of torch's metadata classes."""
    if not (isinstance(value, Stub) and _class(value) == kind and isinstance(value.state, Items)):
        raise _malformed(f"a {kind} is missing")
    return value.state.named()


def _class(value: Stub) -> str:
    return value.callee.name if isinstance(value.callee, Global) else ""


def _dtype(properties: object) -> str:
    """The element type: the first of the properties, which are a tuple or attributes."""
    state = properties.state if isinstance(properties, Stub) else None
    match state:
        case Items():
            first = dict(_attributes(properties, "TensorProperties")).get("dtype")
        case (first, *_):
            pass
        case _:
            first = None
    if not isinstance(first, Global):
        raise _malformed("a tensor has no type")
    return first.name


def _lengths(values: object) -> tuple[int, ...]:
    if isinstance(values, tuple) and len(values) <= MAX_AXES:
        numbers = tuple(value for value in values if type(value) is int and 0 <= value < 1 << 62)
        if len(numbers) == len(values):
            return numbers
    raise _malformed("a shape or a place is no list of whole numbers")


def _malformed(problem: str) -> CheckpointError:
    return CheckpointError(f"{problem}, which torch.distributed.checkpoint never writes")


def _recognizes(path: Path, head: bytes) -> bool:
    return path.suffix == SUFFIX or (path.name == METADATA and head.startswith(b"\x80"))


CONTAINER = Container(
    id="torch-distributed",
    title="torch distributed checkpoint (a folder)",
    suffixes=(SUFFIX,),
    recognizes=_recognizes,
    open=DistributedCheckpoint,
)
