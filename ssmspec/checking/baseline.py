"""Baselines: earlier measurements that a gate compares with."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ssmspec._version import __version__
from ssmspec.checkpoints.atomic import atomic_output
from ssmspec.errors import UsageError
from ssmspec.naming import printable, shown
from ssmspec.outcome import Finding
from ssmspec.results.check import COULD_NOT_JUDGE, CheckRun, JudgedFinding, Status
from ssmspec.results.report import Report
from ssmspec.results.saved import SavedRun, load_run
from ssmspec.rules.book import RuleBook
from ssmspec.rules.regression import REG001

SHOWN = 5
"""Checkpoints that a message names before it counts the rest."""


@dataclass(frozen=True)
class Earlier:
    """One earlier measurement of a checkpoint, and the file it is from."""

    run: SavedRun
    report: Report


def read_baseline(path: Path) -> SavedRun:
    """The earlier measurements in a file; it is never created.

    Raises:
        UsageError: there is no such file, or nothing was measured in it.
        CheckpointError: it is no report of this program.
    """
    if not path.exists():
        raise UsageError(
            f"the baseline {shown(path)} does not exist; write one with --write-baseline"
        )
    run = load_run(path)
    if not run.reports:
        raise UsageError(
            f"the baseline {shown(path)} holds no measurement; write it again with --write-baseline"
        )
    return run


def matched(runs: Sequence[SavedRun], paths: Sequence[str]) -> tuple[tuple[Earlier, ...], ...]:
    """For each checkpoint, what the baselines hold of it.

    Where a baseline holds one report and one checkpoint is checked, they belong together whatever
    they are called (training runs have folders of their own); otherwise they match by path.

    Args:
        runs: the baselines.
        paths: of the checkpoints, as given.

    Raises:
        UsageError: a baseline holds none of the checkpoints, or a checkpoint is in no baseline.
    """
    found: list[list[Earlier]] = [[] for _ in paths]
    for run in runs:
        is_pair = len(run.reports) == 1 and len(paths) == 1
        hits = [
            (place, Earlier(run, report))
            for name, report in run.reports
            for place, path in enumerate(paths)
            if is_pair or os.path.normpath(name) == os.path.normpath(path)
        ]
        if not hits:
            raise UsageError(
                f"the baseline {shown(run.path)} holds {_held(run)}, none of which is checked; "
                f"give the same paths, or write a baseline of these with --write-baseline"
            )
        for place, earlier in hits:
            found[place].append(earlier)
    if runs:
        for path, earlier_ones in zip(paths, found, strict=True):
            if not earlier_ones:
                held = "; ".join(f"{shown(run.path)} holds {_held(run)}" for run in runs[:SHOWN])
                raise UsageError(
                    f"no baseline holds {printable(path)}: {held}; write it into one with "
                    f"--write-baseline"
                )
    return tuple(map(tuple, found))


def compared(
    report: Report, earlier: Sequence[Earlier], book: RuleBook
) -> tuple[tuple[JudgedFinding, ...], tuple[Finding, ...]]:
    """Findings beside those of the baselines, by rule and layer; nothing is selected yet.

    Args:
        report: what was found now.
        earlier: what the baselines hold of this checkpoint, all of them together.
        book: the rules in force.

    Returns:
        The findings, new or unchanged (without baselines: neither), and those that are fixed:
        found earlier, and not now although the rule judged the layer.
    """
    if not earlier:
        return tuple(map(JudgedFinding, report.findings)), ()
    known = {
        (finding.code, finding.layer): finding
        for each in earlier
        for finding in each.report.findings
        if finding.code != REG001.code  # is about another baseline
    }
    now = {(finding.code, finding.layer) for finding in report.findings}
    judged = {layer.name: frozenset(book.codes_for(layer.name)) for layer in report.layers}
    return (
        tuple(
            JudgedFinding(
                finding,
                Status.UNCHANGED if (finding.code, finding.layer) in known else Status.NEW,
            )
            for finding in report.findings
        ),
        tuple(
            finding
            for (code, layer), finding in known.items()
            if (code, layer) not in now and code in judged.get(layer, ())
        ),
    )


def remarks(report: Report, earlier: Sequence[Earlier], preset: str) -> Iterator[str]:
    """What makes a comparison with these baselines less telling than it looks.

    Different lengths and presets are compared all the same: findings are matched by rule and
    layer, whatever they were measured at. Metrics are not (see `regression`).
    """
    for each in earlier:
        name, then = shown(each.run.path), each.report
        if then.checkpoint.fingerprint and (
            then.checkpoint.fingerprint == report.checkpoint.fingerprint
        ):
            yield (
                f"the baseline {name} was made of the very poles and step sizes that are checked "
                f"(same fingerprint): it can show nothing new about them"
            )
        if then.sequence_length != report.sequence_length:
            yield (
                f"the baseline {name} was measured at {length_of(then)}, this at "
                f"{length_of(report)}: findings can be new or fixed for that reason alone"
            )
        if (each.run.preset or "recommended") != preset:
            yield (
                f"the baseline {name} was judged by the preset {each.run.preset or 'recommended'}, "
                f"this by {preset}: findings can be new or fixed for that reason alone"
            )
        if each.run.version != __version__:
            yield (
                f"the baseline {name} was written by ssmspec {printable(each.run.version)}, this "
                f"is {__version__}: what a rule or metric means may differ"
            )


def unfiltered(run: CheckRun) -> CheckRun:
    """A run as a baseline keeps it: every finding of its rules, compared with nothing."""
    return replace(
        run,
        files=tuple(
            replace(
                file,
                findings=()
                if file.report is None
                else tuple(map(JudgedFinding, file.report.findings)),
                fixed=(),
            )
            for file in run.files
        ),
        baselines=(),
        select=(),
        ignore=(),
        hints=(),
    )


def write_baseline(
    run: CheckRun, path: Path, *, force: bool = False, inputs: Iterable[Path] = ()
) -> None:
    """Write a run as a baseline, whole or not at all.

    Args:
        run: what was judged; its selection and its own baselines are left out.
        path: the file.
        force: replace a file that is there.
        inputs: files it must not replace.

    Raises:
        UsageError: part of the run could not be judged, or the file exists.
    """
    if run.exit_code == COULD_NOT_JUDGE:
        raise UsageError(
            f"no baseline was written to {shown(path)}, because not every checkpoint could be "
            f"judged"
        )
    text = json.dumps(unfiltered(run).to_dict(), indent=2, allow_nan=False) + "\n"
    with atomic_output(path, force=force, inputs=inputs) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _held(run: SavedRun) -> str:
    names = [printable(name) for name, _ in run.reports]
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"


def length_of(report: Report) -> str:
    """At which sequence length it was measured, in words."""
    length = report.sequence_length
    return "no known sequence length" if length is None else f"L = {length:,}"
