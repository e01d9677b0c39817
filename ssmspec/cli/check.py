"""`ssmspec check`: the gate for continuous integration."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from ssmspec.cli.options import Session, reading_options, session_options
from ssmspec.cli.output import deliver, progress_bar
from ssmspec.outcome import Level
from ssmspec.reading import Reading
from ssmspec.results.check import COULD_NOT_JUDGE

GATE_PANEL = "The gate"
BASELINE_PANEL = "Comparing with a baseline"


def _option(*flags: str, panel: str | None = None, **info: Any) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        *flags, show_default=False, rich_help_panel=panel, **info
    )
    return option


@session_options
@reading_options
def command(
    checkpoints: Annotated[
        list[Path],
        typer.Argument(
            metavar="CHECKPOINT...",
            help="Checkpoint files, sharded *.index.json, or directories that hold one; also JSON "
            "reports of earlier runs, in the place of their checkpoints.",
            show_default=False,
        ),
    ],
    reading: Reading,
    session: Session,
    config: Annotated[
        Path | None,
        _option(
            "--config",
            metavar="FILE",
            panel=GATE_PANEL,
            help="A pyproject.toml with a tool.ssmspec table, or a TOML file with its keys; by "
            "default the nearest of ssmspec.toml and pyproject.toml, from here upward.",
        ),
    ] = None,
    preset: Annotated[
        str | None,
        _option(
            "--preset",
            metavar="NAME",
            panel=GATE_PANEL,
            help="Levels to start from: recommended, training-start or strict "
            "(`ssmspec list presets`).",
        ),
    ] = None,
    fail_on: Annotated[
        Level | None,
        _option(
            "--fail-on", panel=GATE_PANEL, help="The level that fails the gate; error by default."
        ),
    ] = None,
    select: Annotated[
        list[str] | None,
        _option(
            "--select",
            metavar="CODES",
            panel=GATE_PANEL,
            help="Only these rules: codes or their beginnings, with commas (ALI,COV001).",
        ),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        _option("--ignore", metavar="CODES", panel=GATE_PANEL, help="Leave these rules out."),
    ] = None,
    exit_zero: Annotated[
        bool,
        _option("--exit-zero", panel=GATE_PANEL, help="A failed gate exits 0 all the same."),
    ] = False,
    baseline: Annotated[
        list[Path] | None,
        _option(
            "--baseline",
            metavar="REPORT",
            panel=BASELINE_PANEL,
            help="Findings in this report do not fail the gate. Written by --write-baseline, or by "
            "analyze --format json; may be repeated.",
        ),
    ] = None,
    max_regression: Annotated[
        list[str] | None,
        _option(
            "--max-regression",
            metavar="METRIC:5%",
            panel=BASELINE_PANEL,
            help="A metric may get worse by so much: a share of the baseline (coverage:5%), an "
            "amount (coverage:0.05) or, of several baselines, their spread (coverage), which is "
            "allowed in any case. May be repeated.",
        ),
    ] = None,
    baseline_output: Annotated[
        Path | None,
        _option(
            "--write-baseline",
            metavar="FILE",
            panel=BASELINE_PANEL,
            help="Write what was measured and found as a baseline for later runs.",
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        _option(
            "--jobs",
            "-j",
            min=1,
            metavar="N",
            help="Processes that share many checkpoints; by default one a core, where it pays.",
        ),
    ] = None,
    formats: Annotated[
        list[str] | None,
        _option(
            "--format",
            "-f",
            metavar="FORMAT[=FILE]",
            help="text, json, markdown, html, junit or github; with =FILE into a file, else to "
            "stdout, which gets text when no other format asks for it. May be repeated.",
        ),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="In text, each finding of each layer.")
    ] = False,
) -> None:
    """Judge checkpoints: exit 0 when all pass, 1 when one fails, 2 when it cannot be told."""
    from ssmspec.checking import (  # noqa: PLC0415
        NOT_WRITTEN,
        check,
        nearest_config,
        write_baseline,
    )
    from ssmspec.checking.pool import cores  # noqa: PLC0415
    from ssmspec.cli.check_outputs import (  # noqa: PLC0415
        append_step_summary,
        complain,
        hint,
        print_report,
        render,
        require_outputs,
        targets_of,
    )

    found = nearest_config(Path()) if config is None else config
    config = None if found is None else Path(os.path.relpath(found))
    *files, stdout = targets_of(formats or ())
    inputs = (*checkpoints, *(baseline or ()), *filter(None, (config, reading.layout)))
    outputs = [file.path for file in files if file.path is not None]
    outputs += [] if baseline_output is None else [baseline_output]
    inputs = require_outputs(outputs, inputs, force=session.force)
    with progress_bar("checking", session) as advance:
        run = check(
            checkpoints,
            reading,
            config=config,
            preset=preset,
            fail_on=fail_on,
            select=select,
            ignore=ignore,
            baselines=baseline or (),
            max_regression=max_regression or (),
            exit_zero=exit_zero,
            debug=session.debug,
            jobs=jobs or cores(),
            progress=advance,
        )
    for sentence in run.hints:
        hint(sentence, session)
    complain(run)
    texts = [render(run, target, verbose=verbose) for target in (*files, stdout)]
    for target, text in zip(files, texts, strict=False):
        deliver(text, target.path, session, inputs)
    if baseline_output is not None and run.exit_code != COULD_NOT_JUDGE:
        write_baseline(run, baseline_output, force=session.force, inputs=inputs)
    elif baseline_output is not None:
        hint(NOT_WRITTEN, session)
    append_step_summary(run, session)
    print_report(texts[-1], session)
    if run.exit_code:
        raise typer.Exit(run.exit_code)
