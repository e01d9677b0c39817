"""`ssmspec analyze`: what a checkpoint's state-space layers can and cannot hear."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from ssmspec.cli.options import Checkpoint, Output, Session, reading_options, session_options
from ssmspec.cli.output import deliver, page_for, progress_bar
from ssmspec.errors import NoLayersError, UsageError
from ssmspec.naming import printable
from ssmspec.reading import Reading
from ssmspec.results.stored_as import StoredType
from ssmspec.results.sweep import Knob

if TYPE_CHECKING:
    from ssmspec.writers import Page

Progress: TypeAlias = Callable[[int, int], None]
Rendered: TypeAlias = tuple[str, int]
"""A report as text, and how many layers it measured."""


@session_options
@reading_options
def command(
    checkpoint: Checkpoint,
    reading: Reading,
    session: Session,
    format: Annotated[  # noqa: A002 - the option's name is part of the contract
        str,
        typer.Option(
            "--format",
            "-f",
            help="text, json, csv, markdown or html.",
            metavar="FORMAT",
        ),
    ] = "text",
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="SCHEME",
            help="Set each layer beside the one this initialization would give "
            "(`ssmspec list schemes`).",
            show_default=False,
        ),
    ] = None,
    sweep: Annotated[
        Knob | None,
        typer.Option(
            "--sweep",
            metavar="KNOB",
            help="Scale step sizes (dt), or decays at fixed angles (xi), from 1/16 to 16.",
            show_default=False,
        ),
    ] = None,
    stored_as: Annotated[
        StoredType | None,
        typer.Option(
            "--stored-as",
            metavar="TYPE",
            help="What would become of the poles in bf16, fp16, fp8-e4m3, fp8-e5m2 or int8.",
            show_default=False,
        ),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Every metric of every layer.")
    ] = False,
    output: Output = None,
) -> None:
    """Measure frequency coverage, aliasing, memory and entanglement, layer by layer."""
    asked = {"--against": against, "--sweep": sweep, "--stored-as": stored_as}
    given = [option for option, value in asked.items() if value is not None]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} make different reports; give one of them")
    page = page_for(output, verbose=verbose)
    with progress_bar("measuring", session) as advance:
        if against is not None:
            text, layers = _against(checkpoint, reading, against, format, page, advance)
        elif sweep is not None:
            text, layers = _sweep(checkpoint, reading, sweep, format, page, advance)
        elif stored_as is not None:
            text, layers = _stored_as(checkpoint, reading, stored_as, format, page, advance)
        else:
            text, layers = _analyze(checkpoint, reading, format, page, advance)
    deliver(text, output, session, inputs=(checkpoint,))
    if not layers:
        raise NoLayersError(
            f"no state-space layer of {printable(str(checkpoint))} could be measured; "
            f"the report lists what was skipped and why"
        )


def _analyze(
    checkpoint: Path, reading: Reading, form: str, page: Page, advance: Progress
) -> Rendered:
    from ssmspec.analysis.report import analyze  # noqa: PLC0415 - numpy and all, once it is wanted
    from ssmspec.rules import judge, judge_all  # noqa: PLC0415
    from ssmspec.writers import WRITERS  # noqa: PLC0415

    writer = WRITERS.require(form)
    rules = judge_all if page.verbose else judge
    report = analyze(checkpoint, reading, progress=advance, judge=rules)
    return writer.render(report, page), len(report.layers)


def _against(
    checkpoint: Path, reading: Reading, scheme: str, form: str, page: Page, advance: Progress
) -> Rendered:
    from ssmspec.analysis.against import against  # noqa: PLC0415 - numpy and all, once it is wanted
    from ssmspec.writers.against import AGAINST_WRITERS  # noqa: PLC0415

    writer = AGAINST_WRITERS.require(form)
    report = against(checkpoint, scheme, reading, progress=advance)
    return writer.render(report, page), len(report.layers)


def _sweep(
    checkpoint: Path, reading: Reading, knob: Knob, form: str, page: Page, advance: Progress
) -> Rendered:
    from ssmspec.analysis.sweep import sweep  # noqa: PLC0415 - numpy and all, once it is wanted
    from ssmspec.writers.sweep import SWEEP_WRITERS  # noqa: PLC0415

    writer = SWEEP_WRITERS.require(form)
    report = sweep(checkpoint, knob, reading, progress=advance)
    return writer.render(report, page), len(report.layers)


def _stored_as(
    checkpoint: Path, reading: Reading, kind: StoredType, form: str, page: Page, advance: Progress
) -> Rendered:
    from ssmspec.analysis.stored_as import stored_as  # noqa: PLC0415 - numpy, once it is wanted
    from ssmspec.writers.stored_as import STORED_AS_WRITERS  # noqa: PLC0415

    writer = STORED_AS_WRITERS.require(form)
    report = stored_as(checkpoint, kind, reading, progress=advance)
    return writer.render(report, page), len(report.layers)
