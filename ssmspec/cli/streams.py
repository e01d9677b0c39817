"""Standard streams that cannot be written to, or not in every character: said, dropped, replaced.

What a command found out must not depend on where its words go. A closed stream is taken as one that
nobody reads; complaints to a full or broken stderr are dropped; characters a stream cannot carry
become ASCII.
"""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO

from ssmspec.errors import UsageError

BLOCKS = "▁▂▃▄▅▆▇█"
"""What small curves in a text are drawn with."""

_ASCII = str.maketrans({**dict(zip(BLOCKS, "_.:-=+*#", strict=True)), "→": ">", "·": "-", "…": "~"})
"""One character for one, so that columns stay aligned."""


class _DroppedWhereFull(io.FileIO):
    """stderr as bytes: what cannot be written there is dropped."""

    def write(self, data: object, /) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]
        except OSError:
            return memoryview(data).nbytes  # type: ignore[arg-type]


def settle() -> None:
    """Make both streams writable: only a full or broken stdout raises anything afterwards.

    A closed descriptor is given to the null device first: else the next file that is opened would
    get its number, and what libraries say on stderr would go into it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = _settled(sys.stdout)
    sys.stderr = _settled(sys.stderr)
    on_console = os.name == "nt" and sys.stderr.isatty()  # written to by calls of its own
    if not on_console and isinstance(sys.stderr, io.TextIOWrapper) and _number(sys.stderr) == 2:
        raw = _DroppedWhereFull(2, "w", closefd=False)
        sys.stderr = io.TextIOWrapper(
            raw,
            encoding=sys.stderr.encoding,
            errors="backslashreplace",
            write_through=True,
        )


def _settled(stream: TextIO | None) -> TextIO:
    if stream is None:  # closed before the program began
        return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return stream


def _number(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return None


def as_carried(text: str, stream: TextIO) -> str:
    """A text in characters that a stream can carry.

    Where one is not in its encoding, all that is drawn becomes ASCII, so that no curve is half one
    and half the other; other characters become escapes.
    """
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        plain = text.translate(_ASCII)
        return plain.encode(encoding, "backslashreplace").decode(encoding)
    return text


def put(text: str) -> None:
    """Print to stdout now, so that a fault of it shows now.

    Raises:
        UsageError: stdout cannot be written to, as on a full disk.
        BrokenPipeError: nobody reads it any more.
    """
    try:
        sys.stdout.write(as_carried(text, sys.stdout))
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        let_go_of_stdout()
        cause = error.strerror or type(error).__name__
        raise UsageError(f"stdout cannot be written: {cause}") from None


def let_go_of_stdout() -> None:
    """Send what stdout still holds to the null device, before the process's end tries again."""
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, sys.stdout.fileno())
    except (OSError, ValueError):
        return  # it is no file of the system
    finally:
        os.close(null)
