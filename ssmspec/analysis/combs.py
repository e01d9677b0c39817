"""A row stride that nobody gave: read off the combs of the kernels, once all layers are known.

What one layer measures must not depend on which layers come before it, so the stride is decided
over all of them and measured afterwards, on each layer's energy by lag; no kernel is read twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from ssmspec.analysis.measure import Judge
from ssmspec.arrays import Floats
from ssmspec.kernel import Kernel
from ssmspec.metrics.kernel_energy import (
    comb_sharpness,
    find_row_stride,
    stride_chance,
    stride_share,
)
from ssmspec.metrics.kernel_lags import can_be_summed, lag_energy
from ssmspec.naming import printable
from ssmspec.outcome import Finding, Measured, NotApplicable
from ssmspec.reading import Reading
from ssmspec.results.report import LayerReport
from ssmspec.rules.base import Evidence
from ssmspec.units import FRACTION

MOST_KEPT = 2**24
"""Lags and poles of all layers together that are kept until the stride is decided (heuristic, for
memory: 256 MiB). Beyond them no stride is looked for."""


@dataclass(frozen=True, eq=False)
class _Comb:
    """What is kept of one layer: its evidence without the kernel, and its energy by lag."""

    evidence: Evidence
    energy: Floats
    stride: int | None


@dataclass(eq=False)
class Combs:
    """The kernels of a model whose row stride is not known."""

    reading: Reading
    _kept: dict[str, _Comb] = field(default_factory=dict)
    _size: int = 0

    def add(self, kernel: Kernel | NotApplicable, evidence: Evidence) -> None:
        """Look at one measured layer."""
        length = self.reading.seq_len
        if self.reading.row_stride is not None or length is None or self._size > MOST_KEPT:
            return
        if isinstance(kernel, NotApplicable) or kernel.non_finite or kernel.spectrum.non_finite:
            return
        if not can_be_summed(kernel, length):
            return
        self._size += length + evidence.spectrum.log_poles.size
        if self._size > MOST_KEPT:
            self._kept.clear()
            return
        energy = lag_energy(kernel, length)
        bare = replace(evidence, context=replace(evidence.context, kernel=None))
        self._kept[evidence.layer.name] = _Comb(bare, energy, find_row_stride(energy))

    @property
    def stride(self) -> int | None:
        """The stride of the sharpest comb, the shorter of two as sharp; or None."""
        sharpest = self._sharpest()
        return None if sharpest is None else sharpest[1]

    def _sharpest(self) -> tuple[str, int] | None:
        """Which layer shows the stride, and the stride."""
        shown = [
            (-comb_sharpness(comb.energy, comb.stride), comb.stride, name)
            for name, comb in self._kept.items()
            if comb.stride is not None
        ]
        if not shown:
            return None
        _, stride, name = min(shown)
        return name, stride

    def told(self) -> Iterator[str]:
        """A sentence for the report, where a stride was found."""
        sharpest = self._sharpest()
        if sharpest is not None:
            name, stride = sharpest
            yield (
                f"a row stride of {stride} samples is read off the comb of the kernel of "
                f"{printable(name)} (--row-stride changes it)"
            )

    def measured(self, layer: LayerReport, judge: Judge) -> tuple[LayerReport, Sequence[Finding]]:
        """A layer with what the stride adds to it: two metrics, and the rules that look at them."""
        comb, stride = self._kept.get(layer.name), self.stride
        if comb is None or stride is None:
            return layer, ()
        metrics = dict(layer.metrics)
        share, chance = (stride_share(comb.energy, stride), stride_chance(stride, comb.energy.size))
        metrics["stride_energy"] = (
            share if isinstance(share, NotApplicable) else Measured(share, FRACTION)
        )
        metrics["stride_energy_chance"] = Measured(chance, FRACTION)
        before = {finding.code for finding in judge(comb.evidence)}
        context = replace(comb.evidence.context, row_stride=stride)
        report = replace(layer, metrics=metrics)
        after = judge(replace(comb.evidence, layer=report, context=context))
        return report, [finding for finding in after if finding.code not in before]
