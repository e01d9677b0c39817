"""How well a trained model does, as it was trained and at another rate or with shorter kernels."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ssmspec._version import __version__
from ssmspec.outcome import Outcome


class Which(StrEnum):
    """Weights of a run: those that did best on the validation data, or the last ones."""

    BEST = "best"
    LAST = "last"


class Part(StrEnum):
    """Part of the data that a model is evaluated on."""

    TEST = "test"
    VALIDATION = "validation"


@dataclass(frozen=True)
class Scores:
    """What was measured over a part of the data.

    Attributes:
        metric: accuracy in [0, 1] or mean squared error; not applicable where the model's answers
            are no numbers.
        loss: cross entropy in nat, or mean squared error; likewise.
    """

    metric: Outcome
    loss: Outcome

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON report."""
        return {"metric": self.metric.to_dict(), "loss": self.loss.to_dict()}


@dataclass(frozen=True)
class LayerAliasing:
    """What another rate does to the poles of one layer.

    Attributes:
        name: of the layer.
        trained: share of modes beyond Nyquist at the rate of training; not applicable where
            discrete poles are stored.
        resampled: share of modes beyond Nyquist at the other rate.
    """

    name: str
    trained: Outcome
    resampled: Outcome

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON report."""
        return {
            "name": self.name,
            "trained": self.trained.to_dict(),
            "resampled": self.resampled.to_dict(),
        }


@dataclass(frozen=True)
class Resampled:
    """The model at a lower rate, without any training at that rate.

    Attributes:
        factor: how many times lower.
        scores: there.
        sequence_length: of the longest example, samples.
        sample_rate: hertz, or None.
        rules: sentences: how inputs, poles and step sizes were taken to that rate.
        layers: aliasing by layer.
    """

    factor: int
    scores: Scores
    sequence_length: int
    sample_rate: float | None
    rules: tuple[str, ...]
    layers: tuple[LayerAliasing, ...]

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON report."""
        return {
            "factor": self.factor,
            **self.scores.to_dict(),
            "sequence_length": self.sequence_length,
            "sample_rate": self.sample_rate,
            "rules": list(self.rules),
            "aliased_fraction": [layer.to_dict() for layer in self.layers],
        }


@dataclass(frozen=True)
class LayerCut:
    """How much of a layer's kernel energy lies in its first taps, as a share."""

    name: str
    energy: Outcome

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON report."""
        return {"name": self.name, "energy": self.energy.to_dict()}


@dataclass(frozen=True)
class Cut:
    """The model with every kernel cut to its first taps.

    Attributes:
        taps: lags 0 .. taps - 1 are kept.
        scores: of what is left.
        layers: share of the kernel energy that was kept.
    """

    taps: int
    scores: Scores
    layers: tuple[LayerCut, ...]

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON report."""
        return {
            "taps": self.taps,
            **self.scores.to_dict(),
            "energy_kept": [layer.to_dict() for layer in self.layers],
        }


@dataclass(frozen=True)
class Classes:
    """How classes are told apart.

    Attributes:
        confusion: answers by class asked for, then by class answered.
        macro_f1: mean over classes of 2 right / (asked + answered); a class that was neither asked
            for nor answered is left out.
    """

    confusion: tuple[tuple[int, ...], ...]
    macro_f1: Outcome

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON report."""
        return {
            "confusion": [list(row) for row in self.confusion],
            "macro_f1": self.macro_f1.to_dict(),
        }


@dataclass(frozen=True)
class Evaluation:
    """A trained model, evaluated.

    Attributes:
        folder: of the run, as given.
        task: id.
        scheme: id of the initialization scheme.
        which: which weights.
        part: of the data.
        metric: `accuracy` or `mse`.
        examples: in that part.
        answers: that were asked for in it.
        sequence_length: of the longest example, samples.
        sample_rate: hertz, or None.
        scores: of the model as it was trained.
        resampled: at another rate, where that was asked for.
        cuts: with shorter kernels, one for each number of taps that was asked for.
        classes: how classes are told apart; None where numbers are asked for.
        predictions: file that the model's answers were written to.
        notes: what else there is to know.
    """

    folder: str
    task: str
    scheme: str
    which: Which
    part: Part
    metric: str
    examples: int
    answers: int
    sequence_length: int
    sample_rate: float | None
    scores: Scores
    resampled: Resampled | None = None
    cuts: tuple[Cut, ...] = ()
    classes: Classes | None = None
    predictions: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def cut(self) -> Cut | None:
        """The first of the cuts."""
        return self.cuts[0] if self.cuts else None

    def to_dict(self) -> dict[str, Any]:
        """As JSON, free of infinities and NaN."""
        return {
            "tool": {"name": "ssmspec", "version": __version__},
            "folder": self.folder,
            "task": self.task,
            "scheme": self.scheme,
            "weights": self.which.value,
            "split": self.part.value,
            "metric_name": self.metric,
            "examples": self.examples,
            "answers": self.answers,
            "sequence_length": self.sequence_length,
            "sample_rate": self.sample_rate,
            "trained": self.scores.to_dict(),
            "resampled": self.resampled.to_dict() if self.resampled else None,
            "cut": self.cut.to_dict() if self.cut else None,
            "cuts": [cut.to_dict() for cut in self.cuts],
            "classes": self.classes.to_dict() if self.classes else None,
            "predictions": self.predictions,
            "notes": list(self.notes),
        }
