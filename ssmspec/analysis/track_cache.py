"""What a tracked run's checkpoints were measured to be, kept from one call to the next.

The file has the form of a tracked run's JSON report and is read as carefully; in the place of a
path stands a key of the path, of the sizes and times of its files, of how it was read, and of the
program's version. What fits the key was measured from the same bytes in the same way.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from ssmspec._version import __version__
from ssmspec.checkpoints.atomic import atomic_output
from ssmspec.checkpoints.directory import INDEX_SUFFIX, MAX_ENTRIES
from ssmspec.checkpoints.remote import url_of
from ssmspec.errors import CheckpointError
from ssmspec.naming import shown
from ssmspec.reading import Reading
from ssmspec.results.base import SCHEMA_VERSION, TOOL
from ssmspec.results.report import Report
from ssmspec.results.saved import MAX_BYTES, load_run

_KEY = re.compile(r"[0-9a-f]{64}")


def load_cache(path: Path) -> dict[str, Report]:
    """Key -> report of what an earlier call measured; nothing where there is no file.

    Raises:
        CheckpointError: the file is damaged or something else; it is left as it is.
    """
    if not os.path.lexists(path):
        return {}
    try:
        kept = {each.path: each.report for each in load_run(path).checks}
    except CheckpointError:
        kept = {"": None}
    if not all(_KEY.fullmatch(key) for key in kept):
        raise CheckpointError(
            f"{shown(path)} is no whole cache of a tracked run; name another file with --cache, "
            f"or remove this one if it was a cache and was damaged"
        )
    return {key: report for key, report in kept.items() if report is not None}


def save_cache(path: Path, kept: Mapping[str, Report], inputs: tuple[Path, ...]) -> str:
    """Write the cache whole or not at all.

    Returns:
        Why it was not written, or "".

    Raises:
        UsageError: it cannot be written there.
    """
    content = {
        "schema_version": SCHEMA_VERSION,
        "tool": TOOL,
        "track": {"cache": True},
        "checkpoints": [{"path": key, "report": r.to_dict()} for key, r in kept.items()],
    }
    text = json.dumps(content, allow_nan=False)
    if len(text) > MAX_BYTES:
        return f"the measurements take more than {MAX_BYTES:,} bytes and were not kept in the cache"
    with atomic_output(path, force=True, inputs=inputs) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return ""


def key_of(path: str, reading: Reading, *, alone: bool) -> str | None:
    """What tells one state of a checkpoint, read one way, from any other.

    Args:
        path: a file, a folder or an address.
        reading: how it is read.
        alone: nothing else in a file's folder belongs to it.

    Returns:
        64 hex digits; None where it cannot be told whether it changed: an address, for one.
    """
    if url_of(path) is not None:
        return None
    place = Path(path).resolve()
    whole = place if place.is_dir() or (alone and not place.name.endswith(INDEX_SUFFIX)) else None
    layout = [] if reading.layout is None else list(_states(reading.layout.resolve()))
    try:
        states = list(islice(_states(whole or place.parent), MAX_ENTRIES + 1))
    except OSError:
        return None
    if len(states) > MAX_ENTRIES:
        return None
    told = json.dumps([__version__, repr(reading), layout, str(place), sorted(states)])
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()


def _states(place: Path) -> Iterator[tuple[str, int, int]]:
    """(path, bytes, time of the last change in ns) of a file, or of every file in a folder."""
    if not place.is_dir():
        status = place.stat()
        yield str(place), status.st_size, status.st_mtime_ns
        return
    for folder, _, names in os.walk(place):
        for name in names:
            status = (Path(folder) / name).stat()
            yield str(Path(folder) / name), status.st_size, status.st_mtime_ns
