"""The loss and the metric of each kind of target, and a model measured by them on a split.

Sums and counts rather than means, so that parts of a batch, processes and batches of unequal size
all add up to the very same mean over everything that was asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ssmspec.arrays import Array
from ssmspec.errors import UsageError
from ssmspec.training.batches import ahead, share
from ssmspec.training.engine import Tensors, to_device, to_tensors
from ssmspec.training.tasks.base import IGNORED, Split, Target

Score: TypeAlias = tuple[Tensor, Tensor]
"""Sum of the loss (differentiable) and sum of the metric, over all that was asked."""

Forward: TypeAlias = Callable[[Tensor, Tensor | None], Tensor]
"""Inputs and lengths to outputs."""


@dataclass(frozen=True)
class Objective:
    """What is minimized, and what is reported.

    Attributes:
        metric: name of the reported number: `accuracy` in [0, 1], or `mse`.
        higher_is_better: direction of the metric.
        score: of the model's outputs, (B, d_output) or (B, L, d_output), and targets.
        count: numbers that are asked in targets, over which both sums run.
    """

    metric: str
    higher_is_better: bool
    score: Callable[[Tensor, Tensor], Score]
    count: Callable[[Array], int]

    def improves(self, value: float, best: float) -> bool:
        """Whether a value of the metric is better than the best so far; NaN never is."""
        return value > best if self.higher_is_better else value < best


def objective_for(target: Target) -> Objective:
    """Cross entropy and accuracy for classes, squared error for values."""
    if target is Target.VALUE_PER_STEP:
        return Objective("mse", False, _squared_error, lambda y: int(np.isfinite(y).sum()))
    return Objective("accuracy", True, _cross_entropy, lambda y: int((y != IGNORED).sum()))


def _cross_entropy(outputs: Tensor, y: Tensor) -> Score:
    logits, labels = outputs.float().flatten(0, -2), y.flatten()
    loss = functional.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum")
    with torch.no_grad():
        # An ignored label is no class, so no answer can equal it.
        correct = (logits.argmax(-1) == labels).sum()
    return loss, correct


def _squared_error(outputs: Tensor, y: Tensor) -> Score:
    asked = ~torch.isnan(y)
    # Replaced before the difference: 0 * NaN would still be NaN in the gradient.
    difference = torch.where(asked, outputs.float() - torch.where(asked, y, 0.0), 0.0)
    loss = difference.square().sum()
    return loss, loss.detach()


@dataclass(frozen=True)
class Measure:
    """Means over everything that was asked in a split.

    Attributes:
        loss: cross entropy in nat, or mean squared error.
        metric: the objective's.
        asked: how many answers were asked for.
    """

    loss: float
    metric: float
    asked: int

    @property
    def finite(self) -> bool:
        """Whether the model still gives numbers."""
        return math.isfinite(self.loss)


def measure(
    forward: Forward,
    split: Split,
    objective: Objective,
    *,
    batch_size: int,
    device: torch.device,
    process: int = 0,
    processes: int = 1,
    add_up: Callable[[Tensor], Tensor] | None = None,
) -> Measure:
    """Evaluate on a split.

    Args:
        forward: the model in evaluation mode, or a function around it.
        split: every example is used once; the last batch is smaller where it does not fit.
        objective: loss and metric.
        batch_size: examples at a time, over all processes.
        device: where the model is.
        process: number of this process.
        processes: among how many a batch is shared out.
        add_up: sums a tensor of any shape over the processes; needed where there are several.

    Raises:
        UsageError: nothing is asked in the split, or it is empty.
    """
    count = len(split)
    starts = range(0, count, batch_size)

    def load(start: int) -> tuple[Tensors, int] | None:
        mine = share(np.arange(start, min(start + batch_size, count)), process, processes)
        if not mine.size:
            return None
        batch = split.batch(mine)
        return to_tensors(batch, device), objective.count(batch.y)

    # Sums of float64: what they come to must not hang on how a split is cut into batches. They stay
    # on the device, so that nothing waits for it before the end.
    sums = torch.zeros(3, dtype=torch.float64, device=device)
    with torch.no_grad():
        for loaded in ahead(load, starts):
            if loaded is None:
                continue
            x, y, lengths = to_device(loaded[0], device)
            loss, metric = objective.score(forward(x, lengths), y)
            sums[0] += loss.double()
            sums[1] += metric.double()
            sums[2] += loaded[1]
    if add_up is not None:
        sums = add_up(sums)
    loss_sum, metric_sum, total = sums.tolist()
    if not total:
        raise UsageError("there is nothing to answer in this part of the data; check the targets")
    return Measure(loss_sum / total, metric_sum / total, int(total))
