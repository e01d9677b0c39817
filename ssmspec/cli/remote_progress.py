"""What is said on stderr while the bytes of a remote checkpoint travel."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence

REDRAW = 0.2
"""Seconds between two states of a moving line."""

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/")


def tell_of_bytes(arguments: Sequence[str]) -> None:
    """Have what travels from a remote source said on stderr, on a line that moves on a terminal."""
    if not any(_ADDRESS.match(argument) for argument in arguments):
        return
    from ssmspec import checkpoints  # noqa: PLC0415 - not for --help
    from ssmspec.naming import printable  # noqa: PLC0415
    from ssmspec.writers.parts.numbers import byte_size  # noqa: PLC0415

    last = [time.monotonic()]

    def tell(url: str, fetched: int, total: int, end: bool) -> None:
        moving = sys.stderr.isatty()
        if not end and (not moving or time.monotonic() - last[0] < REDRAW):
            return
        last[0] = time.monotonic()
        line = f"read {byte_size(fetched)} of {byte_size(total)} of {printable(url)}"
        sys.stderr.write(f"\r{line}" + ("\n" if end else "") if moving else f"ssmspec: {line}\n")
        sys.stderr.flush()

    is_quiet = not {"--quiet", "-q"}.isdisjoint(arguments)
    checkpoints.PROGRESS = None if is_quiet else tell
