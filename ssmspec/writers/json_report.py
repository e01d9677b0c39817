"""The report as JSON: the stable, complete form that scripts and baselines read."""

from __future__ import annotations

import json
from typing import Any, Protocol

from ssmspec.results.report import Report
from ssmspec.writers.base import Page, Writer


class HasDict(Protocol):
    """Any kind of report."""

    def to_dict(self) -> dict[str, Any]:
        """The report in JSON's types."""


def render(report: HasDict, page: Page) -> str:
    """Its `to_dict()`; a NaN or an infinity is an error here, never a token in the file."""
    del page  # JSON has no width, color or verbosity: it is always complete
    return json.dumps(report.to_dict(), indent=2, allow_nan=False, ensure_ascii=True) + "\n"


WRITER: Writer[Report] = Writer("json", "complete report for scripts and baselines", render)
