"""What became of every tensor from one model to another, as frozen values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Change(StrEnum):
    """What became of a tensor."""

    ONLY_A = "only in A"
    ONLY_B = "only in B"
    SHAPE = "shape"
    DTYPE = "dtype"
    VALUES = "values"
    UNREAD = "not compared"


@dataclass(frozen=True)
class Stored:
    """One tensor of one side, as it is stored."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON report."""
        return {"name": self.name, "dtype": self.dtype, "shape": list(self.shape)}


@dataclass(frozen=True)
class ValueChange:
    """How far the values of a tensor moved.

    Attributes:
        elements: how many differ; a NaN equals a NaN and -0.0 equals 0.0.
        largest: largest |b - a| of elements that differ and are finite on both sides; None where
            there is none.
        rms: root mean square of A's finite values; None where it is beyond what a float holds.
    """

    elements: int
    largest: float | None
    rms: float | None

    @property
    def relative(self) -> float | None:
        """`largest` over `rms`."""
        if self.largest is None or not self.rms:
            return None
        ratio = self.largest / self.rms
        return ratio if math.isfinite(ratio) else None


@dataclass(frozen=True)
class TensorDifference:
    """One tensor that is not the same on both sides.

    Attributes:
        change: what became of it; a change of dtype is also one of values where `values` says so.
        a: as A stores it, None where it does not.
        b: likewise.
        values: how far the values moved, where both sides have them in one shape.
        layer: the state-space layer whose poles, B or C it sets, or None.
        role: which of that layer's parameters it is, in the family's own word.
        rounded: one side is the other rounded to its type; False where the types are the same.
    """

    change: Change
    a: Stored | None
    b: Stored | None
    values: ValueChange | None = None
    layer: str | None = None
    role: str | None = None
    rounded: bool = False

    @property
    def name(self) -> str:
        """A's name, or B's where A has none."""
        stored = self.a or self.b
        return stored.name if stored else ""

    @property
    def leaf(self) -> str:
        """The name below the layer, `dt_proj.bias`; below its module where it is of no layer."""
        dotted = self.name.replace("/", ".")
        if self.layer is not None:
            for stored in (self.a, self.b):
                whole = stored.name.replace("/", ".") if stored else ""
                if whole.startswith(f"{self.layer}."):
                    return whole.removeprefix(f"{self.layer}.")
        return dotted.rpartition(".")[2]

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON report."""
        values = self.values
        return {
            "name": self.name,
            "change": self.change.value,
            "a": self.a.to_dict() if self.a else None,
            "b": self.b.to_dict() if self.b else None,
            "elements": values.elements if values else None,
            "largest_difference": values.largest if values else None,
            "largest_over_rms": values.relative if values else None,
            "state_space_layer": self.layer,
            "state_space_parameter": self.role,
        }


@dataclass(frozen=True)
class TensorComparison:
    """Every tensor of both sides, optimizer state left out.

    Attributes:
        matched: tensors on both sides.
        identical: those of them with the same dtype, shape and values.
        differences: the others, and what only one side has.
        state_space: matched tensors that are parameters of a state-space layer.
    """

    matched: int
    identical: int
    differences: tuple[TensorDifference, ...]
    state_space: int

    @property
    def changed(self) -> tuple[TensorDifference, ...]:
        """Tensors that both sides have, whose values or shapes differ."""
        return tuple(
            difference
            for difference in self.differences
            if difference.change is Change.SHAPE
            or (difference.values is not None and difference.values.elements > 0)
        )

    @property
    def only_state_space_changed(self) -> bool:
        """Something changed, only in parameters of state-space layers, though others are there.

        What was only rounded to another type did not change.
        """
        changed = [each for each in self.changed if not each.rounded]
        others = self.matched - self.state_space
        return bool(changed) and others > 0 and all(d.layer is not None for d in changed)

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON report."""
        return {
            "matched": self.matched,
            "identical": self.identical,
            "only_state_space_changed": self.only_state_space_changed,
            "differences": [difference.to_dict() for difference in self.differences],
        }
