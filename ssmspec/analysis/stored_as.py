"""The use case behind `ssmspec analyze --stored-as`: poles read from parameters cast to a type.

Nothing is estimated: each tensor that a layer's poles are read from is cast, the layer is read
again, and the distance of every pole from where it was is set against its half-width; then all of
them at once. A tensor is one to keep in float32 where it overflows, pushes a mode out of the unit
circle or moves the poles by more than PRC001 allows; and then as many more, those that move most
first, as it takes for the rest together to do none of this.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TypeAlias, Unpack

import numpy as np

from ssmspec.analysis.model import ModelLayer, Progress, ReadingOptions, Source, open_model
from ssmspec.checkpoints import Checkpoint
from ssmspec.checkpoints.casting import Cast, cast
from ssmspec.errors import UsageError
from ssmspec.families.base import LayerSite
from ssmspec.families.precision import Beside, distance
from ssmspec.naming import printable
from ssmspec.outcome import NotApplicable, Skipped
from ssmspec.reading import Reading
from ssmspec.results.stored_as import Shift, StoredAs, StoredLayer, StoredTensor, StoredType
from ssmspec.rules.precision import PRC001
from ssmspec.spectrum import LayerSpectrum, Structure

THRESHOLD = PRC001.threshold or 0.5
FLOATING = ("float", "bfloat", "complex")

Casts: TypeAlias = Mapping[str, Cast]
"""Tensor name -> what it becomes."""


def stored_as(
    source: Source,
    type: StoredType | str,  # noqa: A002 - as the option is called
    reading: Reading | None = None,
    *,
    progress: Progress | None = None,
    **options: Unpack[ReadingOptions],
) -> StoredAs:
    """Measure how far poles move if the parameters that set them are stored in a coarse type.

    Args:
        source: what `analyze` takes.
        type: `bf16`, `fp16`, `fp8-e4m3`, `fp8-e5m2` or `int8` (symmetric, one scale a tensor).
        reading: how to read the model; or its fields as keywords.
        progress: called after each layer with (done, all).
        **options: fields of `Reading`.

    Raises:
        UsageError: there is no such type.
        CheckpointError: the source cannot be read.
        NoLayersError: nothing in it looks like a state-space layer.
    """
    try:
        kind = StoredType(type)
    except ValueError:
        raise UsageError(f"stored as {', '.join(StoredType)}, not {type!r}") from None
    with open_model(source, reading, **options) as model:
        layers = tuple(_layer(layer, kind) for layer in model.layers(progress))
        keep = {t.name for layer in layers for t in layer.tensors if t.keep}
        return StoredAs(
            **model.about(),
            type=kind,
            threshold=THRESHOLD,
            layers=layers,
            pattern=pattern_of(keep, model.checkpoint.tensors),
        )


def _layer(layer: ModelLayer, kind: StoredType) -> StoredLayer:
    checkpoint, site = layer.model.checkpoint, layer.found.site
    casts: dict[str, Cast] = {}
    shifts: dict[str, Shift | NotApplicable] = {}
    for name in dict.fromkeys(site.tensors.values()):
        if not checkpoint.info(name).dtype.startswith(FLOATING):
            continue  # lengths and flags
        changed = cast(checkpoint.read(name), kind.value)
        shift = _shift(layer, {name: changed})
        if shift is not None:
            casts[name], shifts[name] = changed, shift
    keep = _to_keep(layer, casts, shifts)
    rest = {name: changed for name, changed in casts.items() if name not in keep}
    for again, name in _second_names(site).items():
        if name in shifts:
            shifts[again] = shifts[name]
            keep |= {again} if name in keep else set()
    still = Shift(0.0, 0.0, 0)
    spectrum = layer.spectrum
    return StoredLayer(
        name=spectrum.name,
        family=spectrum.family,
        channels=spectrum.channels,
        modes=spectrum.modes,
        tensors=tuple(
            StoredTensor(name, checkpoint.info(name).dtype, shift, name in keep)
            for name, shift in shifts.items()
        ),
        together=_shift(layer, casts) or still,
        kept=_shift(layer, rest) or still,
    )


def _second_names(site: LayerSite) -> dict[str, str]:
    """Names under which a file holds a tensor again -> the one that is read."""
    roles = {role: role.rpartition(".")[2] for role in site.tensors if "." in role}
    return {
        site.tensors[role]: site.tensors[first]
        for role, first in roles.items()
        if first in site.tensors and site.tensors[first] != site.tensors[role]
    }


def _to_keep(
    layer: ModelLayer, casts: Casts, shifts: Mapping[str, Shift | NotApplicable]
) -> set[str]:
    """Tensors to keep so that the rest together is harmless."""
    keep = {name for name, shift in shifts.items() if _harms(shift)}
    rest = sorted(casts.keys() - keep, key=lambda name: _rms(shifts[name]))
    while rest and _harms(_shift(layer, {name: casts[name] for name in rest})):
        keep.add(rest.pop())
    return keep


def _rms(shift: Shift | NotApplicable) -> float:
    return shift.rms if isinstance(shift, Shift) else np.inf


def _harms(shift: Shift | NotApplicable | None) -> bool:
    return shift is not None and (
        isinstance(shift, NotApplicable) or shift.outside > 0 or shift.rms > THRESHOLD
    )


def _shift(layer: ModelLayer, casts: Casts) -> Shift | NotApplicable | None:
    """How far poles move with these tensors cast; None where nothing of them moves a pole."""
    before = layer.spectrum
    changed: Checkpoint = layer.model.checkpoint
    for name, item in casts.items():
        changed = Beside(changed, name, item.values)
    after = layer.found.read(changed, layer.model.reading)
    if isinstance(after, LayerSpectrum) and _same(before, after):
        return None
    for name, item in casts.items():
        if item.overflowed:
            where = f" of {printable(name)}" if len(casts) > 1 else ""
            return NotApplicable(
                f"{item.overflowed} of {item.values.size} values{where} overflow: "
                f"the largest number is {item.largest:g}"
            )
    if isinstance(after, Skipped):
        return NotApplicable(f"the layer cannot be read then: {after.reason}")
    moved = distance(before, after)
    counts = before.finite & (before.half_width > 0.0)
    if moved is None or not counts.any():
        return NotApplicable("poles are not finite" + " then" * (before.non_finite == 0))
    with np.errstate(over="ignore", invalid="ignore"):
        relative = moved[counts] / before.half_width[counts]
        rms = float(np.sqrt(np.mean(relative**2)))
    if not np.isfinite(rms):
        return NotApplicable("poles move too far to be told in half-widths")
    return Shift(rms=rms, largest=float(relative.max()), outside=_pushed(before, after))


def _same(before: LayerSpectrum, after: LayerSpectrum) -> bool:
    return np.array_equal(before.log_poles, after.log_poles, equal_nan=True)


def _pushed(before: LayerSpectrum, after: LayerSpectrum) -> int:
    """Modes on the circle or outside of it that were inside."""
    was, now = before.decay > 0.0, after.decay > 0.0
    if before.structure is Structure.DPLR:  # eigenvalues come in no order
        return max(0, int(np.count_nonzero(was)) - int(np.count_nonzero(now)))
    return int(np.count_nonzero(was & ~now))


def pattern_of(names: Iterable[str], everything: Iterable[str]) -> str:
    """One regular expression that fits these names in full and no other of a checkpoint's.

    Numbers between dots stand for any number where that brings in no other tensor.

    Args:
        names: what it is to fit.
        everything: all names.
    """
    wanted, all_names = set(names), list(everything)
    parts: dict[str, None] = {}
    for name in sorted(wanted):
        exact = re.escape(name)
        loose = re.sub(r"(?<![A-Za-z0-9_])\d+(?![A-Za-z0-9_])", r"\\d+", exact)
        if all(other in wanted for other in all_names if re.fullmatch(loose, other)):
            parts[loose] = None
        else:
            parts[exact] = None
    return f"^({'|'.join(parts)})$" if parts else ""
