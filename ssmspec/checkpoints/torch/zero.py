"""DeepSpeed's ZeRO-3: parameters cut into fragments over all ranks.

`zero_pp_rank_R_mp_rank_00_model_states.pt` states the shapes of all parameters in order
(`param_shapes`) and holds buffers and fragments of frozen parameters;
`[bf16_]zero_pp_rank_R_mp_rank_00_optim_states.pt` holds the rank's share of every parameter in
float32, one after the other in flat groups. A parameter of n elements takes ceil(n / ranks) of them
on each rank, padded at the end. Only the ranges of the tensors asked for are read.

Source: deepspeed/utils/zero_to_fp32.py, the tool that DeepSpeed puts beside every checkpoint.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import numpy as np

from ssmspec.arrays import Array
from ssmspec.checkpoints.base import Checkpoint, Container, TensorInfo, shaped
from ssmspec.checkpoints.torch.archive import TorchZipCheckpoint
from ssmspec.checkpoints.torch.machine import Items
from ssmspec.errors import CheckpointError
from ssmspec.naming import printable, shown

STATES = re.compile(r"(?:bf16_|fp16_)?zero_pp_rank_(\d+)_mp_rank_(\d+)_(model|optim)_states\.pt")
MAX_AXES = 32
FLAT = "optimizer_state_dict.fp32_flat_groups"
CONVERT = "run the zero_to_fp32.py that DeepSpeed puts beside it"


class Zero3Checkpoint(Checkpoint):
    """The parameters of a ZeRO-3 folder, in float32, and the buffers as they are."""

    container = "deepspeed-zero3"

    def __init__(self, path: Path) -> None:
        """Open every rank's two files.

        Raises:
            CheckpointError: a file is missing, tensor parallelism split the model too, or the
                fragments do not add up to the parameters.
        """
        super().__init__(str(path), 0)
        models, optimizers = _files(path)
        self._models = [TorchZipCheckpoint(file) for file in models]
        self._optimizers = [TorchZipCheckpoint(file) for file in optimizers]
        self.files = (*models, *optimizers)
        self.size = sum(one.size or 0 for one in (*self._models, *self._optimizers))
        self._starts = self._groups()
        self._begin: dict[str, int] = {}
        structure = self._models[0].structure()
        stated = structure.named() if isinstance(structure, Items) else {}
        self.tensors = {info.name: info for info in self._listed(stated)}
        self.metadata = self._models[0].metadata

    def close(self) -> None:
        """Close every rank's files."""
        for one in (*self._models, *self._optimizers):
            one.close()

    def _groups(self) -> list[int]:
        """Where each flat group begins in the row of all of them, which every rank has alike."""
        rows = []
        for rank in self._optimizers:
            sizes: list[int] = []
            while (info := rank.tensors.get(f"{FLAT}.{len(sizes)}")) is not None:
                if info.dtype != "float32" or len(info.shape) != 1:
                    raise self._unclear("its groups are not flat float32")
                sizes.append(info.size)
            rows.append(sizes)
        if not rows[0] or any(row != rows[0] for row in rows):
            raise self._unclear("its ranks hold no flat groups, or different ones")
        return [0, *accumulate(rows[0])]

    def _listed(self, stated: dict[str, object]) -> Iterator[TensorInfo]:
        """Buffers, then frozen parameters, then the others, which must fill the groups."""
        first = self._models[0]
        buffers = stated.get("buffer_names")
        for name in buffers if isinstance(buffers, list) else ():
            if f"module.{name}" in first.tensors:
                info = first.tensors[f"module.{name}"]
                yield TensorInfo(str(name), info.dtype, info.shape)
        frozen = stated.get("frozen_param_shapes")
        for name, shape in _shapes([frozen]):
            infos = [m.tensors.get(f"frozen_param_fragments.{name}") for m in self._models]
            sizes = {None if info is None else (info.dtype, info.size) for info in infos}
            share = math.ceil(math.prod(shape) / len(infos))
            if infos[0] is None or sizes != {(infos[0].dtype, share)}:
                raise self._unclear(f"the fragments of {printable(name)} are not all there")
            yield TensorInfo(name, infos[0].dtype, shape)
        position = 0
        for name, shape in _shapes(stated.get("param_shapes")):
            self._begin[name] = position
            position += math.ceil(math.prod(shape) / len(self._optimizers))
            yield TensorInfo(name, "float32", shape)
        if not self._begin or position != self._starts[-1]:
            raise self._unclear(
                f"its parameters take {position:,} elements a rank, its fragments have "
                f"{self._starts[-1]:,}"
            )

    def _load(self, info: TensorInfo) -> Array:
        if info.name in self._begin:
            pieces = [self._share(rank, info) for rank in self._optimizers]
        elif f"frozen_param_fragments.{info.name}" in self._models[0].tensors:
            name = f"frozen_param_fragments.{info.name}"
            pieces = [rank.load(name).reshape(-1) for rank in self._models]
        else:
            return self._models[0].load(f"module.{info.name}")
        return shaped(np.concatenate(pieces)[: info.size], info)

    def _share(self, rank: TorchZipCheckpoint, info: TensorInfo) -> Array:
        """One rank's elements of a parameter, which may reach over several groups."""
        begin = self._begin[info.name]
        end = begin + math.ceil(info.size / len(self._optimizers))
        found = [np.empty(0, "<f4")]
        for number, (low, high) in enumerate(zip(self._starts, self._starts[1:], strict=False)):
            if begin < high and low < end:
                part = max(begin, low) - low, min(end, high) - low
                found.append(rank.load_range(f"{FLAT}.{number}", *part))
        return np.concatenate(found)

    def _unclear(self, problem: str) -> CheckpointError:
        return CheckpointError(
            f"{shown(self.path)} is a ZeRO-3 checkpoint, but {problem}; {CONVERT}"
        )


