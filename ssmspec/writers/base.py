"""What a writer is: a pure function, report in, string out.

To add a format, write one file with one `Writer` record and add it to the table in
`ssmspec/writers/__init__.py`; a third party publishes the same record under the entry-point group
`ssmspec.writers`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from ssmspec.results.report import Report

Subject = TypeVar("Subject")
"""What is written: a `Report`, a `Comparison`, a `SchemeComparison` or a `Sweep`."""


@dataclass(frozen=True)
class Page:
    """What a report is written onto.

    Attributes:
        width: columns of the terminal; None for a pipe or a file, where nothing is cut or wrapped.
        wrap: columns that prose and lists are wrapped at where there is no width, as in the log of
            a CI; names and tables stay whole.
        color: whether ANSI styles are understood.
        verbose: every metric of every layer, not only the headline.
    """

    width: int | None = None
    color: bool = False
    verbose: bool = False
    wrap: int | None = None


@dataclass(frozen=True)
class Writer(Generic[Subject]):
    """One format of one kind of report.

    Attributes:
        id: the name `--format` takes.
        title: one line for people.
        render: the report as text, ending in a newline.
    """

    id: str
    title: str
    render: Callable[[Subject, Page], str]


class HasDict(Protocol):
    """Any kind of report."""

    def to_dict(self) -> dict[str, Any]:
        """The report in JSON's types."""


def to_json(report: HasDict, page: Page) -> str:
    """Its `to_dict()`; a NaN or an infinity is an error here, never a token in the file."""
    del page  # JSON has no width, color or verbosity: it is always complete
    return json.dumps(report.to_dict(), indent=2, allow_nan=False, ensure_ascii=True) + "\n"


JSON: Writer[Report] = Writer("json", "complete report for scripts and baselines", to_json)
