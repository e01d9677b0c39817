"""What a gate is given: checkpoints, and reports of earlier runs that stand for theirs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias, cast

from ssmspec.analysis.model import Source
from ssmspec.checkpoints import Checkpoint
from ssmspec.errors import CheckpointError, UsageError
from ssmspec.naming import printable, shown
from ssmspec.results.saved import SavedCheck, SavedRun, find_run

StrPath: TypeAlias = str | os.PathLike[str]


def labelled_sources(sources: Source | Sequence[Source]) -> Mapping[str, Source]:
    """Sources by what they are called in reports; one that is named twice is checked once.

    Raises:
        UsageError: there is none.
    """
    if isinstance(sources, list | tuple):
        several = cast("Sequence[Source]", sources)
    else:
        several = [cast("Source", sources)]
    if not several:
        raise UsageError("there is no checkpoint to check")
    labelled: dict[str, Source] = {}
    for source in several:
        label = _label(source)
        count = 1
        while label in labelled and not isinstance(source, str | os.PathLike):
            count += 1
            label = f"{_label(source)} ({count})"
        labelled[label] = source
    return labelled


def _label(source: Source) -> str:
    if isinstance(source, str | os.PathLike):
        return os.fsdecode(source)
    if isinstance(source, Checkpoint):
        return source.path
    if isinstance(source, Mapping):
        return "a state dict in memory"
    return f"a {type(source).__name__} in memory"


def unfolded(
    given: Mapping[str, Source], preset: str
) -> tuple[Mapping[str, Source | SavedCheck], tuple[str, ...]]:
    """Checkpoints and, in the place of each saved report, the checkpoints that it tells of.

    Args:
        given: sources by label.
        preset: of this run.

    Returns:
        Sources by label, and what a reader should know of the reports.
    """
    sources: dict[str, Source | SavedCheck] = {}
    hints: list[str] = []
    for label, source in given.items():
        run = _saved(source)
        if not isinstance(run, SavedRun):
            sources[_free(label, sources)] = run
            continue
        for saved in run.checks:
            sources[_free(saved.path, sources)] = saved
        if (run.preset or "recommended") != preset:
            hints.append(
                f"{printable(label)} was judged by the preset {run.preset or 'recommended'}, this "
                f"run by {preset}: its findings stay as they are"
            )
    return sources, tuple(hints)


def _saved(source: Source) -> Source | SavedCheck | SavedRun:
    if not isinstance(source, str | os.PathLike):
        return source
    path = Path(os.fsdecode(source))
    try:
        run = find_run(path)
    except CheckpointError as error:
        return SavedCheck(os.fsdecode(source), None, str(error))
    if run is not None and not run.checks:
        return SavedCheck(os.fsdecode(source), None, f"{shown(path)} tells of no checkpoint")
    return source if run is None else run


def _free(label: str, taken: Mapping[str, object]) -> str:
    """The label, numbered where another has it."""
    free, count = label, 1
    while free in taken:
        count += 1
        free = f"{label} ({count})"
    return free


def input_paths(
    given: Mapping[str, Source], baselines: Sequence[StrPath], config: StrPath | None
) -> tuple[Path, ...]:
    """Files that no output may replace."""
    sources = [source for source in given.values() if isinstance(source, str | os.PathLike)]
    return tuple(map(Path, [*sources, *baselines, *([] if config is None else [config])]))
