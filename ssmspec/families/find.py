"""Which modules of a checkpoint are layers of which family, and how each is read."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ssmspec.checkpoints.base import Checkpoint
from ssmspec.errors import CheckpointError, LayoutError, UsageError
from ssmspec.families import FAMILIES, beside, copies, lookalikes, siblings, stored
from ssmspec.families.base import Family, LayerSite, LayerSource
from ssmspec.families.catalog import Catalog
from ssmspec.families.precision import Rounding, rounding_of
from ssmspec.kernel import Kernel
from ssmspec.naming import did_you_mean, matches, natural_key, printable
from ssmspec.outcome import NotApplicable, Skipped
from ssmspec.reading import Reading
from ssmspec.room import require_room, room_for
from ssmspec.spectrum import LayerSpectrum

MAPPED = "mapped"
"""The id under which `--family` asks for the layers of a `--map` page only."""


MISFITS = (ArithmeticError, LookupError, TypeError, ValueError)
"""What numpy says of shapes and types that no family foresaw: a fault of the file, not of ours."""


def _misfit(error: Exception) -> str:
    cause = printable(f"{type(error).__name__}: {error}".partition("\n")[0])
    return f"its tensors do not fit together ({cause})"


@dataclass(frozen=True)
class FoundLayer:
    """A site and the family that claimed it.

    Attributes:
        family: how it is read.
        site: where its parameters are.
        notes: sentences about what was found around it, for its spectrum's assumptions.
    """

    family: Family
    site: LayerSite
    notes: tuple[str, ...] = ()

    def read(self, checkpoint: Checkpoint, reading: Reading) -> LayerSpectrum | Skipped:
        """The layer's spectrum, or why it cannot be measured.

        Raises:
            UsageError: a reading option was given that means nothing to the family.
        """
        _check_options(self.family, self.site.name, reading)
        name = self.site.name
        try:
            with room_for(checkpoint.room(name)):
                spectrum = self.family.read(LayerSource(checkpoint, self.site, reading))
                require_room(spectrum.shape)
        except (LayoutError, CheckpointError) as error:
            return Skipped(name, f"looks like {self.family.title}, but {error}")
        except MISFITS as error:
            return Skipped(name, f"looks like {self.family.title}, but {_misfit(error)}")
        checkpoint.take_room(name, spectrum.log_poles.size)
        if not self.notes:
            return spectrum
        return replace(spectrum, assumptions=(*spectrum.assumptions, *self.notes))

    def read_kernel(
        self, checkpoint: Checkpoint, reading: Reading, spectrum: LayerSpectrum
    ) -> Kernel | NotApplicable:
        """The kernel of a layer whose spectrum was read, or why it is not known."""
        if spectrum.selective:
            return NotApplicable("B, C and dt depend on the input")
        if self.family.read_kernel is None:
            return NotApplicable(f"how B and C are stored is not known for {self.family.title}")
        try:
            with room_for(checkpoint.room(self.site.name)):
                source = LayerSource(checkpoint, self.site, reading)
                return self.family.read_kernel(source, spectrum)
        except (LayoutError, CheckpointError) as error:
            return NotApplicable(str(error))
        except MISFITS as error:
            return NotApplicable(_misfit(error))

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
    claimed: Claims = {}
    for family in families:
        found: Claims = {
            item.name: item if isinstance(item, Skipped) else FoundLayer(family, item)
            for item in family.find(catalog)
        }
        claimed = found | claimed
    if reading.family is None:
        unmeasured: Claims = {
            item.name: item
            for item in (*lookalikes.find(catalog), *stored.modules_without_numbers(catalog))
        }
        claimed = unmeasured | claimed
    claimed = _usable(claimed, catalog)
    claimed = _one_copy(_with_incomplete(claimed, catalog), catalog, reading.part)
    chosen = [
        claimed[name]
        for name in sorted(claimed, key=natural_key)
        if reading.layers is None or matches(name, reading.layers)
    ]
    sites = [item.site for item in claimed.values() if isinstance(item, FoundLayer)]
    read = {tensor for site in sites for tensor in site.tensors.values()}
    layers = tuple(
        replace(item, notes=(*item.notes, *beside.notes(item.site, catalog, read)))
        for item in chosen
        if isinstance(item, FoundLayer)
    )
    skipped = tuple(item for item in chosen if isinstance(item, Skipped))
    _check_assumed(layers, reading)
    return layers, skipped


Claims = dict[str, "FoundLayer | Skipped"]


def _usable(claimed: Claims, catalog: Catalog) -> Claims:
    """Layers without numbers become skipped ones; a page of the user's knows what it reads."""
    return {
        name: (stored.unusable(item.site, item.family.title, catalog) or item)
        if isinstance(item, FoundLayer) and item.family.id != MAPPED
        else item
        for name, item in claimed.items()
    }


def _with_incomplete(claimed: Claims, catalog: Catalog) -> Claims:
    """What lost a tensor joins, and says so in place of what it looks like without it."""
    found = {name: item for name, item in claimed.items() if isinstance(item, FoundLayer)}
    sites = [(item.family, item.site) for item in found.values()]
    lost = siblings.incomplete(catalog, sites, found)
    return {**claimed, **{item.name: item for item in lost}}


def _one_copy(claimed: Claims, catalog: Catalog, part: str | None) -> Claims:
    """The layers of one copy of the model; those of others are skipped."""
    tensors = catalog.checkpoint.tensors
    shapes = {
        name: tuple(tensors[tensor].shape for tensor in item.site.tensors.values())
        for name, item in claimed.items()
        if isinstance(item, FoundLayer)
    }
    chosen = copies.choose(shapes, part)
    kept: Claims = {}
    for name, item in claimed.items():
        if isinstance(item, Skipped):
            if part is None or copies.lies_below(name, part):
                kept[name] = item
        elif name in chosen.kept:
            kept[name] = replace(item, notes=(chosen.note,)) if chosen.note else item
        elif name in chosen.left:
            kept[name] = Skipped(name, chosen.left[name])
    return kept


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


def _check_assumed(layers: tuple[FoundLayer, ...], reading: Reading) -> None:
    """Refuse an assumption that means nothing to any layer here.

    Raises:
        UsageError: it is none, or of families that are not in this file.
    """
    offered = {name for layer in layers for name in layer.family.assumable}
    for name in reading.assume if layers else ():
        if name not in offered:
            every = {name for family in FAMILIES.values() for name in family.assumable}
            if name in every:
                raise UsageError(f"--assume {name} means nothing to any layer of this file")
            raise UsageError(
                f"there is nothing to assume called {name!r}; {did_you_mean(name, every)}"
            )


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
