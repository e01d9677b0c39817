"""The use case behind `ssmspec compare`: two models side by side, layer by layer."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias, Unpack

import numpy as np

from ssmspec.analysis.agreement import agreement
from ssmspec.analysis.causes import causes, reordered
from ssmspec.analysis.matching import by_order, match_names, renames
from ssmspec.analysis.model import (
    Model,
    ModelLayer,
    ReadingOptions,
    Source,
    chosen_reading,
    open_model,
)
from ssmspec.analysis.report import report_of
from ssmspec.analysis.tensors import compare_tensors, parameters
from ssmspec.errors import UsageError
from ssmspec.families.copies import lies_below
from ssmspec.families.find import find_layers
from ssmspec.metrics import METRICS, combine
from ssmspec.metrics.initialization import displacements
from ssmspec.naming import did_you_mean, matches, printable
from ssmspec.outcome import NotApplicable, Outcome
from ssmspec.reading import Reading
from ssmspec.results.comparison import (
    Agreement,
    Cause,
    CauseKind,
    Comparison,
    LayerPair,
    OutcomePair,
    PolesMoved,
    Side,
    SideKind,
)
from ssmspec.results.report import LayerReport, Report
from ssmspec.results.saved import find_report
from ssmspec.results.tensors import TensorComparison
from ssmspec.spectrum import LayerSpectrum

Comparable: TypeAlias = Source | Report
"""A model, or what was measured of one: a `Report`, or the path of a saved one."""

NOT_SAVED = "the saved report does not have it"


@dataclass(frozen=True)
class _Measured:
    """One side: its report and, where it is a checkpoint, the open model."""

    path: str
    report: Report
    model: Model | None = None

    def layer(self, name: str) -> ModelLayer | None:
        """A measured layer, read; None where this side is a saved report."""
        if self.model is None:
            return None
        found = next(found for found in self.model.found if found.site.name == name)
        return self.model.read(found)

    def spectrum(self, name: str) -> LayerSpectrum | None:
        """The poles of a measured layer; None where this side is a saved report."""
        layer = self.layer(name)
        return layer.spectrum if layer else None

    def summary(self) -> Side:
        kind = SideKind.REPORT if self.model is None else SideKind.CHECKPOINT
        report = self.report
        return Side(self.path, kind, report.checkpoint, len(report.layers), report.skipped)


def compare(
    a: Comparable,
    b: Comparable,
    reading: Reading | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
    judged: bool = False,
    tolerance: float | None = None,
    **options: Unpack[ReadingOptions],
) -> Comparison:
    """Set two models side by side: their metrics, how far poles moved, and every tensor.

    Layers and tensors are matched by name, where need be without the prefixes that wrappers add,
    and layers that no name matches by their order and shape.
    A layer's poles are matched within each channel by rank of |omega_unwrapped|, as for
    `init_drift`. Where a sequence length or a sample rate is not given, a saved report's is used
    for both sides.

    Args:
        a: the first model ("before"): what `analyze` takes, a `Report`, or the path of a saved
            JSON report.
        b: the second ("after").
        reading: how to read the checkpoints; or its fields as keywords.
        progress: called after each pair of tensors with (done, all).
        judged: whether to say if the two are the same model (`Comparison.same`): poles, and
            residues and D where the files have them, within the tolerance.
        tolerance: half-widths for poles, relative for residues and D; None for what the rounding
            of the stored types can move. A tolerance asks for the judgment, too.
        **options: fields of `Reading`.

    Returns:
        The comparison; every difference is B - A.

    Raises:
        CheckpointError: a side cannot be read.
        NoLayersError: nothing in a checkpoint looks like a state-space layer.
    """
    if tolerance is not None and not (math.isfinite(tolerance) and tolerance >= 0):
        raise UsageError(f"the tolerance must be 0 or a positive number, got {tolerance}")
    judged = judged or tolerance is not None
    chosen = chosen_reading(reading, options)
    saved = [_saved(source) for source in (a, b)]
    chosen = _with_saved(chosen, [report for report in saved if report])
    with ExitStack() as stack:
        side_a, side_b = (
            _measured(source, report, chosen, stack)
            for source, report in zip((a, b), saved, strict=True)
        )
        used = _with_shared(chosen, side_a.report, side_b.report)
        layers_a, layers_b = ({r.name: r for r in s.report.layers} for s in (side_a, side_b))
        matching = match_names(tuple(layers_a), tuple(layers_b))
        ordered = (
            ()
            if matching.pairs
            else by_order(
                [(name, _kind(layers_a[name])) for name in matching.only_a],
                [(name, _kind(layers_b[name])) for name in matching.only_b],
            )
        )
        if ordered:
            matching = replace(matching, pairs=(*matching.pairs, *ordered), only_a=(), only_b=())
        pairs = tuple(
            LayerPair(
                a=layers_a[name_a],
                b=layers_b[name_b],
                metrics=_paired(layers_a[name_a].metrics, layers_b[name_b].metrics),
                poles=_poles_moved(side_a.spectrum(name_a), side_b.spectrum(name_b)),
                agreement=_agreement(side_a, name_a, side_b, name_b, tolerance) if judged else None,
            )
            for name_a, name_b in matching.pairs
        )
        tensors, tensor_notes = _tensors(side_a, side_b, progress, renames(ordered))
        notes = (
            *_taken_over(chosen_reading(reading, options), chosen),
            matching.assumption("layers"),
            *tensor_notes,
            *_differences_in_reading(side_a.report, side_b.report),
            *_labelled(side_a.report.assumptions, side_b.report.assumptions),
        )
        return Comparison(
            a=side_a.summary(),
            b=side_b.summary(),
            layers=pairs,
            only_a=matching.only_a,
            only_b=matching.only_b,
            model=_paired(
                {key: metric.outcome for key, metric in side_a.report.model.items()},
                {key: metric.outcome for key, metric in side_b.report.model.items()},
            ),
            tensors=tensors,
            assumptions=tuple(note for note in notes if note),
            sequence_length=used.seq_len,
            sample_rate=used.sample_rate,
            causes=(*_other_names(ordered), *causes(pairs, tensors)),
        )


def _kind(layer: LayerReport) -> tuple[object, ...]:
    return layer.symmetry, layer.channels, layer.modes


def _other_names(ordered: Sequence[tuple[str, str]]) -> Iterator[Cause]:
    if ordered:
        one, other = (printable(name) for name in ordered[0])
        yield Cause(
            CauseKind.NAMES,
            f"no name of a layer matches; {len(ordered)} layers are paired by their order and "
            f"shape, the first {one} with {other}",
        )


def _agreement(
    side_a: _Measured, name_a: str, side_b: _Measured, name_b: str, tolerance: float | None
) -> Agreement:
    layers = side_a.layer(name_a), side_b.layer(name_b)
    if layers[0] is None or layers[1] is None:
        raise UsageError(
            "a saved report holds no poles, so it cannot be said whether the models are the same; "
            "give two checkpoints"
        )
    return agreement(layers[0], layers[1], tolerance)


def _with_shared(reading: Reading, a: Report, b: Report) -> Reading:
    """The reading, with what both files say of themselves where it was not given."""
    return reading.or_else(
        Reading(
            seq_len=a.sequence_length if a.sequence_length == b.sequence_length else None,
            sample_rate=a.sample_rate if a.sample_rate == b.sample_rate else None,
        )
    )


def _saved(source: Comparable) -> Report | None:
    if isinstance(source, Report):
        return source
    return find_report(Path(source)) if isinstance(source, str | os.PathLike) else None


def _with_saved(reading: Reading, reports: Sequence[Report]) -> Reading:
    """The reading, with what it does not say taken from the first saved report that says it."""
    for report in reports:
        reading = reading.or_else(
            Reading(seq_len=report.sequence_length, sample_rate=report.sample_rate)
        )
    return reading


def _measured(
    source: Comparable, saved: Report | None, reading: Reading, stack: ExitStack
) -> _Measured:
    if isinstance(source, Report):
        return _Measured("a report in memory", _selected(source, reading.layers))
    if saved is not None and isinstance(source, str | os.PathLike):
        return _Measured(os.fspath(source), _selected(saved, reading.layers))
    if reading.part is not None and not _holds(source, reading):
        reading = replace(reading, part=None)
    model = stack.enter_context(open_model(source, reading))
    return _Measured(model.checkpoint.path, report_of(model, source), model)


def _holds(source: Source, reading: Reading) -> bool:
    """Whether a model has layers below the part asked for; the other side may be that part alone.

    Raises:
        UsageError: no copy goes by that name, and the file holds several.
    """
    with open_model(source, replace(reading, part=None)) as model:
        names = [*(each.site.name for each in model.found), *(each.name for each in model.skipped)]
        if any(lies_below(name, str(reading.part)) for name in names):
            return True
        if any("--part" in each.reason for each in model.skipped):
            find_layers(model.catalog, reading)
        return False


def _selected(report: Report, glob: str | None) -> Report:
    """A saved report's layers that fit, and the model's numbers over those."""
    if glob is None:
        return report
    layers = tuple(layer for layer in report.layers if matches(layer.name, glob))
    if report.layers and not layers:
        near = did_you_mean(glob, (printable(layer.name) for layer in report.layers))
        raise UsageError(f"no layer of the saved report fits --layers {glob!r}; {near}")
    absent = NotApplicable(NOT_SAVED)
    model = {
        metric.id: combine(
            metric, [(r.channels * r.modes, r.metrics.get(metric.id, absent)) for r in layers]
        )
        for metric in METRICS.values()
        if metric.id in report.model
    }
    return replace(report, layers=layers, model=model)


def _paired(a: Mapping[str, Outcome], b: Mapping[str, Outcome]) -> dict[str, OutcomePair]:
    """Every metric that either side has, in A's order."""
    absent = NotApplicable(NOT_SAVED)
    return {key: OutcomePair(a.get(key, absent), b.get(key, absent)) for key in {**a, **b}}


