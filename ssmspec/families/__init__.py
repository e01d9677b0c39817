"""Families: one parameterization a file. The table below is in order of detection."""

from __future__ import annotations

from dataclasses import dataclass

from ssmspec.checkpoints.base import Checkpoint
from ssmspec.errors import CheckpointError, LayoutError, UsageError
from ssmspec.families import lookalikes, lru, mamba, mamba2, mapped, s4d, s4d_v3, s4d_v4, s5
from ssmspec.families.base import Family, LayerSite, LayerSource
from ssmspec.families.catalog import Catalog
from ssmspec.families.layouts import load_layout
from ssmspec.naming import matches, natural_key
from ssmspec.reading import Reading
from ssmspec.registry import Registry
from ssmspec.report import Skipped
from ssmspec.spectrum import LayerSpectrum

FAMILIES: Registry[Family] = Registry(
    "family",
    "ssmspec.families",
    (s4d_v3.FAMILY, s4d_v4.FAMILY, s4d.FAMILY, s5.FAMILY, lru.FAMILY, mamba.FAMILY, mamba2.FAMILY),
    key=lambda family: family.id,
)


@dataclass(frozen=True)
class FoundLayer:
    """A site and the family that claimed it."""

    family: Family
    site: LayerSite

    def read(self, checkpoint: Checkpoint, reading: Reading) -> LayerSpectrum | Skipped:
        """The layer's spectrum, or why it cannot be measured."""
        try:
            return self.family.read(LayerSource(checkpoint, self.site, reading))
        except (LayoutError, CheckpointError) as error:
            return Skipped(self.site.name, f"looks like {self.family.title}, but {error}")


def find_layers(
    catalog: Catalog, reading: Reading
) -> tuple[tuple[FoundLayer, ...], tuple[Skipped, ...]]:
    """Every state-space layer of a checkpoint, in natural order, and what was passed over.

    Families are tried in table order; a module belongs to the first that claims it. What a
    `reading.layout` page describes goes before the table.

    Args:
        catalog: the checkpoint's modules.
        reading: `family` restricts the search, `layers` selects by name.

    Raises:
        UsageError: `reading.family` is not a family, or the page makes no sense or fits nothing.
    """
    families = _families(reading)
    claimed: dict[str, FoundLayer | Skipped] = {}
    for family in families:
        found: dict[str, FoundLayer | Skipped] = {
            item.name: item if isinstance(item, Skipped) else FoundLayer(family, item)
            for item in family.find(catalog)
        }
        claimed = found | claimed
    if reading.family is None:
        unmeasured: dict[str, FoundLayer | Skipped] = {
            item.name: item for item in lookalikes.find(catalog)
        }
        claimed = unmeasured | claimed
    chosen = [
        claimed[name]
        for name in sorted(claimed, key=natural_key)
        if reading.layers is None or matches(name, reading.layers)
    ]
    layers = tuple(item for item in chosen if isinstance(item, FoundLayer))
    skipped = tuple(item for item in chosen if isinstance(item, Skipped))
    return layers, skipped


def _families(reading: Reading) -> list[Family]:
    """The families to look for, in order."""
    page = [mapped.family_for(load_layout(reading.layout))] if reading.layout else []
    if reading.family is None:
        return [*page, *FAMILIES.values()]
    if reading.family == mapped.ID:
        if not page:
            raise UsageError("the family 'mapped' needs a page that describes it: give --map FILE")
        return page
    return [*page, FAMILIES.require(reading.family)]
