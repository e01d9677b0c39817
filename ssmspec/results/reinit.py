"""What a re-initialization does to a checkpoint, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ssmspec.outcome import Outcome
from ssmspec.results.base import OfOneModel


class DtPolicy(StrEnum):
    """What becomes of a layer's step sizes dt, where it has any.

    `KEEP`: the layer's own dt, and A = log_pole / dt. `ONE`: dt = 1, and A = log_pole.
    """

    KEEP = "keep"
    ONE = "one"


class CPolicy(StrEnum):
    """What becomes of C, which belongs to the poles that were there.

    `KEEP`: stays as it is. `FIT`: the least-squares C with which the new poles reproduce the old
    kernels. `RESET`: drawn as the family's own code draws it at the start.
    """

    KEEP = "keep"
    FIT = "fit"
    RESET = "reset"


class StepSizes(StrEnum):
    """What became of a layer's step sizes."""

    KEPT = "kept"
    ONE = "set to 1"
    DRAWN = "drawn"
    NONE = "none"


@dataclass(frozen=True)
class KernelChange:
    """How a layer's kernels changed, over L lags where L is known and over all lags elsewhere.

    Attributes:
        kept: share of the old kernels' energy that the new ones keep, 1 - |old - new|^2 / |old|^2;
            negative where silence would be nearer to the old ones.
        correlation: between old and new kernel, mean over channels.
    """

    kept: float
    correlation: float

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON report."""
        return {"energy_kept": self.kept, "correlation": self.correlation}


@dataclass(frozen=True)
class XiSearch:
    """The damping xi = 2 decay that a search chose for the channels of a layer, nat/sample.

    Attributes:
        lowest: smallest chosen.
        median: median over channels.
        highest: largest chosen.
        at_end: share of the channels that chose an end of the range that was searched.
    """

    lowest: float
    median: float
    highest: float
    at_end: float

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON report."""
        return {
            "lowest": self.lowest,
            "median": self.median,
            "highest": self.highest,
            "share_at_end": self.at_end,
        }


@dataclass(frozen=True)
class LayerChange:
    """One layer, before and after.

    Attributes:
        name: as in the file.
        family: family id.
        family_title: the family's name for people.
        channels: H.
        modes: M.
        oscillates: whether its poles are complex.
        tensors: names of the tensors that change.
        step_sizes: what becomes of dt.
        before: metrics by id, of the layer as it is.
        after: likewise, of the poles as the output stores them.
        deviation: largest distance of a stored pole from the one the scheme asks for, by the
            rounding of the stored type, in half-widths; None where a pole has no width.
        kernel: how the kernels change; None where that is not known, as `kernel_unknown` says.
        kernel_unknown: why not, else "".
        xi: what `search_xi` chose; None where nothing was searched.
    """

    name: str
    family: str
    family_title: str
    channels: int
    modes: int
    oscillates: bool
    tensors: tuple[str, ...]
    step_sizes: StepSizes
    before: Mapping[str, Outcome]
    after: Mapping[str, Outcome]
    deviation: float | None
    kernel: KernelChange | None = None
    kernel_unknown: str = ""
    xi: XiSearch | None = None

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON report."""
        kernel = self.kernel.to_dict() if self.kernel else {"not_applicable": self.kernel_unknown}
        return {
            "name": self.name,
            "family": self.family,
            "channels": self.channels,
            "modes": self.modes,
            "tensors": list(self.tensors),
            "step_sizes": self.step_sizes.value,
            "metrics": {
                key: {"before": outcome.to_dict(), "after": self.after[key].to_dict()}
                for key, outcome in self.before.items()
            },
            "deviation_half_widths": self.deviation,
            "kernel": kernel,
            "xi": self.xi.to_dict() if self.xi else None,
        }


@dataclass(frozen=True, kw_only=True)
class Reinitialization(OfOneModel):
    """A whole re-initialization.

    Attributes:
        scheme: id of the scheme.
        scheme_title: its name for people.
        seed: what was drawn from.
        c: what becomes of C.
        layers: what changes, in natural order of the layers' names.
        copied: how many tensors stay as they are.
        output: where the result is or would be; None where none was asked for.
        written: whether it was.
        notes: what else there is to know.
        warnings: what may not be as wanted.
    """

    scheme: str
    scheme_title: str
    seed: int
    c: CPolicy
    layers: tuple[LayerChange, ...]
    copied: int
    output: str | None
    written: bool
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """As JSON, free of infinities and NaN."""
        return {
            **self.head(),
            "scheme": self.scheme,
            "seed": self.seed,
            "c": self.c.value,
            "output": self.output,
            "written": self.written,
            "layers": [layer.to_dict() for layer in self.layers],
            "tensors_copied": self.copied,
            "notes": list(self.notes),
            "warnings": list(self.warnings),
        }
