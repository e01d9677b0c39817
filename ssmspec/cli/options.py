"""Options that commands share, each declared once.

`reading_options` gives a command the READING options and hands it one `Reading`;
`session_options` gives it `--debug`, `--quiet` and `--force` and hands it one `Session`. Both work
by extending the signature that typer inspects.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ssmspec.errors import UsageError
from ssmspec.reading import Discretization, DtTransform, LayerRate, Reading, Scan

READING_PANEL = "Reading the checkpoint"
SESSION_PANEL = "Everywhere"

Checkpoint = Annotated[
    Path,
    typer.Argument(
        metavar="CHECKPOINT",
        help="A checkpoint file, a sharded *.index.json, a directory that holds one, or an address "
        "(hf://owner/name, https://..., s3://...).",
        show_default=False,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write the report here, not to stdout."),
]


@dataclass(frozen=True)
class Session:
    """How a command talks: `--debug`, `--quiet`, `--force`."""

    debug: bool = False
    quiet: bool = False
    force: bool = False


def option_parameter(
    name: str, kind: Any, default: Any, *flags: str, **info: Any
) -> inspect.Parameter:
    """An option as a parameter of a command's signature."""
    annotation = Annotated[kind, typer.Option(*flags, show_default=False, **info)]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


def _reading(name: str, kind: Any, flag: str, text: str, metavar: str | None = None) -> Any:
    return option_parameter(
        name, kind, None, flag, help=text, metavar=metavar, rich_help_panel=READING_PANEL
    )


_READING = (
    _reading("seq_len", int | None, "--seq-len", "Sequence length in samples.", "L"),
    _reading("sample_rate", float | None, "--sample-rate", "Rate of the input in hertz.", "HZ"),
    _reading(
        "layer_rate",
        list[str] | None,
        "--layer-rate",
        "Rate of some layers; may be repeated, the last match wins.",
        "GLOB=HZ",
    ),
    _reading(
        "row_stride",
        int | None,
        "--row-stride",
        "Samples from one row of an image to the next, where a sequence is one.",
        "S",
    ),
    _reading(
        "resample",
        float | None,
        "--resample",
        "How many times lower the rate of a coming run is (below 1: higher): tells what would "
        "alias then.",
        "R",
    ),
    _reading("layers", str | None, "--layers", "Only layers whose name fits.", "GLOB"),
    _reading(
        "family",
        str | None,
        "--family",
        "Look for this family only (`ssmspec list families`).",
        "ID",
    ),
    _reading(
        "discretization",
        Discretization | None,
        "--discretization",
        "For families that can be discretized in more than one way: zoh or bilinear.",
        "RULE",
    ),
    _reading(
        "dt_transform",
        DtTransform | None,
        "--dt-transform",
        "For families whose step sizes can be stored in more than one way: exp or softplus.",
        "NAME",
    ),
    _reading("map", Path | None, "--map", "A TOML page that describes an unknown layout.", "FILE"),
    _reading(
        "part",
        str | None,
        "--part",
        "Which copy of a model to read, where a file holds several.",
        "NAME",
    ),
    _reading(
        "assume",
        list[str] | None,
        "--assume",
        "What to take for granted that the file does not say; may be repeated.",
        "NAME",
    ),
    option_parameter(
        "offline",
        bool,
        False,
        "--offline",
        help="Reach for nothing that is not on this machine; hf:// is read from its cache.",
        rich_help_panel=READING_PANEL,
    ),
    _reading(
        "scan",
        Scan | None,
        "--scan",
        "What to look through for NaN: layer (every tensor of a layer; what check does) or poles "
        "(what is read anyway).",
        "WHAT",
    ),
)


def _session(name: str, flags: Sequence[str], text: str) -> inspect.Parameter:
    return option_parameter(name, bool, False, *flags, help=text, rich_help_panel=SESSION_PANEL)


_SESSION = (
    _session("force", ["--force"], "Overwrite an existing output."),
    _session("quiet", ["--quiet", "-q"], "No progress and no hints on stderr."),
    _session("debug", ["--debug"], "Show the traceback of an error."),
)


def reading_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the READING options; it receives them as `reading: Reading`."""

    def gather(values: dict[str, Any]) -> Reading:
        return Reading(
            seq_len=values["seq_len"],
            sample_rate=values["sample_rate"],
            layer_rates=tuple(map(_layer_rate, values["layer_rate"] or ())),
            row_stride=values["row_stride"],
            resample=values["resample"],
            layers=values["layers"],
            family=values["family"],
            discretization=values["discretization"],
            dt_transform=values["dt_transform"],
            layout=values["map"],
            part=values["part"],
            assume=tuple(values["assume"] or ()),
            offline=values["offline"],
            scan=values["scan"],
        )

    return extended(command, "reading", _READING, gather)


def session_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command `--debug`, `--quiet` and `--force`; it receives `session: Session`."""

    def gather(values: dict[str, Any]) -> Session:
        return Session(**values)

    return extended(command, "session", _SESSION, gather)


def extended(
    command: Callable[..., None],
    record: str,
    parameters: Sequence[inspect.Parameter],
    gather: Callable[[dict[str, Any]], Any],
) -> Callable[..., None]:
    """A command that takes further parameters, gathered into one record.

    Args:
        command: takes the record under its name.
        record: that name.
        parameters: the further ones.
        gather: makes the record from their values.
    """
    signature = inspect.signature(command, eval_str=True)
    own = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in signature.parameters.values()
        if parameter.name != record
    ]

    @functools.wraps(command)
    def wrapper(**values: Any) -> None:
        taken = {parameter.name: values.pop(parameter.name) for parameter in parameters}
        command(**values, **{record: gather(taken)})

    everything = [*own, *parameters]
    wrapper.__signature__ = signature.replace(parameters=everything)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in everything} | {"return": None}
    return wrapper


def _layer_rate(text: str) -> LayerRate:
    glob, separator, rate = text.rpartition("=")
    try:
        if not separator or not glob:
            raise ValueError
        return LayerRate(glob, float(rate))
    except ValueError:
        raise UsageError(
            f"--layer-rate takes GLOB=HZ, such as 'encoder.*=16000', not {text!r}"
        ) from None
