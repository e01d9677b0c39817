"""Report formats: one a file, report in, string out."""

from __future__ import annotations

from ssmspec.registry import Registry
from ssmspec.writers import csv_report, json_report, text
from ssmspec.writers.base import Page, Writer

WRITERS: Registry[Writer] = Registry(
    "format",
    "ssmspec.writers",
    (text.WRITER, json_report.WRITER, csv_report.WRITER),
    key=lambda writer: writer.id,
)

__all__ = ["WRITERS", "Page", "Writer"]
