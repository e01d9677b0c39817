"""`ssmspec track`: the checkpoints of one run, one after another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ssmspec.cli.options import Output, Session, reading_options, session_options
from ssmspec.cli.output import deliver, page_for, progress_bar
from ssmspec.reading import Reading


@session_options
@reading_options
def command(
    run: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...",
            help="Folders, globs, checkpoints or addresses of one run; their names say the steps.",
            show_default=False,
        ),
    ],
    reading: Reading,
    session: Session,
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache",
            metavar="FILE",
            help="Keep what was measured here; the next call measures only what is new.",
            show_default=False,
        ),
    ] = None,
    format: Annotated[  # noqa: A002 - the option's name is part of the contract
        str,
        typer.Option("--format", "-f", help="text, json, csv, markdown or html.", metavar="FORMAT"),
    ] = "text",
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="The file of each step.")
    ] = False,
    output: Output = None,
) -> None:
    """Follow the checkpoints of one run, and name the step at which each rule first fires."""
    from ssmspec.analysis.track import track  # noqa: PLC0415 - numpy and all, once it is wanted
    from ssmspec.writers.track import TRACK_WRITERS  # noqa: PLC0415

    writer = TRACK_WRITERS.require(format)
    with progress_bar("measuring", session) as advance:
        tracked = track(run, reading, cache=cache, progress=advance)
    inputs = [Path(step.path) for step in tracked.steps]
    text = writer.render(tracked, page_for(output, verbose=verbose))
    deliver(text, output, session, inputs=(*inputs, *([] if cache is None else [cache])))
