"""A user's arrays from disk: one .npz, or a folder of .npy files that stay on disk until used.

Nothing in them is executed: arrays of Python objects, which numpy would unpickle, are refused.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ssmspec.arrays import Array
from ssmspec.errors import UsageError
from ssmspec.naming import printable

_BLOCK = 2**24
"""Numbers that are looked at at once, 128 MiB of float64 (heuristic)."""


def read_arrays(path: Path, names: tuple[str, ...]) -> Mapping[str, Array]:
    """The arrays of these names that are there.

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
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, MemoryError) as error:
        cause = printable(str(error).partition("\n")[0])
        if any(word in cause for word in ("allow_pickle", "pickled", "Python objects")):
            cause = "it is no .npy or .npz file, or holds Python objects, which are never unpickled"
        raise UsageError(f"{shown} cannot be read as numpy arrays: {cause}") from None
    for name, array in found.items():
        if array.dtype.hasobject or array.dtype.names is not None:
            raise UsageError(f"{name} in {shown} holds records or objects, not numbers")
    return found


def _from_npz(path: Path, names: tuple[str, ...]) -> dict[str, Array]:
    with path.open("rb") as file:
        if file.read(2) != b"PK":
            raise ValueError("it is no .npz file; numpy.savez(FILE, x=..., y=...) writes one")
        file.seek(0)
        with np.load(file, allow_pickle=False) as archive:
            _refuse_lookalikes(archive.files, names, path)
            return {name: archive[name] for name in names if name in archive.files}


def _from_folder(path: Path, names: tuple[str, ...]) -> dict[str, Array]:
    _refuse_lookalikes([file.stem for file in path.glob("*.npy")], names, path)
    files = {name: path / f"{name}.npy" for name in names}
    return {
        name: np.load(file, mmap_mode="r", allow_pickle=False)
        for name, file in files.items()
        if file.is_file()
    }


def _refuse_lookalikes(found: list[str], names: tuple[str, ...], path: Path) -> None:
    beginnings = {name.partition("_")[0] for name in names}
    for name in found:
        if name not in names and name.partition("_")[0] in beginnings:
            raise UsageError(
                f"{printable(str(path))} holds {printable(name)!r}, which means nothing here; "
                f"the names are {', '.join(names)}"
            )


def first_not_finite(array: Array, *, nan_is_fine: bool = False) -> tuple[int, ...] | None:
    """Index of the first NaN or infinity, block by block; None where there is none."""
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
    """Smallest and largest number of an integer array."""
    return int(array.min()), int(array.max())
