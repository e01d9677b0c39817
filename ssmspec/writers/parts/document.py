"""One value that a result is said with: a title, lines, tables, lists. Text and Markdown read it.

A result's own file builds the document; how a name, a number column or a list looks is decided here
once for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from rich.text import Text

from ssmspec.naming import printable
from ssmspec.outcome import Skipped
from ssmspec.writers.base import Page
from ssmspec.writers.parts import markdown, terminal
from ssmspec.writers.parts.terminal import Column, Name, hanging

Words: TypeAlias = str | tuple[str, ...]
"""A sentence, in which nothing is markup; a `Name` in it is something out of a file, or an id."""


@dataclass(frozen=True)
class Line:
    """A sentence of its own, with the style it has in a terminal."""

    words: Words
    style: str = ""


@dataclass(frozen=True)
class Heading:
    """What stands over the parts about one layer."""

    words: Words


@dataclass(frozen=True)
class Grid:
    """A table: columns, of which a narrow terminal drops those of the highest rank, and notes."""

    columns: Sequence[Column]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listed:
    """A list under a title; nothing where it is empty."""

    title: str
    items: Sequence[Words]


Part: TypeAlias = Line | Heading | Grid | Listed


@dataclass(frozen=True)
class Document:
    """A result, ready to be read by a person."""

    title: Words
    parts: tuple[Part, ...]


def to_text(document: Document, page: Page) -> str:
    """The document for a person at a terminal; plain and whole in a pipe."""
    return terminal.to_text(_text(document, page), page)


def to_markdown(document: Document) -> str:
    """The document as Markdown; it should be one that was built for no width."""
    return markdown.page(*_markdown(document))


def _text(document: Document, page: Page) -> Iterator[Text]:
    yield from hanging(Text(""), Text(_plain(document.title), style="bold"), page)
    before: Part = Line("")
    for part in document.parts:
        match part:
            case Line(words, style):
                if not isinstance(before, Line):
                    yield Text()
                yield from hanging(Text(""), Text(_plain(words), style=style), page)
            case Heading(words):
                yield Text()
                yield Text(_plain(words), style="bold")
            case Grid(columns, notes):
                if not isinstance(before, Heading):
                    yield Text()
                yield from terminal.lines(columns, page.width)
                for note in notes:
                    yield from hanging(Text(""), Text(printable(note), style="dim"), page)
            case Listed(title, items):
                yield from terminal.titled(title, map(_plain, items), page)
        before = part


def _plain(words: Words) -> str:
    return printable(words if isinstance(words, str) else "".join(words))


def _markdown(document: Document) -> Iterator[str]:
    yield f"# {_marked(document.title)}"
    for part in document.parts:
        match part:
            case Line(words):
                yield _marked(words)
            case Heading(words):
                yield f"## {_marked(words)}"
            case Grid(columns, notes):
                kept, _ = terminal.layout(columns, None)
                rows = zip(*(map(_marked, column.cells) for column in kept), strict=True)
                lefts = [not column.right for column in kept]
                yield markdown.table([_marked(column.header) for column in kept], rows, lefts)
                yield from map(markdown.prose, notes)
            case Listed(title, items):
                yield markdown.bullets(title[:1].upper() + title[1:], map(_marked, items))


def _marked(words: Words) -> str:
    pieces = (words,) if isinstance(words, str) else words
    return "".join(
        markdown.code(piece) if isinstance(piece, Name) else markdown.prose(piece)
        for piece in pieces
    )


def file_name(path: str, page: Page) -> Name:
    """A path; in a terminal its last component."""
    return Name(path if page.width is None else path.rstrip("/").rpartition("/")[2] or path)


def labelled(names: Sequence[str], page: Page) -> tuple[list[Name], tuple[str, ...]]:
    """How layers are called, in a terminal without what their names share, and a note on that."""
    if page.width is None:
        return [Name(printable(name)) for name in names], ()
    labels, pattern = terminal.short_names(names)
    note = f"layers are {pattern.replace('{}', '<layer>')}"
    return list(map(Name, labels)), (note,) if pattern else ()


def joined(names: Sequence[str], page: Page) -> tuple[str, ...]:
    """Names with commas between; in a terminal a long list ends with how many more there are."""
    most = len(names) if page.width is None or page.verbose else terminal.NAMES_SHOWN
    pieces: list[str] = []
    for name in names[:most]:
        pieces += [", ", Name(name)] if pieces else [Name(name)]
    more = len(names) - most
    return (*pieces, f", and {more} more") if more > 0 else tuple(pieces)


def by_reason(reasons: Iterable[tuple[str, str]], page: Page) -> list[Words]:
    """(name, reason) as one item a reason: `a, b: because`."""
    names: dict[str, list[str]] = {}
    for name, reason in reasons:
        names.setdefault(reason, []).append(name)
    return [(*joined(members, page), f": {reason}") for reason, members in names.items()]


def footing(
    assumptions: Sequence[str], skipped: Sequence[Skipped], page: Page
) -> tuple[Listed, Listed]:
    """What every result ends with: what was taken for granted, and what was not measured."""
    entries = by_reason(((entry.name, entry.reason) for entry in skipped), page)
    return Listed("assumed", assumptions), Listed("skipped", entries)


def metric_grid(title: str, ids: Iterable[str], columns: Mapping[str, Sequence[str]]) -> Grid:
    """Metrics one below another: their ids under a title, then columns that go from the right."""
    first = Column(title, list(map(Name, ids)), right=False, style="bold")
    rest = [
        Column(header, cells, rank=i, right=header not in _WORDY)
        for i, (header, cells) in enumerate(columns.items())
    ]
    return Grid([first, *rest])


_WORDY = ("unit", "training moved it")
"""Headers of columns of words."""


def metric_parts(
    name: Words, header: Sequence[str], rows: Mapping[str, tuple[Sequence[str], str]]
) -> Iterator[Part]:
    """Every metric of one layer: a table of those with a number, and why others have none.

    Args:
        name: of the layer.
        header: of the cells after the metric's id.
        rows: metric -> cells, and the reason where one is missing, else "".
    """
    yield Heading(name)
    measured = {key: cells for key, (cells, _) in rows.items() if set(cells) - {"-", ""}}
    if measured:
        columns = zip(*measured.values(), strict=True)
        yield metric_grid("metric", measured, dict(zip(header, columns, strict=True)))
    reasons = [(key, reason) for key, (_, reason) in rows.items() if reason]
    yield Listed("no value", by_reason(reasons, Page()))
