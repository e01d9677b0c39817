"""The use case behind `ssmspec evaluate`: a run's model on its data, at its rate and at others.

`StoredRun` is a run read back: its settings, its data and its model, ready to be asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from threading import Lock
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from ssmspec.analysis.model import layer_views
from ssmspec.arrays import Array
from ssmspec.errors import UsageError
from ssmspec.metrics import METRICS
from ssmspec.metrics.base import Context, share
from ssmspec.metrics.kernel_lags import energy_by_lag
from ssmspec.naming import did_you_mean, shown
from ssmspec.outcome import Measured, NotApplicable, Outcome
from ssmspec.reading import Discretization
from ssmspec.results.evaluation import (
    Cut,
    Evaluation,
    LayerAliasing,
    LayerCut,
    Part,
    Resampled,
    Scores,
    Which,
)
from ssmspec.results.layer_view import LayerView
from ssmspec.spectrum import ALIAS_TOLERANCE, LayerSpectrum
from ssmspec.training.answers import Answers, require_new
from ssmspec.training.config import TrainConfig
from ssmspec.training.data import load_data, shape_of
from ssmspec.training.engine import choose_device
from ssmspec.training.model.stack import SequenceModel, build_model
from ssmspec.training.run_folder import BEST, MODEL, load_weights, read_config, read_document
from ssmspec.training.scoring import Objective, measure, objective_for
from ssmspec.training.tasks.base import Batch, Data, Split, Target
from ssmspec.training.tasks.decimation import decimated
from ssmspec.units import DIMENSIONLESS, FRACTION

Progress = Callable[[int, int], None]
"""Called with examples done and in all, over every test; from another thread."""

Choice = TypeVar("Choice", bound=StrEnum)

DECIMATION = (
    "inputs are decimated: samples 0, {R}, {2R}, ... are kept and no anti-alias filter is applied"
)
RULES = {
    Discretization.ZOH: (
        "S4D layers: every step size dt becomes {R} dt, and poles and the held input follow"
    ),
    Discretization.NATIVE: (
        "discrete layers: every pole l becomes l^{R}, and its residue is multiplied by "
        "(l^{R} - 1) / (l - 1), as if each input were held for {R} samples"
    ),
}
"""What the model does at 1/R of the rate, by how its poles are stored."""

WEIGHTS = {Which.BEST: BEST, Which.LAST: MODEL}

SHAPE = ("target", "readout", "d_input", "d_output", "vocabulary")
"""What of other data must be as it was in training."""

NO_NUMBER = NotApplicable("the model's answers are no numbers")


def evaluate(
    folder: Path | str,
    *,
    resample: float | None = None,
    kernel_taps: int | Sequence[int] | None = None,
    which: Which | str = Which.BEST,
    split: Part | str = Part.TEST,
    batch_size: int | None = None,
    device: str | None = None,
    data: Path | str | Data | None = None,
    predictions: Path | str | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Evaluation:
    """Evaluate the model of a run, in single precision.

    Args:
        folder: that `ssmspec train` wrote.
        resample: R, a whole number above 1: also evaluate, without training, at 1/R of the rate.
        kernel_taps: also evaluate with every kernel cut to its first so many lags; or several
            such numbers. Each is set beside the model as it was trained; nothing is taken together.
        which: the weights that did best on the validation data, or the last ones.
        split: part of the data.
        batch_size: examples at a time; None for as many as in training.
        device: `cpu`, `cuda` or `cuda:N`; None takes a GPU where there is one.
        data: where the data set is now, or the data themselves; None for where it was in training.
        predictions: `.npz` file for what the model says: `outputs` (n, d_output), or with one
            answer a sample (n, L, d_output), in the order of the examples; and `classes`, the
            largest of them, where classes are asked for.
        force: replace that file.
        progress: called as examples are done.

    Raises:
        UsageError: the folder holds no run, its data are not there or have another shape, the data
            cannot be resampled, or an option's value makes no sense.
        CheckpointError: the weights cannot be read.
    """
    weights, part = _choice(Which, "which", which), _choice(Part, "split", split)
    given = (kernel_taps,) if isinstance(kernel_taps, int) else tuple(kernel_taps or ())
    for name, values in (("kernel_taps", given), ("batch_size", (batch_size,))):
        for value in values:
            if value is not None and value < 1:
                raise UsageError(f"{name} must be at least 1, got {value}")
    target = None if predictions is None else Path(predictions)
    if target is not None:
        require_new(target, force=force)
    there = Path(data) if isinstance(data, str) else data
    run = StoredRun.open(Path(folder), weights, data=there, device=device)
    examples = run.data.test if part is Part.TEST else run.data.validation
    slower = None if resample is None else decimated(run.data, examples, resample)
    taps = tuple(dict.fromkeys(given))
    tests = 1 + (slower is not None) + len(taps)
    counter = _Counter(progress, tests * len(examples))
    size = batch_size or run.config.batch_size
    answered = Answers(run.objective, keep=target is not None)
    plain, answers = run.scores(
        _Counted(examples, counter), batch_size=size, objective=answered.objective
    )
    resampled = None
    if slower is not None:
        factor = slower.factor
        less, _ = run.scores(_Counted(slower, counter), batch_size=size, rate=float(factor))
        resampled = _resampled(run, factor, less)
    cuts = []
    for each in taps:
        short, _ = run.scores(_Counted(examples, counter), batch_size=size, taps=each)
        cuts.append(_cut(run, each, short))
    if target is not None:
        answered.write(target, classes=run.data.target is not Target.VALUE_PER_STEP, force=force)
    return Evaluation(
        folder=str(folder),
        task=run.config.task,
        scheme=run.config.model.scheme,
        which=weights,
        part=part,
        metric=run.objective.metric,
        examples=len(examples),
        answers=answers,
        sequence_length=run.data.seq_len,
        sample_rate=run.data.sample_rate,
        scores=plain,
        resampled=resampled,
        cuts=tuple(cuts),
        classes=answered.classes(run.data) if isinstance(plain.metric, Measured) else None,
        predictions=None if target is None else str(target),
        notes=_notes(run, part),
    )


def _resampled(run: StoredRun, factor: int, scores: Scores) -> Resampled:
    spectra = [view.spectrum for view in run.views()]
    kinds = dict.fromkeys(spectrum.discretization for spectrum in spectra)
    rules = [DECIMATION, *(RULES[kind] for kind in kinds)]
    rate = run.data.sample_rate
    return Resampled(
        factor=factor,
        scores=scores,
        sequence_length=-(-run.data.seq_len // factor),
        sample_rate=None if rate is None else rate / factor,
        rules=tuple(
            rule.replace("{R}", str(factor)).replace("{2R}", str(2 * factor)) for rule in rules
        ),
        layers=tuple(_aliasing(spectrum, factor) for spectrum in spectra),
    )


def _aliasing(spectrum: LayerSpectrum, factor: int) -> LayerAliasing:
    """Share of modes whose angle times the factor is beyond pi, discrete poles' angles included."""
    trained = METRICS["aliased_fraction"](spectrum, Context())
    broken = spectrum.non_finite
    if broken:
        reason = f"{broken} of {spectrum.log_poles.size} poles are NaN or infinite"
        return LayerAliasing(spectrum.name, trained, NotApplicable(reason))
    beyond = np.abs(spectrum.omega_unwrapped) * factor > np.pi * (1.0 + ALIAS_TOLERANCE)
    return LayerAliasing(spectrum.name, trained, Measured(share(beyond), FRACTION))


