"""A report with its face: what a notebook shows of it, and the figures it can draw.

The numbers are `ssmspec.results.report.Report`, which knows neither writers nor figures.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ssmspec.errors import SsmspecError, UsageError
from ssmspec.naming import did_you_mean, printable
from ssmspec.results import saved
from ssmspec.results.layer_view import LayerView
from ssmspec.results.report import Report
from ssmspec.results.sweep import Knob

if TYPE_CHECKING:
    from ssmspec.plots.files import Drawing


_SUFFIXES = {".html": "html", ".json": "json", ".md": "markdown", ".csv": "csv", ".txt": "text"}


@dataclass(frozen=True, eq=False, kw_only=True)
class AnalyzedReport(Report):  # noqa: PLW1641 - metrics are mappings: none can be hashed
    """A `Report` that shows itself. It equals a plain one with the same numbers."""

    @classmethod
    def of(cls, report: Report) -> AnalyzedReport:
        """The same numbers, with a face; a report that was loaded from a file, for one."""
        return cls(**{field.name: getattr(report, field.name) for field in fields(Report)})

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Report):
            return NotImplemented
        compared = [field.name for field in fields(Report) if field.compare]
        return all(getattr(self, name) == getattr(other, name) for name in compared)

    @property
    def plot(self) -> ReportPlots:
        """Figures: `report.plot.poles()`, `report.plot.coverage()`, ... (`ssmspec.plots`)."""
        return ReportPlots(self)

    def __str__(self) -> str:
        """What `ssmspec analyze` prints, plain and whole."""
        return self._written("text").rstrip("\n")

    def to_markdown(self, *, verbose: bool = False) -> str:
        """Tables for a pull request or a model card; every metric of every layer when verbose."""
        return self._written("markdown", verbose=verbose)

    def to_json(self) -> str:
        """What `analyze --format json` writes: complete, and what `load_report` reads."""
        return self._written("json")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the report in the format of the file's suffix, over a file that is there.

        Args:
            path: ends in `.html`, `.json`, `.md`, `.csv` or `.txt`.

        Raises:
            UsageError: no format has this suffix, or the file is the checkpoint itself.
        """
        from ssmspec.checkpoints.atomic import atomic_output  # noqa: PLC0415 - for what is saved

        target = Path(path)
        suffix = target.suffix.lower()
        if suffix not in _SUFFIXES:
            near = did_you_mean(suffix, _SUFFIXES)
            raise UsageError(f"no report format has the suffix {printable(suffix)!r}; {near}")
        text = self._written(_SUFFIXES[suffix])
        inputs = (Path(self.checkpoint.path),)
        with atomic_output(target, force=True, inputs=inputs) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def _written(self, form: str, *, verbose: bool = False) -> str:
        from ssmspec.writers import WRITERS, Page  # noqa: PLC0415 - for what is shown

        return WRITERS[form].render(self, Page(verbose=verbose))

    def _repr_html_(self) -> str:
        """A compact table with strips, for notebooks."""
        from ssmspec.writers.html.notebook import render  # noqa: PLC0415 - jinja2

        return render(self)


def load_report(path: str | os.PathLike[str]) -> AnalyzedReport:
    """A report that `analyze --format json` saved; it holds numbers and no poles.

    Raises:
        CheckpointError: the file cannot be read, or is not a report of a version this program
            reads.
    """
    return AnalyzedReport.of(saved.load_report(Path(path)))


@dataclass(frozen=True)
class ReportPlots:
    """Figures of one report; each is a matplotlib `Figure`.

    The layers are read again, because a report keeps no poles.

    Attributes:
        report: of `ssmspec.analyze`. One that was loaded from a file has nothing to draw from.
    """

    report: Report

    def poles(self, against: str = "dfout") -> Drawing:
        """Poles on the unit disk and along its rim, beside those of a scheme."""
        return self._drawn("poles", against)

    def coverage(self, against: str = "dfout") -> Drawing:
        """What each layer reaches from 0 to Nyquist, and how its power is spread."""
        return self._drawn("coverage", against)

    def entanglement(self, against: str = "dfout") -> Drawing:
        """Decay against frequency, colored by step size."""
        return self._drawn("entanglement", against)

    def timescales(self, against: str = "dfout") -> Drawing:
        """Time constants by octave against the sequence length."""
        return self._drawn("timescales", against)

    def kernels(self) -> Drawing:
        """Kernels as a heat map, and their energy by lag."""
        return self._drawn("kernels")

    def response(self) -> Drawing:
        """Gain of the channels in dB along the band."""
        return self._drawn("response")

    def sweep(self, knob: Knob | str = Knob.DT) -> Drawing:
        """Coverage, aliasing, flatness and memory with step sizes (dt) or decays (xi) scaled."""
        from ssmspec.analysis.sweep import sweep_report  # noqa: PLC0415 - only where it is drawn

        self._layers()
        return _figure("sweep", sweep_report(self.report, knob))

    def _drawn(self, kind: str, against: str = "dfout") -> Drawing:
        return _figure(kind, self._layers(), against)

    def _layers(self) -> Iterator[LayerView]:
        if self.report.origin is None:
            raise SsmspecError(
                "a report that was loaded from a file holds numbers and no poles; analyze the "
                "checkpoint again to draw it"
            )
        return self.report.origin()


def _figure(kind: str, subject: Any, against: str = "dfout") -> Drawing:
    from ssmspec.plots import KINDS, PlotOptions  # noqa: PLC0415 - matplotlib, for whoever draws

    return cast("Drawing", KINDS[kind].draw(subject, PlotOptions(against)))
