"""The formats of a result that has a document: text, JSON, CSV, Markdown and a page."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeAlias, TypeVar

from ssmspec.writers.base import HasDict, Page, Writer, to_json
from ssmspec.writers.parts.document import Document, to_markdown, to_text
from ssmspec.writers.parts.tidy import Row, to_csv

Subject = TypeVar("Subject", bound=HasDict)
Build: TypeAlias = Callable[[Subject, Page], Document]


def formats(
    build: Build[Subject],
    csv: tuple[str, tuple[str, ...], Callable[[Subject], Iterable[Row]]] | None = None,
    figure: Callable[[Subject], str] | None = None,
) -> tuple[Writer[Subject], ...]:
    """The formats of one kind of result.

    Args:
        build: the document, as a page of some width and verbosity wants it.
        csv: what a row of the tidy table is, its header, and its rows; None where there is none.
        figure: SVG that its page shows, "" where nothing can be drawn; None where it has none.
    """

    def as_text(subject: Subject, page: Page) -> str:
        return to_text(build(subject, page), page)

    def as_markdown(subject: Subject, page: Page) -> str:
        return to_markdown(build(subject, replace(page, width=None)))

    def as_html(subject: Subject, page: Page) -> str:
        from ssmspec.writers.html.page import document_page  # noqa: PLC0415 - jinja2

        document = build(subject, replace(page, width=None))
        return document_page(document, figure(subject) if figure else "")

    writers: list[Writer[Subject]] = [
        Writer("text", "for a person: plain in a pipe, styled in a terminal", as_text),
        Writer("json", "complete, for scripts", to_json),
        Writer("markdown", "tables for pull requests and model cards", as_markdown),
        Writer("html", "one self-contained page, for people", as_html),
    ]
    if csv is not None:
        about, header, rows = csv
        writers.insert(2, Writer("csv", about, lambda subject, _: to_csv(header, rows(subject))))
    return tuple(writers)
