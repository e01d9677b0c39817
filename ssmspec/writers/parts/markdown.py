"""Markdown that renders alike everywhere: headings, lists, tables, and names that stay names.

A name out of a file is a code span, in which nothing is markup and no user is mentioned; one with a
character that ends a span or a table cell is an HTML one, written in character references.

GitHub and GitLab look for mentions, issues and addresses once more in what they have rendered,
where a character reference no longer hides anything: a zero-width space within does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ssmspec.naming import printable

_SPECIAL = re.compile(r"[\\`*_\[\]<>#|~&@$]|:(?=//)")
"""What can begin markup, a mention, a reference to an issue or a link."""
_LINKED = re.compile(r"@(?=\w)|#(?=\d)|:(?=//)|\bwww(?=\.)|\bGH(?=-\d)", re.IGNORECASE)
"""What begins a link in text that has been rendered already."""
_APART = "\u200b"


def code(name: str) -> str:
    """A name or a path, exactly as it is."""
    shown = printable(name)
    if any(char in shown for char in "`|\\") or not shown.strip():
        spelled = "".join(char if char.isalnum() else f"&#{ord(char)};" for char in shown)
        return spelled and f"<code>{spelled}</code>"
    return f"`{shown}`"


def prose(text: str) -> str:
    """A sentence in which nothing is markup."""
    apart = _LINKED.sub(lambda match: match[0] + _APART, printable(text))
    special = _SPECIAL.sub(lambda match: f"&#{ord(match[0])};", apart)
    return special.replace(_APART, f"&#{ord(_APART)};")


def clipped(text: str, most: int) -> str:
    """A text without its middle where it is longer than `most` characters."""
    if len(text) > 2 * most:  # what is cut need not be made printable
        text = text[:most] + text[-most:]
    shown = printable(text)
    if len(shown) <= most:
        return shown
    head = (most - 1) // 2
    return f"{shown[:head]}…{shown[len(shown) - (most - 1 - head) :]}"


def details(title: str, *blocks: str, opened: bool = False) -> str:
    """Blocks that a reader opens by a click; nothing where there are none. Taken as they are."""
    body = page(*blocks)
    if not body:
        return ""
    return f"<details{' open' * opened}>\n<summary>{title}</summary>\n\n{body}\n</details>\n"


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    left: int | Sequence[bool] = 1,
) -> str:
    """A table; columns are aligned left where `left` is true, or the first `left` of them.

    Cells are taken as they are: names must have gone through `code`, sentences through `prose`.
    """
    lefts = [i < left for i in range(len(header))] if isinstance(left, int) else left
    rules = ["---" if is_left else "---:" for is_left in lefts]
    lines = [header, rules, *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def bullets(title: str, sentences: Iterable[str]) -> str:
    """A bold title and a list under it; nothing where the list is empty. Items are taken as is."""
    lines = "".join(f"- {sentence}\n" for sentence in sentences)
    return f"**{title}**\n\n{lines}" if lines else ""


def page(*blocks: str) -> str:
    """Blocks with a blank line between them."""
    return "\n".join(f"{block.rstrip()}\n" for block in blocks if block)
