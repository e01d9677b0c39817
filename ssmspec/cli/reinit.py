"""`ssmspec reinit`: a checkpoint whose state-space layers start from an initialization scheme."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ssmspec.cli.options import Checkpoint, Session, reading_options, session_options
from ssmspec.cli.output import page_for, progress_bar
from ssmspec.cli.streams import put
from ssmspec.reading import Reading
from ssmspec.results.reinit import CPolicy, DtPolicy

SCHEME_PANEL = "Setting the scheme"


def _knob(flag: str, text: str, metavar: str = "X") -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        flag, help=text, metavar=metavar, rich_help_panel=SCHEME_PANEL, show_default=False
    )
    return option


@session_options
@reading_options
def command(
    checkpoint: Checkpoint,
    reading: Reading,
    session: Session,
    scheme: Annotated[
        str, typer.Option("--scheme", "-s", help="Id (`ssmspec list schemes`).", metavar="SCHEME")
    ] = "dfout",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="A .safetensors file; of a torch file also .pth, .pt, .ckpt or .bin; of a sharded "
            "checkpoint a folder.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="What is drawn from.", metavar="N")] = 0,
    dt: Annotated[
        DtPolicy | None,
        typer.Option(
            "--dt",
            help="Step sizes: keep them (the default), or one: A holds the log-poles.",
            show_default=False,
        ),
    ] = None,
    c: Annotated[
        CPolicy,
        typer.Option(
            "--c",
            help="C: keep it (to train again), fit it to the old kernels, or reset it.",
        ),
    ] = CPolicy.KEEP,
    search_xi: Annotated[
        bool,
        typer.Option(
            "--search-xi", help="With --c fit: choose the xi of each channel that fits best."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan and write nothing.")
    ] = False,
    format: Annotated[  # noqa: A002 - the option's name is part of the contract
        str, typer.Option("--format", "-f", help="text, json, markdown or html.", metavar="FORMAT")
    ] = "text",
    xi_min: Annotated[float | None, _knob("--xi-min", "Smallest damping of dfout.")] = None,
    xi_max: Annotated[float | None, _knob("--xi-max", "Largest damping of dfout.")] = None,
    dt_min: Annotated[float | None, _knob("--dt-min", "Draw step sizes from here.")] = None,
    dt_max: Annotated[float | None, _knob("--dt-max", "Draw step sizes up to here.")] = None,
    r_min: Annotated[float | None, _knob("--r-min", "Smallest radius of lru-ring.")] = None,
    r_max: Annotated[float | None, _knob("--r-max", "Largest radius of lru-ring.")] = None,
    max_phase: Annotated[
        float | None, _knob("--max-phase", "Largest phase of lru-ring, rad/sample.")
    ] = None,
    scale: Annotated[float | None, _knob("--scale", "Factor of lin-scaled.")] = None,
    blocks: Annotated[int | None, _knob("--blocks", "HiPPO blocks of s5-hippo.", "J")] = None,
) -> None:
    """Write the poles of an initialization scheme into a checkpoint of your own."""
    from ssmspec.reinitialization import reinit  # noqa: PLC0415 - numpy and all, once it is wanted
    from ssmspec.schemes import SchemeOptions  # noqa: PLC0415
    from ssmspec.writers.reinit import REINIT_WRITERS  # noqa: PLC0415

    writer = REINIT_WRITERS.require(format)
    options = SchemeOptions(
        xi_min=xi_min,
        xi_max=xi_max,
        dt_min=dt_min,
        dt_max=dt_max,
        r_min=r_min,
        r_max=r_max,
        max_phase=max_phase,
        scale=scale,
        blocks=blocks,
    )
    with progress_bar("re-initializing", session) as advance:
        result = reinit(
            checkpoint,
            scheme,
            output,
            reading,
            seed=seed,
            dt=dt,
            c=c,
            search_xi=search_xi,
            options=options,
            dry_run=dry_run,
            force=session.force,
            progress=advance,
        )
    put(writer.render(result, page_for(None, verbose=False)))
