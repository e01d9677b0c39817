"""Names of tensors and layers: natural order, globs, nearest valid names, safe display."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable
from fnmatch import fnmatchcase

_DIGITS = re.compile(r"(\d+)")
_LOG_COMMAND = re.compile(r"(?<=:):|(?<=#)#(?=\[)")
"""A character each of `::` and `##[`: GitHub's runner obeys `##[set-output name=x]y` anywhere in a
line of a log, and `::set-output name=x::y` where one begins."""


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that puts `layers.2` before `layers.10`."""
    return tuple(
        (0, int(part) if len(part) < 19 else 10**18, part) if part.isdecimal() else (1, 0, part)
        for part in _DIGITS.split(name)
        if part
    )


def matches(name: str, glob: str) -> bool:
    """Whether a layer name fits a shell glob; `*` also matches dots."""
    return fnmatchcase(name, glob)


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """A clause naming the nearest valid name, or all of them when none is near."""
    import difflib  # noqa: PLC0415 - for mistakes only

    options = sorted(valid)
    near = difflib.get_close_matches(name, options, n=1)
    return f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(options)}"


def printable(name: str) -> str:
    r"""A name as it may be shown: control, format and bidi characters become `\x..` escapes.

    So does what would make a line of a log a command to the machine that runs a build.
    """
    if not (name.isascii() and name.isprintable()):
        name = "".join(
            char
            if char.isprintable() and unicodedata.category(char) not in {"Cf", "Cc", "Cs", "Co"}
            else char.encode("unicode_escape").decode()
            for char in name
        )
    if "::" in name or "##[" in name:
        return _LOG_COMMAND.sub(lambda match: f"\\x{ord(match[0]):02x}", name)
    return name


ALIASES: dict[str, str] = {}
"""Folders that stand for something else, and what: it is shown instead."""


def shown(path: os.PathLike[str] | str) -> str:
    """A path as it may be shown."""
    text = os.fspath(path)
    for folder, meant in ALIASES.items():
        if text.startswith(folder):
            text = meant + text[len(folder) :]
    return printable(text)
