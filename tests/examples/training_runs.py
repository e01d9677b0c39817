"""Tiny training runs on the digits, and what they leave behind."""

import csv
from dataclasses import replace

from safetensors.numpy import load_file

from ssmspec.training.config import ModelConfig, TrainConfig

SMALL = ModelConfig(d_model=8, d_state=8, n_layers=1)

WEIGHTS = ("initial.safetensors", "model.safetensors", "best.safetensors")
FILES = {*WEIGHTS, "config.json", "metrics.csv", "resume.pt", "spectrum.csv", "trajectory.npz"}


def tiny(model=None, **settings):
    """Twelve steps of a tiny model, with dropout, every record kept."""
    usual = {"max_steps": 12, "batch_size": 32, "eval_every": 5, "log_every": 3}
    usual |= {"spectrum_every": 4, "clip": 1.0, "warmup_steps": 3, "schedule": "constant"}
    return TrainConfig(
        "digits", replace(SMALL, **{"dropout": 0.1, **(model or {})}), **{**usual, **settings}
    )


def rows_of(folder, split=None):
    """`metrics.csv` without its seconds, as text, so that every bit counts."""
    with (folder / "metrics.csv").open(newline="") as file:
        rows = [{**row} for row in csv.DictReader(file)]
    for row in rows:
        del row["seconds"]
    return [row for row in rows if split in (None, row["split"])]


def left_in(folder):
    """All that a run leaves that must not depend on when it was interrupted."""
    return {
        **{name: (folder / name).read_bytes() for name in WEIGHTS},
        "rows": rows_of(folder),
        "spectrum": (folder / "spectrum.csv").read_bytes(),
        "trajectory": load_trajectory_bytes(folder),
    }


def load_trajectory_bytes(folder):
    """The arrays of `trajectory.npz`; the archive around them carries the time of day."""
    import numpy as np

    with np.load(folder / "trajectory.npz") as file:
        return {name: file[name].tobytes() for name in file.files}


def tensors(path):
    """Every tensor of a safetensors file."""
    return load_file(path)
