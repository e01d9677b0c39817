"""`ssmspec export`: the recurrences of time-invariant layers, for a step-by-step loop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ssmspec.cli.options import Checkpoint, Session, reading_options, session_options
from ssmspec.cli.output import page_for, progress_bar
from ssmspec.cli.streams import put
from ssmspec.reading import Reading


@session_options
@reading_options
def command(
    checkpoint: Checkpoint,
    reading: Reading,
    session: Session,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The .npz file to write.")
    ],
    format: Annotated[  # noqa: A002 - the option's name is part of the contract
        str, typer.Option("--format", "-f", help="text, json, markdown or html.", metavar="FORMAT")
    ] = "text",
) -> None:
    """Write A_bar, B_bar, C and D of time-invariant layers, to run them step by step."""
    from ssmspec.analysis.export import export  # noqa: PLC0415 - numpy and all, once it is wanted
    from ssmspec.writers.export import EXPORT_WRITERS  # noqa: PLC0415

    writer = EXPORT_WRITERS.require(format)
    with progress_bar("exporting", session) as advance:
        result = export(checkpoint, output, reading, force=session.force, progress=advance)
    put(writer.render(result, page_for(None, verbose=False)))
