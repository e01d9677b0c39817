"""What a writer is: a pure function, report in, string out.

To add a format, write one file with one `Writer` record and add it to the table in
`ssmspec/writers/__init__.py`; a third party publishes the same record under the entry-point group
`ssmspec.writers`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Subject = TypeVar("Subject")
"""What is written: a `Report`, a `Comparison`, a `SchemeComparison` or a `Sweep`."""


@dataclass(frozen=True)
class Page:
    """What a report is written onto.

    Attributes:
        width: columns of the terminal; None for a pipe or a file, where nothing is cut or wrapped.
        color: whether ANSI styles are understood.
        verbose: every metric of every layer, not only the headline.
    """

    width: int | None = None
    color: bool = False
    verbose: bool = False


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