def _poles_moved(a: LayerSpectrum | None, b: LayerSpectrum | None) -> PolesMoved | NotApplicable:
    if a is None or b is None:
        return NotApplicable("a saved report holds no poles")
    for side, layer in (("A", a), ("B", b)):
        if layer.non_finite:
            return NotApplicable(f"poles of {side} are NaN or infinite")
    if a.shape != b.shape:
        return NotApplicable(f"A has {_shape(a)} and B has {_shape(b)}")
    moved = displacements(b, a)
    if moved is None:
        return NotApplicable("a mode of A has no damping, so its half-width is 0")
    with np.errstate(over="ignore"):
        rms, largest = float(np.sqrt(np.square(moved).mean())), float(moved.max())
    if not (math.isfinite(rms) and math.isfinite(largest)):
        return NotApplicable(
            "a pole moved too far to be told in half-widths, or a mode of A has next to no damping"
        )
    count = int(np.count_nonzero(moved))
    return PolesMoved(rms, largest, count, moved.size, count > 0 and reordered(a, b))


def _shape(layer: LayerSpectrum) -> str:
    return f"{layer.channels} x {layer.modes} modes"


def _tensors(
    a: _Measured,
    b: _Measured,
    progress: Callable[[int, int], None] | None,
    renamed: Mapping[str, str],
) -> tuple[TensorComparison | NotApplicable, list[str | None]]:
    if a.model is None or b.model is None:
        return NotApplicable("a saved report holds no tensors"), []
    sides = [parameters(model.catalog, model.found) for model in (a.model, b.model)]
    result, matching = compare_tensors(sides[0], sides[1], progress, renamed)
    left_out = [side.optimizer_tensors for side in sides]
    note = f"{left_out[0]} tensors of optimizer state in A and {left_out[1]} in B are left out"
    return result, [matching.assumption("tensors"), note if any(left_out) else None]


def _taken_over(given: Reading, used: Reading) -> Iterator[str]:
    """What was read from a saved report because nobody gave it."""
    for name, asked, found in (
        ("sequence length", given.seq_len, used.seq_len),
        ("sample rate", given.sample_rate, used.sample_rate),
    ):
        if asked != found:
            yield f"the {name}, {found:g}, is taken from a saved report"


def _differences_in_reading(a: Report, b: Report) -> Iterator[str]:
    for what, x, y in (
        ("a sequence length", a.sequence_length, b.sequence_length),
        ("a sample rate", a.sample_rate, b.sample_rate),
    ):
        if x != y:
            yield (
                f"A was measured with {what} of {x or 'unknown'} and B of {y or 'unknown'}: "
                f"what depends on it cannot be compared"
            )


def _labelled(a: Sequence[str], b: Sequence[str]) -> Iterator[str]:
    """Assumptions of both sides; one that only one side makes is labelled with it."""
    for sentence in dict.fromkeys([*a, *b]):
        if sentence in a and sentence in b:
            yield sentence
        else:
            yield f"{'A' if sentence in a else 'B'}: {sentence}"
