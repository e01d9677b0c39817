"""Loss and metric of a model over a whole split: no gradient, every example exactly once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from ssmspec.errors import UsageError
from ssmspec.training.ahead import ahead
from ssmspec.training.batches import share
from ssmspec.training.engine import to_device
from ssmspec.training.scoring import Objective
from ssmspec.training.tasks.base import Batch, Split

Forward: TypeAlias = Callable[[Tensor, Tensor | None], Tensor]
"""Inputs and lengths to outputs."""


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
        add_up: sums a tensor over the processes; needed where there are several.

    Raises:
        UsageError: nothing is asked in the split, or it is empty.
    """
    count = len(split)
    starts = range(0, count, batch_size)

    def load(start: int) -> Batch | None:
        mine = share(np.arange(start, min(start + batch_size, count)), process, processes)
        return split.batch(mine) if mine.size else None

    # Sums of float64: what they come to must not hang on how a split is cut into batches.
    sums = torch.zeros(3, dtype=torch.float64)
    with torch.no_grad():
        for batch in ahead(load, starts):
            if batch is None:
                continue
            x, y, lengths = to_device(batch, device)
            loss, metric = objective.score(forward(x, lengths), y)
            asked = torch.tensor(objective.count(batch.y), dtype=torch.float64)
            sums += torch.stack([loss.double().cpu(), metric.double().cpu(), asked])
    if add_up is not None:
        sums = add_up(sums.to(device)).cpu()
    loss_sum, metric_sum, total = sums.tolist()
    if not total:
        raise UsageError("there is nothing to answer in this part of the data; check the targets")
    return Measure(loss_sum / total, metric_sum / total, int(total))
