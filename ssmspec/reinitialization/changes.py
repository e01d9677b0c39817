"""What each layer of a checkpoint is to become, laid over the checkpoint and not yet written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from ssmspec.analysis.model import Model, Progress
from ssmspec.analysis.target import Target, Wish, target
from ssmspec.arrays import Array
from ssmspec.checkpoints import Checkpoint
from ssmspec.checkpoints.torch.archive import TorchZipCheckpoint
from ssmspec.errors import CheckpointError, SchemeError, SsmspecError, UsageError
from ssmspec.families.base import LayerSource
from ssmspec.families.catalog import Catalog
from ssmspec.families.find import FoundLayer, find_layers
from ssmspec.metrics import METRICS
from ssmspec.metrics.base import Context
from ssmspec.naming import printable
from ssmspec.outcome import Measured, Outcome
from ssmspec.reading import Discretization, Reading
from ssmspec.reinitialization.kernels import (
    changed_outputs,
    check_search,
    kernel_change,
    kernel_of,
    searched,
)
from ssmspec.reinitialization.overlay import Overlay
from ssmspec.results.reinit import CPolicy, LayerChange
from ssmspec.schemes import SCHEMES, SchemeOptions
from ssmspec.spectrum import LayerSpectrum
from ssmspec.units import TWO_PI

COMPARED = (
    "aliased_fraction", "nyquist_headroom", "coverage", "channel_coverage", "largest_gap",
    "spectral_flatness", "frequency_w1", "discrepancy", "low_frequency_share",
    "time_constant_p05", "time_constant_median", "time_constant_p95", "max_radius",
    "memory_ratio", "entanglement",
)  # fmt: skip
"""Metrics that are told before and after."""

MOVED = 0.5
"""Half-widths by which rounding may move a pole before there is a warning, as for PRC001."""

FALLING = {
    "coverage": {"coverage": ""},
    "memory": {"memory_ratio": " sequences", "time_constant_p95": " samples"},
}
"""What is said when it falls, and the metrics that tell, the first that is there, with a unit."""

FALLS = 1e-3
"""Relative fall that is only rounding (heuristic)."""

AT_END = 0.1
"""Share of channels at an end of the range of xi from which a wider range is suggested
(heuristic)."""


@dataclass(frozen=True)
class Task:
    """What is asked of a checkpoint.

    Attributes:
        wish: the poles asked of every layer.
        c: what becomes of C.
        search_xi: whether the damping of each channel is chosen for the best fit.
        reading: how the checkpoint is read, and which of its layers.

    Raises:
        UsageError: something is missing for a fit, or a search would have nothing to search.
    """

    wish: Wish
    c: CPolicy
    search_xi: bool
    reading: Reading

    def __post_init__(self) -> None:
        if self.search_xi:
            check_search(self.wish, self.c)


@dataclass(frozen=True, eq=False)
class PlannedLayer:
    """One layer: where it is, the poles it will read as, and what there is to say.

    Attributes:
        layer: where its parameters are.
        before: its poles as they are.
        stored: its poles as the output will hold them.
        change: what changes.
        notes: what else there is to know.
    """

    layer: FoundLayer
    before: LayerSpectrum
    stored: LayerSpectrum
    change: LayerChange
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Plan:
    """What a checkpoint is to become.

    Attributes:
        overlay: the checkpoint with the new values in place.
        reading: how it was read.
        layers: in natural order of their names.
    """

    overlay: Overlay
    reading: Reading
    layers: tuple[PlannedLayer, ...]

    def require_in(self, written: Checkpoint) -> None:
        """Check that a file just written holds the layers and every number planned for them.

        Raises:
            CheckpointError: it does not.
        """
        found, _ = find_layers(Catalog(written), self.reading)
        names = {layer.site.name for layer in found}
        absent = (each.stored.name for each in self.layers if each.stored.name not in names)
        changed = (
            name
            for name in self.overlay.changes
            if not np.array_equal(written.read(name), self.overlay.read(name))
        )
        wrong = next(chain(absent, changed), None)
        if wrong is not None:
            raise CheckpointError(
                f"{printable(written.path)} does not hold {printable(wrong)} as it was written; "
                f"delete it and try again"
            )


def plan(model: Model, task: Task, progress: Progress | None = None) -> Plan:
    """Lay every layer's new poles, and C, over a checkpoint.

    Args:
        model: it stays as it is.
        task: what is asked.
        progress: called after each layer with (done, all).

    Raises:
        SchemeError: a layer cannot hold the scheme, or has no C to fit.
        NoLayersError: there is no layer that can be read.
    """
    if task.c is CPolicy.FIT and task.reading.seq_len is None:
        raise UsageError(
            "fitting C needs the number of lags that count: give the sequence length (--seq-len L)"
        )
    numbers = _numbers(model.catalog, task.reading)
    overlay = Overlay(model.checkpoint)
    layers = [
        _planned(layer.found, layer.spectrum, task, overlay, numbers[layer.spectrum.name])
        for layer in model.layers(progress)
    ]
    if not layers:
        raise model.nothing_read("re-initialized")
    _require_agreement(layers, overlay, task.reading)
    return Plan(overlay, task.reading, tuple(layers))


def _require_agreement(layers: Sequence[PlannedLayer], overlay: Overlay, reading: Reading) -> None:
    """Layers that share a tensor must all have come out as planned, the first ones too.

    Raises:
        SchemeError: one was undone by another.
    """
    users = Counter(name for each in layers for name in set(each.layer.site.tensors.values()))
    for planned in layers:
        layer = planned.layer
        if not any(users[name] > 1 for name in layer.site.tensors.values()):
            continue
        found = layer.family.read(LayerSource(overlay, layer.site, reading))
        if not np.array_equal(found.log_poles, planned.stored.log_poles):
            raise SchemeError(
                f"{printable(planned.stored.name)} shares a tensor with another layer, and the "
                f"new poles of the two differ; --layers selects one of them"
            )


def _numbers(catalog: Catalog, reading: Reading) -> dict[str, int]:
    """Each layer's number for its draw: its place among all layers, selected or not.

    Names of one tensor in a torch file are one layer, and draw alike.
    """
    everything, _ = find_layers(catalog, replace(reading, layers=None))
    first: dict[Hashable, int] = {}
    numbers = {}
    for number, layer in enumerate(everything):
        numbers[layer.site.name] = first.setdefault(_memory(catalog.checkpoint, layer), number)
    return numbers


def _memory(checkpoint: Checkpoint, layer: FoundLayer) -> Hashable:
    """What tells a layer's numbers from those of every other layer."""
    names = tuple(layer.site.tensors.items())
    if isinstance(checkpoint, TorchZipCheckpoint):
        return tuple((role, checkpoint.stored[name]) for role, name in names)
    return layer.site.name, names


