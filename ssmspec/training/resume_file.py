"""`resume.pt`: everything that a run needs to continue as if it had never stopped.

Weights, optimizer, scaler, where the run stands, the rows so far, the best model and what the
monitor saw. No state of a random number generator: what is drawn in a step follows from the seed
and the step alone. The file holds numbers, strings, lists and tensors only and is read with
`weights_only=True`, so that it can run no code.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

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
    if not path.is_file():
        raise UsageError(
            f"there is no {shown(path)}, so nothing can be resumed; leave --resume out to start"
        )
    try:
        document = torch.load(path, map_location="cpu", weights_only=True)
        if document["ssmspec_resume"] != FORMAT:
            raise KeyError("ssmspec_resume")
        best = document["best"]
        standing = Standing(
            step=document["step"],
            evaluated=document["evaluated"],
            rows=_rows(document["rows"]),
            window=Window(*document["window"]),
            best=best and Best(best["step"], best["metric"], best["weights"]),
            seconds=document["seconds"],
        )
        return RunState(
            standing,
            document["model"],
            document["optimizer"],
            document["scaler"],
            document["monitor"],
        )
    except PermissionError:
        raise CheckpointError(f"{shown(path)} cannot be read: permission denied") from None
    except (
        pickle.UnpicklingError,
        KeyError,
        TypeError,
        ValueError,
        EOFError,
        RuntimeError,
        OSError,
    ):  # fmt: skip - OSError: what torch says of an archive that was cut short
        raise CheckpointError(
            f"{shown(path)} is damaged, or no file that `ssmspec train` wrote; start anew with "
            f"--force, or in another folder with --init and a .safetensors file of this one"
        ) from None


def _rows(rows: Sequence[Sequence[Any]]) -> list[Row]:
    return [Row(*row) for row in rows]


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
