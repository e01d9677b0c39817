"""Lines for a person, as text: styled and wrapped in a terminal, plain and whole in a pipe."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from ssmspec.naming import printable
from ssmspec.outcome import Skipped
from ssmspec.writers.base import Page

NAMES_SHOWN = 6
"""Names a terminal is given of a longer list, unless everything was asked for."""

GLUE = "\ue000"
"""Stands for a space that no line may break at while a text is wrapped."""


def to_text(lines: Iterable[Text], page: Page) -> str:
    """Lines as one string; ANSI styles only where the page has color.

    A line that is marked `no_wrap` stays whole: a command to copy, a row of a table.
    """
    target = io.StringIO()
    console = Console(
        file=target,
        width=page.width or 1_000_000,
        force_terminal=page.color,
        no_color=not page.color,
        color_system="standard" if page.color else None,
        highlight=False,
        markup=False,
        emoji=False,
    )
    for line in lines:
        console.print(line, soft_wrap=page.width is None or line.no_wrap)
    return "\n".join(line.rstrip() for line in target.getvalue().splitlines()) + "\n"


def hanging(label: Text, body: Text, page: Page) -> Iterator[Text]:
    """A label and a text whose further lines are indented under its first."""
    width = page.width or page.wrap
    if width is None:
        yield Text.assemble(label, body)
        return
    room = max(24, width - len(label.plain))
    console = Console(width=room, file=io.StringIO())
    glue = body.plain.replace(" %", GLUE + "%")  # a number and its sign stay together
    glued = Text(glue, style=body.style)
    for i, line in enumerate(glued.wrap(console, room)):
        line.rstrip()
        line.plain = line.plain.replace(GLUE, " ")
        yield Text.assemble(label if i == 0 else " " * len(label.plain), line)


def titled(title: str, items: Iterable[str], page: Page) -> Iterator[Text]:
    """A blank line and a list under a dim title; nothing where the list is empty."""
    shown = list(items)
    if not shown:
        return
    yield Text()
    for i, item in enumerate(shown):
        label = f"{title:<9}" if i == 0 else ""
        label = label.ljust(9 if len(title) < 9 else len(title) + 2)
        yield from hanging(Text(label, style="dim"), Text(printable(item)), page)


def skipped_lines(skipped: Sequence[Skipped], page: Page) -> Iterator[Text]:
    """What was not measured, by reason."""
    by_reason: dict[str, list[str]] = {}
    for entry in skipped:
        by_reason.setdefault(entry.reason, []).append(printable(entry.name))
    yield from titled(
        "skipped", (f"{some(names, page)}: {reason}" for reason, names in by_reason.items()), page
    )


def some(names: Sequence[str], page: Page) -> str:
    """Names joined by commas; in a terminal a long list ends with how many more there are."""
    if page.width is None or page.verbose or len(names) <= NAMES_SHOWN:
        return ", ".join(names)
    return ", ".join([*names[:NAMES_SHOWN], f"and {len(names) - NAMES_SHOWN} more"])


def short_names(names: Sequence[str]) -> tuple[list[str], str]:
    """Names without what they share, and the pattern they were cut from.

    `s4_layers.0.kernel`, `s4_layers.1.kernel` become `0`, `1` and `s4_layers.{}.kernel`. A single
    name is kept whole, with an empty pattern.
    """
    shown = [printable(name) for name in names]
    if len(shown) < 2:
        return shown, ""
    parts = [name.split(".") for name in shown]
    shortest = min(len(p) for p in parts)
    head = _shared(parts, range(shortest - 1))
    tail = _shared([p[::-1] for p in parts], range(shortest - 1 - head))
    if head + tail == 0:
        return shown, ""
    middle = [".".join(p[head : len(p) - tail]) for p in parts]
    ends = (parts[0][:head], ["{}"], parts[0][len(parts[0]) - tail :] if tail else [])
    return middle, ".".join(part for end in ends for part in end)


def _shared(parts: Sequence[Sequence[str]], positions: Iterable[int]) -> int:
    count = 0
    for i in positions:
        if len({p[i] for p in parts}) > 1:
            break
        count += 1
    return count


class Name(str):
    """A name out of a file, an id, or a strip of blocks: shown as it is, never as markup."""

    __slots__ = ()


CORE = 5
"""Columns of this rank and below are the report; those above are extras for wide terminals."""


@dataclass(frozen=True)
class Column:
    """One column of a grid.

    Attributes:
        header: title.
        cells: one text a row.
        rank: importance; where the width runs out the highest rank is dropped first. Rank 0 stays.
        right: aligned to the right, for numbers.
        style: rich style of the cells.
    """

    header: str
    cells: Sequence[str]
    rank: int = 0
    right: bool = True
    style: str = ""

    @cached_property
    def width(self) -> int:
        """Columns the widest entry takes."""
        return max(cell_len(text) for text in (self.header, *self.cells))


def layout(columns: Sequence[Column], width: int | None) -> tuple[list[Column], int]:
    """The columns that fit, and the gap between them.

    Columns without a single entry are left out. Extras (rank above `CORE`) are shown where they fit
    at a gap of two; the others are kept at a gap of one before any of them is dropped.
    """
    kept = [c for c in columns if c.rank == 0 or any(cell not in ("-", "") for cell in c.cells)]
    if width is None:
        return kept, 2
    while True:
        worst = max(c.rank for c in kept)
        for gap in (2,) if worst > CORE else (2, 1):
            if sum(c.width for c in kept) + gap * (len(kept) - 1) <= width:
                return kept, gap
        if worst == 0:
            return kept, 1
        del kept[max(i for i, c in enumerate(kept) if c.rank == worst)]


def lines(columns: Sequence[Column], width: int | None) -> list[Text]:
    """A header line and one line a row."""
    kept, gap = layout(columns, width)
    rows = range(-1, len(kept[0].cells))
    result = []
    for row in rows:
        line = Text(no_wrap=width is None)
        for column in kept:
            text = column.header if row < 0 else column.cells[row]
            padding = " " * (column.width - cell_len(text))
            cell = padding + text if column.right else text + padding
            line.append(cell, style="dim" if row < 0 else column.style)
            line.append(" " * gap)
        line.rstrip()
        result.append(line)
    return result
