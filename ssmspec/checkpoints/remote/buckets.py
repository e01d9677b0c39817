"""Objects in buckets, through fsspec and the package that it names for each kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ssmspec.checkpoints.remote.mirror import Mirror
from ssmspec.errors import CheckpointError, MissingPackageError
from ssmspec.naming import printable

_PIECE = 8 * 2**20
MAX_FILES = 10_000


class _BucketStore:
    """Files below one path of a file system of fsspec's."""

    def __init__(self, system: Any, base: str, listed: dict[str, int]) -> None:
        self._system, self._base, self._listed = system, base, listed

    def size(self, name: str) -> int | None:
        if name not in self._listed:
            try:
                self._listed[name] = int(self._system.info(f"{self._base}/{name}")["size"])
            except FileNotFoundError:
                return None
            except Exception as error:  # whatever a plugin of fsspec's raises
                raise _refusal(f"{self._base}/{name}", error) from None
        return self._listed[name]

    def read(self, name: str, begin: int, end: int) -> Iterator[bytes]:
        for start in range(begin, end, _PIECE):
            stop = min(start + _PIECE, end)
            try:
                yield self._system.cat_file(f"{self._base}/{name}", start=start, end=stop)
            except Exception as error:  # whatever a plugin of fsspec's raises
                raise _refusal(f"{self._base}/{name}", error) from None


def mirror(url: str, progress: Callable[[str, int, int, bool], None] | None) -> tuple[Mirror, str]:
    """A mirror of an object's folder and the object's name, or of a folder and "".

    Raises:
        CheckpointError: there is nothing, or it cannot be reached.
        MissingPackageError: fsspec or its plugin is not installed.
    """
    try:
        from fsspec.core import url_to_fs  # noqa: PLC0415 - an extra

        system, path = url_to_fs(url)
    except ImportError as error:
        raise MissingPackageError(
            f"{printable(url)} needs a package that is not installed: pip install "
            f"'ssmspec[remote]', and {printable(str(error))[:200]}"
        ) from None
    except Exception as error:  # whatever a plugin of fsspec's raises
        raise _refusal(url, error) from None
    path = path.rstrip("/")
    try:
        info = system.info(path)
        if info["type"] != "directory":
            folder, _, name = path.rpartition("/")
            listed = {name: int(info["size"])}
        else:
            folder, name = path, ""
            entries = system.ls(path, detail=True)[:MAX_FILES]
            listed = {
                entry["name"].rstrip("/").rpartition("/")[2]: int(entry["size"])
                for entry in entries
                if entry["type"] == "file"
            }
    except FileNotFoundError:
        raise CheckpointError(f"{printable(url)} does not exist") from None
    except Exception as error:  # whatever a plugin of fsspec's raises
        raise _refusal(url, error) from None
    shown = url.rstrip("/") if not name else url.rstrip("/").rpartition("/")[0]
    return Mirror(shown, _BucketStore(system, folder, dict(listed)), listed, progress), name


def _refusal(url: str, error: Exception) -> CheckpointError:
    cause = " ".join(str(error).split())[:200]
    return CheckpointError(
        f"{printable(url)} cannot be read: {type(error).__name__}: {printable(cause)}"
    )
