"""`gap`: a handwritten digit, a long noise, and only then the question which digit it was.

The 64 pixels of `digits`, with the same split, followed by `gap` samples of white noise of the
deviation `noise`; the class is asked at the last sample. The noise of an example is the same
whenever it is asked for, and differs from seed to seed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ssmspec.arrays import Array
from ssmspec.training.tasks.base import Batch, Data, Readout, Split, Task, TaskOptions
from ssmspec.training.tasks.digits import load as load_digits
from ssmspec.training.tasks.settings import fixed_length, needs_no_data, read_settings
from ssmspec.training.tasks.splits import TEST, TRAIN, VALIDATION

SETTINGS = (("gap", "448"), ("noise", "0.5"))


@dataclass(frozen=True, eq=False)
class WithGap:
    """Another split's examples, followed by noise.

    Attributes:
        split: the examples.
        gap: samples of noise.
        noise: its deviation.
        seed: of the noise, and of the split.
    """

    split: Split
    gap: int
    noise: float
    seed: tuple[int, int]

    def __len__(self) -> int:
        return len(self.split)

    def batch(self, indices: Array) -> Batch:
        """The examples with these indices."""
        batch = self.split.batch(indices)
        noise = [
            np.random.Generator(np.random.PCG64((*self.seed, int(index)))).standard_normal(self.gap)
            for index in indices
        ]
        tail = self.noise * np.stack(noise)[..., None]
        return replace(batch, x=np.concatenate([batch.x, tail], axis=1).astype(np.float32))


def load(options: TaskOptions) -> Data:
    """The digits, each followed by noise.

    Raises:
        UsageError: scikit-learn is not installed, or a setting makes no sense.
    """
    settings = read_settings("gap", SETTINGS, options)
    needs_no_data("gap", options)
    gap, noise = settings.integer("gap", 1), settings.number("noise", 0.0, np.inf)
    digits = load_digits(TaskOptions())
    length = fixed_length("gap", options, digits.seq_len + gap)
    train, validation, test = (
        WithGap(split, gap, noise, (options.seed, number))
        for split, number in (
            (digits.train, TRAIN), (digits.validation, VALIDATION), (digits.test, TEST),
        )
    )  # fmt: skip
    return replace(
        digits,
        train=train,
        validation=validation,
        test=test,
        seq_len=length,
        readout=Readout.LAST,
        row_stride=None,
        causal=True,
    )


GAP = Task(
    id="gap",
    title="Digits before a gap",
    summary="64 pixels of a digit and 448 samples of noise in, its class at the end; tests memory",
    source="the digits of `digits`; the gap was made for this package",
    load=load,
    settings=SETTINGS,
)
