"""The use case behind `ssmspec reinit`: read, ask the scheme, hold it, write, read back."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TypeVar, Unpack

from ssmspec.analysis.model import Model, ReadingOptions, Source, chosen_reading, open_model
from ssmspec.analysis.target import Wish
from ssmspec.checkpoints import open_checkpoint
from ssmspec.errors import UsageError
from ssmspec.naming import did_you_mean
from ssmspec.reading import Reading
from ssmspec.reinitialization.changes import (
    Plan,
    Task,
    fallen_notes,
    plan,
    rounding_warnings,
    search_notes,
)
from ssmspec.reinitialization.outputs import check_output, write_output
from ssmspec.results.reinit import CPolicy, DtPolicy, Reinitialization, StepSizes
from ssmspec.schemes import SCHEMES, SchemeOptions

Choice = TypeVar("Choice", bound=StrEnum)


def reinit(
    source: Source,
    scheme: str = "dfout",
    output: str | os.PathLike[str] | None = None,
    reading: Reading | None = None,
    *,
    seed: int = 0,
    dt: DtPolicy | str | None = None,
    c: CPolicy | str = CPolicy.KEEP,
    search_xi: bool = False,
    options: SchemeOptions | None = None,
    dry_run: bool = False,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
    **reading_options: Unpack[ReadingOptions],
) -> Reinitialization:
    """Write a checkpoint whose state-space layers start from an initialization scheme.

    Poles are replaced, and what they force to change; every other tensor is copied byte for byte.
    The same arguments give the same bytes.

    Args:
        source: path of a checkpoint (file, index or directory), a mapping of names to arrays, or
            an object with `state_dict()`. It is never changed.
        scheme: id of the scheme.
        output: file to write, in the format its name tells: `.safetensors`, or for a torch
            archive also `.pth`, `.pt`, `.ckpt`, `.bin`; a folder for a sharded safetensors
            checkpoint. Needed unless `dry_run`.
        reading: how to read the checkpoint; or its fields as keywords. `layers` selects layers.
        seed: non-negative; every layer draws from (seed, its place among all layers).
        dt: "keep" writes A for the step sizes that are there, "one" writes dt = 1. By default
            they are kept unless `options` gives a range to draw them from.
        c: "keep" leaves C, "fit" solves for the C that keeps most of the old kernels over
            `seq_len` lags, "reset" draws the family's own initialization.
        search_xi: with "fit" and a dfout scheme, choose the damping of each channel in
            [xi_min, xi_max] for the best fit in place of drawing it.
        options: what is set of the scheme.
        dry_run: write nothing.
        force: replace an output that is there.
        progress: called after each layer with (done, all).
        **reading_options: fields of `Reading`.

    Returns:
        What changed (or would), with metrics before and after.

    Raises:
        SchemeError: a layer cannot hold the scheme; nothing was written.
        UsageError: options that make no sense together, or an output that cannot be written to.
        CheckpointError: the source cannot be read, or the output could not be read back.
        NoLayersError: it holds no state-space layer that can be read.
    """
    chosen = chosen_reading(reading, reading_options)
    task = task_for(scheme, chosen, seed=seed, dt=dt, c=c, search_xi=search_xi, options=options)
    path = None if output is None else Path(output)
    if path is None and not dry_run:
        raise UsageError("say where the result goes (--output FILE), or try it with --dry-run")
    with open_model(source, chosen) as model:
        checkpoint = model.checkpoint
        task = replace(task, reading=model.reading)
        notes = check_output(checkpoint, path) if path is not None else ()
        made = planned(model, task, progress)
        if path is not None and not dry_run:
            write_output(checkpoint, made.overlay.changes, path, force=force)
            with open_checkpoint(path) as written:
                written.config = checkpoint.config
                made.require_in(written)
        is_written = path is not None and not dry_run
        return outcome_of(model, task, made, output=path, written=is_written, notes=notes)


def task_for(
    scheme: str,
    reading: Reading,
    *,
    seed: int = 0,
    dt: DtPolicy | str | None = None,
    c: CPolicy | str = CPolicy.KEEP,
    search_xi: bool = False,
    options: SchemeOptions | None = None,
) -> Task:
    """What the arguments of `reinit` ask for.

    Raises:
        UsageError: they make no sense together.
    """
    wish = Wish(
        scheme=SCHEMES.require(scheme),
        seed=seed,
        options=options or SchemeOptions(),
        dt=None if dt is None else _choice(DtPolicy, dt),
    )
    return Task(wish, _choice(CPolicy, c), search_xi, reading)


def planned(model: Model, task: Task, progress: Callable[[int, int], None] | None = None) -> Plan:
    """What a model is to become.

    Raises:
        SchemeError: a layer cannot hold the scheme, or has no C to fit.
        NoLayersError: there is no layer that can be read.
        UsageError: step sizes were spoken of, and no layer has one.
    """
    made = plan(model, task, progress)
    if task.wish.dt is not None and all(
        each.change.step_sizes is StepSizes.NONE for each in made.layers
    ):
        raise UsageError("no layer has a step size, so --dt would do nothing; leave it out")
    return made


def outcome_of(
    model: Model,
    task: Task,
    made: Plan,
    *,
    output: Path | None = None,
    written: bool,
    notes: Sequence[str] = (),
) -> Reinitialization:
    """A plan as a result."""
    checkpoint = model.checkpoint
    changes = tuple(each.change for each in made.layers)
    told = [*notes, *(note for each in made.layers for note in each.notes)]
    told += search_notes(changes)
    told += fallen_notes(changes)
    return Reinitialization(
        **model.about(),
        scheme=task.wish.scheme.id,
        scheme_title=task.wish.scheme.title,
        seed=task.wish.seed,
        c=task.c,
        layers=changes,
        copied=len(checkpoint.tensors) - len(made.overlay.changes),
        output=None if output is None else str(output),
        written=written,
        notes=tuple(dict.fromkeys(told)),
        warnings=tuple(
            text for change in changes for text in rounding_warnings(change, checkpoint)
        ),
    )


def _choice(kind: type[Choice], value: str) -> Choice:
    try:
        return kind(value)
    except ValueError:
        names = [member.value for member in kind]
        raise UsageError(f"there is no {value!r} to choose; {did_you_mean(value, names)}") from None
