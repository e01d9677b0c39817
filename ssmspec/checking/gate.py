"""The gate: measure each checkpoint, judge it, compare it, select, and come to one exit code."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias, Unpack, cast

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
from ssmspec.checking.regression import (
    Allowance,
    parse_allowance,
    regressions,
    require_baselines,
    uncompared_layers,
)
from ssmspec.checking.selection import Selection, codes_in
from ssmspec.checkpoints import Checkpoint
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
    progress: Progress | None = None,
    **options: Unpack[ReadingOptions],
) -> CheckRun:
    """Judge checkpoints as a gate in continuous integration does.

    Args:
        sources: one or several of what `analyze` takes.
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
    chosen = chosen_reading(reading, options).or_else(settings.reading)
    given = labelled_sources(sources)
    earlier = _earlier([Path(path) for path in baselines], list(given), gate)
    target = None if baseline_output is None else Path(baseline_output)
    inputs = input_paths(given, baselines, config)
    if target is not None:
        require_output(target, force=force, inputs=inputs)
    files: list[CheckedFile] = []
    hints: dict[str, None] = {}
    for place, (label, source) in enumerate(given.items()):
        advance = _part(progress, place, len(given))
        started = time.perf_counter()
        file, told = _checked(source, label, chosen, gate, earlier[place], advance)
        files.append(replace(file, seconds=time.perf_counter() - started))
        hints |= dict.fromkeys(told)
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


def _checked(
    source: Source,
    label: str,
    reading: Reading,
    gate: Gate,
    earlier: Sequence[Earlier],
    progress: Progress | None,
) -> tuple[CheckedFile, tuple[str, ...]]:
    """One checkpoint, judged, and what a reader of its verdict should know."""
    report: Report | None = None
    try:
        report = analyze(source, reading, judge=gate.book.judge, progress=progress)
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


def _judged(
    label: str, report: Report, gate: Gate, earlier: Sequence[Earlier]
) -> tuple[CheckedFile, tuple[str, ...]]:
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
