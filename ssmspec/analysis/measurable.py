"""What of a layer can be measured: the channels, or modes, whose numbers are numbers.

One bad head does not hide its neighbors: it is left out, and a sentence says over how many the
metrics stand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ssmspec.arrays import Floats
from ssmspec.families.precision import Rounding
from ssmspec.kernel import Kernel, LayerKernel, MimoKernel
from ssmspec.naming import printable
from ssmspec.outcome import NotApplicable
from ssmspec.spectrum import LayerSpectrum, Selection


@dataclass(frozen=True, eq=False)
class Measurable:
    """The part of a layer that is measured.

    Attributes:
        spectrum: its poles; the whole layer's where none of it is finite.
        kernel: that of the channels among these whose B and C are numbers too; or why there is
            none.
        slack: (H, M) how coarsely the poles are stored, as `Context.slack`.
        told: sentences on what was left out.
    """

    spectrum: LayerSpectrum
    kernel: Kernel | NotApplicable
    slack: Floats | None
    told: tuple[str, ...]


def measurable(
    spectrum: LayerSpectrum, kernel: Kernel | NotApplicable, rounding: Rounding | None
) -> Measurable:
    """The part of a layer that is measured, and what is said of the rest."""
    units = None if rounding is None else rounding.units
    chosen = spectrum.measurable()
    if chosen is None:
        return Measurable(spectrum, kernel, None, ())
    part = spectrum.part(chosen)
    known = kernel if isinstance(kernel, NotApplicable) else _kernel_part(kernel, part, chosen)
    return Measurable(
        part,
        known,
        None if units is None else chosen.of(units),
        tuple(_told(spectrum, part, known)),
    )


def _kernel_part(kernel: Kernel, part: LayerSpectrum, chosen: Selection) -> Kernel:
    """The kernel over a part of its layer, without what is not finite; whole where all of it is."""
    if isinstance(kernel, MimoKernel):
        C, B = kernel.output_matrix[:, chosen.modes], kernel.input_matrix[chosen.modes]
        good = np.asarray(np.isfinite(C).all(axis=0) & np.isfinite(B).all(axis=1))
        if not good.any():
            return MimoKernel(part, C, B)
        heard = part.part(Selection(np.ones(1, dtype=np.bool_), good))
        return MimoKernel(heard, C[:, good], B[good])
    residues = chosen.of(kernel.residues)
    good = np.asarray(np.isfinite(residues).all(axis=(0, 2)))
    if good.all() or not good.any():
        return LayerKernel(part, residues)
    heard = part.part(Selection(good, np.ones(part.modes, dtype=np.bool_)))
    return LayerKernel(heard, residues[:, good])


def _told(
    spectrum: LayerSpectrum, part: LayerSpectrum, kernel: Kernel | NotApplicable
) -> Iterator[str]:
    name = printable(spectrum.name)
    if part is not spectrum:
        count = _count(part, spectrum)
        yield f"{name} is measured over {count}; the others hold NaN or infinities"
    if not isinstance(kernel, NotApplicable) and kernel.spectrum.shape != part.shape:
        yield (
            f"what {name} hears is measured over {_count(kernel.spectrum, spectrum)}, whose B and "
            f"C are numbers"
        )


def _count(part: LayerSpectrum, whole: LayerSpectrum) -> str:
    if part.channels < whole.channels:
        return f"{part.channels:,} of {whole.channels:,} channels"
    return f"{part.modes:,} of {whole.modes:,} modes"
