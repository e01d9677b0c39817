"""Everything ssmspec refuses to do, as exceptions with one clear sentence each.

The command line turns any `SsmspecError` into that sentence on stderr and exit code 2. The message
states the cause and the next step; it never needs a traceback to be understood.
"""

import re

_LONG_WORD = re.compile(r"\S{400,}")
_LONGEST = 4000


def cut(message: str) -> str:
    """A message without the rest of names of hundreds of characters, and of an endless sentence."""
    short = _LONG_WORD.sub(
        lambda word: f"{word[0][:200]}... ({len(word[0]):,} characters)", message
    )
    return short if len(short) <= _LONGEST else f"{short[:_LONGEST]} ..."


class SsmspecError(Exception):
    """Base of every error that a user can cause or meet."""

    def __init__(self, message: str = "", *details: object) -> None:
        super().__init__(cut(message), *details)


class CheckpointError(SsmspecError):
    """A checkpoint cannot be opened or one of its tensors cannot be read."""


class UnsafeCheckpointError(CheckpointError):
    """A checkpoint asks for something a file of numbers never needs; it was not obeyed."""


class LayoutError(SsmspecError):
    """Tensors look like a family's parameters but do not fit together (shapes, dtypes, values)."""


class NoLayersError(SsmspecError):
    """A readable checkpoint holds no state-space layer that can be measured."""


class SchemeError(SsmspecError):
    """An initialization scheme does not exist, or a layer cannot hold it."""


class UsageError(SsmspecError):
    """An option's value makes no sense; the message names the valid ones."""


class MissingPackageError(SsmspecError, ImportError):
    """A package that only some functions need is not installed; the message names it."""
