"""`ssmspec compare`: two models side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ssmspec.cli.options import Output, Session, reading_options, session_options
from ssmspec.cli.output import deliver, page_for, progress_bar
from ssmspec.errors import NoLayersError
from ssmspec.naming import printable
from ssmspec.reading import Reading

ModelA = Annotated[
    Path,
    typer.Argument(
        metavar="A", help="A checkpoint, or a saved JSON report of one.", show_default=False
    ),
]
ModelB = Annotated[
    Path, typer.Argument(metavar="B", help="What A is compared with.", show_default=False)
]


@session_options
@reading_options
def command(
    a: ModelA,
    b: ModelB,
    reading: Reading,
    session: Session,
    format: Annotated[  # noqa: A002 - the option's name is part of the contract
        str,
        typer.Option("--format", "-f", help="text, json, csv, markdown or html.", metavar="FORMAT"),
    ] = "text",
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Every metric of every layer, every tensor.")
    ] = False,
    exit_code: Annotated[
        bool,
        typer.Option(
            "--exit-code",
            help="Exit with 1 where the two are not the same model, with 2 where none pairs.",
        ),
    ] = False,
    tolerance: Annotated[
        float | None,
        typer.Option(
            "--tolerance",
            metavar="X",
            help="How far poles (half-widths), residues and D (relative) may differ; "
            "what the stored types round by unless given. Implies --exit-code.",
            show_default=False,
        ),
    ] = None,
    output: Output = None,
) -> None:
    """Set two models side by side: metrics, poles that moved, tensors that changed.

    It is no gate unless asked with --exit-code: 1 where poles, residues or D differ, a layer is
    missing or heads stand in another order, 2 where no layers pair.
    """
    from ssmspec.analysis.comparison import compare  # noqa: PLC0415 - numpy and all, once it is wanted
    from ssmspec.writers.comparison import COMPARISON_WRITERS  # noqa: PLC0415

    writer = COMPARISON_WRITERS.require(format)
    judged = exit_code or tolerance is not None
    with progress_bar("comparing", session) as advance:
        comparison = compare(a, b, reading, progress=advance, judged=judged, tolerance=tolerance)
    text = writer.render(comparison, page_for(output, verbose=verbose))
    deliver(text, output, session, inputs=(a, b))
    for path, side in ((a, comparison.a), (b, comparison.b)):
        if not side.layers:
            raise NoLayersError(
                f"no state-space layer of {printable(str(path))} could be measured; "
                f"the report lists what was skipped and why"
            )
    if judged and not comparison.layers:
        raise NoLayersError(
            f"no layer of {printable(str(a))} pairs with one of {printable(str(b))}, so it cannot "
            f"be said whether they are the same"
        )
    if judged and not comparison.same:
        raise typer.Exit(1)
