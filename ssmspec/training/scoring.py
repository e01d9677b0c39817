"""The loss and the metric of each kind of target, as sums and counts that add up.

Sums rather than means, so that parts of a batch, processes and batches of unequal size all add up
to the very same mean over everything that was asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ssmspec.arrays import Array
from ssmspec.training.tasks.base import IGNORED, Target

Score: TypeAlias = tuple[Tensor, Tensor]
"""Sum of the loss (differentiable) and sum of the metric, over all that was asked."""


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
