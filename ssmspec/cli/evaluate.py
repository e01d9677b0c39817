"""`ssmspec evaluate`: a trained model on its data, at its rate and at others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ssmspec.cli.options import Output, Session, session_options
from ssmspec.cli.output import deliver, page_for, progress_bar
from ssmspec.results.evaluation import Part, Which


@session_options
def command(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="A folder that `ssmspec train` wrote.", show_default=False
        ),
    ],
    session: Session,
    resample: Annotated[
        float | None,
        typer.Option(
            "--resample",
            metavar="R",
            help="Also evaluate at 1/R of the rate, without training there: inputs decimated, "
            "step sizes times R, discrete poles to the power R.",
            show_default=False,
        ),
    ] = None,
    kernel_taps: Annotated[
        list[int] | None,
        typer.Option(
            "--kernel-taps",
            metavar="K",
            help="Also evaluate with every kernel cut to its first K lags; may be repeated.",
            show_default=False,
        ),
    ] = None,
    which: Annotated[
        Which, typer.Option("--which", help="The best weights on the validation data, or the last.")
    ] = Which.BEST,
    split: Annotated[Part, typer.Option("--split", help="Part of the data.")] = Part.TEST,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size", metavar="B", help="Examples at a time.", show_default="as in training"
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            metavar="NAME",
            help="cpu, cuda or cuda:N.",
            show_default="a GPU where there is one",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="PATH",
            help="Where the data set is now.",
            show_default="where it was in training",
        ),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            "--predictions",
            metavar="FILE",
            help="Write what the model says to this .npz file.",
            show_default=False,
        ),
    ] = None,
    format: Annotated[  # noqa: A002 - the option's name is part of the contract
        str, typer.Option("--format", "-f", help="text, json, markdown or html.", metavar="FORMAT")
    ] = "text",
    output: Output = None,
) -> None:
    """Test a trained model; also at a lower rate, or with short kernels."""
    from ssmspec.training import evaluate  # noqa: PLC0415 - torch and all, once it is wanted
    from ssmspec.writers.evaluation import EVALUATION_WRITERS  # noqa: PLC0415

    writer = EVALUATION_WRITERS.require(format)
    with progress_bar("evaluating", session) as advance:
        result = evaluate(
            folder,
            resample=resample,
            kernel_taps=kernel_taps,
            which=which,
            split=split,
            batch_size=batch_size,
            device=device,
            data=data,
            predictions=predictions,
            force=session.force,
            progress=advance,
        )
    deliver(writer.render(result, page_for(output, verbose=False)), output, session, inputs=())
