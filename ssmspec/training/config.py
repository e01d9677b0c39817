"""What a training run is: the model, the task and the optimization, as frozen values without torch.

Defaults are those of a small model that trains in a minute on a laptop; the presets that ship with
the package hold the settings of the DFouT paper.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from ssmspec.errors import UsageError
from ssmspec.naming import did_you_mean
from ssmspec.schemes.options import DEFAULTS, SchemeOptions
from ssmspec.training.schedule import Rate

DEFAULT_EPOCHS = 10
"""Passes over the data where nothing is said of when to stop."""


MOST_NUMBERS = 2**31
"""Parameters that a model may have, roughly counted: 8 GiB in float32, before any is drawn."""


class Norm(StrEnum):
    """What normalizes a block's features: each position by itself, or each feature over a batch."""

    LAYER = "layer"
    BATCH = "batch"


class InputGain(StrEnum):
    """What scales the input of a discrete layer.

    `UNIT_ENERGY`: sqrt(1 - |l|^2), so that every mode has unit energy. `ZOH`: |(l - 1) / log l|,
    as zero-order hold of a continuous pole at dt = 1 does.
    """

    UNIT_ENERGY = "unit-energy"
    ZOH = "zoh"


class Freeze(StrEnum):
    """Which parameters of the poles do not train."""

    NONE = "none"
    ANGLES = "angles"
    POLES = "poles"


class Decayed(StrEnum):
    """Which weights decay.

    `WEIGHTS`: those with two axes or more, embeddings among them. `S4`: as in state-spaces/s4, C
    and D and linear weights; no embedding. Poles, step sizes, norms and biases never do.
    """

    WEIGHTS = "weights"
    S4 = "s4"


class Schedule(StrEnum):
    """What the learning rate does after its warm-up: half a cosine down to 0, or nothing."""

    COSINE = "cosine"
    CONSTANT = "constant"


