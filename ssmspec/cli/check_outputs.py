"""Where the reports of one `ssmspec check` go: stdout, files, and GitHub's step summary."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ssmspec.checkpoints import open_checkpoint
from ssmspec.checkpoints.atomic import require_output
from ssmspec.cli.options import Session
from ssmspec.cli.output import page_for
from ssmspec.cli.streams import put
from ssmspec.errors import SsmspecError, UsageError
from ssmspec.naming import printable
from ssmspec.results.check import CheckRun
from ssmspec.writers import Writer
from ssmspec.writers.check import CHECK_WRITERS

STEP_SUMMARY_BYTES = 1024 * 1024 - 1
"""What GitHub shows of a step's summary; it refuses a larger one altogether."""


@dataclass(frozen=True)
class Target:
    """One `--format`: a writer, and the file it goes to (None for stdout)."""

    writer: Writer[CheckRun]
    path: Path | None


def targets_of(formats: Sequence[str]) -> list[Target]:
    """What `--format FORMAT` and `--format FORMAT=FILE` ask for: files, then the one for stdout.

    Raises:
        UsageError: a format is unknown or names an empty file, or two are for stdout.
    """
    targets = []
    for text in formats:
        name, separator, file = text.partition("=")
        if separator and not file:
            raise UsageError(f"--format {text} names no file; give {name}=FILE")
        targets.append(Target(CHECK_WRITERS.require(name), Path(file) if file else None))
    printed = [target for target in targets if target.path is None]
    if len(printed) > 1:
        names = " and ".join(target.writer.id for target in printed)
        raise UsageError(f"{names} cannot both go to stdout; give one of them a file, FORMAT=FILE")
    files = [target for target in targets if target.path is not None]
    return [*files, *(printed or [Target(CHECK_WRITERS.require("text"), None)])]


def require_outputs(
    outputs: Sequence[Path], inputs: Iterable[Path], *, force: bool
) -> tuple[Path, ...]:
    """Refuse outputs that could not be written, before anything is measured.

    Returns:
        The inputs, with the files that a folder or an index stands for where one of them might be
        replaced.

    Raises:
        UsageError: a file exists and `force` is not given, is one of the inputs, or would be
            written twice.
    """
    protected = tuple(inputs)
    if any(map(os.path.lexists, outputs)):
        protected += tuple(file for path in protected for file in _files_of(path))
    taken: set[str] = set()
    for path in outputs:
        require_output(path, force=force, inputs=protected)
        place = os.path.realpath(path)
        if place in taken:
            raise UsageError(f"{printable(str(path))} would be written twice; name another file")
        taken.add(place)
    return protected


def _files_of(path: Path) -> tuple[Path, ...]:
    """Files that a folder or an index stands for; none where it is no checkpoint."""
    try:
        with open_checkpoint(path, offline=True) as checkpoint:
            return checkpoint.files
    except (SsmspecError, OSError):
        return ()


def render(run: CheckRun, target: Target, *, verbose: bool) -> str:
    """The run in one format, for a terminal, a pipe or a file."""
    return target.writer.render(run, page_for(target.path, verbose=verbose))


def hint(sentence: str, session: Session) -> None:
    """One line on stderr that is no error."""
    if not session.quiet:
        sys.stderr.write(f"ssmspec: hint: {printable(' '.join(sentence.split()))}\n")


def print_report(text: str, session: Session) -> None:
    """Print a run; where stdout is full, the verdict stays and is told by the exit code alone."""
    try:
        put(text)
    except UsageError as error:
        hint(f"the report was not printed: {error}", session)


def complain(run: CheckRun) -> None:
    """One line on stderr for each checkpoint that could not be judged, whatever the format is."""
    for file in run.files:
        if file.error is not None:
            path = printable(file.path)
            about = "" if path in file.error else f"{path}: "
            sys.stderr.write(f"ssmspec: error: {about}{printable(file.error)}\n")


def append_step_summary(run: CheckRun, session: Session) -> None:
    """Inside GitHub Actions, add the run to the step's summary, in the room that is left there.

    A summary that cannot be written changes no verdict.
    """
    name = os.environ.get("GITHUB_STEP_SUMMARY")
    if os.environ.get("GITHUB_ACTIONS") != "true" or not name:
        return
    from ssmspec.writers.check.github import step_summary  # noqa: PLC0415 - only there

    try:
        with Path(name).open("ab") as file:
            held = file.tell()
            break_before = b"\n" if held else b""
            room = STEP_SUMMARY_BYTES - held - len(break_before)
            text = step_summary(run, room).encode() if room > 0 else b""
            if text and len(text) <= room:
                file.write(break_before + text)
            else:
                hint("the step summary is full, so the report was not added to it", session)
    except OSError as error:
        hint(f"the step summary was not written: {error.strerror}", session)
