"""Numbers as people read them in a table: short, aligned, and honest about what is not there."""

from __future__ import annotations

import math

NOT_APPLICABLE = "-"
BLOCKS = "▁▂▃▄▅▆▇█"
SILENT = 0.02
"""Heuristic: below 2 % of the uniform density a band is shown as empty."""


def fixed(value: float | None, digits: int = 2) -> str:
    """A number near 1 with a fixed number of decimals; a tiny one is not rounded to nothing."""
    if value is None:
        return NOT_APPLICABLE
    smallest = 10.0**-digits
    if 0.0 < abs(value) < smallest / 2:
        return f"<{smallest:.{digits}f}"
    return f"{value:.{digits}f}"


def percent(share: float | None) -> str:
    """A share of 1 in percent; `<0.1 %` and `>99.9 %` where rounding would hide something."""
    if share is None:
        return NOT_APPLICABLE
    if 0.0 < share < 0.0005:
        return "<0.1 %"
    if 0.9995 < share < 1.0:
        return ">99.9 %"
    text = f"{100 * share:.1f}"
    return f"{text.removesuffix('.0')} %"


def significant(value: float | None, digits: int = 2) -> str:
    """A number of any size to some significant digits."""
    if value is None:
        return NOT_APPLICABLE
    return f"{value:.{digits}g}"


def samples(value: float | None) -> str:
    """A number of samples: `0.7`, `140`, `12.3k`, `4.1M`."""
    if value is None:
        return NOT_APPLICABLE
    for limit, divisor, suffix in ((1e3, 1.0, ""), (1e6, 1e3, "k"), (1e9, 1e6, "M")):
        if abs(value) < limit * 0.9995:
            scaled = value / divisor
            digits = 0 if scaled >= 99.95 or (not suffix and scaled >= 9.95) else 1
            return f"{scaled:.{digits}f}{suffix}"
    return f"{value:.1e}"


def byte_size(size: int | None) -> str:
    """Bytes as `817 kB`, `12.0 GB`."""
    if size is None:
        return "in memory"
    scaled = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if scaled < 999.5:
            return f"{scaled:.0f} {unit}" if unit in ("B", "kB") else f"{scaled:.1f} {unit}"
        scaled /= 1000
    return f"{scaled:.1f} TB"


def rebin(shares: tuple[float, ...], bins: int) -> list[float]:
    """Shares of equal bins summed into fewer equal bins; `bins` divides their number."""
    width = len(shares) // bins
    return [sum(shares[i * width : (i + 1) * width]) for i in range(bins)]


def strip(densities: list[float], top: float) -> str:
    """Densities (1 = uniform) as block characters, `top` being a full block.

    Heights go with the square root, as amplitudes do: power spans decades, and a linear scale would
    show one peak and a flat line.
    """
    return "".join(
        " " if density < SILENT else BLOCKS[min(7, int(8 * math.sqrt(density / top)))]
        for density in densities
    )
