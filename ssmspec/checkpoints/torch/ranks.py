"""Ranks of a model that tensor parallelism split: a folder of `mp_rank_*`.

Megatron writes `mp_rank_TT/model_optim_rng.pt` (with pipeline stages `mp_rank_TT_PPP/`), DeepSpeed
`mp_rank_TT_model_states.pt`. Nothing in the files says along which axis a tensor was split; whoever
knows the model does, and joins them (`Joined`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from ssmspec.arrays import Array
from ssmspec.checkpoints.base import Checkpoint, Container, TensorInfo
from ssmspec.checkpoints.files import is_there
from ssmspec.checkpoints.torch.archive import TorchZipCheckpoint
from ssmspec.errors import CheckpointError
from ssmspec.naming import printable, shown

RANK = re.compile(r"mp_rank_(\d{2,4})(?:_(\d{3,4}))?(_model_states\.pt)?")
"""Tensor-parallel rank, pipeline stage, and whether it is DeepSpeed's file or Megatron's folder."""

FILES = ("model_optim_rng.pt", "model_rng.pt")
"""Megatron's file in the folder of a rank."""

CONVERT = (
    "convert it with the training framework (Megatron: tools/checkpoint/convert.py or "
    "--ckpt-convert-format torch_dist; DeepSpeed: ds_to_universal.py or zero_to_fp32.py)"
)


class RanksCheckpoint(Checkpoint):
    """The ranks of a folder; its tensors are the first rank's until they are joined."""

    container = "torch-ranks"

    def __init__(self, path: Path) -> None:
        """Open every rank.

        Raises:
            CheckpointError: a rank is missing or cannot be read, or there are pipeline stages,
                whose layers are numbered anew.
        """
        super().__init__(str(path), 0)
        files = _files(path)
        self.ranks = tuple(TorchZipCheckpoint(file) for file in files)
        self.size = sum(rank.size or 0 for rank in self.ranks)
        self.files = tuple(files)
        self.tensors = self.ranks[0].tensors
        self.metadata = self.ranks[0].metadata
        self.notes = self.ranks[0].notes

    def close(self) -> None:
        """Close every rank."""
        for rank in self.ranks:
            rank.close()

    def _load(self, info: TensorInfo) -> Array:
        return self.ranks[0].load(info.name)


class Joined(Checkpoint):
    """A model out of its ranks.

    Args:
        split: the ranks.
        axes: end of a tensor's name -> the axis along which it was split, in the order of ranks.

    Every other tensor is listed with the shape of the first rank's, and can be read as a whole only
    where all ranks hold the same numbers; `parts` gives what each holds.

    Raises:
        CheckpointError: ranks differ in the tensors they hold.
    """

    def __init__(self, split: Checkpoint, axes: Mapping[str, int]) -> None:
        super().__init__(split.path, split.size)
        self.container, self.files, self.config = split.container, split.files, split.config
        self.metadata = split.metadata
        self.is_remote = split.is_remote
        self._ranks = split.ranks
        self._axes = {
            name: axis for name in split.tensors if (axis := _axis(name, axes)) is not None
        }
        self.tensors = {
            name: self._whole(info) if name in self._axes else info
            for name, info in split.tensors.items()
        }
        count = len(self._ranks)
        self.notes = (
            *split.notes,
            f"the {count} ranks of {shown(split.path)} were joined along the axes that the "
            f"family's parameters are split along",
        )

    def _whole(self, first: TensorInfo) -> TensorInfo:
        axis, length = self._axes[first.name], 0
        for number, rank in enumerate(self._ranks):
            info = rank.tensors.get(first.name)
            fits = info is not None and info.dtype == first.dtype
            if info is None or not fits or not _alike(info.shape, first.shape, axis):
                raise CheckpointError(
                    f"rank {number} of {shown(self.path)} holds no part of {printable(first.name)} "
                    f"that fits rank 0's; {CONVERT}"
                )
            length += info.shape[axis]
        shape = (*first.shape[:axis], length, *first.shape[axis + 1 :])
        return replace(first, shape=shape)

    def _load(self, info: TensorInfo) -> Array:
        parts = [rank.load(info.name) for rank in self._ranks if info.name in rank.tensors]
        if info.name in self._axes:
            return np.concatenate(parts, axis=self._axes[info.name])
        if len(parts) < len(self._ranks) or any(
            part.tobytes() != parts[0].tobytes() for part in parts[1:]
        ):
            raise CheckpointError(
                f"{printable(info.name)} was split over {len(self._ranks)} ranks, and along which "
                f"axis is not known; {CONVERT}"
            )
        return parts[0]

    def parts(self, name: str) -> Iterator[tuple[TensorInfo, Array]]:
        """A tensor, or what each rank holds of it where the axis of the split is not known."""
        try:
            whole = self.load(name)
        except CheckpointError:
            for number, rank in enumerate(self._ranks):
                if name in rank.tensors:
                    yield replace(rank.info(name), name=f"{name} of rank {number}"), rank.load(name)
        else:
            yield self.info(name), whole


