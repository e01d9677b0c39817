"""Where a re-initialized checkpoint goes: safetensors, or a torch archive made from one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ssmspec.arrays import Array
from ssmspec.checkpoints import Checkpoint
from ssmspec.checkpoints.rewrite import rewrite
from ssmspec.checkpoints.safetensors_file import SafetensorsCheckpoint
from ssmspec.checkpoints.sharded import ShardedCheckpoint
from ssmspec.checkpoints.torch.archive import SUFFIXES as TORCH_SUFFIXES
from ssmspec.checkpoints.torch.archive import TorchZipCheckpoint
from ssmspec.checkpoints.torch.rewrite import rewrite_torch
from ssmspec.errors import UsageError
from ssmspec.families.catalog import OPTIMIZER_PARTS
from ssmspec.naming import printable

SAFETENSORS = ".safetensors"


def check_output(checkpoint: Checkpoint, output: Path) -> tuple[str, ...]:
    """Whether a checkpoint can be written under a name, and what is lost on the way.

    Returns:
        Sentences for the reader of the plan.

    Raises:
        UsageError: the name asks for a format that this checkpoint cannot be written in.
    """
    shown = printable(str(output))
    if output.suffix in TORCH_SUFFIXES:
        if isinstance(checkpoint, TorchZipCheckpoint):
            return ()
        raise UsageError(
            f"{shown}: a torch file is written from a torch file only, and the checkpoint is "
            f"{checkpoint.container}; choose a name that ends in {SAFETENSORS}"
        )
    if _is_folder(checkpoint):
        return ()
    if output.suffix != SAFETENSORS:
        torch = f" or {', '.join(TORCH_SUFFIXES)}" * isinstance(checkpoint, TorchZipCheckpoint)
        raise UsageError(
            f"{shown}: the format of an output is told by its name; choose one that ends in "
            f"{SAFETENSORS}{torch}"
        )
    if isinstance(checkpoint, SafetensorsCheckpoint):
        return ()
    return (
        f"converted from {checkpoint.container} to safetensors: every tensor is there under the "
        f"name that `ssmspec` reads, and what is no tensor is left behind",
    )


def write_output(
    checkpoint: Checkpoint, changes: Mapping[str, Array], output: Path, *, force: bool
) -> None:
    """Write a checkpoint with changed tensors; whole or not at all, and never over the input.

    Args:
        checkpoint: the source; it is never changed.
        changes: tensor name -> values of the stored shape, float64 or complex128.
        output: a file; a folder for a sharded safetensors source.
        force: replace an output that exists.

    Raises:
        UsageError: the output exists and `force` was not given, or it is the input.
        CheckpointError: it cannot be written so.
    """
    if output.suffix in TORCH_SUFFIXES and isinstance(checkpoint, TorchZipCheckpoint):
        rewrite_torch(checkpoint, _with_optimizer(checkpoint, changes), output, force=force)
    else:
        rewrite(checkpoint, changes, output, force=force)


def _is_folder(checkpoint: Checkpoint) -> bool:
    return isinstance(checkpoint, ShardedCheckpoint) and checkpoint.is_safetensors


def _with_optimizer(
    checkpoint: TorchZipCheckpoint, changes: Mapping[str, Array]
) -> Mapping[str, Array]:
    """The changes, and the same ones under the names by which an optimizer holds the parameter.

    Trainers pickle optimizers whole, inside a scheduler for one: its parameter groups then are the
    very tensors of the model, not copies.
    """
    held = {
        name
        for name in checkpoint.stored
        if name not in changes and not OPTIMIZER_PARTS.isdisjoint(name.lower().split("."))
    }
    same = {
        name: values
        for changed, values in changes.items()
        for name in held
        if checkpoint.stored[name] == checkpoint.stored[changed]
    }
    return {**changes, **same}
