"""What `ssmspec export` wrote: the layers as recurrences, and how well each was checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ssmspec.outcome import NotApplicable
from ssmspec.results.base import OfOneModel


@dataclass(frozen=True)
class ExportedLayer:
    """One layer of the file.

    Attributes:
        name: the layer's, and what its keys begin with.
        family: id of the family that read it.
        inputs: channels of a SISO layer, inputs I of a MIMO layer.
        outputs: kernels times channels of a SISO layer; outputs O of a MIMO layer.
        states: complex numbers to keep from one step to the next, in each direction.
        doubled: whether C is doubled, because one of each conjugate pair is stored.
        directions: `forward` and `backward` where it is two systems; empty where it is one.
        delay: samples by which the backward system's own sample lies ahead; 0 where there is none.
        feedthrough: "" where D is in the file, else why it is not.
        error: largest difference of the recurrence from the kernel, relative to its largest tap.
    """

    name: str
    family: str
    inputs: int
    outputs: int
    states: int
    doubled: bool
    directions: tuple[str, ...]
    delay: int
    feedthrough: str
    error: float

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON report."""
        return {
            "name": self.name,
            "family": self.family,
            "inputs": self.inputs,
            "outputs": self.outputs,
            "states": self.states,
            "c_doubled": self.doubled,
            "directions": list(self.directions),
            "backward_delay": self.delay,
            "D": NotApplicable(self.feedthrough).to_dict() if self.feedthrough else "exported",
            "relative_error": self.error,
        }


@dataclass(frozen=True, kw_only=True)
class Export(OfOneModel):
    """A whole export.

    Attributes:
        layers: what was written, in natural order of the layers' names.
        lags: how many the recurrences were checked over.
        output: the file.
    """

    layers: tuple[ExportedLayer, ...]
    lags: int
    output: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON, free of infinities and NaN."""
        return {
            **self.head(),
            "output": self.output,
            "lags_checked": self.lags,
            "layers": [layer.to_dict() for layer in self.layers],
        }
