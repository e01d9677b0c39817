"""Kernels against explicit recurrences and plain sums over modes."""

import gc
import weakref

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from ssmspec.errors import LayoutError
from ssmspec.kernel import (
    LayerKernel,
    MimoKernel,
    discretized_input,
    frequency_response,
    impulse_response,
    once_a_kernel,
    powers,
)
from ssmspec.reading import Discretization
from ssmspec.spectrum import Symmetry, bilinear_to_log_poles
from tests.examples.kernels import random_mimo, random_siso, spectrum_of

GAINS = {Symmetry.HALF: 2.0, Symmetry.FULL: 1.0, Symmetry.REAL: 1.0}


def brute(kernel, length):
    """gain Re sum c l^k, one lag at a time."""
    poles = np.exp(kernel.spectrum.log_poles)
    gain = GAINS[kernel.spectrum.symmetry]
    if isinstance(kernel, MimoKernel):
        parts = [
            (kernel.output_matrix @ np.diag(poles[0] ** k) @ kernel.input_matrix).real
            for k in range(length)
        ]
    else:
        parts = [(kernel.residues * poles**k).sum(axis=-1).real for k in range(length)]
    return gain * np.stack(parts, axis=-1)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    length=st.integers(1, 130),
    symmetry=st.sampled_from(Symmetry),
    kernels=st.integers(1, 3),
)
def test_impulse_response_is_the_sum_of_the_modes(seed, length, symmetry, kernels):
    kernel = random_siso(np.random.default_rng(seed), (2, 3), symmetry, kernels)
    found = impulse_response(kernel, length)
    assert found.shape == (kernels, 2, length)
    np.testing.assert_allclose(found, brute(kernel, length), atol=1e-12)


@pytest.mark.parametrize("symmetry", [Symmetry.HALF, Symmetry.FULL])
def test_mimo_responses(symmetry):
    kernel = random_mimo(np.random.default_rng(1), 4, 3, 2, symmetry)
    found = impulse_response(kernel, 900)
    np.testing.assert_allclose(found, brute(kernel, 900), atol=1e-12)
    omega = np.array([0.0, 0.7, 3.0, np.pi])
    transform = found @ np.exp(-1j * omega * np.arange(900)[:, None])
    np.testing.assert_allclose(frequency_response(kernel, omega), transform, atol=1e-5)


@pytest.mark.parametrize("symmetry", Symmetry)
def test_frequency_response_is_the_transform_of_a_long_kernel(symmetry):
    kernel = random_siso(np.random.default_rng(2), (2, 4), symmetry, 2, slowest=0.1)
    omega = np.linspace(0.0, np.pi, 7)
    transform = impulse_response(kernel, 500) @ np.exp(-1j * omega * np.arange(500)[:, None])
    np.testing.assert_allclose(frequency_response(kernel, omega), transform, atol=1e-11)


def test_many_channels_are_worked_on_in_blocks():
    kernel = random_siso(np.random.default_rng(3), (700, 8))
    length = 2000
    some = LayerKernel(
        spectrum_of(kernel.spectrum.log_poles[[0, 400, 699]]), kernel.residues[:, [0, 400, 699]]
    )
    found = impulse_response(kernel, length)
    np.testing.assert_allclose(found[:, [0, 400, 699]], brute(some, length), atol=1e-11)


def test_the_recurrence_of_a_real_block_form_under_zero_order_hold():
    """A and B held over a step: exp of the block matrix [[A, B], [0, 0]]."""
    A, B, C, dt = -0.3 + 2.0j, 0.7 - 0.4j, 1.1 + 0.6j, 0.2
    block = np.zeros((3, 3))
    block[:2, :2] = [[A.real, -A.imag], [A.imag, A.real]]
    block[:2, 2] = [B.real, B.imag]
    held = scipy.linalg.expm(dt * block)
    state, out = held[:2, 2], []
    for _ in range(50):
        out.append(2.0 * (C.real * state[0] - C.imag * state[1]))
        state = held[:2, :2] @ state
    spectrum = spectrum_of([[A * dt]], dt=[[dt]])
    kernel = LayerKernel(spectrum, (B * C * discretized_input(spectrum))[None])
    np.testing.assert_allclose(impulse_response(kernel, 50)[0, 0], out, atol=1e-13)


