"""What a comparison of two models found, as frozen values: A is "before", B is "after".

Every difference is B - A. Nothing here says which of the two is better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ssmspec._version import __version__
from ssmspec.naming import printable
from ssmspec.outcome import Measured, NotApplicable, Outcome, Skipped, shared_unit, subtract
from ssmspec.results.base import SCHEMA_VERSION, CheckpointSummary
from ssmspec.results.report import LayerReport
from ssmspec.results.tensors import TensorComparison


class SideKind(StrEnum):
    """What one side of a comparison is: the model itself, or what was once measured of it."""

    CHECKPOINT = "checkpoint"
    REPORT = "saved report"


@dataclass(frozen=True)
class Side:
    """One side of a comparison.

    Attributes:
        path: as the user gave it.
        kind: the model, or a report of it.
        checkpoint: the checkpoint; of a report, the one it was made from.
        layers: how many layers were measured.
        skipped: what was not measured, and why.
    """

    path: str
    kind: SideKind
    checkpoint: CheckpointSummary
    layers: int
    skipped: tuple[Skipped, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON report."""
        return {
            "path": self.path,
            "kind": self.kind.value,
            "checkpoint": self.checkpoint.to_dict(),
            "skipped": [entry.to_dict() for entry in self.skipped],
        }


def outcomes_to_dict(outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    """Several outcomes of one metric: a value or null each, and a reason for every null."""
    reasons = {k: o.reason for k, o in outcomes.items() if isinstance(o, NotApplicable)}
    values = {k: o.value if isinstance(o, Measured) else None for k, o in outcomes.items()}
    return {**values, **({"not_applicable": reasons} if reasons else {})}


@dataclass(frozen=True)
class OutcomePair:
    """One metric on both sides."""

    a: Outcome
    b: Outcome

    @property
    def difference(self) -> float | None:
        """B - A; None where a side has no number or the units differ."""
        return subtract(self.b, self.a)

    @property
    def unit(self) -> str | None:
        """The unit both are in."""
        return shared_unit(self.a, self.b)

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON report."""
        shown = outcomes_to_dict({"a": self.a, "b": self.b})
        return {**shown, "difference": self.difference, "unit": self.unit}


@dataclass(frozen=True)
class PolesMoved:
    """How far the poles of one layer moved from A to B, in half-widths of A's modes.

    Attributes:
        rms: root mean square over modes.
        largest: the mode that moved most.
        moved: modes that moved by more than single precision rounds.
        modes: H M.
        reordered: B has the same channels in another order.
    """

    rms: float
    largest: float
    moved: int
    modes: int
    reordered: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON report."""
        return {
            "rms": self.rms,
            "largest": self.largest,
            "unit": "half-widths",
            "moved": self.moved,
            "modes": self.modes,
            "reordered": self.reordered,
        }


@dataclass(frozen=True)
class Agreement:
    """How far a layer of B is from its layer of A, and how far it may be.

    Attributes:
        poles: half-widths of A, the farthest pole; infinite where they cannot be compared.
        poles_allowed: the tolerance.
        residues: the farthest residue over the largest; None where neither side has any, infinite
            where only one has or they cannot be compared.
        residues_allowed: the tolerance.
        skip: likewise of the skip D.
        skip_allowed: the tolerance.
    """

    poles: float
    poles_allowed: float
    residues: float | None
    residues_allowed: float
    skip: float | None
    skip_allowed: float

    @property
    def differences(self) -> tuple[str, ...]:
        """What differs by more than it may, as clauses."""
        each = (
            ("poles", self.poles, self.poles_allowed, " half-widths"),
            ("residues", self.residues, self.residues_allowed, ""),
            ("D", self.skip, self.skip_allowed, ""),
        )
        return tuple(
            f"{what} differ by {value:.3g}{unit} (tolerance {allowed:.3g})"
            if math.isfinite(value)
            else f"{what} cannot be paired"
            for what, value, allowed, unit in each
            if value is not None and not value <= allowed
        )

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON report; null for what cannot be compared or is in neither file."""
        each = {
            "poles": (self.poles, self.poles_allowed),
            "residues": (self.residues, self.residues_allowed),
            "skip": (self.skip, self.skip_allowed),
        }
        return {
            "same": not self.differences,
            **{
                what: {
                    "largest": value if value is not None and math.isfinite(value) else None,
                    "tolerance": allowed if math.isfinite(allowed) else None,
                }
                for what, (value, allowed) in each.items()
            },
        }


class CauseKind(StrEnum):
    """What made two models differ."""

    ORDER = "order of heads"
    CAST = "cast"
    REINITIALIZED = "re-initialization"
    FROZEN = "frozen state-space part"
    NAMES = "other names"


@dataclass(frozen=True)
class Cause:
    """One thing that explains the differences, as a sentence without its full stop."""

    kind: CauseKind
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON report."""
        return {"kind": self.kind.value, "sentence": self.sentence}


@dataclass(frozen=True)
class LayerPair:
    """One layer on both sides; metrics by id, in table order; agreement where it was asked for."""

    a: LayerReport
    b: LayerReport
    metrics: Mapping[str, OutcomePair]
    poles: PolesMoved | NotApplicable
    agreement: Agreement | None = None

    @property
    def differences(self) -> tuple[str, ...]:
        """What keeps the two from being the same layer, as clauses; empty unless it was asked."""
        if self.agreement is None:
            return ()
        turned = isinstance(self.poles, PolesMoved) and self.poles.reordered
        return ("heads stand in another order",) if turned else self.agreement.differences

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON report; `name` is A's."""
        return {
            "name": self.a.name,
            "name_b": self.b.name,
            "metrics": {key: pair.to_dict() for key, pair in self.metrics.items()},
            "poles_moved": self.poles.to_dict(),
            **({"agreement": self.agreement.to_dict()} if self.agreement else {}),
        }


@dataclass(frozen=True)
class Comparison:
    """Two models side by side.

    Attributes:
        a: the first side.
        b: the second.
        layers: layers on both sides, in A's order.
        only_a: names of layers only A has.
        only_b: likewise.
        model: metric over each whole model by id.
        tensors: every tensor, where both sides hold tensors.
        assumptions: sentences about what was taken for granted.
        sequence_length: L in samples, or None.
        sample_rate: hertz, or None.
        causes: what explains the differences.
    """

    a: Side
    b: Side
    layers: tuple[LayerPair, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    model: Mapping[str, OutcomePair]
    tensors: TensorComparison | NotApplicable
    assumptions: tuple[str, ...] = ()
    sequence_length: int | None = None
    sample_rate: float | None = None
    causes: tuple[Cause, ...] = ()

    @property
    def same(self) -> bool | None:
        """Whether every layer has its like within the tolerance; None unless that was asked."""
        if not self.layers or any(pair.agreement is None for pair in self.layers):
            return None
        return not self.only_a and not self.only_b and not any(p.differences for p in self.layers)

    @property
    def judgment(self) -> str | None:
        """What `same` comes to, as a sentence without its full stop."""
        if self.same is None:
            return None
        if self.same:
            return "the same model: what both have of poles, residues and D agrees within tolerance"
        lines = [f"{len(self.only_a)} layers only in A"] if self.only_a else []
        lines += [f"{len(self.only_b)} layers only in B"] if self.only_b else []
        unlike = [pair for pair in self.layers if pair.differences]
        if unlike:
            first = unlike[0]
            lines.append(
                f"{len(unlike)} of {len(self.layers)} layers differ: in {printable(first.a.name)} "
                f"{', '.join(first.differences)}"
            )
        return f"not the same model: {'; '.join(lines)}"

    def to_dict(self) -> dict[str, Any]:
        """The JSON report of a comparison, free of infinities and NaN."""
        return {
            "schema_version": SCHEMA_VERSION,
            "tool": {"name": "ssmspec", "version": __version__},
            "a": self.a.to_dict(),
            "b": self.b.to_dict(),
            "assumptions": list(self.assumptions),
            "sequence_length": self.sequence_length,
            "sample_rate": self.sample_rate,
            "layers": [pair.to_dict() for pair in self.layers],
            "only_in_a": list(self.only_a),
            "only_in_b": list(self.only_b),
            "model": {"metrics": {key: pair.to_dict() for key, pair in self.model.items()}},
            "tensors": self.tensors.to_dict(),
            "causes": [cause.to_dict() for cause in self.causes],
            **({} if self.same is None else {"same": self.same}),
        }
