"""Data sets that a user has on disk: what is missing is said by name, and nothing is downloaded."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ssmspec.errors import UsageError
from ssmspec.naming import printable
from ssmspec.training.tasks.base import TaskOptions


def data_folder(task: str, options: TaskOptions, wanted: str) -> Path:
    """The folder the user gave.

    Args:
        task: id of the task.
        options: hold the path.
        wanted: what should be in it, as a clause.

    Raises:
        UsageError: none was given, or it is no folder.
    """
    if options.data is None:
        raise UsageError(f"{task} needs --data FOLDER with {wanted}")
    if not options.data.is_dir():
        what = "is not a folder" if options.data.exists() else "does not exist"
        raise UsageError(
            f"{printable(str(options.data))} {what}; {task} needs --data FOLDER with {wanted}"
        )
    return options.data


def require_files(task: str, folder: Path, names: Iterable[str], wanted: str) -> None:
    """Refuse a folder that lacks a file.

    Raises:
        UsageError: naming the first that is missing, and what the folder should hold.
    """
    for name in names:
        if not (folder / name).is_file():
            raise UsageError(
                f"{printable(str(folder))} has no {name}; {task} needs --data FOLDER with {wanted}"
            )


def damaged(path: Path, what: str) -> UsageError:
    """The error for a file that is there and is not what it should be."""
    return UsageError(
        f"{printable(str(path))} {what}; it is damaged or another file, so get it again"
    )
