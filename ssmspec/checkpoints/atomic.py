"""Outputs that appear whole or not at all, and never in place of something else by accident.

An output is written under a temporary name beside its place (`.ssmspec-*.tmp`), flushed to the
disk, and given its name in one step. A process killed on the way leaves at most such a temporary
file, or for the moment in which one folder replaces another, the old folder under such a name.
Where the output's name is a symbolic link, the link is replaced (with `force`) and what it points
to stays as it is: links often point into a cache that other models share.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ssmspec.errors import UsageError
from ssmspec.naming import printable, shown

_UNLINKABLE = {
    errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK,
    errno.EXDEV, errno.EINVAL,
}  # fmt: skip
"""What systems say that have no hard links (FAT, some network and user-space file systems)."""


def require_output(path: Path, *, force: bool, inputs: Iterable[Path] = ()) -> None:
    """Refuse an output as `atomic_output` would, before there is anything to write.

    Raises:
        UsageError: the output exists, is an input or no file, or its folder does not exist.
    """
    _refuse_inputs(path, inputs)
    _require_folder(path)
    if os.path.lexists(path):
        here = _status(path)
        if here and not stat.S_ISREG(here.st_mode):
            raise UsageError(f"{shown(path)} is no regular file; choose another name")
        if not force:
            raise _exists(path)


@contextmanager
def atomic_output(path: Path, *, force: bool, inputs: Iterable[Path] = ()) -> Iterator[Path]:
    """A temporary file that becomes `path` when the block ends, and vanishes when it fails.

    Args:
        path: where the output belongs.
        force: replace a file that is there. Without it, even one that appears meanwhile is kept.
        inputs: files the output must not replace, whatever they are called.

    Yields:
        The path of an empty file to write to.

    Raises:
        UsageError: the output exists, is an input or no file, or cannot be written there.
    """
    require_output(path, force=force, inputs=inputs)
    temporary = _temporary(path)
    with _cleaned_up(path, temporary):
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
        _flush(temporary)
        if force:
            temporary.replace(path)
        else:
            _give_name(temporary, path)
        _flush(path.parent)


@contextmanager
def atomic_folder(
    path: Path, names: Collection[str], *, force: bool, inputs: Iterable[Path] = ()
) -> Iterator[Path]:
    """A temporary folder that becomes `path` when the block ends, and vanishes when it fails.

    Args:
        path: where the folder belongs.
        names: the files that will be in it, with `/` between parts.
        force: replace a folder that is there, provided that it holds none but these files: a
            folder with anything else in it is never removed.
        inputs: files the folder must not contain or replace.

    Yields:
        The path of an empty folder to write to.

    Raises:
        UsageError: as for `atomic_output`, or the folder holds other files.
    """
    _refuse_inputs(path, inputs)
    _require_folder(path)
    replaced = os.path.lexists(path)
    if replaced:
        if not force:
            raise _exists(path)
        _require_replaceable(path, names)
    temporary, aside = _temporary(path), _temporary(path)
    with _cleaned_up(path, temporary):
        temporary.mkdir()
        yield temporary
        for file in sorted(temporary.rglob("*"), reverse=True):
            _flush(file)
        _flush(temporary)
        if not replaced:
            temporary.rename(path)  # fails where a folder with files in it has appeared
        else:
            try:
                path.rename(aside)
                temporary.rename(path)
            except BaseException:
                if aside.exists() and not os.path.lexists(path):
                    aside.rename(path)
                raise
            shutil.rmtree(aside, ignore_errors=True)
        _flush(path.parent)


@contextmanager
def _cleaned_up(path: Path, temporary: Path) -> Iterator[None]:
    """Remove what is left under the temporary name, and tell of failures in one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise _exists(path) from None
        cause = printable(error.strerror or str(error))
        raise UsageError(f"{shown(path)} cannot be written: {cause}") from None
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _give_name(temporary: Path, path: Path) -> None:
    """Name a file without replacing one: a hard link fails where the name is taken."""
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in _UNLINKABLE:
            raise
        # Without hard links a file that appears between these two lines would be replaced, except
        # on Windows, where rename itself refuses.
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        temporary.rename(path)


def _refuse_inputs(path: Path, inputs: Iterable[Path]) -> None:
    here = _status(path)
    if here is None:
        return
    folder = path.resolve() if stat.S_ISDIR(here.st_mode) else None
    for source in inputs:
        there = _status(source)
        if there and os.path.samestat(here, there):
            raise UsageError(
                f"{shown(path)} is the input itself, which is never changed; choose another output"
            )
        if folder and folder in {*source.resolve().parents, *_folders(source)}:
            raise UsageError(
                f"{shown(path)} contains the input {shown(source.name)}, which is never "
                f"changed; choose another output"
            )


def _status(path: Path) -> os.stat_result | None:
    """What is at a path, links followed; None where nothing can be found there."""
    try:
        return path.stat()
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return None


def _folders(source: Path) -> tuple[Path, ...]:
    """The folders a file is named in, which a link does not lead out of."""
    parent = source.parent.resolve()
    return (parent, *parent.parents)


def _require_folder(path: Path) -> None:
    if "\0" in str(path):
        raise UsageError(f"{shown(path)} is no file name")
    if path.name in ("", ".."):
        raise UsageError(f"{shown(path)} is a folder; add a file name")
    if not os.path.lexists(path.parent):
        raise UsageError(f"the folder {shown(path.parent)} does not exist; create it first")
    if not path.parent.is_dir():
        raise UsageError(f"{shown(path.parent)} is not a folder; choose another output")


def _require_replaceable(path: Path, names: Collection[str]) -> None:
    if path.is_symlink() or not path.is_dir():
        raise UsageError(f"{shown(path)} is not a folder, but the output is; choose another name")
    for file in path.rglob("*"):
        name = file.relative_to(path).as_posix()
        is_ours = name in names or any(other.startswith(f"{name}/") for other in names)
        if file.is_symlink() or not is_ours:
            raise UsageError(
                f"{shown(path)} holds {printable(name)}, which the output would not; remove it "
                f"or choose another name"
            )


def _temporary(path: Path) -> Path:
    return path.with_name(f".ssmspec-{secrets.token_hex(8)}.tmp")


_TEMPORARY_NAME = re.compile(r"\.ssmspec-[0-9a-f]{16}\.tmp")


def sweep(folder: Path) -> None:
    """Remove the temporary files that killed processes left in a folder.

    Whoever calls knows that no process is writing there now.
    """
    with suppress(OSError):
        for path in folder.iterdir():
            if _TEMPORARY_NAME.fullmatch(path.name) and path.is_file():
                path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Make the system write a file or a folder's entries to the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open folders
    descriptor = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # no fsync on this file system
            raise
    finally:
        os.close(descriptor)


def _exists(path: Path) -> UsageError:
    return UsageError(f"{shown(path)} already exists; choose another name, or --force replaces it")