def _planned(
    layer: FoundLayer, spectrum: LayerSpectrum, task: Task, overlay: Overlay, number: int
) -> PlannedLayer:
    """Put one layer's new poles, and C, into the overlay."""
    length, wish = task.reading.seq_len, task.wish
    source = LayerSource(overlay, layer.site, task.reading)
    # Two layers can be stored in one tensor, so what was there is read beneath the overlay.
    beneath = LayerSource(overlay.base, layer.site, task.reading)
    old, unknown = kernel_of(layer, beneath, spectrum)
    if task.c is CPolicy.FIT and old is None:
        raise SchemeError(
            f"{printable(spectrum.name)}: C cannot be fitted: {unknown}; use --c keep"
        )
    wanted, xi = target(spectrum, wish, number), None
    if task.search_xi and old is not None and length is not None:
        wanted, xi = searched(wanted, layer, source, old, wish, length)
    earlier = set(overlay.changes)
    overlay.change(_held(layer, source, spectrum, wanted, wish, number))
    stored = layer.family.read(source)
    overlay.change(changed_outputs(layer, source, stored, old, task.c, length, (wish.seed, number)))
    kernel = None
    if old is not None:
        kernel, unknown = kernel_change(old, kernel_of(layer, source, stored)[0], length)
    change = LayerChange(
        name=spectrum.name,
        family=spectrum.family,
        family_title=layer.family.title,
        channels=spectrum.channels,
        modes=spectrum.modes,
        oscillates=spectrum.is_complex,
        tensors=tuple(name for name in overlay.changes if name not in earlier),
        step_sizes=wanted.step_sizes,
        before=_metrics(spectrum, task.reading),
        after=_metrics(stored, task.reading),
        deviation=deviation(wanted.spectrum, stored),
        kernel=kernel,
        kernel_unknown=unknown,
        xi=xi,
    )
    notes = tuple(_low_angles(wanted.spectrum, stored, layer))
    return PlannedLayer(layer, spectrum, stored, change, notes)


