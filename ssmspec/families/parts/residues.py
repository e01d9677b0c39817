"""What families share in reading B and C as residues c = C B_bar, and in writing C back.

A SISO layer stores one C of (H, M) or S of them, (S, H, M); a MIMO layer stores C (O, M) and
B (M, I). Complex numbers are stored as such or, by most torch code, as real pairs in a last axis of
length 2. Only C is ever written: B keeps what the file holds.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ssmspec.arrays import Array, Complexes
from ssmspec.errors import LayoutError, SchemeError
from ssmspec.families.base import LayerSource
from ssmspec.families.parts.diagonal import repeat_tied, to_complex
from ssmspec.kernel import Kernel, LayerKernel, MimoKernel, discretized_input
from ssmspec.naming import printable
from ssmspec.spectrum import LayerSpectrum

SAME_INPUT = 1e-9
"""Relative difference up to which two input matrices count as equal: B comes from the same file."""


def read_complex(source: LayerSource, role: str) -> Complexes:
    """A tensor of complex numbers (...), stored as such or as pairs (..., 2).

    Raises:
        LayoutError: the file has no such tensor, or it holds single real numbers.
    """
    if not source.has(role):
        raise LayoutError(f"{role} is not in the file")
    values = source.read(role)
    if np.iscomplexobj(values):
        return values
    if values.shape[-1:] != (2,):
        raise LayoutError(
            f"{printable(source.site.tensors[role])} is real of shape {values.shape}, "
            f"expected complex numbers or pairs in a last axis of length 2"
        )
    return to_complex(values[..., 0], values[..., 1])


def read_matrix(source: LayerSource, role: str) -> Complexes:
    """`read_complex` of a tensor that must be a matrix, (m, n).

    Raises:
        LayoutError: the file has no such tensor, or it is not a complex matrix.
    """
    values = read_complex(source, role)
    if values.ndim != 2:
        raise LayoutError(
            f"{printable(source.site.tensors[role])} has shape {source.shape(role)}, "
            f"expected a complex matrix"
        )
    return values


def as_stored(source: LayerSource, role: str, values: Complexes) -> Array:
    """Complex numbers (...) in the form the file has them: complex (...), or pairs (..., 2).

    Raises:
        SchemeError: they do not have the stored shape.
    """
    is_complex = source.dtype(role).startswith("complex")
    return in_shape(
        source, role, values if is_complex else np.stack([values.real, values.imag], axis=-1)
    )


def in_shape(source: LayerSource, role: str, values: Array) -> Array:
    """Values (1, ...) or (...) in the stored shape, where one kernel may lack the axis of kernels.

    Raises:
        SchemeError: they have another shape.
    """
    shape = source.shape(role)
    if values.shape not in (shape, (1, *shape)):
        raise SchemeError(
            f"{printable(source.site.tensors[role])} has shape {shape} and cannot hold residues "
            f"that need {values.shape}"
        )
    return values.reshape(shape)


def tied_inputs(source: LayerSource, stored: Array, spectrum: LayerSpectrum) -> Array:
    """B as (H, M) from what a layer stores, (S, M) or (1, S, M): channel h uses row h mod S.

    Raises:
        LayoutError: it has another shape, or S does not divide H.
    """
    rows = stored[0] if stored.ndim == 3 and stored.shape[0] == 1 else stored
    if rows.ndim != 2:
        raise LayoutError(
            f"{printable(source.site.tensors['B'])} has shape {source.shape('B')}, "
            f"expected one row of modes for each of n_ssm systems"
        )
    return repeat_tied(rows, spectrum.channels, source.site.tensors["B"])


def siso_kernel(
    source: LayerSource, spectrum: LayerSpectrum, outputs: Array, inputs: Array
) -> LayerKernel:
    """Residues of SISO channels.

    Args:
        source: the layer, for messages.
        spectrum: its poles, (H, M).
        outputs: C, (H, M) or (S, H, M).
        inputs: B, (H, M).

    Raises:
        LayoutError: C or B does not fit the poles.
    """
    stacked = outputs[None] if outputs.ndim == 2 else outputs
    for role, shape in (("C", stacked.shape[1:]), ("B", inputs.shape)):
        if shape != spectrum.shape or stacked.ndim != 3:
            raise LayoutError(
                f"{printable(source.site.tensors[role])} has shape {source.shape(role)}, which "
                f"does not fit {spectrum.channels} channels of {spectrum.modes} modes"
            )
    with np.errstate(over="ignore", invalid="ignore"):
        residues = stacked * (inputs * discretized_input(spectrum))
    return LayerKernel(spectrum, np.asarray(residues, dtype=np.complex128))


def as_siso(source: LayerSource, kernel: Kernel) -> LayerKernel:
    """The kernel, which must be one of SISO channels.

    Raises:
        SchemeError: it is that of a MIMO system.
    """
    if isinstance(kernel, LayerKernel):
        return kernel
    raise SchemeError(f"{printable(source.name)} holds SISO channels, not one MIMO system")


def as_mimo(source: LayerSource, kernel: Kernel) -> MimoKernel:
    """The kernel, which must be that of one MIMO system.

    Raises:
        SchemeError: it is one of SISO channels.
    """
    if isinstance(kernel, MimoKernel):
        return kernel
    raise SchemeError(f"{printable(source.name)} is one MIMO system, not SISO channels")


def siso_outputs(source: LayerSource, kernel: LayerKernel, inputs: Array) -> Complexes:
    """C (S, H, M) that gives these residues with B = `inputs`, (H, M).

    Raises:
        SchemeError: an input is 0 where a residue is not, so that no C gives it.
    """
    driven = inputs * discretized_input(kernel.spectrum)
    silent = np.broadcast_to(driven == 0.0, kernel.residues.shape)
    if (silent & (kernel.residues != 0.0)).any():
        raise SchemeError(
            f"{printable(source.name)}: B of a mode is 0, so that no C gives it the residue wanted"
        )
    outputs = np.zeros(kernel.residues.shape, dtype=np.complex128)
    np.divide(kernel.residues, driven, out=outputs, where=~silent)
    return outputs


def complex_normal(rng: np.random.Generator, shape: tuple[int, ...], deviation: float) -> Complexes:
    """Numbers in this shape, normal in either part, with this standard deviation of each part."""
    return to_complex(rng.normal(0.0, deviation, shape), rng.normal(0.0, deviation, shape))


def mimo_kernel(
    source: LayerSource, spectrum: LayerSpectrum, outputs: Complexes, inputs: Complexes
) -> MimoKernel:
    """Output and input matrices of a MIMO layer.

    Args:
        source: the layer, for messages.
        spectrum: its poles, (1, M).
        outputs: C, (O, M).
        inputs: B, (M, I).

    Raises:
        LayoutError: C or B does not fit the poles.
    """
    if outputs.shape[1] != spectrum.modes or inputs.shape[0] != spectrum.modes:
        raise LayoutError(
            f"{printable(source.name)}: C of {outputs.shape[1]} columns and B of "
            f"{inputs.shape[0]} rows do not fit {spectrum.modes} states"
        )
    return MimoKernel(spectrum, outputs.astype(np.complex128), _driven(inputs, spectrum))


def mimo_outputs(source: LayerSource, kernel: MimoKernel, inputs: Complexes) -> Complexes:
    """C (O, M) of a kernel that was made with this B, (M, I).

    Raises:
        SchemeError: it was made with another B, which is never written.
    """
    held, wanted = _driven(inputs, kernel.spectrum), kernel.input_matrix
    far = held.shape != wanted.shape or np.abs(held - wanted).max() > (
        SAME_INPUT * np.abs(held).max()
    )
    if far:
        raise SchemeError(
            f"{printable(source.name)}: only C is written, and these residues need another B"
        )
    return kernel.output_matrix


def _driven(inputs: Complexes, spectrum: LayerSpectrum) -> Complexes:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(inputs * discretized_input(spectrum).T, dtype=np.complex128)


def under(source: LayerSource, stored: Mapping[str, Array], second: str = "") -> dict[str, Array]:
    """Values by role as values by tensor name, under a layer's second name for them as well.

    Args:
        source: the layer.
        stored: role -> values of the stored shape.
        second: what the second names' roles begin with, where there are any.
    """
    names = source.site.tensors
    twice = {f"{second}.{role}": values for role, values in stored.items()} if second else {}
    return {names[role]: values for role, values in {**stored, **twice}.items() if role in names}
