"""Figures: one kind a file. Only this package imports matplotlib.

    report = ssmspec.analyze("model.safetensors", seq_len=1024)
    figure = report.plot.poles()            # a matplotlib Figure; a notebook shows it
    figure.savefig("poles.pdf")

A figure is a value: nothing is global, no window opens, and pyplot is never imported.
"""

from __future__ import annotations

from ssmspec.plots.base import AnyKind, Kind, PlotOptions, Subject
from ssmspec.plots.kinds import (
    coverage,
    entanglement,
    kernels,
    poles,
    response,
    schemes,
    sweep,
    timescales,
    trajectory,
)
from ssmspec.plots.kinds.schemes import SchemeGrid
from ssmspec.registry import Registry

__all__ = ["KINDS", "AnyKind", "Kind", "PlotOptions", "SchemeGrid", "Subject"]

KINDS: Registry[AnyKind] = Registry(
    "kind of figure",
    "ssmspec.plots",
    (
        poles.KIND,
        coverage.KIND,
        entanglement.KIND,
        timescales.KIND,
        kernels.KIND,
        response.KIND,
        sweep.KIND,
        trajectory.KIND,
        schemes.KIND,
    ),
    key=lambda kind: kind.id,
)
