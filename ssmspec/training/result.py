"""What a run tells: where it stands, how it ended, and that it diverged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ssmspec.errors import SsmspecError
from ssmspec.live.monitor import SpectrumMonitor


class DivergedError(SsmspecError):
    """The loss or its gradient is no longer a number; the step was not applied.

    Attributes:
        step: number of the step, from 1.
    """

    def __init__(self, message: str, step: int) -> None:
        super().__init__(message)
        self.step = step


@dataclass(frozen=True)
class Row:
    """One line of `metrics.csv`.

    Attributes:
        step: optimizer steps so far.
        epoch: the pass over the data that this step belongs to, from 1.
        split: `train`, `validation` or `test`.
        loss: mean over what was asked; of `train` over the steps since the last such row.
        metric: likewise: accuracy in [0, 1], or mean squared error.
        lr: learning rate of the last step, of everything but the SSM parameters; None but for
            `train`.
        grad_norm: mean norm of the gradient before clipping, over the steps that were applied;
            without clipping, that of the last step alone. None but for `train`, and where fp16
            overflowed in every step.
        seconds: of training so far; the one column that differs from run to run.
    """

    step: int
    epoch: int
    split: str
    loss: float
    metric: float
    lr: float | None = None
    grad_norm: float | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Progress:
    """Where a run stands after one step.

    Attributes:
        step: optimizer steps so far.
        steps: in all.
        epoch: the pass over the data that this step belongs to, from 1.
        loss: of this step, before it was applied.
        metric: likewise.
        metric_name: `accuracy` or `mse`.
        validation: the metric on the validation data, where it was measured at this step.
        steps_per_second: since this process began to train; evaluations count.
    """

    step: int
    steps: int
    epoch: int
    loss: float
    metric: float
    metric_name: str
    validation: float | None
    steps_per_second: float

    @property
    def seconds_left(self) -> float:
        """Seconds until the last step at this pace."""
        return (self.steps - self.step) / self.steps_per_second


OnProgress: TypeAlias = Callable[[Progress], None]


@dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    Attributes:
        folder: what it wrote is in there.
        steps: optimizer steps.
        metric_name: `accuracy`, in [0, 1], or `mse`.
        best_metric: the best on the validation data.
        best_step: where it was reached.
        test_metric: of the best model on the test data.
        rows: what `metrics.csv` holds.
        monitor: what it saw of the poles from the first step to the last; None where nobody
            looked, and in all but the main process.
    """

    folder: Path
    steps: int
    metric_name: str
    best_metric: float
    best_step: int
    test_metric: float
    rows: Sequence[Row]
    monitor: SpectrumMonitor | None = None