def _held(
    layer: FoundLayer,
    source: LayerSource,
    spectrum: LayerSpectrum,
    wanted: Target,
    wish: Wish,
    number: int,
) -> Mapping[str, Array]:
    """The tensors that hold a target.

    Raises:
        SchemeError: the layer cannot hold it; the message names the schemes it can.
    """
    try:
        return layer.family.write(source, wanted.spectrum)
    except SchemeError as error:
        held = ", ".join(_holdable(layer, source, spectrum, wish, number)) or "none"
        raise SchemeError(f"{error}. As they are by default, it can hold: {held}") from None


def _holdable(
    layer: FoundLayer, source: LayerSource, spectrum: LayerSpectrum, wish: Wish, number: int
) -> Iterator[str]:
    """Ids of the schemes that a layer can hold with their default options, at its step sizes."""
    for identifier, scheme in SCHEMES.items():
        try:
            tried = target(spectrum, replace(wish, scheme=scheme, options=SchemeOptions()), number)
            layer.family.write(source, tried.spectrum)
        except SsmspecError:
            continue
        yield identifier


def deviation(asked: LayerSpectrum, stored: LayerSpectrum) -> float | None:
    """Largest distance of a pole from the one asked for, in half-widths of the latter.

    Angles of layers that store or reach discrete poles only are compared around the circle. None
    where a pole without damping, which has no width, moved.
    """
    moved = stored.log_poles - asked.log_poles
    if asked.discretization is not Discretization.ZOH:
        moved -= 1j * TWO_PI * np.round(moved.imag / TWO_PI)
    distance, width = np.abs(moved), asked.half_width
    if (distance[width == 0.0] > 0.0).any():
        return None
    return float((distance[width > 0.0] / width[width > 0.0]).max(initial=0.0))


def _metrics(spectrum: LayerSpectrum, reading: Reading) -> dict[str, Outcome]:
    context = Context(reading.seq_len, reading.rate_of(spectrum.name))
    return {name: METRICS[name](spectrum, context) for name in COMPARED}


def _low_angles(asked: LayerSpectrum, stored: LayerSpectrum, layer: FoundLayer) -> Iterator[str]:
    still = (asked.omega_unwrapped == 0.0) & (stored.omega_unwrapped != 0.0)
    if still.any():
        lowest = float(np.abs(stored.omega_unwrapped[still]).max())
        yield (
            f"{layer.family.title} stores the logarithm of its angles: frequency 0 is written as "
            f"{lowest:.1g} rad/sample"
        )


def search_notes(changes: Sequence[LayerChange]) -> Iterator[str]:
    """A sentence where a search for xi ran into the ends of its range."""
    found = [(change.channels, change.xi.at_end) for change in changes if change.xi is not None]
    if not found:
        return
    share = sum(count * at_end for count, at_end in found) / sum(count for count, _ in found)
    if share >= AT_END:
        yield (
            f"{100 * share:.0f} % of the channels took the smallest or largest xi there was; a "
            f"wider range (--xi-min, --xi-max) may fit better"
        )


def fallen_notes(changes: Sequence[LayerChange]) -> Iterator[str]:
    """A sentence where the layers reach less of the band, or remember less long, than before."""
    for what, metrics in FALLING.items():
        falls = [(fall, change) for change in changes if (fall := _fall(change, metrics))]
        if falls:
            (before, after, unit), worst = min(falls, key=lambda item: item[0][1] / item[0][0])
            several = f" in {len(falls)} of {len(changes)} layers, the most"
            yield (
                f"{what} falls{several if len(changes) > 1 else ''} in {printable(worst.name)}: "
                f"from {before:.3g} to {after:.3g}{unit}"
            )


def _fall(change: LayerChange, metrics: Mapping[str, str]) -> tuple[float, float, str] | None:
    """Before and after of the first of these metrics that has both, where it falls; its unit."""
    for metric, unit in metrics.items():
        before, after = change.before.get(metric), change.after.get(metric)
        if isinstance(before, Measured) and isinstance(after, Measured):
            x, y = before.value, after.value
            if isinstance(x, str) or isinstance(y, str):
                return None
            return (x, y, unit) if y < x * (1.0 - FALLS) else None
    return None


def rounding_warnings(change: LayerChange, checkpoint: Checkpoint) -> Iterator[str]:
    """A sentence where the rounding of the stored type moves poles too far."""
    if change.deviation is not None and change.deviation <= MOVED:
        return
    dtypes = sorted({checkpoint.info(name).dtype for name in change.tensors})
    far = (
        "and one of them has no damping, so any move matters"
        if change.deviation is None
        else f"by up to {change.deviation:.2g} half-widths"
    )
    yield (
        f"{printable(change.name)}: rounding to {', '.join(dtypes)} moves poles {far}; store the "
        f"parameters that set poles in float32"
    )
