"""One layer as a drawing needs it: its poles, its kernel, and what is known around them.

A `Report` keeps numbers only. Whoever draws asks the report's origin for the layers again, and gets
them one at a time, so memory follows the largest layer and not the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from ssmspec.kernel import Kernel
from ssmspec.spectrum import LayerSpectrum


@dataclass(frozen=True, eq=False)
class LayerView:
    """One layer, read.

    Attributes:
        spectrum: its poles.
        kernel: what B and C make of them; None where they are unknown or depend on the input.
        no_kernel: why there is none, as a clause; "" where there is one.
        sequence_length: L in samples, or None.
        sample_rate: rate of this layer in hertz, or None.
        row_stride: samples from one row of an image to the next, or None.
    """

    spectrum: LayerSpectrum
    kernel: Kernel | None = None
    no_kernel: str = ""
    sequence_length: int | None = None
    sample_rate: float | None = None
    row_stride: int | None = None


Origin: TypeAlias = Callable[[], Iterator[LayerView]]
"""Reads the measured layers again, in the report's order, one at a time."""
