"""The tensors of every layer, looked through before it is measured, and what is missing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ssmspec.analysis.measure import Stored
from ssmspec.analysis.model import Model, ModelLayer
from ssmspec.families.base import LayerSource
from ssmspec.families.find import FoundLayer
from ssmspec.families.scan import SMALL, LayerScan, own_tensors, scan_layer
from ssmspec.outcome import Skipped
from ssmspec.reading import Scan
from ssmspec.writers.parts.numbers import byte_size

_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class Scans:
    """What the layers of a model hold.

    Attributes:
        layers: what each holds, by its name.
        families: the id of each layer's family, by its name.
        lost: for the first layer of each kind: (name, missing tensors) of those that lack some.
        told: sentences on what was not looked through.
    """

    layers: Mapping[str, LayerScan]
    families: Mapping[str, str]
    lost: Mapping[str, tuple[tuple[str, tuple[str, ...]], ...]]
    told: tuple[str, ...] = ()

    def of(self, layer: ModelLayer) -> Stored:
        """What was found of one layer and of its peers, those of the same family."""
        model, name = layer.model, layer.found.site.name
        source = LayerSource(model.checkpoint, layer.found.site, model.reading)
        peers = tuple(
            scan
            for other, scan in self.layers.items()
            if other != name and self.families[other] == layer.found.family.id
        )
        return Stored(source, self.layers.get(name), peers, self.lost.get(name, ()))


def scan_model(model: Model, *, thorough: bool = False) -> Scans:
    """Look through the layers' tensors as far as the reading asks for.

    `Scan.LAYER` is all of them, `Scan.POLES` what is read of them anyway. By default it is what is
    read and whatever is small, or all if it is to be thorough; of a source that is not on this
    machine what is read.
    """
    checkpoint, found = model.checkpoint, model.found
    sites = [layer.site for layer in found]
    owned = own_tensors(model.catalog, sites)
    wanted = model.reading.scan
    if wanted is None:
        wanted = Scan.POLES if checkpoint.is_remote else (Scan.LAYER if thorough else None)
    limit = {Scan.LAYER: None, Scan.POLES: 0, None: SMALL}[wanted]
    layers = {site.name: scan_layer(checkpoint, site, owned[site.name], limit) for site in sites}
    left_out = [info for scan in layers.values() for info in scan.left_out]
    told: tuple[str, ...] = ()
    if left_out:
        size = byte_size(sum(info.nbytes for info in left_out))
        several = "tensors" if len(left_out) > 1 else "tensor"
        told = (
            f"{len(left_out):,} {several} of the state-space layers ({size}) were not looked "
            f"through for NaN (--scan layer does)",
        )
    families = {layer.site.name: layer.family.id for layer in found}
    return Scans(layers, families, _lost(found, model.skipped), told)


def _lost(
    found: Sequence[FoundLayer], skipped: Sequence[Skipped]
) -> dict[str, tuple[tuple[str, tuple[str, ...]], ...]]:
    """What was skipped for a lost tensor, under the name of the first layer that has it."""
    under: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {}
    for item in skipped:
        alike = [f.site.name for f in found if _unnumbered(f.site.name) == _unnumbered(item.name)]
        if item.lost and alike:
            under[alike[0]] = (*under.get(alike[0], ()), (item.name, item.lost))
    return under


def _unnumbered(name: str) -> str:
    return _NUMBER.sub("#", name)
