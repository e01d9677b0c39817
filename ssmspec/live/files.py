"""What a monitor writes: `spectrum.csv`, the numbers, and `trajectory.npz`, the poles' paths."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ssmspec.checkpoints.atomic import atomic_output
from ssmspec.errors import UsageError
from ssmspec.live.look import Look, columns
from ssmspec.naming import printable
from ssmspec.results.trajectory import FILE_NAME as TRAJECTORY_FILE
from ssmspec.results.trajectory import LayerPaths, Trajectory, save_trajectory
from ssmspec.writers.parts.tidy import to_csv

SPECTRUM_FILE = "spectrum.csv"

INSTANTS = 256
"""Looks whose paths are kept, at most (heuristic). Of more, every second, fourth, ... is."""


def thinned(looks: Sequence[Look]) -> list[Look]:
    """Keep the paths of every look, or of every second, fourth, ... where there are too many.

    Those of the last look are always kept, until the next one takes its place.
    """
    stride = 1
    while len(looks) > INSTANTS * stride:
        stride *= 2
    last = len(looks) - 1
    return [
        look if i % stride == 0 or i == last else look.without_paths()
        for i, look in enumerate(looks)
    ]


def trajectory_of(looks: Sequence[Look]) -> Trajectory:
    """The paths that were kept.

    Args:
        looks: at least one, by ascending step.
    """
    steps, places = [], []
    for look in looks:
        paths = [layer.paths for layer in look.layers if layer.paths is not None]
        if paths:
            steps.append(look.step)
            places.append(paths)
    return Trajectory(
        np.array(steps, dtype=np.int64),
        tuple(
            LayerPaths(
                layer.name,
                decay=np.stack([paths[i].decay for paths in places]).astype(np.float64),
                omega=np.stack([paths[i].omega for paths in places]).astype(np.float64),
            )
            for i, layer in enumerate(looks[0].layers)
        ),
    )


def require_no_files(folder: Path) -> None:
    """Refuse before training what would replace another run's files after it.

    Raises:
        UsageError: the folder holds files of these names.
    """
    for name in (SPECTRUM_FILE, TRAJECTORY_FILE):
        if os.path.lexists(folder / name):
            raise UsageError(
                f"{printable(str(folder / name))} is there already, from another run; choose "
                f"another folder, load the state of that run, or pass force=True"
            )


def write_files(folder: Path, looks: Sequence[Look]) -> tuple[Path, ...]:
    """Write both files into a folder, made if need be, each whole or not at all.

    Raises:
        UsageError: the folder cannot be written to; earlier files stay as they were.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{printable(str(folder))} cannot be made: {error.strerror or error}"
        ) from None
    table, paths = folder / SPECTRUM_FILE, folder / TRAJECTORY_FILE
    with atomic_output(table, force=True) as temporary:
        temporary.write_text(_csv(looks), encoding="utf-8", newline="")
    with atomic_output(paths, force=True) as temporary, temporary.open("wb") as file:
        save_trajectory(trajectory_of(looks), file)
    return table, paths


def _csv(looks: Sequence[Look]) -> str:
    rows = (
        (look.step, layer.name, *layer.values, " ".join(layer.codes))
        for look in looks
        for layer in look.layers
    )
    return to_csv(("step", "layer", *columns(), "findings"), rows)
