"""Report formats: one a file, report in, string out."""

from __future__ import annotations

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

__all__ = ["WRITERS", "Page", "Writer"]
