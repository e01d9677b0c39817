"""Checkpoints: one container format a file, opened by what a file holds, not by its name."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ssmspec.checkpoints import directory, foreign, gguf, npz, remote, safetensors_file, sharded
from ssmspec.checkpoints.base import Checkpoint, Container, TensorInfo
from ssmspec.checkpoints.files import is_there, read_head, status, unreadable
from ssmspec.checkpoints.memory import MemoryCheckpoint
from ssmspec.checkpoints.msgpack import file as msgpack_file
from ssmspec.checkpoints.torch import archive as torch_zip
from ssmspec.checkpoints.torch import distributed, ranks, zero
from ssmspec.errors import CheckpointError
from ssmspec.naming import shown
from ssmspec.registry import Registry

__all__ = ["CONTAINERS", "Checkpoint", "Container", "TensorInfo", "open_checkpoint"]


def open_checkpoint(source: Any, *, offline: bool = False) -> Checkpoint:
    """Open a checkpoint; use it as a context manager, or close it.

    Args:
        source: the path of a file, of an index of shards or of a folder; or a mapping of names to
            arrays (nested mappings allowed); or an object with `state_dict()`, such as a module.
            Addresses are paths, too: `hf://owner/name[@revision][/file]`, `https://`, `s3://`, ...
        offline: reach for nothing that is not on this machine.

    Returns:
        Names, dtypes and shapes of all tensors; each is read when it is asked for.

    Raises:
        CheckpointError: it cannot be found or read; the message says what was found instead.
    """
    if isinstance(source, str | bytes | os.PathLike):
        given = os.fsdecode(source)
        url = remote.url_of(given)
        return _open_path(given) if url is None else _open_remote(url, offline=offline)
    if isinstance(source, Mapping):
        return MemoryCheckpoint(source)
    if callable(getattr(source, "state_dict", None)) and not isinstance(source, type):
        return MemoryCheckpoint(source.state_dict(), f"a {type(source).__name__} in memory")
    raise CheckpointError(
        f"a checkpoint is a path, a mapping of names to arrays or an object with state_dict(), "
        f"not {type(source).__name__}"
    )


PROGRESS: Callable[[str, int, int, bool], None] | None = None
"""Called, for remote sources, with (url, bytes fetched, bytes in all, whether it is the end)."""


def _open_remote(url: str, *, offline: bool) -> Checkpoint:
    path, mirror = remote.place(url, offline=offline, progress=PROGRESS)
    try:
        checkpoint = _open_path(str(path))
    except BaseException:
        if mirror is not None:
            mirror.close()
        raise
    checkpoint.path = url
    if mirror is not None:
        checkpoint.files, checkpoint.is_remote = (), True
        checkpoint.notes += (
            "only headers and the parameters that were measured were fetched; all other tensors "
            "were not scanned",
        )
        checkpoint.afterwards = mirror.close
    return checkpoint


def _open_path(given: str) -> Checkpoint:
    if not given:
        raise CheckpointError("the path of the checkpoint is empty")
    path, note = Path(given), ""
    if not is_there(path) and (prefix := foreign.explain_prefix(path)):
        raise CheckpointError(prefix)
    if not is_there(path) and (hint := remote.hint_of(given)):
        raise CheckpointError(f"{shown(path)} does not exist{hint}")
    if stat.S_ISDIR(status(path).st_mode):
        path, note = directory.choose_file(path, _is_checkpoint, _is_folder)
    if adapter := foreign.explain_adapter(path):
        raise CheckpointError(adapter)
    checkpoint = _container_of(path).open(path)
    checkpoint.path = given
    checkpoint.files = checkpoint.files or (path,)
    checkpoint.config, config_note = directory.config_beside(path)
    rank_note = ranks.single_rank(path, checkpoint.metadata)
    checkpoint.notes += tuple(text for text in (note, rank_note, config_note) if text)
    return checkpoint


def _container_of(path: Path) -> Container:
    """The container that recognizes a file.

    Raises:
        CheckpointError: none does; the message says what the file is, as far as that can be told.
    """
    if stat.S_ISDIR(status(path).st_mode):
        names = frozenset(entry.name for entry in path.iterdir())
        for container in CONTAINERS.values():
            if container.recognizes_folder(names):
                return container
    head = read_head(path)
    try:
        if status(path).st_size:
            for container in CONTAINERS.values():
                if container.recognizes(path, head):
                    return container
        foreigner = "" if torch_zip.legacy_problem(head) else foreign.explain(path, head)
    except OSError as error:  # files of /proc say they are regular, and do not seek
        raise unreadable(path, error) from None
    formats = ", ".join(container.title for container in CONTAINERS.values())
    if legacy := torch_zip.legacy_problem(head):
        raise CheckpointError(f"{shown(path)} cannot be read: {legacy}")
    raise CheckpointError(
        foreigner or f"{shown(path)} is in no format that can be read ({formats})"
    )


def _is_checkpoint(path: Path) -> bool:
    try:
        _container_of(path)
    except CheckpointError:
        return False
    return True


def _is_folder(names: frozenset[str]) -> bool:
    return any(container.recognizes_folder(names) for container in CONTAINERS.values())


def _open_shard(path: Path) -> Checkpoint:
    container = _container_of(path)
    if container.id == _SHARDED.id:
        raise CheckpointError(f"{shown(path)} is an index, where a shard with tensors is expected")
    return container.open(path)


_SHARDED = Container(
    id="sharded",
    title="index of shards (*.index.json)",
    suffixes=(directory.INDEX_SUFFIX,),
    recognizes=sharded.looks_like_index,
    open=partial(sharded.ShardedCheckpoint, open_shard=_open_shard),
)

CONTAINERS: Registry[Container] = Registry(
    "container",
    "ssmspec.containers",
    (
        safetensors_file.CONTAINER,
        npz.CONTAINER,
        distributed.CONTAINER,
        torch_zip.CONTAINER,
        ranks.CONTAINER,
        zero.CONTAINER,
        _SHARDED,
        msgpack_file.CONTAINER,
        gguf.CONTAINER,
    ),
    key=lambda container: container.id,
)
