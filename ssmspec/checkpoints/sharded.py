"""Sharded checkpoints: a JSON index that says which file beside it holds which tensor.

Hugging Face writes `model.safetensors.index.json` and `pytorch_model.bin.index.json`. The index is
the authority on what belongs to the model: tensors of a shard that it does not list are passed
over, and said so. Opening reads every shard's header, once.

An index can only name files below its own folder, by plain relative names. Symbolic links are
followed: an index cannot make one, and the Hugging Face cache stores every file behind one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from ssmspec.arrays import Array
from ssmspec.checkpoints.base import Checkpoint, TensorInfo
from ssmspec.checkpoints.files import is_there, read_json
from ssmspec.checkpoints.safetensors_file import SafetensorsCheckpoint
from ssmspec.errors import CheckpointError, UnsafeCheckpointError
from ssmspec.naming import printable, shown

MAX_INDEX_BYTES = 64 * 2**20
"""Largest index that is read: some 500,000 tensors."""


class ShardedCheckpoint(Checkpoint):
    """The tensors of several files under one index.

    Args:
        path: the index.
        open_shard: opens one shard's file.

    Attributes:
        index: the index file.
        shards: name of a shard as in the index -> its file, in order of first mention.
        placement: tensor name -> name of the shard that holds it.
        is_safetensors: whether every shard is a safetensors file.
    """

    container = "sharded"

    def __init__(self, path: Path, open_shard: Callable[[Path], Checkpoint]) -> None:
        self.index = path
        self._open_shard = open_shard
        self._opened: dict[str, Checkpoint] = {}
        document = read_json(path, MAX_INDEX_BYTES)
        self.placement = _placement(document, path)
        self.shards: Mapping[str, Path] = {
            name: path_below(path, name) for name in dict.fromkeys(self.placement.values())
        }
        require_all(path, self.shards)
        super().__init__(str(path), size=0)
        self._wanted = _by_shard(self.placement)
        self.files = (path, *self.shards.values())
        self.metadata = _text_metadata(document)
        self.is_safetensors = True
        try:
            self.tensors = self._list_tensors()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the shards that are open."""
        while self._opened:
            self._opened.popitem()[1].close()

    def _list_tensors(self) -> dict[str, TensorInfo]:
        listed: dict[str, Mapping[str, TensorInfo]] = {}
        extra = 0
        for name in self.shards:
            shard = self._shard(name)
            self.size = (self.size or 0) + (shard.size or 0)
            absent = [tensor for tensor in self._wanted[name] if tensor not in shard.tensors]
            if absent:
                raise CheckpointError(
                    f"{shown(self.index)} says that {shown(self.shards[name].name)} holds "
                    f"{printable(absent[0])}, but it does not; download both again"
                )
            self.is_safetensors &= isinstance(shard, SafetensorsCheckpoint)
            extra += len(shard.tensors) - len(self._wanted[name])
            listed[name] = {tensor: shard.tensors[tensor] for tensor in self._wanted[name]}
        if extra:
            self.notes = (f"{extra} tensors in the shards are not in the index: passed over",)
        return {tensor: listed[name][tensor] for tensor, name in self.placement.items()}

    def _load(self, info: TensorInfo) -> Array:
        shard = self._shard(self.placement[info.name])
        if shard.tensors.get(info.name) != info:
            raise _changed(shard)
        return shard.load(info.name)

    def require_unchanged(self, name: str, shard: Checkpoint) -> None:
        """Check that a shard, opened again, still holds the tensors that were listed.

        Raises:
            CheckpointError: it does not.
        """
        if any(shard.tensors.get(tensor) != self.tensors[tensor] for tensor in self._wanted[name]):
            raise _changed(shard)

    def _shard(self, name: str) -> Checkpoint:
        if name not in self._opened:
            self._opened[name] = self._open_shard(self.shards[name])
        return self._opened[name]


def _changed(shard: Checkpoint) -> CheckpointError:
    return CheckpointError(f"{shown(shard.path)} changed while it was being read; try again")


def looks_like_index(path: Path, head: bytes) -> bool:
    """Whether a file is a JSON object: no tensor container begins like a text."""
    del path
    return head.lstrip().startswith(b"{") and b"\0" not in head


def _placement(document: Any, path: Path) -> dict[str, str]:
    placement = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(placement, dict):
        raise CheckpointError(
            f"{shown(path)} is JSON without a weight_map, so it is no index of shards; "
            f"give the checkpoint or its folder"
        )
    if not placement:
        raise CheckpointError(f"{shown(path)} is an index that lists no tensors")
    if not all(isinstance(shard, str) for shard in placement.values()):
        tensor = next(name for name, shard in placement.items() if not isinstance(shard, str))
        raise CheckpointError(
            f"{shown(path)}: the weight_map names no file for {printable(tensor)}; "
            f"download it again"
        )
    return placement


def path_below(index: Path, name: str) -> Path:
    """The file that an index names, below the index's own folder.

    Raises:
        UnsafeCheckpointError: the name would lead out of the index's folder on some system.
    """
    windows, posix = PureWindowsPath(name), PurePosixPath(name)
    leads_out = windows.anchor or posix.anchor or ".." in windows.parts or ".." in posix.parts
    if leads_out or name != posix.as_posix() or "\0" in name or not posix.parts:
        raise UnsafeCheckpointError(
            f"{shown(index)} names the shard {printable(name[:200])!r}, which is not a plain name "
            f"below its own folder; it was not opened"
        )
    return index.parent / name


def require_all(index: Path, shards: Mapping[str, Path]) -> None:
    """Check that every file an index names is there.

    Raises:
        CheckpointError: one is not.
    """
    missing = [name for name, path in shards.items() if not is_there(path)]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise CheckpointError(
            f"{shown(index)} needs the shard {printable(missing[0][:200])}{more}, which is not "
            f"beside it; download the missing files into that folder"
        )


def _text_metadata(document: Mapping[str, Any]) -> dict[str, str]:
    metadata = document.get("metadata")
    if not isinstance(metadata, dict):
        return {}
    return {
        name: str(value) for name, value in metadata.items() if isinstance(value, str | int | float)
    }


def _by_shard(placement: Mapping[str, str]) -> dict[str, list[str]]:
    wanted: dict[str, list[str]] = {}
    for tensor, shard in placement.items():
        wanted.setdefault(shard, []).append(tensor)
    return wanted
