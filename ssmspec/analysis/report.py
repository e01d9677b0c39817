"""The use case behind `ssmspec analyze`: open, find, read, measure, judge, report.

Layers are read, measured and let go one at a time, so memory follows the largest layer and not the
file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Unpack

import numpy as np

from ssmspec.analysis.combs import Combs
from ssmspec.analysis.face import AnalyzedReport
from ssmspec.analysis.measure import Judge, layer_report, measure
from ssmspec.analysis.model import (
    Model,
    Progress,
    ReadingOptions,
    Source,
    layer_views,
    open_model,
)
from ssmspec.analysis.scanning import scan_model
from ssmspec.metrics import METRICS, combine
from ssmspec.metrics.base import Context
from ssmspec.outcome import Finding
from ssmspec.reading import Discretization, Reading
from ssmspec.results.report import LayerReport
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
    thorough: bool = False,
    **options: Unpack[ReadingOptions],
) -> AnalyzedReport:
    """Measure every state-space layer of a model.

    Args:
        source: path of a checkpoint (file, index or directory), a mapping of names to arrays, or
            an object with `state_dict()`.
        reading: how to read it; or its fields as keywords (`seq_len=1024`, `family="s5"`, ...).
        progress: called after each layer with (done, all).
        judge: the rules; those of the `recommended` preset unless others are given.
        thorough: look through every tensor of the layers for NaN, where `reading.scan` does not
            say how far to look and the source is on this machine.
        **options: fields of `Reading`.

    Returns:
        The report. Where everything that looked like a state-space layer had to be skipped, its
        `layers` is empty and `skipped` says why.

    Raises:
        CheckpointError: the source cannot be read.
        NoLayersError: nothing in it looks like a state-space layer.
    """
    with open_model(source, reading, **options) as model:
        return report_of(model, source, progress=progress, judge=judge, thorough=thorough)


def report_of(
    model: Model,
    source: Source,
    *,
    progress: Progress | None = None,
    judge: Judge = judge,
    thorough: bool = False,
) -> AnalyzedReport:
    """The report of an open model.

    Args:
        model: what to measure.
        source: what it was opened from, which figures are drawn from later.
        progress: as for `analyze`.
        judge: as for `analyze`.
        thorough: as for `analyze`.
    """
    layers: list[LayerReport] = []
    findings: list[Finding] = []
    combs = Combs(model.reading)
    scans = scan_model(model, thorough=thorough)
    model.assume(scans.told)
    for layer in model.layers(progress):
        kernel = layer.kernel()
        evidence = measure(
            layer.found.family,
            layer.spectrum,
            model.reading,
            kernel,
            layer.rounding(),
            stored=scans.of(layer),
        )
        model.assume(evidence.told)
        layers.append(evidence.layer)
        findings += judge(evidence)
        combs.add(kernel, evidence)
    reading = replace(model.reading, row_stride=model.reading.row_stride or combs.stride)
    model.assume(combs.told())
    for place, each in enumerate(layers):
        layers[place], more = combs.measured(each, judge)
        findings += more
    order = {each.name: place for place, each in enumerate(layers)}
    return AnalyzedReport(
        **model.about(),
        layers=tuple(layers),
        model={
            metric.id: combine(
                metric,
                [(layer.channels * layer.modes, layer.metrics[metric.id]) for layer in layers],
            )
            for metric in METRICS.values()
        },
        findings=tuple(
            sorted(findings, key=lambda f: (f.level.rank, order.get(f.layer, len(order))))
        ),
        blocks=model.blocks(
            [*(layer.name for layer in layers), *(s.name for s in model.skipped if s.lost)]
        ),
        reference=_reference(layers, reading),
        origin=partial(layer_views, source, reading),
        reading=model.asked,
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
