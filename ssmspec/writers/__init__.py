"""Report formats: one a file, report in, string out."""

from __future__ import annotations

from ssmspec.registry import Registry
from ssmspec.results.report import Report
from ssmspec.writers import html_report, json_report
from ssmspec.writers.base import Page, Writer
from ssmspec.writers.report import csv as csv_report
from ssmspec.writers.report import markdown, text

WRITERS: Registry[Writer[Report]] = Registry(
    "format",
    "ssmspec.writers",
    (text.WRITER, json_report.WRITER, csv_report.WRITER, markdown.WRITER, html_report.WRITER),
    key=lambda writer: writer.id,
)

__all__ = ["WRITERS", "Page", "Writer"]