def _cut(run: StoredRun, taps: int, scores: Scores) -> Cut:
    length = run.data.seq_len
    layers = (LayerCut(view.spectrum.name, _kept(view, taps, length)) for view in run.views())
    return Cut(taps, scores, tuple(layers))


def _kept(view: LayerView, taps: int, length: int) -> Outcome:
    """Share of the kernel energy over L lags that the first taps hold."""
    if view.kernel is None:
        return NotApplicable(view.no_kernel)
    if view.kernel.non_finite or view.spectrum.non_finite:
        return NotApplicable("poles, B or C are NaN or infinite")
    energy = energy_by_lag(view.kernel, length)
    if isinstance(energy, NotApplicable):
        return energy
    if not energy.total > 0.0:
        return NotApplicable("the kernel is silent")
    return Measured(energy.before(min(taps, length)) / energy.total, FRACTION)


def _notes(run: StoredRun, part: Part) -> tuple[str, ...]:
    if part is Part.TEST and run.data.test is run.data.validation:
        return ("the data set has no test part of its own: these are its validation examples",)
    return ()


def _choice(kind: type[Choice], name: str, value: str) -> Choice:
    values = [choice.value for choice in kind]
    if value not in values:
        raise UsageError(f"{name} is no {value!r}; {did_you_mean(value, values)}")
    return kind(value)


class _Counter:
    """Adds up examples, which batches are made of in another thread."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0
        self._lock = Lock()

    def add(self, count: int) -> None:
        if self._progress is not None:
            with self._lock:
                self._done += count
                self._progress(self._done, self._total)


@dataclass(frozen=True, eq=False)
class _Counted:
    """A split that tells how much of it was asked for."""

    split: Split
    counter: _Counter

    def __len__(self) -> int:
        return len(self.split)

    def batch(self, indices: Array) -> Batch:
        batch = self.split.batch(indices)
        self.counter.add(len(indices))
        return batch


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
        cls,
        folder: Path,
        which: Which,
        *,
        data: Path | Data | None = None,
        device: str | None = None,
    ) -> StoredRun:
        """Read a run back.

        Args:
            folder: that `ssmspec train` wrote.
            which: the weights.
            data: where the data set is now, or the data; None for where it was in training.
            device: `cpu`, `cuda` or `cuda:N`; None takes a GPU where there is one.

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
        if isinstance(data, Path):
            config = replace(config, data=data)
        there = data if isinstance(data, Data) else load_data(config)
        _require_shape(document.get("data"), there)
        model = build_model(config.model, there, config.seed)
        load_weights(model, weights)
        objective = objective_for(there.target)
        return cls(config, there, model.to(place).eval(), objective, weights, place)

    def scores(
        self,
        split: Split,
        *,
        batch_size: int,
        rate: float = 1.0,
        taps: int | None = None,
        objective: Objective | None = None,
    ) -> tuple[Scores, int]:
        """Means over a split, and how many answers they are over.

        Args:
            split: at 1/`rate` of the rate of training.
            batch_size: examples at a time.
            rate: R.
            taps: lags that every kernel is cut to; None for all.
            objective: in place of the run's own.
        """

        def forward(x: Tensor, lengths: Tensor | None) -> Tensor:
            answers: Tensor = self.model(x, lengths, rate=rate, kernel_taps=taps)
            return answers

        result = measure(
            forward,
            split,
            objective or self.objective,
            batch_size=batch_size,
            device=self.device,
        )
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
