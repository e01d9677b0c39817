"""The options that describe a training run: one a field of the flat configuration table."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ssmspec.cli.options import extended, option_parameter
from ssmspec.errors import UsageError

MODEL_PANEL = "Model"
SCHEME_PANEL = "Initialization"
DATA_PANEL = "Task and data"
LENGTH_PANEL = "Length and records"
OPTIMIZER_PANEL = "Optimization"


def _option(
    panel: str, name: str, kind: Any, text: str, metavar: str | None = None, flag: str | None = None
) -> inspect.Parameter:
    return option_parameter(
        name,
        kind | None,
        None,
        flag or f"--{name.replace('_', '-')}",
        help=text,
        metavar=metavar,
        rich_help_panel=panel,
    )


def _data(name: str, kind: Any, text: str, metavar: str | None = None) -> inspect.Parameter:
    return _option(DATA_PANEL, name, kind, text, metavar)


def _model(
    name: str, kind: Any, text: str, metavar: str | None = None, flag: str | None = None
) -> inspect.Parameter:
    return _option(MODEL_PANEL, name, kind, text, metavar, flag)


def _scheme(name: str, kind: Any, text: str, metavar: str | None = "X") -> inspect.Parameter:
    return _option(SCHEME_PANEL, name, kind, text, metavar)


def _length(name: str, text: str) -> inspect.Parameter:
    return _option(LENGTH_PANEL, name, int, text, "N")


def _optimizer(
    name: str, kind: Any, text: str, metavar: str | None = "N", flag: str | None = None
) -> inspect.Parameter:
    return _option(OPTIMIZER_PANEL, name, kind, text, metavar, flag)


_RUN = (
    _data("task", str, "What to learn (`ssmspec list tasks`).", "TASK"),
    _data("data", Path, "Folder or file with your own data, where the task needs it.", "PATH"),
    _data("seq_len", int, "Sequence length in samples; the task's own by default.", "L"),
    option_parameter(
        "task_settings",
        list[str] | None,
        None,
        "--set",
        help="One of the task's own settings; may be repeated.",
        metavar="NAME=VALUE",
        rich_help_panel=DATA_PANEL,
    ),
    _data("seed", int, "Of initial weights, order of the data and what the task draws (0).", "N"),
    _scheme("scheme", str, "Id (`ssmspec list schemes`); dfout by default.", "SCHEME"),
    _scheme("xi_min", float, "Smallest damping of dfout."),
    _scheme("xi_max", float, "Largest damping of dfout."),
    _scheme("dt_min", float, "Draw step sizes from here."),
    _scheme("dt_max", float, "Draw step sizes up to here."),
    _scheme("r_min", float, "Smallest radius of lru-ring."),
    _scheme("r_max", float, "Largest radius of lru-ring."),
    _scheme("max_phase", float, "Largest phase of lru-ring, rad/sample."),
    _scheme("scale", float, "Factor of lin-scaled."),
    _scheme("init", Path, "Start from the weights of this checkpoint.", "CHECKPOINT"),
    _model("d_model", int, "Features, and channels of a layer (64).", "H"),
    _model("d_state", int, "States as in the papers, twice the stored modes (64).", "N"),
    _model("n_layers", int, "Blocks (4).", "N"),
    _model("dropout", float, "Share of features dropped while training (0).", "P"),
    _model(
        "tie_dropout",
        bool,
        "Drop a feature at all samples of a sequence or at none.",
        None,
        "--tie-dropout/--no-tie-dropout",
    ),
    _model("norm", str, "layer or batch (layer).", "NORM"),
    _model("prenorm", bool, "Normalize before or after a block.", None, "--prenorm/--postnorm"),
    _model(
        "bidirectional",
        bool,
        "A second kernel runs backward in time.",
        None,
        "--bidirectional/--no-bidirectional",
    ),
    _model("input_gain", str, "Of discrete layers: unit-energy or zoh (unit-energy).", "GAIN"),
    _model("freeze", str, "What does not train: none, angles or poles (none).", "WHAT"),
    _length("epochs", "Passes over the data (10, unless --max-steps is given)."),
    _length("max_steps", "Stop after so many optimizer steps."),
    _length("eval_every", "Steps between evaluations; one an epoch by default."),
    _length("save_every", "Save between evaluations, too, every so many steps."),
    _length("keep_every", "Keep the weights of every so many steps, each in a file of its own."),
    _length("patience", "Stop after so many evaluations in a row without a better model."),
    _length("log_every", "Steps that a training row of metrics.csv averages (10)."),
    _length("spectrum_every", "Steps between looks at the poles; 0 for none (100)."),
    _option(
        LENGTH_PANEL,
        "tensorboard",
        bool,
        "Write rows for TensorBoard, too.",
        None,
        "--tensorboard/--no-tensorboard",
    ),
    _optimizer("batch_size", int, "Examples a step, over all processes (64)."),
    _optimizer("accumulate", int, "Parts that a batch is cut into to save memory (1)."),
    _optimizer("lr", float, "Learning rate (0.004).", "X"),
    _optimizer("ssm_lr", float, "Of poles and step sizes; by default min(lr, 0.001).", "X"),
    _optimizer("weight_decay", float, "Not of poles, step sizes, norms and biases (0.01).", "X"),
    _optimizer("decayed", str, "weights, or s4: C and D too, but no embedding (weights).", "WHAT"),
    _optimizer("warmup", float, "Share of the run over which the rate rises linearly (0).", "X"),
    _optimizer("warmup_steps", int, "The same in steps."),
    _optimizer("schedule", str, "cosine down to 0 at the last step, or constant (cosine).", "KIND"),
    _optimizer("schedule_steps", int, "Where the cosine ends, if not at the last step."),
    _optimizer("clip", float, "Largest norm of the gradient; no limit by default.", "X"),
    _optimizer("precision", str, "fp32, bf16 or fp16 (fp32).", "TYPE"),
    _optimizer(
        "deterministic",
        bool,
        "Refuse operations that give other bits from run to run.",
        None,
        "--deterministic/--no-deterministic",
    ),
    _optimizer("compile", bool, "Use torch.compile.", None, "--compile/--no-compile"),
    _optimizer(
        "recompute",
        bool,
        "Make activations again for the gradient, to save memory.",
        None,
        "--recompute/--no-recompute",
    ),
)


def run_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a run; it receives those that were given, as `given: dict`."""

    def gather(values: dict[str, Any]) -> dict[str, Any]:
        given = {name: value for name, value in values.items() if value is not None}
        if "task_settings" in given:
            given["task_settings"] = dict(map(_setting, given["task_settings"]))
        return given

    return extended(command, "given", _RUN, gather)


def _setting(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise UsageError(f"--set takes NAME=VALUE, such as lag=100, not {text!r}")
    return name, value
