"""What a model answers over a part of the data: kept, counted by class, and written to a file."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ssmspec.arrays import Array
from ssmspec.checkpoints.atomic import atomic_output
from ssmspec.errors import UsageError
from ssmspec.naming import shown
from ssmspec.outcome import Measured, NotApplicable
from ssmspec.results.evaluation import Classes
from ssmspec.training.scoring import Objective, Score
from ssmspec.training.tasks.base import IGNORED, Data
from ssmspec.units import FRACTION


class Answers:
    """Listens to an objective while a model is measured by it.

    Args:
        objective: of the run.
        keep: whether outputs are kept, or only counted by class.

    Attributes:
        objective: scores as the other one does, and lets this one listen.
    """

    def __init__(self, objective: Objective, *, keep: bool) -> None:
        self._score, self._keep = objective.score, keep
        self._outputs: list[Array] = []
        self._pairs: list[Tensor] = []
        self.objective = replace(objective, score=self._listen)

    def _listen(self, outputs: Tensor, y: Tensor) -> Score:
        if not y.is_floating_point():
            labels, answered = y.flatten(), outputs.float().flatten(0, -2).argmax(-1)
            asked = labels != IGNORED
            self._pairs.append(torch.stack([labels, answered])[:, asked].cpu())
        if self._keep:
            self._outputs.append(outputs.detach().float().cpu().numpy())
        return self._score(outputs, y)

    def classes(self, data: Data) -> Classes | None:
        """How the classes of a task were told apart; None where numbers are asked for."""
        if not self._pairs:
            return None
        count = data.d_output
        labels, answered = torch.cat(self._pairs, 1)
        table = torch.bincount(labels * count + answered, minlength=count**2).view(count, count)
        return Classes(
            confusion=tuple(tuple(row) for row in table.tolist()), macro_f1=macro_f1(table.numpy())
        )

    def write(self, path: Path, *, classes: bool, force: bool) -> None:
        """Write the outputs that were kept, whole or not at all.

        Raises:
            UsageError: the file is there or cannot be written.
        """
        outputs = np.concatenate(self._outputs)
        arrays = {"outputs": outputs}
        if classes:
            arrays["classes"] = outputs.argmax(-1)
        with atomic_output(path, force=force) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]


def macro_f1(confusion: Array) -> Measured | NotApplicable:
    """Mean over classes of 2 right / (asked + answered), of those asked for or answered at all.

    Args:
        confusion: integers (K, K), by class asked for, then by class answered.
    """
    there = confusion.sum(0) + confusion.sum(1)
    if not there.any():
        return NotApplicable("nothing was asked")
    share = 2.0 * np.diag(confusion)[there > 0] / there[there > 0]
    return Measured(float(share.mean()), FRACTION)


def require_new(path: Path, *, force: bool) -> None:
    """Refuse a file for answers that is there or has the wrong name, before anything is measured.

    Raises:
        UsageError: choose another.
    """
    if path.suffix != ".npz":
        raise UsageError(f"answers are written as .npz, not {shown(path)}")
    if os.path.lexists(path) and not force:
        raise UsageError(f"{shown(path)} is there already; --force replaces it")
