"""Report formats: one a file, report in, string out."""

from __future__ import annotations

from ssmspec.registry import Registry
from ssmspec.report import Report
from ssmspec.writers import csv_report, html_report, json_report, markdown, text
from ssmspec.writers.base import Page, Writer

WRITERS: Registry[Writer[Report]] = Registry(
    "format",
    "ssmspec.writers",
    (text.WRITER, json_report.WRITER, csv_report.WRITER, markdown.WRITER, html_report.WRITER),
    key=lambda writer: writer.id,
)

__all__ = ["WRITERS", "Page", "Writer"]
