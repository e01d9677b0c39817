"""The gate: measure each checkpoint, judge it, compare it, select, and come to one exit code."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias, Unpack

from ssmspec.analysis.model import Progress, ReadingOptions, Source, chosen_reading
from ssmspec.analysis.report import analyze
from ssmspec.checking.baseline import (
    Earlier,
    compared,
    matched,
    read_baseline,
    remarks,
    write_baseline,
)
from ssmspec.checking.config import Config, read_config
from ssmspec.checking.pool import in_order
from ssmspec.checking.regression import (
    Allowance,
    parse_allowance,
    regressions,
    require_baselines,
    uncompared_layers,
)
from ssmspec.checking.selection import Selection, codes_in
from ssmspec.checking.sources import StrPath, input_paths, labelled_sources, unfolded
from ssmspec.checkpoints.atomic import require_output
from ssmspec.errors import SsmspecError, UsageError
from ssmspec.naming import printable
from ssmspec.outcome import Level
from ssmspec.reading import Reading
from ssmspec.results.check import (
    COULD_NOT_JUDGE,
    WHOLE_MODEL,
    CheckedFile,
    CheckRun,
    JudgedFinding,
    Status,
)
from ssmspec.results.report import Report
from ssmspec.results.saved import SavedCheck
from ssmspec.rules.book import RuleBook
from ssmspec.rules.presets import PRESETS, RECOMMENDED
from ssmspec.rules.regression import REG001

NOT_WRITTEN = "no baseline was written, because not every checkpoint could be judged"


@dataclass(frozen=True)
class Gate:
    """Everything that a verdict depends on beside the checkpoint.

    Attributes:
        book: the rules in force.
        fail_on: the level from which a finding fails the gate.
        selection: which findings count.
        allowances: which metrics may get worse than the baselines', and by how much.
        debug: let an unexpected exception pass instead of recording it.
    """

    book: RuleBook
    fail_on: Level
    selection: Selection
    allowances: tuple[Allowance, ...] = ()
    debug: bool = False


def check(
    sources: Source | Sequence[Source],
    reading: Reading | None = None,
    *,
    config: StrPath | None = None,
    preset: str | None = None,
    fail_on: Level | str | None = None,
    select: Sequence[str] | None = None,
    ignore: Sequence[str] | None = None,
    baselines: Sequence[StrPath] = (),
    max_regression: Sequence[str] = (),
    baseline_output: StrPath | None = None,
    exit_zero: bool = False,
    force: bool = False,
    debug: bool = False,
    jobs: int = 1,
    progress: Progress | None = None,
    **options: Unpack[ReadingOptions],
) -> CheckRun:
    """Judge checkpoints as a gate in continuous integration does.

    Args:
        sources: one or several of what `analyze` takes, or JSON reports of `analyze` or `check`,
            which stand for the checkpoints they tell of: findings are taken as they were judged
            then, and selection, level and baselines are those of this run.
        reading: how to read them; or its fields as keywords. What is None in it comes from the
            configuration.
        config: a pyproject.toml or ssmspec.toml; None for none. `nearest_config` finds the one
            that the command line would use.
        preset: id of a rule preset; by default the configuration's, else `recommended`.
        fail_on: the level from which a finding fails the gate; by default the configuration's,
            else `error`.
        select: codes or prefixes of them; only these findings count.
        ignore: likewise; these do not count.
        baselines: reports written by `ssmspec check --write-baseline` or `ssmspec analyze --format
            json`: findings that they hold do not fail the gate.
        max_regression: `metric:5%`, `metric:0.05` or, with several baselines, `metric`.
        baseline_output: write the run as a baseline here, unless part of it could not be judged.
        exit_zero: a failed gate has exit code 0.
        force: replace a baseline that exists.
        debug: let an unexpected exception pass, instead of recording it as a checkpoint that could
            not be judged.
        jobs: processes that share checkpoints where it pays; above 1 a script that calls this
            must be safe to import (`if __name__ == "__main__"`).
        progress: called with (done, all).
        **options: fields of `Reading`.

    Returns:
        The verdicts; a checkpoint that could not be judged says why and does not stop the others.

    Raises:
        UsageError: an option or the configuration makes no sense, or does not fit the baselines;
            nothing was measured then.
        CheckpointError: a baseline cannot be read.
    """
    settings = Config() if config is None else read_config(Path(config))
    gate = Gate(
        RuleBook(
            PRESETS.require(preset or settings.preset or RECOMMENDED.id),
            settings.rules,
            settings.overrides,
        ),
        _level(fail_on) or settings.fail_on or Level.ERROR,
        Selection(
            (settings.select or ()) if select is None else codes_in(select),
            (settings.ignore or ()) if ignore is None else codes_in(ignore),
        ),
        _allowances(max_regression),
        debug,
    )
    if jobs < 1:
        raise UsageError(f"the number of jobs is at least 1, got {jobs}")
    chosen = chosen_reading(reading, options).or_else(settings.reading)
    asked = labelled_sources(sources)
    given, told_of = unfolded(asked, gate.book.preset.id)
    earlier = _earlier([Path(path) for path in baselines], list(given), gate)
    target = None if baseline_output is None else Path(baseline_output)
    inputs = input_paths(asked, baselines, config)
    if target is not None:
        require_output(target, force=force, inputs=inputs)
    files: list[CheckedFile] = []
    hints = dict.fromkeys(told_of)
    alone = jobs == 1 or debug or not all(isinstance(s, _PORTABLE) for s in given.values())
    work = partial(_timed, chosen, gate, progress if alone else None, len(given))
    tasks = [(label, source, earlier[n]) for n, (label, source) in enumerate(given.items())]
    for done, (file, told) in enumerate(in_order(work, tasks, 1 if alone else jobs), start=1):
        files.append(file)
        hints |= dict.fromkeys(told)
        if progress is not None and not alone:
            progress(done, len(tasks))
    hints |= dict.fromkeys(_unused_overrides(gate.book, files))
    run = CheckRun(
        files=tuple(files),
        preset=gate.book.preset.id,
        fail_on=gate.fail_on,
        baselines=tuple(os.fspath(path) for path in baselines),
        config=None if config is None else os.fspath(config),
        exit_zero=exit_zero,
        select=gate.selection.select,
        ignore=gate.selection.ignore,
        hints=tuple(hints),
    )
    if target is None:
        return run
    if run.exit_code == COULD_NOT_JUDGE:
        return replace(run, hints=(*run.hints, NOT_WRITTEN))
    write_baseline(run, target, force=force, inputs=inputs)
    return run


Told: TypeAlias = tuple[CheckedFile, tuple[str, ...]]
_PORTABLE = (str, os.PathLike, SavedCheck)
"""Sources that another process can be given."""


def _timed(
    reading: Reading,
    gate: Gate,
    progress: Progress | None,
    count: int,
    place: int,
    task: tuple[str, Source | SavedCheck, Sequence[Earlier]],
) -> Told:
    """One checkpoint of several, judged, and for how long."""
    label, source, earlier = task
    started = time.perf_counter()
    if isinstance(source, SavedCheck):
        file, told = _taken_over(source, label, gate, earlier)
    else:
        advance = _part(progress, place, count)
        file, told = _checked(source, label, reading, gate, earlier, advance)
    return replace(file, seconds=time.perf_counter() - started), told


def _taken_over(saved: SavedCheck, label: str, gate: Gate, earlier: Sequence[Earlier]) -> Told:
    """What an earlier run said of a checkpoint, under this gate."""
    if saved.error is not None or saved.report is None:
        reason = saved.error or "the report says nothing of it"
        return CheckedFile(label, saved.report, error=reason, fail_on=gate.fail_on), ()
    file, told = _judged(label, saved.report, gate, earlier)
    if earlier or not saved.statuses:
        return file, told
    judged = map(JudgedFinding, saved.report.findings, saved.statuses)
    kept = [each for each in judged if gate.selection.keeps(each.finding.code)]
    return replace(file, findings=tuple(sorted(kept, key=_worst_first))), told


def _checked(
    source: Source,
    label: str,
    reading: Reading,
    gate: Gate,
    earlier: Sequence[Earlier],
    progress: Progress | None,
) -> Told:
    """One checkpoint, judged, and what a reader of its verdict should know."""
    report: Report | None = None
    try:
        report = analyze(source, reading, judge=gate.book.judge, progress=progress, thorough=True)
        if not report.layers:
            first = report.skipped[0]
            raise SsmspecError(
                f"no state-space layer could be measured; skipped {printable(first.name)}: "
                f"{first.reason}"
            )
        return _judged(label, report, gate, earlier)
    except Exception as error:
        cause = _cause(error)
        if cause is None:
            if gate.debug:
                raise
            cause = f"internal error: {type(error).__name__}: {error} (--debug shows where)"
        findings = () if report is None else tuple(map(JudgedFinding, report.findings))
        file = CheckedFile(
            label,
            report,
            error=" ".join(cause.split()),
            findings=tuple(f for f in findings if gate.selection.keeps(f.finding.code)),
            fail_on=gate.fail_on,
        )
        return file, ()


def _judged(label: str, report: Report, gate: Gate, earlier: Sequence[Earlier]) -> Told:
    findings, fixed = compared(report, earlier, gate.book)
    hints = list(remarks(report, earlier, gate.book.preset.id))
    keeps = gate.selection.keeps
    tested = {
        layer.name: tuple(filter(keeps, gate.book.codes_for(layer.name))) for layer in report.layers
    }
    if gate.allowances:
        level_of = partial(gate.book.level_of, REG001.code)
        worse = regressions(report, earlier, gate.allowances, level_of)
        findings += tuple(JudgedFinding(finding, Status.NEW) for finding in worse)
        unknown = uncompared_layers(report, earlier)
        if unknown:
            hints.append(
                f"{len(unknown):,} of {len(report.layers):,} layers are in no baseline and count "
                f"for the model's metrics only; the first is {printable(unknown[0])}"
            )
        for place in (*(name for name in tested if name not in unknown), WHOLE_MODEL):
            if level_of(place) is not None:
                tested[place] = (*tested.get(place, ()), REG001.code)
    file = CheckedFile(
        path=label,
        report=report,
        findings=tuple(sorted((f for f in findings if keeps(f.finding.code)), key=_worst_first)),
        fixed=tuple(finding for finding in fixed if keeps(finding.code)),
        tested=tested,
        fail_on=gate.fail_on,
    )
    return file, tuple(hints)


def _worst_first(judged: JudgedFinding) -> tuple[int, bool]:
    return judged.finding.level.rank, judged.status is Status.UNCHANGED


def _cause(error: Exception) -> str | None:
    """One sentence for an error of the checkpoint; None for one of the program."""
    if isinstance(error, SsmspecError):
        return str(error)
    if isinstance(error, MemoryError):
        return "out of memory"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return None


def _earlier(
    paths: Sequence[Path], labels: Sequence[str], gate: Gate
) -> tuple[tuple[Earlier, ...], ...]:
    """What the baselines hold of each checkpoint, found fit for what is asked of them."""
    if gate.allowances and not paths:
        raise UsageError("--max-regression compares with a baseline; give one with --baseline")
    if gate.allowances and not gate.selection.keeps(REG001.code):
        raise UsageError(
            f"--max-regression makes findings of {REG001.code}, which the selection leaves out; "
            f"add it to --select or take it out of --ignore"
        )
    if gate.allowances and gate.book.level_of(REG001.code, WHOLE_MODEL) is None:
        raise UsageError(
            f"--max-regression makes findings of {REG001.code}, which the configuration switches "
            f"off; give it a level there"
        )
    earlier = matched([read_baseline(path) for path in paths], labels)
    for each in earlier:
        require_baselines(each, gate.allowances)
    return earlier


def _allowances(texts: Sequence[str]) -> tuple[Allowance, ...]:
    allowances = tuple(map(parse_allowance, texts))
    names = [allowance.metric for allowance in allowances]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"--max-regression was given twice for {twice}; give it once")
    return allowances


def _level(level: Level | str | None) -> Level | None:
    if level is None:
        return None
    try:
        return Level(level)
    except ValueError:
        raise UsageError(f"no level is called {level!r}; choose from {', '.join(Level)}") from None


def _unused_overrides(book: RuleBook, files: Sequence[CheckedFile]) -> Iterator[str]:
    """Overrides that changed nothing, where every checkpoint could be read."""
    if any(file.report is None for file in files):
        return
    layers = frozenset(layer.name for file in files if file.report for layer in file.report.layers)
    for glob in book.unused_overrides(layers):
        yield f"the override for layers {printable(glob)!r} fits no layer that was checked"


def _part(progress: Progress | None, place: int, count: int) -> Progress | None:
    """Progress of one checkpoint of several, in thousandths of all of them."""
    if progress is None or count == 1:
        return progress

    def advance(done: int, total: int) -> None:
        progress((1000 * place) + 1000 * done // total, 1000 * count)

    return advance
