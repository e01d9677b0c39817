"""`resume.pt`: everything that a run needs to continue as if it had never stopped.

Weights, optimizer, scaler, where the run stands, the rows so far, the best model and what the
monitor saw. No state of a random number generator: what is drawn in a step follows from the seed
and the step alone. The file holds numbers, strings, lists and tensors only and is read with
`weights_only=True`, so that it can run no code.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ssmspec.checkpoints import open_checkpoint
from ssmspec.checkpoints.atomic import atomic_output
from ssmspec.errors import CheckpointError, UsageError
from ssmspec.naming import shown
from ssmspec.training.result import Row

FORMAT = 1
"""Version of the file."""

Weights: TypeAlias = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Best:
    """The model that did best on the validation data.

    Attributes:
        step: optimizer steps it had.
        metric: the objective's.
        weights: on the CPU.
    """

    step: int
    metric: float
    weights: Weights


@dataclass
class Window:
    """What was summed up since the last training row.

    Attributes:
        steps: how many steps.
        loss: sum of their mean losses.
        metric: sum of their mean metrics.
        norms: steps whose gradient had a finite norm.
        norm: sum of those norms.
    """

    steps: int = 0
    loss: float = 0.0
    metric: float = 0.0
    norms: int = 0
    norm: float = 0.0


@dataclass
class Standing:
    """Where a run stands.

    Attributes:
        step: optimizer steps so far.
        evaluated: step of the last evaluation.
        rows: of `metrics.csv`.
        window: what the next training row will average.
        best: None before the first evaluation.
        seconds: of training, over all the sessions of a run.
    """

    step: int = 0
    evaluated: int = 0
    rows: list[Row] = field(default_factory=list)
    window: Window = field(default_factory=Window)
    best: Best | None = None
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class RunState:
    """All that `resume.pt` holds.

    Attributes:
        standing: where the run stands.
        model: weights.
        optimizer: its state dict.
        scaler: that of the gradient scaler of fp16; None otherwise.
        monitor: that of the spectrum monitor; None where nobody looks.
    """

    standing: Standing
    model: Weights
    optimizer: Mapping[str, Any]
    scaler: Mapping[str, Any] | None = None
    monitor: Mapping[str, Any] | None = None


def save_state(state: RunState, path: Path) -> None:
    """Write it whole or not at all, in place of an older one.

    Raises:
        UsageError: it cannot be written.
    """
    standing = state.standing
    best = standing.best
    document = {
        "ssmspec_resume": FORMAT,
        "step": standing.step,
        "evaluated": standing.evaluated,
        "rows": [list(astuple(row)) for row in standing.rows],
        "window": list(astuple(standing.window)),
        "best": best and {"step": best.step, "metric": best.metric, "weights": dict(best.weights)},
        "seconds": standing.seconds,
        "model": dict(state.model),
        "optimizer": dict(state.optimizer),
        "scaler": state.scaler and dict(state.scaler),
        "monitor": state.monitor and dict(state.monitor),
    }
    with atomic_output(path, force=True) as temporary:
        try:
            torch.save(document, temporary)
        except RuntimeError as error:  # torch's own writer, where the disk is full
            raise UsageError(
                f"{shown(path)} cannot be written: {_first_line(error)}; is the disk full?"
            ) from None


def load_state(path: Path) -> RunState:
    """Read it back, tensors on the CPU.

    Raises:
        UsageError: there is no such file.
        CheckpointError: it is damaged or something else.
    """
    if not path.exists():
        raise UsageError(
            f"there is no {shown(path)}, so nothing can be resumed; leave --resume out to start"
        )
    try:
        with open_checkpoint(path) as checkpoint:  # bounds what the archive may unpack to
            if checkpoint.container != "torch-zip":
                raise ValueError("no archive")
        document = torch.load(path, map_location="cpu", weights_only=True)
        return _understood(document)
    except PermissionError:
        raise CheckpointError(f"{shown(path)} cannot be read: permission denied") from None
    except (
        CheckpointError,
        pickle.UnpicklingError,
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
        EOFError,
        RuntimeError,
        OSError,
    ):  # fmt: skip - OSError: what torch says of an archive that was cut short
        raise _damaged(path) from None


def _damaged(path: Path) -> CheckpointError:
    return CheckpointError(
        f"{shown(path)} is damaged, or no file that `ssmspec train` wrote; start anew with "
        f"--force, or in another folder with --init and a .safetensors file of this one"
    )


def _understood(document: Any) -> RunState:
    """The state in a document, each part of which has the type it was written with.

    Raises:
        TypeError, ValueError, KeyError: it has not.
    """
    if document["ssmspec_resume"] != FORMAT:
        raise KeyError("ssmspec_resume")
    best = document["best"]
    steps, loss, metric, norms, norm = document["window"]
    window = Window(_count(steps), float(loss), float(metric), _count(norms), float(norm))
    standing = Standing(
        step=_count(document["step"]),
        evaluated=_count(document["evaluated"]),
        rows=[_row(row) for row in document["rows"]],
        window=window,
        best=best and Best(_count(best["step"]), float(best["metric"]), _weights(best["weights"])),
        seconds=float(document["seconds"]),
    )
    scaler, monitor = document["scaler"], document["monitor"]
    if not all(part is None or isinstance(part, dict) for part in (scaler, monitor)):
        raise TypeError("a part is no table")
    optimizer = document["optimizer"]
    if not isinstance(optimizer, dict):
        raise TypeError("the optimizer is no table")
    return RunState(standing, _weights(document["model"]), optimizer, scaler, monitor)


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**53:
        raise ValueError("no number of steps")
    return value


def _weights(value: Any) -> Weights:
    if not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in value.items()):
        raise TypeError("no weights")
    return dict(value)


def _row(row: Sequence[Any]) -> Row:
    made = Row(*row)
    for field_, value in zip(fields(Row), astuple(made), strict=True):
        wanted = str if field_.type == "str" else int | float | None
        if isinstance(value, bool) or not isinstance(value, wanted):
            raise TypeError("no row of metrics.csv")
    return made


def require_fitting(state: RunState, path: Path, model: nn.Module, optimizer: Optimizer) -> None:
    """Refuse a state whose tensors are not those of the model and the optimizer it is for.

    Raises:
        CheckpointError: it is of another model, or was tampered with.
    """
    own = {name: tensor.shape for name, tensor in model.state_dict().items()}
    alike = all(
        {name: tensor.shape for name, tensor in weights.items()} == own
        for weights in (
            state.model,
            *([state.standing.best.weights] if state.standing.best else []),
        )
    )
    try:
        fits = alike and _optimizer_fits(state.optimizer, optimizer)
    except (AttributeError, LookupError, TypeError, ValueError):
        fits = False
    if not fits:
        raise CheckpointError(
            f"{shown(path)} does not hold this model's weights and optimizer; start anew with "
            f"--force, or in another folder"
        )


def _optimizer_fits(stored: Mapping[str, Any], optimizer: Optimizer) -> bool:
    """Whether groups have the same settings, and every moment the shape of its parameter."""
    now = optimizer.state_dict()["param_groups"]
    groups = stored["param_groups"]
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    changing = ("lr", "initial_lr")
    same = [_without(group, changing) for group in groups] == [_without(g, changing) for g in now]
    rates = [float(group[name]) for group in groups for name in changing if name in group]
    return (
        same
        and all(map(math.isfinite, rates))
        and all(
            tensor.shape in (parameters[index].shape, ())
            for index, moments in stored["state"].items()
            for tensor in moments.values()
        )
    )


def _without(group: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in group.items() if name not in names}


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
