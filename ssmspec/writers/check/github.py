"""A check as workflow commands: GitHub shows them as annotations of the run and of the files.

One annotation stands for all layers on which one rule fired, because GitHub shows ten of a level
from one step and drops the others without a word.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ssmspec.naming import printable
from ssmspec.outcome import Level
from ssmspec.results.check import CheckedFile, CheckRun, Status
from ssmspec.writers.base import Page, Writer
from ssmspec.writers.check.markdown import cut
from ssmspec.writers.parts.markdown import clipped
from ssmspec.writers.parts.numbers import count
from ssmspec.writers.parts.verdicts import file_sentence, groups, outcome, title, worst_first

SHOWN = 9
"""Annotations of a level; the tenth that GitHub shows says how many more there are."""
MESSAGE_LENGTH = 1_000
NAME_LENGTH = 100
"""Characters of a message and of a layer's name."""

_COMMAND = {Level.ERROR: "error", Level.WARNING: "warning", Level.INFO: "notice"}
_NARROW = Page(width=80)
"""What has long lists of names counted."""


@dataclass(frozen=True)
class _Annotation:
    """One workflow command. `findings` is how many findings it stands for."""

    level: Level
    file: str
    title: str
    message: str
    findings: int

    @property
    def line(self) -> str:
        return _command(_COMMAND[self.level], self.message, file=self.file, title=self.title)


def render(run: CheckRun, page: Page) -> str:
    """Annotations, worst first, and what the exit code means in a line of its own.

    What the baseline already holds is counted there and not annotated: an annotation is about what
    this change did, and there are only ten.
    """
    del page
    annotations = [a for file in worst_first(run.files) for a in _annotations(file)]
    lines: list[str] = []
    for level in Level:
        alike = [annotation for annotation in annotations if annotation.level is level]
        lines += (annotation.line for annotation in alike[:SHOWN])
        lines += _remainder(level, alike[SHOWN:])
    lines.append(f"ssmspec check: {outcome(run)} (exit code {run.exit_code})")
    return "".join(f"{line}\n" for line in lines)


def step_summary(run: CheckRun, room: int) -> str:
    """The run as Markdown for `$GITHUB_STEP_SUMMARY`.

    Args:
        run: the check.
        room: bytes the summary may still take.

    Returns:
        At most `room` bytes, cut between blocks with a line that says what is missing; "" where
        there is no room for anything.
    """
    return cut(run, room)


def data(text: str) -> str:
    """A message as a workflow command carries it."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def value(text: str) -> str:
    """A property's value as a workflow command carries it."""
    return data(text).replace(":", "%3A").replace(",", "%2C")


def _annotations(file: CheckedFile) -> Iterator[_Annotation]:
    if file.error is not None:
        sentence = clipped(file_sentence(file), MESSAGE_LENGTH)
        yield _Annotation(Level.ERROR, file.path, "ssmspec: could not be judged", sentence, 1)
    layers = len(file.report.layers) if file.report else 0
    for group in groups(file):
        if group.status in (Status.UNCHANGED, Status.FIXED):
            continue
        place = group.where(lambda name: clipped(name, NAME_LENGTH), layers, _NARROW)
        yield _Annotation(
            level=group.level,
            file=file.path,
            title=": ".join(filter(None, (f"ssmspec {group.code}", title(group.code)))),
            message=f"{place}: {clipped(group.message, MESSAGE_LENGTH)}",
            findings=len(group.findings),
        )


def _remainder(level: Level, left: Sequence[_Annotation]) -> Iterator[str]:
    if left:
        number = sum(annotation.findings for annotation in left)
        several = count(number, f"more {_COMMAND[level]}")
        text = f"and {several}; the step summary and the other formats have them"
        yield _command(_COMMAND[level], text, title="ssmspec check")


def _command(command: str, message: str, **properties: str) -> str:
    told = ",".join(f"{key}={value(_whole(text))}" for key, text in properties.items())
    return f"::{command} {told}::{data(message)}"


def _whole(text: str) -> str:
    """A path as it is, so that it is found; without what a terminal would obey."""
    return text if text.isprintable() and "##[" not in text else printable(text)


WRITER: Writer[CheckRun] = Writer(
    "github", "annotations for GitHub Actions, at most nine of a level and a remainder", render
)
