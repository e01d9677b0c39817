"""A run read back from its folder: settings, data and model, ready to answer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ssmspec.analysis.model import layer_views
from ssmspec.errors import UsageError
from ssmspec.naming import shown
from ssmspec.outcome import Measured, NotApplicable
from ssmspec.results.evaluation import Scores, Which
from ssmspec.results.layer_view import LayerView
from ssmspec.training.config import TrainConfig
from ssmspec.training.data import load_data, shape_of
from ssmspec.training.engine import choose_device
from ssmspec.training.measure import measure
from ssmspec.training.model.stack import SequenceModel, build_model
from ssmspec.training.run_folder import BEST, MODEL, load_weights, read_config, read_document
from ssmspec.training.scoring import Objective, objective_for
from ssmspec.training.tasks.base import Data, Split, Target
from ssmspec.units import DIMENSIONLESS, FRACTION

WEIGHTS = {Which.BEST: BEST, Which.LAST: MODEL}

SHAPE = ("target", "readout", "d_input", "d_output", "vocabulary")
"""What of other data must be as it was in training."""

NO_NUMBER = NotApplicable("the model's answers are no numbers")


@dataclass(frozen=True, eq=False)
class StoredRun:
    """A trained model and what it was trained on.

    Attributes:
        config: its settings.
        data: its data.
        model: in evaluation mode and single precision.
        objective: loss and metric.
        weights: the file that the model's tensors came from.
        device: where the model is.
    """

    config: TrainConfig
    data: Data
    model: SequenceModel
    objective: Objective
    weights: Path
    device: torch.device

    @classmethod
    def open(
        cls, folder: Path, which: Which, *, data: Path | None = None, device: str | None = None
    ) -> StoredRun:
        """Read a run back.

        Args:
            folder: that `ssmspec train` wrote.
            which: the weights.
            data: where the data set is now; None for where it was in training.
            device: `cpu` or `cuda`; None takes a GPU where there is one.

        Raises:
            UsageError: the folder holds no run, or its data are not there or have another shape.
            CheckpointError: the weights cannot be read.
        """
        place = torch.device(choose_device(device))
        config, document = read_config(folder), read_document(folder)
        weights = folder / WEIGHTS[which]
        if which is Which.BEST and not weights.exists():
            raise UsageError(
                f"{shown(folder)} holds no {BEST}, because the run was not evaluated on its "
                f"validation data yet; --which last takes the last weights"
            )
        if data is not None:
            config = replace(config, data=data)
        there = load_data(config)
        _require_shape(document.get("data"), there)
        model = build_model(config.model, there, config.seed)
        load_weights(model, weights)
        objective = objective_for(there.target)
        return cls(config, there, model.to(place).eval(), objective, weights, place)

    def scores(
        self, split: Split, *, batch_size: int, rate: float = 1.0, taps: int | None = None
    ) -> tuple[Scores, int]:
        """Means over a split, and how many answers they are over.

        Args:
            split: at 1/`rate` of the rate of training.
            batch_size: examples at a time.
            rate: R.
            taps: lags that every kernel is cut to; None for all.
        """

        def forward(x: Tensor, lengths: Tensor | None) -> Tensor:
            answers: Tensor = self.model(x, lengths, rate=rate, kernel_taps=taps)
            return answers

        result = measure(forward, split, self.objective, batch_size=batch_size, device=self.device)
        if not math.isfinite(result.loss):
            return Scores(NO_NUMBER, NO_NUMBER), result.asked
        is_class = self.data.target is not Target.VALUE_PER_STEP
        return Scores(
            metric=Measured(result.metric, FRACTION if is_class else DIMENSIONLESS),
            loss=Measured(result.loss, "nat" if is_class else DIMENSIONLESS),
        ), result.asked

    def views(self) -> Iterator[LayerView]:
        """Poles and kernels of the weights, layer by layer."""
        return layer_views(self.weights, seq_len=self.data.seq_len)


def _require_shape(trained: object, data: Data) -> None:
    """Refuse data that ask something else than those the model was trained on."""
    now = shape_of(data)
    for name in SHAPE:
        was = trained.get(name, now[name]) if isinstance(trained, dict) else now[name]
        if was != now[name]:
            raise UsageError(
                f"the data have {name} = {now[name]}, and the model was trained on data with "
                f"{name} = {was}; give the data set it was trained on (--data)"
            )
