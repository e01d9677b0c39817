"""`ssmspec analyze`: what a checkpoint's state-space layers can and cannot hear."""

from __future__ import annotations

from typing import Annotated

import typer

from ssmspec.cli.options import Checkpoint, Output, Session, reading_options, session_options
from ssmspec.cli.output import deliver, page_for, progress_bar
from ssmspec.errors import NoLayersError
from ssmspec.naming import printable
from ssmspec.reading import Reading


@session_options
@reading_options
def command(
    checkpoint: Checkpoint,
    reading: Reading,
    session: Session,
    format: Annotated[  # noqa: A002 - the option's name is part of the contract
        str, typer.Option("--format", "-f", help="text, json or csv.", metavar="FORMAT")
    ] = "text",
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Every metric of every layer.")
    ] = False,
    output: Output = None,
) -> None:
    """Measure frequency coverage, aliasing, memory and entanglement, layer by layer."""
    from ssmspec.analysis import analyze  # noqa: PLC0415 - numpy and all, once it is wanted
    from ssmspec.writers import WRITERS  # noqa: PLC0415

    writer = WRITERS.require(format)
    with progress_bar("measuring", session) as advance:
        report = analyze(checkpoint, reading, progress=advance)
    text = writer.render(report, page_for(output, verbose=verbose))
    deliver(text, output, session, inputs=(checkpoint,))
    if not report.layers:
        raise NoLayersError(
            f"no state-space layer of {printable(str(checkpoint))} could be measured; "
            f"the report lists what was skipped and why"
        )
