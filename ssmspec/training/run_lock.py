"""One process at a time writes the folder of a run.

The lock lies on the folder itself and leaves no file behind; the system lifts it when the process
ends, however it ends. Systems that cannot lock a folder (Windows, some network file systems) give
none.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ssmspec.checkpoints.atomic import sweep
from ssmspec.errors import UsageError
from ssmspec.naming import shown


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder, made where it is absent, and clear away what killed runs were writing.

    Raises:
        UsageError: another process holds it, or it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{shown(folder)} cannot be used: {error.strerror or error}") from None
    if sys.platform == "win32":
        yield
        return
    import fcntl  # noqa: PLC0415 - there is none on Windows

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"another process is training into {shown(folder)}; wait for it, or choose another "
                f"folder"
            ) from None
        except OSError:  # no locks on this file system
            yield
            return
        sweep(folder)
        yield
    finally:
        os.close(descriptor)
