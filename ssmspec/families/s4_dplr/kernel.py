"""The kernel of S4's DPLR layers, as poles and residues: C undone, in the basis of eigenvectors.

K[k] = C A_bar^k B_bar with A_bar, B_bar by the bilinear rule. With A = V diag(l) V^-1 the residue
of mode n is

    c_n = (C V)_n (V^-1 dt B)_n / (1 - dt l_n / 2).

What is stored is not C but C~ = C (I - A_bar^L), which makes a kernel of L lags out of values at L
roots of unity. L is a buffer (`l_kernel` in v4, `L` in v3, the number of nodes in v1 and v2), or
the length of training, which JAX versions do not store. In the eigenbasis C is C~ divided by
1 - pole_bar^L. Layers of L = 0 have not run yet, and hold C itself.

Eigenvectors of a matrix far from normal are nearly dependent, and residues then cancel beyond what
float64 holds. So the modes' sum is compared with the response of the stored matrix itself, which
needs no eigenvectors, and a layer where the two differ has no residues.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ssmspec.arrays import Array, Complexes
from ssmspec.errors import LayoutError, SchemeError
from ssmspec.families.base import LayerSource
from ssmspec.families.parts.diagonal import repeat_tied
from ssmspec.families.parts.dplr import complete, eigensystems, response
from ssmspec.families.parts.residues import as_stored, complex_normal, read_complex, under
from ssmspec.families.s4_dplr.jax import NNX_OUTPUT, channels_last
from ssmspec.families.s4_dplr.stored import Stored
from ssmspec.families.s4d_v4 import KERNEL
from ssmspec.kernel import Kernel, LayerKernel, resonance
from ssmspec.naming import printable
from ssmspec.spectrum import LayerSpectrum

AGREES = 1e-6
"""Largest difference of the modes' sum from the layer's response, relative to its peak. Heuristic:
what kernel metrics are refined to."""
OMEGA = np.concatenate([[0.0], np.geomspace(1e-4, 3.1, 47)])
"""Where the two are compared, rad/sample; a mode that matters shows in some of them."""
SYMMETRIC = 1e-6
"""Relative difference up to which the two halves of C count as conjugates. Heuristic."""
CONJUGATED = ("v1", "jax")
"""Versions whose code uses the conjugate of the C it stores, and draws C~ rather than C."""
LENGTHS = ("l_kernel", f"{KERNEL}.l_kernel", "L")
NODES = ("omega", "nodes")
MOST_SAMPLES = 2**53
"""Lengths below this are exact in float64."""


def read_kernel(source: LayerSource, stored: Stored, spectrum: LayerSpectrum) -> LayerKernel:
    """Residues of a spectrum of this layer, with the stored B and C~.

    Args:
        source: the layer.
        stored: its parameters.
        spectrum: its poles, or those that will be written into it.

    Raises:
        LayoutError: B or C is absent or does not fit, the length is not known, or the modes' sum is
            not the layer's response.
    """
    correction = _correction(source, spectrum)
    outputs, inputs = _read_outputs(source, stored), _driven(source, stored, spectrum)
    with np.errstate(all="ignore"):
        stored, modes_out, modes_in = _to_modes(stored, spectrum, outputs, inputs)
        periodic = modes_out * modes_in * _bilinear_gain(spectrum)
        if stored.is_low_rank:
            _require_agreement(source, stored, spectrum, periodic, outputs, inputs)
        return LayerKernel(spectrum, np.asarray(periodic / correction, dtype=np.complex128))


def write_kernel(source: LayerSource, stored: Stored, kernel: Kernel) -> Mapping[str, Array]:
    """C~ of a kernel at its own poles, in the stored shape; B stays.

    Args:
        source: the layer.
        stored: its parameters.
        kernel: what to store, at the poles of the layer or those that will be written into it.

    Raises:
        SchemeError: no C gives these residues.
    """
    if not isinstance(kernel, LayerKernel):
        raise SchemeError(f"{printable(source.name)} holds SISO channels, not one MIMO system")
    inputs = _driven(source, stored, kernel.spectrum)
    stored, _, modes_in = _to_modes(stored, kernel.spectrum, inputs[None], inputs)
    driven = modes_in * _bilinear_gain(kernel.spectrum)  # (H, M)
    silent = np.broadcast_to(driven == 0.0, kernel.residues.shape)
    if (silent & (kernel.residues != 0.0)).any():
        raise SchemeError(
            f"{printable(source.name)}: B of a mode is 0, so that no C gives it the residue wanted"
        )
    modes_out = kernel.residues * _correction(source, kernel.spectrum)
    np.divide(modes_out, driven, out=modes_out, where=~silent)
    return _to_stored(source, stored, _from_modes(stored, modes_out))


def reset_kernel(
    source: LayerSource, stored: Stored, spectrum: LayerSpectrum, rng: np.random.Generator
) -> Mapping[str, Array]:
    """C complex normal of variance 1; as C~, unless the version's code draws C~ itself.

    Returns:
        The tensors of C in their stored shapes.
    """
    kernels = len(_read_outputs(source, stored))
    outputs = complex_normal(rng, (kernels, *_half_shape(stored)), np.sqrt(0.5))
    if stored.matrix.is_half:
        outputs = _completed(outputs)
    stored, modes_out, _ = _to_modes(stored, spectrum, outputs, outputs[0])
    if source.site.variant not in CONJUGATED:
        outputs = _from_modes(stored, modes_out * _correction(source, spectrum))
    return _to_stored(source, stored, outputs)


def _bilinear_gain(spectrum: LayerSpectrum) -> Complexes:
    """1 / (1 - dt l / 2) of every mode."""
    return np.asarray((1.0 + np.exp(spectrum.log_poles)) / 2.0)


def _correction(source: LayerSource, spectrum: LayerSpectrum) -> Complexes:
    """C~ / C of every mode, 1 - pole_bar^L."""
    length = _length(source)
    if length == 0:
        return np.ones(spectrum.shape, dtype=np.complex128)
    with np.errstate(all="ignore"):
        return np.asarray(-np.expm1(length * spectrum.log_poles))


def length_assumption(source: LayerSource) -> tuple[str, ...]:
    """The sentence that says where L came from, where it came from an option."""
    roles = (*LENGTHS, *NODES)
    if source.reading.seq_len is None or any(source.has(role) for role in roles):
        return ()
    return ("S4 does not store here the length that C was prepared for; taken as --seq-len",)


def _length(source: LayerSource) -> int:
    """L of C~ = C (I - A_bar^L), in samples; 0 where C itself is stored.

    Raises:
        LayoutError: neither the file nor an option says, or what the file says is no length.
    """
    for role in LENGTHS:
        if source.has(role):
            values = source.read(role)
            if values.size != 1 or np.iscomplexobj(values) or not 0 <= values.item() < MOST_SAMPLES:
                raise LayoutError(f"{printable(source.site.tensors[role])} is not a length")
            return int(values.item())
    for role in NODES:
        if source.has(role):
            shape = source.shape(role)
            if not shape or not 1 <= shape[0] < MOST_SAMPLES:
                raise LayoutError(f"{printable(source.site.tensors[role])} has no length")
            return 2 * (shape[0] - 1)
    if source.reading.seq_len is not None:
        return source.reading.seq_len
    raise LayoutError(
        "C is stored as C (I - A_bar^L), and the file does not say L (--seq-len gives it)"
    )


def _driven(source: LayerSource, stored: Stored, spectrum: LayerSpectrum) -> Complexes:
    """(H, M), dt B of the completed state."""
    values = read_complex(source, "B")
    if source.site.variant == "v1":
        values = values[..., 0, :]
    elif source.site.variant == "jax":
        values = _by_channel(source, values)
    elif values.ndim == 3 and values.shape[0] == 1:
        values = values[0]
    inputs = np.atleast_2d(values)
    if inputs.ndim != 2 or inputs.shape[1] != _half_shape(stored)[1]:
        raise _misfit(source, "B", stored)
    inputs = repeat_tied(inputs, len(stored.dt), source.site.tensors["B"])
    dt = stored.steps if spectrum.dt is None else spectrum.dt
    with np.errstate(all="ignore"):
        return np.asarray((complete(inputs) if stored.matrix.is_half else inputs) * dt)


def _output_role(source: LayerSource) -> str:
    return NNX_OUTPUT if source.has(NNX_OUTPUT) else "C"


def _read_outputs(source: LayerSource, stored: Stored) -> Complexes:
    """(K, H, M), C~ of the completed state as a row vector, for K kernels a channel."""
    role = _output_role(source)
    values = read_complex(source, role)
    if source.site.variant == "v1":
        values = values[:, 0][None].conj()
    elif source.site.variant == "jax":
        values = np.atleast_2d(_by_channel(source, values))[None].conj()
    if values.ndim != 3 or values.shape[1:] != _half_shape(stored):
        raise _misfit(source, role, stored)
    return _completed(values) if stored.matrix.is_half else values.astype(np.complex128)


def _to_stored(source: LayerSource, stored: Stored, outputs: Complexes) -> Mapping[str, Array]:
    """The tensor of C from row vectors of the completed state.

    Raises:
        SchemeError: they are not those of a real kernel, or of another number of kernels.
    """
    role = _output_role(source)
    if stored.matrix.is_half:
        first = outputs[..., : outputs.shape[-1] // 2]
        rest = np.abs(outputs - _completed(first)).max()
        if not rest <= SYMMETRIC * np.abs(outputs).max():
            raise SchemeError(
                f"{printable(source.name)} stores one of each conjugate pair, and these residues "
                f"do not come in conjugate pairs"
            )
        outputs = first
    if source.site.variant == "v1":
        values = read_complex(source, role).copy()
        values[:, 0] = outputs[0].conj()
        if not stored.is_low_rank:
            values[:, 1:] = 0.0  # Q stands below C in the same tensor
    elif source.site.variant == "jax":
        values = outputs[0].conj()
        values = values.T if channels_last(source) else values
        values = values.reshape(source.shape("Lambda_re"))
    else:
        values = outputs
    return under(source, {role: as_stored(source, role, values)}, KERNEL)


def _by_channel(source: LayerSource, values: Complexes) -> Complexes:
    return values.T if channels_last(source) else values


def _completed(outputs: Complexes) -> Complexes:
    """(K, H, N) followed by its conjugates."""
    return np.concatenate([outputs, outputs.conj()], axis=-1)


def _half_shape(stored: Stored) -> tuple[int, int]:
    """(H, N): channels, and modes as they are stored."""
    return len(stored.dt), int(stored.matrix.diagonal.shape[1])


def _misfit(source: LayerSource, role: str, stored: Stored) -> LayoutError:
    channels, modes = _half_shape(stored)
    return LayoutError(
        f"{printable(source.site.tensors[role])} has shape {source.shape(role)}, which does not "
        f"fit {channels} channels of {modes} stored modes"
    )


def _to_modes(
    stored: Stored, spectrum: LayerSpectrum, outputs: Complexes, inputs: Complexes
) -> tuple[Stored, Complexes, Complexes]:
    """C V and V^-1 B, and the layer as it is once it has this spectrum.

    A spectrum that is not the layer's own is one that will be written, and then the modes are the
    states and the layer has no low-rank part.

    Args:
        stored: the layer.
        spectrum: its poles, or others.
        outputs: (K, H, M).
        inputs: (H, M).
    """
    if not stored.is_low_rank:
        return stored, outputs, inputs
    matrix, rows = stored.solved, len(stored.solved.diagonal)
    by_row_out = outputs.reshape(len(outputs), -1, rows, matrix.states)
    by_row_in = inputs.reshape(-1, rows, matrix.states)  # (H / S, S, M)
    modes_out, modes_in = np.empty_like(by_row_out), np.empty_like(by_row_in)
    poles = np.empty((rows, matrix.states), dtype=np.complex128)
    for some, system in eigensystems(matrix):
        poles[some] = system.poles
        modes_out[:, :, some] = (by_row_out[:, :, some, None] @ system.right)[..., 0, :]
        modes_in[:, some] = (system.left @ by_row_in[:, some, :, None])[..., 0]
    if not stored.has(stored.log_poles(poles), spectrum):
        return stored.diagonalized(), outputs, inputs
    return stored, modes_out.reshape(outputs.shape), modes_in.reshape(inputs.shape)


def _from_modes(stored: Stored, modes_out: Complexes) -> Complexes:
    """The row vectors C of these C V."""
    if not stored.is_low_rank:
        return modes_out
    matrix, rows = stored.solved, len(stored.solved.diagonal)
    by_row = modes_out.reshape(len(modes_out), -1, rows, matrix.states)  # (K, H / S, S, M)
    outputs = np.empty_like(by_row)
    for some, system in eigensystems(matrix):
        outputs[:, :, some] = (by_row[:, :, some, None] @ system.left)[..., 0, :]
    return outputs.reshape(modes_out.shape)


def _require_agreement(
    source: LayerSource,
    stored: Stored,
    spectrum: LayerSpectrum,
    periodic: Complexes,
    outputs: Complexes,
    inputs: Complexes,
) -> None:
    """Compare the modes' sum, before C~ is undone, with the response of the matrix itself.

    Raises:
        LayoutError: they differ.
    """
    z = np.exp(-1j * OMEGA)
    points = np.asarray(2.0 * (1.0 - z) / (1.0 + z), dtype=np.complex128)
    wanted = response(stored.per_channel, outputs, inputs, points) * (2.0 / (1.0 + z))  # (K, H, n)
    found = np.stack(
        [(periodic * resonance(spectrum.log_poles, omega)).sum(axis=-1) for omega in OMEGA], axis=-1
    )
    error, peak = np.abs(found - wanted).max(axis=-1), np.abs(wanted).max(axis=-1)
    wrong = (error > AGREES * peak).any(axis=0)
    if wrong.any():
        worst = (error[:, wrong] / peak[:, wrong]).max()
        raise LayoutError(
            f"the eigenvectors of {np.count_nonzero(wrong)} of {wrong.size} heads are so nearly "
            f"dependent that their modes miss the layer's response by up to {worst:.1e} of its peak"
        )
