"""`ssmspec train`: from an initialization scheme to a trained model and what its poles did."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ssmspec.cli.options import Session, session_options
from ssmspec.cli.output import page_for
from ssmspec.cli.streams import put
from ssmspec.cli.train_options import run_options
from ssmspec.cli.train_progress import TrainingProgress, told

if TYPE_CHECKING:
    from ssmspec.training import TrainConfig, TrainResult

RUN_PANEL = "The run"


@session_options
@run_options
def command(
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Folder of the run: weights, metrics, spectrum, and what --resume needs.",
            rich_help_panel=RUN_PANEL,
        ),
    ],
    given: dict[str, Any],
    session: Session,
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            metavar="NAME",
            help="Settings that ship with the package (`ssmspec list tasks` names them).",
            rich_help_panel=RUN_PANEL,
            show_default=False,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="Settings from a TOML file, over those of a preset; options go over both.",
            rich_help_panel=RUN_PANEL,
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue the run in DIR as if it had never stopped.",
            rich_help_panel=RUN_PANEL,
        ),
    ] = False,
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            metavar="KIND",
            help="cpu, cuda or cuda:N; a GPU by default where there is one.",
            rich_help_panel=RUN_PANEL,
            show_default=False,
        ),
    ] = None,
) -> None:
    """Train a model from an initialization scheme, and watch its spectrum move."""
    settings = _settings(output, given, preset, config, resume=resume)
    progress = TrainingProgress(session)
    progress.hello(settings.task, settings.model.scheme)
    from ssmspec.training import train  # noqa: PLC0415 - torch, once it is known what to do

    try:
        with progress:
            result = train(
                settings,
                output,
                resume=resume,
                force=session.force,
                device=device,
                on_progress=progress,
                tell=progress.tell,
            )
    except (KeyboardInterrupt, SystemExit) as stop:
        _say_how_to_go_on(stop, output, session)
        raise
    if os.environ.get("RANK", "0") == "0":
        put(_summary(settings, result))


def _settings(
    output: Path,
    given: dict[str, Any],
    preset: str | None,
    config: Path | None,
    *,
    resume: bool,
) -> TrainConfig:
    """What was asked for: a stored run under a preset under a file under the options."""
    from ssmspec.schemes import SCHEMES  # noqa: PLC0415 - numpy and all
    from ssmspec.training.config import ModelConfig  # noqa: PLC0415
    from ssmspec.training.run_folder import layers_of, read_config  # noqa: PLC0415
    from ssmspec.training.settings import (  # noqa: PLC0415
        combine,
        read_file,
        read_preset,
        to_config,
        to_settings,
    )

    file = read_file(config) if config is not None else {}
    over, start = combine(file, given), {}
    below = [to_settings(read_config(output))] if resume else []
    if preset is not None:
        below.append(dict(read_preset(preset, over.get("scheme"))))
    if over.get("init") is not None and "scheme" not in over and not resume:
        start = layers_of(over["init"])
        named = combine(*below).get("scheme", ModelConfig.scheme)
        if start and SCHEMES.require(named).kind is SCHEMES.require(start["scheme"]).kind:
            start = {**start, "scheme": named}
        if preset is not None:
            below[-1] = dict(read_preset(preset, start.get("scheme")))
    return to_config(combine(*below, start, file, given), "the command line")


def _say_how_to_go_on(stop: BaseException, output: Path, session: Session) -> None:
    message = getattr(stop, "message", "") or " ".join(map(str, stop.args))
    if message and not session.quiet and os.environ.get("RANK", "0") == "0":
        sys.stderr.write(f"{message}; `ssmspec train --output {output} --resume` continues\n")


def _summary(config: TrainConfig, result: TrainResult) -> str:
    """What a run came to, for a person."""
    from ssmspec.naming import printable  # noqa: PLC0415

    folder = printable(str(result.folder))
    name = result.metric_name
    lines = [
        f"{config.task} from {config.model.scheme}: {name} {told(name, result.test_metric)} on "
        f"the test data",
        f"by best.safetensors, {told(name, result.best_metric)} on the validation data at step "
        f"{result.best_step:,} of {result.steps:,}",
        "",
    ]
    if result.monitor is not None:
        lines += [result.monitor.summary(page_for(None, verbose=False).width).rstrip("\n"), ""]
    lines += [
        f"next     ssmspec analyze {folder}",
        f"         ssmspec compare {folder}/initial.safetensors {folder}/model.safetensors",
    ]
    return "\n".join(lines) + "\n"
