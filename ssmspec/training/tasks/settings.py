"""A task's own settings: text from `--set NAME=VALUE` to numbers, or one sentence why not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ssmspec.errors import UsageError
from ssmspec.naming import did_you_mean, printable
from ssmspec.training.tasks.base import TaskOptions

Defaults = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Settings:
    """The settings of one task, defaults filled in.

    Attributes:
        task: the task's id, for messages.
        values: text by name.
    """

    task: str
    values: Mapping[str, str]

    def integer(self, name: str, least: int, most: int | None = None) -> int:
        """A whole number in [least, most].

        Raises:
            UsageError: it is none, or out of range.
        """
        try:
            value = int(self.values[name])
        except ValueError:
            raise self._wrong(name, "a whole number") from None
        if value < least:
            raise self._wrong(name, f"at least {least}")
        if most is not None and value > most:
            raise self._wrong(name, f"at most {most}")
        return value

    def number(self, name: str, above: float, most: float) -> float:
        """A number in (above, most].

        Raises:
            UsageError: it is none, or out of range.
        """
        try:
            value = float(self.values[name])
        except ValueError:
            raise self._wrong(name, "a number") from None
        if not (math.isfinite(value) and above < value <= most):
            raise self._wrong(name, f"above {above:g} and at most {most:g}")
        return value

    def choice(self, name: str, valid: tuple[str, ...]) -> str:
        """One of several words.

        Raises:
            UsageError: it is none of them.
        """
        value = self.values[name]
        if value not in valid:
            raise self._wrong(name, did_you_mean(value, valid), must_be=False)
        return value

    def _wrong(self, name: str, what: str, *, must_be: bool = True) -> UsageError:
        shown = printable(self.values[name])
        if must_be:
            return UsageError(f"{name} of {self.task} must be {what}, got {shown}")
        return UsageError(f"{name} of {self.task} cannot be {shown!r}; {what}")


def read_settings(task: str, defaults: Defaults, options: TaskOptions) -> Settings:
    """The settings given over the defaults.

    Raises:
        UsageError: the task has no setting of such a name.
    """
    values = dict(defaults)
    for name, value in options.settings:
        if name not in values:
            what = did_you_mean(name, values) if values else "it has none"
            raise UsageError(f"{task} has no setting {printable(name)!r}; {what}")
        values[name] = value
    return Settings(task, values)


def fixed_length(task: str, options: TaskOptions, length: int) -> int:
    """The length of a task whose sequences have one.

    Raises:
        UsageError: another length is asked for.
    """
    if options.seq_len not in (None, length):
        raise UsageError(
            f"sequences of {task} have {length} samples; seq_len cannot be {options.seq_len}"
        )
    return length


def needs_no_data(task: str, options: TaskOptions) -> None:
    """Refuse a data path that would not be read.

    Raises:
        UsageError: one was given.
    """
    if options.data is not None:
        raise UsageError(f"{task} makes its own data and reads none; leave --data out")
