"""Directories: which file in a folder is the checkpoint, and the config.json that belongs to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from ssmspec.checkpoints.files import StableFile, is_there, read_json, unreadable
from ssmspec.checkpoints.foreign import explain_folder
from ssmspec.errors import CheckpointError
from ssmspec.naming import natural_key, shown

INDEX_SUFFIX = ".index.json"

USUAL_NAMES = (
    "model.safetensors.index.json", "pytorch_model.bin.index.json",
    "model.safetensors", "pytorch_model.bin",
    "diffusion_pytorch_model.safetensors", "consolidated.safetensors",
    "model.pt", "model.pth", "model.ckpt", "model.npz", "flax_model.msgpack",
)  # fmt: skip
"""What a model's weights are called by convention, the preferred first."""

DISTRIBUTED = (".metadata", "pytorch_model_fsdp_0/.metadata")
"""The list of tensors of a torch distributed checkpoint; accelerate keeps it one folder below."""

LATEST = {"latest_checkpointed_iteration.txt": "iter_", "latest": "global_step"}
"""Files in which Megatron and DeepSpeed name the subfolder of their last checkpoint."""

NO_MODELS = frozenset({
    "optimizer.pt", "optimizer.bin", "scheduler.pt", "scheduler.bin", "training_args.bin",
    "rng_state.pth", "scaler.pt", "common.pt", "_CHECKPOINT_METADATA", "_METADATA", "checkpoint",
})  # fmt: skip
"""What trainers keep beside a model."""

MAX_ENTRIES = 10_000
"""A folder with more entries is not searched; name the file instead."""

MAX_CONFIG_BYTES = 4 * 2**20
"""Largest config.json that is read; real ones have kilobytes."""


def choose_file(
    folder: Path,
    is_checkpoint: Callable[[Path], bool],
    is_folder: Callable[[frozenset[str]], bool],
) -> tuple[Path, str]:
    """The checkpoint in a folder: a usual name, else an index, else the only one there is.

    Args:
        folder: searched without its subfolders, but for one that a `latest` names.
        is_checkpoint: whether a file is in a format that can be read.
        is_folder: whether a folder with these names in it is a checkpoint as a whole.

    Returns:
        The file or folder, and a note naming other checkpoints passed over for it ("" where there
        are none).

    Raises:
        CheckpointError: the folder holds no checkpoint, or several without a usual name.
    """
    try:
        entries = list(islice(folder.iterdir(), MAX_ENTRIES + 1))
        if len(entries) > MAX_ENTRIES:
            raise CheckpointError(
                f"{shown(folder)} holds more than {MAX_ENTRIES:,} files; name the checkpoint"
            )
        files = sorted((e for e in entries if e.is_file()), key=lambda e: natural_key(e.name))
    except OSError as error:
        raise unreadable(folder, error) from None
    names = {file.name: file for file in files}
    usual = [names[name] for name in USUAL_NAMES if name in names]
    if usual:
        others = [file for file in usual[1:] if not file.name.endswith(INDEX_SUFFIX)]
        return usual[0], _passed_over(usual[0], others)
    if is_folder(frozenset(entry.name for entry in entries)):
        return folder, ""
    for below in (*DISTRIBUTED, *_latest(names)):
        if is_there(folder / below):
            if below in DISTRIBUTED:
                return folder / below, ""
            return choose_file(folder / below, is_checkpoint, is_folder)
    indexes = [file for file in files if file.name.endswith(INDEX_SUFFIX)]
    found = indexes or [f for f in files if not _is_aside(f.name) and is_checkpoint(f)]
    if len(found) > 1:
        raise CheckpointError(
            f"{shown(folder)} holds {len(found)} checkpoints: {_listed(found)}; name one of them"
        )
    if not found:
        raise CheckpointError(_nothing_in(folder, entries))
    return found[0], ""


def config_beside(checkpoint: Path) -> tuple[dict[str, Any], str]:
    """The config.json in a checkpoint's folder and a note where it cannot be used.

    It counts only for a file with a usual name or an index: beside `experiment7.pth` it may
    describe anything.
    """
    config = checkpoint.with_name("config.json")
    is_usual = checkpoint.name in USUAL_NAMES or checkpoint.name.endswith(INDEX_SUFFIX)
    if not is_usual or not is_there(config):
        return {}, ""
    try:
        value = read_json(config, MAX_CONFIG_BYTES)
    except CheckpointError as error:
        return {}, f"config.json was not used: {error}"
    if not isinstance(value, dict):
        return {}, f"config.json was not used: {shown(config)} holds no JSON object"
    return value, ""


def _is_aside(name: str) -> bool:
    """Whether a file is none that holds a model: settings, a part, an optimizer's state."""
    return name.endswith((".json", ".distcp", "_optim_states.pt")) or name in NO_MODELS


def _latest(names: dict[str, Path]) -> list[str]:
    """The subfolder that a training framework says holds its last checkpoint."""
    for name, prefix in LATEST.items():
        if name in names:
            file = StableFile.seen(names[name])
            text = file.read(0, min(file.size, 100)).tobytes().decode("utf-8", "replace").strip()
            text = prefix + text.zfill(7) if text.isdecimal() else text
            if re.fullmatch(r"\w[\w.-]*", text):
                return [text]
    return []


def _nothing_in(folder: Path, entries: Iterable[Path]) -> str:
    names = frozenset(entry.name for entry in entries)
    known = explain_folder(names)
    if known:
        return f"{shown(folder)} {known}"
    if not names:
        return f"{shown(folder)} is an empty folder; give a checkpoint"
    held = sorted((Path(name) for name in names), key=lambda e: natural_key(e.name))
    return f"{shown(folder)} holds no checkpoint, only {_listed(held)}; name the file or subfolder"


def _passed_over(chosen: Path, others: list[Path]) -> str:
    return f"{shown(chosen.name)} was read; passed over: {_listed(others)}" if others else ""


def _listed(files: list[Path]) -> str:
    names = ", ".join(shown(file.name) for file in files[:8])
    return f"{names} and {len(files) - 8} more" if len(files) > 8 else names
