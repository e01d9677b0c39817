"""Markdown that renders alike everywhere: headings, lists, tables, and names that stay names.

A name out of a file is a code span, in which nothing is markup and no user is mentioned; one with a
character that ends a span or a table cell is written in character references.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ssmspec.naming import printable

_SPECIAL = re.compile(r"[\\`*_\[\]<>#|~&@]|:(?=//)")
"""What can begin markup, a mention, a reference to an issue or a link."""


def code(name: str) -> str:
    """A name or a path, exactly as it is."""
    shown = printable(name)
    if not shown or any(char in shown for char in "`|\\"):
        return "".join(char if char.isalnum() else f"&#{ord(char)};" for char in shown)
    return f"`{shown}`"


def prose(text: str) -> str:
    """A sentence in which nothing is markup."""
    return _SPECIAL.sub(lambda match: f"&#{ord(match[0])};", printable(text))


def table(header: Sequence[str], rows: Iterable[Sequence[str]], text_columns: int = 1) -> str:
    """A table whose first `text_columns` columns are aligned left and the others right.

    Cells are taken as they are: names must have gone through `code`, sentences through `prose`.
    """
    rules = ["---" if i < text_columns else "---:" for i in range(len(header))]
    lines = [header, rules, *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def bullets(title: str, sentences: Iterable[str]) -> str:
    """A bold title and a list under it; nothing where the list is empty. Items are taken as is."""
    lines = "".join(f"- {sentence}\n" for sentence in sentences)
    return f"**{title}**\n\n{lines}" if lines else ""


def page(*blocks: str) -> str:
    """Blocks with a blank line between them."""
    return "\n".join(f"{block.rstrip()}\n" for block in blocks if block)