class Precision(StrEnum):
    """Type of the activations. SSM parameters, kernels and transforms stay in float32."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


@dataclass(frozen=True)
class ModelConfig:
    """A residual stack of diagonal state-space blocks.

    Attributes:
        scheme: id of the initialization scheme. A scheme of discrete poles (`dfout`, ...) makes
            discrete layers, one of continuous poles standalone S4D layers.
        options: settings of the scheme, such as the range of xi or dt.
        d_model: H, features and channels of a layer.
        d_state: N as in the papers, even; N/2 modes are stored.
        n_layers: blocks.
        norm: layer or batch norm.
        prenorm: normalize before a block rather than after it.
        dropout: share of features that are dropped while training, in [0, 1).
        tie_dropout: drop a feature at all samples of a sequence or at none, as state-spaces/s4.
        bidirectional: a second kernel runs backward in time.
        input_gain: of discrete layers.
        freeze: what of the poles does not train.
    """

    scheme: str = "dfout"
    options: SchemeOptions = DEFAULTS
    d_model: int = 64
    d_state: int = 64
    n_layers: int = 4
    norm: Norm = Norm.LAYER
    prenorm: bool = True
    dropout: float = 0.0
    tie_dropout: bool = False
    bidirectional: bool = False
    input_gain: InputGain = InputGain.UNIT_ENERGY
    freeze: Freeze = Freeze.NONE

    def __post_init__(self) -> None:
        for name, kind in (("norm", Norm), ("input_gain", InputGain), ("freeze", Freeze)):
            _choose(self, name, kind)
        _at_least("d_model", self.d_model, 1)
        _at_least("n_layers", self.n_layers, 1)
        if self.d_state < 2 or self.d_state % 2:
            raise UsageError(f"d_state must be even and at least 2, got {self.d_state}")
        numbers = self.n_layers * self.d_model * (2 * self.d_model + 4 * self.d_state)
        if numbers > MOST_NUMBERS:
            raise UsageError(
                f"{self.n_layers} blocks of d_model = {self.d_model} and d_state = {self.d_state} "
                f"have some {numbers:.0e} parameters; choose a smaller model"
            )
        if not 0.0 <= self.dropout < 1.0:
            raise UsageError(f"dropout must lie in [0, 1), got {self.dropout}")

    @property
    def modes(self) -> int:
        """M = N/2, stored modes of one channel."""
        return self.d_state // 2


@dataclass(frozen=True)
class TrainConfig:
    """One training run.

    Attributes:
        task: id of the task.
        model: the model.
        task_settings: the task's own settings by name, as text; the task's defaults otherwise.
        data: folder or file with the user's own data; None where the task needs none.
        init: checkpoint whose tensors the model starts from; None draws them from the seed.
        seq_len: sequence length in samples; None for the task's own.
        seed: of the initial weights, of the order of the data and of what a task draws.
        epochs: passes over the training data after which training stops.
        max_steps: optimizer steps after which training stops. With `epochs` too, whichever comes
            first; with neither, `DEFAULT_EPOCHS` epochs.
        batch_size: examples of one optimizer step over all processes and accumulated parts.
        accumulate: parts that a batch is cut into, one after the other, to save memory.
        lr: learning rate of everything but the SSM parameters.
        ssm_lr: learning rate of poles and step sizes; None for min(lr, 1e-3).
        weight_decay: of the weights that decay.
        decayed: which those are.
        warmup: share of the run's steps over which the rate rises linearly from 0; None where
            `warmup_steps` says it.
        warmup_steps: the same in steps.
        schedule: what the rate does after the warm-up.
        schedule_steps: step at which a cosine has brought the rate to 0; None for the last step of
            the run.
        clip: largest gradient norm; None clips nothing.
        precision: type of the activations.
        compile: whether torch.compile is used.
        recompute: whether blocks make their activations again for the gradient, to save memory.
        spectrum_every: steps from one look at the poles to the next; 0 never looks.
        eval_every: steps from one evaluation to the next; None evaluates after every epoch.
        save_every: steps from one save to the next, besides those at evaluations and at the end;
            None for none.
        keep_every: steps from one snapshot of the weights to the next, each a file of its own;
            None for none.
        patience: evaluations in a row without a better model after which training stops; None for
            no such end.
        log_every: steps that one training row of `metrics.csv` averages over.
        deterministic: whether torch refuses operations that give other bits from run to run.
        tensorboard: whether rows also go to TensorBoard's own files.
    """

    task: str
    model: ModelConfig = field(default_factory=ModelConfig)
    task_settings: tuple[tuple[str, str], ...] = ()
    data: Path | None = None
    init: Path | None = None
    seq_len: int | None = None
    seed: int = 0
    epochs: int | None = None
    max_steps: int | None = None
    batch_size: int = 64
    accumulate: int = 1
    lr: float = 4e-3
    ssm_lr: float | None = None
    weight_decay: float = 0.01
    decayed: Decayed = Decayed.WEIGHTS
    warmup: float | None = None
    warmup_steps: int = 0
    schedule: Schedule = Schedule.COSINE
    schedule_steps: int | None = None
    clip: float | None = None
    precision: Precision = Precision.FP32
    compile: bool = False
    recompute: bool = False
    spectrum_every: int = 100
    eval_every: int | None = None
    save_every: int | None = None
    keep_every: int | None = None
    patience: int | None = None
    log_every: int = 10
    deterministic: bool = False
    tensorboard: bool = False

    def __post_init__(self) -> None:
        for name, kind in (("precision", Precision), ("decayed", Decayed), ("schedule", Schedule)):
            _choose(self, name, kind)
        for name in ("data", "init"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, Path(getattr(self, name)))
        for name in ("batch_size", "accumulate", "seq_len", "epochs", "max_steps", "log_every"):
            _at_least(name, getattr(self, name), 1)
        for name in ("schedule_steps", "eval_every", "save_every", "keep_every", "patience"):
            _at_least(name, getattr(self, name), 1)
        for name in ("seed", "warmup_steps", "spectrum_every"):
            _at_least(name, getattr(self, name), 0)
        for name in ("lr", "ssm_lr", "clip"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise UsageError(f"{name} must be a positive number, got {value}")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise UsageError(f"weight_decay must not be negative, got {self.weight_decay}")
        if self.batch_size % self.accumulate:
            raise UsageError(
                f"a batch of {self.batch_size} cannot be cut into {self.accumulate} equal parts"
            )
        if self.warmup is not None and not 0.0 <= self.warmup < 1.0:
            raise UsageError(
                f"warmup is a share of the run in [0, 1), got {self.warmup}; steps are given as "
                f"warmup_steps"
            )
        if self.warmup and self.warmup_steps:
            raise UsageError("warmup and warmup_steps say the same; give one of them")
        if self.schedule is Schedule.CONSTANT and self.schedule_steps is not None:
            raise UsageError("a constant schedule has no schedule_steps; leave one of them out")
        if self.schedule_steps is not None and self.schedule_steps <= self.warmup_steps:
            raise UsageError(
                f"a schedule of {self.schedule_steps} steps ends within the warm-up of "
                f"{self.warmup_steps}; raise schedule_steps"
            )

    @property
    def pole_lr(self) -> float:
        """Learning rate of poles and step sizes."""
        return min(self.lr, 1e-3) if self.ssm_lr is None else self.ssm_lr

    def total_steps(self, steps_per_epoch: int) -> int:
        """Optimizer steps after which training stops."""
        epochs = self.epochs
        if epochs is None and self.max_steps is None:
            epochs = DEFAULT_EPOCHS
        limits = [self.max_steps, None if epochs is None else epochs * steps_per_epoch]
        return min(limit for limit in limits if limit is not None)

    def rate(self, steps_per_epoch: int) -> Rate:
        """The learning rate of a run that starts with this configuration.

        Raises:
            UsageError: it would be 0 from some step before the last on.
        """
        steps = self.total_steps(steps_per_epoch)
        end = None if self.schedule is Schedule.CONSTANT else self.schedule_steps or steps
        require_rate(end, steps)
        warmup = self.warmup_steps if self.warmup is None else round(self.warmup * (end or steps))
        return Rate(warmup, end)


def require_rate(end: int | None, steps: int) -> None:
    """Refuse a run of which part would train at a learning rate of 0.

    Raises:
        UsageError: the run is longer than its schedule.
    """
    if end is not None and steps > end:
        raise UsageError(
            f"the schedule brings the learning rate to 0 at step {end:,}, and the run is to last "
            f"{steps:,} steps; stop earlier, or start with a larger schedule_steps or with "
            f"schedule = constant"
        )


def _choose(record: object, name: str, kind: type[StrEnum]) -> None:
    """Let a field hold a choice by its name, too."""
    value = getattr(record, name)
    names = [member.value for member in kind]
    if value not in names:
        raise UsageError(f"{name} is no {value!r}; {did_you_mean(str(value), names)}")
    object.__setattr__(record, name, kind(value))


def _at_least(name: str, value: int | None, least: int) -> None:
    if value is not None and value < least:
        raise UsageError(f"{name} must be at least {least}, got {value}")
