"""What numbers become when they are stored in a coarse type, as torch's `.to(dtype)` would.

Numbers go through float32, as torch's do, and from there to the nearest number of the type, ties to
even. Beyond the largest one bfloat16, float16 and float8 e5m2 have infinity; of float8 e4m3 torch
makes NaN or, as 2.13 does, the largest number. All of these are an overflow here. int8 is symmetric
with one scale a tensor, the largest magnitude over 127, and never overflows. Complex numbers are
stored part by part.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ssmspec.arrays import Array, Floats

INT8 = "int8"
LEVELS = 127


@dataclass(frozen=True)
class Grid:
    """The numbers of a floating-point type.

    Attributes:
        mantissa: bits behind the leading one.
        lowest: exponent of the smallest normal number.
        largest: largest finite number.
    """

    mantissa: int
    lowest: int
    largest: float


GRIDS = {
    "bf16": Grid(7, -126, (2.0 - 2.0**-7) * 2.0**127),
    "fp16": Grid(10, -14, 65504.0),
    "fp8-e4m3": Grid(3, -6, 448.0),
    "fp8-e5m2": Grid(2, -14, 57344.0),
}


@dataclass(frozen=True, eq=False)
class Cast:
    """Numbers after the cast.

    Attributes:
        values: float64 or complex128, of the shape they had; infinite where they overflow.
        overflowed: how many finite numbers lie beyond the type's largest.
        largest: that number; infinite for int8.
    """

    values: Array
    overflowed: int
    largest: float


def cast(values: Array, kind: str) -> Cast:
    """Numbers of any shape as they come back from a coarse type.

    Args:
        values: float64 or complex128.
        kind: `int8` or one of `GRIDS`.
    """
    is_complex = np.iscomplexobj(values)
    parts = np.stack([values.real, values.imag]) if is_complex else values
    largest = GRIDS[kind].largest if kind in GRIDS else np.inf
    kept = _rounded(parts, GRIDS[kind]) if kind in GRIDS else _scaled(parts)
    lost = np.isfinite(parts) & ~np.isfinite(kept)
    return Cast(_joined(kept) if is_complex else kept, int(np.count_nonzero(lost)), largest)


def _joined(parts: Floats) -> Array:
    out = np.empty(parts.shape[1:], dtype=np.complex128)
    out.real, out.imag = parts
    return out


def _rounded(values: Floats, grid: Grid) -> Floats:
    with np.errstate(over="ignore", invalid="ignore"):
        single = values.astype(np.float32).astype(np.float64)
        _, exponent = np.frexp(single)
        quantum = np.ldexp(1.0, np.maximum(exponent - 1, grid.lowest) - grid.mantissa)
        kept: Floats = np.asarray(np.rint(single / quantum) * quantum)
    kept[np.abs(kept) > grid.largest] *= np.inf
    return kept


def _scaled(values: Floats) -> Floats:
    """Whole multiples of the largest magnitude over 127; what is not finite stays."""
    finite = values[np.isfinite(values)]
    top = float(np.abs(finite).max()) if finite.size else 0.0
    step = top / LEVELS
    if step == 0.0:
        return values
    kept: Floats = np.asarray(np.rint(values / step) * step)
    return kept
