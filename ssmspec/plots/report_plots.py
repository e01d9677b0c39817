"""`report.plot`: the figures of a report, drawn from the layers it was made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module

from ssmspec.choices import Knob
from ssmspec.errors import SsmspecError
from ssmspec.plots.base import PlotOptions
from ssmspec.plots.files import Drawing
from ssmspec.plots.kinds import coverage, entanglement, kernels, poles, response, sweep, timescales
from ssmspec.results.layer_view import LayerView
from ssmspec.results.report import Report
from ssmspec.results.sweep import Sweep


@dataclass(frozen=True)
class ReportPlots:
    """Figures of one report; each is a matplotlib `Figure`.

    The layers are read again, because a report keeps no poles.

    Attributes:
        report: of `ssmspec.analyze`. One that was loaded from a file has nothing to draw from.
    """

    report: Report

    def poles(self, against: str = "dfout") -> Drawing:
        """Poles on the unit disk and along its rim, beside those of a scheme."""
        return poles.draw(self._layers(), PlotOptions(against))

    def coverage(self, against: str = "dfout") -> Drawing:
        """What each layer reaches from 0 to Nyquist, and how its power is spread."""
        return coverage.draw(self._layers(), PlotOptions(against))

    def entanglement(self, against: str = "dfout") -> Drawing:
        """Decay against frequency, colored by step size."""
        return entanglement.draw(self._layers(), PlotOptions(against))

    def timescales(self, against: str = "dfout") -> Drawing:
        """Time constants by octave against the sequence length."""
        return timescales.draw(self._layers(), PlotOptions(against))

    def kernels(self) -> Drawing:
        """Kernels as a heat map, and their energy by lag."""
        return kernels.draw(self._layers())

    def response(self) -> Drawing:
        """Gain of the channels in dB along the band."""
        return response.draw(self._layers())

    def sweep(self, knob: Knob | str = Knob.DT) -> Drawing:
        """Coverage, aliasing, flatness and memory with step sizes (dt) or decays (xi) scaled."""
        self._require_origin()
        # What measures lies above this package, and is loaded only when it is asked for.
        found: Sweep = import_module("ssmspec.analysis.sweep").sweep_report(self.report, knob)
        return sweep.draw(found)

    def _layers(self) -> Iterator[LayerView]:
        self._require_origin()
        if self.report.origin is not None:
            yield from self.report.origin()

    def _require_origin(self) -> None:
        if self.report.origin is None:
            raise SsmspecError(
                "a report that was loaded from a file holds numbers and no poles; analyze the "
                "checkpoint again to draw it"
            )
