"""What a user may set of an initialization scheme, and the values used where nothing is set."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from ssmspec.errors import UsageError
from ssmspec.units import TWO_PI


@dataclass(frozen=True)
class Knobs:
    """Every option with a value; the defaults are those of the schemes' own papers and code.

    Attributes:
        xi_min: smallest damping xi of a DFouT channel, twice the decay, nat/sample. Zero together
            with `xi_max` gives undamped modes, the discrete Fourier transform.
        xi_max: largest damping xi.
        dt_min: smallest step size, time/sample.
        dt_max: largest step size.
        r_min: smallest radius |pole_bar| of a ring, in [0, 1).
        r_max: largest radius, in (0, 1].
        max_phase: largest phase of a ring, rad/sample, in (0, 2 pi].
        scale: factor on the frequencies of `lin-scaled`.
        blocks: number of equal HiPPO blocks of `s5-hippo`; must divide the stored modes. None
            takes the greatest common divisor of 8 (the original code's default) and the modes.

    Raises:
        UsageError: a value is out of range or a range is empty.
    """

    xi_min: float = 1e-3
    xi_max: float = 1e-1
    dt_min: float = 1e-3
    dt_max: float = 1e-1
    r_min: float = 0.0
    r_max: float = 1.0
    max_phase: float = 6.28
    scale: float = 3.0
    blocks: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not math.isfinite(value):
                raise UsageError(f"{field.name} must be a finite number, got {value}")
        for low, high in (("xi_min", "xi_max"), ("dt_min", "dt_max"), ("r_min", "r_max")):
            self._check_range(low, high)
        if self.xi_min <= 0 and not self.xi_min == self.xi_max == 0:
            raise UsageError(
                f"xi_min must be above 0, got {self.xi_min:g}; for modes without damping set both "
                f"xi_min and xi_max to 0"
            )
        if self.dt_min <= 0:
            raise UsageError(f"dt_min must be above 0, got {self.dt_min:g}")
        if self.r_min < 0 or self.r_min >= 1 or self.r_max <= 0 or self.r_max > 1:
            raise UsageError(
                f"radii must satisfy 0 <= r_min < 1 and 0 < r_max <= 1, got r_min = "
                f"{self.r_min:g} and r_max = {self.r_max:g}"
            )
        if not 0 < self.max_phase <= TWO_PI:
            raise UsageError(f"max_phase must lie in (0, 2 pi], got {self.max_phase:g}")
        if self.scale <= 0:
            raise UsageError(f"scale must be above 0, got {self.scale:g}")
        if self.blocks is not None and self.blocks < 1:
            raise UsageError(f"blocks must be at least 1, got {self.blocks}")

    def _check_range(self, low: str, high: str) -> None:
        bottom, top = getattr(self, low), getattr(self, high)
        if bottom > top:
            raise UsageError(
                f"{low} = {bottom:g} is above {high} = {top:g}; give both, the smaller one first"
            )


@dataclass(frozen=True)
class SchemeOptions:
    """What the user set; None means the default. The meaning of each option is that of `Knobs`."""

    xi_min: float | None = None
    xi_max: float | None = None
    dt_min: float | None = None
    dt_max: float | None = None
    r_min: float | None = None
    r_max: float | None = None
    max_phase: float | None = None
    scale: float | None = None
    blocks: int | None = None

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the options that were set."""
        return tuple(f.name for f in fields(self) if getattr(self, f.name) is not None)

    def resolve(self, scheme: str, reads: tuple[str, ...]) -> Knobs:
        """These options over the defaults.

        Args:
            scheme: id of the scheme they are for.
            reads: names of the options that scheme reads.

        Raises:
            UsageError: an option is set that the scheme does not read, or a value is out of range.
        """
        ignored = [name for name in self.given if name not in reads]
        if ignored:
            what = f"reads {', '.join(reads)}" if reads else "has no options"
            raise UsageError(f"{scheme} does not read {', '.join(ignored)}; it {what}")
        return Knobs(**{name: getattr(self, name) for name in self.given})


DEFAULTS = SchemeOptions()