def _axis(name: str, axes: Mapping[str, int]) -> int | None:
    for end, axis in axes.items():
        if name == end or name.endswith(f".{end}"):
            return axis
    return None


def _alike(shape: tuple[int, ...], first: tuple[int, ...], axis: int) -> bool:
    """Whether two shapes differ at most in the length of one axis, which they have."""
    return (
        len(shape) == len(first) > axis
        and shape[:axis] == first[:axis]
        and shape[axis + 1 :] == first[axis + 1 :]
    )


def _files(folder: Path) -> list[Path]:
    """The file of every rank, in order."""
    found = {
        entry.name: match for entry in folder.iterdir() if (match := RANK.fullmatch(entry.name))
    }
    stages = {match[2] for match in found.values()}
    if len(stages) > 1:
        raise CheckpointError(
            f"{shown(folder)} holds {len(stages)} pipeline stages, each of which numbers its "
            f"layers anew, so they cannot be told apart; {CONVERT}"
        )
    ranks = {int(match[1]): folder / name for name, match in sorted(found.items())}
    missing = sorted(set(range(len(ranks))) - set(ranks))
    if missing:
        raise CheckpointError(
            f"{shown(folder)} holds {len(ranks)} ranks, but not rank {missing[0]}; copy all of them"
        )
    return [_file(ranks[rank]) for rank in range(len(ranks))]


def _file(rank: Path) -> Path:
    if rank.suffix:
        return rank
    for name in FILES:
        if is_there(rank / name):
            return rank / name
    raise CheckpointError(
        f"{shown(rank)} holds no {FILES[0]}; if the run wrote its distributed format, give the "
        f"folder of its .metadata"
    )


def single_rank(path: Path, metadata: Mapping[str, str]) -> str:
    """A note about a file that is one rank of several, or "".

    Args:
        path: the file that was opened.
        metadata: its plain values, among which Megatron and DeepSpeed keep the number of ranks.
    """
    own = path.name if RANK.fullmatch(path.name) else path.parent.name
    match = RANK.fullmatch(own)
    if match is None:
        return ""
    folder = path.parent if own == path.name else path.parent.parent
    counts = [
        int(metadata[key])
        for key in ("args.tensor_model_parallel_size", "mp_world_size")
        if metadata.get(key, "").isdecimal()
    ]
    try:
        siblings = {m[1] for entry in folder.iterdir() if (m := RANK.fullmatch(entry.name))}
    except OSError:
        siblings = set()
    count = max([len(siblings), *counts])
    if count < 2:
        return ""
    share = "half" if count == 2 else f"1/{count}"
    return (
        f"this is rank {int(match[1])} of {count}, {share} of the heads of every layer; give the "
        f"folder {shown(folder)} to read all of them"
    )


def _recognizes_folder(names: frozenset[str]) -> bool:
    return sum(RANK.fullmatch(name) is not None for name in names) > 1


CONTAINER = Container(
    id="torch-ranks",
    title="tensor-parallel ranks of Megatron or DeepSpeed (a folder)",
    suffixes=(),
    recognizes=lambda _path, _head: False,
    open=RanksCheckpoint,
    recognizes_folder=_recognizes_folder,
)
