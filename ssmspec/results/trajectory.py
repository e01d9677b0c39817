"""The paths that poles take while a model trains: what the monitor records and a figure draws.

File format: an uncompressed `.npz` with `steps` (T,), `names` (layers) and, for layer number i,
`decay_<i>` and `omega_<i>` (T, h, m) float32, the channels and modes that were followed.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from ssmspec.arrays import Array, Floats
from ssmspec.errors import CheckpointError
from ssmspec.naming import printable

FILE_NAME = "trajectory.npz"

_HEADER = 1_000
"""Characters of an array's header; numpy takes a time that grows as their square."""

_DAMAGES = (
    KeyError, ValueError, TypeError, OverflowError, MemoryError, RuntimeError, EOFError,
    zipfile.BadZipFile, zlib.error, struct.error,
)  # fmt: skip
"""What numpy and zipfile raise over a file that is damaged or something else."""


@dataclass(frozen=True, eq=False)
class LayerPaths:
    """The poles of one layer over time.

    Attributes:
        name: the layer's.
        decay: (T, h, m) nat/sample; NaN where a pole was no number.
        omega: (T, h, m) rad/sample in [0, pi]; NaN likewise.
    """

    name: str
    decay: Floats
    omega: Floats


@dataclass(frozen=True, eq=False)
class Trajectory:
    """The poles of every layer at the steps where they were looked at.

    Attributes:
        steps: (T,) int64 optimizer steps, ascending; the first is 0 where the run was watched
            from its start.
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
        # Opened here because numpy leaves a damaged file open.
        _refuse_special(path)
        with (
            path.open("rb") as stream,
            np.load(stream, allow_pickle=False, max_header_size=_HEADER) as file,
        ):
            _refuse_bomb(file.zip)
            steps, names = file["steps"], file["names"].tolist()
            layers = tuple(
                LayerPaths(
                    str(name),
                    decay=_real(file[f"decay_{i}"]),
                    omega=_real(file[f"omega_{i}"]),
                )
                for i, name in enumerate(names)
            )
    except FileNotFoundError:
        raise CheckpointError(
            f"there is no {shown}; `ssmspec train` writes one, with --spectrum-every above 0"
        ) from None
    except OSError as error:
        raise CheckpointError(f"{shown}: {error.strerror or 'cannot be read'}") from None
    except _DAMAGES:
        raise CheckpointError(f"{shown} does not hold the paths of poles") from None
    if not (_ascends(steps) and layers and all(_fits(layer, steps.size) for layer in layers)):
        raise CheckpointError(f"{shown} does not hold the paths of poles")
    return Trajectory(steps, layers)


def _refuse_special(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise CheckpointError(f"{printable(str(path))} is no regular file")


def _refuse_bomb(archive: zipfile.ZipFile) -> None:
    """An archive may unpack to a few times its size, which is all that packing it again gives."""
    held = sum(entry.compress_size for entry in archive.infolist())
    if sum(entry.file_size for entry in archive.infolist()) > 8 * held + 2**20:
        raise ValueError("it would unpack out of proportion")


def _ascends(steps: Array) -> bool:
    """Whether these are steps: whole numbers from 0, each larger than the one before."""
    if steps.ndim != 1 or steps.size == 0 or steps.dtype.kind != "i":
        return False
    return bool(steps[0] >= 0 and (np.diff(steps) > 0).all())


def _fits(layer: LayerPaths, steps: int) -> bool:
    shape = layer.decay.shape
    return len(shape) == 3 and shape[0] == steps and layer.omega.shape == shape and 0 not in shape


def _real(array: Array) -> Floats:
    if array.dtype.kind != "f":
        raise ValueError("not the numbers of a pole")
    return array.astype(np.float64)
