"""What is checked: sources, what they are called, and files that outputs keep clear of."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias, cast

from ssmspec.analysis.model import Source
from ssmspec.checkpoints import Checkpoint
from ssmspec.errors import UsageError

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


def input_paths(
    given: Mapping[str, Source], baselines: Sequence[StrPath], config: StrPath | None
) -> tuple[Path, ...]:
    """Files that no output may replace."""
    sources = [source for source in given.values() if isinstance(source, str | os.PathLike)]
    return tuple(map(Path, [*sources, *baselines, *([] if config is None else [config])]))
