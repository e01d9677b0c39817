"""Checkpoints that lie elsewhere: only the bytes that are asked for travel.

`place` makes a folder of files that are as long as the ones they stand for and empty; whoever
reads a range of one (`ssmspec.checkpoints.files`) has it filled first. So every container is read
from afar as it is from a disk. A source of bytes is one file here: `http`, `hub`, `buckets`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from ssmspec.checkpoints.remote.mirror import Mirror
from ssmspec.errors import CheckpointError
from ssmspec.naming import printable

_URL = re.compile(r"([a-z][a-z0-9+.-]{1,15}):/{1,3}(?=[^/])(.*)", re.DOTALL)
BUCKETS = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "webhdfs", "memory")
"""What is handed to fsspec."""

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


def url_of(given: str) -> str | None:
    """The address that a text is, or None for a path; `pathlib` takes double slashes out."""
    match = _URL.fullmatch(given)
    if match is None:
        return None
    scheme, rest = match[1], match[2]
    return f"file:///{rest}" if scheme == "file" else f"{scheme}://{rest}"


def hint_of(given: str) -> str:
    """What to try where nothing is at a path: it may be a name on the hub."""
    looks = HUB_ID.fullmatch(given) and not Path(given.partition("/")[0]).exists()
    return f"; if it is a model on the Hugging Face hub, give hf://{given}" if looks else ""


def place(
    url: str, *, offline: bool, progress: Callable[[str, int, int, bool], None] | None
) -> tuple[Path, Mirror | None]:
    """A local path that stands for an address, and the mirror it is in, to be closed at the end.

    Args:
        url: `hf://owner/name[@revision][/file]`, `https://...`, `s3://...`, `gs://...`, `file://`.
        offline: use only what the hub's own cache holds.
        progress: called with (url, bytes fetched, bytes in all, whether it is the end).

    Raises:
        CheckpointError: there is no such file or folder, it cannot be reached, or may not be.
        MissingPackageError: the package that reaches it is not installed.
    """
    scheme, _, rest = url.partition("://")
    if scheme == "file":
        return Path(rest), None
    if scheme == "hf":
        from ssmspec.checkpoints.remote import hub  # noqa: PLC0415 - only for remote sources

        cached = hub.cached(url)
        if offline or os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0"):
            if cached is None:
                raise CheckpointError(f"{printable(url)} is not in the cache, and --offline is set")
            return cached, None
        return hub.place(url, progress)
    if offline:
        raise CheckpointError(f"{printable(url)} is not on this machine, and --offline is set")
    if scheme in ("http", "https"):
        from ssmspec.checkpoints.remote import http  # noqa: PLC0415 - only for remote sources

        mirror, name = http.mirror(url, progress)
    elif scheme in BUCKETS:
        from ssmspec.checkpoints.remote import buckets  # noqa: PLC0415 - only for remote sources

        mirror, name = buckets.mirror(url, progress)
    else:
        raise CheckpointError(
            f"{printable(url)}: addresses begin with hf, https, s3, gs or file, not "
            f"{printable(scheme)}"
        )
    return mirror.folder / name, mirror
