"""What lies in the folder of a run, and reading it back. Torch is needed for weights only.

====================== =====================================================================
`config.json`          every setting, and what the data and the scheme resolved them to
`initial.safetensors`  the model before its first step
`model.safetensors`    the model as it was when the run last saved
`best.safetensors`     the model that did best on the validation data
`metrics.csv`          loss and metric by step; seconds in a column of their own
`spectrum.csv`         what the monitor measured of the poles
`trajectory.npz`       the paths of the poles
`resume.pt`            everything that continuing needs, weights included
`snapshots/`           weights by step, where they were asked for
====================== =====================================================================

Each is written whole or not at all, and `resume.pt` last: it alone decides where a run continues,
and the others are made again from there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssmspec.checkpoints import Checkpoint, open_checkpoint
from ssmspec.checkpoints.atomic import atomic_output
from ssmspec.checkpoints.files import read_json
from ssmspec.checkpoints.rewrite import rewrite
from ssmspec.errors import CheckpointError, UsageError
from ssmspec.families.catalog import Catalog
from ssmspec.families.find import find_layers
from ssmspec.naming import printable, shown
from ssmspec.reading import Reading
from ssmspec.results import trajectory
from ssmspec.training.config import InputGain, Schedule, TrainConfig
from ssmspec.training.settings import to_config

if TYPE_CHECKING:
    from torch import nn

CONFIG = "config.json"
INITIAL = "initial.safetensors"
MODEL = "model.safetensors"
BEST = "best.safetensors"
METRICS = "metrics.csv"
SPECTRUM = "spectrum.csv"
RESUME = "resume.pt"
SNAPSHOTS = "snapshots"
RUN_FILES = (
    CONFIG, INITIAL, MODEL, BEST, METRICS, SPECTRUM, trajectory.FILE_NAME, RESUME,
)  # fmt: skip
"""All that every run writes; `--force` replaces these, and snapshots, and nothing else."""

FORMAT = 1
"""Version of `config.json`."""

_MAX_CONFIG_BYTES = 2**20


def require_free(folder: Path, *, force: bool) -> None:
    """Whether a new run may be written to a folder; before anything is loaded for it.

    Raises:
        UsageError: it holds something and `force` was not given, or it is no folder.
    """
    try:
        if folder.is_dir() and any(folder.iterdir()) and not force:
            raise UsageError(
                f"{shown(folder)} is not empty; choose another folder, --resume continues the run "
                f"in it, or --force replaces that run's files"
            )
    except OSError as error:
        raise UsageError(f"{shown(folder)} cannot be used: {error.strerror or error}") from None
    if os.path.lexists(folder) and not folder.is_dir():
        raise UsageError(f"{shown(folder)} is no folder; choose another output")


def prepare(folder: Path) -> None:
    """Make the folder of a new run, or clear an old run out of it.

    Raises:
        UsageError: it cannot be made or cleared.
    """
    try:
        if folder.is_dir():
            there = [path for name in RUN_FILES if os.path.lexists(path := folder / name)]
            there += sorted((folder / SNAPSHOTS).glob("step-*.safetensors"))
            for path in there:
                if path.is_dir() and not path.is_symlink():
                    raise UsageError(f"{shown(path)} is a folder; remove it or choose another")
            for path in there:
                path.unlink()
        else:
            folder.mkdir(parents=True)
    except OSError as error:
        raise UsageError(f"{shown(folder)} cannot be used: {error.strerror or error}") from None


def write_config(folder: Path, settings: Mapping[str, Any], resolved: Mapping[str, Any]) -> None:
    """Write `config.json`: the settings under `settings`, everything else beside them."""
    document = {"ssmspec_train": FORMAT, "settings": settings, **resolved}
    write_text(folder / CONFIG, json.dumps(document, indent=2, allow_nan=False) + "\n")


def read_document(folder: Path) -> Mapping[str, Any]:
    """Everything in `config.json`.

    Raises:
        UsageError: the folder holds no run.
    """
    try:
        document = read_json(folder / CONFIG, _MAX_CONFIG_BYTES)
    except CheckpointError as error:
        raise UsageError(
            f"{shown(folder)} is no folder that `ssmspec train` wrote: {error}"
        ) from None
    if not isinstance(document, dict) or document.get("ssmspec_train") != FORMAT:
        raise UsageError(
            f"{shown(folder / CONFIG)} was not written by this version of `ssmspec train`"
        )
    return document


def read_config(folder: Path) -> TrainConfig:
    """The configuration of the run in a folder.

    Raises:
        UsageError: the folder holds no run, or its `config.json` was damaged.
    """
    settings = read_document(folder).get("settings", {})
    if isinstance(settings, dict) and "schedule" not in settings:
        # written when a run without schedule_steps had a constant rate
        kind = Schedule.CONSTANT if settings.get("schedule_steps") is None else Schedule.COSINE
        settings = {**settings, "schedule": kind.value}
    return to_config(settings, shown(folder / CONFIG))


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all, in place of an older one."""
    with atomic_output(path, force=True) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def write_weights(path: Path, state: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
    """Write tensors as safetensors, whole or not at all; the same tensors give the same bytes."""
    with open_checkpoint(state) as checkpoint:
        rewrite(checkpoint, {}, path, force=True, metadata=metadata)


def load_weights(model: nn.Module, path: Path) -> None:
    """Put the tensors of a checkpoint into a model that has the very same names and shapes.

    Args:
        model: its tensors are replaced, in their own types.
        path: any checkpoint that can be opened: a file, an index or a folder.

    Raises:
        CheckpointError: it cannot be read.
        UsageError: names or shapes differ; the message says which.
    """
    import torch  # noqa: PLC0415 - all the rest of this module does without

    own = model.state_dict()
    with open_checkpoint(path) as checkpoint:
        differences = _differences(own, checkpoint)
        if differences:
            more = f" and {len(differences) - 4} more" if len(differences) > 4 else ""
            raise UsageError(
                f"{shown(path)} does not fit the model: {'; '.join(differences[:4])}{more}"
            )
        with torch.no_grad():
            for name, tensor in own.items():
                # A copy: torch takes no arrays that cannot be written to.
                tensor.copy_(torch.from_numpy(checkpoint.read(name).copy()))


def layers_of(path: Path) -> dict[str, Any]:
    """What a model must be to start from a checkpoint: the kind of its layers, as settings.

    Returns:
        `scheme`, one that makes layers of that kind, and for discrete poles `input_gain`; nothing
        where the checkpoint holds other layers.

    Raises:
        CheckpointError: it cannot be read.
    """
    with open_checkpoint(path) as checkpoint:
        found, _ = find_layers(Catalog(checkpoint), Reading())
        families = {layer.family.id for layer in found}
        if families == {"s4d"}:
            return {"scheme": "s4d-lin"}
        if families != {"dfout"}:
            return {}
        gains = [name for name in checkpoint.tensors if name.endswith("unit_energy")]
        unit = all(bool(checkpoint.read(name)) for name in gains)
        gain = InputGain.UNIT_ENERGY if unit else InputGain.ZOH
        return {"scheme": "dfout", "input_gain": gain.value}


def _differences(own: Mapping[str, Any], checkpoint: Checkpoint) -> list[str]:
    """What stands between a model and a checkpoint, tensor by tensor; shapes first."""
    stored = checkpoint.tensors
    shapes = [
        f"{name} has shape {tuple(tensor.shape)} in the model and {stored[name].shape} in the file"
        for name, tensor in own.items()
        if name in stored and tuple(tensor.shape) != stored[name].shape
    ]
    flags = [
        f"{name} is {bool(checkpoint.read(name))} in the file and {bool(tensor)} in the model"
        for name, tensor in own.items()
        if name in stored
        and tensor.ndim == 0
        and str(tensor.dtype) == "torch.bool"
        and stored[name].shape == ()
        and bool(checkpoint.read(name)) != bool(tensor)
    ]
    absent = [f"the file has no {name}" for name in own if name not in stored]
    extra = [f"the model has no {printable(name)}" for name in stored if name not in own]
    return [*shapes, *absent, *extra, *flags]
