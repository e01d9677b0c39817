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

from ssmspec.analysis import ReadingOptions, Source, analyze, chosen_reading, opened
from ssmspec.checkpoints import Checkpoint
from ssmspec.comparison.names import match_names
from ssmspec.comparison.tensors import compare_tensors, parameters
from ssmspec.comparison_report import (
    Comparison,
    LayerPair,
    OutcomePair,
    PolesMoved,
    Side,
    SideKind,
    TensorComparison,
)
from ssmspec.errors import UsageError
from ssmspec.families import FoundLayer, find_layers
from ssmspec.families.catalog import Catalog
from ssmspec.metrics import METRICS, combine
from ssmspec.metrics.initialization import displacements
from ssmspec.naming import matches
from ssmspec.reading import Reading
from ssmspec.report import LayerReport, NotApplicable, Outcome, Report
from ssmspec.saved_report import find_report
from ssmspec.spectrum import LayerSpectrum

Comparable: TypeAlias = Source | Report
"""A model, or what was measured of one: a `Report`, or the path of a saved one."""

NO_POLES = "a saved report holds no poles"
NO_TENSORS = "a saved report holds no tensors"


@dataclass(frozen=True)
class _Measured:
    """One side: its report and, where it is a checkpoint, the open file and its layers."""

    path: str
    report: Report
    checkpoint: Checkpoint | None = None
    layers: Mapping[str, FoundLayer] | None = None

    def spectrum(self, layer: str, reading: Reading) -> LayerSpectrum | None:
        """The poles of a measured layer; None where this side is a saved report."""
        if self.checkpoint is None or self.layers is None:
            return None
        spectrum = self.layers[layer].read(self.checkpoint, reading)
        return spectrum if isinstance(spectrum, LayerSpectrum) else None

    def summary(self) -> Side:
        kind = SideKind.REPORT if self.checkpoint is None else SideKind.CHECKPOINT
        report = self.report
        return Side(self.path, kind, report.checkpoint, len(report.layers), report.skipped)


def compare(
    a: Comparable,
    b: Comparable,
    reading: Reading | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
    **options: Unpack[ReadingOptions],
) -> Comparison:
    """Set two models side by side: their metrics, how far poles moved, and every tensor.

    Layers and tensors are matched by name, where need be without the prefixes that wrappers add.
    A layer's poles are matched within each channel by rank of |omega_unwrapped|, as for
    `init_drift`. Where a sequence length or a sample rate is not given, a saved report's is used
    for both sides.

    Args:
        a: the first model ("before"): what `analyze` takes, a `Report`, or the path of a saved
            JSON report.
        b: the second ("after").
        reading: how to read the checkpoints; or its fields as keywords.
        progress: called after each pair of tensors with (done, all).
        **options: fields of `Reading`.

    Returns:
        The comparison; every difference is B - A.

    Raises:
        CheckpointError: a side cannot be read.
        NoLayersError: nothing in a checkpoint looks like a state-space layer.
    """
    chosen = chosen_reading(reading, options)
    saved = [_saved(source) for source in (a, b)]
    chosen = _with_saved(chosen, [report for report in saved if report])
    with ExitStack() as stack:
        side_a, side_b = (
            _measured(source, report, chosen, stack)
            for source, report in zip((a, b), saved, strict=True)
        )
        layers_a, layers_b = ({r.name: r for r in s.report.layers} for s in (side_a, side_b))
        matching = match_names(tuple(layers_a), tuple(layers_b))
        pairs = tuple(
            LayerPair(
                a=layers_a[name_a],
                b=layers_b[name_b],
                metrics=_paired(layers_a[name_a].metrics, layers_b[name_b].metrics),
                poles=_poles_moved(
                    side_a.spectrum(name_a, chosen), side_b.spectrum(name_b, chosen)
                ),
            )
            for name_a, name_b in matching.pairs
        )
        tensors, tensor_notes = _tensors(side_a, side_b, progress)
        notes = (
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
            sequence_length=chosen.seq_len,
            sample_rate=chosen.sample_rate,
        )


def _saved(source: Comparable) -> Report | None:
    if isinstance(source, Report):
        return source
    return find_report(Path(source)) if isinstance(source, str | os.PathLike) else None


def _with_saved(reading: Reading, reports: Sequence[Report]) -> Reading:
    """The reading, with what it does not say taken from the first saved report that says it."""
    for report in reports:
        reading = reading.with_seq_len(report.sequence_length)
        if reading.sample_rate is None and report.sample_rate is not None:
            reading = replace(reading, sample_rate=report.sample_rate)
    return reading


def _measured(
    source: Comparable, saved: Report | None, reading: Reading, stack: ExitStack
) -> _Measured:
    if saved is not None or isinstance(source, Report):
        report = saved if saved is not None else source
        if not isinstance(report, Report):
            raise UsageError("a report was expected")
        path = os.fspath(source) if isinstance(source, str | os.PathLike) else "a report in memory"
        return _Measured(path, _selected(report, reading.layers))
    checkpoint = stack.enter_context(opened(source))
    found, _ = find_layers(Catalog(checkpoint), reading)
    return _Measured(
        path=checkpoint.path,
        report=analyze(checkpoint, reading),
        checkpoint=checkpoint,
        layers={layer.site.name: layer for layer in found},
    )
