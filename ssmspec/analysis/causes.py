"""What made two models differ, where the pattern of the differences gives it away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ssmspec.arrays import Floats
from ssmspec.naming import printable
from ssmspec.outcome import NotApplicable
from ssmspec.results.comparison import Cause, CauseKind, LayerPair, PolesMoved
from ssmspec.results.tensors import Change, TensorComparison, TensorDifference
from ssmspec.spectrum import LayerSpectrum

MOST = 0.5
"""Share of the other tensors that changed where the state-space part is frozen (heuristic)."""


def reordered(a: LayerSpectrum, b: LayerSpectrum) -> bool:
    """Whether B has the channels (heads) of A in another order, to the last bit."""
    one, other = _rows(a), _rows(b)
    if one.shape != other.shape or one.shape[0] < 2 or np.array_equal(one, other):
        return False
    return np.array_equal(_sorted(one), _sorted(other))


def _sorted(rows: Floats) -> Floats:
    return rows[np.lexsort(rows.T[::-1])]


def _rows(layer: LayerSpectrum) -> Floats:
    """(H, .): everything that belongs to one channel."""
    parts = [layer.log_poles.real, layer.log_poles.imag]
    if layer.dt is not None and layer.dt.shape[0] == layer.channels:
        parts.append(layer.dt)
    return np.concatenate(parts, axis=1)


def causes(
    layers: Sequence[LayerPair], tensors: TensorComparison | NotApplicable
) -> Iterator[Cause]:
    """What explains the differences, most telling first."""
    moved = [pair for pair in layers if isinstance(pair.poles, PolesMoved) and pair.poles.moved]
    turned = [pair for pair in moved if isinstance(pair.poles, PolesMoved) and pair.poles.reordered]
    if turned:
        yield Cause(
            CauseKind.ORDER,
            f"heads stand in another order in {len(turned)} of {len(layers)} layers: the same "
            f"poles, in other channels. Whatever reads or writes the heads has to be in that "
            f"order, too",
        )
    if isinstance(tensors, NotApplicable):
        return
    yield from _cast(tensors)
    if tensors.only_state_space_changed and not turned:
        yield Cause(
            CauseKind.REINITIALIZED,
            "only state-space parameters changed. Training changes the other parameters as well: "
            "unless those were frozen, an initializer set these anew when the model was built or "
            "loaded",
        )
    yield from _frozen(tensors)


def _cast(tensors: TensorComparison) -> Iterator[Cause]:
    retyped = [each for each in tensors.differences if each.change is Change.DTYPE]
    if not retyped or not all(each.rounded for each in retyped):
        return
    types = sorted({f"{each.a.dtype} to {each.b.dtype}" for each in retyped if each.a and each.b})
    others = [each for each in tensors.changed if each.change is not Change.DTYPE]
    rest = "and nothing else changed" if not others else f"and {len(others)} other tensors changed"
    yield Cause(
        CauseKind.CAST,
        f"a cast: {_leaves(retyped)} went from {', '.join(types)}; every value is the old one "
        f"rounded to the new type, {rest}",
    )


def _frozen(tensors: TensorComparison) -> Iterator[Cause]:
    changed = [each for each in tensors.changed if each.change is not Change.DTYPE]
    others = tensors.matched - tensors.state_space
    ours = [each for each in changed if each.layer is not None]
    if tensors.state_space and others and not ours and len(changed) > MOST * others:
        yield Cause(
            CauseKind.FROZEN,
            f"only the state-space part stood still: {len(changed)} of {others} other tensors "
            f"changed, so its parameters were frozen or no optimizer had them",
        )


def _leaves(differences: Sequence[TensorDifference]) -> str:
    names = list(dict.fromkeys(printable(each.leaf) for each in differences))
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown
