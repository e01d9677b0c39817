"""Which modules of a checkpoint are layers of which family, and how each is read."""

from __future__ import annotations

from dataclasses import dataclass

from ssmspec.checkpoints.base import Checkpoint
from ssmspec.errors import CheckpointError, LayoutError, UsageError
from ssmspec.families import (
    FAMILIES,
    lookalikes,
)
from ssmspec.families.base import Family, LayerSite, LayerSource
from ssmspec.families.catalog import Catalog
from ssmspec.families.precision import Rounding, rounding_of
from ssmspec.kernel import Kernel
from ssmspec.naming import matches, natural_key, printable
from ssmspec.outcome import NotApplicable, Skipped
from ssmspec.reading import Reading
from ssmspec.spectrum import LayerSpectrum

MAPPED = "mapped"
"""The id under which `--family` asks for the layers of a `--map` page only."""


@dataclass(frozen=True)
class FoundLayer:
    """A site and the family that claimed it."""

    family: Family
    site: LayerSite

    def read(self, checkpoint: Checkpoint, reading: Reading) -> LayerSpectrum | Skipped:
        """The layer's spectrum, or why it cannot be measured.

        Raises:
            UsageError: a reading option was given that means nothing to the family.
        """
        _check_options(self.family, self.site.name, reading)
        try:
            return self.family.read(LayerSource(checkpoint, self.site, reading))
        except (LayoutError, CheckpointError) as error:
            return Skipped(self.site.name, f"looks like {self.family.title}, but {error}")

    def read_kernel(
        self, checkpoint: Checkpoint, reading: Reading, spectrum: LayerSpectrum
    ) -> Kernel | NotApplicable:
        """The kernel of a layer whose spectrum was read, or why it is not known."""
        if spectrum.selective:
            return NotApplicable("B, C and dt depend on the input")
        if self.family.read_kernel is None:
            return NotApplicable(f"how B and C are stored is not known for {self.family.title}")
        try:
            return self.family.read_kernel(LayerSource(checkpoint, self.site, reading), spectrum)
        except (LayoutError, CheckpointError) as error:
            return NotApplicable(str(error))

    def rounding(
        self, checkpoint: Checkpoint, reading: Reading, spectrum: LayerSpectrum
    ) -> Rounding | None:
        """How far the rounding of parameters below single precision moved the poles."""
        return rounding_of(self.family, LayerSource(checkpoint, self.site, reading), spectrum)


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
    page = _described(reading)
    if reading.family is None:
        return [*page, *FAMILIES.values()]
    if reading.family == MAPPED:
        if not page:
            raise UsageError("the family 'mapped' needs a page that describes it: give --map FILE")
        return page
    return [*page, FAMILIES.require(reading.family)]


def _described(reading: Reading) -> list[Family]:
    if reading.layout is None:
        return []
    # TOML, only where a page is given
    from ssmspec.families.mapped.family import family_for  # noqa: PLC0415
    from ssmspec.families.mapped.page import load_layout  # noqa: PLC0415

    return [family_for(load_layout(reading.layout))]


def _check_options(family: Family, name: str, reading: Reading) -> None:
    """Refuse an option that would do nothing for this layer.

    Raises:
        UsageError: the family is never discretized so, or its step sizes are never stored so.
    """
    wanted = (
        ("--discretization", reading.discretization, family.discretizations),
        ("--dt-transform", reading.dt_transform, family.dt_transforms),
    )
    for option, choice, offered in wanted:
        if choice is not None and choice not in offered:
            fixed = " or ".join(item.value for item in offered) or "fixed"
            raise UsageError(
                f"{option} {choice.value} does not apply to {printable(name)}: for "
                f"{family.title} it is always {fixed} (--layers GLOB leaves layers out)"
            )
