"""Formats of a check; loaded by its command."""

from __future__ import annotations

from ssmspec.check_report import CheckRun
from ssmspec.registry import Registry
from ssmspec.writers import check_markdown, check_text, github, html_report, json_report, junit
from ssmspec.writers.base import Writer

CHECK_WRITERS: Registry[Writer[CheckRun]] = Registry(
    "format",
    "ssmspec.check_writers",
    (
        check_text.WRITER,
        Writer("json", "complete, for scripts and baselines", json_report.render),
        check_markdown.WRITER,
        junit.WRITER,
        github.WRITER,
        html_report.CHECK_WRITER,
    ),
    key=lambda writer: writer.id,
)
