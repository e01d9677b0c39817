"""A user's arrays from disk: one .npz, or a folder of .npy files that stay on disk until used.

Nothing in them is executed: arrays of Python objects, which numpy would unpickle, are refused.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from ssmspec.arrays import Array
from ssmspec.checkpoints.files import open_regular, read_head
from ssmspec.checkpoints.npy_header import read_header
from ssmspec.checkpoints.npz import NpzCheckpoint
from ssmspec.errors import CheckpointError, UsageError
from ssmspec.naming import printable

_BLOCK = 2**24
"""Numbers that are looked at at once, 128 MiB of float64 (heuristic)."""


def read_arrays(path: Path, names: tuple[str, ...]) -> Mapping[str, Array]:
    """The arrays of these names that are there, by name and of any shape.

    Args:
        path: FILE.npz, or a folder that holds NAME.npy files.
        names: what may be in it. Other names are left alone, unless they begin as one of these
            does and so were meant to be one.

    Raises:
        UsageError: nothing is there, it cannot be read, or a name looks misspelled.
    """
    shown = printable(str(path))
    try:
        found = _from_folder(path, names) if path.is_dir() else _from_npz(path, names)
    except FileNotFoundError:
        raise UsageError(f"{shown} does not exist") from None
    except CheckpointError as error:
        raise UsageError(f"{shown} cannot be read as numpy arrays: {error}") from None
    except (OSError, ValueError, MemoryError) as error:
        cause = printable(str(error).partition("\n")[0])
        raise UsageError(f"{shown} cannot be read as numpy arrays: {cause}") from None
    for name, array in found.items():
        if array.dtype.hasobject or array.dtype.names is not None:
            raise UsageError(f"{name} in {shown} holds records or objects, not numbers")
    return found


def _from_npz(path: Path, names: tuple[str, ...]) -> dict[str, Array]:
    if not read_head(path).startswith(b"PK"):
        raise ValueError("it is no .npz file; numpy.savez(FILE, x=..., y=...) writes one")
    with NpzCheckpoint(path) as archive:
        _refuse_lookalikes(list(archive.tensors), names, path)
        return {name: archive.load(name) for name in names if name in archive.tensors}


def _from_folder(path: Path, names: tuple[str, ...]) -> dict[str, Array]:
    _refuse_lookalikes([file.stem for file in path.glob("*.npy")], names, path)
    files = {name: path / f"{name}.npy" for name in names}
    return {name: _mapped(file) for name, file in files.items() if file.exists()}


def _mapped(path: Path) -> Array:
    """A .npy file that stays on disk until it is used."""
    with open_regular(path) as file:
        header = read_header(file)
        order: Literal["C", "F"] = "F" if header.fortran else "C"
        if header.dtype.hasobject or header.dtype.kind == "V":
            raise ValueError("it holds records or Python objects, which are never unpickled")
        size = math.prod(header.shape) * header.dtype.itemsize
        if file.tell() + size > os.fstat(file.fileno()).st_size:
            raise ValueError(f"{path.name} should hold {size:,} bytes of numbers, and is shorter")
        if not size:
            return np.empty(header.shape, header.dtype)
        return np.memmap(file, header.dtype, "r", file.tell(), header.shape, order)


def _refuse_lookalikes(found: list[str], names: tuple[str, ...], path: Path) -> None:
    beginnings = {name.partition("_")[0] for name in names}
    for name in found:
        if name not in names and name.partition("_")[0] in beginnings:
            raise UsageError(
                f"{printable(str(path))} holds {printable(name)!r}, which means nothing here; "
                f"the names are {', '.join(names)}"
            )


def first_not_finite(array: Array, *, nan_is_fine: bool = False) -> tuple[int, ...] | None:
    """Index (one number an axis) of the first NaN or infinity in (n, ...); None where none is."""
    if array.dtype.kind != "f":
        return None
    rows = max(1, _BLOCK // max(1, array[:1].size))
    for start in range(0, len(array), rows):
        block = array[start : start + rows]
        with np.errstate(over="ignore"):
            block = block.astype(np.float32)  # what a batch holds; a huge float64 is infinite in it
        bad = np.isinf(block) if nan_is_fine else ~np.isfinite(block)
        if bad.any():
            first = np.unravel_index(int(np.argmax(bad)), block.shape)
            return (start + int(first[0]), *(int(i) for i in first[1:]))
    return None


def extremes(array: Array) -> tuple[int, int]:
    """Smallest and largest number of an integer array of any shape, at least one number."""
    return int(array.min()), int(array.max())
