"""`ssmspec plot`: a figure of a checkpoint, of a training run, or of initialization schemes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ssmspec.cli.options import Session, reading_options, session_options
from ssmspec.errors import UsageError
from ssmspec.naming import did_you_mean, matches, printable
from ssmspec.reading import Reading
from ssmspec.results.sweep import Knob

if TYPE_CHECKING:
    from ssmspec.plots import AnyKind, SchemeGrid
    from ssmspec.results.trajectory import Trajectory

SCHEME_PANEL = "Drawing schemes (--kind schemes)"


@session_options
@reading_options
def command(
    reading: Reading,
    session: Session,
    checkpoint: Annotated[
        Path | None,
        typer.Argument(
            metavar="[CHECKPOINT]",
            help="A checkpoint; for --kind trajectory the folder of a training run; for --kind "
            "schemes nothing.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="A .png, .svg or .pdf file.", show_default=False
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind",
            "-k",
            metavar="KIND",
            help="What to draw (`ssmspec list plots`); poles by default.",
            show_default=False,
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="SCHEME",
            help="Whose poles stand beside the layer's (`ssmspec list schemes`); dfout by default.",
            show_default=False,
        ),
    ] = None,
    sweep: Annotated[
        Knob | None,
        typer.Option(
            "--sweep",
            metavar="KNOB",
            help="Draw what scaling the step sizes (dt) or the decays (xi) does.",
            show_default=False,
        ),
    ] = None,
    dpi: Annotated[
        int | None,
        typer.Option(
            "--dpi",
            metavar="N",
            help="Resolution of a .png, and of what a vector file holds as an image; 300 by "
            "default.",
            show_default=False,
        ),
    ] = None,
    scheme: Annotated[
        list[str] | None,
        typer.Option(
            "--scheme",
            metavar="SCHEME",
            help="A scheme to draw; may be repeated. s4d-lin, s4d-inv and dfout by default.",
            rich_help_panel=SCHEME_PANEL,
            show_default=False,
        ),
    ] = None,
    dt: Annotated[
        list[float] | None,
        typer.Option(
            "--dt",
            metavar="X",
            help="A step size, or the damping xi of a scheme without one; may be repeated. 0.001, "
            "0.01 and 0.1 by default.",
            rich_help_panel=SCHEME_PANEL,
            show_default=False,
        ),
    ] = None,
    modes: Annotated[
        int | None,
        typer.Option(
            "--modes",
            metavar="M",
            help="Stored modes; 32 by default.",
            rich_help_panel=SCHEME_PANEL,
            show_default=False,
        ),
    ] = None,
) -> None:
    """Draw poles, coverage, entanglement, time constants, kernels, a sweep or a training."""
    from ssmspec.checkpoints.atomic import atomic_output  # noqa: PLC0415 - not for --help
    from ssmspec.plots import KINDS, PlotOptions, Subject  # noqa: PLC0415
    from ssmspec.plots.files import require_dpi, require_suffix, to_bytes  # noqa: PLC0415

    wanted = KINDS.require(kind or ("poles" if sweep is None else "sweep"))
    subject = wanted.subject
    for_schemes = subject is Subject.SCHEMES
    _refuse(
        wanted.id,
        [
            ("--against", against is not None, wanted.compares),
            ("--sweep", sweep is not None, subject is Subject.SWEEP),
            ("--scheme", bool(scheme), for_schemes),
            ("--dt", bool(dt), for_schemes),
            ("--modes", modes is not None, for_schemes),
        ],
    )
    if output is None:
        raise UsageError("a figure is a file: give --output FILE.png, FILE.svg or FILE.pdf")
    suffix = require_suffix(output)
    require_dpi(dpi)
    inputs = () if checkpoint is None else (checkpoint,)
    with atomic_output(output, force=session.force, inputs=inputs) as temporary:
        drawn: Any
        if for_schemes:
            drawn = _grid(checkpoint, reading, scheme, dt, modes)
        else:
            drawn = _subject(wanted, _required(checkpoint, wanted.id), reading, sweep or Knob.DT)
        options = PlotOptions() if against is None else PlotOptions(against)
        temporary.write_bytes(to_bytes(wanted.draw(drawn, options), suffix, dpi=dpi))


def _refuse(kind: str, options: Iterable[tuple[str, bool, bool]]) -> None:
    """Of (option, was it given, does the kind read it): none may be given in vain."""
    for flag, is_given, is_read in options:
        if is_given and not is_read:
            raise UsageError(f"{flag} would do nothing: --kind {kind} does not read it")


def _required(checkpoint: Path | None, kind: str) -> Path:
    if checkpoint is None:
        raise UsageError(f"--kind {kind} draws a checkpoint; name one")
    return checkpoint


def _subject(kind: AnyKind, checkpoint: Path, reading: Reading, knob: Knob) -> Any:
    """What a kind draws of a checkpoint."""
    from ssmspec.plots import Subject  # noqa: PLC0415 - numpy and all, once it is wanted

    if kind.subject is Subject.TRAJECTORY:
        return _trajectory(checkpoint, reading)
    if kind.subject is Subject.SWEEP:
        from ssmspec.analysis.sweep import sweep  # noqa: PLC0415

        return sweep(checkpoint, knob, reading)
    from ssmspec.analysis.model import layer_views  # noqa: PLC0415

    return layer_views(checkpoint, reading, kernels=kind.kernels)


def _trajectory(folder: Path, reading: Reading) -> Trajectory:
    from ssmspec.results.trajectory import FILE_NAME, load_trajectory  # noqa: PLC0415

    if replace(reading, layers=None) != Reading():
        raise UsageError("of the reading options --kind trajectory reads --layers only")
    path = folder / FILE_NAME if folder.is_dir() else folder
    trajectory = load_trajectory(path)
    glob = reading.layers
    if glob is None:
        return trajectory
    chosen = tuple(layer for layer in trajectory.layers if matches(layer.name, glob))
    if not chosen:
        near = did_you_mean(glob, [printable(layer.name) for layer in trajectory.layers])
        raise UsageError(f"no layer of {printable(str(path))} fits --layers {glob!r}; {near}")
    return replace(trajectory, layers=chosen)


def _grid(
    checkpoint: Path | None,
    reading: Reading,
    schemes: list[str] | None,
    dts: list[float] | None,
    modes: int | None,
) -> SchemeGrid:
    from ssmspec.plots import SchemeGrid  # noqa: PLC0415

    if checkpoint is not None or reading != Reading():
        raise UsageError(
            "--kind schemes reads no checkpoint: leave out its name and the options for it"
        )
    grid = SchemeGrid()
    return SchemeGrid(
        schemes=tuple(schemes) if schemes else grid.schemes,
        dts=tuple(dts) if dts else grid.dts,
        modes=grid.modes if modes is None else modes,
    )
