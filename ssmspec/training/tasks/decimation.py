"""A data set at 1/R of its rate: every R-th sample of every example, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ssmspec.arrays import Array
from ssmspec.errors import UsageError
from ssmspec.training.tasks.base import Batch, Data, Split, Target


@dataclass(frozen=True, eq=False)
class DecimatedSplit:
    """Every `factor`-th sample of another split, from the first on.

    Attributes:
        split: the examples at their own rate.
        factor: R.
        per_step: whether there is an answer for each sample, which is decimated too.
    """

    split: Split
    factor: int
    per_step: bool

    def __len__(self) -> int:
        return len(self.split)

    def batch(self, indices: Array) -> Batch:
        """The examples with these indices, (B,), with one of every so many samples."""
        batch = self.split.batch(indices)
        step = slice(None, None, self.factor)
        return replace(
            batch,
            x=batch.x[:, step],
            y=batch.y[:, step] if self.per_step else batch.y,
            lengths=None if batch.lengths is None else -(-batch.lengths // self.factor),
        )


def decimated(data: Data, split: Split, factor: float) -> DecimatedSplit:
    """A split of these data at 1/`factor` of their rate.

    No filter keeps frequencies above the new Nyquist frequency from folding into the band: this is
    what the published zero-shot test at 8 kHz does.

    Raises:
        UsageError: the factor is no whole number above 1, leaves less than two samples, or the data
            are none that can be sampled at another rate.
    """
    if not (factor > 1 and float(factor).is_integer()):
        raise UsageError(
            f"inputs are decimated, so the resampling factor must be a whole number above 1, "
            f"got {factor:g}"
        )
    step = int(factor)
    if data.vocabulary is not None:
        raise UsageError(
            "the task's inputs are tokens, which have no values in between and no sample rate; "
            "only numbers can be resampled"
        )
    if data.target is Target.CLASS_PER_STEP:
        raise UsageError(
            "the task asks for a class at every step, and dropping steps would drop questions; "
            "only tasks with one answer, or with a number for every step, can be resampled"
        )
    if 2 * step > data.seq_len:
        raise UsageError(
            f"at 1/{step} of the rate less than two of the {data.seq_len:,} samples are left; "
            f"choose a smaller factor"
        )
    return DecimatedSplit(split, step, per_step=data.target is Target.VALUE_PER_STEP)
