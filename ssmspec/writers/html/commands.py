"""How a report is made again: the command line, and what it was asked with."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator

from ssmspec.naming import printable
from ssmspec.reading import Reading
from ssmspec.results.check import CheckRun
from ssmspec.results.report import Report

MEMORY = "memory"
"""Container of a source that was never a file."""


def reading_arguments(reading: Reading) -> list[str]:
    """A reading as the options of a command line; what was left to the file is left out."""
    given: list[tuple[str, object]] = [
        ("--seq-len", reading.seq_len),
        ("--sample-rate", reading.sample_rate),
        *(("--layer-rate", f"{rate.glob}={rate.sample_rate!r}") for rate in reading.layer_rates),
        ("--row-stride", reading.row_stride),
        ("--resample", reading.resample),
        ("--layers", reading.layers),
        ("--family", reading.family),
        ("--discretization", reading.discretization),
        ("--dt-transform", reading.dt_transform),
        ("--map", reading.layout),
        ("--part", reading.part),
        *(("--assume", name) for name in reading.assume),
        ("--scan", reading.scan),
    ]
    return [part for flag, value in given if value is not None for part in (flag, _written(value))]


def reading_of(report: Report) -> Reading:
    """How a report was asked for; of a saved one, what it tells."""
    if report.reading is not None:
        return report.reading
    return Reading(seq_len=report.sequence_length, sample_rate=report.sample_rate)


def analyze_command(report: Report) -> str:
    """The command that writes this page, or the call that makes the report of a model in memory."""
    reading = reading_of(report)
    if report.checkpoint.container == MEMORY:
        return f"ssmspec.analyze({', '.join(['model', *_keywords(reading)])})"
    return _line(
        ["ssmspec", "analyze", report.checkpoint.path, *reading_arguments(reading)],
        ["--format", "html", "--output", "report.html"],
    )


def check_command(run: CheckRun) -> str:
    """The command that makes this run again, as far as the run itself tells."""
    readings = [reading_of(file.report) for file in run.files if file.report]
    options = ["--preset", run.preset, "--fail-on", run.fail_on.value]
    if run.config is not None:
        options += ["--config", run.config]
    for flag, codes in (("--select", run.select), ("--ignore", run.ignore)):
        if codes:
            options += [flag, ",".join(codes)]
    for baseline in run.baselines:
        options += ["--baseline", baseline]
    return _line(
        ["ssmspec", "check", *(file.path for file in run.files)],
        [] if not readings else reading_arguments(readings[0]),
        options,
        ["--exit-zero"] if run.exit_zero else [],
        ["--format", "html=report.html"],
    )


def options_given(reading: Reading) -> Iterator[tuple[str, str]]:
    """(option, value) of everything that was asked for."""
    arguments = reading_arguments(reading)
    return zip(arguments[::2], arguments[1::2], strict=True)


def _keywords(reading: Reading) -> Iterator[str]:
    for name in ("seq_len", "sample_rate", "row_stride", "resample", "layers", "family"):
        value = getattr(reading, name)
        if value is not None:
            yield f"{name}={value!r}"
    if reading.layer_rates:
        yield f"layer_rates={reading.layer_rates!r}"
    for name in ("discretization", "dt_transform"):
        value = getattr(reading, name)
        if value is not None:
            yield f"{name}={type(value).__name__}.{value.name}"
    if reading.layout is not None:
        yield f"layout=Path({str(reading.layout)!r})"


def _line(*parts: Iterable[str]) -> str:
    return " ".join(shlex.quote(printable(word)) for part in parts for word in part)


def _written(value: object) -> str:
    return repr(value) if isinstance(value, float) else str(value)