def test_the_input_of_the_bilinear_rule():
    A, dt = np.array([[-0.3 + 2.0j, -1.0]]), np.array([[0.2]])
    spectrum = spectrum_of(
        bilinear_to_log_poles(A, dt), dt=dt, discretization=Discretization.BILINEAR
    )
    np.testing.assert_allclose(discretized_input(spectrum), dt / (1 - dt * A / 2), rtol=1e-14)


def test_the_input_of_slow_and_of_still_modes():
    dt = np.array([[0.5], [2.0]])
    tiny = -1e-12 + 1e-13j
    spectrum = spectrum_of([[0.0, tiny], [0.0, 2j * np.pi]], dt=dt)
    found = discretized_input(spectrum)
    np.testing.assert_allclose(found[:, 0], [0.5, 2.0], rtol=1e-15)
    np.testing.assert_allclose(found[0, 1], 0.5 * (1 + tiny / 2), rtol=1e-15)
    assert abs(found[1, 1]) < 1e-15  # a whole turn a step: the input averages out
    native = spectrum_of([[-0.1]], discretization=Discretization.NATIVE)
    assert discretized_input(native) == 1.0


def test_powers():
    log_poles = np.array([-0.01 + 3j, -5.0 - 1j])
    expected = np.exp(log_poles[:, None] * 7 * np.arange(37))
    np.testing.assert_allclose(powers(log_poles, 37, 7), expected, rtol=1e-12, atol=1e-300)


def test_growth_beyond_floats_is_infinite_in_silence():
    kernel = LayerKernel(spectrum_of([[5.0 + 0.1j]]), np.ones((1, 1, 1), dtype=complex))
    assert not np.isfinite(impulse_response(kernel, 4000)).all()


def test_magnitudes():
    spectrum = spectrum_of([[-0.1, -0.2], [-0.3, -0.4]])
    residues = np.array([[[3, 1], [0, 2j]], [[4j, 0], [0, 0]]], dtype=complex)
    np.testing.assert_allclose(LayerKernel(spectrum, residues).magnitude, [[5, 1], [0, 2]])
    C, B = np.array([[3.0, 0], [4, 1]], complex), np.array([[1, 0, 0], [1j, 2, 2]], complex)
    mimo = MimoKernel(spectrum_of([[-0.1, -0.2]]), C, B)
    np.testing.assert_allclose(mimo.magnitude, [[5, 3]])
    assert mimo.non_finite == 0
    residues[0, 0, 0] = np.nan
    assert LayerKernel(spectrum, residues).non_finite == 1


@pytest.mark.parametrize("shape", [(2, 2), (1, 2, 3), (0, 2, 2), (1, 1, 2)])
def test_residues_that_do_not_fit(shape):
    with pytest.raises(LayoutError, match="do not fit"):
        LayerKernel(spectrum_of(np.full((2, 2), -0.1)), np.ones(shape, dtype=complex))
    with pytest.raises(LayoutError, match="complex128"):
        LayerKernel(spectrum_of([[-0.1]]), np.ones((1, 1, 1)))


@pytest.mark.parametrize(
    ("outputs", "inputs"), [((3, 3), (2, 3)), ((3, 2), (3, 3)), ((0, 2), (2, 3)), ((3, 2), (2, 0))]
)
def test_matrices_that_do_not_fit(outputs, inputs):
    with pytest.raises(LayoutError):
        MimoKernel(
            spectrum_of([[-0.1, -0.2]]),
            np.ones(outputs, dtype=complex),
            np.ones(inputs, dtype=complex),
        )


def test_results_are_remembered_while_the_kernel_lives():
    calls = []

    @once_a_kernel
    def measure(kernel, factor):
        calls.append(factor)
        return factor * kernel.gain

    kernel = random_siso(np.random.default_rng(4), (1, 1))
    assert [measure(kernel, 2), measure(kernel, 2), measure(kernel, 3)] == [4.0, 4.0, 6.0]
    assert calls == [2, 3]
    gone = weakref.ref(kernel)
    del kernel
    gc.collect()
    assert gone() is None
