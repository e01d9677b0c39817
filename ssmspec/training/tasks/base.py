"""What a task is: arrays in, arrays out, and what a model must look like to learn it.

To add a task, write one file with one `Task` record and add it to the table in
`ssmspec/training/tasks/__init__.py`; a third party publishes the same record under the entry-point
group `ssmspec.tasks`.

Tasks are numpy only. A split hands out batches by index, so that the order of the data follows from
(seed, epoch) alone and a run can be resumed in the middle of an epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol, TypeAlias

from ssmspec.arrays import Array

IGNORED = -100
"""A class label that counts in neither the loss nor the accuracy."""


class Target(StrEnum):
    """What is asked of the model.

    `CLASS`: one of several classes for a sequence; y int64 (B,). `CLASS_PER_STEP`: one for each
    sample; y int64 (B, L), `IGNORED` where nothing is asked. `VALUE_PER_STEP`: numbers for each
    sample, judged by mean squared error; y float32 (B, L, d_output), NaN where nothing is asked.
    """

    CLASS = "class"
    CLASS_PER_STEP = "class-per-step"
    VALUE_PER_STEP = "value-per-step"


class Readout(StrEnum):
    """How a sequence of features becomes an answer for `Target.CLASS`."""

    MEAN = "mean"
    LAST = "last"


@dataclass(frozen=True, eq=False)
class Batch:
    """Some examples.

    Attributes:
        x: float32 (B, L, d_input), or int64 (B, L) tokens in [0, vocabulary).
        y: as `Target` says.
        lengths: int64 (B,), samples that count where sequences are padded at the end; None where
            all have L.
    """

    x: Array
    y: Array
    lengths: Array | None = None


class Split(Protocol):
    """One part of a data set."""

    def __len__(self) -> int:
        """How many examples."""

    def batch(self, indices: Array) -> Batch:
        """The examples with these indices, int64 (B,), in this order; the same every time."""


@dataclass(frozen=True, eq=False)
class Data:
    """A task's data, and the shape of the model it needs.

    Attributes:
        train: examples to learn from.
        validation: examples that choose the best model, never learned from.
        test: examples for the last word; the same object as `validation` where the data set has
            two parts only.
        target: what is asked.
        d_input: numbers a sample; 1 where samples are tokens.
        d_output: classes, or numbers a sample.
        seq_len: L in samples, the longest.
        vocabulary: how many tokens there are; None where samples are numbers.
        readout: how a sequence becomes one answer.
        sample_rate: hertz, or None.
        row_stride: samples from one row of an image to the next, or None.
        causal: whether an answer may only depend on earlier samples, so that a bidirectional
            model would cheat.
    """

    train: Split
    validation: Split
    test: Split
    target: Target
    d_input: int
    d_output: int
    seq_len: int
    vocabulary: int | None = None
    readout: Readout = Readout.MEAN
    sample_rate: float | None = None
    row_stride: int | None = None
    causal: bool = False


Tell: TypeAlias = Callable[[str], None]
"""Takes one sentence for the user, such as how far the making of a data set is."""


def tell_nobody(_: str) -> None:
    """Keep a sentence to oneself."""


@dataclass(frozen=True)
class TaskOptions:
    """What a user may say of a task.

    Attributes:
        seq_len: L in samples; None for the task's own.
        seed: of what a task draws.
        data: folder or file with the user's own data; None where the task needs none.
        cache: folder for what a task generates; None for the user's cache folder.
        settings: a task's own settings by name, e.g. `lag` of `delay`, as text.
        tell: takes a sentence on what is going on, where loading takes longer.
    """

    seq_len: int | None = None
    seed: int = 0
    data: Path | None = None
    cache: Path | None = None
    settings: tuple[tuple[str, str], ...] = ()
    tell: Tell = tell_nobody


Load: TypeAlias = Callable[[TaskOptions], Data]


@dataclass(frozen=True)
class Task:
    """One thing to learn.

    Attributes:
        id: stable name, as on the command line.
        title: name for people.
        summary: one line: what goes in, what comes out, what it tests.
        source: the paper or data set it is from.
        load: the data. Raises UsageError where the data set is not there, saying what to put where.
        needs: what the user must provide, one clause; "" where the task makes its own data.
        settings: names of its own settings, with their defaults, for `--set NAME=VALUE`.
    """

    id: str
    title: str
    summary: str
    source: str
    load: Load
    needs: str = ""
    settings: tuple[tuple[str, str], ...] = ()
