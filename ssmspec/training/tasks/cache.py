"""What a task generates is made once and kept in the user's cache folder.

A file's name carries everything its content follows from, and appears whole or not at all. A file
that cannot be read, or holds something else, is made anew; nothing in it is ever unpickled.
"""

from __future__ import annotations

import os
import sys
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from ssmspec.arrays import Array
from ssmspec.checkpoints.atomic import atomic_output
from ssmspec.checkpoints.files import open_regular
from ssmspec.errors import SsmspecError
from ssmspec.naming import printable
from ssmspec.training.tasks.base import TaskOptions


def user_cache() -> Path:
    """The folder for what can be made again: `SSMSPEC_CACHE`, or by the system's custom."""
    if os.environ.get("SSMSPEC_CACHE"):
        return Path(os.environ["SSMSPEC_CACHE"])
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "ssmspec"


def cached(
    options: TaskOptions,
    name: str,
    make: Callable[[], Mapping[str, Array]],
    fits: Callable[[Mapping[str, Array]], bool],
) -> Mapping[str, Array]:
    """Arrays from the cache, or made and put there.

    Args:
        options: tell the folder, and whom to tell what happens.
        name: of the file, without its ending; everything the arrays follow from, and the version
            of what generates them.
        make: the arrays, by name and of any shape.
        fits: whether arrays from the cache have the keys, types and shapes that `make` gives.
    """
    folder = user_cache() if options.cache is None else options.cache
    path = folder / f"{name}.npz"
    shown = printable(str(path))
    if path.is_file():
        found = _read(path)
        if found is not None and fits(found):
            return found
        options.tell(f"{shown} is damaged and is made anew")
    else:
        options.tell(f"making {shown}, once")
    arrays = make()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_output(path, force=True) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
    except (OSError, SsmspecError) as error:
        options.tell(f"the data are not kept for the next time: {printable(str(error))}")
    return arrays


def another_tenth(before: int, made: int, count: int) -> bool:
    """Whether one more tenth of `count` is done, so that it is worth a sentence."""
    return 10 * made // count > 10 * before // count


def _read(path: Path) -> Mapping[str, Array] | None:
    try:
        with open_regular(path) as file, np.load(file, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, MemoryError):
        return None
    except SsmspecError:  # no regular file
        return None
    except (AttributeError, TypeError):  # an .npy file rather than an .npz is one array, no archive
        return None
