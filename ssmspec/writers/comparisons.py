"""Formats of the reports that set something beside something else; loaded by their commands."""

from __future__ import annotations

from ssmspec.registry import Registry
from ssmspec.results.against import SchemeComparison
from ssmspec.results.comparison import Comparison
from ssmspec.results.sweep import Sweep
from ssmspec.writers import against as against_text
from ssmspec.writers import against_tables, comparison_tables, sweep_tables
from ssmspec.writers import comparison as comparison_text
from ssmspec.writers import sweep as sweep_text
from ssmspec.writers.base import Writer, to_json

_JSON, _COMPLETE = "json", "complete, for scripts"

COMPARISON_WRITERS: Registry[Writer[Comparison]] = Registry(
    "format",
    "ssmspec.comparison_writers",
    (
        comparison_text.WRITER,
        Writer(_JSON, _COMPLETE, to_json),
        comparison_tables.CSV,
        comparison_tables.MARKDOWN,
    ),
    key=lambda writer: writer.id,
)

AGAINST_WRITERS: Registry[Writer[SchemeComparison]] = Registry(
    "format",
    "ssmspec.against_writers",
    (
        against_text.WRITER,
        Writer(_JSON, _COMPLETE, to_json),
        against_tables.CSV,
        against_tables.MARKDOWN,
    ),
    key=lambda writer: writer.id,
)

SWEEP_WRITERS: Registry[Writer[Sweep]] = Registry(
    "format",
    "ssmspec.sweep_writers",
    (
        sweep_text.WRITER,
        Writer(_JSON, _COMPLETE, to_json),
        sweep_tables.CSV,
        sweep_tables.MARKDOWN,
    ),
    key=lambda writer: writer.id,
)
