"""Lines for a person, as text: styled and wrapped in a terminal, plain and whole in a pipe."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence

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
    """Lines as one string; ANSI styles only where the page has color."""
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
        soft_wrap=page.width is None,
    )
    for line in lines:
        console.print(line)
    return "\n".join(line.rstrip() for line in target.getvalue().splitlines()) + "\n"


def hanging(label: Text, body: Text, page: Page) -> Iterator[Text]:
    """A label and a text whose further lines are indented under its first."""
    if page.width is None:
        yield Text.assemble(label, body)
        return
    room = max(24, page.width - len(label.plain))
    console = Console(width=room, file=io.StringIO())
    glued = Text(body.plain.replace(" %", GLUE + "%"))  # a number and its sign stay together
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
        label = f"{title:<9}" if i == 0 else " " * 9
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
