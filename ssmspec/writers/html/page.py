"""Pages: templates filled with one subject, or with all those of a gate.

A page is one file that loads nothing: style and script are inlined, and a content security policy
forbids everything else, so that no name out of a checkpoint could run or fetch anything even if the
escaping of the templates failed.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from ssmspec._version import __version__
from ssmspec.results.check import (
    COULD_NOT_JUDGE,
    GATE_FAILED,
    PASSED,
    CheckedFile,
    CheckRun,
    Status,
)
from ssmspec.results.report import Report
from ssmspec.writers.html.commands import analyze_command, check_command
from ssmspec.writers.html.figures import MOST_FIGURES, Figures, draw, most_telling, shared_out
from ssmspec.writers.html.findings import PLACES_OPEN
from ssmspec.writers.html.subject import Subject, analyzed, checked
from ssmspec.writers.html.templates import fill, source
from ssmspec.writers.parts.document import Document, Grid, Words
from ssmspec.writers.parts.terminal import Name, layout
from ssmspec.writers.parts.verdicts import counted, ground_rules, outcome, worst_first

_WORDS = {
    PASSED: ("pass", "Gate passed"),
    GATE_FAILED: ("fail", "Gate failed"),
    COULD_NOT_JUDGE: ("none", "Could not judge"),
}


@dataclass(frozen=True)
class Gate:
    """What a run of the gate came to.

    Attributes:
        verdict: `pass`, `fail` or `none`, which gives the color.
        word: for people.
        sentence: what that means for the exit code.
        facts: (what, value) of how it was judged.
        compared: there is a baseline.
        rows: one line a checkpoint.
    """

    verdict: str
    word: str
    sentence: str
    facts: tuple[tuple[str, str], ...]
    compared: bool
    rows: tuple[GateRow, ...]


@dataclass(frozen=True)
class GateRow:
    """One checkpoint in the list on top."""

    subject: Subject
    layers: int | None
    findings: str
    failing: int
    new: int
    unchanged: int
    fixed: int


def report_page(report: Report) -> str:
    """One analysis as a page."""
    telling = most_telling(report.layers, report.findings)
    (names,) = shared_out([telling], MOST_FIGURES)
    subject = analyzed(report, telling, draw(report, names, ""))
    drawn = bool(subject.layers)
    return _filled("report.html", figures=drawn, subject=subject, command=analyze_command(report))


def check_page(run: CheckRun) -> str:
    """One run of the gate as a page."""
    ordered = worst_first(run.files)
    telling = [_telling(file) for file in ordered]
    subjects = [
        checked(
            file,
            f"c{i}-",
            telling[i],
            draw(file.report, names, f"c{i}-") if file.report else Figures({}),
        )
        for i, (file, names) in enumerate(
            zip(ordered, shared_out(telling, MOST_FIGURES), strict=True)
        )
    ]
    drawn = any(subject.layers for subject in subjects)
    gate = _gate(run, ordered, subjects)
    return _filled("check.html", figures=drawn, gate=gate, command=check_command(run))


def document_page(document: Document, figure: str) -> str:
    """A result that has a document as a page.

    Args:
        document: what it says.
        figure: inline SVG, or "".
    """
    parts = [
        (type(part).__name__, part, layout(part.columns, None)[0] if isinstance(part, Grid) else ())
        for part in document.parts
    ]
    svg = Markup(figure)  # noqa: S704 - our own figure
    return _filled(
        "document.html",
        figures=bool(figure),
        title=document.title,
        parts=parts,
        figure=svg,
        pieces=_pieces,
    )


def _pieces(words: Words) -> list[tuple[bool, str]]:
    """Words as pieces: (whether it is a name, text)."""
    said = (words,) if isinstance(words, str) else words
    return [(isinstance(piece, Name), piece) for piece in said]


def _telling(file: CheckedFile) -> list[str]:
    if file.report is None:
        return []
    return most_telling(file.report.layers, [judged.finding for judged in file.findings])


def _gate(run: CheckRun, ordered: Sequence[CheckedFile], subjects: Sequence[Subject]) -> Gate:
    verdict, word = _WORDS[max((file.exit_code for file in run.files), default=COULD_NOT_JUDGE)]
    facts = [
        ("rules", ground_rules(run)),
        ("exit code", str(run.exit_code)),
        *(("note", hint) for hint in run.hints),
    ]
    rows = [_gate_row(file, subject) for file, subject in zip(ordered, subjects, strict=True)]
    return Gate(
        verdict=verdict,
        word=word,
        sentence=outcome(run),
        facts=tuple(facts),
        compared=bool(run.baselines),
        rows=tuple(rows),
    )


def _gate_row(file: CheckedFile, subject: Subject) -> GateRow:
    statuses = [judged.status for judged in file.findings]
    return GateRow(
        subject=subject,
        layers=len(file.report.layers) if file.report else None,
        findings=counted(judged.finding for judged in file.findings) or "none",
        failing=len(file.failing),
        new=statuses.count(Status.NEW),
        unchanged=statuses.count(Status.UNCHANGED),
        fixed=len(file.fixed),
    )


def _figure_colors() -> str:
    """The colors of figures as CSS variables, for light and for dark pages."""
    from ssmspec.plots.style import COLORS  # noqa: PLC0415 - loads matplotlib

    light = "".join(f"--plot-{color.name}:{color.light};" for color in COLORS)
    dark = "".join(f"--plot-{color.name}:{color.dark};" for color in COLORS)
    return f":root{{{light}}}\n@media screen and (prefers-color-scheme: dark){{:root{{{dark}}}}}\n"


def _filled(template: str, *, figures: bool, **values: object) -> str:
    script = source("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return fill(
        template,
        **values,
        version=__version__,
        open=PLACES_OPEN,
        style=Markup(source("report.css")),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        script_hash=digest,
        colors=Markup(_figure_colors() if figures else ""),  # noqa: S704 - our own table
    )
