"""What a layer was before training, had it been initialized with a scheme its family offers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from ssmspec.families.base import Family
from ssmspec.metrics.initialization import drift
from ssmspec.schemes import SCHEMES
from ssmspec.spectrum import LayerSpectrum


class InitialSpectra(Mapping[str, LayerSpectrum]):
    """What a layer was, had it been initialized with each scheme its family offers, by scheme id.

    Each is built when it is asked for and not kept: beside a layer of millions of modes stands one
    initialization at a time. Of a scheme with settings a file does not tell, it is the nearest.
    """

    def __init__(self, family: Family, spectrum: LayerSpectrum) -> None:
        self._spectrum = spectrum
        self._schemes = tuple(
            identifier
            for identifier in family.known_inits
            if not spectrum.non_finite
            and SCHEMES[identifier].has_references(spectrum.modes, spectrum.dt, spectrum.decay)
        )

    def __getitem__(self, identifier: str) -> LayerSpectrum:
        if identifier not in self._schemes:
            raise KeyError(identifier)
        layer = self._spectrum
        candidates = [
            replace(layer, log_poles=log_poles)
            for log_poles in SCHEMES[identifier].references(
                layer.channels, layer.modes, layer.dt, layer.decay, layer.discretization
            )
        ]
        if len(candidates) == 1:
            return candidates[0]
        return min(candidates, key=lambda start: drift(layer, start))

    def __iter__(self) -> Iterator[str]:
        return iter(self._schemes)

    def __len__(self) -> int:
        return len(self._schemes)
