"""How a checkpoint is to be read: what the file does not say and the user does.

One frozen record, shared by every command and library function that opens a checkpoint.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from ssmspec.errors import UsageError
from ssmspec.naming import matches


class Discretization(StrEnum):
    """How a layer's discrete poles come about.

    `ZOH`: pole_bar = exp(dt A). `BILINEAR`: (1 + dt A/2) / (1 - dt A/2). `NATIVE`: the family
    stores discrete poles and has no step size.
    """

    ZOH = "zoh"
    BILINEAR = "bilinear"
    NATIVE = "native"


class DtTransform(StrEnum):
    """How a stored number becomes a step size."""

    EXP = "exp"
    SOFTPLUS = "softplus"


SHORTEST_ROW = 6
"""Samples of the shortest row stride: with fewer, every lag lies within 2 of a multiple."""


@dataclass(frozen=True)
class LayerRate:
    """A sample rate in hertz for the layers whose name fits a glob."""

    glob: str
    sample_rate: float


@dataclass(frozen=True)
class Reading:
    """Options that any checkpoint can be opened with; `None` means "as the file says".

    Attributes:
        seq_len: sequence length L in samples.
        sample_rate: rate of the model's input in hertz.
        layer_rates: rates of single layers, for models that change rate; the last match wins.
        row_stride: samples from one row of an image to the next, where a sequence is one.
        resample: how many times lower the sample rate of a coming run is, above 1.
        layers: glob that selects layers by name.
        family: id of the only family to look for.
        discretization: `ZOH` or `BILINEAR`, for families that can be either.
        dt_transform: for families whose step sizes can be stored either way.
        layout: TOML page that describes an unknown layout (`--map`).
    """

    seq_len: int | None = None
    sample_rate: float | None = None
    layer_rates: tuple[LayerRate, ...] = ()
    row_stride: int | None = None
    resample: float | None = None
    layers: str | None = None
    family: str | None = None
    discretization: Discretization | None = None
    dt_transform: DtTransform | None = None
    layout: Path | None = None

    def __post_init__(self) -> None:
        if self.seq_len is not None and self.seq_len < 1:
            raise UsageError(f"the sequence length must be at least 1 sample, got {self.seq_len}")
        if self.row_stride is not None and self.row_stride < SHORTEST_ROW:
            raise UsageError(
                f"the row stride must be at least {SHORTEST_ROW} samples, because what lies within "
                f"2 of a multiple is counted; got {self.row_stride}"
            )
        if self.resample is not None and not (math.isfinite(self.resample) and self.resample > 1):
            raise UsageError(
                f"the resampling factor says how many times lower the rate is and must be above 1, "
                f"got {self.resample}"
            )
        rates = [("the sample rate", self.sample_rate)]
        rates += [(f"the rate of layers {r.glob!r}", r.sample_rate) for r in self.layer_rates]
        for what, rate in rates:
            if rate is not None and not (math.isfinite(rate) and rate > 0):
                raise UsageError(f"{what} must be a positive number of hertz, got {rate}")
        if self.discretization is Discretization.NATIVE:
            raise UsageError("the discretization can be set to zoh or bilinear, not to native")

    def rate_of(self, layer: str) -> float | None:
        """The sample rate of one layer in hertz, or None when it was not given."""
        for rate in reversed(self.layer_rates):
            if matches(layer, rate.glob):
                return rate.sample_rate
        return self.sample_rate

    def with_seq_len(self, seq_len: int | None) -> Reading:
        """The same reading, with a sequence length found in the file when none was given."""
        return (
            self if seq_len is None or self.seq_len is not None else replace(self, seq_len=seq_len)
        )
