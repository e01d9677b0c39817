"""Formats of a check; loaded by its command."""

from __future__ import annotations

from ssmspec.registry import Registry
from ssmspec.results.check import CheckRun
from ssmspec.writers import html
from ssmspec.writers.base import Writer, to_json
from ssmspec.writers.check import github, junit
from ssmspec.writers.check import markdown as check_markdown
from ssmspec.writers.check import text as check_text

CHECK_WRITERS: Registry[Writer[CheckRun]] = Registry(
    "format",
    "ssmspec.check_writers",
    (
        check_text.WRITER,
        Writer("json", "complete, for scripts and baselines", to_json),
        check_markdown.WRITER,
        junit.WRITER,
        github.WRITER,
        html.CHECK_WRITER,
    ),
    key=lambda writer: writer.id,
)
