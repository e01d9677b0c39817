"""What would happen to a model's poles if their parameters were stored in a coarse type."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ssmspec.outcome import NotApplicable
from ssmspec.results.base import OfOneModel


class StoredType(StrEnum):
    """A coarse type."""

    BF16 = "bf16"
    FP16 = "fp16"
    FP8_E4M3 = "fp8-e4m3"
    FP8_E5M2 = "fp8-e5m2"
    INT8 = "int8"


@dataclass(frozen=True)
class Shift:
    """How far poles move, in half-widths of each.

    Attributes:
        rms: over the modes.
        largest: of one mode.
        outside: modes that leave the unit circle's inside: on it or outside, and inside before.
    """

    rms: float
    largest: float
    outside: int

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON report."""
        return {
            "half_widths_rms": self.rms,
            "half_widths_max": self.largest,
            "modes_outside": self.outside,
        }


@dataclass(frozen=True)
class StoredTensor:
    """One tensor that sets poles, stored so while all others stay.

    Attributes:
        name: in the file.
        dtype: its type in the file.
        shift: what that does; or why it cannot be said.
        keep: whether it is one to keep in float32.
    """

    name: str
    dtype: str
    shift: Shift | NotApplicable
    keep: bool

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON report."""
        return {
            "name": self.name,
            "dtype": self.dtype,
            **self.shift.to_dict(),
            "keep_float32": self.keep,
        }


@dataclass(frozen=True)
class StoredLayer:
    """One layer.

    Attributes:
        name: the layer's.
        family: id of the family that read it.
        channels: H.
        modes: M.
        tensors: those whose rounding moves its poles, in the order of the layer's tensors.
        together: all of them stored so.
        kept: all but those to keep.
    """

    name: str
    family: str
    channels: int
    modes: int
    tensors: tuple[StoredTensor, ...]
    together: Shift | NotApplicable
    kept: Shift | NotApplicable

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON report."""
        return {
            "name": self.name,
            "family": self.family,
            "channels": self.channels,
            "modes": self.modes,
            "together": self.together.to_dict(),
            "with_kept": self.kept.to_dict(),
            "tensors": [tensor.to_dict() for tensor in self.tensors],
        }


@dataclass(frozen=True, kw_only=True)
class StoredAs(OfOneModel):
    """A whole model.

    Attributes:
        type: the coarse type.
        threshold: half-widths rms beyond which a tensor is one to keep.
        layers: in natural order of their names.
        pattern: regular expression that fits the names of the tensors to keep and no other; "".
    """

    type: StoredType
    threshold: float
    layers: tuple[StoredLayer, ...]
    pattern: str

    @property
    def keep(self) -> tuple[str, ...]:
        """Names of the tensors to keep in float32."""
        return tuple(t.name for layer in self.layers for t in layer.tensors if t.keep)

    def to_dict(self) -> dict[str, Any]:
        """The JSON report, free of infinities and NaN."""
        return {
            **self.head(),
            "stored_as": {"type": self.type.value, "threshold_half_widths": self.threshold},
            "layers": [layer.to_dict() for layer in self.layers],
            "keep_float32": {"tensors": list(self.keep), "pattern": self.pattern},
        }
