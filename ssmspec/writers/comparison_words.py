"""The sentences of a comparison: what differs between two models, in words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ssmspec.naming import printable
from ssmspec.outcome import NotApplicable
from ssmspec.results.comparison import (
    Change,
    Comparison,
    PolesMoved,
    TensorComparison,
    TensorDifference,
)
from ssmspec.writers.parts.numbers import compact

_NUMBER = re.compile(r"(?<![^./])\d+(?![^./])")
"""A component of a name that is a number."""

NAMES_SHOWN = 3
"""Leaf names a sentence lists before it counts the rest."""


def poles_sentence(comparison: Comparison) -> str:
    """How far poles moved, over all layers that could be compared."""
    moved = [pair.poles for pair in comparison.layers if isinstance(pair.poles, PolesMoved)]
    if not moved:
        reasons = [p.poles.reason for p in comparison.layers if isinstance(p.poles, NotApplicable)]
        return f"poles cannot be compared: {reasons[0]}" if reasons else ""
    if not any(poles.moved for poles in moved):
        return "no pole moved"
    farthest = max(poles.rms for poles in moved)
    layers = sum(poles.moved > 0 for poles in moved)
    return (
        f"poles moved in {layers} of {len(comparison.layers)} layers, "
        f"up to {compact(farthest)} half-widths rms"
    )


def layers_sentence(comparison: Comparison) -> str:
    """How many layers were matched, and whether one side has more."""
    parts = [f"{count(len(comparison.layers), 'layer')} in both"]
    for names, side in ((comparison.only_a, "A"), (comparison.only_b, "B")):
        if names:
            parts.append(f"{len(names)} only in {side}")
    return ", ".join(parts)


def tensors_sentence(tensors: TensorComparison) -> str:
    """`46 of 48 tensors are identical; only these differ: dt_bias in 2 layers (...)`."""
    if not tensors.differences:
        return f"all {tensors.matched} tensors are identical"
    head = f"{tensors.identical} of {tensors.matched} tensors are identical"
    changed = tensors.changed
    if not changed:
        return head
    if tensors.only_state_space_changed:
        return f"{head}; only state-space parameters changed: {changed_leaves(changed)}"
    ours = [difference for difference in changed if difference.layer is not None]
    if not ours:
        return f"{head}; no state-space parameter changed"
    return f"{head}; of the state-space parameters these changed: {changed_leaves(ours)}"


def warning(tensors: TensorComparison) -> str | None:
    """What it means that only state-space parameters changed; None where others did too."""
    if not tensors.only_state_space_changed:
        return None
    return (
        "Training changes the other parameters as well. Unless those were frozen, something else "
        "set these: look for an initializer that runs when the model is built or loaded"
    )


def changed_leaves(differences: Sequence[TensorDifference]) -> str:
    """`dt_bias in 24 layers, A_log in 1 layer`."""
    layers: dict[str, set[str | None]] = {}
    for difference in differences:
        layers.setdefault(_leaf(difference), set()).add(difference.layer)
    parts = [f"{printable(leaf)} in {count(len(found), 'layer')}" for leaf, found in layers.items()]
    if len(parts) > NAMES_SHOWN:
        parts = [*parts[:NAMES_SHOWN], f"and {len(parts) - NAMES_SHOWN} more"]
    return ", ".join(parts)


def grouped(
    differences: Sequence[TensorDifference],
) -> Iterator[tuple[str, Change, list[TensorDifference]]]:
    """Differences of one kind in tensors whose names differ by a number only: `layers.*.bias`."""
    groups: dict[tuple[str, Change], list[TensorDifference]] = {}
    for difference in differences:
        pattern = _NUMBER.sub("*", printable(difference.name))
        groups.setdefault((pattern, difference.change), []).append(difference)
    for (pattern, change), members in groups.items():
        yield (pattern if len(members) > 1 else printable(members[0].name)), change, members


def what_changed(members: Sequence[TensorDifference]) -> str:
    """The largest change of values, or the change of shape or dtype, of tensors of one group."""
    storage = list(dict.fromkeys(_storage(member) for member in members))
    shown = storage[0] + (" and others" if len(storage) > 1 else "")
    values = _largest(members) if members[0].change in (Change.VALUES, Change.DTYPE) else ""
    return "; ".join(text for text in (shown, values) if text)


def _storage(difference: TensorDifference) -> str:
    """How a tensor is stored, as far as its change is one of storage."""
    a, b = difference.a, difference.b
    if a is None or b is None:
        stored = a or b
        return f"{stored.dtype} {_shape(stored.shape)}" if stored else ""
    if difference.change is Change.SHAPE:
        return f"{_shape(a.shape)} to {_shape(b.shape)}"
    if difference.change is Change.UNREAD:
        return f"{a.dtype} and {b.dtype} cannot both be decoded"
    return f"{a.dtype} to {b.dtype}" if difference.change is Change.DTYPE else ""


def _largest(members: Sequence[TensorDifference]) -> str:
    values = [m.values for m in members if m.values and m.values.elements]
    if not values:
        return "values are the same"
    known = [v.largest for v in values if v.largest is not None]
    if not known:
        return "values are NaN or infinite on one side"
    ratios = [v.relative for v in values if v.relative is not None]
    relative = f" ({max(ratios):.2g} times the tensor's rms)" if ratios else ""
    return f"by up to {max(known):.2g}{relative}"


def _leaf(difference: TensorDifference) -> str:
    return difference.name.replace("/", ".").rpartition(".")[2]


def _shape(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))})"


def count(number: int, noun: str) -> str:
    """`1 layer`, `2 layers`."""
    return f"{number} {noun}{'s' * (number != 1)}"
