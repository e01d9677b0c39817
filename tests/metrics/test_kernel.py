"""Kernels that cannot be measured, and row strides that are or are not there."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssmspec.kernel import LayerKernel, MimoKernel
from ssmspec.metrics import METRICS, Context, kernel_gain
from ssmspec.metrics.kernel_energy import find_row_stride, row_stride_of
from ssmspec.outcome import NotApplicable
from ssmspec.reading import Discretization
from ssmspec.spectrum import LayerSpectrum, Symmetry
from tests.examples.kernels import (
    horizon,
    long_energy,
    random_siso,
    reason,
    spectrum_of,
    value,
)

QUICK = settings(max_examples=25, deadline=None)


def test_a_kernel_of_zeros_has_no_shares():
    kernel = LayerKernel(spectrum_of([[-0.1 + 1j]]), np.zeros((1, 1, 1), dtype=complex))
    for identifier in ("aliased_energy", "energy_horizon", "locality", "stride_energy"):
        assert reason(identifier, kernel, 10, row_stride=8) == "the kernel is zero"


def test_a_kernel_that_is_not_finite_is_not_measured():
    kernel = random_siso(np.random.default_rng(14), (1, 3))
    residues = kernel.residues.copy()
    residues[0, 0, 1] = np.nan
    broken = LayerKernel(kernel.spectrum, residues)
    for identifier in ("hinf_max", "energy_horizon", "dead_mode_fraction", "effective_order"):
        assert "NaN or infinite (1 of them)" in reason(identifier, broken, 10)
    assert row_stride_of(broken, 1024) is None


def test_selective_layers_have_no_kernel():
    spectrum = LayerSpectrum(
        "layer", "mamba", Discretization.ZOH, Symmetry.REAL,
        np.array([[-0.1, -0.2]], dtype=complex), np.ones((1, 1)), selective=True,
    )  # fmt: skip
    context = Context(100, row_stride=8, resample=2.0)
    for identifier in ("hinf_max", "energy_horizon", "stride_energy", "effective_order"):
        assert METRICS[identifier](spectrum, context) == NotApplicable(
            "B, C and dt depend on the input"
        )
    assert "depend on the input" in METRICS["redundant_mode_fraction"](spectrum, context).reason


def test_systems_too_large_for_dense_matrices():
    modes = kernel_gain.LARGEST_SYSTEM + 1
    log_poles = np.full((1, modes), -0.1 + 1j)
    ones = np.ones((modes, 1), dtype=complex)
    kernel = MimoKernel(spectrum_of(log_poles), ones.T, ones)
    assert "up to 1,024 modes" in reason("hinf_max", kernel)
    assert "up to 1,024 modes" in reason("effective_order", kernel)
    wide = LayerKernel(spectrum_of(np.full((2, 4097), -0.1 + 1j)), np.ones((1, 2, 4097)) + 0j)
    assert "33,570,818 pairs" in reason("hinf_max", wide)
    assert "33,570,818 pairs" in reason("energy_horizon", wide)
    assert value("energy_horizon", wide, 10) == horizon(long_energy(wide, 10))


def resonances(decay, omega, amplitude, phase=0.0):
    k = np.arange(1024)
    return (amplitude * np.exp(-decay * k) * np.cos(omega * k + phase)) ** 2


@QUICK
@given(
    decay=st.floats(1e-6, 0.3),
    omega=st.floats(0.0, math.pi),
    phase=st.floats(0.0, math.pi),
)
def test_one_resonance_is_no_comb(decay, omega, phase):
    assert find_row_stride(resonances(decay, omega, 1.0, phase)) is None


@pytest.mark.parametrize("stride", [14, 28, 32, 64, 128])
def test_a_comb_is_found(stride):
    lags = np.arange(1024)
    noise = np.random.default_rng(stride).exponential(size=(16, 1024)).mean(axis=0)
    energy = noise * np.exp(-lags / 300) * (0.02 + (np.minimum(lags % stride, -lags % stride) <= 1))
    assert find_row_stride(energy) == stride


def test_what_is_no_comb():
    lags = np.arange(1024)
    smooth = np.exp(-lags / 100)
    assert find_row_stride(smooth) is None
    delay = smooth * 1e-3
    delay[50] = 10.0  # one echo, and no second row
    assert find_row_stride(delay) is None
    faint = np.where(lags < 4, 1.0, 0.0) + 1e-4 * (lags % 32 == 0)
    assert find_row_stride(faint) is None
    assert find_row_stride(np.zeros(1024)) is None
    assert find_row_stride(np.full(1024, np.inf)) is None
    assert find_row_stride(np.ones(20)) is None
    noise = np.random.default_rng(0)
    assert all(find_row_stride(noise.exponential(size=1024)) is None for _ in range(50))


def test_no_stride_without_a_length():
    kernel = random_siso(np.random.default_rng(15), (2, 3))
    assert row_stride_of(kernel, None) is None
    assert row_stride_of(kernel, 10**12) is None
