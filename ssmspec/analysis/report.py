"""The use case behind `ssmspec analyze`: open, find, read, measure, judge, report.

Layers are read, measured and let go one at a time, so memory follows the largest layer and not the
file.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Unpack

import numpy as np

from ssmspec.analysis.measure import Judge, layer_report, measure
from ssmspec.analysis.model import (
    Progress,
    ReadingOptions,
    Source,
    _blocks,
    _Fingerprint,
    _with_row_stride,
    chosen_reading,
    find,
    layer_views,
    opened,
)
from ssmspec.checkpoints.reading_note import completed, taken_over
from ssmspec.families.catalog import Catalog
from ssmspec.metrics import METRICS, combine
from ssmspec.metrics.base import Context
from ssmspec.outcome import Finding, Skipped
from ssmspec.reading import Discretization, Reading
from ssmspec.results.report import CheckpointSummary, LayerReport, Report
from ssmspec.rules import judge
from ssmspec.schemes import SCHEMES
from ssmspec.spectrum import LayerSpectrum, Symmetry

REFERENCE_MODES = 65_536
"""A larger layer's DFouT reference has fewer channels; its numbers no longer depend on them."""


def analyze(
    source: Source,
    reading: Reading | None = None,
    *,
    progress: Progress | None = None,
    judge: Judge = judge,
    **options: Unpack[ReadingOptions],
) -> Report:
    """Measure every state-space layer of a model.

    Args:
        source: path of a checkpoint (file, index or directory), a mapping of names to arrays, or
            an object with `state_dict()`.
        reading: how to read it; or its fields as keywords (`seq_len=1024`, `family="s5"`, ...).
        progress: called after each layer with (done, all).
        judge: the rules; those of the `recommended` preset unless others are given.
        **options: fields of `Reading`.

    Returns:
        The report. Where everything that looked like a state-space layer had to be skipped, its
        `layers` is empty and `skipped` says why.

    Raises:
        CheckpointError: the source cannot be read.
        NoLayersError: nothing in it looks like a state-space layer.
    """
    chosen = asked = chosen_reading(reading, options)
    with opened(source) as checkpoint:
        chosen = completed(chosen, checkpoint)
        catalog = Catalog(checkpoint)
        found, skipped = find(catalog, chosen)
        layers: list[LayerReport] = []
        findings: list[Finding] = []
        assumptions = dict.fromkeys((*checkpoint.notes, *taken_over(asked, chosen)))
        digest = _Fingerprint(checkpoint)
        for done, layer in enumerate(found, start=1):
            spectrum = layer.read(checkpoint, chosen)
            if isinstance(spectrum, Skipped):
                skipped += (spectrum,)
            else:
                digest.add(spectrum)
                kernel = layer.read_kernel(checkpoint, chosen, spectrum)
                chosen, told = _with_row_stride(chosen, kernel)
                rounding = layer.rounding(checkpoint, chosen, spectrum)
                report, fired = measure(layer.family, spectrum, chosen, kernel, rounding, judge)
                layers.append(report)
                findings += fired
                assumptions |= dict.fromkeys((*spectrum.assumptions, *told))
            if progress is not None:
                progress(done, len(found))
        return Report(
            checkpoint=CheckpointSummary(
                path=checkpoint.path,
                container=checkpoint.container,
                size=checkpoint.size,
                tensors=len(checkpoint.tensors),
                fingerprint=digest.hexadecimal,
            ),
            layers=tuple(layers),
            model={
                metric.id: combine(
                    metric,
                    [(layer.channels * layer.modes, layer.metrics[metric.id]) for layer in layers],
                )
                for metric in METRICS.values()
            },
            findings=tuple(sorted(findings, key=lambda finding: finding.level.rank)),
            skipped=skipped,
            assumptions=tuple(assumptions),
            sequence_length=chosen.seq_len,
            sample_rate=chosen.sample_rate,
            blocks=_blocks(catalog, [layer.name for layer in layers]),
            reference=_reference(layers, chosen),
            origin=partial(layer_views, source, chosen),
            reading=asked,
        )


def _reference(layers: Sequence[LayerReport], reading: Reading) -> LayerReport | None:
    """The DFouT layer of the same shape as the first layer that oscillates, measured alike."""
    like = next((layer for layer in layers if layer.symmetry != Symmetry.REAL), None)
    if like is None:
        return None
    channels = min(like.channels, -(-REFERENCE_MODES // like.modes))
    draw = SCHEMES["dfout"].draw(channels, like.modes)
    spectrum = LayerSpectrum(
        name="DFouT",
        family="dfout",
        discretization=Discretization.ZOH,
        symmetry=Symmetry.HALF,
        log_poles=draw.log_poles,
        dt=np.ones((channels, 1)),
    )
    context = Context(reading.seq_len, reading.rate_of(like.name))
    return layer_report(spectrum, "DFouT", context)