def _files(folder: Path) -> tuple[list[Path], list[Path]]:
    """Every rank's model states and optimizer states, in order."""
    found: dict[str, dict[int, Path]] = {"model": {}, "optim": {}}
    for entry in folder.iterdir():
        match = STATES.fullmatch(entry.name)
        if match is None:
            continue
        if int(match[2]):
            raise CheckpointError(
                f"{shown(folder)} was split by tensor parallelism and by ZeRO-3; {CONVERT}, or its "
                f"ds_to_universal.py"
            )
        found[match[3]][int(match[1])] = entry
    count = len(found["model"])
    for kind, files in found.items():
        if sorted(files) != list(range(count)):
            raise CheckpointError(
                f"{shown(folder)} is a ZeRO-3 checkpoint of {count} ranks, but its {kind} states "
                f"are not all there; copy all of zero_pp_rank_*"
            )
    return tuple([files[rank] for rank in range(count)] for files in found.values())  # type: ignore[return-value]


def _shapes(groups: object) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of a list of dicts of them.

    Raises:
        CheckpointError: a shape is none, or a name is there twice.
    """
    seen: set[str] = set()
    for group in groups if isinstance(groups, list) and not isinstance(groups, Items) else ():
        for name, shape in group.pairs() if isinstance(group, Items) else ():
            if not isinstance(name, str) or name in seen:
                raise CheckpointError("a parameter has no name, or one that is there twice")
            if (
                not isinstance(shape, tuple)
                or len(shape) > MAX_AXES
                or not all(type(length) is int and 0 <= length < 1 << 48 for length in shape)
            ):
                raise CheckpointError(f"the shape stated for {printable(name)} is none")
            seen.add(name)
            yield name, shape


def _recognizes_folder(names: frozenset[str]) -> bool:
    return any(match[3] == "model" for name in names if (match := STATES.fullmatch(name)))


CONTAINER = Container(
    id="deepspeed-zero3",
    title="DeepSpeed ZeRO-3 (a folder)",
    suffixes=(),
    recognizes=lambda _path, _head: False,
    open=Zero3Checkpoint,
    recognizes_folder=_recognizes_folder,
)
