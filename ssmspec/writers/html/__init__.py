"""Pages: one part of a page a file. Here stand the records only: jinja2 loads when one is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ssmspec.results.report import Report
from ssmspec.writers.base import Page, Writer

if TYPE_CHECKING:
    from ssmspec.results.check import CheckRun

TITLE = "one self-contained page with figures, for people"


def render(report: Report, target: Page) -> str:
    """The page of one analysis."""
    del target  # a page is always complete, and takes its width and colors from its reader
    from ssmspec.writers.html.page import report_page  # noqa: PLC0415 - jinja2, and the figures

    return report_page(report)


def render_check(run: CheckRun, target: Page) -> str:
    """The page of one run of the gate."""
    del target
    from ssmspec.writers.html.page import check_page  # noqa: PLC0415 - jinja2, and the figures

    return check_page(run)


WRITER: Writer[Report] = Writer("html", TITLE, render)
CHECK_WRITER: Writer[CheckRun] = Writer("html", TITLE, render_check)
