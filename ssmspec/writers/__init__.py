"""Formats, one a file: a result in, a string out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ssmspec.registry import Registry
from ssmspec.results.report import Report
from ssmspec.writers import html
from ssmspec.writers.base import JSON, Page, Writer
from ssmspec.writers.report import csv as csv_report
from ssmspec.writers.report import markdown, text

WRITERS: Registry[Writer[Report]] = Registry(
    "format",
    "ssmspec.writers",
    (text.WRITER, JSON, csv_report.WRITER, markdown.WRITER, html.WRITER),
    key=lambda writer: writer.id,
)


def _check() -> Registry[Any]:
    from ssmspec.writers.check import CHECK_WRITERS  # noqa: PLC0415 - as every one below: when used

    return CHECK_WRITERS


def _comparison() -> Registry[Any]:
    from ssmspec.writers.comparison import COMPARISON_WRITERS  # noqa: PLC0415

    return COMPARISON_WRITERS


def _against() -> Registry[Any]:
    from ssmspec.writers.against import AGAINST_WRITERS  # noqa: PLC0415

    return AGAINST_WRITERS


def _sweep() -> Registry[Any]:
    from ssmspec.writers.sweep import SWEEP_WRITERS  # noqa: PLC0415

    return SWEEP_WRITERS


def _stored_as() -> Registry[Any]:
    from ssmspec.writers.stored_as import STORED_AS_WRITERS  # noqa: PLC0415

    return STORED_AS_WRITERS


def _track() -> Registry[Any]:
    from ssmspec.writers.track import TRACK_WRITERS  # noqa: PLC0415

    return TRACK_WRITERS


def _reinit() -> Registry[Any]:
    from ssmspec.writers.reinit import REINIT_WRITERS  # noqa: PLC0415

    return REINIT_WRITERS


def _export() -> Registry[Any]:
    from ssmspec.writers.export import EXPORT_WRITERS  # noqa: PLC0415

    return EXPORT_WRITERS


def _evaluation() -> Registry[Any]:
    from ssmspec.writers.evaluation import EVALUATION_WRITERS  # noqa: PLC0415

    return EVALUATION_WRITERS


FORMATS: Mapping[str, Callable[[], Registry[Writer[Any]]]] = {
    "report": lambda: WRITERS,
    "against": _against,
    "sweep": _sweep,
    "stored-as": _stored_as,
    "track": _track,
    "check": _check,
    "comparison": _comparison,
    "reinit": _reinit,
    "export": _export,
    "evaluation": _evaluation,
}
"""What is written -> the table of its formats; each is loaded when it is asked for."""

__all__ = ["FORMATS", "WRITERS", "Page", "Writer"]
