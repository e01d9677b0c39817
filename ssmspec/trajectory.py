"""The paths that poles take while a model trains: what the monitor records and a figure draws.

File format: an uncompressed `.npz` with `steps` (T,), `names` (layers) and, for layer number i,
`decay_<i>` and `omega_<i>` (T, h, m) float32, the channels and modes that were followed.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from ssmspec.arrays import Array, Floats
from ssmspec.errors import CheckpointError
from ssmspec.naming import printable

FILE_NAME = "trajectory.npz"


@dataclass(frozen=True, eq=False)
class LayerPaths:
    """The poles of one layer over time.

    Attributes:
        name: the layer's.
        decay: (T, h, m) nat/sample.
        omega: (T, h, m) rad/sample in [0, pi].
    """

    name: str
    decay: Floats
    omega: Floats


@dataclass(frozen=True, eq=False)
class Trajectory:
    """The poles of every layer at the steps where they were looked at.

    Attributes:
        steps: (T,) optimizer steps, ascending; the first is 0, before training.
        layers: in natural order of their names.
    """

    steps: Array
    layers: tuple[LayerPaths, ...]


def save_trajectory(trajectory: Trajectory, file: Path | IO[bytes]) -> None:
    """Write it as `.npz`. Whoever calls sees to it that the file appears whole."""
    arrays: dict[str, Array] = {
        "steps": np.asarray(trajectory.steps, dtype=np.int64),
        "names": np.array([layer.name for layer in trajectory.layers], dtype=np.str_),
    }
    for i, layer in enumerate(trajectory.layers):
        arrays[f"decay_{i}"] = layer.decay.astype(np.float32)
        arrays[f"omega_{i}"] = layer.omega.astype(np.float32)
    np.savez(file, **arrays)  # type: ignore[arg-type]  # numpy's stub takes the names for options


def load_trajectory(path: Path) -> Trajectory:
    """What `save_trajectory` wrote.

    Raises:
        CheckpointError: there is no such file, or it holds something else.
    """
    shown = printable(str(path))
    try:
        with np.load(path, allow_pickle=False) as file:
            steps, names = file["steps"], file["names"].tolist()
            layers = tuple(
                LayerPaths(
                    str(name),
                    decay=file[f"decay_{i}"].astype(np.float64),
                    omega=file[f"omega_{i}"].astype(np.float64),
                )
                for i, name in enumerate(names)
            )
    except FileNotFoundError:
        raise CheckpointError(
            f"there is no {shown}; `ssmspec train` writes one, with --spectrum-every above 0"
        ) from None
    except OSError as error:
        raise CheckpointError(f"{shown}: {error.strerror or 'cannot be read'}") from None
    except (KeyError, ValueError, TypeError, zipfile.BadZipFile, EOFError):
        raise CheckpointError(f"{shown} does not hold the paths of poles") from None
    whole = steps.ndim == 1 and all(
        layer.decay.ndim == 3
        and layer.decay.shape == layer.omega.shape
        and layer.decay.shape[0] == steps.size
        for layer in layers
    )
    if not whole or not layers or steps.size == 0:
        raise CheckpointError(f"{shown} does not hold the paths of poles")
    return Trajectory(steps, layers)
