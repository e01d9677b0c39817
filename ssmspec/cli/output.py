"""Where a command's result goes: stdout or a file that appears whole; hints go to stderr."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ssmspec.cli.options import Session
from ssmspec.cli.streams import put

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from ssmspec.writers import Page

CI_WIDTH = 120
"""Columns of a CI's log, which is no terminal and is read in a browser."""

PROGRESS_AFTER = 1.0
"""Seconds of work after which a progress bar appears."""


def page_for(output: Path | None, *, verbose: bool) -> Page:
    """A terminal gets its width and color; a pipe or a file gets plain, uncut text.

    FORCE_COLOR makes a pipe like a terminal, of COLUMNS where that is set; by itself COLUMNS does
    not, because readline hands it to every child process. The log of a CI (CI is set) is wrapped.
    """
    from ssmspec.writers import Page  # noqa: PLC0415 - not for --help

    if output is not None:
        return Page(verbose=verbose)
    terminal = sys.stdout.isatty()
    forced = os.environ.get("FORCE_COLOR", "0") not in ("", "0")
    capable = terminal and os.environ.get("TERM") != "dumb"
    color = (forced or capable) and "NO_COLOR" not in os.environ
    if terminal or (forced and os.environ.get("COLUMNS", "").isdecimal()):
        width = shutil.get_terminal_size().columns
        return Page(width=width, color=color, verbose=verbose)
    wrap = CI_WIDTH if os.environ.get("CI") else None
    return Page(color=color, verbose=verbose, wrap=wrap)


def deliver(text: str, output: Path | None, session: Session, inputs: tuple[Path, ...]) -> None:
    """Print a report, or write it to a file whole or not at all.

    Raises:
        UsageError: the file exists and `--force` was not given, or it is one of the inputs.
    """
    if output is None:
        put(text)
        return
    from ssmspec.checkpoints.atomic import atomic_output  # noqa: PLC0415 - not for --help

    with atomic_output(output, force=session.force, inputs=inputs) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


@contextmanager
def progress_bar(title: str, session: Session) -> Iterator[Callable[[int, int], None]]:
    """A callback (done, total) that draws a bar on stderr once work has lasted a second."""
    started = time.monotonic()
    bar: Progress | None = None
    task: TaskID | None = None

    def advance(done: int, total: int) -> None:
        nonlocal bar, task
        if session.quiet or not sys.stderr.isatty():
            return
        if bar is None and time.monotonic() - started > PROGRESS_AFTER:
            from rich.console import Console  # noqa: PLC0415 - only for work that lasts
            from rich.progress import Progress as Bar  # noqa: PLC0415

            bar = Bar(console=Console(stderr=True), transient=True)
            bar.start()
            task = bar.add_task(title, total=total)
        if bar is not None and task is not None:
            bar.update(task, completed=done)

    try:
        yield advance
    finally:
        if bar is not None:
            bar.stop()
